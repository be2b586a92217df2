package devas

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"slices"
)

// permissionRequest is one entry of a permission request (UMA Federated
// Authorization section 4.1).
type permissionRequest struct {
	ResourceID string   `json:"resource_id"`
	Scopes     []string `json:"resource_scopes"`
}

// servePermission is the permission endpoint: it makes a permission ticket.
func (s *Server) servePermission(w http.ResponseWriter, r *http.Request) error {
	pat, err := s.protection(r)
	if err != nil {
		return err
	}
	asked, err := s.readPermissions(r)
	if err != nil {
		return err
	}
	now := s.now()
	t := &ticket{value: randomToken(), resourceServer: pat.clientID, expires: now.Add(s.options.Lifetimes.Ticket)}
	for _, a := range asked {
		res, ok := s.state.resource(a.ResourceID)
		if !ok || res.ResourceServer != pat.clientID {
			return newError(http.StatusBadRequest, "invalid_resource_id", "resource "+a.ResourceID+" is not registered by this resource server")
		}
		for _, scope := range a.Scopes {
			if !slices.Contains(res.Scopes, scope) {
				return invalidScope("resource " + res.ID + " has no scope " + scope)
			}
		}
		t.permissions = addPermission(t.permissions, permission{resourceID: res.ID, name: res.Name, scopes: a.Scopes})
	}
	s.state.mu.Lock()
	s.state.tickets[t.value] = t
	s.state.mu.Unlock()
	writeJSON(w, http.StatusCreated, map[string]string{"ticket": t.value})
	return nil
}

func (s *Server) readPermissions(r *http.Request) ([]permissionRequest, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, bodyError(err)
	}
	var list []permissionRequest
	if trimmed := bytes.TrimSpace(body); len(trimmed) > 0 && trimmed[0] == '[' {
		err = json.Unmarshal(body, &list)
	} else if !s.options.Dialect.PermissionArray {
		list = make([]permissionRequest, 1)
		err = json.Unmarshal(body, &list[0])
	} else {
		return nil, invalidRequest("the body must be an array")
	}
	switch {
	case err != nil:
		return nil, invalidRequest("the body is not a permission request: " + err.Error())
	case len(list) == 0 && s.options.Dialect.PermissionArray:
		return nil, newError(http.StatusBadRequest, "invalid_permission_request", "Invalid permission request.")
	case len(list) == 0:
		return nil, invalidRequest("the array is empty")
	}
	for _, p := range list {
		if p.ResourceID == "" {
			return nil, invalidRequest("resource_id is missing")
		}
		if p.Scopes == nil && !s.options.Dialect.PermissionArray {
			return nil, invalidRequest("resource_scopes is missing")
		}
	}
	return list, nil
}

// addPermission joins the scopes of the same resource.
func addPermission(list []permission, p permission) []permission {
	for i := range list {
		if list[i].resourceID == p.resourceID {
			merged := p
			merged.scopes = union(list[i].scopes, p.scopes)
			next := slices.Clone(list)
			next[i] = merged
			return next
		}
	}
	p.scopes = union(nil, p.scopes)
	return append(slices.Clone(list), p)
}

func union(a, b []string) []string {
	out := append([]string{}, a...)
	for _, s := range b {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// describePermissions writes permissions as the dialect does: in a token, or,
// with both spellings, in an introspection answer.
func (s *Server) describePermissions(list []permission, introspection bool) []map[string]any {
	out := []map[string]any{}
	for _, p := range list {
		m := map[string]any{}
		if s.options.Dialect.PermissionNames {
			m["rsid"], m["rsname"], m["scopes"] = p.resourceID, p.name, p.scopes
		}
		if introspection || !s.options.Dialect.PermissionNames {
			m["resource_id"], m["resource_scopes"] = p.resourceID, p.scopes
		}
		if !s.options.Dialect.PermissionNames {
			m["iat"], m["nbf"], m["exp"] = p.issued.Unix(), p.issued.Unix(), p.expires.Unix()
		}
		out = append(out, m)
	}
	return out
}
