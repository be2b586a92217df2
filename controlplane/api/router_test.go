package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/api"
	"github.com/umagate/umagate/controlplane/audit"
)

// shelf is a package with operations, as doc.go tells to write one.
type shelf struct{ added []bookSpec }

type bookSpec struct {
	Title  string   `json:"title" minLength:"1" maxLength:"40"`
	Pages  int      `json:"pages,omitempty" minimum:"1" maximum:"9000"`
	Genres []string `json:"genres,omitempty"`
}

type book struct {
	Title string `json:"title"`
	Shelf string `json:"shelf"`
}

func (b book) Location() string { return "/v1/shelves/" + b.Shelf + "/books/" + b.Title }

type addInput struct {
	Shelf string `path:"shelf" pattern:"^[a-z]+$" maxLength:"10"`
	Body  bookSpec
}

type listInput struct {
	Shelf string `path:"shelf" pattern:"^[a-z]+$" maxLength:"10"`
	Genre string `query:"genre" enum:"crime,poetry" doc:"only these"`
	Long  bool   `query:"long"`
	api.Paging
}

func (s *shelf) Operations() []api.Operation {
	return []api.Operation{{
		ID: "addBook", Method: http.MethodPost, Path: "/v1/shelves/{shelf}/books", Tag: "books", Role: api.Write, Status: http.StatusCreated,
		Summary: "Add a book", Action: "book.create", Codes: []api.Code{api.CodeConflict},
		Handler: api.Handle(func(_ context.Context, in addInput) (book, error) {
			switch in.Body.Title {
			case "taken":
				return book{}, api.Conflict("the shelf has %s", in.Body.Title)
			case "broken":
				return book{}, errors.New("the cause is not for clients")
			case "panics":
				panic("a mistake")
			}
			s.added = append(s.added, in.Body)
			return book{Title: in.Body.Title, Shelf: in.Shelf}, nil
		}),
	}, {
		ID: "listBooks", Method: http.MethodGet, Path: "/v1/shelves/{shelf}/books", Tag: "books", Role: api.Read, ETag: true,
		Summary: "List the books",
		Handler: api.Handle(func(_ context.Context, in listInput) (api.Page[book], error) {
			return api.Paginate(in.Paging, []book{{"a", in.Shelf}, {"b", in.Shelf}, {"c", in.Shelf}}, func(b book) string { return b.Title })
		}),
	}, {
		ID: "ping", Method: http.MethodGet, Path: "/ping", Tag: "probes", Role: api.Probe, Summary: "Ping",
		Handler: api.Raw("text/plain", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "pong") })),
	}}
}

// byToken knows two tokens.
type byToken struct{}

func (byToken) Authenticate(r *http.Request) (api.Caller, error) {
	switch r.Header.Get("Authorization") {
	case "Bearer writer":
		return api.Caller{Name: "ci", Role: api.Write}, nil
	case "Bearer reader":
		return api.Caller{Name: "monitoring", Role: api.Read}, nil
	}
	return api.Caller{}, api.ErrNoCredential
}

// kept keeps events.
type kept struct{ events []audit.Event }

func (k *kept) Record(ctx context.Context, e audit.Event) {
	k.events = append(k.events, audit.Complete(ctx, e, e.At))
}

func newShelf(t *testing.T) (*shelf, *kept, *api.Router) {
	t.Helper()
	s, k := &shelf{}, &kept{}
	router, err := api.New(api.Options{
		Version: "test", Logger: slog.New(slog.DiscardHandler), Authenticator: byToken{}, Recorder: k,
	}, s.Operations()...)
	require.NoError(t, err)
	return s, k, router
}

