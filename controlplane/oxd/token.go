package oxd

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/clientauth"
	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/controlplane/store"
)

// requestTokens calls the token endpoint with any grant.
func (p *provider) requestTokens(ctx context.Context, auth clientauth.Auth, grant url.Values) (as.TokenResponse, error) {
	got, err := p.server.RequestToken(ctx, "get a token", auth, grant)
	if err != nil {
		err = tokenFailure(err)
	}
	return got, err
}

// wholeSeconds is expires_in; 0 when the OP does not say.
func wholeSeconds(lifetime time.Duration) int64 { return int64(lifetime / time.Second) }

// tokenFailure returns the OP's status as a code, and its own words.
func tokenFailure(err error) error {
	refused, ok := errors.AsType[*as.Error](err)
	switch {
	case !ok, errors.Is(err, as.ErrClientRefused) && refused.Status == 0: // the proof could not be made
		return err
	case errors.Is(err, as.ErrMissingEndpoint):
		return fail(CodeNoConnectDiscovery, "the OP names no token_endpoint")
	case refused.Status == 0:
		return fail(CodeInternal, "the OP's token endpoint does not answer").because(errors.Join(errNoAnswer, err))
	case refused.Status >= http.StatusMultipleChoices:
		if refused.Temporary() {
			err = errors.Join(errNoAnswer, err)
		}
		return (&Error{Code: CodeHTTPStatus(refused.Status), Description: wordsOf(refused)}).because(err)
	case errors.Is(err, as.ErrNotJSON):
		return fail(CodeInternal, "the OP's token endpoint answers with something that is not JSON").because(err)
	default:
		return (&Error{Code: CodeNoAccessToken, Description: "the OP's answer has no access_token that can be used: " + refused.Description}).because(err)
	}
}

// wordsOf returns the OP's or AS's error object, without what applications need not know.
func wordsOf(refused *as.Error) string {
	if refused.Code == "" {
		return fmt.Sprintf("the OP answered %d %s", refused.Status, http.StatusText(refused.Status))
	}
	said, _ := json.Marshal(map[string]string{"error": refused.Code, "error_description": refused.Description}) // strings always marshal
	return string(said)
}

type codeParams struct {
	SiteParams

	Code  string `json:"code"`
	State string `json:"state"`
}

type tokensResult struct {
	AccessToken   string         `json:"access_token"`
	ExpiresIn     int64          `json:"expires_in"`
	RefreshToken  *string        `json:"refresh_token"`
	IDToken       string         `json:"id_token"`
	IDTokenClaims map[string]any `json:"id_token_claims"`
}

// tokensByCode ends a login.
func (s *logins) tokensByCode(ctx context.Context, c *Call, p codeParams) (tokensResult, error) {
	if p.Code == "" || p.State == "" {
		return tokensResult{}, fail(CodeBadRequest, "code and state are needed, as the OP gave them")
	}
	rc, err := s.clientOf(ctx, c.RP)
	if err != nil {
		return tokensResult{}, err
	}
	unknown := fail(CodeBadRequest, "state is not known: it was used already, has expired, or is of another site")
	var out tokensResult
	err = s.once(ctx, stateLogin, loginID(c.RP, p.State), unknown, func(state store.TemporaryState) (bool, error) {
		var err error
		out, err = s.finishLogin(ctx, rc, state, p.Code)
		return !mayTryAgain(err), err
	})
	return out, err
}

// finishLogin exchanges the code, and judges what it brings.
func (s *logins) finishLogin(ctx context.Context, rc *rpClient, state store.TemporaryState, code string) (tokensResult, error) {
	var begun login
	if err := json.Unmarshal([]byte(state.Value.Reveal()), &begun); err != nil {
		return tokensResult{}, errors.New("oxd: a stored login is not JSON") // the cause may quote it
	}
	grant := url.Values{"grant_type": {as.GrantAuthorizationCode}, "code": {code}, "redirect_uri": {begun.RedirectURI}}
	if begun.Verifier != "" {
		grant.Set("code_verifier", begun.Verifier)
	}
	got, err := rc.requestTokens(ctx, rc.auth, grant)
	if err != nil {
		return tokensResult{}, err
	}
	if got.IDToken.IsZero() {
		return tokensResult{}, fail(CodeNoIDToken, "the OP gives no id_token")
	}
	claims, err := rc.verify(ctx, got.IDToken.Reveal(), expectation{
		nonce: &begun.Nonce, acr: begun.ACRValues, accessToken: got.Value.Reveal(), code: code, now: s.now,
	})
	if err != nil {
		return tokensResult{}, err
	}
	if err := s.remember(ctx, rc.rp, got, claims.subject); err != nil {
		return tokensResult{}, err
	}
	return tokensResult{
		AccessToken: got.Value.Reveal(), ExpiresIn: wholeSeconds(got.ExpiresIn), RefreshToken: present(got.RefreshToken.Reveal()),
		IDToken: got.IDToken.Reveal(), IDTokenClaims: claims.all,
	}, nil
}

