package oxd

import (
	"context"
	"errors"
	"slices"

	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/umagate/umagate/controlplane/clientauth"
	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/controlplane/store"
)

// admission decides who may run a command, by protection tokens.
type admission struct {
	*rps

	// protect asks for a token on both transports.
	protect bool
}

// Caller is who a protection token was given to: a setup client.
type Caller struct {
	// Setup is its RP.
	Setup *RP
	// Scopes are the token's.
	Scopes []string
}

// The commands that the rules of protection name.
const (
	registerSiteCommand = "register_site"
	updateSiteCommand   = "update_site"
)

// admit loads the RP that the parameters name, and checks the protection token:
//
//	setup_client, get_client_token   need none
//	update_site of a setup client    needs none
//	register_site                    binds the new RP to the token's client
//	all others                       need one of the client that set the RP up
//
// With protection off, register_site alone looks at a token, if one is sent.
func (s *admission) admit(ctx context.Context, c *Call, params any, protection secret.Text) (err error) {
	needed := s.protect && !c.Command.Open
	named, ok := params.(ofSite)
	if needed && protection.IsZero() && c.Command.Name != updateSiteCommand {
		return blankProtection()
	}
	if ok {
		if c.RP, err = s.loadRP(ctx, named.oxdID()); err != nil {
			return err
		}
	}
	switch {
	case c.Command.Name == updateSiteCommand && c.RP.Setup:
		return nil
	case needed && protection.IsZero():
		return blankProtection()
	case !needed && (c.Command.Name != registerSiteCommand || protection.IsZero()):
		return nil
	}
	var op opParams
	switch p := params.(type) {
	case registerParams:
		op = opParams{OPHost: p.OPHost, OPDiscoveryPath: p.OPDiscoveryPath}
	case opParams:
		op = p
	}
	if c.Caller, err = s.caller(ctx, protection, c.RP, op); err != nil {
		return err
	}
	if c.RP == nil {
		return nil
	}
	return s.commandedBy(ctx, c)
}

func blankProtection() *Error {
	return fail(CodeBlankProtection, "protection_access_token is missing: setup_client and get_client_token give one")
}

// commandedBy checks that the caller's client is the one that set the RP up.
func (s *admission) commandedBy(ctx context.Context, c *Call) error {
	none := fail(CodeNoSetupClient, "no setup client commands this oxd_id: register_site with a protection_access_token binds one")
	if c.RP.SetupOxdID == "" { // a setup client's own has none either
		return none
	}
	setup, err := s.loadRP(ctx, c.RP.SetupOxdID)
	if e, ok := errors.AsType[*Error](err); ok && e.Code == CodeInvalidOxdID {
		return none.because(err) // it was removed
	}
	if err != nil {
		return err
	}
	if setup.ClientID != c.Caller.Setup.ClientID || setup.Issuer != c.Caller.Setup.Issuer {
		return fail(CodeInvalidProtection, "the protection_access_token is of another setup client than that of oxd_id")
	}
	return nil
}

// caller finds out who the token was given to, and that it is good.
func (s *admission) caller(ctx context.Context, token secret.Text, rp *RP, op opParams) (*Caller, error) {
	setup, err := s.setupOfToken(ctx, token, rp, op)
	if err != nil {
		return nil, err
	}
	if setup == nil {
		return nil, fail(CodeInvalidProtection, "the protection_access_token is of no setup client that is known here")
	}
	rc, err := s.clientOf(ctx, setup)
	if err != nil {
		return nil, err
	}
	said, err := rc.introspect(ctx, token)
	if err != nil {
		return nil, err
	}
	switch {
	case !said.Active:
		return nil, fail(CodeInactiveProtection, "the protection_access_token has expired, or is not good: get_client_token gives a new one")
	case said.ClientID == nil:
		return nil, fail(CodeInvalidProtection, "the OP does not say which client the protection_access_token was given to")
	case *said.ClientID != setup.ClientID:
		if setup, err = s.setupOf(ctx, setup.Issuer, *said.ClientID); err != nil {
			return nil, err
		}
		if setup == nil {
			return nil, fail(CodeInvalidProtection, "the protection_access_token is of no setup client that is known here")
		}
	}
	if err := s.mustBeOwn(ctx, setup, token, said); err != nil {
		return nil, err
	}
	needed := rc.asks([]string{scopeOxd, scopeUMAProtection})
	if len(needed) > 0 && len(intersect(needed, said.Scopes)) == 0 {
		return nil, fail(CodeInsufficientProtection, "the protection_access_token needs scope oxd or uma_protection: setup_client and get_client_token with it")
	}
	return &Caller{Setup: setup, Scopes: said.Scopes}, nil
}

