package devas

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
)

// Resource is a resource registered by a resource server (UMA Federated
// Authorization section 3.1).
type Resource struct {
	ID string `json:"id"`
	// ResourceServer is the client_id of the resource server.
	ResourceServer string `json:"resource_server"`
	// Owner is the name of the person it belongs to; empty when it belongs to the
	// resource server itself.
	Owner string `json:"owner,omitempty"`
	// AskOwner answers request_submitted, not request_denied, to who has no
	// permission: the owner is asked (see [Server.Requests]).
	AskOwner bool `json:"ask_owner,omitempty"`

	Name        string   `json:"name,omitempty"`
	Type        string   `json:"type,omitempty"`
	Description string   `json:"description,omitempty"`
	IconURI     string   `json:"icon_uri,omitempty"`
	Scopes      []string `json:"resource_scopes"`

	// product holds members of the dialect that are stored and read back.
	product productMembers
}

type productMembers struct {
	URIs               []string            `json:"uris,omitempty"`
	DisplayName        string              `json:"displayName,omitempty"`
	OwnerManagedAccess bool                `json:"ownerManagedAccess,omitempty"`
	Attributes         map[string][]string `json:"attributes,omitempty"`
}

// resourceDescription is what a resource server sends. A scope may be a string
// or, in some products, an object with a name.
type resourceDescription struct {
	ID          string          `json:"_id"`
	Scopes      []scopeName     `json:"resource_scopes"`
	OtherScopes []scopeName     `json:"scopes"`
	Name        string          `json:"name"`
	Type        string          `json:"type"`
	IconURI     string          `json:"icon_uri"`
	OtherIcon   string          `json:"iconUri"`
	Owner       json.RawMessage `json:"owner"`
	productMembers
}

type scopeName string

// UnmarshalJSON reads a string or an object with a name.
func (n *scopeName) UnmarshalJSON(b []byte) error {
	var text string
	if json.Unmarshal(b, &text) == nil {
		*n = scopeName(text)
		return nil
	}
	var object struct {
		Name string `json:"name"`
	}
	if err := json.Unmarshal(b, &object); err != nil {
		return err //nolint:wrapcheck // encoding/json names the place.
	}
	*n = scopeName(object.Name)
	return nil
}

// describedResource adds the member that the dialect refuses.
type describedResource struct {
	resourceDescription
	Description string `json:"description"`
}

func (s *Server) readDescription(r *http.Request) (describedResource, error) {
	var d describedResource
	if s.options.Dialect.StrictResources {
		if err := readJSON(r, &d.resourceDescription, true); err != nil {
			return d, err
		}
	} else if err := readJSON(r, &d, false); err != nil {
		return d, err
	}
	d.Scopes = append(d.Scopes, d.OtherScopes...)
	if slices.Contains(d.Scopes, "") {
		return d, invalidRequest("resource_scopes has an empty scope")
	}
	if s.options.Dialect.StrictResources && d.Name == "" {
		return d, invalidRequest("Resource must have a name")
	}
	if !s.options.Dialect.StrictResources && d.Scopes == nil {
		return d, invalidRequest("resource_scopes is missing")
	}
	return d, nil
}

func (d describedResource) apply(to *Resource) {
	to.Name, to.Type, to.Description, to.IconURI = d.Name, d.Type, d.Description, d.IconURI
	if to.IconURI == "" {
		to.IconURI = d.OtherIcon
	}
	to.Scopes = []string{}
	for _, scope := range d.Scopes {
		if !slices.Contains(to.Scopes, string(scope)) {
			to.Scopes = append(to.Scopes, string(scope))
		}
	}
	attributes := to.product.Attributes
	to.product = d.productMembers
	if d.Attributes == nil {
		to.product.Attributes = attributes
	}
}

// protection returns the PAT of a request to the protection API.
func (s *Server) protection(r *http.Request) (*token, error) {
	t, ok := s.state.activeToken(bearer(r), s.now())
	if ok && t.pat && !t.rpt {
		return t, nil
	}
	if s.options.Dialect.ForbiddenPAT {
		return nil, newError(http.StatusForbidden, "invalid_bearer_token", "Could not obtain bearer access_token from request.")
	}
	if ok {
		e := newError(http.StatusForbidden, "insufficient_scope", "the scope uma_protection is needed")
		e.header = http.Header{"Www-Authenticate": {`Bearer realm="devas", error="insufficient_scope", scope="uma_protection"`}}
		return nil, e
	}
	return nil, bearerRefused("the PAT is missing, unknown or expired")
}

// serveResources registers a resource or lists those of the PAT.
func (s *Server) serveResources(w http.ResponseWriter, r *http.Request) error {
	pat, err := s.protection(r)
	if err != nil {
		return err
	}
	switch r.Method {
	case http.MethodGet:
		return s.listResources(w, r, pat)
	case http.MethodPost:
		return s.registerResource(w, r, pat)
	default:
		return methodNotAllowed(http.MethodGet, http.MethodPost)
	}
}

