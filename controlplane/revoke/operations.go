package revoke

import (
	"context"
	"encoding/hex"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/umagate/umagate/controlplane/api"
	"github.com/umagate/umagate/controlplane/audit"
	"github.com/umagate/umagate/controlplane/health"
	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/controlplane/store"
)

// RevocationRequest is the body of POST /v1/revocations: one of Token, Subject,
// ClientID and SessionID, or IssuedBefore alone.
type RevocationRequest struct {
	// Site is the name of a site; every site when left out.
	Site string `json:"site,omitempty" pattern:"^[a-z0-9_-]*$" maxLength:"63"`
	// Token is an access token, as clients send it. It is not kept.
	Token string `json:"token,omitempty" maxLength:"1048576"`
	// Subject, ClientID and SessionID are the claims sub, client_id and sid of tokens.
	Subject   string `json:"subject,omitempty" maxLength:"1024"`
	ClientID  string `json:"client_id,omitempty" maxLength:"1024"`
	SessionID string `json:"session_id,omitempty" maxLength:"1024"`
	// IssuedBefore: only tokens issued before then, and those that do not say when.
	// For a subject or a client it is now when left out.
	IssuedBefore time.Time `json:"issued_before,omitzero"`
	// AtAuthorizationServer revokes the token there, too (RFC 7009), where the AS lets
	// the site's client do so.
	AtAuthorizationServer bool `json:"at_authorization_server,omitempty"`
}

// Revocation is what is revoked.
type Revocation struct {
	ID string `json:"id"`
	// Site is left out for every site.
	Site string `json:"site,omitempty"`
	Kind Kind   `json:"kind" enum:"token,subject,client,session,issued_before"`
	// Value is the claim; a token is told by its SHA-256 only.
	Value        string    `json:"value,omitempty"`
	SHA256       string    `json:"sha256,omitempty"`
	IssuedBefore time.Time `json:"issued_before,omitzero"`
	Source       Source    `json:"source"`
	CreatedAt    time.Time `json:"created_at"`
	// ExpiresAt is when the tokens have ended by themselves.
	ExpiresAt time.Time `json:"expires_at"`
	Envoys    InForce   `json:"envoys"`
	// AtAuthorizationServer is how the AS's own revocation ended, where it was asked for.
	AtAuthorizationServer string `json:"at_authorization_server,omitempty"`
}

// InForce counts Envoys.
type InForce struct {
	// Connected are the Envoys of this replica, Refusing those that have acknowledged
	// the revocation.
	Connected int `json:"connected"`
	Refusing  int `json:"refusing"`
}

// Location implements [api.Located].
func (r Revocation) Location() string { return "/v1/revocations/" + r.ID }

type listInput struct{ api.Paging }

type createInput struct {
	Body RevocationRequest
}

type oneInput struct {
	ID string `path:"id" pattern:"^[A-Za-z0-9_-]+$" maxLength:"64" doc:"the revocation's id"`
}

type logoutInput struct {
	Site    string `path:"site" pattern:"^[a-z0-9_-]+$" maxLength:"63" doc:"the site's name"`
	RawBody []byte `contentType:"application/x-www-form-urlencoded"`
}

type adminInput struct {
	Site    string `path:"site" pattern:"^[a-z0-9_-]+$" maxLength:"63" doc:"the site's name"`
	RawBody []byte `contentType:"text/plain"`
}

// maxCreate bounds the body with a revocation: the longest token, with as much for
// the rest as other operations have.
const maxCreate = 1<<20 + 64<<10

