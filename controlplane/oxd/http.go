package oxd

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"

	"github.com/umagate/umagate/controlplane/secret"
)

// maxBody bounds a command over HTTP, in bytes. uma_rs_protect is the largest.
const maxBody = 1 << 20

// Handler serves every command as POST /its-name, and GET /health-check and
// /openapi.json. A command that failed is answered with 200 and the envelope, as
// oxd-https-extension did: its clients read no body of another status. Only a call
// without a bearer token (403), and a body that is not what the command takes
// (400), are told by the status.
func (s *Server) Handler() (http.Handler, error) {
	document, err := OpenAPI()
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	for _, c := range Commands() {
		for _, path := range c.paths() {
			mux.Handle("POST "+path, s.serveCommand(&c))
		}
	}
	mux.HandleFunc("GET /health-check", func(w http.ResponseWriter, _ *http.Request) {
		plain(w, http.StatusOK, "running")
	})
	mux.HandleFunc("GET /openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(document) // a client that is gone is no concern
	})
	// setup-client needs no token: a web page must not make a browser call it.
	return http.NewCrossOriginProtection().Handler(mux), nil
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
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		token := bearer(r.Header)
		if token.IsZero() && !c.Open {
			s.answer(w, http.StatusForbidden, failed(&Error{Code: "403", Description: "Forbidden Access"}))
			return
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		if err != nil {
			if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
				plain(w, http.StatusRequestEntityTooLarge, "the parameters are larger than 1 MiB")
			}
			return // else the client is gone
		}
		if e := c.check(body); e != nil {
			plain(w, http.StatusBadRequest, e.Description)
			return
		}
		s.answer(w, http.StatusOK, s.Handle(r.Context(), c.Name, body, token))
	})
}

// check says what is wrong with the form of the parameters.
func (c *Command) check(body []byte) *Error {
	if !json.Valid(body) {
		return &Error{Code: CodeInternal, Description: "the body is not JSON"}
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
		s.config.Logger.Error("oxd answer not encoded", slog.Any("error", err))
		plain(w, http.StatusInternalServerError, errInternal)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that is gone is no concern
}

func plain(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text)
}
