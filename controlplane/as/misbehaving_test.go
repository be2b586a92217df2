package as_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/clientauth"
	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/plugin/config"
)

// kindOfCall is one thing that umagate asks of an AS.
type kindOfCall struct {
	name string
	ask  func(ctx context.Context, c *as.Client, s *as.Server) error
}

func kindsOfCall() []kindOfCall {
	api := func(s *as.Server) *as.Protection { return s.Protection(fresh("hush-pat")) }
	auth, _ := clientauth.NewSecret(clientauth.SecretBasic, "rs", secret.New("hush-secret"), nil)
	album := as.Resource{ID: "r1", Name: "albums", Scopes: []string{"view"}}
	return []kindOfCall{
		{"discovery", func(ctx context.Context, c *as.Client, _ *as.Server) error { _, err := c.Discover(ctx); return err }},
		{"registration", func(ctx context.Context, _ *as.Client, s *as.Server) error {
			_, err := s.Register(ctx, as.ClientMetadata{Name: "x"}, secret.New("hush-iat"))
			return err
		}},
		{"pat", func(ctx context.Context, _ *as.Client, s *as.Server) error { _, err := s.PAT(ctx, auth); return err }},
		{"create", func(ctx context.Context, _ *as.Client, s *as.Server) error {
			_, err := api(s).Create(ctx, album)
			return err
		}},
		{"read", func(ctx context.Context, _ *as.Client, s *as.Server) error {
			_, err := api(s).Read(ctx, "r1")
			return err
		}},
		{"update", func(ctx context.Context, _ *as.Client, s *as.Server) error { return api(s).Update(ctx, album) }},
		{"delete", func(ctx context.Context, _ *as.Client, s *as.Server) error { return api(s).Delete(ctx, "r1") }},
		{"list", func(ctx context.Context, _ *as.Client, s *as.Server) error { _, err := api(s).List(ctx); return err }},
		{"permission", func(ctx context.Context, _ *as.Client, s *as.Server) error {
			_, err := api(s).Permission(ctx, []config.Permission{{ResourceID: "r1", ResourceScopes: []string{"view"}}})
			return err
		}},
		{"introspection", func(ctx context.Context, _ *as.Client, s *as.Server) error {
			_, err := s.Introspect(ctx, auth, nil, secret.New("hush-rpt"))
			return err
		}},
	}
}

// misbehaviour is what an AS may do instead of answering, and what it comes to.
type misbehaviour struct {
	name string
	do   http.HandlerFunc
	// kind is the error, for the calls that are not in others.
	kind   error
	others map[string]error
	// again: the same call may succeed later, and is made again by those who ask.
	again bool
	wait  time.Duration
}

// fine stands in a table for no error.
var errFine = errors.New("fine")

