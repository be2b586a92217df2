package suite_test

import (
	"bufio"
	"crypto/sha1" // RFC 6455 section 4.2.2
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/demo/sampleapi"
)

// api is what the gateways protect: the photo albums, and for every other path an
// echo that tells what the request looked like.
type api struct {
	address string
	albums  *sampleapi.API
	seen    atomic.Int64 // requests that reached it

	mu      sync.Mutex
	targets []string        // of the requests since the last look
	over    map[string]bool // hosts of scenarios that are over
}

func startAPI(t *testing.T) *api {
	t.Helper()
	a := &api{albums: sampleapi.New()}
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	a.address = l.Addr().String()
	server := &http.Server{Handler: a, Protocols: new(http.Protocols), DisableGeneralOptionsHandler: true}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true)
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("the API: %v", err)
		}
	})
	t.Cleanup(func() {
		_ = server.Close()
		serving.Wait()
	})
	return a
}

// ServeHTTP implements http.Handler.
func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.seen.Add(1)
	a.mu.Lock()
	if len(a.targets) < 10_000 && !a.over[r.Host] {
		a.targets = append(a.targets, r.RequestURI)
	}
	a.mu.Unlock()
	w = &shaped{w, r.Header}
	if origin := r.Header.Get("X-Suite-Cors"); origin != "" { // an API that has a policy of its own
		w.Header().Set("Access-Control-Allow-Origin", origin)
	}
	switch {
	case strings.HasPrefix(r.RequestURI, "/albums/") || r.RequestURI == "/albums" && r.Method == http.MethodPost || r.RequestURI == "/healthz":
		a.albums.ServeHTTP(w, r)
	case r.Header.Get("Upgrade") == "websocket":
		upgrade(w, r)
	case strings.Contains(r.RequestURI, "/events"):
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = fmt.Fprint(w, "data: hello\n\n")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	case strings.HasPrefix(r.RequestURI, "/listing"):
		answerList(w, r)
	case strings.Contains(r.RequestURI, "/never"):
		<-r.Context().Done()
	case strings.Contains(r.RequestURI, "/length"):
		n, err := io.Copy(io.Discard, r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		_, _ = fmt.Fprint(w, n)
	default:
		echo(w, r)
	}
}

// shaped makes the Location as an application does that believes its proxy, as Flask
// with Werkzeug's ProxyFix: X-Forwarded-Prefix comes before its path. X-Suite-Prefix
// stands for what else of a request an application may build its URLs with.
type shaped struct {
	http.ResponseWriter

	request http.Header
}

// WriteHeader implements http.ResponseWriter.
func (s *shaped) WriteHeader(status int) {
	if location := s.Header().Get("Location"); location != "" {
		s.Header().Set("Location", s.request.Get("X-Suite-Prefix")+s.request.Get("X-Forwarded-Prefix")+location)
	}
	s.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (s *shaped) Unwrap() http.ResponseWriter { return s.ResponseWriter }

func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(sampleapi.Echo{
		Method: r.Method, Target: r.RequestURI, Host: r.Host, Protocol: r.Proto, Headers: r.Header, Trailers: r.Trailer, Body: string(body),
	})
}

// upgrade switches protocols, tells of the Connection header it got, and sends back
// each line in upper case.
func upgrade(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Offered", strings.Join(r.Header.Values("Sec-Websocket-Protocol"), ", "))
	w.Header().Set("X-Connection", strings.Join(r.Header.Values("Connection"), ", "))
	w.Header().Set("Connection", "Upgrade")
	w.Header().Set("Upgrade", "websocket")
	sum := sha1.Sum([]byte(r.Header.Get("Sec-Websocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) // RFC 6455 section 4.2.2
	w.Header().Set("Sec-Websocket-Accept", base64.StdEncoding.EncodeToString(sum[:]))
	w.WriteHeader(http.StatusSwitchingProtocols)
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	lines := bufio.NewScanner(buffered)
	for lines.Scan() {
		if _, err := fmt.Fprintln(conn, strings.ToUpper(lines.Text())); err != nil {
			return
		}
	}
}

// begin says that the scenario of a host begins. When it is over, what still comes for
// that host is not seen by [api.look]: a request whose client has hung up may be late.
func (a *api) begin(host string) (end func()) {
	set := func(over bool) {
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.over == nil {
			a.over = map[string]bool{}
		}
		a.over[host] = over
	}
	set(false)
	return func() { set(true) }
}

// look returns the targets of the requests since the last look.
func (a *api) look() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	seen := a.targets
	a.targets = nil
	return seen
}
