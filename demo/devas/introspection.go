package devas

import (
	"maps"
	"net/http"
	"slices"
	"strings"
)

// serveIntrospection is the introspection endpoint (RFC 7662; UMA Federated
// Authorization section 5).
func (s *Server) serveIntrospection(w http.ResponseWriter, r *http.Request) error {
	if err := readForm(r); err != nil {
		return err
	}
	caller, err := s.introspectionCaller(r)
	if err != nil {
		return err
	}
	value := r.PostForm.Get("token")
	if value == "" {
		return invalidRequest("token is missing")
	}
	t, ok := s.state.activeToken(value, s.now())
	foreign := ok && s.options.Dialect.IntrospectionAudience && !slices.Contains(t.audience, caller)
	if !ok || foreign || (t.rpt && t.resourceServer != caller) {
		writeJSON(w, http.StatusOK, map[string]any{"active": false})
		return nil
	}
	writeJSON(w, http.StatusOK, s.describeToken(t, r.PostForm.Get("token_type_hint")))
	return nil
}

// introspectionCaller returns the resource server that asks: by its PAT or by client
// authentication.
func (s *Server) introspectionCaller(r *http.Request) (string, error) {
	if bearer(r) != "" {
		if s.options.Dialect.IntrospectionClientAuth {
			return "", invalidClient("Authentication failed.")
		}
		pat, err := s.protection(r)
		if err != nil {
			return "", err
		}
		return pat.clientID, nil
	}
	client, err := s.authenticateClient(r)
	if err != nil {
		return "", err
	}
	if client.TokenEndpointAuthMethod == AuthNone {
		return "", invalidClient("introspection needs a confidential client")
	}
	return client.ID, nil
}

func (s *Server) describeToken(t *token, hint string) map[string]any {
	d := map[string]any{
		"active": true, "exp": t.expires.Unix(), "iat": t.issued.Unix(), "nbf": t.notBefore.Unix(), "jti": t.jti, "aud": oneOrMany(t.audience),
	}
	if s.options.Dialect.IntrospectionHint && hint == "requesting_party_token" {
		if t.rpt {
			d["permissions"] = s.describePermissions(s.livePermissions(t), true)
		}
		return d
	}
	d["iss"], d["client_id"], d["sub"], d["token_type"] = s.Issuer(), t.clientID, t.subject, "Bearer"
	if t.user != "" {
		if user, ok := s.state.user(t.user); ok {
			maps.Copy(d, user.Claims)
		}
		d["username"] = t.user
	}
	if t.session != "" {
		d["sid"] = t.session
	}
	if len(t.scopes) > 0 {
		d["scope"] = strings.Join(t.scopes, " ")
	}
	if t.rpt && !s.options.Dialect.IntrospectionHint {
		d["permissions"] = s.describePermissions(s.livePermissions(t), true)
	}
	return d
}

// livePermissions are those of an RPT that still hold: their time is not over,
// the resource is there with those scopes, and, with LiveIntrospection, the
// policies still say so.
func (s *Server) livePermissions(t *token) []permission {
	if s.options.Dialect.SnapshotRPT && !s.options.LiveIntrospection {
		return t.permissions
	}
	who := party{clientID: t.clientID, user: t.user}
	var live []permission
	for _, p := range t.permissions {
		res, ok := s.state.resource(p.resourceID)
		if !ok || !s.now().Before(p.expires) {
			continue
		}
		var scopes []string
		for _, scope := range p.scopes {
			if slices.Contains(res.Scopes, scope) && (!s.options.LiveIntrospection || s.permits(res, scope, who)) {
				scopes = append(scopes, scope)
			}
		}
		if len(scopes) > 0 || (len(p.scopes) == 0 && !s.options.LiveIntrospection) {
			p.scopes = scopes
			live = append(live, p)
		}
	}
	return live
}