// errNoAnswer is wrapped by the error of a token request that the OP did not answer, or
// only to say that it cannot now: the code may still be good.
var errNoAnswer = errors.New("oxd: the OP's token endpoint did not decide")

func mayTryAgain(err error) bool { return errors.Is(err, errNoAnswer) }

type refreshParams struct {
	SiteParams

	RefreshToken string  `json:"refresh_token"`
	Scope        Strings `json:"scope"`
}

type refreshResult struct {
	AccessToken  string  `json:"access_token"`
	ExpiresIn    int64   `json:"expires_in"`
	RefreshToken *string `json:"refresh_token"`
	Scope        *string `json:"scope"`
}

// tokensByRefresh renews an access token (RFC 6749 section 6).
func (s *logins) tokensByRefresh(ctx context.Context, c *Call, p refreshParams) (refreshResult, error) {
	if p.RefreshToken == "" {
		return refreshResult{}, fail(CodeBadRequest, "refresh_token is missing")
	}
	rc, err := s.clientOf(ctx, c.RP)
	if err != nil {
		return refreshResult{}, err
	}
	grant := url.Values{"grant_type": {as.GrantRefreshToken}, "refresh_token": {p.RefreshToken}}
	if p.Scope.given() {
		grant.Set("scope", strings.Join(rc.asks(with([]string{scopeOpenID}, p.Scope.clean()...)), " "))
	}
	got, err := rc.requestTokens(ctx, rc.auth, grant)
	if err != nil {
		return refreshResult{}, err
	}
	subject, err := s.subjectOf(ctx, p.RefreshToken)
	if err != nil {
		return refreshResult{}, err
	}
	if !got.IDToken.IsZero() {
		// OpenID Connect Core 1.0 section 12.2: of the same person, and need have no nonce.
		claims, err := rc.verify(ctx, got.IDToken.Reveal(), expectation{accessToken: got.Value.Reveal(), subject: subject, now: s.now})
		if err != nil {
			return refreshResult{}, err
		}
		subject = claims.subject
	}
	if got.RefreshToken.IsZero() {
		got.RefreshToken = secret.New(p.RefreshToken) // it stays good
	}
	if err := s.remember(ctx, c.RP, got, subject); err != nil {
		return refreshResult{}, err
	}
	return refreshResult{
		AccessToken: got.Value.Reveal(), ExpiresIn: wholeSeconds(got.ExpiresIn), RefreshToken: present(got.RefreshToken.Reveal()), Scope: present(got.Scope),
	}, nil
}

// The kinds of what is remembered of tokens: whose it is, by the token's hash, and
// the site's last ID token.
const (
	stateSubject = "subject"
	stateIDToken = "id_token"
)

const (
	// subjectLifetime is for tokens whose lifetime is not known, and refresh tokens.
	subjectLifetime = 30 * 24 * time.Hour
	idTokenLifetime = 30 * 24 * time.Hour
)

// remember keeps whose the tokens are, and the ID token for a logout.
func (s *logins) remember(ctx context.Context, rp *RP, got as.TokenResponse, subject string) error {
	if subject != "" {
		lifetime := subjectLifetime
		if got.ExpiresIn > 0 {
			lifetime = min(lifetime, got.ExpiresIn+time.Minute)
		}
		if err := s.putState(ctx, stateSubject, tokenHash(got.Value.Reveal()), rp.ID, subject, lifetime); err != nil {
			return err
		}
		if !got.RefreshToken.IsZero() {
			if err := s.putState(ctx, stateSubject, tokenHash(got.RefreshToken.Reveal()), rp.ID, subject, subjectLifetime); err != nil {
				return err
			}
		}
	}
	if !got.IDToken.IsZero() {
		return s.putState(ctx, stateIDToken, rp.ID, rp.ID, got.IDToken.Reveal(), idTokenLifetime)
	}
	return nil
}

// subjectOf returns whose a token is, as far as is known: empty when it came from
// elsewhere.
func (s *logins) subjectOf(ctx context.Context, token string) (string, error) {
	state, err := s.store.TemporaryState(ctx, stateSubject, tokenHash(token), s.now())
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return "", err
	}
	return state.Value.Reveal(), nil
}

// tokenHash names a token in the store without telling it.
func tokenHash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
