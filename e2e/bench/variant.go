package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/template"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/umagate/umagate/controlplane/envoyconf"
	"github.com/umagate/umagate/plugin/config"
)

// variant is one thing to compare.
type variant struct {
	name string
	// filters is YAML of the HTTP filters before the router; empty for none.
	filters string
	// tokens reports whether requests have one; status is the answer that each must get.
	tokens bool
	status int
	// wasm reports whether the filter is a module.
	wasm bool
	// accessLog is JSON, empty for none.
	accessLog string
}

// The names that the table compares by.
const (
	nameNone      = "no filter"
	nameLogged    = "umagate, token cached, access log"
	nameCached    = "umagate, token cached"
	nameJWTCached = "jwt_authn + RBAC, token cached"
	nameJWT       = "jwt_authn + RBAC, RS256 each time"
	nameExtAuthz  = "ext_authz to a Go gRPC server"
)

// variants lists what is compared, the baseline first.
func variants(b *backend, o options) ([]variant, error) {
	quiet := filterConfig(b, 0)
	quiet.Unreported = true
	cached, err := wasmFilter(o.wasm, quiet)
	if err != nil {
		return nil, err
	}
	logged, err := wasmFilter(o.wasm, filterConfig(b, 0))
	if err != nil {
		return nil, err
	}
	log, err := accessLog()
	if err != nil {
		return nil, err
	}
	each, err := wasmFilter(o.wasm, filterConfig(b, -1))
	if err != nil {
		return nil, err
	}
	jwtCached, err := jwtFilter(b, 1000)
	if err != nil {
		return nil, err
	}
	jwt, err := jwtFilter(b, 0)
	if err != nil {
		return nil, err
	}
	all := []variant{
		{name: nameNone, tokens: true, status: 200},
		{name: nameCached, filters: cached, tokens: true, status: 200, wasm: true},
		{name: nameLogged, filters: logged, tokens: true, status: 200, wasm: true, accessLog: log},
		{name: "no filter, access log", tokens: true, status: 200, accessLog: log},
		{name: "umagate, public path", filters: cached, status: 200, wasm: true},
		{name: "umagate, introspection each time", filters: each, tokens: true, status: 200, wasm: true},
		{name: "umagate, no token → ticket", filters: cached, status: 401, wasm: true},
		{name: nameJWTCached, filters: jwtCached, tokens: true, status: 200},
		{name: nameJWT, filters: jwt, tokens: true, status: 200},
		{name: nameExtAuthz, filters: extAuthzFilter, tokens: true, status: 200},
	}
	for _, other := range o.also {
		filter, err := wasmFilter(other.path, filterConfig(b, 0))
		if err != nil {
			return nil, err
		}
		all = append(all, variant{name: other.name + ", token cached", filters: filter, tokens: true, status: 200, wasm: true})
	}
	if len(o.only) > 0 {
		all = slices.DeleteFunc(all, func(v variant) bool {
			return v.name != nameNone && !slices.ContainsFunc(o.only, func(s string) bool { return strings.Contains(v.name, s) })
		})
	}
	return all, nil
}

// accessLog is the log that umagate renders, into no file.
func accessLog() (string, error) {
	logs, err := envoyconf.AccessLog(os.DevNull)
	if err != nil {
		return "", fmt.Errorf("the access log: %w", err)
	}
	document, err := protojson.Marshal(logs[0])
	return string(document), err
}

// path is what the variant asks for.
func (v variant) path() string {
	if v.wasm && !v.tokens && v.status == 200 {
		return "/healthz"
	}
	return "/albums/1"
}

