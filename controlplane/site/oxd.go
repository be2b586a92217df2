package site

import (
	"time"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/secret"
)

// OXD is the API for applications that were written for Gluu's oxd 3.x.
type OXD struct {
	// Where oxd-https-extension's protocol is served, HOST:PORT. Left out, it is not.
	HTTP string `yaml:"http"`
	// Where oxd-server's protocol is served, HOST:PORT; oxd had 127.0.0.1:8099. It has
	// no encryption. Left out, it is not served.
	Socket string `yaml:"socket"`
	// The certificate of the HTTP address. Without, it is plain HTTP.
	TLS OXDCertificate `yaml:"tls"`
	// Serve beyond loopback without encryption: whoever is in between reads client
	// secrets and tokens.
	InsecurePlaintext bool `yaml:"insecure_plaintext"`
	// Let a command pass only with a token of the client that set its site up
	// (get_client_token). Default true.
	ProtectCommands bool `yaml:"protect_commands_with_access_token"`
	// The OpenID providers that op_host may name. No other is asked anything.
	OPHosts []OXDProvider `yaml:"op_hosts" jsonschema:"required,minItems=1"`
	// The op_host of a command that has none. Default: the only one of op_hosts.
	DefaultOPHost string `yaml:"default_op_host"`
	// What register_site takes for parameters that are left out.
	Defaults OXDDefaults `yaml:"defaults"`
	// How long a person may take to log in. Default 5m.
	LoginLifetime time.Duration `yaml:"login_lifetime" range:"1s to 1h, such as 5m"`
	// How many connections the socket has at most. Default 256.
	SocketConnections int `yaml:"socket_connections" range:"1 to 10000"`
	// How long a connection of the socket may be idle. Default 12h.
	SocketIdle time.Duration `yaml:"socket_idle" range:"1s to 720h, such as 12h"`
	// Hosts for what applications protect, so that Envoy enforces it.
	Sites []OXDSite `yaml:"sites"`
}

// OXDCertificate is what an address shows of itself. It is read anew when the
// files change.
type OXDCertificate struct {
	// File with the certificate chain, in PEM.
	CertFile string `yaml:"cert_file"`
	// File with its private key, in PEM.
	KeyFile string `yaml:"key_file"`
}

// OXDProvider is an OpenID provider, and UMA authorization server.
type OXDProvider struct {
	// What op_host has, such as https://op.example.com.
	URL string `yaml:"url" jsonschema:"required"`
	// Its issuer, where that is spelled differently.
	Issuer string `yaml:"issuer"`
	// Which AS it is: auto (default, told from discovery), generic, keycloak, gluu or wso2.
	Dialect as.DialectName `yaml:"dialect"`
	// The initial access token, where it asks for one to register clients.
	InitialAccessToken secret.Text `yaml:"initial_access_token"`
	// TLS towards it.
	TLS TLS `yaml:"tls"`
	// Take an http url that is not on loopback: tokens and credentials go in the clear.
	InsecureHTTP bool `yaml:"insecure_http"`
	// How long a call to it may take. Default 5s.
	Timeout time.Duration `yaml:"timeout" range:"1ms to 1m, such as 5s"`
}

// OXDDefaults are parameters of register_site.
type OXDDefaults struct {
	// Scopes. Default [openid].
	Scope []string `yaml:"scope"`
	// Ways to log in (acr_values).
	ACRValues []string `yaml:"acr_values"`
	// Grant types. Default [authorization_code, refresh_token, client_credentials].
	GrantTypes []string `yaml:"grant_types"`
	// Response types. Default [code].
	ResponseTypes []string `yaml:"response_types"`
	// Where a person is sent after a logout.
	PostLogoutRedirectURI string `yaml:"post_logout_redirect_uri"`
	// Who is responsible, as mail addresses.
	Contacts []string `yaml:"contacts"`
	// Languages of the OP's pages.
	UILocales []string `yaml:"ui_locales"`
	// Languages of claims.
	ClaimsLocales []string `yaml:"claims_locales"`
}

func (o *OXD) setDefaults() {
	const loginLifetime, connections, idle = 5 * time.Minute, 256, 12 * time.Hour
	o.ProtectCommands = true
	o.Defaults.Scope = []string{"openid"}
	o.LoginLifetime, o.SocketConnections, o.SocketIdle = loginLifetime, connections, idle
}

func (p *OXDProvider) setDefaults() {
	p.Dialect = as.DialectAuto
	p.Timeout = 5 * time.Second
}

// AuthorizationServer is the provider as a site names its AS, without a client.
func (p *OXDProvider) AuthorizationServer() AuthorizationServer {
	out := AuthorizationServer{}
	out.setDefaults()
	out.Issuer, out.Dialect, out.TLS, out.InsecureHTTP, out.Timeout = p.IssuerOrURL(), p.Dialect, p.TLS, p.InsecureHTTP, p.Timeout
	return out
}

// IssuerOrURL is the issuer: the url, unless the file says otherwise.
func (p *OXDProvider) IssuerOrURL() string {
	if p.Issuer != "" {
		return p.Issuer
	}
	return p.URL
}

// DefaultHost is the op_host of a command that has none; empty when there are
// several and no default.
func (o *OXD) DefaultHost() string {
	if o.DefaultOPHost == "" && len(o.OPHosts) == 1 {
		return o.OPHosts[0].URL
	}
	return o.DefaultOPHost
}

// Provider is the one that an op_host names.
func (o *OXD) Provider(opHost string) (*OXDProvider, bool) {
	for i := range o.OPHosts {
		if oxdHostKey(o.OPHosts[i].URL) == oxdHostKey(opHost) {
			return &o.OPHosts[i], true
		}
	}
	return nil, false
}