func misbehaviours() []misbehaviour {
	answer := func(status int, contentType, body string, header ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", contentType)
			for i := 0; i < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	const jsonType, htmlType = "application/json", "text/html; charset=utf-8"
	const page = "<!doctype html><title>Maintenance</title>"
	later := clock.Add(90 * time.Second).UTC().Format(http.TimeFormat)
	// Without a body to read, an update and a deletion are done when the status says so.
	// A token that cannot be read is none, where the answer says that it is JSON.
	bodiless := func(pat error) map[string]error {
		return map[string]error{"update": errFine, "delete": errFine, "pat": pat}
	}
	return []misbehaviour{
		{"does not answer", func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // only then is it seen that the client has gone
			<-r.Context().Done()
		}, as.ErrUnavailable, nil, true, 0},
		{"resets the connection", func(w http.ResponseWriter, _ *http.Request) { hangUp(w, "") }, as.ErrUnavailable, nil, true, 0},
		{"resets it in the middle of the body", func(w http.ResponseWriter, _ *http.Request) {
			hangUp(w, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{\"issuer\":\"")
		}, as.ErrUnavailable, nil, true, 0},
		{"is down behind its proxy", answer(502, htmlType, page), as.ErrUnavailable, nil, true, 0},
		{"limits the rate in seconds", answer(429, jsonType, `{}`, "Retry-After", "90"), as.ErrRateLimited, nil, true, 90 * time.Second},
		{"limits the rate until a date", answer(503, htmlType, page, "Retry-After", later), as.ErrUnavailable, nil, true, 90 * time.Second},
		{"asks for a year", answer(429, jsonType, `{}`, "Retry-After", strconv.Itoa(365*24*3600)), as.ErrRateLimited, nil, true, 10 * time.Minute},
		{"answers a page", answer(200, htmlType, page), as.ErrNotJSON, bodiless(as.ErrNotJSON), false, 0},
		{"answers half a document", answer(200, jsonType, `{"issuer":"ISSUER","token_`), as.ErrNotJSON, bodiless(as.ErrMalformed), false, 0},
		{"answers nothing", answer(200, jsonType, ``), as.ErrNotJSON, bodiless(as.ErrMalformed), false, 0},
		{
			"answers an empty object", answer(200, jsonType, `{}`), as.ErrMalformed,
			map[string]error{"update": errFine, "delete": errFine, "introspection": errFine},
			false, 0,
		},
		{
			"answers other types", answer(200, jsonType, `{"issuer":1,"client_id":[],"access_token":{},"_id":{},"name":[],"ticket":{}}`), as.ErrMalformed,
			map[string]error{"update": errFine, "delete": errFine, "introspection": errFine},
			false, 0,
		},
		{
			"answers 16 MiB", answer(200, jsonType, `{"a":"`+strings.Repeat("x", 16<<20)+`"}`), as.ErrTooLarge, nil, false, 0,
		},
		{
			"says an error with status 200", answer(200, jsonType, `{"error":"server_error","error_description":"not today","active":false}`), as.ErrRejected,
			map[string]error{"introspection": errFine},
			false, 0,
		},
		{"redirects to a login page elsewhere", answer(302, htmlType, page, "Location", "https://login.example.com/?return=x"), as.ErrRedirect, nil, false, 0},
		{"redirects within itself", answer(307, htmlType, "", "Location", "/elsewhere"), as.ErrRedirect, nil, false, 0},
		{"forbids", answer(403, jsonType, `{"error":"forbidden"}`), as.ErrRejected, map[string]error{
			"registration": as.ErrRegistrationRefused, "pat": as.ErrClientRefused, "introspection": as.ErrClientRefused, "discovery": as.ErrNoMetadata,
		}, false, 0},
		{"speaks of teapots", answer(418, jsonType, `{"message":"a teapot"}`), as.ErrRejected, map[string]error{"discovery": as.ErrNoMetadata}, false, 0},
	}
}

var clock = time.Unix(1767312000, 0)

// hangUp writes and then resets the connection.
func hangUp(w http.ResponseWriter, written string) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	_, _ = io.WriteString(conn, written)
	if tcp, ok := conn.(*net.TCPConn); ok && written == "" {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// TestMisbehavingAS: whatever an AS does instead of answering, each call ends, by
// an error of a known kind that has a remedy and shows no secret.
func TestMisbehavingAS(t *testing.T) {
	t.Parallel()
	for _, m := range misbehaviours() {
		for _, call := range kindsOfCall() {
			t.Run(m.name+"/"+call.name, func(t *testing.T) {
				t.Parallel()
				as1 := httptest.NewServer(m.do)
				t.Cleanup(as1.Close)
				client, err := as.New(as.Config{Issuer: as1.URL, Timeout: time.Second, Now: func() time.Time { return clock }})
				require.NoError(t, err)
				server, err := client.Known(as.Metadata{
					Issuer: as1.URL, TokenEndpoint: as1.URL + "/token", IntrospectionEndpoint: as1.URL + "/introspect", RegistrationEndpoint: as1.URL + "/register",
					ResourceRegistrationEndpoint: as1.URL + "/rsrc", PermissionEndpoint: as1.URL + "/perm",
				})
				require.NoError(t, err)
				want := m.kind
				if other, ok := m.others[call.name]; ok {
					want = other
				}
				err = call.ask(t.Context(), client, server)
				if errors.Is(want, errFine) {
					require.NoError(t, err)
					return
				}
				require.ErrorIs(t, err, want)
				failed, ok := errors.AsType[*as.Error](err)
				require.True(t, ok)
				require.Equal(t, m.again, failed.Temporary(), "%v", err)
				require.Equal(t, m.wait, as.RetryAfter(err))
				require.NotEmpty(t, as.Remedy(err))
				require.NotContains(t, err.Error(), "hush")
				require.NotContains(t, fmt.Sprintf("%+v", failed), "hush")
				require.NotContains(t, err.Error(), "\n")
			})
		}
	}
}

// TestListsThatDoNotEnd: pages that repeat, an AS that heeds no page number, and
// one whose next page is elsewhere.
func TestListsThatDoNotEnd(t *testing.T) {
	t.Parallel()
	full := make([]string, 100)
	for i := range full {
		full[i] = strconv.Quote(fmt.Sprint("r", i))
	}
	list := "[" + strings.Join(full, ",") + "]"
	tests := []struct {
		name, document string
		link           string
		want           int
	}{
		{"the same page for ever", keycloakDocument, "", 100},
		{"a next page that is itself", genericDocument, `<?page=1>; rel="next"`, 100},
		{"a next page elsewhere", genericDocument, `<https://evil.example.com/rs>; rel="next"`, 100},
		{"a link that is none", genericDocument, `<; rel=next, <a>; rel="prev`, 100},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			asked := 0
			var front *httptest.Server
			front = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				if strings.HasPrefix(r.URL.Path, "/.well-known/") {
					_, _ = io.WriteString(w, strings.ReplaceAll(tt.document, "ISSUER", front.URL))
					return
				}
				asked++
				if tt.link != "" {
					w.Header().Set("Link", tt.link)
				}
				_, _ = io.WriteString(w, list)
			}))
			t.Cleanup(front.Close)
			client, err := as.New(as.Config{Issuer: front.URL})
			require.NoError(t, err)
			server, err := client.Discover(t.Context())
			require.NoError(t, err)
			ids, err := server.Protection(fresh("pat")).List(t.Context())
			require.NoError(t, err)
			require.Len(t, ids, tt.want, "each once")
			require.LessOrEqual(t, asked, 3)
		})
	}
}

// TestAnotherResourceIsNotThisOne: an answer for another id is no drift to repair.
func TestAnotherResourceIsNotThisOne(t *testing.T) {
	t.Parallel()
	api := discover(t, genericDocument, get("/rs/r1", 200, `{"_id":"r2","name":"people","resource_scopes":["view"]}`)).Protection(pats("pat-1"))
	_, err := api.Read(t.Context(), "r1")
	require.ErrorIs(t, err, as.ErrMalformed)
	require.Contains(t, err.Error(), "it is resource r2")
}