func TestCalls(t *testing.T) {
	t.Parallel()
	const books = "/v1/shelves/crime/books"
	for _, test := range []struct {
		name, method, path, token, body string
		header                          http.Header
		status                          int
		code                            api.Code
		at                              string // of the first error
		contains                        string
	}{
		{name: "read", method: "GET", path: books, token: "reader", status: 200, contains: `"items"`},
		{name: "head", method: "HEAD", path: books, token: "reader", status: 200},
		{name: "a page", method: "GET", path: books + "?limit=2", token: "reader", status: 200, contains: `"next_cursor": "Yg"`},
		{name: "the page after", method: "GET", path: books + "?cursor=Yg", token: "reader", status: 200, contains: `"c"`},
		{name: "no cursor of ours", method: "GET", path: books + "?cursor=Y", token: "reader", status: 404, code: api.CodeNotFound},
		{name: "the page after the last", method: "GET", path: books + "?cursor=eg", token: "reader", status: 200, contains: `"items": []`},
		{name: "limit 0", method: "GET", path: books + "?limit=0", token: "reader", status: 400, code: api.CodeInvalidRequest, at: "query limit"},
		{name: "limit 1001", method: "GET", path: books + "?limit=1001", token: "reader", status: 400, code: api.CodeInvalidRequest, at: "query limit"},
		{name: "limit of no number", method: "GET", path: books + "?limit=+1", token: "reader", status: 400, code: api.CodeInvalidRequest, at: "query limit"},
		{name: "no boolean", method: "GET", path: books + "?long=yes", token: "reader", status: 400, code: api.CodeInvalidRequest, at: "query long"},
		{name: "no genre", method: "GET", path: books + "?genre=prose", token: "reader", status: 400, code: api.CodeInvalidRequest, at: "query genre"},
		{name: "no genre at all", method: "GET", path: books + "?genre=", token: "reader", status: 400, code: api.CodeInvalidRequest, at: "query genre"},
		{name: "no limit at all", method: "GET", path: books + "?limit=", token: "reader", status: 400, code: api.CodeInvalidRequest, at: "query limit"},
		{name: "another form of true", method: "GET", path: books + "?long=T", token: "reader", status: 400, code: api.CodeInvalidRequest, at: "query long"},
		{name: "an empty cursor", method: "GET", path: books + "?cursor=", token: "reader", status: 200, contains: `"items"`},
		{name: "unknown parameter", method: "GET", path: books + "?limt=1", token: "reader", status: 400, code: api.CodeInvalidRequest, at: "query limt"},
		{name: "parameter twice", method: "GET", path: books + "?limit=1&limit=1", token: "reader", status: 400, code: api.CodeInvalidRequest, at: "query limit"},
		{name: "bad query", method: "GET", path: books + "?limit=%zz", token: "reader", status: 400, code: api.CodeInvalidRequest},
		{name: "not UTF-8", method: "GET", path: books + "?genre=%ff", token: "reader", status: 400, code: api.CodeInvalidRequest, at: "query genre"},
		{name: "bad path parameter", method: "GET", path: "/v1/shelves/CRIME/books", token: "reader", status: 400, code: api.CodeInvalidRequest, at: "path shelf"},
		{name: "a body where there is none", method: "GET", path: books, token: "reader", body: "{}", status: 400, code: api.CodeInvalidRequest},
		{name: "nobody", method: "GET", path: books, status: 401, code: api.CodeUnauthorized},
		{name: "somebody unknown", method: "GET", path: books, token: "other", status: 401, code: api.CodeUnauthorized},
		{name: "writer reads", method: "GET", path: books, token: "writer", status: 200},
		{name: "reader writes", method: "POST", path: books, token: "reader", body: `{"title":"a"}`, status: 403, code: api.CodeForbidden},
		{name: "write", method: "POST", path: books, token: "writer", body: `{"title":"a","pages":3}`, status: 201, contains: `"title": "a"`},
		{name: "charset", method: "POST", path: books, token: "writer", body: `{"title":"a"}`, header: http.Header{"Content-Type": {"application/json; charset=UTF-8"}}, status: 201},
		{name: "no JSON type", method: "POST", path: books, token: "writer", body: `{"title":"a"}`, header: http.Header{"Content-Type": {"text/plain"}}, status: 415, code: api.CodeUnsupportedMediaType},
		{name: "compressed", method: "POST", path: books, token: "writer", body: `{"title":"a"}`, header: http.Header{"Content-Type": {"application/json"}, "Content-Encoding": {"gzip"}}, status: 415, code: api.CodeUnsupportedMediaType},
		{name: "no body", method: "POST", path: books, token: "writer", header: http.Header{"Content-Type": {"application/json"}}, status: 400, code: api.CodeInvalidRequest, at: "body "},
		{name: "no JSON", method: "POST", path: books, token: "writer", body: `{"title":`, status: 400, code: api.CodeInvalidRequest, at: "body /title"},
		{name: "member twice", method: "POST", path: books, token: "writer", body: `{"title":"a","title":"b"}`, status: 400, code: api.CodeInvalidRequest, at: "body /title"},
		{name: "unknown member", method: "POST", path: books, token: "writer", body: `{"title":"a","Title":"b"}`, status: 400, code: api.CodeInvalidRequest, at: "body /Title"},
		{name: "a member in other letters", method: "POST", path: books, token: "writer", body: `{"Title":"b"}`, status: 400, code: api.CodeInvalidRequest, at: "body "},
		{name: "null in place of a member that may be left out", method: "POST", path: books, token: "writer", body: `{"title":"a","pages":null}`, status: 400, code: api.CodeInvalidRequest, at: "body /pages"},
		{name: "an element of a list", method: "POST", path: books, token: "writer", body: `{"title":"a","genres":["b",1]}`, status: 400, code: api.CodeInvalidRequest, at: "body /genres/1"},
		{name: "a number beyond all types", method: "POST", path: books, token: "writer", body: `{"title":"a","pages":1e99}`, status: 400, code: api.CodeInvalidRequest, at: "body /pages"},
		{name: "no media type", method: "POST", path: books, token: "writer", body: `{"title":"a"}`, header: http.Header{"X-Other": {"a"}}, status: 415, code: api.CodeUnsupportedMediaType},
		{name: "a value is not repeated", method: "POST", path: books, token: "writer", body: `{"title":["not for clients"]}`, status: 400, code: api.CodeInvalidRequest, at: "body /title"},
		{name: "missing member", method: "POST", path: books, token: "writer", body: `{"pages":3}`, status: 400, code: api.CodeInvalidRequest, at: "body "},
		{name: "wrong type", method: "POST", path: books, token: "writer", body: `{"title":7}`, status: 400, code: api.CodeInvalidRequest, at: "body /title"},
		{name: "number with a fraction", method: "POST", path: books, token: "writer", body: `{"title":"a","pages":1.5}`, status: 400, code: api.CodeInvalidRequest, at: "body /pages"},
		{name: "whole number written as a fraction", method: "POST", path: books, token: "writer", body: `{"title":"a","pages":1.0}`, status: 400, code: api.CodeInvalidRequest},
		{name: "null", method: "POST", path: books, token: "writer", body: `null`, status: 400, code: api.CodeInvalidRequest},
		{name: "more after the value", method: "POST", path: books, token: "writer", body: `{"title":"a"}{}`, status: 400, code: api.CodeInvalidRequest},
		{name: "nested deeply", method: "POST", path: books, token: "writer", body: strings.Repeat("[", 40), status: 400, code: api.CodeInvalidRequest},
		{name: "not UTF-8 in the body", method: "POST", path: books, token: "writer", body: "{\"title\":\"\xff\"}", status: 400, code: api.CodeInvalidRequest},
		{name: "too large", method: "POST", path: books, token: "writer", body: `{"title":"` + strings.Repeat("a", 70<<10) + `"}`, status: 413, code: api.CodeTooLarge},
		{name: "conflict", method: "POST", path: books, token: "writer", body: `{"title":"taken"}`, status: 409, code: api.CodeConflict, contains: "the shelf has taken"},
		{name: "a failure without words", method: "POST", path: books, token: "writer", body: `{"title":"broken"}`, status: 500, code: api.CodeInternal},
		{name: "a panic", method: "POST", path: books, token: "writer", body: `{"title":"panics"}`, status: 500, code: api.CodeInternal},
		{name: "another method", method: "DELETE", path: books, token: "writer", status: 405, code: api.CodeMethodNotAllowed},
		{name: "another path", method: "GET", path: "/v1/books", token: "writer", status: 404, code: api.CodeNotFound},
		{name: "a path that is not canonical", method: "GET", path: "/v1//shelves/crime/books", token: "writer", status: 404, code: api.CodeNotFound},
		{name: "dots", method: "GET", path: "/v1/x/../shelves/crime/books", token: "writer", status: 404, code: api.CodeNotFound},
		{name: "a slash at the end", method: "GET", path: books + "/", token: "writer", status: 404, code: api.CodeNotFound},
		{name: "probe by nobody from elsewhere", method: "GET", path: "/ping", status: 401, code: api.CodeUnauthorized},
		{name: "probe by a reader", method: "GET", path: "/ping", token: "reader", status: 200, contains: "pong"},
		{name: "the document is for anybody", method: "GET", path: api.DocumentPath, status: 200, contains: "3.1.0"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, _, router := newShelf(t)
			req := httptest.NewRequestWithContext(t.Context(), test.method, "http://127.0.0.1"+test.path, strings.NewReader(test.body))
			if test.header != nil {
				req.Header = test.header
			} else if test.body != "" {
				req.Header.Set("Content-Type", "application/json")
			}
			if test.token != "" {
				req.Header.Set("Authorization", "Bearer "+test.token)
			}
			w := httptest.NewRecorder()
			router.ServeHTTP(w, req)
			body := w.Body.String()
			require.Equal(t, test.status, w.Code, body)
			require.Contains(t, body, test.contains)
			require.NotContains(t, body, "not for clients")
			require.NotEmpty(t, w.Header().Get("X-Request-Id"))
			require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
			require.Empty(t, w.Header().Get("Access-Control-Allow-Origin"))
			if test.status < 400 {
				return
			}
			require.Equal(t, "application/problem+json", w.Header().Get("Content-Type"))
			var p api.Problem
			require.NoError(t, json.Unmarshal(w.Body.Bytes(), &p))
			require.Equal(t, test.code, p.Code)
			require.Equal(t, test.status, p.Status)
			require.Equal(t, w.Header().Get("X-Request-Id"), p.RequestID)
			if test.at != "" {
				require.NotEmpty(t, p.Errors, body)
				require.Equal(t, test.at, p.Errors[0].In+" "+p.Errors[0].Name)
			}
			if test.status == 405 {
				require.Equal(t, "GET, POST, HEAD", w.Header().Get("Allow"))
			}
			if test.status == 401 {
				require.Contains(t, w.Header().Get("WWW-Authenticate"), "Bearer")
			}
		})
	}
}

