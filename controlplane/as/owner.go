package as

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// ErrOwner means that the AS has registered, or would register, the resource for another
// owner than the one named.
var ErrOwner = errors.New("the authorization server does not give the resource to the owner that is named")

// OwnerDialect is how an AS is told that a resource belongs to a person, although
// the PAT is the resource server's. The zero value says that it cannot be told:
// who the PAT belongs to owns the resource (UMA Federated Authorization section 3.2).
type OwnerDialect struct {
	// Member names the owner in a resource, as a text or as an object with an id.
	Member string
	// With are members that let the owner decide.
	With map[string]any
	// admin gives the address of the resource servers in an administration API that
	// gives a resource to whom it is told, where there is one. Below it are a
	// resource server, by its id, and adminPath.
	admin     func(m Metadata) string
	adminPath string
}

// wireOwner reads an owner as a text or an object with an id.
type wireOwner string

// UnmarshalJSON never fails: an owner that cannot be read is nobody's.
func (o *wireOwner) UnmarshalJSON(data []byte) error {
	var plain string
	if json.Unmarshal(data, &plain) == nil {
		*o = wireOwner(plain)
		return nil
	}
	var object struct {
		ID string `json:"id"`
	}
	if json.Unmarshal(data, &object) == nil {
		*o = wireOwner(object.ID)
	}
	return nil
}

// createFor registers a resource for its owner. The administration API comes first
// where there is one: an AS may take the member of the protection API and ignore it.
func (p *Protection) createFor(ctx context.Context, r Resource) (Resource, error) {
	created, err := p.createByAdmin(ctx, r)
	if err == nil || !errors.Is(err, errNoAdmin) {
		return created, err
	}
	refused := err
	body := r.body(p.server.dialect, p.server.caller.now(), p.server.dialect.Owner.With)
	body[p.server.dialect.Owner.Member] = r.Owner
	in := call{
		operation: OperationResource, op: "register resource " + strconv.Quote(r.Name), method: http.MethodPost,
		url: p.server.metadata.ResourceRegistrationEndpoint, json: body,
	}
	var got wireResource
	out, err := p.do(ctx, in, &got)
	if err != nil {
		return Resource{}, err
	}
	created = r
	if created.ID = got.id(); created.ID == "" {
		return Resource{}, in.malformed(out, "_id is missing")
	}
	if string(got.Owner) == r.Owner {
		return created, nil
	}
	// It must not stay: its policies would be somebody else's.
	err = &Error{Op: in.op, Method: in.method, URL: printableURL(in.url), Status: out.status, Kind: ErrOwner, Cause: refused}
	return Resource{}, errors.Join(err, p.Delete(context.WithoutCancel(ctx), created.ID))
}

// errNoAdmin: there is no administration API, or not for this client.
var errNoAdmin = errors.New("the administration API is not open to the client")

// createByAdmin registers by the administration API, with the PAT: it belongs to
// the client's own service account.
func (p *Protection) createByAdmin(ctx context.Context, r Resource) (Resource, error) {
	d := p.server.dialect.Owner
	if d.admin == nil || d.admin(p.server.metadata) == "" {
		return Resource{}, errNoAdmin
	}
	base := d.admin(p.server.metadata)
	token, err := p.pats.Token(ctx)
	if err != nil {
		return Resource{}, err
	}
	clientID := clientOf(token.Value.Reveal())
	scopes := make([]map[string]string, len(r.Scopes))
	for i, s := range r.Scopes {
		scopes[i] = map[string]string{"name": s}
	}
	body := map[string]any{"name": r.Name, "scopes": scopes, d.Member: map[string]string{"id": r.Owner}}
	maps.Copy(body, d.With)
	if r.Type != "" {
		body["type"] = r.Type
	}
	if r.IconURI != "" {
		body["icon_uri"] = r.IconURI
	}
	in := call{operation: OperationResource, op: "register resource " + strconv.Quote(r.Name) + " for its owner", method: http.MethodPost, json: body, bearer: token.Value}
	post := func(id string) (wireResource, error) {
		in.url = base + "/" + url.PathEscape(id) + d.adminPath
		var got wireResource
		_, err := p.server.apart(ctx, func() (answer, error) { return p.server.caller.doJSON(ctx, in, &got) })
		return got, err
	}
	// A client that registered itself has its client_id for an id.
	got, err := post(clientID)
	if failed, ok := errors.AsType[*Error](err); ok && failed.Status == http.StatusForbidden {
		// The role may have been given after this PAT.
		if next, renewErr := p.pats.Refused(ctx, token.Value); renewErr == nil {
			token, in.bearer = next, next.Value
			got, err = post(clientID)
		}
	}
	if errors.Is(err, ErrNotFound) {
		var found []struct {
			ID string `json:"id"`
		}
		list := call{operation: OperationResource, op: "find the client", method: http.MethodGet, url: base + "?" + url.Values{"clientId": {clientID}}.Encode(), bearer: token.Value}
		if _, err = p.server.caller.doJSON(ctx, list, &found); err == nil && len(found) == 1 {
			got, err = post(found[0].ID)
		} else if err == nil {
			return Resource{}, errNoAdmin
		}
	}
	if failed, ok := errors.AsType[*Error](err); ok && (failed.Status == http.StatusForbidden || failed.Status == http.StatusUnauthorized || failed.Status == http.StatusNotFound) {
		return Resource{}, errors.Join(errNoAdmin, err)
	}
	if err != nil {
		return Resource{}, err
	}
	created := r
	created.ID = got.id()
	if created.ID == "" || string(got.Owner) != r.Owner {
		return Resource{}, in.malformed(answer{}, "_id is missing, or the owner is another")
	}
	return created, nil
}

// clientOf reads the client_id of a JWT that was issued to us; empty for another
// kind of token.
func clientOf(token string) string {
	_, rest, _ := strings.Cut(token, ".")
	payload, _, _ := strings.Cut(rest, ".")
	decoded, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil {
		return ""
	}
	var claims struct {
		AuthorizedParty string `json:"azp"`
	}
	if json.Unmarshal(decoded, &claims) != nil {
		return ""
	}
	return claims.AuthorizedParty
}