// setupOfToken finds a setup client that can ask about the token: the one it was
// given to where that is known, else one of the same OP.
func (s *admission) setupOfToken(ctx context.Context, token secret.Text, rp *RP, op opParams) (*RP, error) {
	if named, err := s.setupNamedBy(ctx, token); err != nil || named != nil {
		return named, err
	}
	if rp != nil && rp.SetupOxdID != "" {
		return s.setupByID(ctx, rp.SetupOxdID)
	}
	if rp != nil {
		op = opParams{OPHost: rp.OPHost, OPDiscoveryPath: rp.DiscoveryPath}
	}
	found, err := s.providerOf(ctx, op)
	if err != nil {
		return nil, err
	}
	all, err := s.store.RPs(ctx)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(all, func(r store.RP) bool { return r.Setup && r.Issuer == found.op.Issuer })
	if i < 0 {
		return nil, nil //nolint:nilnil // none is an answer
	}
	return openRP(all[i])
}

// setupNamedBy finds the setup client that the token was given to, as far as this
// server or the token itself tells; nil where neither does.
func (s *admission) setupNamedBy(ctx context.Context, token secret.Text) (*RP, error) {
	if id, err := s.obtainedFor(ctx, token); err != nil || id != "" {
		return s.setupByID(ctx, id)
	}
	// A JWT says it; whether that is true is found out with it.
	if claimed, _, ok := unverified(token); ok {
		for _, id := range []string{claimed.ClientID, claimed.AuthorizedParty, claimed.Subject} {
			setup, err := s.setupOf(ctx, claimed.Issuer, id)
			if err != nil || setup != nil {
				return setup, err
			}
		}
	}
	return nil, nil //nolint:nilnil // none is an answer
}

// obtainedFor is the oxd_id of the setup client that get_client_token got the token
// for; empty when it came from elsewhere.
func (s *admission) obtainedFor(ctx context.Context, token secret.Text) (string, error) {
	state, err := s.store.TemporaryState(ctx, stateCaller, tokenHash(token.Reveal()), s.now())
	if errors.Is(err, store.ErrNotFound) {
		return "", nil
	}
	return state.OxdID, err
}

func (s *rps) setupByID(ctx context.Context, id string) (*RP, error) {
	setup, err := s.loadRP(ctx, id)
	if e, ok := errors.AsType[*Error](err); ok && e.Code == CodeInvalidOxdID {
		return nil, nil //nolint:nilnil // it was removed
	}
	return setup, err
}

// accessTokenClaims are those of a JWT access token (RFC 9068, and Keycloak's).
type accessTokenClaims struct {
	Issuer          string `json:"iss"`
	Subject         string `json:"sub"`
	ClientID        string `json:"client_id"`
	AuthorizedParty string `json:"azp"`
	Type            string `json:"typ"`
	Scope           string `json:"scope"`
}

// unverified reads the claims of a token that may be a JWT, to find out whom to ask
// and why to refuse.
func unverified(token secret.Text) (claims accessTokenClaims, all map[string]any, ok bool) {
	parsed, err := jwt.ParseSigned(token.Reveal(), clientauth.KeyAlgorithms())
	if err != nil || parsed.UnsafeClaimsWithoutVerification(&claims, &all) != nil {
		return accessTokenClaims{}, nil, false
	}
	return claims, all, true
}
