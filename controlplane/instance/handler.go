package instance

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"

	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/controlplane/store"
)

// maxBody bounds what the filter sends: values and an owner.
const maxBody = 16 << 10

// Handler answers the filters of every Envoy. It is not for anybody else: each
// request shows the credential that Envoy adds.
type Handler struct {
	// Credential is what Envoys show, as a bearer token.
	Credential secret.Text
	// Manager returns the manager of a site; nil for none.
	Manager func(site string) *Manager
	Logger  *slog.Logger
	// Observe counts the answers, by call and status; may be nil.
	Observe func(call string, status int)
}

// message is what the filter sends; see config.Instances.
type message struct {
	Site     string   `json:"site"`
	Resource string   `json:"resource"`
	Values   []string `json:"values"`
	Owner    string   `json:"owner"`
}

type answer struct {
	ResourceID string `json:"resource_id,omitempty"`
	Code       string `json:"code,omitempty"`
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	call, ok := strings.CutPrefix(r.URL.Path, site.InstancesPath+"/")
	status, body := http.StatusNotFound, answer{Code: "no_such_call"}
	switch {
	case !ok:
	case h.Credential.IsZero(), !h.Credential.Equal(bearer(r)):
		w.Header().Set("WWW-Authenticate", `Bearer realm="umagate"`)
		status, body = http.StatusUnauthorized, answer{Code: "unauthorized"}
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		status, body = http.StatusMethodNotAllowed, answer{Code: "method_not_allowed"}
	default:
		status, body = h.serve(r, call)
	}
	if h.Observe != nil {
		switch call {
		case "lookup", "register", "remove":
		default:
			call = "other"
		}
		h.Observe(call, status)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // an Envoy that is gone is no concern
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

func (h *Handler) serve(r *http.Request, call string) (int, answer) {
	var m message
	decoder := json.NewDecoder(io.LimitReader(r.Body, maxBody))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&m); err != nil {
		return http.StatusBadRequest, answer{Code: "malformed"}
	}
	manager := h.Manager(m.Site)
	if manager == nil {
		return http.StatusNotFound, answer{Code: "no_such_site"}
	}
	ask := Request{Template: m.Resource, Values: m.Values, Owner: m.Owner}
	var status int
	var body answer
	var err error
	switch call {
	case "lookup":
		status = http.StatusOK
		body.ResourceID, err = manager.Lookup(r.Context(), ask)
		if errors.Is(err, ErrTemplate) || errors.Is(err, ErrValues) {
			err = errors.Join(ErrUnknown, err) // no path of it can be registered
		}
	case "register":
		status, body, err = register(r.Context(), manager, ask)
	case "remove":
		status = http.StatusAccepted
		if _, err = manager.RemoveValues(r.Context(), ask); errors.Is(err, ErrUnknown) {
			status, err = http.StatusNoContent, nil
		}
	default:
		return http.StatusNotFound, answer{Code: "no_such_call"}
	}
	if err != nil {
		status, body = statusOf(err)
		h.log(r.Context(), call, m, status, err)
	}
	return status, body
}

func register(ctx context.Context, manager *Manager, ask Request) (int, answer, error) {
	if ask.Owner == "" {
		return 0, answer{}, errNoOwner
	}
	in, _, err := manager.Register(ctx, ask)
	if err != nil {
		return 0, answer{}, err
	}
	if in.State == store.InstanceRegistered {
		return http.StatusCreated, answer{ResourceID: in.ID}, nil
	}
	return http.StatusAccepted, answer{Code: "pending"}, nil
}

var errNoOwner = errors.New("an instance that the API created has an owner")

// statusOf says to the filter what to do: 4xx is final, but for 429; anything else
// is tried again.
func statusOf(err error) (int, answer) {
	switch {
	case errors.Is(err, ErrUnknown):
		return http.StatusNotFound, answer{Code: "unknown"}
	case errors.Is(err, ErrBusy):
		return http.StatusTooManyRequests, answer{Code: "busy"}
	case errors.Is(err, ErrOwned):
		return http.StatusConflict, answer{Code: "another_owner"}
	case errors.Is(err, ErrAmbiguous):
		return http.StatusConflict, answer{Code: "ambiguous"}
	case errors.Is(err, ErrTemplate), errors.Is(err, ErrValues), errors.Is(err, errNoOwner):
		return http.StatusUnprocessableEntity, answer{Code: "invalid"}
	case errors.Is(err, ErrRemoving):
		return http.StatusServiceUnavailable, answer{Code: "removing"}
	}
	return http.StatusInternalServerError, answer{Code: "failed"}
}

func (h *Handler) log(ctx context.Context, call string, m message, status int, err error) {
	level := slog.LevelWarn
	if status == http.StatusNotFound {
		level = slog.LevelDebug
	}
	h.Logger.Log(ctx, level, "a filter's question was not answered as it hoped", slog.String("call", call), slog.String("site", m.Site),
		slog.String("resource", m.Resource), slog.Any("values", m.Values), slog.Int("status", status), slog.Any("error", err))
}
