package api

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strings"

	jsonschema "github.com/santhosh-tekuri/jsonschema/v6"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/umagate/umagate/controlplane/audit"
)

// standardBody bounds a request's body where the operation does not.
const standardBody = 64 << 10

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
	document []byte
}

// operation is an Operation, taken apart.
type operation struct {
	Operation

	input input
}

var operationID = regexp.MustCompile(`^[a-z][A-Za-z]*$`)

// New makes the router of operations, and the document that describes them. An
// error is a mistake in a declaration.
func New(options Options, operations ...Operation) (*Router, error) {
	if options.Recorder == nil {
		options.Recorder = audit.Discard{}
	}
	r := &Router{options: options, mux: http.NewServeMux()}
	operations = append(slices.Clone(operations), Operation{
		ID: "getDocument", Method: http.MethodGet, Path: DocumentPath, Tag: "document", Role: Open,
		Summary: "This document", Handler: Raw("application/json", http.HandlerFunc(r.serveDocument)),
	})
	var all []*operation
	byPath, ids := map[string]map[string]*operation{}, map[string]bool{}
	for _, declared := range operations {
		o, err := declared.open()
		if err == nil && ids[o.ID] {
			err = errors.New("the ID is taken")
		}
		if err != nil {
			return nil, fmt.Errorf("operation %s %s %s: %w", declared.ID, declared.Method, declared.Path, err)
		}
		ids[o.ID] = true
		if byPath[o.Path] == nil {
			byPath[o.Path] = map[string]*operation{}
		}
		if byPath[o.Path][o.Method] != nil {
			return nil, fmt.Errorf("operation %s: %s %s is declared twice", o.ID, o.Method, o.Path)
		}
		byPath[o.Path][o.Method] = o
		all = append(all, o)
	}
	if err := r.describe(all); err != nil {
		return nil, err
	}
	for pattern, methods := range byPath {
		r.mux.Handle(pattern, r.byMethod(methods))
	}
	return r, nil
}

// open judges a declaration and takes its types apart.
func (o *Operation) open() (*operation, error) {
	var err error
	switch {
	case !operationID.MatchString(o.ID):
		err = errors.New("the ID is no lowerCamelCase name")
	case !o.Role.valid():
		err = errors.New("the role is none of open, probe, read and write")
	case o.Summary == "" || o.Tag == "":
		err = errors.New("there is no Summary or no Tag")
	case o.Handler.call == nil && o.Handler.raw == nil:
		err = errors.New("there is no handler")
	case o.changes() && o.Action == "" && !o.Records:
		err = errors.New("it may change something, and has neither Action nor Records")
	}
	if err != nil {
		return nil, err
	}
	opened := &operation{Operation: *o}
	if opened.MaxBody == 0 {
		opened.MaxBody = standardBody
	}
	opened.input, err = inputOf(o.Handler.in)
	return opened, err
}

func (r Role) valid() bool { return r == Open || r == Probe || r == Read || r == Write }

// describe makes the document, and from it what judges parameters and bodies: what
// is promised is what is checked.
func (r *Router) describe(all []*operation) error {
	described, err := document(r.options.Version, all)
	if err != nil {
		return err
	}
	if r.document, err = json.Marshal(described); err != nil {
		return fmt.Errorf("encode the API document: %w", err)
	}
	const at = "https://umagate.invalid/openapi.json" // names it, and is never fetched
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020)
	compiler.AssertFormat()
	plain, err := jsonschema.UnmarshalJSON(strings.NewReader(string(r.document)))
	if err == nil {
		err = compiler.AddResource(at, plain)
	}
	if err != nil {
		return fmt.Errorf("read the API document: %w", err)
	}
	for _, o := range all {
		place := at + "#/paths/" + strings.ReplaceAll(strings.ReplaceAll(escapePointer(o.Path), "{", "%7B"), "}", "%7D") + "/" + strings.ToLower(o.Method)
		for i := range o.input.parameters {
			if o.input.parameters[i].schema, err = compiler.Compile(fmt.Sprintf("%s/parameters/%d/schema", place, i)); err != nil {
				return fmt.Errorf("operation %s: %w", o.ID, err)
			}
		}
		if o.input.body != nil && o.input.bodyMedia == "" {
			if o.input.bodySchema, err = compiler.Compile(place + "/requestBody/content/application~1json/schema"); err != nil {
				return fmt.Errorf("operation %s: %w", o.ID, err)
			}
		}
	}
	return nil
}

// Document is the OpenAPI document.
func (r *Router) Document() []byte { return slices.Clone(r.document) }

func (r *Router) serveDocument(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
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

// byMethod chooses among the operations of a path.
func (r *Router) byMethod(methods map[string]*operation) http.Handler {
	names := slices.Sorted(maps.Keys(methods))
	if methods[http.MethodGet] != nil {
		names = append(names, http.MethodHead)
	}
	allow := strings.Join(names, ", ")
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		method := req.Method
		if method == http.MethodHead {
			method = http.MethodGet
		}
		o := methods[method]
		if o == nil {
			w.Header().Set("Allow", allow)
			r.fail(w, req, NewProblem(CodeMethodNotAllowed, "%s has %s", req.URL.Path, allow))
			return
		}
		r.serve(w, req, o)
	})
}

