package site

import (
	"net"
	"path/filepath"
	"strings"
	"time"

	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/plugin/config"
)

// API is who may call the control plane's own API, and what it keeps. Without
// tokens and certificates, only this machine's own commands may, by local_token.
type API struct {
	// Bearer tokens.
	Tokens []APIToken `yaml:"tokens"`
	// Client certificates; listen.api_tls has the CA that signs them.
	Certificates []APICertificate `yaml:"certificates"`
	// File with a token that umagate serve makes, readable by its own user alone, and
	// that this machine's commands call with. Only calls from loopback may use it.
	// Default: beside the SQLite file, with .token added; with PostgreSQL beside
	// umagate.yaml. "off" makes none.
	LocalToken string `yaml:"local_token"`
	// Answer /healthz, /readyz and /metrics to whoever reaches listen.api, not only
	// to this machine and to callers.
	OpenProbes bool `yaml:"open_probes"`
	// How long audit events are kept. Default 2160h (90 days).
	AuditRetention time.Duration `yaml:"audit_retention" range:"24h, such as 2160h for 90 days"`
}

// APIToken is a caller that has a bearer token.
type APIToken struct {
	// Who has it, for the audit log.
	Name string `yaml:"name" jsonschema:"required"`
	// The token, 16 characters at least. openssl rand -hex 32 makes a good one.
	Token secret.Text `yaml:"token" jsonschema:"required"`
	// What the caller may do: read, or write.
	Role APIRole `yaml:"role" jsonschema:"required"`
}

// APICertificate is a caller that has a client certificate.
type APICertificate struct {
	// Who has it, for the audit log.
	Name string `yaml:"name" jsonschema:"required"`
	// What the certificate names: uri:URI, dns:NAME or email:ADDRESS of its subject
	// alternative names, or cn:NAME of its subject.
	Subject string `yaml:"subject" jsonschema:"required,pattern=^(uri|dns|email|cn):."`
	// What the caller may do: read, or write.
	Role APIRole `yaml:"role" jsonschema:"required"`
}

// APIRole is what a caller of the API may do.
type APIRole string

// The roles. A writer reads too.
const (
	APIRead  APIRole = "read"
	APIWrite APIRole = "write"
)

// APITLS is the TLS of the API. The files are read anew when they change.
type APITLS struct {
	// File with the server's certificate and those between it and its CA, in PEM.
	Certificate string `yaml:"certificate" jsonschema:"required"`
	// File with its private key, in PEM.
	Key string `yaml:"key" jsonschema:"required"`
	// File with the certificates that sign those of callers, in PEM, where callers
	// have some.
	ClientCA string `yaml:"client_ca"`
}

// Authenticated reports whether somebody may call the API from elsewhere.
func (a *API) Authenticated() bool { return len(a.Tokens) > 0 || len(a.Certificates) > 0 }

func (v *validator) api() {
	f := v.file
	v.apiTLS()
	v.apiAddress()
	names := map[string]bool{}
	name := func(path, name string) {
		switch {
		case name == "":
			v.fault(path+".name", "the caller has no name", "write who has it: the audit log tells it")
		case names[name]:
			v.fault(path+".name", "is the name of another caller", "give each its own: the audit log tells them apart by it")
		}
		names[name] = true
	}
	role := func(path string, role APIRole) {
		if role == "" {
			v.fault(path+".role", "is missing", "write read or write")
		}
	}
	for i := range f.API.Tokens {
		path, t := config.Index("api.tokens", i), &f.API.Tokens[i]
		name(path, t.Name)
		role(path, t.Role)
		v.apiToken(path+".token", t, f.API.Tokens[:i])
	}
	for i := range f.API.Certificates {
		path, c := config.Index("api.certificates", i), &f.API.Certificates[i]
		name(path, c.Name)
		role(path, c.Role)
		kind, value, ok := strings.Cut(c.Subject, ":")
		if !ok || value == "" || kind != "uri" && kind != "dns" && kind != "email" && kind != "cn" {
			v.fault(path+".subject", "does not say what of the certificate is meant", "write uri:URI, dns:NAME, email:ADDRESS or cn:NAME")
		}
	}
	if len(f.API.Certificates) > 0 && (f.Listen.APITLS == nil || f.Listen.APITLS.ClientCA == "") {
		v.fault("api.certificates", "nothing checks certificates", "write listen.api_tls with client_ca, the CA that signs them")
	}
}

func (v *validator) apiToken(path string, t *APIToken, before []APIToken) {
	const shortest = 16
	switch {
	case t.Token.IsZero():
		v.fault(path, "is missing", "write token: {env: NAME} or {file: PATH}")
	case v.env.SkipSecrets:
	case len(t.Token.Reveal()) < shortest:
		v.fault(path, "is shorter than 16 characters, and could be guessed", "make one with: openssl rand -hex 32")
	case !bearer(t.Token.Reveal()):
		v.fault(path, "has a character that a bearer token cannot have", "use letters, digits and - . _ ~ + / only (RFC 6750 section 2.1); make one with: openssl rand -hex 32")
	default:
		for i := range before {
			if before[i].Token.Equal(t.Token) {
				v.fault(path, "is the token of "+before[i].Name+" too", "give each caller its own; make one with: openssl rand -hex 32")
			}
		}
	}
}

// bearer reports whether s is a b64token of RFC 6750 section 2.1.
func bearer(s string) bool {
	s = strings.TrimRight(s, "=")
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return !strings.ContainsRune("-._~+/", r) && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
}

func (v *validator) apiTLS() {
	t := v.file.Listen.APITLS
	if t == nil {
		return
	}
	for _, f := range []struct{ key, value string }{{"certificate", t.Certificate}, {"key", t.Key}} {
		if f.value == "" {
			v.fault("listen.api_tls."+f.key, "is missing", "write the name of a file in PEM")
		}
	}
}

// apiAddress: what is beyond loopback has to be encrypted, and to know who calls.
func (v *validator) apiAddress() {
	l := &v.file.Listen
	if l.APITLS != nil {
		v.hostPort("listen.api", l.API)
	} else {
		v.listen("listen.api", l.API)
	}
	host, _, err := net.SplitHostPort(l.API)
	if err == nil && !local(host) && !v.file.API.Authenticated() {
		v.fault("listen.api", "is not loopback, and nobody who may call from there is known",
			"write api.tokens or api.certificates, or a loopback address")
	}
}

// LocalTokenPath is the file with the token that this machine's commands call the API
// with; empty where the file read from path wants none.
func (f *File) LocalTokenPath(path string) string {
	name, folder := f.API.LocalToken, filepath.Dir(path)
	location, isSQLite := strings.CutPrefix(f.Store.Reveal(), "sqlite:")
	switch {
	case name == "off":
		return ""
	case name != "":
	case isSQLite:
		name = location + ".token"
	default:
		name = filepath.Base(path) + ".token"
	}
	if !filepath.IsAbs(name) {
		name = filepath.Join(folder, name)
	}
	return name
}
