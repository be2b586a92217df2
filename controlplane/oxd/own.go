package oxd

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/secret"
)

// own judges an access token that the client itself was given, where the OP calls it
// inactive: Keycloak does, since a client is not in the audience of its own tokens.
// Signature, issuer and validity say what it is; that it was not revoked, and the
// session not ended, userinfo says, which Keycloak answers for scope openid alone. What
// cannot be asked about stays inactive.
func (rc *rpClient) own(ctx context.Context, token secret.Text) (introspection, bool, error) {
	if rc.dialect() != as.DialectKeycloak {
		return introspection{}, false, nil
	}
	ctx = oidc.ClientContext(ctx, rc.client)
	verified, err := rc.oidc.VerifierContext(ctx, &oidc.Config{SkipClientIDCheck: true, Now: rc.now}).Verify(ctx, token.Reveal())
	if err != nil {
		return introspection{}, false, nil //nolint:nilerr // not good is an answer
	}
	var claims accessTokenClaims
	var all map[string]any
	if errors.Join(verified.Claims(&claims), verified.Claims(&all)) != nil || claims.AuthorizedParty != rc.rp.ClientID || claims.Type != "Bearer" {
		return introspection{}, false, nil
	}
	alive, err := rc.accepts(ctx, token)
	if err != nil || !alive {
		return introspection{}, false, err
	}
	all["active"] = true
	return fromMembers(all), true, nil
}

// accepts reports whether the OP's userinfo takes the token.
func (rc *rpClient) accepts(ctx context.Context, token secret.Text) (bool, error) {
	if rc.oidc.UserInfoEndpoint() == "" {
		return false, nil
	}
	_, status, err := rc.askUserInfo(ctx, token.Reveal())
	switch {
	case status == http.StatusOK: // whatever it tells
		return true, nil
	case status == 0:
		return false, fail(CodeInternal, "the OP's userinfo endpoint does not answer").because(err)
	case status >= http.StatusInternalServerError, status == http.StatusTooManyRequests:
		return false, fail(CodeHTTPStatus(status), "the OP's userinfo endpoint does not say whether the token is good")
	default:
		return false, nil
	}
}

// mustBeOwn refuses a protection token that the setup client did not get for itself: a
// person's token of the same client must not command what the client does. What
// get_client_token got is the client's own. Of any other token the OP has to say so;
// what cannot be told from a person's is refused.
func (s *admission) mustBeOwn(ctx context.Context, setup *RP, token secret.Text, said introspection) error {
	facts := []map[string]any{said.extra}
	if _, all, ok := unverified(token); ok {
		// What can only refuse counts wherever it stands.
		facts = append(facts, all)
	}
	if slices.ContainsFunc(facts, bound) {
		return fail(CodeInvalidProtection, "the protection_access_token is bound to a key or a certificate (cnf), which commands do not prove: get one that is not")
	}
	id, err := s.obtainedFor(ctx, token)
	if err != nil || id == setup.ID {
		return err
	}
	if id != "" {
		if obtained, err := s.setupByID(ctx, id); err != nil || obtained != nil && obtained.ClientID == setup.ClientID && obtained.Issuer == setup.Issuer {
			return err
		}
	}
	rc, err := s.clientOf(ctx, setup)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(facts, func(members map[string]any) bool { return ofAnother(members, setup.ClientID) }) || !rc.saysOwn(said) {
		return fail(CodeInvalidProtection, "the protection_access_token is a person's, or cannot be told from one: get_client_token gives the client's own")
	}
	return nil
}

// bound reports whether who uses the token has to prove more than having it (RFC 7800, RFC
// 8705 section 3, RFC 9449 section 6).
func bound(members map[string]any) bool {
	if members["cnf"] != nil {
		return true
	}
	kind, ok := members["token_type"].(string)
	return ok && slices.ContainsFunc([]string{"DPoP", "PoP", "mac", "N_A"}, func(s string) bool { return strings.EqualFold(s, kind) })
}

// ofAnother reports whether the token is of a login, or names another client.
func ofAnother(members map[string]any, clientID string) bool {
	text := func(name string) string {
		s, _ := members[name].(string)
		return s
	}
	for _, name := range []string{"client_id", "azp"} {
		if s := text(name); s != "" && s != clientID {
			return true
		}
	}
	return text("sid") != "" || text("session_state") != ""
}

// serviceAccount begins the name of the person that Keycloak makes of a client.
const serviceAccount = "service-account-"

// saysOwn reads from the OP's answer that the token is the client's own: sub is the
// client (RFC 9068 section 2.2), or at Keycloak the name is its service account's.
func (rc *rpClient) saysOwn(said introspection) bool {
	names := []string{}
	for _, member := range []string{"username", "preferred_username"} {
		if s, ok := said.extra[member].(string); ok && s != "" {
			names = append(names, s)
		}
	}
	if rc.dialect() == as.DialectKeycloak {
		account := serviceAccount + rc.rp.ClientID
		return len(names) > 0 && !slices.ContainsFunc(names, func(name string) bool { return !strings.EqualFold(name, account) })
	}
	return said.Subject != nil && *said.Subject == rc.rp.ClientID &&
		!slices.ContainsFunc(names, func(name string) bool { return name != rc.rp.ClientID })
}
