package oxd

import (
	"cmp"
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

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/secret"
)

// OP is an OpenID provider, and UMA authorization server, that commands may name.
type OP struct {
	// Host is what op_host is compared with: an address, its path included. A "/" at
	// its end does not count, and the host's case does not.
	Host string
	// Issuer is as its metadata spells it; Host when empty.
	Issuer string
	// Dialect is for UMA and registration, see package as.
	Dialect as.DialectName
	// InitialAccessToken is for registrations; may be empty.
	InitialAccessToken secret.Text
	// Transport carries the calls to it instead of the server's.
	Transport http.RoundTripper
	// Timeout bounds each call.
	Timeout time.Duration
}

// ops are the OPs allowed and what is known of each. Discovery is done once for
// each and kept for discoveryLifetime.
type ops struct {
	allowed map[string]*OP
	// defaultHost is taken where a command names none.
	defaultHost string
	now         func() time.Time

	mu    sync.Mutex
	found map[string]*provider
}

// discoveryLifetime is how long the metadata of an OP is taken for true.
const discoveryLifetime = 10 * time.Minute

// maxFound bounds how many documents are kept.
const maxFound = 100

// provider is an OP whose metadata are known. Immutable.
type provider struct {
	op       *OP
	server   *as.Server
	oidc     *oidc.Provider
	client   *http.Client
	foundAt  time.Time
	metadata connectMetadata
	// document is the whole discovery document.
	document map[string]any
}

// connectMetadata are the members of OpenID Connect Discovery 1.0 section 3 that
// go-oidc and package as have no use for.
type connectMetadata struct {
	CodeChallengeMethods  []string `json:"code_challenge_methods_supported"`
	ACRValues             []string `json:"acr_values_supported"`
	Scopes                []string `json:"scopes_supported"`
	SubjectTypes          []string `json:"subject_types_supported"`
	GrantTypes            []string `json:"grant_types_supported"`
	JWKSURI               string   `json:"jwks_uri"`
	EndSessionEndpoint    string   `json:"end_session_endpoint"`
	RegistrationEndpoint  string   `json:"registration_endpoint"`
	IntrospectionEndpoint string   `json:"introspection_endpoint"`
}

func newOPs(cfg Config) (*ops, error) {
	o := &ops{allowed: map[string]*OP{}, defaultHost: cfg.DefaultOP, now: cfg.Now, found: map[string]*provider{}}
	for _, op := range cfg.OPs {
		key, err := hostKey(op.Host)
		if err != nil {
			return nil, fmt.Errorf("oxd: op_hosts: %q: %w", op.Host, err)
		}
		if op.Issuer == "" {
			op.Issuer = op.Host
		}
		if op.Transport == nil {
			op.Transport = cfg.Transport
		}
		o.allowed[key] = &op
	}
	return o, nil
}

var errHost = errors.New("write an address such as https://op.example.com, without query")

// hostKey brings two spellings of an address together. An address without scheme
// is https: some clients leave it out.
func hostKey(host string) (string, error) {
	host = strings.TrimSpace(host)
	if host != "" && !strings.Contains(host, "://") {
		host = "https://" + host
	}
	u, err := url.Parse(host)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return "", errHost
	}
	return u.Scheme + "://" + strings.ToLower(u.Host) + strings.TrimRight(u.EscapedPath(), "/"), nil
}

const wellKnownPath = "/.well-known/openid-configuration"

// provider returns the OP that a command names, discovered. path is where its
// document is below host; the usual place when empty.
func (o *ops) provider(ctx context.Context, host, path string) (*provider, error) {
	host = cmp.Or(strings.TrimSpace(host), o.defaultHost)
	if host == "" {
		return nil, fail(CodeInvalidOPHost, "op_host is missing, and oxd.default_op_host is not set in umagate.yaml")
	}
	key, err := hostKey(host)
	if err != nil {
		return nil, fail(CodeInvalidOPHost, "op_host is not an address").because(err)
	}
	op := o.allowed[key]
	if op == nil {
		return nil, fail(CodeInvalidOPHost, "op_host is not one of oxd.op_hosts in umagate.yaml")
	}
	if path == "" {
		path = wellKnownPath
	}
	if u, err := url.Parse(path); err != nil || !strings.HasPrefix(path, "/") || u.Host != "" || u.RawQuery != "" || u.Fragment != "" ||
		slices.Contains(strings.Split(u.Path, "/"), "..") {
		return nil, fail(CodeBadRequest, "op_discovery_path must be a path that starts with /").because(err)
	}
	return o.discover(ctx, op, key, path)
}

