package site

import (
	"time"

	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/plugin/config"
)

// File is umagate.yaml.
type File struct {
	// Where the control plane listens. Loopback by default.
	Listen Listen `yaml:"listen"`
	// Who may call the control plane's own API.
	API API `yaml:"api"`
	// Where traces go.
	Telemetry Telemetry `yaml:"telemetry"`
	// Where the control plane keeps its state: "sqlite:PATH" (default
	// sqlite:umagate.db) or "postgres://USER:PASSWORD@HOST/DATABASE".
	Store StoreURL `yaml:"store"`
	// The key that seals secrets in the store: 32 bytes in base64. Generated
	// beside a SQLite file when left out; PostgreSQL needs one.
	StoreKey secret.Text `yaml:"store_key"`
	// The key before store_key. A store that is sealed with it can be used too, until
	// umagate rekey seals it with store_key.
	StoreKeyPrevious secret.Text `yaml:"store_key_previous"`
	// The filter's WebAssembly module.
	Plugin Plugin `yaml:"plugin"`
	// What Envoys are told beside the sites, by xDS or by the rendered bootstrap.
	Envoy Envoy `yaml:"envoy"`
	// What becomes of a request whose host no site has: deny (default) or allow.
	UnknownHosts config.Verdict `yaml:"unknown_hosts"`
	// Hosts of sites that were taken out on purpose. Without, a host that a site has
	// guarded stays denied where unknown_hosts is allow.
	ReleasedHosts []string `yaml:"released_hosts"`
	// Bounds of what each Envoy worker remembers of tokens.
	Cache config.Cache `yaml:"cache"`
	// The API for applications that were written for oxd. Left out, it is not served.
	OXD *OXD `yaml:"oxd"`
	// The resource servers. May be left out when oxd is served.
	Sites []Site `yaml:"sites"`
	// Parts of the fleet of Envoys, each with sites of its own. Without any, every
	// Envoy gets every site; with some, an Envoy that none of them matches gets nothing.
	Groups []Group `yaml:"groups" jsonschema:"minItems=1"`

	// Warnings are not faults: what is allowed but deserves a second look.
	Warnings []Fault `yaml:"-"`

	// Sources are the files that secrets were read from, as the document names them.
	Sources []string `yaml:"-"`

	positions positions
}

// StoreKeys are the keys that the store may be sealed with, the newest first.
func (f *File) StoreKeys() []secret.Text { return []secret.Text{f.StoreKey, f.StoreKeyPrevious} }

// Listen is where the control plane listens.
type Listen struct {
	// The control plane's own API, HOST:PORT. Default 127.0.0.1:8090.
	API string `yaml:"api"`
	// The xDS server that Envoys connect to, HOST:PORT. Default 127.0.0.1:18000.
	XDS string `yaml:"xds"`
	// Where Envoys ask for instances of resources ("name: album-{id}"), HOST:PORT.
	// Listened on only where there are such, with xds_tls if there is one. Default
	// 127.0.0.1:18001.
	Instances string `yaml:"instances"`
	// TLS of the xDS server; each Envoy needs a client certificate then.
	XDSTLS *XDSTLS `yaml:"xds_tls"`
	// TLS of the API.
	APITLS *APITLS `yaml:"api_tls"`
	// Listen beyond loopback although both speak plain text: whoever reaches the
	// xDS port reads the PATs and client secrets.
	InsecurePlaintext bool `yaml:"insecure_plaintext"`
}

// Plugin says where Envoy finds the filter's module.
type Plugin struct {
	// A path on the machine Envoy runs on, or an http(s) URL it fetches from.
	// Default umagate.wasm.
	Wasm string `yaml:"wasm"`
	// SHA-256 of the module, in hexadecimal. Needed with a URL.
	SHA256 string `yaml:"sha256"`
	// Envoy shares memory between filters of the same vm_id. Default umagate.
	VMID string `yaml:"vm_id"`
}

// Envoy is what Envoys need to know beyond the sites.
type Envoy struct {
	// Where Envoy takes requests, HOST:PORT. Default 0.0.0.0:10000.
	Listener string `yaml:"listener"`
	// Envoy's admin interface, HOST:PORT. Default 127.0.0.1:9901; "off" leaves it out.
	Admin string `yaml:"admin"`
	// Where Envoy reaches the control plane's xDS server, HOST:PORT. Default listen.xds.
	XDS string `yaml:"xds"`
	// Where Envoy reaches listen.instances, HOST:PORT. Default listen.instances.
	Instances string `yaml:"instances"`
	// How Envoy connects to an xDS server that has listen.xds_tls.
	XDSTLS EnvoyTLS `yaml:"xds_tls"`
	// File that "umagate agent" keeps beside an Envoy, on the Envoy's machine: from it the
	// Envoy starts while the control plane is down. Default none, and no agent.
	LastGood string `yaml:"last_good"`
	// The node.id that Envoy tells the control plane. Default umagate-envoy.
	NodeID string `yaml:"node_id"`
	// The node.cluster that Envoy tells the control plane. Default umagate.
	NodeCluster string `yaml:"node_cluster"`
	// File of the access log, with the filter's decision in it. Default
	// /dev/stdout; "off" leaves it out, and the filter leaves its decisions to no log.
	AccessLog string `yaml:"access_log"`
	// File with the certificates that Envoy trusts for an https AS or upstream.
	// Default /etc/ssl/certs/ca-certificates.crt.
	CAFile string `yaml:"ca_file"`
	// How long a stream may be silent in both directions; a WebSocket, a gRPC call and
	// a stream of events five minutes if that is longer. Default 90s; 0s for ever.
	StreamIdleTimeout time.Duration `yaml:"stream_idle_timeout" range:"1s to 24h, such as 90s" zero:"none"`
}

// Says reports whether the document has a value of its own at a path such as
// "envoy.listener", and not only the default.
func (f *File) Says(path string) bool {
	_, ok := f.positions[path]
	return ok
}

// Site returns the site of that name.
func (f *File) Site(name string) (*Site, bool) {
	for i := range f.Sites {
		if f.Sites[i].Name == name {
			return &f.Sites[i], true
		}
	}
	return nil, false
}

// AccessLogOff as envoy.access_log means that there is none.
const AccessLogOff = "off"

func (f *File) setDefaults() {
	f.Listen = Listen{API: "127.0.0.1:8090", XDS: "127.0.0.1:18000", Instances: "127.0.0.1:18001"}
	f.Store = NewStoreURL("sqlite:umagate.db")
	f.API.AuditRetention = 90 * 24 * time.Hour
	f.Plugin = Plugin{Wasm: "umagate.wasm", VMID: "umagate"}
	f.Envoy = Envoy{
		Listener:    "0.0.0.0:10000",
		Admin:       "127.0.0.1:9901",
		NodeID:      "umagate-envoy",
		NodeCluster: "umagate",

		StreamIdleTimeout: 90 * time.Second,
		AccessLog:         "/dev/stdout",
		CAFile:            "/etc/ssl/certs/ca-certificates.crt",
		XDSTLS:            EnvoyTLS{Certificate: "/etc/envoy/tls/tls.crt", Key: "/etc/envoy/tls/tls.key", CA: "/etc/envoy/tls/ca.crt"},
	}
	f.UnknownHosts = config.VerdictDeny
}
