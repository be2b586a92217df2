package as

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"

	"github.com/umagate/umagate/controlplane/clientauth"
	"github.com/umagate/umagate/controlplane/secret"
)

// Introspect asks the AS about a token (RFC 7662) with the credential that the
// dialect names, and gives the answer as it came: reading it is the business of
// plugin/uma, so that `umagate check` and the filter read alike.
func (s *Server) Introspect(ctx context.Context, auth clientauth.Auth, pats *PATSource, token secret.Text) (json.RawMessage, error) {
	return s.IntrospectAs(ctx, auth, pats, token, s.dialect.TokenTypeHint)
}

// IntrospectAs is [Server.Introspect] with another token_type_hint; none when
// empty. A token that is no RPT is asked about without the dialect's.
func (s *Server) IntrospectAs(ctx context.Context, auth clientauth.Auth, pats *PATSource, token secret.Text, hint string) (json.RawMessage, error) {
	in := call{
		operation: OperationIntrospection, op: "introspect the token", method: http.MethodPost, url: s.metadata.IntrospectionEndpoint,
		form: url.Values{"token": {token.Reveal()}}, raw: true,
	}
	if hint != "" {
		in.form.Set("token_type_hint", hint)
	}
	var got json.RawMessage
	if s.dialect.Introspection == CredentialPAT {
		_, err := s.Protection(pats).do(ctx, in, &got)
		return got, err
	}
	in.kinds = map[int]error{http.StatusUnauthorized: ErrClientRefused, http.StatusForbidden: ErrClientRefused}
	_, err := s.doProved(ctx, in, auth, s.audience, &got)
	return got, err
}
