package as

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// Config is what a [Client] needs. Only Issuer is required.
type Config struct {
	// Issuer is the AS's issuer identifier, exactly as its metadata spells it.
	Issuer string
	// Aliases are further names of the same AS: of its metadata, and in what it signs.
	Aliases []string
	// Dialect overrides detection.
	Dialect DialectName
	// Endpoints override those of the metadata.
	Endpoints Endpoints
	// DiscoveryURL is where the metadata is, for an AS that keeps it elsewhere
	// than its issuer says.
	DiscoveryURL string
	// InsecureHTTP takes http endpoints of an https issuer that are not on loopback.
	InsecureHTTP bool
	// NoDiscovery uses Endpoints and the dialect alone.
	NoDiscovery bool
	// CertificateAuth says that the client authenticates with a certificate, so that
	// the AS's endpoints for that are used where it names some.
	CertificateAuth bool
	// Audience is the aud of client assertions: [AudienceIssuer],
	// [AudienceTokenEndpoint], or the value itself; the dialect's when empty.
	Audience string
	// PATScopes are asked for with a PAT instead of the dialect's, where not nil.
	PATScopes []string
	// Transport carries the calls; http.DefaultTransport when nil.
	Transport http.RoundTripper
	// Timeout bounds each call; [DefaultTimeout] when 0.
	Timeout time.Duration
	// Now is the clock; time.Now when nil.
	Now func() time.Time
}

// Client reaches one AS. It is immutable and safe for concurrent use.
type Client struct {
	config Config
	caller *caller
}

// New checks the configuration. It does no I/O.
func New(cfg Config) (*Client, error) {
	u, err := url.Parse(cfg.Issuer)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("as: issuer %q: write an https address without query and fragment", printableURL(cfg.Issuer))
	}
	if cfg.Dialect == "" {
		cfg.Dialect = DialectAuto
	}
	return &Client{config: cfg, caller: newCaller(cfg.Transport, cfg.Timeout, cfg.Now)}, nil
}

// The values of [Config.Audience] that are not an audience themselves.
const (
	AudienceIssuer        = "issuer"
	AudienceTokenEndpoint = "token_endpoint"
)

// Server is an AS whose metadata and dialect are known. It is immutable and safe
// for concurrent use.
type Server struct {
	metadata Metadata
	dialect  Dialect
	audience string
	caller   *caller
	// names are the issuer and its aliases.
	names []string
	// insecureHTTP is [Config.InsecureHTTP].
	insecureHTTP bool
	// ownIDs has the ids of resource servers by their client_id, where they differ.
	ownIDs sync.Map
}

// Metadata is what is known of the AS. Store it for [Client.Known].
func (s *Server) Metadata() Metadata { return s.metadata }

// Names are the issuer, as it is configured, and then its aliases: those that the AS may
// have in iss.
func (s *Server) Names() []string { return s.names }

// Dialect is how the AS differs from the specifications.
func (s *Server) Dialect() Dialect { return s.dialect }

// Audience is the aud of client assertions (RFC 7523 section 3).
func (s *Server) Audience() string { return s.audience }

// Discover fetches the metadata: the UMA document, else OpenID Connect's, else
// RFC 8414's. The next is tried only when the AS says that it does not have one
// (4xx): a failing AS must not look like one without UMA. A redirect is followed
// within the AS's own origin, since a document is read and no credential sent;
// one to elsewhere ends discovery, as a page instead of a document does.
func (c *Client) Discover(ctx context.Context) (*Server, error) {
	if c.config.NoDiscovery {
		return c.Known(Metadata{Issuer: c.config.Issuer})
	}
	if c.config.DiscoveryURL != "" {
		m, err := c.document(ctx, c.config.DiscoveryURL)
		if err != nil {
			return nil, err
		}
		return c.Known(m)
	}
	const op = "discover the authorization server"
	inserted, err := wellKnownInserted(c.config.Issuer, "oauth-authorization-server")
	if err != nil {
		return nil, err
	}
	var tried []string
	for _, address := range []string{
		wellKnown(c.config.Issuer, "uma2-configuration"), wellKnown(c.config.Issuer, "openid-configuration"), inserted,
	} {
		m, err := c.document(ctx, address)
		switch {
		case err == nil:
			return c.Known(m)
		case !isAbsent(err):
			return nil, err
		}
		tried = append(tried, printableURL(address))
	}
	return nil, &Error{Op: op, Kind: ErrNoMetadata, Description: "tried " + strings.Join(tried, ", ")}
}

// Known makes a Server of metadata that an earlier discovery found, with the
// configuration's overrides. It does no I/O.
func (c *Client) Known(m Metadata) (*Server, error) {
	const op = "read the authorization server's metadata"
	if !slices.Contains(c.names(), m.Issuer) {
		return nil, &Error{Op: op, Kind: ErrIssuer, Description: c.otherIssuer(m.Issuer)}
	}
	if c.config.CertificateAuth {
		m.override(m.Aliases.endpoints())
	}
	m.override(c.config.Endpoints)
	dialect, ok := chooseDialect(c.config.Dialect, m)
	if !ok {
		return nil, fmt.Errorf("as: dialect %q: write one of %v", c.config.Dialect, DialectNames())
	}
	if c.config.NoDiscovery || dialect.Undiscovered {
		m.fill(dialect.endpoints(m))
	}
	if err := m.check(c.config.Endpoints, c.config.InsecureHTTP); err != nil {
		return nil, &Error{Op: op, Kind: ErrMalformed, Cause: err}
	}
	if c.config.PATScopes != nil {
		dialect.PATScopes = c.config.PATScopes
		if dialect.RegisterScope != "" {
			dialect.RegisterScope = strings.Join(dialect.PATScopes, " ")
		}
	}
	return &Server{
		metadata: m, dialect: dialect, audience: audience(c.config.Audience, dialect, m), caller: c.caller, names: c.names(), insecureHTTP: c.config.InsecureHTTP,
	}, nil
}

// names are all that the AS may call itself.
func (c *Client) names() []string { return append([]string{c.config.Issuer}, c.config.Aliases...) }

func (c *Client) otherIssuer(got string) string {
	return fmt.Sprintf("asked for %s, got %s", printableURL(c.config.Issuer), clip(printableURL(got)))
}

func audience(configured string, dialect Dialect, m Metadata) string {
	if configured == "" {
		configured = dialect.Audience
	}
	switch configured {
	case AudienceIssuer:
		return m.Issuer
	case AudienceTokenEndpoint:
		return m.TokenEndpoint
	default:
		return configured
	}
}

// isAbsent reports whether the AS has no document there.
func isAbsent(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Status >= 400 && e.Status < 500 && !e.Temporary()
}

func (c *Client) document(ctx context.Context, address string) (Metadata, error) {
	const op = "discover the authorization server"
	var raw json.RawMessage
	out, err := c.caller.doJSON(ctx, call{operation: OperationDiscovery, op: op, method: http.MethodGet, url: address, follow: true}, &raw)
	if err != nil {
		return Metadata{}, err
	}
	var m Metadata
	if err := json.Unmarshal(raw, &m); err != nil || m.Issuer == "" || m.TokenEndpoint == "" {
		return Metadata{}, &Error{
			Op: op, Method: http.MethodGet, URL: address, Status: out.status, Kind: ErrMalformed,
			Description: "issuer and token_endpoint are needed", Cause: err,
		}
	}
	if !slices.Contains(c.names(), m.Issuer) {
		return Metadata{}, &Error{Op: op, Method: http.MethodGet, URL: address, Kind: ErrIssuer, Description: c.otherIssuer(m.Issuer)}
	}
	return m, nil
}