func TestETag(t *testing.T) {
	t.Parallel()
	_, _, router := newShelf(t)
	get := func(match string) *httptest.ResponseRecorder {
		req := httptest.NewRequestWithContext(t.Context(), "GET", "/v1/shelves/crime/books", nil)
		req.Header.Set("Authorization", "Bearer reader")
		req.Header.Set("If-None-Match", match)
		w := httptest.NewRecorder()
		router.ServeHTTP(w, req)
		return w
	}
	tag := get("").Header().Get("ETag")
	require.NotEmpty(t, tag)
	require.Equal(t, http.StatusNotModified, get(tag).Code)
	require.Equal(t, http.StatusOK, get(`"another"`).Code)
}

func TestWhatChangesIsRecorded(t *testing.T) {
	t.Parallel()
	s, k, router := newShelf(t)
	for _, title := range []string{"a", "taken"} {
		req := httptest.NewRequestWithContext(t.Context(), "POST", "/v1/shelves/crime/books", strings.NewReader(`{"title":"`+title+`"}`))
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Authorization", "Bearer writer")
		req.Header.Set("X-Request-Id", "from-envoy-"+title)
		w := httptest.NewRecorder()
		router.ServeHTTP(w, req)
		require.Equal(t, "from-envoy-"+title, w.Header().Get("X-Request-Id"))
	}
	require.Len(t, s.added, 1)
	require.Len(t, k.events, 2)
	require.Equal(t, audit.Actor{Kind: audit.KindAPI, Name: "ci", Address: "192.0.2.1"}, k.events[0].Actor)
	require.Equal(t, audit.Done, k.events[0].Outcome)
	require.Equal(t, "crime", k.events[0].Target)
	require.Equal(t, "from-envoy-a", k.events[0].RequestID)
	require.Equal(t, audit.Failed, k.events[1].Outcome)
	require.Equal(t, "the shelf has taken", k.events[1].Detail["error"])
}

