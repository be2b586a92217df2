package oxd

import (
	"cmp"
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/clientauth"
	"github.com/umagate/umagate/controlplane/site"
)

// registration registers RPs as clients of their OPs, changes and removes them.
type registration struct {
	*rps

	resources *resources
	defaults  site.OXDDefaults
}

type registerParams struct {
	clientParams
	existingParams

	OPHost          string `json:"op_host"`
	OPDiscoveryPath string `json:"op_discovery_path"`
}

// siteResult answers commands that change an RP.
type siteResult struct {
	OxdID  string `json:"oxd_id"`
	OPHost string `json:"op_host"`
}

// The scopes that are registered beyond what the parameters say.
const (
	scopeOpenID        = "openid"
	scopeUMAProtection = "uma_protection"
	scopeOxd           = "oxd"
)

// registerSite registers a client at the OP, or takes the one that is named.
func (s *registration) registerSite(ctx context.Context, c *Call, p registerParams) (siteResult, error) {
	rp, err := s.newRP(ctx, p)
	if err != nil {
		return siteResult{}, err
	}
	if c.Caller != nil {
		rp.SetupOxdID = c.Caller.Setup.ID
	}
	if err := s.enrol(ctx, rp, p.existingParams); err != nil {
		return siteResult{}, err
	}
	return siteResult{OxdID: rp.ID, OPHost: rp.OPHost}, nil
}

// newRP makes an RP of parameters and defaults. It asks the OP for its metadata
// only.
func (s *registration) newRP(ctx context.Context, p registerParams) (*RP, error) {
	rp := &RP{ID: uuid.NewString(), OPHost: cmp.Or(strings.TrimSpace(p.OPHost), s.defaultHost), DiscoveryPath: p.OPDiscoveryPath}
	d := s.defaults
	rp.Metadata = Metadata{
		Scope: d.Scope, ACRValues: d.ACRValues, GrantTypes: d.GrantTypes, ResponseTypes: d.ResponseTypes, Contacts: d.Contacts,
		UILocales: d.UILocales, ClaimsLocales: d.ClaimsLocales, PostLogoutRedirectURI: d.PostLogoutRedirectURI,
		ApplicationType: "web", ClientName: "umagate oxd " + rp.ID,
	}
	if len(rp.Metadata.GrantTypes) == 0 {
		// client_credentials is what a PAT is asked with.
		rp.Metadata.GrantTypes = []string{as.GrantAuthorizationCode, as.GrantRefreshToken, as.GrantClientCredentials}
	}
	if len(rp.Metadata.ResponseTypes) == 0 {
		rp.Metadata.ResponseTypes = []string{"code"}
	}
	if err := p.merge(&rp.Metadata); err != nil {
		return nil, err
	}
	op, err := s.provider(ctx, rp.OPHost, rp.DiscoveryPath)
	if err != nil {
		return nil, err
	}
	rp.Issuer = op.op.Issuer
	return rp, nil
}

// enrol gives the RP a client, and keeps both. The client is registered before it
// is kept: killed in between, umagate leaves one at the OP that nobody uses.
func (s *registration) enrol(ctx context.Context, rp *RP, existing existingParams) error {
	op, err := s.provider(ctx, rp.OPHost, rp.DiscoveryPath)
	if err != nil {
		return err
	}
	auth, err := rp.Metadata.authentication()
	if err != nil {
		return err
	}
	rp.AuthMethod, rp.AuthAlg = auth.method, string(auth.alg)
	if existing.ClientID != "" || !existing.ClientSecret.IsZero() {
		if err := existing.adopt(rp, op); err != nil {
			return err
		}
		return s.saveRP(ctx, rp)
	}
	if auth.method == clientauth.PrivateKeyJWT {
		if rp.Secrets.Key, err = newKey(auth.alg); err != nil {
			return err
		}
	}
	metadata, err := rp.registration(op)
	if err != nil {
		return err
	}
	got, err := op.server.Register(ctx, metadata, op.op.InitialAccessToken)
	if err != nil {
		return opFailure(err, "the OP does not register the client")
	}
	rp.take(got)
	rp.IssuedAt = s.now()
	if _, err := s.clientAuth(rp); err != nil {
		// The OP's secret is too short for the algorithm: the client cannot be used.
		return errors.Join(err, op.server.DeleteRegistration(ctx, got))
	}
	return s.saveRP(ctx, rp)
}

// adopt takes the client that the parameters name.
func (p existingParams) adopt(rp *RP, op *provider) error {
	if p.ClientID == "" || p.ClientSecret.IsZero() {
		return fail(CodeBadRequest, "client_id and client_secret belong together: give both, or neither to register a new client")
	}
	if rp.AuthMethod == clientauth.PrivateKeyJWT {
		return fail(CodeBadRequest, "an existing client authenticates with its client_secret: its private key is not here")
	}
	if p.RegistrationURI != "" {
		if err := sameOrigin(p.RegistrationURI, op); err != nil {
			return err
		}
	}
	rp.Existing = true
	rp.ClientID, rp.Secrets.ClientSecret = p.ClientID, p.ClientSecret
	rp.Secrets.RegistrationToken, rp.RegistrationURI = p.RegistrationToken, p.RegistrationURI
	return nil
}