// filterConfig is a site as a user has it: a template with a name in it, and
// identity headers. maxTTL -1 asks the authorization server each time.
func filterConfig(b *backend, maxTTL int) config.Config {
	return config.Config{
		Version:  config.Version,
		Revision: "bench",
		Sites: []config.Site{{
			Name:   "photos",
			Hosts:  []string{"photos.example.com"},
			Token:  config.Token{MaxTTLMS: maxTTL, Issuers: []string{issuer}},
			Limits: config.Limits{TicketsPerSecond: 1_000_000, TicketBurst: 1_000_000},
			AuthorizationServer: config.AuthorizationServer{
				URI: issuer,
				Introspection: config.Introspection{Endpoint: config.Endpoint{
					Cluster: "as", Scheme: "http", Authority: b.api, Path: introspectionPath,
				}},
				Permission: &config.Endpoint{Cluster: "as", Scheme: "http", Authority: b.api, Path: permissionPath},
			},
			Resources: []config.Resource{
				{Name: "albums", ID: resourceID, Conditions: []config.Condition{
					{Paths: []string{"/albums/{id}", "/albums/{id}/**"}, Methods: []string{"GET"}, Scopes: []string{"view"}},
					{Paths: []string{"/albums/{id}"}, Methods: []string{"PUT", "DELETE"}, Scopes: []string{"edit"}},
				}},
				{Name: "health", Conditions: []config.Condition{{Paths: []string{"/healthz"}, Public: true}}},
			},
		}},
	}
}

var wasmTemplate = template.Must(template.New("wasm").Parse(`
          - name: umagate
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm
              config:
                name: umagate
                root_id: umagate
                failure_policy: FAIL_RELOAD
                configuration: {"@type": type.googleapis.com/google.protobuf.StringValue, value: {{printf "%q" .Config}}}
                vm_config:
                  vm_id: umagate
                  runtime: envoy.wasm.runtime.v8
                  code: {local: {filename: {{printf "%q" .Module}}}}
`[1:]))

func wasmFilter(module string, c config.Config) (string, error) {
	document, err := config.Encode(&c)
	if err != nil {
		return "", fmt.Errorf("the filter's configuration: %w", err)
	}
	if module, err = filepath.Abs(module); err != nil {
		return "", fmt.Errorf("the filter's module: %w", err)
	}
	return render(wasmTemplate, struct{ Module, Config string }{module, string(document)})
}

// jwtTemplate does what umagate does for a request, as far as Envoy's own filters
// can: signature, issuer, the scope, and identity headers for the API.
var jwtTemplate = template.Must(template.New("jwt").Parse(`
          - name: envoy.filters.http.jwt_authn
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication
              providers:
                as:
                  issuer: {{printf "%q" .Issuer}}
                  local_jwks: {inline_string: {{printf "%q" .JWKS}}}
                  forward: true
                  payload_in_metadata: payload
{{- if .Cache}}
                  jwt_cache_config: {jwt_cache_size: {{.Cache}}}
{{- end}}
                  claim_to_headers:
                  - {header_name: x-subject, claim_name: sub}
                  - {header_name: x-client-id, claim_name: client_id}
                  - {header_name: x-scopes, claim_name: scope}
              rules:
              - {match: {prefix: "/"}, requires: {provider_name: as}}
          - name: envoy.filters.http.rbac
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC
              rules:
                action: ALLOW
                policies:
                  view:
                    permissions:
                    - and_rules:
                        rules:
                        - {header: {name: ":method", string_match: {exact: GET}}}
                        - {url_path: {path: {prefix: "/albums/"}}}
                    principals:
                    - metadata:
                        filter: envoy.filters.http.jwt_authn
                        path: [{key: payload}, {key: scope}]
                        value: {string_match: {exact: view}}
`[1:]))

func jwtFilter(b *backend, cache int) (string, error) {
	keys, err := json.Marshal(b.issued.keys)
	if err != nil {
		return "", fmt.Errorf("the JWKS: %w", err)
	}
	return render(jwtTemplate, struct {
		Issuer, JWKS string
		Cache        int
	}{issuer, string(keys), cache})
}

const extAuthzFilter = `          - name: envoy.filters.http.ext_authz
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz
              transport_api_version: V3
              grpc_service: {envoy_grpc: {cluster_name: ext_authz}, timeout: 5s}
`

func render(t *template.Template, data any) (string, error) {
	var out bytes.Buffer
	if err := t.Execute(&out, data); err != nil {
		return "", fmt.Errorf("the Envoy configuration %s: %w", t.Name(), err)
	}
	return out.String(), nil
}
