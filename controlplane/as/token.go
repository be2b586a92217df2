package as

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/umagate/umagate/controlplane/clientauth"
	"github.com/umagate/umagate/controlplane/secret"
)

// The grants of the token endpoint, as grant_type spells them.
const (
	GrantAuthorizationCode = "authorization_code"
	GrantClientCredentials = "client_credentials"
	GrantPassword          = "password"
	GrantRefreshToken      = "refresh_token"
	GrantUMATicket         = "urn:ietf:params:oauth:grant-type:uma-ticket"
)

const (
	// defaultLifetime is taken for a token whose lifetime the AS does not tell.
	defaultLifetime = 5 * time.Minute
	// maxLifetime is how long a token is believed at most: an AS that names the end
	// of time is asked again each day.
	maxLifetime = 24 * time.Hour
)

// Token is an access token.
type Token struct {
	Value secret.Text
	// IssuedAt and ExpiresAt are by the control plane's clock.
	IssuedAt, ExpiresAt time.Time
}

// TokenResponse is a successful answer of the token endpoint (RFC 6749 section 5.1).
type TokenResponse struct {
	Token

	// Type is token_type as the AS spells it, empty where it gave none.
	Type string
	// ExpiresIn is the lifetime that the AS names, 0 where it names none.
	ExpiresIn time.Duration
	// RefreshToken is zero where the AS gave none.
	RefreshToken secret.Text
	// IDToken is zero where the AS gave none; it is not verified.
	IDToken secret.Text
	// Scope is what was granted; empty where it is what was asked for.
	Scope string
	// PCT and Upgraded come with an RPT (UMA Grant section 3.3.5).
	PCT      secret.Text
	Upgraded bool
}

// tokenAnswer is TokenResponse on the wire. What is any need not be right: nothing
// depends on it, and some ASs send other types.
type tokenAnswer struct {
	AccessToken  secret.Text `json:"access_token"`
	TokenType    string      `json:"token_type"`
	ExpiresIn    json.Number `json:"expires_in"`
	RefreshToken secret.Text `json:"refresh_token"`
	IDToken      any         `json:"id_token"`
	Scope        any         `json:"scope"`
	PCT          any         `json:"pct"`
	Upgraded     any         `json:"upgraded"`
}

// PAT gets a protection API access token by client credentials (UMA Federated
// Authorization section 1.3; RFC 6749 section 4.4), with the dialect's scopes.
func (s *Server) PAT(ctx context.Context, auth clientauth.Auth) (Token, error) {
	form := url.Values{"grant_type": {GrantClientCredentials}}
	if len(s.dialect.PATScopes) > 0 {
		form.Set("scope", strings.Join(s.dialect.PATScopes, " "))
	}
	got, err := s.RequestToken(ctx, "get the PAT", auth, form)
	return got.Token, err
}

// RequestToken makes a token request of any grant (RFC 6749 section 3.2). form has
// the parameters of the grant; the client's proof is added. op is what it is for, in
// errors. The [Error] of a refusal has the AS's whole answer.
func (s *Server) RequestToken(ctx context.Context, op string, auth clientauth.Auth, form url.Values) (TokenResponse, error) {
	in := call{
		operation: OperationToken, op: op, method: http.MethodPost, url: s.metadata.TokenEndpoint, form: form,
		kinds: map[int]error{http.StatusUnauthorized: ErrClientRefused, http.StatusForbidden: ErrClientRefused},
	}
	if in.url == "" {
		return TokenResponse{}, &Error{Op: op, Kind: ErrMissingEndpoint, Description: "token_endpoint"}
	}
	start := s.caller.now()
	var got tokenAnswer
	out, err := s.doProved(ctx, in, auth, s.audience, &got)
	if e, ok := errors.AsType[*Error](err); ok {
		e.Answer = secret.New(string(out.body))
		switch {
		case e.Status == http.StatusBadRequest && (e.Code == "invalid_client" || e.Code == "unauthorized_client"):
			e.Kind = ErrClientRefused
		case e.Status == http.StatusBadRequest && e.Code == "invalid_grant":
			e.Kind = ErrInvalidGrant
		case errors.Is(e.Kind, ErrNotJSON) && isJSON(out.header):
			e.Kind, e.Description = ErrMalformed, "no usable access_token"
		}
	}
	if err != nil {
		return TokenResponse{}, err
	}
	seconds, _ := got.ExpiresIn.Float64() // it is a number, or empty
	switch {
	case got.AccessToken.IsZero():
		return TokenResponse{}, in.malformed(out, "access_token is missing")
	case got.TokenType != "" && !strings.EqualFold(got.TokenType, "Bearer"):
		return TokenResponse{}, in.malformed(out, "token_type is "+clip(got.TokenType)+", only Bearer can be sent")
	case seconds < 0:
		return TokenResponse{}, in.malformed(out, "expires_in says that the token has expired already")
	}
	lifetime := defaultLifetime
	expiresIn := time.Duration(min(seconds, math.MaxInt32) * float64(time.Second))
	if expiresIn > 0 {
		lifetime = min(expiresIn, maxLifetime)
	}
	text := func(member any) string { s, _ := member.(string); return s }
	upgraded, _ := got.Upgraded.(bool)
	return TokenResponse{
		Token: Token{Value: got.AccessToken, IssuedAt: start, ExpiresAt: start.Add(lifetime)},
		Type:  got.TokenType, ExpiresIn: expiresIn, Scope: text(got.Scope),
		RefreshToken: got.RefreshToken, IDToken: secret.New(text(got.IDToken)), PCT: secret.New(text(got.PCT)), Upgraded: upgraded,
	}, nil
}
