package api

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/umagate/umagate/controlplane/audit"
)

// Options is what [New] needs.
type Options struct {
	// Version is the release, for the document.
	Version string
	Logger  *slog.Logger
	// Authenticator finds out who calls; nobody is known when nil.
	Authenticator Authenticator
	// OpenProbes, when it says so, lets anybody call the operations of role Probe; else only who
	// calls from loopback, and readers.
	OpenProbes func() bool
	// Recorder keeps what was changed; nothing is kept when nil.
	Recorder audit.Recorder
	// Explain makes a problem of an error that is none; nil, or an answer of nil,
	// makes it a 500.
	Explain func(err error) *Problem
}

// Router answers for operations. It is safe for concurrent use.
type Router struct {
	options  Options
	mux      *http.ServeMux
	huma     huma.API
	document []byte
}

var operationID = regexp.MustCompile(`^[a-z][A-Za-z]*$`)

// New makes the router of operations, and the document that describes them. An
// error is a mistake in a declaration.
func New(options Options, operations ...Operation) (*Router, error) {
	if options.Recorder == nil {
		options.Recorder = audit.Discard{}
	}
	r := &Router{options: options, mux: http.NewServeMux()}
	format := huma.Format{Unmarshal: unmarshal, Marshal: func(w io.Writer, v any) error { return json.NewEncoder(w).Encode(v) }}
	r.huma = humago.New(r.mux, huma.Config{
		OpenAPI: outline(options.Version), Transformers: []huma.Transformer{r.finishProblem}, DefaultFormat: jsonMedia,
		Formats: map[string]huma.Format{jsonMedia: format, "json": format},
	})
	operations = append(slices.Clone(operations), Operation{
		ID: "getDocument", Method: http.MethodGet, Path: DocumentPath, Tag: "document", Role: Open,
		Summary: "This document", Handler: Raw(jsonMedia, http.HandlerFunc(r.serveDocument)),
	})
	allow, ids := map[string][]string{}, map[string]bool{}
	for _, o := range operations {
		err := o.check()
		if err == nil && ids[o.ID] {
			err = errors.New("the ID is taken")
		}
		if err != nil {
			return nil, fmt.Errorf("operation %s %s %s: %w", o.ID, o.Method, o.Path, err)
		}
		ids[o.ID] = true
		allow[o.Path] = append(allow[o.Path], o.Method)
		r.register(&o)
	}
	for path, methods := range allow {
		slices.Sort(methods)
		if slices.Contains(methods, http.MethodGet) {
			methods = append(methods, http.MethodHead)
		}
		r.mux.HandleFunc(path, r.methodNotAllowed(strings.Join(methods, ", ")))
	}
	var err error
	if r.document, err = json.Marshal(r.huma.OpenAPI()); err != nil {
		return nil, fmt.Errorf("encode the API document: %w", err)
	}
	return r, nil
}

// check looks for mistakes in a declaration.
func (o *Operation) check() error {
	switch {
	case !operationID.MatchString(o.ID):
		return errors.New("the ID is no lowerCamelCase name")
	case !slices.Contains([]Role{Open, Probe, Read, Write}, o.Role):
		return errors.New("the role is none of open, probe, read and write")
	case o.Summary == "" || o.Tag == "":
		return errors.New("there is no Summary or no Tag")
	case o.Handler.register == nil:
		return errors.New("there is no handler")
	case o.changes() && o.Action == "" && !o.Records:
		return errors.New("it may change something, and has neither Action nor Records")
	}
	return checkInput(o.Handler.in)
}

// checkInput looks for fields that huma would leave out without a word.
func checkInput(in reflect.Type) error {
	for f := range in.Fields() {
		switch {
		case f.IsExported() && f.Anonymous:
			if err := checkInput(f.Type); err != nil {
				return err
			}
		case !f.IsExported() || f.Name != "Body" && f.Name != "RawBody" && f.Tag.Get("path")+f.Tag.Get("query")+f.Tag.Get("header") == "":
			return fmt.Errorf("field %s of %s has none of the tags path, query and header, or is not exported", f.Name, in)
		}
	}
	return nil
}

