package as

import (
	"context"
	"errors"
	"maps"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Resource is one resource registration (UMA Federated Authorization section
// 3.1).
type Resource struct {
	// ID is the resource_id; empty before the registration.
	ID          string
	Name        string
	Type        string
	IconURI     string
	Description string
	// URIs are addresses of the resource, where the AS has such a member; nil says
	// nothing of them.
	URIs []string
	// Scopes are the resource_scopes, sorted when they come from the AS.
	Scopes []string
	// ExpiresAt is when the AS will forget the resource by itself; zero where it
	// does not. It is asked for by the dialect, not by the caller.
	ExpiresAt time.Time
	// Owner is the subject of the person it belongs to, where the AS tells and can be
	// told ([OwnerDialect]). In [Protection.Create] empty is the resource server, and a user
	// name will do where the AS tells it: what Create returns has the subject.
	Owner string
	// OwnerName is the owner's user name, where the AS tells it.
	OwnerName string
}

// members is what this package sets in a resource; nil stands for absent.
func (r Resource) members(d Dialect, now time.Time) map[string]any {
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
	if d.URIs && r.URIs != nil {
		out["uris"] = r.URIs
	}
	if d.Lifetime > 0 {
		out["exp"] = min(now.Add(d.Lifetime).Unix(), math.MaxInt32)
	}
	return out
}

// body is what is sent: members over the AS's own of kept.
func (r Resource) body(d Dialect, now time.Time, kept map[string]any) map[string]any {
	out := map[string]any{}
	maps.Copy(out, kept)
	for _, name := range d.DropOnUpdate {
		delete(out, name)
	}
	for name, value := range r.members(d, now) {
		if value == nil {
			delete(out, name)
			continue
		}
		out[name] = value
	}
	return out
}

// Normalize returns r as this AS can keep it.
func (p *Protection) Normalize(r Resource) Resource {
	if !p.server.dialect.Description {
		r.Description = ""
	}
	if !p.server.dialect.URIs {
		r.URIs = nil
	}
	return r
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
// name exists. ErrOwner: it cannot be registered for r.Owner. An AS whose dialect
// knows no owners registers it for who the PAT belongs to.
func (p *Protection) Create(ctx context.Context, r Resource) (Resource, error) {
	if r.Owner != "" && p.server.dialect.Owner.Member != "" {
		return p.createFor(ctx, r)
	}
	in := call{
		operation: OperationResource, op: "register resource " + strconv.Quote(r.Name), method: http.MethodPost,
		url: p.server.metadata.ResourceRegistrationEndpoint, json: r.body(p.server.dialect, p.server.caller.now(), nil),
	}
	var got wireResource
	out, err := p.do(ctx, in, &got)
	if err != nil {
		return Resource{}, err
	}
	r.ID = got.id()
	if r.ID == "" {
		return Resource{}, in.malformed(out, "_id is missing")
	}
	return r, nil
}

// Read reads a registration. ErrNotFound: the AS has none of that id.
func (p *Protection) Read(ctx context.Context, id string) (Resource, error) {
	in := call{operation: OperationResource, op: "read resource " + strconv.Quote(id), method: http.MethodGet, url: p.resourceURL(id)}
	var got wireResource
	answered, err := p.do(ctx, in, &got)
	if err != nil {
		return Resource{}, err
	}
	// An empty document would look like a resource that somebody has emptied, and
	// another's like one that somebody has changed.
	switch {
	case !got.describes():
		return Resource{}, in.malformed(answered, "it has no member of a resource description")
	case got.id() != "" && got.id() != id:
		return Resource{}, in.malformed(answered, "it is resource "+clip(got.id()))
	}
	out := got.resource(p.server.dialect)
	out.ID = id
	return out, nil
}

// Update makes the registration of r.ID equal to r. ErrNotFound: the AS has none
// of that id.
func (p *Protection) Update(ctx context.Context, r Resource) error {
	op := "update resource " + strconv.Quote(r.Name)
	var kept map[string]any
	if p.server.dialect.MergeOnUpdate {
		if _, err := p.do(ctx, call{operation: OperationResource, op: op, method: http.MethodGet, url: p.resourceURL(r.ID)}, &kept); err != nil {
			return err
		}
	}
	_, err := p.do(ctx, call{operation: OperationResource, op: op, method: http.MethodPut, url: p.resourceURL(r.ID), json: r.body(p.server.dialect, p.server.caller.now(), kept)}, nil)
	return err
}

// Delete removes a registration; one that is gone already is no error.
func (p *Protection) Delete(ctx context.Context, id string) error {
	_, err := p.do(ctx, call{operation: OperationResource, op: "delete resource " + strconv.Quote(id), method: http.MethodDelete, url: p.resourceURL(id)}, nil)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}