// Operations are those of the API.
func (l *List) Operations() []api.Operation {
	const tag = "revocations"
	keycloak := func(action string) func(context.Context, adminInput) (api.None, error) {
		return func(ctx context.Context, in adminInput) (api.None, error) {
			return api.None{}, problem(l.AdminAction(byAS(ctx, in.Site), in.Site, action, string(in.RawBody)))
		}
	}
	return []api.Operation{{
		ID: "createRevocation", Method: http.MethodPost, Path: "/v1/revocations", Tag: tag, Role: api.Write, Status: http.StatusCreated,
		MaxBody: maxCreate,
		Summary: "Refuse tokens on every Envoy before they expire",
		Description: "In force at an Envoy as soon as it has acknowledged the configuration with it: GET its Location until envoys.refusing is envoys.connected. " +
			"The same revocation made again is the same, with the later times.",
		Records: true, Codes: []api.Code{api.CodeConflict, api.CodeUnavailable, api.CodeNotFound, api.CodeAuthorizationServer}, Handler: api.Handle(l.create),
	}, {
		ID: "listRevocations", Method: http.MethodGet, Path: "/v1/revocations", Tag: tag, Role: api.Read,
		Summary: "What is revoked", Handler: api.Handle(l.listAll),
	}, {
		ID: "getRevocation", Method: http.MethodGet, Path: "/v1/revocations/{id}", Tag: tag, Role: api.Read,
		Summary: "A revocation, and at how many Envoys it is in force", Handler: api.Handle(l.get),
	}, {
		ID: "deleteRevocation", Method: http.MethodDelete, Path: "/v1/revocations/{id}", Tag: tag, Role: api.Write,
		Summary: "Take a revocation back: its tokens are judged by what the authorization server says again",
		Records: true, Codes: []api.Code{api.CodeUnavailable}, Handler: api.Handle(l.delete),
	}, {
		ID: "backChannelLogout", Method: http.MethodPost, Path: "/v1/sites/{site}/backchannel-logout", Tag: tag, Role: api.Open, Status: http.StatusOK,
		Summary:     "Take a logout token of the site's authorization server",
		Description: "OpenID Connect Back-Channel Logout 1.0: the body is logout_token=JWT, and its signature is the credential.",
		Records:     true, Codes: []api.Code{api.CodeUnavailable}, Handler: api.Handle(l.logout),
	}, {
		ID: "keycloakPushNotBefore", Method: http.MethodPost, Path: "/v1/sites/{site}/keycloak/k_push_not_before", Tag: tag, Role: api.Open,
		Summary:     "Take Keycloak's push of a not-before",
		Description: "The admin URL of a Keycloak client is /v1/sites/{site}/keycloak; the message's signature is the credential.",
		Records:     true, Codes: []api.Code{api.CodeUnavailable}, Handler: api.Handle(keycloak(pushNotBefore)),
	}, {
		ID: "keycloakLogout", Method: http.MethodPost, Path: "/v1/sites/{site}/keycloak/k_logout", Tag: tag, Role: api.Open,
		Summary: "Take Keycloak's logout of all sessions",
		Records: true, Codes: []api.Code{api.CodeUnavailable}, Handler: api.Handle(keycloak(logoutAll)),
	}}
}

// byAS tells the audit log who it was: nobody else has the key.
func byAS(ctx context.Context, site string) context.Context {
	return audit.WithActor(ctx, audit.Actor{Kind: audit.KindAS, Name: site})
}

func (l *List) create(ctx context.Context, in createInput) (Revocation, error) {
	spec, err := in.Body.spec()
	if err != nil {
		return Revocation{}, problem(err)
	}
	made, err := l.Revoke(ctx, spec)
	if err != nil {
		return Revocation{}, problem(err)
	}
	out := l.show(made)
	if in.Body.AtAuthorizationServer {
		out.AtAuthorizationServer = l.revokeAtAS(ctx, spec)
	}
	return out, nil
}

// spec judges what is asked for.
func (r RevocationRequest) spec() (Spec, error) {
	s := Spec{Site: r.Site, IssuedBefore: r.IssuedBefore, Source: FromAPI}
	named := 0
	for kind, value := range map[Kind]string{Token: r.Token, Subject: r.Subject, Client: r.ClientID, Session: r.SessionID} {
		if value == "" {
			continue
		}
		named++
		s.Kind, s.Value = kind, value
	}
	switch {
	case named > 1, named == 0 && r.IssuedBefore.IsZero():
		return s, ErrSpec
	case named == 0:
		s.Kind = Issued
	case s.Kind == Token:
		s.Token, s.Value = secret.New(s.Value), ""
	}
	if !r.IssuedBefore.IsZero() && (s.Kind == Token || s.Kind == Session) {
		return s, api.Invalid("body", "/issued_before", "goes with subject or client_id, or stands alone")
	}
	if year := r.IssuedBefore.Year(); !r.IssuedBefore.IsZero() && (year < 1970 || year > 9998) {
		return s, api.Invalid("body", "/issued_before", "is no time in seconds since 1970")
	}
	if r.AtAuthorizationServer && s.Kind != Token {
		return s, api.Invalid("body", "/at_authorization_server", "goes with a token: RFC 7009 knows nothing else")
	}
	return s, nil
}

