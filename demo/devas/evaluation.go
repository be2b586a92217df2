package devas

import (
	"net/http"
	"slices"
	"strings"
)

// serveEvaluation is the UMA grant as Keycloak has it besides the specification's: the
// requesting party's access token is the credential, and permissions stand in place of a
// ticket.
func (s *Server) serveEvaluation(w http.ResponseWriter, r *http.Request) error {
	t, ok := s.state.activeToken(bearer(r), s.now())
	if !ok {
		return newError(http.StatusBadRequest, "invalid_grant", "Invalid bearer token")
	}
	server, ok := s.state.client(r.PostForm.Get("audience"))
	if !ok {
		return newError(http.StatusBadRequest, "invalid_request", "Unknown resource server id: ["+r.PostForm.Get("audience")+"]")
	}
	asked, err := s.wantedPermissions(server.ID, r.PostForm["permission"])
	if err != nil {
		return err
	}
	who := party{clientID: t.clientID, user: t.user}
	granted, _ := s.assess(asked, who)
	if len(granted) == 0 {
		return newError(http.StatusForbidden, "access_denied", "not_authorized")
	}
	mode, given := r.PostForm["response_mode"]
	switch {
	case !given:
		return reply(w)(s.issueRPT(&ticket{resourceServer: server.ID}, granted, who, nil))
	case mode[0] == "permissions":
		list := []map[string]any{}
		for _, p := range granted {
			list = append(list, map[string]any{"rsid": p.resourceID, "rsname": p.name, "scopes": p.scopes})
		}
		writeJSON(w, http.StatusOK, list)
		return nil
	case mode[0] == "decision":
		writeJSON(w, http.StatusOK, map[string]bool{"result": true})
		return nil
	}
	return invalidRequest("Invalid response_mode")
}

// wantedPermissions reads what is asked for: by ids or names of resources.
func (s *Server) wantedPermissions(resourceServer string, wanted []string) ([]permission, error) {
	var asked []permission
	if len(wanted) == 0 {
		for _, res := range s.Resources() {
			if res.ResourceServer == resourceServer {
				asked = append(asked, permission{resourceID: res.ID, name: res.Name, scopes: res.Scopes})
			}
		}
		return asked, nil
	}
	for _, text := range wanted {
		id, scopes, _ := strings.Cut(text, "#")
		res, ok := s.resourceOf(resourceServer, id)
		if !ok {
			return nil, newError(http.StatusBadRequest, "invalid_resource", "Resource with id ["+id+"] does not exist.")
		}
		p := permission{resourceID: res.ID, name: res.Name, scopes: res.Scopes}
		if scopes != "" {
			p.scopes = strings.Split(scopes, ",")
		}
		for _, scope := range p.scopes {
			if !slices.Contains(res.Scopes, scope) {
				return nil, newError(http.StatusBadRequest, "invalid_scope", "One of the given scopes ["+scope+"] is invalid")
			}
		}
		asked = addPermission(asked, p)
	}
	return asked, nil
}

// resourceOf finds a resource of a resource server, by its id or else by its name.
func (s *Server) resourceOf(resourceServer, name string) (*Resource, bool) {
	if res, ok := s.state.resource(name); ok && res.ResourceServer == resourceServer {
		return res, true
	}
	for _, res := range s.Resources() {
		if res.Name == name && res.ResourceServer == resourceServer {
			return &res, true
		}
	}
	return nil, false
}
