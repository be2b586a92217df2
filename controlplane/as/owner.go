package as

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

var (
	// ErrOwner means that the AS has registered, or would register, the resource for another
	// owner than the one named.
	ErrOwner = errors.New("the authorization server does not give the resource to the owner that is named")
	// ErrUnknownOwner means that the AS fails as it does where nobody is the owner named.
	ErrUnknownOwner = errors.New("the authorization server fails as it does where it has nobody of this id or user name")
)

// OwnerDialect is how an AS is told that a resource belongs to a person, although
// the PAT is the resource server's. The zero value says that it cannot be told:
// who the PAT belongs to owns the resource (UMA Federated Authorization section 3.2).
type OwnerDialect struct {
	// Member names the owner in a resource, as a text or as an object with an id, and in the
	// query of a list.
	Member string
	// With are members that let the owner decide.
	With map[string]any
	// admin gives the address of the resource servers in an administration API that
	// gives a resource to whom it is told, where there is one. Below it are a
	// resource server, by its id, and adminPath.
	admin     func(m Metadata) string
	adminPath string
	// unknown is the error code of that API's 500 where nobody is the owner named.
	unknown string
}

// wireOwner reads an owner as a text or an object with an id and a user name.
type wireOwner struct{ id, name string }

// UnmarshalJSON never fails: an owner that cannot be read is nobody's.
func (o *wireOwner) UnmarshalJSON(data []byte) error {
	var object struct {
		ID   string `json:"id"`
		Name string `json:"name"`
	}
	if json.Unmarshal(data, &o.id) != nil && json.Unmarshal(data, &object) == nil {
		o.id, o.name = object.ID, object.Name
	}
	return nil
}

// is reports whether it is who is named: by the id, or by the user name. What looks like an
// id is no name: somebody may call himself as one who is gone.
func (o wireOwner) is(named string) bool {
	return o.id == named || o.name != "" && strings.EqualFold(o.name, named) && !looksLikeID.MatchString(named)
}

// OwnedBy reports whether the resource belongs to who is named by id or user name.
func (r Resource) OwnedBy(named string) bool { return wireOwner{r.Owner, r.OwnerName}.is(named) }

// looksLikeID matches the ids of users at Keycloak: its own, and those of a federation.
var looksLikeID = regexp.MustCompile(`^(?i:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|f:.*)$`)

// createFor registers a resource for its owner. The administration API comes first
// where there is one: an AS may take the member of the protection API and ignore it.
func (p *Protection) createFor(ctx context.Context, r Resource) (Resource, error) {
	created, refused := p.createByAdmin(ctx, r, "")
	if refused == nil || !errors.Is(refused, errNoAdmin) {
		return created, refused
	}
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
	if got.id() == "" {
		return Resource{}, in.malformed(out, "_id is missing")
	}
	if got.Owner.is(r.Owner) {
		return r.registered(got), nil
	}
	// It must not stay: its policies would be somebody else's.
	if err := p.Delete(context.WithoutCancel(ctx), got.id()); err != nil {
		return Resource{}, err
	}
	// It tells the resource server's own id, where no other resource does.
	if created, err = p.createByAdmin(ctx, r, got.Owner.id); err == nil || !errors.Is(err, errNoAdmin) {
		return created, err
	}
	return Resource{}, &Error{Op: in.op, Method: in.method, URL: printableURL(in.url), Status: out.status, Kind: ErrOwner, Cause: refused}
}

// registered is r as the AS says that it has it.
func (r Resource) registered(got wireResource) Resource {
	r.ID, r.Owner, r.OwnerName = got.id(), got.Owner.id, got.Owner.name
	return r
}

// errNoAdmin: there is no administration API, or not for this client.
var errNoAdmin = errors.New("the administration API is not open to the client")

// createByAdmin registers by the administration API, with the PAT: it belongs to
// the client's own service account. server is the resource server's id there; empty for
// what is known of it.
func (p *Protection) createByAdmin(ctx context.Context, r Resource, server string) (Resource, error) {
	d := p.server.dialect.Owner
	if d.admin == nil || d.admin(p.server.metadata) == "" {
		return Resource{}, errNoAdmin
	}
	token, err := p.pats.Token(ctx)
	if err != nil {
		return Resource{}, err
	}
	// A client that registered itself has its client_id for an id.
	clientID := clientOf(token.Value.Reveal())
	if known, ok := p.server.ownIDs.Load(clientID); ok && server == "" {
		server, _ = known.(string)
	}
	server = cmp.Or(server, clientID)
	in := call{
		operation: OperationResource, op: "register resource " + strconv.Quote(r.Name) + " for its owner", method: http.MethodPost,
		json: r.adminBody(d), bearer: token.Value,
	}
	post := func() (got wireResource, err error) {
		in.url = d.admin(p.server.metadata) + "/" + url.PathEscape(server) + d.adminPath
		_, err = p.server.apart(ctx, func() (answer, error) { return p.server.caller.doJSON(ctx, in, &got) })
		return got, err
	}
	got, err := post()
	if notOpen(err) {
		// The client may have another id. To whom may not list clients, Keycloak says 403 of
		// one that it does not have.
		own, listErr := p.ownID(ctx, clientID)
		if listErr != nil {
			return Resource{}, listErr
		}
		if own != "" && own != server {
			server = own
			got, err = post()
		}
	}
	if notOpen(err) {
		// The role may have been given after this PAT.
		if next, renewErr := p.pats.Refused(ctx, token.Value); renewErr == nil {
			in.bearer = next.Value
			got, err = post()
		}
	}
	failed, ok := errors.AsType[*Error](err)
	switch {
	case notOpen(err):
		return Resource{}, errors.Join(errNoAdmin, err)
	case ok && failed.Status == http.StatusInternalServerError && failed.Code == d.unknown:
		return Resource{}, fmt.Errorf("%w: %q: %w", ErrUnknownOwner, clip(r.Owner), err)
	case err != nil:
		return Resource{}, err
	case got.id() == "":
		return Resource{}, in.malformed(answer{}, "_id is missing")
	case !got.Owner.is(r.Owner):
		// It must not stay: its policies would be somebody else's.
		err := &Error{Op: in.op, Method: in.method, URL: printableURL(in.url), Status: http.StatusCreated, Kind: ErrOwner}
		return Resource{}, errors.Join(err, p.Delete(context.WithoutCancel(ctx), got.id()))
	}
	if server != clientID {
		p.server.ownIDs.Store(clientID, server)
	}
	return r.registered(got), nil
}

// notOpen reports whether the administration API refuses, or has no such resource server.
func notOpen(err error) bool {
	failed, ok := errors.AsType[*Error](err)
	return ok && (failed.Status == http.StatusForbidden || failed.Status == http.StatusUnauthorized || failed.Status == http.StatusNotFound)
}

// adminBody is the resource as an administration API takes it.
func (r Resource) adminBody(d OwnerDialect) map[string]any {
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
	return body
}

// ownID is the resource server's own id, which stands as the owner of each resource that
// belongs to it; empty where it has none.
func (p *Protection) ownID(ctx context.Context, clientID string) (string, error) {
	entries, _, err := p.page(ctx, withQuery(p.server.metadata.ResourceRegistrationEndpoint, url.Values{
		p.server.dialect.Owner.Member: {clientID}, "deep": {"true"}, "first": {"0"}, "max": {"1"},
	}))
	if err != nil || len(entries) == 0 {
		return "", err
	}
	return entries[0].Owner.id, nil
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
