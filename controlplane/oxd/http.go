package oxd

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"

	"github.com/umagate/umagate/controlplane/secret"
)

// maxBody bounds a command over HTTP, in bytes. uma_rs_protect is the largest.
const maxBody = 1 << 20

// Handler serves every command as POST /its-name, and GET /health-check and
// /openapi.json. A command that failed is answered with 200 and the envelope, as
// oxd-https-extension did: its clients read no body of another status. Only what is no
// command is told by the status, and that in the envelope, too: no bearer token (403),
// a body that is not what the command takes (400) or does not arrive (408, 413), another
// path or method (404, 405), another host (421).
func (s *Server) Handler() (http.Handler, error) {
	document, err := OpenAPI()
	if err != nil {
		return nil, err
	}
	// Paths are compared as they come: a router that cleans them answers redirects.
	routes := map[string]route{
		"/health-check": {http.MethodGet, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			_, _ = io.WriteString(w, "running") // a client that is gone is no concern
		})},
		"/openapi.json": {http.MethodGet, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(document) // as above
		})},
	}
	for _, c := range Commands() {
		for _, path := range c.paths() {
			routes[path] = route{http.MethodPost, s.serveCommand(&c)}
		}
	}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		to, ok := routes[r.URL.Path]
		switch {
		case !ok:
			s.answer(w, http.StatusNotFound, failed(fail(CodeUnsupportedOperation, "there is no command of this name")))
		case r.Method != to.method && (r.Method != http.MethodHead || to.method != http.MethodGet):
			w.Header().Set("Allow", to.method)
			s.answer(w, http.StatusMethodNotAllowed, failed(fail(CodeBadRequest, "this is asked by %s", to.method)))
		default:
			to.handler.ServeHTTP(w, r)
		}
	})
	// setup-client needs no token: a web page must not make a browser call it.
	protection := http.NewCrossOriginProtection()
	protection.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { s.forbid(w) }))
	return protection.Handler(handler), nil
}

type route struct {
	method  string
	handler http.Handler
}

// Misdirected answers a request that is for another host.
func (s *Server) Misdirected() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		s.answer(w, http.StatusMisdirectedRequest, failed(fail(CodeBadRequest, "this name is not one of a loopback address: ask by 127.0.0.1 or localhost")))
	})
}

func (s *Server) forbid(w http.ResponseWriter) {
	s.answer(w, http.StatusForbidden, failed(&Error{Code: "403", Description: "Forbidden Access"}))
}

func (c *Command) paths() []string {
	out := []string{c.Path()}
	for _, alias := range c.Aliases {
		out = append(out, "/"+strings.ReplaceAll(alias, "_", "-"))
	}
	return out
}

func (s *Server) serveCommand(c *Command) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token := bearer(r.Header)
		if token.IsZero() && !c.Open {
			s.forbid(w)
			return
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		if err != nil {
			status, e := http.StatusRequestTimeout, fail(CodeBadRequest, "the parameters did not arrive whole")
			if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
				status, e = http.StatusRequestEntityTooLarge, fail(CodeBadRequest, "the parameters are larger than 1 MiB")
			}
			s.answer(w, status, failed(e)) // who is gone does not see it
			return
		}
		if e := c.check(body); e != nil {
			s.answer(w, http.StatusBadRequest, failed(e))
			return
		}
		s.answer(w, http.StatusOK, s.Handle(r.Context(), c.Name, body, token))
	})
}

// check returns what is wrong with the form of the parameters.
func (c *Command) check(body []byte) *Error {
	if !json.Valid(body) {
		return fail(CodeInternal, "the body is not JSON")
	}
	if _, err := c.decode(body); err != nil {
		return malformed(err)
	}
	return nil
}

// bearer reads the one Authorization header of scheme Bearer.
func bearer(header http.Header) secret.Text {
	values := header.Values("Authorization")
	if len(values) != 1 {
		return secret.Text{}
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return secret.Text{}
	}
	return secret.New(strings.TrimSpace(token))
}

func (s *Server) answer(w http.ResponseWriter, status int, response Response) {
	body, err := encodeASCII(response)
	if err != nil {
		s.logger.Error("oxd answer not encoded", slog.Any("error", err))
		status = http.StatusInternalServerError
		// It has nothing that cannot be encoded.
		body, _ = encodeASCII(failed(&Error{Code: CodeInternal, Description: errInternal}))
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	for _, text := range response.Warnings {
		w.Header().Add("Warning", "199 - "+strconv.Quote(text)) // RFC 7234 section 5.5: to be logged
	}
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that is gone is no concern
}