// register joins an operation. Nothing reaches huma that is not admitted and read.
func (r *Router) register(o *Operation) {
	schemas := r.huma.OpenAPI().Components.Schemas
	described := o.describe(schemas)
	described.Middlewares = huma.Middlewares{func(c huma.Context, next func(huma.Context)) {
		req, w := humago.Unwrap(c)
		span := trace.SpanFromContext(req.Context())
		span.SetName(o.ID)
		span.SetAttributes(attribute.String("umagate.request_id", audit.RequestID(req.Context())))
		ctx, refused := r.admit(req, o)
		if refused == nil && o.changes() {
			r.options.Logger.Info("API call that changes something", slog.String("operation", o.ID), slog.String("caller", CallerOf(ctx).Name),
				slog.String("request_id", audit.RequestID(ctx)))
		}
		if refused == nil {
			refused = checkParameters(c.Operation(), schemas, req)
		}
		if refused == nil {
			refused = readBody(c.Operation(), w, req, o.MaxBody)
		}
		if refused != nil {
			r.fail(w, req, refused)
			return
		}
		next(huma.WithContext(c, context.WithValue(ctx, requestKey{}, req)))
	}}
	o.Handler.register(r, o, described)
}

type requestKey struct{}

// requestOf returns the request that a handler was called for.
func requestOf(ctx context.Context) *http.Request {
	req, _ := ctx.Value(requestKey{}).(*http.Request) // register has put it there
	return req
}

// Document is the OpenAPI document.
func (r *Router) Document() []byte { return slices.Clone(r.document) }

func (r *Router) serveDocument(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", jsonMedia)
	_, _ = w.Write(r.document) // a client that is gone is no concern
}

// ServeHTTP implements [http.Handler].
func (r *Router) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	guard(w.Header())
	id := requestID(req)
	w.Header().Set(requestIDHeader, id)
	req = req.WithContext(audit.WithRequestID(req.Context(), id))
	defer func() {
		if cause := recover(); cause != nil {
			if cause == http.ErrAbortHandler { //nolint:errorlint // net/http compares it so
				panic(cause)
			}
			r.options.Logger.Error("an API operation panicked", slog.String("request_id", id), slog.Any("cause", cause))
			NewProblem(CodeInternal, "").write(w, id)
		}
	}()
	// ServeMux would answer with a redirect to what it takes the path for.
	escaped := req.URL.EscapedPath()
	_, pattern := r.mux.Handler(req)
	if path.Clean(escaped) != escaped || pattern == "" {
		r.fail(w, req, NotFound("path", req.URL.Path))
		return
	}
	r.mux.ServeHTTP(w, req)
}

func (r *Router) methodNotAllowed(allow string) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Allow", allow)
		r.fail(w, req, NewProblem(CodeMethodNotAllowed, "%s has %s", req.URL.Path, allow))
	}
}

// admit finds out who calls, and whether they may.
func (r *Router) admit(req *http.Request, o *Operation) (context.Context, *Problem) {
	caller := Caller{Role: Open}
	if r.options.Authenticator != nil {
		found, err := r.options.Authenticator.Authenticate(req)
		switch {
		case err == nil:
			caller = found
		case errors.Is(err, ErrNoCredential):
		default:
			return req.Context(), NewProblem(CodeUnavailable, "who calls cannot be found out now").Because(err)
		}
	}
	ctx := withCaller(req, caller)
	switch {
	case o.Role == Probe && (fromLoopback(req) || r.options.OpenProbes != nil && r.options.OpenProbes()), caller.may(o.Role):
		return ctx, nil
	case caller.Role == Open:
		return ctx, NewProblem(CodeUnauthorized, "this operation needs a token or certificate of role %s", neededRole(o.Role)).
			WithRemedy("Send Authorization: Bearer with a token of api.tokens, or with the one in the file that umagate serve logs as local_token; commands find it with -c umagate.yaml, or take --token-file.")
	default:
		return ctx, NewProblem(CodeForbidden, "%s has the role %s, and this operation needs %s", caller.Name, caller.Role, neededRole(o.Role)).
			WithRemedy("Use a token or certificate of that role.")
	}
}