func TestDocumentIsValid(t *testing.T) {
	t.Parallel()
	_, _, router := newShelf(t)
	loader := openapi3.NewLoader()
	doc, err := loader.LoadFromData(router.Document())
	require.NoError(t, err)
	require.NoError(t, doc.Validate(t.Context()))
	add := doc.Paths.Find("/v1/shelves/{shelf}/books").Post
	require.Equal(t, "addBook", add.OperationID)
	require.NotNil(t, add.Responses.Value("409"))
	require.NotNil(t, doc.Components.Schemas["BookSpec"])
	require.NotNil(t, doc.Components.Schemas["PageBook"])
}

func TestMistakesInDeclarations(t *testing.T) {
	t.Parallel()
	good := api.Operation{
		ID: "a", Method: "GET", Path: "/a", Tag: "t", Summary: "s", Role: api.Read,
		Handler: api.Handle(func(context.Context, api.None) (api.None, error) { return api.None{}, nil }),
	}
	type untagged struct{ A string }
	for name, change := range map[string]func(*api.Operation){
		"role":    func(o *api.Operation) { o.Role = "" },
		"ID":      func(o *api.Operation) { o.ID = "A B" },
		"handler": func(o *api.Operation) { o.Handler = api.Handler{} },
		"Summary": func(o *api.Operation) { o.Summary = "" },
		"Action":  func(o *api.Operation) { o.Method = "POST" },
		"tags": func(o *api.Operation) {
			o.Handler = api.Handle(func(context.Context, untagged) (api.None, error) { return api.None{}, nil })
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := good
			change(&o)
			_, err := api.New(api.Options{Logger: slog.New(slog.DiscardHandler)}, o)
			require.ErrorContains(t, err, name)
		})
	}
	_, err := api.New(api.Options{Logger: slog.New(slog.DiscardHandler)}, good, good)
	require.ErrorContains(t, err, "taken")
}