func (o *ops) discover(ctx context.Context, op *OP, key, path string) (*provider, error) {
	o.mu.Lock()
	known := o.found[key+path]
	o.mu.Unlock()
	if known != nil && o.now().Sub(known.foundAt) < discoveryLifetime {
		return known, nil
	}
	fresh, err := o.fetch(ctx, op, key, path)
	if err != nil {
		if known != nil {
			return known, nil // an OP that is down for a while has not moved
		}
		return nil, fail(CodeNoConnectDiscovery, "the OpenID Connect discovery document of op_host cannot be read").because(err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for name := range o.found { // callers choose the path: one document has any number of spellings
		if len(o.found) < maxFound {
			break
		}
		delete(o.found, name)
	}
	o.found[key+path] = fresh
	return fresh, nil
}

func (o *ops) fetch(ctx context.Context, op *OP, key, path string) (*provider, error) {
	p := &provider{op: op, client: as.HTTPClient(op.Transport, op.Timeout), foundAt: o.now()}
	config := as.Config{Issuer: op.Issuer, Dialect: op.Dialect, Transport: op.Transport, Timeout: op.Timeout, Now: o.now}
	// The library keeps the context for the key set: it must outlive this command.
	lasting := oidc.ClientContext(context.WithoutCancel(ctx), p.client)
	var raw json.RawMessage
	var err error
	if path == wellKnownPath {
		if p.oidc, err = oidc.NewProvider(lasting, op.Issuer); err != nil {
			return nil, err
		}
		err = p.oidc.Claims(&raw)
	} else {
		config.DiscoveryURL = key + path
		raw, err = getJSON(ctx, p.client, config.DiscoveryURL)
	}
	if err != nil {
		return nil, err
	}
	if err := errors.Join(json.Unmarshal(raw, &p.metadata), json.Unmarshal(raw, &p.document)); err != nil {
		return nil, err
	}
	if p.oidc == nil {
		var named oidc.ProviderConfig
		if err := json.Unmarshal(raw, &named); err != nil {
			return nil, err
		}
		if named.IssuerURL != op.Issuer {
			return nil, &oidc.IssuerMismatchError{Provided: op.Issuer, Discovered: named.IssuerURL}
		}
		p.oidc = named.NewProvider(lasting)
	}
	client, err := as.New(config)
	if err != nil {
		return nil, err
	}
	server, err := client.Discover(ctx)
	if err != nil {
		return nil, err
	}
	// An UMA document may leave out what the OpenID Connect one has.
	known := server.Metadata()
	known.RegistrationEndpoint = cmp.Or(known.RegistrationEndpoint, p.metadata.RegistrationEndpoint)
	known.IntrospectionEndpoint = cmp.Or(known.IntrospectionEndpoint, p.metadata.IntrospectionEndpoint)
	known.EndSessionEndpoint = cmp.Or(known.EndSessionEndpoint, p.metadata.EndSessionEndpoint)
	known.JWKSURI = cmp.Or(known.JWKSURI, p.metadata.JWKSURI)
	p.server, err = client.Known(known)
	return p, err
}

// getJSON reads one document of an OP.
func getJSON(ctx context.Context, client *http.Client, address string) (raw json.RawMessage, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("oxd: %s: %s", address, response.Status)
	}
	err = json.NewDecoder(response.Body).Decode(&raw)
	return raw, err
}

func (p *provider) dialect() as.DialectName { return p.server.Dialect().Name }

// grants are those to register. A client of client credentials is one that
// protects resources, so that it needs what the dialect says of those.
func (p *provider) grants(asked []string) []string {
	out := slices.Clone(asked)
	if slices.Contains(out, as.GrantClientCredentials) {
		out = with(out, p.server.Dialect().GrantTypes...)
	}
	return out
}

// registrable are the scopes to register. Some OPs refuse any.
func (p *provider) registrable(scope []string) []string {
	if p.server.Dialect().RegisterScope == "" {
		return nil
	}
	return scope
}

// asks leaves out the scopes of oxd's own that the OP says it does not have: it
// would refuse the whole request. Any other is the application's wish.
func (p *provider) asks(scope []string) []string {
	if len(p.metadata.Scopes) == 0 {
		return scope
	}
	return slices.DeleteFunc(slices.Clone(scope), func(s string) bool {
		return (s == scopeOxd || s == scopeUMAProtection) && !slices.Contains(p.metadata.Scopes, s)
	})
}

func (p *provider) supportsPairwise() bool {
	return slices.Contains(p.metadata.SubjectTypes, "pairwise")
}

func (p *provider) supportsPKCE() bool {
	return slices.Contains(p.metadata.CodeChallengeMethods, "S256")
}