// sameOrigin keeps a caller from having umagate call an address of its own.
func sameOrigin(raw string, op *provider) error {
	u, err := url.Parse(raw)
	if err == nil {
		m := op.server.Metadata()
		for _, known := range []string{m.Issuer, m.RegistrationEndpoint} {
			if k, err := url.Parse(known); err == nil && k.Host != "" && k.Scheme == u.Scheme && strings.EqualFold(k.Host, u.Host) {
				return nil
			}
		}
	}
	return fail(CodeInvalidRegistrationURL, "client_registration_client_uri is not an address of op_host").because(err)
}

// take keeps what the OP answered.
func (rp *RP) take(got as.Registration) {
	rp.ClientID, rp.Secrets.ClientSecret, rp.SecretExpiresAt = got.ClientID, got.ClientSecret, got.SecretExpiresAt
	rp.Secrets.RegistrationToken, rp.RegistrationURI = got.AccessToken, got.URI
	if rp.Secrets.ClientSecret.IsZero() {
		// It is what get_client_token is asked with, see clienttoken.go.
		rp.Secrets.ClientSecret = newSecret()
	}
}

// registration is the client's metadata as the OP takes them (OpenID Connect
// Registration 1.0 section 2).
func (rp *RP) registration(op *provider) (as.ClientMetadata, error) {
	m := rp.Metadata
	out := as.ClientMetadata{
		Name: m.ClientName, RedirectURIs: []string{m.RedirectURI}, AuthMethod: rp.AuthMethod, JWKSURI: m.JWKSURI, Extra: map[string]any{},
	}
	set := func(name string, value any, present bool) {
		if present {
			out.Extra[name] = value
		}
	}
	out.GrantTypes = op.grants(m.GrantTypes)
	if scope := op.registrable(m.Scope); len(scope) > 0 {
		out.Scope = strings.Join(scope, " ")
	}
	if rp.AuthMethod == clientauth.PrivateKeyJWT {
		if m.JWKSURI != "" {
			return out, fail(CodeBadRequest, "client_jwks_uri with private_key_jwt: umagate signs with a key of its own and registers it; leave client_jwks_uri out")
		}
		key, err := clientauth.ParseJWK(rp.Secrets.Key, "")
		if err != nil {
			return out, err
		}
		if out.JWKS, err = clientauth.JWKS([]clientauth.PublicKey{{Key: key}}); err != nil {
			return out, err
		}
	}
	set("token_endpoint_auth_signing_alg", rp.AuthAlg, rp.AuthAlg != "")
	set("application_type", m.ApplicationType, m.ApplicationType != "")
	set("response_types", registeredResponseTypes(m.ResponseTypes), len(m.ResponseTypes) > 0)
	set("post_logout_redirect_uris", []string{m.PostLogoutRedirectURI}, m.PostLogoutRedirectURI != "")
	set("contacts", m.Contacts, len(m.Contacts) > 0)
	set("request_uris", m.RequestURIs, len(m.RequestURIs) > 0)
	set("sector_identifier_uri", m.SectorIdentifierURI, m.SectorIdentifierURI != "")
	set("subject_type", "pairwise", m.SectorIdentifierURI != "" && op.supportsPairwise())
	// An AS without claims interaction may refuse the member.
	set("claims_redirect_uris", m.ClaimsRedirectURIs, len(m.ClaimsRedirectURIs) > 0 && op.server.Metadata().ClaimsInteractionEndpoint != "")
	// What the OP does not know by name it may refuse; the request has them anyway.
	acr := intersect(m.ACRValues, op.metadata.ACRValues)
	set("default_acr_values", acr, len(acr) > 0)
	if m.TrustedClient != nil && op.dialect() == as.DialectGluu {
		set("trusted_client", *m.TrustedClient, true)
	}
	switch logout := m.FrontchannelLogout; {
	case len(logout) == 0:
	case op.dialect() == as.DialectGluu:
		set("frontchannel_logout_uri", logout, true)
	case len(logout) > 1:
		return out, fail(CodeBadRequest, "client_frontchannel_logout_uris has several addresses, and this OP takes one (OpenID Connect Front-Channel Logout 1.0 section 2)")
	default:
		set("frontchannel_logout_uri", logout[0], true)
	}
	return out, nil
}

// registeredResponseTypes adds what an authorization request asks with: all of
// them at once.
func registeredResponseTypes(types []string) []string {
	joined := responseType(types)
	if slices.Contains(types, joined) {
		return types
	}
	return append(slices.Clone(types), joined)
}

// responseType is the response_type of a request: each word once, in the order of
// the site.
func responseType(types []string) string {
	var words []string
	for _, t := range types {
		for word := range strings.FieldsSeq(t) {
			if !slices.Contains(words, word) {
				words = append(words, word)
			}
		}
	}
	return strings.Join(words, " ")
}

func intersect(a, b []string) []string {
	var out []string
	for _, s := range a {
		if slices.Contains(b, s) {
			out = append(out, s)
		}
	}
	return out
}

// opFailure returns the error of a call that package as made: the OP's status as a
// code, its own words as the description.
func opFailure(err error, what string) *Error {
	e, ok := errors.AsType[*as.Error](err)
	switch {
	case !ok:
		return asError(err)
	case errors.Is(e.Kind, as.ErrMissingEndpoint):
		return fail(CodeBadRequest, "%s: it names no such endpoint", what).because(err)
	case e.Status >= 400:
		return (&Error{Code: CodeHTTPStatus(e.Status), Description: wordsOf(e)}).because(err)
	default:
		return (&Error{Code: CodeInternal, Description: what + "."}).because(err)
	}
}
