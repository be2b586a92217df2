package oxd

import (
	"cmp"
	"context"
	"errors"
	"net/url"
	"strings"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/clientauth"
	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/controlplane/store"
)

type clientTokenParams struct {
	ClientID             string      `json:"client_id"`
	ClientSecret         secret.Text `json:"client_secret"`
	OPHost               string      `json:"op_host"`
	OPDiscoveryPath      string      `json:"op_discovery_path"`
	Scope                Strings     `json:"scope"`
	AuthenticationMethod string      `json:"authentication_method"`
	Algorithm            string      `json:"algorithm"`
	KeyID                string      `json:"key_id"`
}

type clientTokenResult struct {
	AccessToken  string  `json:"access_token"`
	ExpiresIn    int64   `json:"expires_in"`
	RefreshToken *string `json:"refresh_token"`
	Scope        string  `json:"scope"`
}

// clientToken gets the token that protects commands (RFC 6749 section 4.4).
func (s *admission) clientToken(ctx context.Context, _ *Call, p clientTokenParams) (clientTokenResult, error) {
	if p.ClientID == "" || p.ClientSecret.IsZero() {
		return clientTokenResult{}, fail(CodeBadRequest, "client_id and client_secret are needed: setup_client gives both")
	}
	op, err := s.provider(ctx, p.OPHost, p.OPDiscoveryPath)
	if err != nil {
		return clientTokenResult{}, err
	}
	setup, err := s.setupOf(ctx, op.op.Issuer, p.ClientID)
	if err != nil {
		return clientTokenResult{}, err
	}
	auth, err := s.tokenAuth(p, setup)
	if err != nil {
		return clientTokenResult{}, err
	}
	grant := url.Values{"grant_type": {as.GrantClientCredentials}}
	wanted := p.Scope.clean()
	if setup != nil && len(wanted) == 0 {
		// Older clients name none, and need the one that commands are let pass with.
		wanted = intersect([]string{scopeOxd, scopeUMAProtection}, op.metadata.Scopes)
	}
	asked := op.asks(with([]string{scopeOpenID}, wanted...))
	grant.Set("scope", strings.Join(asked, " "))
	got, err := op.requestTokens(ctx, auth, grant)
	if err != nil {
		return clientTokenResult{}, err
	}
	if setup != nil {
		if err := s.rememberCaller(ctx, setup, got); err != nil {
			return clientTokenResult{}, err
		}
	}
	return clientTokenResult{
		AccessToken: got.Value.Reveal(), ExpiresIn: wholeSeconds(got.ExpiresIn), RefreshToken: present(got.RefreshToken.Reveal()),
		Scope: cmp.Or(got.Scope, strings.Join(asked, " ")), // left out, it is what was asked for (RFC 6749 section 5.1)
	}, nil
}

// setupOf finds the setup client; nil when umagate did not register it.
func (s *rps) setupOf(ctx context.Context, issuer, clientID string) (*RP, error) {
	kept, err := s.store.SetupRP(ctx, issuer, clientID)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil //nolint:nilnil // unknown is an answer
	}
	if err != nil {
		return nil, err
	}
	return openRP(kept)
}

// tokenAuth is how the client authenticates: as the parameters say, else as it
// was set up.
func (s *admission) tokenAuth(p clientTokenParams, setup *RP) (clientauth.Auth, error) {
	method := p.AuthenticationMethod
	alg := p.Algorithm
	if method == "" && setup != nil {
		method = string(setup.AuthMethod)
		alg = cmp.Or(alg, setup.AuthAlg)
	}
	a, err := chooseAuthentication("algorithm", method, alg)
	if err != nil {
		return nil, err
	}
	if a.method != clientauth.PrivateKeyJWT {
		return s.authFor(p.ClientID, p.ClientSecret, secret.Text{}, a)
	}
	// The key is umagate's: who asks for it to be used proves with the secret of
	// setup_client that it is theirs.
	if setup == nil || setup.Secrets.Key.IsZero() || !setup.Secrets.ClientSecret.Equal(p.ClientSecret) {
		return nil, fail(CodeBadRequest, "private_key_jwt is for a client that setup_client registered with it, and needs its client_secret")
	}
	key, err := clientauth.ParseJWK(setup.Secrets.Key, "")
	if err != nil {
		return nil, err
	}
	if p.KeyID != "" && p.KeyID != key.ID {
		return nil, fail(CodeBadRequest, "key_id is not the key of this client: leave it out, or see get_rp")
	}
	return s.authFor(p.ClientID, p.ClientSecret, setup.Secrets.Key, a)
}

// stateCaller says which setup client a protection token was given to.
const stateCaller = "caller"

func (s *admission) rememberCaller(ctx context.Context, setup *RP, got as.TokenResponse) error {
	lifetime := subjectLifetime
	if got.ExpiresIn > 0 {
		lifetime = min(lifetime, got.ExpiresIn)
	}
	return s.putState(ctx, stateCaller, tokenHash(got.Value.Reveal()), setup.ID, "", lifetime)
}
