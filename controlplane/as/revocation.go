package as

import (
	"context"
	"net/http"
	"net/url"

	"github.com/umagate/umagate/controlplane/clientauth"
	"github.com/umagate/umagate/controlplane/secret"
)

// Revoke revokes an access token (RFC 7009). An AS may let a client revoke only
// what it was issued itself, as Keycloak does: the error then says so. That a
// token is not known is no error (section 2.2).
func (s *Server) Revoke(ctx context.Context, auth clientauth.Auth, token secret.Text) error {
	const op = "revoke a token"
	address := s.revocationEndpoint()
	if address == "" {
		return &Error{Op: op, Kind: ErrMissingEndpoint, Description: "revocation_endpoint"}
	}
	_, err := s.doProved(ctx, call{
		operation: OperationRevocation, op: op, method: http.MethodPost, url: address,
		form:  url.Values{"token": {token.Reveal()}, "token_type_hint": {"access_token"}},
		kinds: map[int]error{http.StatusUnauthorized: ErrClientRefused},
	}, auth, address, nil)
	return err
}

// CanRevoke says whether the AS has a revocation endpoint.
func (s *Server) CanRevoke() bool { return s.revocationEndpoint() != "" }

// revocationEndpoint is that of the metadata. Keycloak's UMA document leaves it
// out: then it is where that AS has it when nobody changed it.
func (s *Server) revocationEndpoint() string {
	if s.metadata.RevocationEndpoint != "" || s.dialect.endpoints == nil {
		return s.metadata.RevocationEndpoint
	}
	return s.dialect.endpoints(s.metadata).Revocation
}

// HTTPClient is what this package calls the AS with: it trusts what the
// configuration says, bounds answers, and follows no redirect. It is shared; do
// not change it.
func (s *Server) HTTPClient() *http.Client { return s.caller.client }