// revokeAtAS asks the AS of the sites named, and says in words how it ended: the
// Envoys refuse the token whatever it says.
func (l *List) revokeAtAS(ctx context.Context, spec Spec) string {
	var failed error
	asked := false
	for _, site := range l.options.Sites() {
		if spec.Site != "" && spec.Site != site.Name || site.RevokeAtAS == nil {
			continue
		}
		asked = true
		err := site.RevokeAtAS(ctx, spec.Token)
		if err == nil {
			return "revoked"
		}
		failed = err
	}
	if !asked {
		return "not revoked: no authorization server of these sites is known to have a revocation endpoint"
	}
	return "not revoked: " + failed.Error()
}

func (l *List) listAll(_ context.Context, in listInput) (api.Page[Revocation], error) {
	page, err := api.Paginate(in.Paging, l.current(), func(r store.Revocation) string { return r.ID })
	if err != nil {
		return api.Page[Revocation]{}, err
	}
	out := api.Page[Revocation]{Items: make([]Revocation, 0, len(page.Items)), NextCursor: page.NextCursor}
	for _, r := range page.Items {
		out.Items = append(out.Items, l.show(r))
	}
	return out, nil
}

func (l *List) get(_ context.Context, in oneInput) (Revocation, error) {
	found, ok := l.find(in.ID)
	if !ok {
		return Revocation{}, api.NotFound("revocation", in.ID)
	}
	return l.show(found), nil
}

func (l *List) delete(ctx context.Context, in oneInput) (api.None, error) {
	return api.None{}, problem(l.Withdraw(ctx, in.ID))
}

func (l *List) show(r store.Revocation) Revocation {
	out := Revocation{
		ID: r.ID, Site: r.Site, Kind: Kind(r.Kind), Value: r.Value, Source: Source(r.Source),
		IssuedBefore: utc(r.IssuedBefore), CreatedAt: utc(r.CreatedAt), ExpiresAt: utc(r.ExpiresAt),
	}
	if out.Kind == Token {
		out.SHA256 = hex.EncodeToString(r.Digest[:])
	}
	out.Envoys.Refusing, out.Envoys.Connected = l.inForce(r)
	return out
}

func utc(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.UTC()
}

func (l *List) logout(ctx context.Context, in logoutInput) (api.None, error) {
	form, err := url.ParseQuery(string(in.RawBody))
	if err != nil || len(form["logout_token"]) != 1 {
		return api.None{}, api.Invalid("body", "logout_token", "must be there once")
	}
	return api.None{}, problem(l.Logout(byAS(ctx, in.Site), in.Site, form.Get("logout_token")))
}

// problem says what an error means to a caller of the API.
func problem(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrNoSite):
		return api.NewProblem(api.CodeNotFound, "there is no site of that name").Because(err)
	case errors.Is(err, store.ErrNotFound):
		return api.NewProblem(api.CodeNotFound, "there is no such revocation").Because(err)
	case errors.Is(err, ErrSpec):
		return api.NewProblem(api.CodeInvalidRequest, "%s", ErrSpec.Error())
	case errors.Is(err, ErrNotKnown):
		return api.Unavailable(time.Second, "the authorization server has not been reached yet, or has no JWKS").Because(err)
	case errors.Is(err, ErrMessage):
		// Whoever sent it learns nothing of the keys; the log tells.
		return api.NewProblem(api.CodeInvalidRequest, "the message is refused").Because(err)
	case errors.Is(err, store.ErrDiskFull):
		return api.Unavailable(time.Second, "the disk of the store is full: nothing was stored, and nothing is revoked by it").
			WithRemedy(health.StoreFull.Remedy).Because(err)
	case errors.Is(err, store.ErrReadOnly):
		return api.Unavailable(time.Second, "the store is read-only: nothing was stored, and nothing is revoked by it").
			WithRemedy(health.StoreReadOnly.Remedy).Because(err)
	case errors.Is(err, store.ErrFileReplaced):
		return api.Unavailable(time.Second, "the store's file was removed or replaced: it would be lost with the next start").
			WithRemedy(health.StoreReplaced.Remedy).Because(err)
	case errors.Is(err, store.ErrFull):
		return api.Conflict("%d revocations are in force already", Most).
			WithRemedy("Revoke by issued_before, or by client_id, which takes the place of many.").Because(err)
	}
	if _, ok := errors.AsType[*api.Problem](err); ok {
		return err
	}
	return api.Unavailable(time.Second, "it could not be stored; try again").Because(err)
}
