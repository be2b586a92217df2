package server_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/api/client"
	"github.com/umagate/umagate/controlplane/server"
	"github.com/umagate/umagate/controlplane/server/servertest"
	"github.com/umagate/umagate/demo/devas"
)

// serveVariable makes this test binary a control plane, for tests that kill it.
const serveVariable = "UMAGATE_TEST_SERVE"

func TestMain(m *testing.M) {
	path := os.Getenv(serveVariable)
	if path == "" {
		// Each server of httptest that ends closes the default transport's idle
		// connections, also those of a test beside it.
		http.DefaultTransport = struct{ http.RoundTripper }{http.DefaultTransport}
		os.Exit(m.Run())
	}
	err := server.Run(context.Background(), server.Options{
		Path: path, Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)), Intervals: servertest.Quick(),
		Started: func(api, _ string) {
			// Whole or not there: a reader must not see half of it.
			temp := path + ".api.new"
			if err := os.WriteFile(temp, []byte(api), 0o600); err == nil {
				_ = os.Rename(temp, path+".api")
			}
		},
	})
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// killer is an AS that kills the control plane at one of its requests, before or
// after it has done what was asked.
type killer struct {
	next  http.Handler
	after bool

	mu     sync.Mutex
	count  int
	at     int    // 0: never
	method string // the registration endpoint's next request of it
	kill   func()
	killed string // the request
}

// ServeHTTP gives no answer to the request that kills.
func (k *killer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	k.mu.Lock()
	k.count++
	dies := k.count == k.at || k.method == r.Method && strings.Contains(r.URL.Path, "/register")
	if dies {
		k.killed, k.method = r.Method+" "+r.URL.Path, ""
	}
	kill := k.kill
	k.mu.Unlock()
	if !dies {
		k.next.ServeHTTP(w, r)
		return
	}
	if k.after {
		k.next.ServeHTTP(httptest.NewRecorder(), r)
	}
	kill()
	panic(http.ErrAbortHandler)
}

// arm has the killer call kill at its request number at, and at the next request of
// that method at the registration endpoint. It comes before the child is started.
func (k *killer) arm(at int, method string, kill func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.at, k.method, k.kill = at, method, kill
}

// condemned is a child that a killer ends, once it is known.
type condemned chan *child

// end ends the child and tells by dead.
func (c condemned) end(dead chan<- struct{}) {
	(<-c).end()
	close(dead)
}

// child is a control plane in a process of its own.
type child struct {
	*exec.Cmd

	t    *testing.T
	path string
	once sync.Once
}

func startChild(t *testing.T, path string) *child {
	t.Helper()
	_ = os.Remove(path + ".api")
	c := &child{Cmd: exec.CommandContext(context.WithoutCancel(t.Context()), os.Args[0]), t: t, path: path}
	c.Env = append(os.Environ(), serveVariable+"="+path)
	log, err := os.OpenFile(path+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	require.NoError(t, err)
	c.Stderr = log
	require.NoError(t, c.Start())
	require.NoError(t, log.Close())
	t.Cleanup(c.end)
	return c
}

// end kills with SIGKILL and waits.
func (c *child) end() {
	c.once.Do(func() {
		_ = c.Process.Kill()
		_ = c.Wait() // killed: that is no failure
	})
}

// serving waits until all is well.
func (c *child) serving() server.Status {
	c.t.Helper()
	return c.until(func(s server.Status) bool { return s.OK })
}

// until waits for the status to satisfy ok, and gives it.
func (c *child) until(ok func(server.Status) bool) server.Status {
	c.t.Helper()
	var s server.Status
	require.Eventually(c.t, func() bool {
		address, err := os.ReadFile(c.path + ".api")
		if err != nil {
			return false
		}
		token := filepath.Join(filepath.Dir(c.path), "umagate.db.token")
		if _, err := os.Stat(token); err != nil {
			token = c.path + ".token" // with PostgreSQL there is no other place
		}
		control, err := client.Local(string(address), token)
		if err != nil {
			return false
		}
		s = server.Status{}
		return control.Do(c.t.Context(), http.MethodGet, "/v1/status", nil, &s) == nil && len(s.Sites) == 1 && ok(s)
	}, 3*servertest.Within, 20*time.Millisecond)
	return s
}

// TestKilledAtEveryCall kills -9 the control plane at each call that it makes on
// its way from nothing to serving, and lets another finish.
func TestKilledAtEveryCall(t *testing.T) {
	t.Parallel()
	for _, after := range []bool{false, true} {
		t.Run(fmt.Sprintf("after the AS acted %t", after), func(t *testing.T) {
			t.Parallel()
			calls := 0
			for at := 1; ; at++ {
				as, err := devas.New(devas.Options{})
				require.NoError(t, err)
				k := &killer{next: as, after: after}
				front := httptest.NewServer(k)
				as.SetIssuer(front.URL)
				p := newPlane(t)
				// A call that times out was made, and its answer is not known: as if it was killed there.
				p.Write(strings.Replace(p.config(front.URL, "albums", "people"), "    client:", "    timeout: 1m\n    client:", 1))

				dead, victim := make(chan struct{}), make(condemned, 1)
				far := at > 12 // from there on it only looks whether all is as it should be, now and then
				if !far {
					k.arm(at, "", func() { victim.end(dead) })
				}
				first := startChild(t, p.Path())
				victim <- first
				if far {
					first.serving()
					first.end()
					front.Close()
					break
				}
				<-dead
				calls++
				second := startChild(t, p.Path())
				s := second.serving()
				second.end()
				front.Close()
				require.ElementsMatch(t, []string{"albums", "people"}, names(as), "killed at %s", k.killed)
				require.Equal(t, 2, s.Sites[0].Resources.Registered)

				registrations := 0
				for _, c := range as.Calls(devas.EndpointRegistration) {
					if c.Method == http.MethodPost && c.Status == http.StatusCreated {
						registrations++
					}
				}
				log, err := os.ReadFile(filepath.Join(p.Dir, "umagate.yaml.log"))
				require.NoError(t, err)
				if k.after && strings.HasSuffix(k.killed, "/register") {
					// No specification lets a client be found whose answer was lost: it is told of.
					require.Equal(t, 2, registrations)
					require.Contains(t, string(log), "a registration was begun and its answer is not known")
				} else {
					require.Equal(t, 1, registrations, "killed at %s", k.killed)
				}
			}
			require.Equal(t, 12, calls)
		})
	}
}
