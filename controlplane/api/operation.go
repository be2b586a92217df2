package api

import (
	"context"
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/umagate/umagate/controlplane/audit"
)

// Role is what a caller must be allowed. The zero value is none, and refused.
type Role string

// The roles. Write includes Read.
const (
	// Open is for anybody: what it answers is public.
	Open Role = "open"
	// Probe is for anybody on loopback, and elsewhere for readers unless the
	// configuration opens it: health, readiness, metrics.
	Probe Role = "probe"
	Read  Role = "read"
	Write Role = "write"
)

// Operation is one method of one path. Package doc tells how to declare one.
type Operation struct {
	// ID is the operationId: lowerCamelCase, unique.
	ID string
	// Method is in upper case. A GET has a HEAD with it.
	Method string
	// Path is a pattern of [http.ServeMux] without method, such as /v1/sites/{site}.
	Path string
	// Tag groups operations in the document.
	Tag string
	// Summary is one line, Description may be more.
	Summary, Description string
	Role                 Role
	// Status is that of success: 200, or 204 without an answer, unless set.
	Status int
	// MaxBody bounds the request's body in bytes: 64 KiB unless set.
	MaxBody int64
	// Codes are the problems it may answer beyond those every operation can.
	Codes []Code
	// Action is what the router records when it was done or has failed. Every
	// operation that is not a GET has one, or says that its handler records.
	Action audit.Action
	// Records says that what the handler calls records what it changes.
	Records bool
	// ETag answers with the entity tag of the body, and If-None-Match with 304.
	ETag bool
	// Handler does it: [Handle], or [Raw].
	Handler Handler
}

// Handler is an operation's function with its types.
type Handler struct {
	in, out  reflect.Type
	media    string
	register func(r *Router, o *Operation, described huma.Operation)
}

// Handle makes a handler of a function. In is what huma reads a request into: a
// struct whose fields have the tag path:"NAME", query:"NAME" or header:"NAME", and
// one that is called Body, or RawBody for what is not JSON; exported structs that
// are embedded are looked into. Out is what is encoded as JSON, or [None].
func Handle[In, Out any](f func(ctx context.Context, in In) (Out, error)) Handler {
	in, out := reflect.TypeFor[In](), reflect.TypeFor[Out]()
	return Handler{in: in, out: out, media: jsonMedia, register: func(r *Router, o *Operation, described huma.Operation) {
		if out == reflect.TypeFor[None]() {
			huma.Register(r.huma, described, func(ctx context.Context, in *In) (*None, error) {
				_, err := f(ctx, *in)
				return nil, r.finish(ctx, o, err)
			})
			return
		}
		huma.Register(r.huma, described, func(ctx context.Context, in *In) (*answer, error) {
			out, err := f(ctx, *in)
			if err = r.finish(ctx, o, err); err != nil {
				return nil, err
			}
			return r.answer(ctx, o, out)
		})
	}}
}

// Raw makes a handler of one that answers by itself, with that media type.
func Raw(media string, h http.Handler) Handler {
	return Handler{in: reflect.TypeFor[None](), out: reflect.TypeFor[string](), media: media, register: func(r *Router, _ *Operation, described huma.Operation) {
		huma.Register(r.huma, described, func(context.Context, *None) (*raw, error) {
			return &raw{Body: func(c huma.Context) {
				req, w := humago.Unwrap(c)
				h.ServeHTTP(w, req)
			}}, nil
		})
	}}
}

// raw is what huma gets of a handler that answers by itself.
type raw struct{ Body func(huma.Context) }

// None is nothing to take, or nothing to answer.
type None struct{}

// Located is an answer that says where what was made is found.
type Located interface {
	// Location is the path of the new resource.
	Location() string
}

func (o *Operation) success() int {
	switch {
	case o.Status != 0:
		return o.Status
	case o.Handler.out == reflect.TypeFor[None]():
		return http.StatusNoContent
	default:
		return http.StatusOK
	}
}

// changes reports whether the operation may change something.
func (o *Operation) changes() bool { return o.Method != http.MethodGet }