// serve authenticates, and has it done.
func (r *Router) serve(w http.ResponseWriter, req *http.Request, o *operation) {
	span := trace.SpanFromContext(req.Context())
	span.SetName(o.ID)
	span.SetAttributes(attribute.String("umagate.request_id", audit.RequestID(req.Context())))
	admitted, refused := r.admit(req, o)
	if refused != nil {
		if refused.Code == CodeUnauthorized {
			w.Header().Set("WWW-Authenticate", `Bearer realm="umagate"`)
		}
		r.fail(w, admitted, refused)
		return
	}
	r.do(w, admitted, o)
}

// do reads, does and answers what a caller may.
func (r *Router) do(w http.ResponseWriter, req *http.Request, o *operation) {
	if o.changes() {
		r.options.Logger.Info("API call that changes something", slog.String("operation", o.ID), slog.String("caller", CallerOf(req.Context()).Name),
			slog.String("request_id", audit.RequestID(req.Context())))
	}
	in, wrong := o.input.bind(req, w, o.MaxBody)
	if wrong != nil {
		r.fail(w, req, wrong)
		return
	}
	if o.Handler.raw != nil {
		o.Handler.raw.ServeHTTP(w, req)
		return
	}
	out, err := o.Handler.call(req.Context(), in)
	r.record(req, o, err)
	if err != nil {
		r.fail(w, req, r.explain(err))
		return
	}
	r.answer(w, req, o, out)
}

// admit finds out who calls, and whether they may.
func (r *Router) admit(req *http.Request, o *operation) (*http.Request, *Problem) {
	caller := Caller{Role: Open}
	if r.options.Authenticator != nil {
		found, err := r.options.Authenticator.Authenticate(req)
		switch {
		case err == nil:
			caller = found
		case errors.Is(err, ErrNoCredential):
		default:
			return req, NewProblem(CodeUnavailable, "who calls cannot be found out now").Because(err)
		}
	}
	req = withCaller(req, caller)
	switch {
	case o.Role == Probe && (fromLoopback(req) || r.options.OpenProbes != nil && r.options.OpenProbes()), caller.may(o.Role):
		return req, nil
	case caller.Role == Open:
		return req, NewProblem(CodeUnauthorized, "this operation needs a token or certificate of role %s", neededRole(o.Role)).
			WithRemedy("Send Authorization: Bearer with a token of api.tokens, or with the one in the file that umagate serve logs as local_token; commands find it with -c umagate.yaml, or take --token-file.")
	default:
		return req, NewProblem(CodeForbidden, "%s has the role %s, and this operation needs %s", caller.Name, caller.Role, neededRole(o.Role)).
			WithRemedy("Use a token or certificate of that role.")
	}
}

func neededRole(r Role) Role {
	if r == Probe {
		return Read
	}
	return r
}

// record keeps what an operation did, where its handler does not.
func (r *Router) record(req *http.Request, o *operation, err error) {
	if o.Action == "" {
		return
	}
	e := audit.Event{Action: o.Action, Site: req.PathValue("site"), Target: target(req, o)}
	if err != nil {
		e.Outcome, e.Detail = audit.Failed, map[string]string{"error": r.explain(err).Detail}
	}
	r.options.Recorder.Record(req.Context(), e)
}

// target is the last parameter of the path that is no site.
func target(req *http.Request, o *operation) string {
	for _, p := range slices.Backward(o.input.parameters) {
		if p.in == inPath && p.name != "site" {
			return req.PathValue(p.name)
		}
	}
	return ""
}

// explain gives the problem that an error is.
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

// fail answers with a problem and logs what an operator may want to know.
func (r *Router) fail(w http.ResponseWriter, req *http.Request, p *Problem) {
	id := audit.RequestID(req.Context())
	level := slog.LevelDebug
	if p.Status >= http.StatusInternalServerError && req.Context().Err() == nil {
		level = slog.LevelError
	}
	// Detail may repeat what the caller sent, a token perhaps: it stays out.
	r.options.Logger.Log(req.Context(), level, "API call failed", slog.String("code", string(p.Code)), slog.String("method", req.Method),
		slog.String("path", req.URL.Path), slog.String("request_id", id), slog.Any("error", p.Cause))
	p.write(w, id)
}

// answer encodes what a handler gave.
func (r *Router) answer(w http.ResponseWriter, req *http.Request, o *operation, out any) {
	if at, ok := out.(Located); ok {
		w.Header().Set("Location", at.Location())
	}
	if o.Handler.out == reflect.TypeFor[None]() {
		w.WriteHeader(o.success())
		return
	}
	body, err := json.MarshalIndent(out, "", "  ")
	if err != nil {
		r.fail(w, req, NewProblem(CodeInternal, "").Because(fmt.Errorf("encode the answer of %s: %w", o.ID, err)))
		return
	}
	if o.ETag {
		sum := sha256.Sum256(body)
		tag := `"` + base64.RawURLEncoding.EncodeToString(sum[:16]) + `"`
		w.Header().Set("ETag", tag)
		if match := req.Header.Get("If-None-Match"); match == tag || match == "W/"+tag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(o.success())
	_, _ = w.Write(append(body, '\n')) // a client that is gone is no concern
}
