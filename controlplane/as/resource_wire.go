package as

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// wireResource reads a resource as ASs write it: the id in each of its spellings,
// and scopes as strings or as objects with a name.
type wireResource struct {
	ID      string `json:"_id"`
	PlainID string `json:"id"`
	// WSO2 Identity Server has had these two, and resource_scope.
	ResourceID      string       `json:"resource_id"`
	CamelResourceID string       `json:"resourceId"`
	Name            string       `json:"name"`
	Type            string       `json:"type"`
	IconURI         string       `json:"icon_uri"`
	Description     string       `json:"description"`
	Scopes          *[]wireScope `json:"resource_scopes"`
	ScopesSingular  *[]wireScope `json:"resource_scope"`
	// Keycloak's deep list has no resource_scopes.
	PlainScopes *[]wireScope `json:"scopes"`
	URIs        []string     `json:"uris"`
	Expires     int64        `json:"exp"`
	Owner       wireOwner    `json:"owner"`
}

type wireScope string

func (s *wireScope) UnmarshalJSON(data []byte) error {
	var plain string
	if err := json.Unmarshal(data, &plain); err == nil {
		*s = wireScope(plain)
		return nil
	}
	var object struct {
		Name string `json:"name"`
	}
	if err := json.Unmarshal(data, &object); err != nil {
		return fmt.Errorf("%w: a scope is neither a string nor an object with a name", ErrMalformed)
	}
	*s = wireScope(object.Name)
	return nil
}

func (w wireResource) id() string {
	for _, id := range []string{w.ID, w.PlainID, w.ResourceID, w.CamelResourceID} {
		if id != "" {
			return id
		}
	}
	return ""
}

func (w wireResource) scopes() *[]wireScope {
	for _, s := range []*[]wireScope{w.Scopes, w.ScopesSingular, w.PlainScopes} {
		if s != nil {
			return s
		}
	}
	return nil
}

// describes reports whether there is more than an id.
func (w wireResource) describes() bool {
	return w.Name != "" || w.Type != "" || w.scopes() != nil
}

func (w wireResource) resource(d Dialect) Resource {
	out := Resource{ID: w.id(), Name: w.Name, Type: w.Type, IconURI: w.IconURI, Description: w.Description}
	if d.Owner.Member != "" {
		out.Owner, out.OwnerName = w.Owner.id, w.Owner.name
	}
	if scopes := w.scopes(); scopes != nil {
		for _, s := range *scopes {
			out.Scopes = append(out.Scopes, string(s))
		}
	}
	slices.Sort(out.Scopes)
	if d.URIs && len(w.URIs) > 0 {
		out.URIs = slices.Sorted(slices.Values(w.URIs))
	}
	if d.Lifetime > 0 && w.Expires > 0 {
		out.ExpiresAt = time.Unix(w.Expires, 0)
	}
	return out
}

// wireEntry reads an entry of a list: an id, or an object with one.
type wireEntry struct{ wireResource }

func (e *wireEntry) UnmarshalJSON(data []byte) error {
	var plain string
	if err := json.Unmarshal(data, &plain); err == nil {
		e.ID = plain
		return nil
	}
	if err := json.Unmarshal(data, &e.wireResource); err != nil {
		return fmt.Errorf("%w: an entry of the list is neither an id nor an object with one", ErrMalformed)
	}
	return nil
}
