package tokenkey

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/umagate/umagate/controlplane/secret"
)

// maxBody bounds what the filter sends: the name of a site.
const maxBody = 1 << 10

// Handler gives the filters of Envoys the key of a site. Envoy adds the credential, which
// only those have that have the site.
type Handler struct {
	Keys Keys
	// Version is the version of a site's keys; ok tells that it has internal tokens.
	Version func(site string) (version int, ok bool)
	Now     func() time.Time
	Logger  *slog.Logger
	// Observe counts the answers, by status; may be nil.
	Observe func(status int)
}

type answer struct {
	Code      string `json:"code,omitempty"`
	KeyID     string `json:"kid,omitempty"`
	Key       string `json:"key,omitempty"`
	RenewIn   int64  `json:"renew_in,omitempty"`
	ExpiresIn int64  `json:"expires_in,omitempty"`
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	status, body := h.serve(r)
	if h.Observe != nil {
		h.Observe(status)
	}
	switch status {
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", `Bearer realm="umagate"`)
	case http.StatusMethodNotAllowed:
		w.Header().Set("Allow", http.MethodPost)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // an Envoy that is gone is no concern
}

func (h *Handler) serve(r *http.Request) (int, answer) {
	if r.Method != http.MethodPost {
		return http.StatusMethodNotAllowed, answer{Code: "method_not_allowed"}
	}
	var m struct {
		Site    string `json:"site"`
		Version int    `json:"version"`
	}
	decoder := json.NewDecoder(io.LimitReader(r.Body, maxBody))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&m); err != nil {
		return http.StatusBadRequest, answer{Code: "malformed"}
	}
	version, known := h.Version(m.Site)
	site := Site{m.Site, version}
	credential, err := h.Keys.Credential(site)
	if err != nil {
		return h.failed(m.Site, err)
	}
	if !credential.Equal(bearer(r)) {
		return http.StatusUnauthorized, answer{Code: "unauthorized"}
	}
	switch {
	case !known:
		return http.StatusNotFound, answer{Code: "no_such_site"}
	case m.Version != version: // this replica, or the filter, has the file from before
		return http.StatusConflict, answer{Code: "other_version"}
	}
	key, err := h.Keys.Current(site, h.Now())
	if err != nil {
		return h.failed(m.Site, err)
	}
	return http.StatusOK, answer{
		KeyID: key.ID, Key: key.Seed.Reveal(), RenewIn: max(minSeconds, int64(key.RenewIn/time.Second)), ExpiresIn: int64(key.ExpiresIn / time.Second),
	}
}

// minSeconds is the least that the filter takes: at the end of a day it asks a minute late.
const minSeconds = 60

func (h *Handler) failed(site string, err error) (int, answer) {
	h.Logger.Error("a filter gets no key for internal tokens", slog.String("site", site), slog.Any("error", err))
	return http.StatusInternalServerError, answer{Code: "failed"}
}

// bearer is the token of a request that has one.
func bearer(r *http.Request) secret.Text {
	values := r.Header.Values("Authorization")
	if len(values) != 1 {
		return secret.Text{}
	}
	token, ok := strings.CutPrefix(values[0], "Bearer ")
	if !ok {
		return secret.Text{}
	}
	return secret.New(token)
}
