package site

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/umagate/umagate/controlplane/loopback"
	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/plugin/config"
)

// validator judges a decoded file. It adds no fault at a path that has one
// already: one mistake is one message.
type validator struct {
	file     *File
	name     string
	env      Environment
	refused  refused
	faults   []Fault
	warnings []Fault
}

func (v *validator) fault(path, problem, remedy string) {
	if v.known(path) {
		return
	}
	v.refused.add(path)
	v.faults = append(v.faults, v.at(path, problem, remedy))
}

func (v *validator) warn(path, problem, remedy string) {
	v.warnings = append(v.warnings, v.at(path, problem, remedy))
}

// known reports whether the path, or something below it, has a fault.
func (v *validator) known(path string) bool { return v.refused[path] }

// refused are paths that have a fault, and all that are above them.
type refused map[string]bool

func (r refused) add(path string) {
	for {
		r[path] = true
		end := strings.LastIndexAny(path, ".[")
		if end < 0 {
			return
		}
		path = path[:end]
	}
}

func (v *validator) at(path, problem, remedy string) Fault {
	pos := v.file.positions.at(path)
	return Fault{File: v.name, Line: pos.line, Column: pos.column, Path: path, Problem: problem, Remedy: remedy}
}

func (v *validator) validate() {
	f := v.file
	if f.Listen.XDSTLS != nil {
		v.hostPort("listen.xds", f.Listen.XDS)
		v.hostPort("listen.instances", f.Listen.Instances)
	} else {
		v.listen("listen.xds", f.Listen.XDS)
		v.listen("listen.instances", f.Listen.Instances)
	}
	v.xdsTLS()
	v.api()
	v.telemetry()
	v.store()
	v.plugin()
	v.lastGood("envoy.last_good", f.Envoy.LastGood)
	v.hostPort("envoy.listener", f.Envoy.Listener)
	if f.Envoy.Admin != "off" {
		v.hostPort("envoy.admin", f.Envoy.Admin)
	}
	if f.Envoy.XDS != "" {
		v.hostPort("envoy.xds", f.Envoy.XDS)
	}
	if f.Envoy.Instances != "" {
		v.hostPort("envoy.instances", f.Envoy.Instances)
	}
	if f.UnknownHosts == config.VerdictAllow {
		v.warn("unknown_hosts", "a request for a host that no site has passes without a token", "write unknown_hosts: deny, or name every host in a site")
	}
	if f.OXD != nil {
		v.oxd("oxd", f.OXD)
	}
	if len(f.Sites) == 0 && f.OXD == nil && !v.env.SitesElsewhere {
		v.fault("sites", "there is no site", "write sites: with one entry for each resource server, see envoy/umagate.yaml")
	}
	for i := range f.Sites {
		v.site(config.Index("sites", i), &f.Sites[i])
	}
	v.sharedResources()
	v.sharedHosts()
	v.groups()
	v.core()
}

func (v *validator) store() {
	raw := v.file.Store.Reveal()
	switch {
	case strings.HasPrefix(raw, "sqlite:") && len(raw) > len("sqlite:"):
	case strings.HasPrefix(raw, "postgres://"), strings.HasPrefix(raw, "postgresql://"):
		if u, err := url.Parse(raw); err != nil || u.Host == "" {
			v.fault("store", "is not a PostgreSQL URL", "write postgres://USER:PASSWORD@HOST/DATABASE")
		}
		if v.file.StoreKey.IsZero() && !v.env.SkipSecrets {
			v.fault("store_key", "is missing, and PostgreSQL has no file to keep one beside",
				"write store_key: {file: PATH}, the same key for every replica; make one with: openssl rand -base64 32")
		}
	default:
		v.fault("store", "is neither SQLite nor PostgreSQL", "write sqlite:PATH or postgres://USER:PASSWORD@HOST/DATABASE")
	}
	v.storeKey("store_key", v.file.StoreKey)
	switch {
	case v.file.StoreKeyPrevious.IsZero():
	case !v.file.StoreKey.IsZero():
		v.storeKey("store_key_previous", v.file.StoreKeyPrevious)
	default:
		v.fault("store_key_previous", "is there without store_key", "write the new key as store_key; a SQLite file with a key file of its own needs neither")
	}
}