func (s *Server) registerResource(w http.ResponseWriter, r *http.Request, pat *token) error {
	d, err := s.readDescription(r)
	if err != nil {
		return err
	}
	res := &Resource{ID: randomID(), ResourceServer: pat.clientID, Owner: pat.user}
	d.apply(res)
	if err := s.addResource(res); err != nil {
		return err
	}
	if !s.options.Dialect.NoLocation {
		w.Header().Set("Location", s.endpoint(s.options.Dialect.Paths.Resources)+"/"+res.ID)
	}
	if s.options.Dialect.ResourceObjects {
		writeJSON(w, http.StatusCreated, s.describeResource(res, true))
		return nil
	}
	writeJSON(w, http.StatusCreated, map[string]any{"_id": res.ID, "user_access_policy_uri": s.policyURI(res)})
	return nil
}

func (s *Server) addResource(res *Resource) error {
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	if s.options.Dialect.StrictResources {
		for _, other := range s.state.resources {
			if other.Name == res.Name && other.Owner == res.Owner && other.ResourceServer == res.ResourceServer {
				return newError(http.StatusConflict, "invalid_request", "Resource with name ["+res.Name+"] already exists.")
			}
		}
	}
	s.state.resources[res.ID] = res
	s.state.order = append(s.state.order, res.ID)
	return nil
}

// policyURI is where a person would set policies: here the admin API.
func (s *Server) policyURI(res *Resource) string {
	return strings.TrimSuffix(s.Issuer(), s.prefix) + "/admin/resources/" + res.ID
}

// ownResource returns a resource of the resource server and owner of the PAT.
func (s *Server) ownResource(id string, pat *token) (*Resource, error) {
	res, ok := s.state.resource(id)
	if !ok || res.ResourceServer != pat.clientID || (pat.user != "" && res.Owner != pat.user) {
		return nil, newError(http.StatusNotFound, "not_found", "no resource "+id+" is registered with this PAT")
	}
	return res, nil
}

// serveResource reads, updates or deletes one resource.
func (s *Server) serveResource(w http.ResponseWriter, r *http.Request) error {
	pat, err := s.protection(r)
	if err != nil {
		return err
	}
	switch r.Method {
	case http.MethodGet, http.MethodPut, http.MethodDelete:
	default:
		return methodNotAllowed(http.MethodGet, http.MethodPut, http.MethodDelete)
	}
	res, err := s.ownResource(r.PathValue("id"), pat)
	if err != nil {
		return err
	}
	switch r.Method {
	case http.MethodGet:
		writeJSON(w, http.StatusOK, s.describeResource(res, false))
		return nil
	case http.MethodPut:
		d, err := s.readDescription(r)
		if err != nil {
			return err
		}
		next := *res
		d.apply(&next)
		s.state.mu.Lock()
		s.state.resources[res.ID] = &next
		s.state.mu.Unlock()
		if s.options.Dialect.PutNoContent {
			w.WriteHeader(http.StatusNoContent)
			return nil
		}
		writeJSON(w, http.StatusOK, map[string]any{"_id": res.ID, "user_access_policy_uri": s.policyURI(res)})
		return nil
	default:
		s.state.mu.Lock()
		delete(s.state.resources, res.ID)
		s.state.order = slices.DeleteFunc(s.state.order, func(id string) bool { return id == res.ID })
		s.state.mu.Unlock()
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
}

// describeResource writes a resource as the dialect does. With ids, as Keycloak
// answers a registration, scopes and owner have both id and name; later only one.
func (s *Server) describeResource(res *Resource, ids bool) map[string]any {
	d := map[string]any{"_id": res.ID, "resource_scopes": res.Scopes}
	for k, v := range map[string]string{"name": res.Name, "type": res.Type, "description": res.Description, "icon_uri": res.IconURI} {
		if v != "" {
			d[k] = v
		}
	}
	if !s.options.Dialect.ResourceObjects {
		return d
	}
	scopes := []map[string]string{}
	for _, name := range slices.Backward(res.Scopes) {
		scope := map[string]string{"name": name}
		if ids {
			scope["id"] = "scope-" + name
		}
		scopes = append(scopes, scope)
	}
	owner := map[string]string{"id": res.ResourceServer, "name": res.ResourceServer}
	if u, ok := s.state.user(res.Owner); ok {
		owner = map[string]string{"id": u.ID, "name": u.Name}
	}
	if !ids {
		delete(owner, "name")
	}
	uris, attributes := res.product.URIs, res.product.Attributes
	if uris == nil {
		uris = []string{}
	}
	if attributes == nil {
		attributes = map[string][]string{}
	}
	d["resource_scopes"], d["scopes"], d["owner"] = scopes, scopes, owner
	d["ownerManagedAccess"], d["attributes"], d["uris"] = res.product.OwnerManagedAccess, attributes, uris
	return d
}