func neededRole(r Role) Role {
	if r == Probe {
		return Read
	}
	return r
}

// finish records what an operation did, where its handler does not, and explains
// an error.
func (r *Router) finish(ctx context.Context, o *Operation, err error) error {
	var failed *Problem
	if err != nil {
		failed = r.explain(err)
	}
	if o.Action != "" {
		req := requestOf(ctx)
		e := audit.Event{Action: o.Action, Site: req.PathValue("site"), Target: o.target(req)}
		if failed != nil {
			e.Outcome, e.Detail = audit.Failed, map[string]string{"error": failed.Detail}
		}
		r.options.Recorder.Record(ctx, e)
	}
	if failed != nil {
		return failed
	}
	return nil
}

// target is the last parameter of the path that is no site.
func (o *Operation) target(req *http.Request) string {
	for _, segment := range slices.Backward(strings.Split(o.Path, "/")) {
		if name := strings.Trim(segment, "{}"); name != segment && name != "site" {
			return req.PathValue(name)
		}
	}
	return ""
}

// explain returns the problem that an error is.
func (r *Router) explain(err error) *Problem {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p
	}
	if r.options.Explain != nil {
		if p := r.options.Explain(err); p != nil {
			return p.Because(err)
		}
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return NewProblem(CodeUnavailable, "it took too long").Because(err)
	}
	return NewProblem(CodeInternal, "").Because(err)
}

// fail answers with a problem.
func (r *Router) fail(w http.ResponseWriter, req *http.Request, p *Problem) {
	r.log(req, p)
	p.write(w, audit.RequestID(req.Context()))
}

// finishProblem returns a problem that huma answers with its request id, and logs it.
func (r *Router) finishProblem(c huma.Context, _ string, body any) (any, error) {
	p, ok := body.(*Problem)
	if !ok {
		return body, nil
	}
	req := requestOf(c.Context())
	r.log(req, p)
	return p.of(audit.RequestID(req.Context())), nil
}

// log tells what an operator may want to know. Detail may repeat what the caller
// sent, a token perhaps: it stays out.
func (r *Router) log(req *http.Request, p *Problem) {
	level := slog.LevelDebug
	if p.Status >= http.StatusInternalServerError && req.Context().Err() == nil {
		level = slog.LevelError
	}
	r.options.Logger.Log(req.Context(), level, "API call failed", slog.String("code", string(p.Code)), slog.String("method", req.Method),
		slog.String("path", req.URL.Path), slog.String("request_id", audit.RequestID(req.Context())), slog.Any("error", p.Cause))
}

// answer is what huma is given of a success.
type answer struct {
	Status      int
	ContentType string `header:"Content-Type" hidden:"true"`
	Location    string `header:"Location" hidden:"true"`
	ETag        string `header:"ETag" hidden:"true"`
	Body        []byte
}

// answer encodes what a handler gave.
func (r *Router) answer(ctx context.Context, o *Operation, out any) (*answer, error) {
	body, err := json.MarshalIndent(out, "", "  ")
	if err != nil {
		return nil, NewProblem(CodeInternal, "").Because(fmt.Errorf("encode the answer of %s: %w", o.ID, err))
	}
	a := &answer{Status: o.success(), ContentType: jsonMedia, Body: append(body, '\n')}
	if at, ok := out.(Located); ok {
		a.Location = at.Location()
	}
	if o.ETag {
		sum := sha256.Sum256(body)
		a.ETag = `"` + base64.RawURLEncoding.EncodeToString(sum[:16]) + `"`
		if match := requestOf(ctx).Header.Get("If-None-Match"); match == a.ETag || match == "W/"+a.ETag {
			return &answer{Status: http.StatusNotModified, ETag: a.ETag}, nil
		}
	}
	return a, nil
}