func (v *validator) storeKey(name string, key secret.Text) {
	if key.IsZero() || v.env.SkipSecrets {
		return
	}
	const keyBytes = 32
	if b, err := base64.StdEncoding.DecodeString(key.Reveal()); err != nil || len(b) != keyBytes {
		v.fault(name, "is not 32 bytes in base64", "make one with: openssl rand -base64 32")
	}
}

func (v *validator) plugin() {
	p := v.file.Plugin
	if p.Wasm == "" {
		v.fault("plugin.wasm", "is empty", "write the path of umagate.wasm on the machine Envoy runs on")
	}
	isURL := strings.Contains(p.Wasm, "://")
	if isURL {
		v.url("plugin.wasm", p.Wasm)
	}
	const sumBytes = 32
	if sum, err := hex.DecodeString(p.SHA256); p.SHA256 != "" && (err != nil || len(sum) != sumBytes) {
		v.fault("plugin.sha256", "is not a SHA-256 in hexadecimal", "write what sha256sum prints, 64 digits")
	}
	if isURL && p.SHA256 == "" {
		v.fault("plugin.wasm", "is a URL, and plugin.sha256 is missing", "add sha256: with what sha256sum prints; Envoy fetches nothing without")
	}
}

// listen checks an address that the control plane serves plain text on.
func (v *validator) listen(path, address string) {
	v.hostPort(path, address)
	host, _, err := net.SplitHostPort(address)
	switch {
	case err != nil, local(host):
	case !v.file.Listen.InsecurePlaintext:
		encrypted := map[string]string{"listen.api": "listen.api_tls, ", "listen.xds": "listen.xds_tls, "}[path]
		v.fault(path, "is not loopback, and what is served there is not encrypted", "write "+encrypted+"a loopback address, or listen.insecure_plaintext: true")
	default:
		v.warn(path, "whoever reaches this address reads credentials, and what is served there is not encrypted", "let only the Envoys reach it, or write a loopback address")
	}
}

func (v *validator) hostPort(path, s string) {
	_, port, err := net.SplitHostPort(s)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		v.fault(path, fmt.Sprintf("%q is not HOST:PORT", s), "write an address and a port, such as 127.0.0.1:8090")
	}
}

// url checks an absolute http(s) URL and returns it, or nil.
func (v *validator) url(path, raw string) *url.URL {
	u, err := url.Parse(raw)
	switch {
	case err != nil, u.Host == "", u.Scheme != "http" && u.Scheme != "https":
		v.fault(path, fmt.Sprintf("%q is not an http(s) URL", raw), "write a whole one, such as https://as.example.com")
	case u.User != nil:
		v.fault(path, "has a user name or password in it", "take it out; credentials belong in client")
	case u.Fragment != "" || strings.HasSuffix(raw, "#"):
		v.fault(path, "has a fragment", "take away # and what follows")
	case u.Port() != "":
		if _, err := strconv.ParseUint(u.Port(), 10, 16); err != nil {
			v.fault(path, "has a port above 65535", "write the port the server listens on")
			return nil
		}
		return u
	default:
		return u
	}
	return nil
}

// local reports whether a host is this machine and nobody else, by its address or by its
// name (RFC 6761 section 6.3).
func local(host string) bool { return strings.HasSuffix(host, ".localhost") || loopback.IsHost(host) }

// lastGood checks the name of a file, and of a socket beside it.
func (v *validator) lastGood(path, name string) {
	const longest = 80 // the name of a socket has 107 bytes at most
	switch {
	case name == "":
	case !strings.HasPrefix(name, "/"):
		v.fault(path, "is no absolute path", "write one, such as /var/lib/umagate-agent/last_good: Envoy and umagate agent are started in folders of their own")
	case strings.HasSuffix(name, "/"):
		v.fault(path, "is a folder", "write the name of a file in it, such as "+name+"last_good")
	case len(name) > longest:
		v.fault(path, fmt.Sprintf("has %d bytes, and %d is the most: a socket is made beside it", len(name), longest), "write a shorter one")
	}
}
