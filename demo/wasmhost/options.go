package wasmhost

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"runtime"
	"time"

	"github.com/umagate/umagate/controlplane/secret"
)

// The errors of this package.
var (
	// ErrConfigRefused says that the filter's OnPluginStart refused a
	// configuration. The one before is still in force.
	ErrConfigRefused = errors.New("wasmhost: the filter refused the configuration; its reason is in the log")
	// ErrClosed says that the host was closed.
	ErrClosed = errors.New("wasmhost: the host is closed")
	// ErrTrapped says that the VM trapped: a Go panic in the filter.
	ErrTrapped = errors.New("wasmhost: the VM trapped; the panic is in the log")
)

// Options configure a [Host]. The zero values of the fields after Upstream are
// safe defaults.
type Options struct {
	// Wasm is the module; required.
	Wasm []byte
	// Config is the plugin configuration, as Envoy's `configuration`.
	Config []byte
	// Upstream is where allowed requests go: an http or https URL of which scheme
	// and host count. Required.
	Upstream *url.URL
	// UpstreamTransport replaces the transport to Upstream. It must not follow
	// redirects, add headers or decompress.
	UpstreamTransport http.RoundTripper

	// Workers is the number of VMs; default GOMAXPROCS.
	Workers int
	// Clusters are what HTTP calls may reach, by name.
	Clusters map[string]Cluster
	// MaxBufferedBytes bounds the body that is kept while the filter is paused
	// (default 1 MiB, as Envoy's per_connection_buffer_limit_bytes); beyond it the
	// answer is 413.
	MaxBufferedBytes int
	// MaxCallResponseBytes bounds the body of an HTTP call's answer (default 16
	// MiB); beyond it the call has failed.
	MaxCallResponseBytes int64
	// ReloadBackoff is the least time between two starts of a worker's VM after a
	// trap; default 1s, as Envoy's. Streams within it get 503.
	ReloadBackoff time.Duration
	// PassMalformed lets the filter judge what Envoy refuses before it: a "#" or a
	// byte above 127 in the target, "*", unknown methods, HTTP/1.0.
	PassMalformed bool
	// AllowOnHeadersStopIteration shows the filter the body of a request that it has
	// stopped at the headers, as the setting of that name does in Envoy.
	AllowOnHeadersStopIteration bool
	// RootID is what the filter reads as plugin_root_id.
	RootID string
	// Log receives what the filter logs; default discards.
	Log *slog.Logger
	// AccessLog is called once for each stream, after the filter has done with it,
	// on the worker's goroutine: it must not block.
	AccessLog func(Entry)
	// CompilationCacheDir keeps compiled code between runs when not empty.
	CompilationCacheDir string
}

// Cluster is one target of HTTP calls. The call's own :path, :authority and
// :scheme are what is sent; URL says where to.
type Cluster struct {
	// URL is where the cluster is; scheme and host count. Required, except with a
	// Transport that needs none.
	URL *url.URL
	// Transport replaces the default one.
	Transport http.RoundTripper
	// Credential is the Authorization header of each call, whatever the call has, as
	// Envoy's credential_injector does with overwrite.
	Credential secret.Text
	// CredentialRequired answers 401 instead of calling while Credential is empty.
	CredentialRequired bool
	// Timeout bounds each call besides the call's own.
	Timeout time.Duration
}

// Entry is one line of the access log.
type Entry struct {
	Start     time.Time
	Duration  time.Duration
	Protocol  string
	Method    string
	Authority string
	// Path is the target that was forwarded, or would have been; OriginalPath the
	// one that arrived.
	Path, OriginalPath string
	// Status is what the client got; 0 when it hung up before.
	Status int
	// UpstreamUsed says whether the request was sent on.
	UpstreamUsed bool
	// Details says who answered: via_upstream, direct_response of the filter,
	// wasm_fail_stream, upstream failure, downstream_remote_disconnect.
	Details    string
	RequestID  string
	RemoteAddr string
	// FilterState has the properties the filter set, each name with "wasm." before it.
	FilterState map[string][]byte

	declared map[string]string
}

func (o *Options) complete() error {
	if len(o.Wasm) == 0 {
		return errors.New("wasmhost: Options.Wasm is empty: read the file that `make wasm` builds")
	}
	if err := checkTarget(o.Upstream); err != nil && o.UpstreamTransport == nil {
		return fmt.Errorf("wasmhost: Options.Upstream: %w", err)
	}
	for name, c := range o.Clusters {
		if err := c.check(); err != nil {
			return fmt.Errorf("wasmhost: Options.Clusters[%q]: %w", name, err)
		}
	}
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if o.MaxBufferedBytes <= 0 {
		o.MaxBufferedBytes = 1 << 20
	}
	if o.MaxCallResponseBytes <= 0 {
		o.MaxCallResponseBytes = 16 << 20
	}
	if o.ReloadBackoff <= 0 {
		o.ReloadBackoff = time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Upstream == nil {
		o.Upstream = &url.URL{Scheme: "http", Host: "upstream.invalid"}
	}
	return nil
}

func (c Cluster) check() error {
	if c.Transport != nil && c.URL == nil {
		return nil
	}
	return checkTarget(c.URL)
}

func checkTarget(u *url.URL) error {
	switch {
	case u == nil:
		return errors.New("no URL: give one such as http://127.0.0.1:8080")
	case u.Scheme != "http" && u.Scheme != "https":
		return fmt.Errorf("scheme %q: use http or https", u.Scheme)
	case u.Host == "":
		return errors.New("the URL has no host")
	}
	return nil
}

// newTransport is a transport that sends requests as they are.
func newTransport() *http.Transport {
	return &http.Transport{
		DisableCompression:    true,
		MaxIdleConns:          1024,
		MaxIdleConnsPerHost:   256,
		IdleConnTimeout:       90 * time.Second,
		TLSHandshakeTimeout:   10 * time.Second,
		ExpectContinueTimeout: time.Second,
	}
}

// newH2CTransport speaks HTTP/2 without TLS, for gRPC.
func newH2CTransport() *http.Transport {
	t := newTransport()
	t.Protocols = new(http.Protocols)
	t.Protocols.SetUnencryptedHTTP2(true)
	return t
}

// logLevel maps the ABI's levels to slog's; trace and critical are off the ends.
func logLevel(abi uint32) slog.Level {
	switch abi {
	case 0:
		return slog.LevelDebug - 4
	case 1:
		return slog.LevelDebug
	case 2:
		return slog.LevelInfo
	case 3:
		return slog.LevelWarn
	default:
		return slog.LevelError
	}
}
