package as

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
)

// maxPages bounds a list that never ends.
const maxPages = 10_000

// Resource is one resource registration (UMA Federated Authorization section
// 3.1).
type Resource struct {
	// ID is the resource_id; empty before the registration.
	ID          string
	Name        string
	Type        string
	IconURI     string
	Description string
	// Scopes are the resource_scopes, sorted when they come from the AS.
	Scopes []string
}

// wireResource reads both spellings of the id, and scopes as strings or as
// objects with a name.
type wireResource struct {
	ID          string      `json:"_id"`
	PlainID     string      `json:"id"`
	Name        string      `json:"name"`
	Type        string      `json:"type"`
	IconURI     string      `json:"icon_uri"`
	Description string      `json:"description"`
	Scopes      []wireScope `json:"resource_scopes"`
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

func (w wireResource) resource() Resource {
	out := Resource{ID: w.ID, Name: w.Name, Type: w.Type, IconURI: w.IconURI, Description: w.Description}
	if out.ID == "" {
		out.ID = w.PlainID
	}
	for _, s := range w.Scopes {
		out.Scopes = append(out.Scopes, string(s))
	}
	slices.Sort(out.Scopes)
	return out
}

// members is what this package sets in a resource; nil stands for absent.
func (r Resource) members(d Dialect) map[string]any {
	scopes := r.Scopes
	if scopes == nil {
		scopes = []string{}
	}
	out := map[string]any{"resource_scopes": scopes}
	set := func(name, value string) {
		out[name] = nil
		if value != "" {
			out[name] = value
		}
	}
	set("name", r.Name)
	set("type", r.Type)
	set("icon_uri", r.IconURI)
	if d.Description {
		set("description", r.Description)
	}
	return out
}

// body is what is sent: members over the AS's own of kept.
func (r Resource) body(d Dialect, kept map[string]any) map[string]any {
	out := map[string]any{}
	maps.Copy(out, kept)
	for _, name := range d.DropOnUpdate {
		delete(out, name)
	}
	for name, value := range r.members(d) {
		if value == nil {
			delete(out, name)
			continue
		}
		out[name] = value
	}
	return out
}

func (p *Protection) resourceURL(id string) string {
	base := p.server.metadata.ResourceRegistrationEndpoint
	u, err := url.Parse(base)
	if base == "" || err != nil {
		return base
	}
	return u.JoinPath(url.PathEscape(id)).String()
}

// Create registers a resource and gives it with its id. ErrConflict: one of that
// name exists.
func (p *Protection) Create(ctx context.Context, r Resource) (Resource, error) {
	in := call{
		op: "register resource " + strconv.Quote(r.Name), method: http.MethodPost,
		url: p.server.metadata.ResourceRegistrationEndpoint, json: r.body(p.server.dialect, nil),
	}
	var got wireResource
	out, err := p.do(ctx, in, &got)
	if err != nil {
		return Resource{}, err
	}
	r.ID = got.resource().ID
	if r.ID == "" {
		return Resource{}, &Error{
			Op: in.op, Method: in.method, URL: printableURL(in.url), Status: out.status, Kind: ErrMalformed,
			Description: "_id is missing",
		}
	}
	return r, nil
}

// Read reads a registration. ErrNotFound: the AS has none of that id.
func (p *Protection) Read(ctx context.Context, id string) (Resource, error) {
	var got wireResource
	_, err := p.do(ctx, call{op: "read resource " + strconv.Quote(id), method: http.MethodGet, url: p.resourceURL(id)}, &got)
	if err != nil {
		return Resource{}, err
	}
	out := got.resource()
	if out.ID == "" {
		out.ID = id
	}
	return out, nil
}

// Update makes the registration of r.ID equal to r. ErrNotFound: the AS has none
// of that id.
func (p *Protection) Update(ctx context.Context, r Resource) error {
	op := "update resource " + strconv.Quote(r.Name)
	var kept map[string]any
	if p.server.dialect.MergeOnUpdate {
		if _, err := p.do(ctx, call{op: op, method: http.MethodGet, url: p.resourceURL(r.ID)}, &kept); err != nil {
			return err
		}
	}
	_, err := p.do(ctx, call{op: op, method: http.MethodPut, url: p.resourceURL(r.ID), json: r.body(p.server.dialect, kept)}, nil)
	return err
}

// Delete removes a registration; one that is gone already is no error.
func (p *Protection) Delete(ctx context.Context, id string) error {
	_, err := p.do(ctx, call{op: "delete resource " + strconv.Quote(id), method: http.MethodDelete, url: p.resourceURL(id)}, nil)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// List gives the ids of all registrations that the PAT sees, page after page.
func (p *Protection) List(ctx context.Context) ([]string, error) {
	size := p.server.dialect.PageSize
	if size == 0 {
		return p.page(ctx, nil)
	}
	var all []string
	for page := range maxPages {
		ids, err := p.page(ctx, url.Values{"first": {strconv.Itoa(page * size)}, "max": {strconv.Itoa(size)}})
		if err != nil {
			return nil, err
		}
		all = append(all, ids...)
		if len(ids) < size {
			break
		}
	}
	return all, nil
}

// FindByName gives the registrations that have exactly that name. With a dialect
// that searches each, it reads every one: for many names, build an index from
// [Protection.List] instead.
func (p *Protection) FindByName(ctx context.Context, name string) ([]Resource, error) {
	var ids []string
	var err error
	switch p.server.dialect.Names {
	case SearchExactName:
		ids, err = p.page(ctx, url.Values{"name": {name}, "exactName": {"true"}})
	case SearchEach:
		ids, err = p.List(ctx)
	}
	if err != nil {
		return nil, err
	}
	var out []Resource
	for _, id := range ids {
		r, err := p.Read(ctx, id)
		switch {
		case errors.Is(err, ErrNotFound):
			continue // removed since the list was made
		case err != nil:
			return nil, err
		}
		// The search may compare without case.
		if r.Name == name {
			out = append(out, r)
		}
	}
	return out, nil
}

// FindsByName says whether [Protection.FindByName] is one query.
func (p *Protection) FindsByName() bool { return p.server.dialect.Names == SearchExactName }

func (p *Protection) page(ctx context.Context, query url.Values) ([]string, error) {
	address := p.server.metadata.ResourceRegistrationEndpoint
	if u, err := url.Parse(address); err == nil && query != nil {
		merged := u.Query()
		maps.Copy(merged, query)
		u.RawQuery = merged.Encode()
		address = u.String()
	}
	var entries []wireID
	if _, err := p.do(ctx, call{op: "list the resources", method: http.MethodGet, url: address}, &entries); err != nil {
		return nil, err
	}
	ids := make([]string, 0, len(entries))
	for _, e := range entries {
		if e != "" {
			ids = append(ids, string(e))
		}
	}
	return ids, nil
}

// wireID reads an entry of a list: an id, or an object with one.
type wireID string

func (id *wireID) UnmarshalJSON(data []byte) error {
	var plain string
	if err := json.Unmarshal(data, &plain); err == nil {
		*id = wireID(plain)
		return nil
	}
	var object wireResource
	if err := json.Unmarshal(data, &object); err != nil {
		return fmt.Errorf("%w: an entry of the list is neither an id nor an object with one", ErrMalformed)
	}
	*id = wireID(object.resource().ID)
	return nil
}
