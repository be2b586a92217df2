package main

import (
	"net"
	"text/template"
)

// bootstrapTemplate is an Envoy with one listener. The calls of the filter get
// their credential from Envoy, as the control plane sets it up.
var bootstrapTemplate = template.Must(template.New("bootstrap").Parse(`
node: {id: bench, cluster: bench}
static_resources:
  secrets:
  - name: as-credential
    generic_secret: {secret: {inline_string: "Basic YmVuY2g6YmVuY2g="}}
  listeners:
  - name: main
    address: {socket_address: {address: 127.0.0.1, port_value: 0}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: main
{{- with .AccessLog}}
          access_log: [{{.}}]
{{- end}}
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes: [{match: {prefix: "/"}, route: {cluster: api}}]
          http_filters:
{{.Filters}}
          - name: envoy.filters.http.router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
  clusters:
  - name: api
    load_assignment:
      cluster_name: api
      endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: {{.API.Host}}, port_value: {{.API.Port}}}}}}]}]
  - name: as
    load_assignment:
      cluster_name: as
      endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: {{.API.Host}}, port_value: {{.API.Port}}}}}}]}]
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http_protocol_options: {}}
        http_filters:
        - name: envoy.filters.http.credential_injector
          typed_config:
            "@type": type.googleapis.com/envoy.extensions.filters.http.credential_injector.v3.CredentialInjector
            overwrite: true
            credential:
              name: envoy.http.injected_credentials.generic
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.http.injected_credentials.generic.v3.Generic
                credential: {name: as-credential}
        - name: envoy.filters.http.upstream_codec
          typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec}
  - name: ext_authz
    load_assignment:
      cluster_name: ext_authz
      endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: {{.Authz.Host}}, port_value: {{.Authz.Port}}}}}}]}]
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}
`[1:]))

type address struct{ Host, Port string }

func bootstrap(v variant, b *backend) (string, error) {
	var data struct {
		Filters, AccessLog string
		API, Authz         address
	}
	data.Filters, data.AccessLog = v.filters, v.accessLog
	var err error
	if data.API.Host, data.API.Port, err = net.SplitHostPort(b.api); err != nil {
		return "", err
	}
	if data.Authz.Host, data.Authz.Port, err = net.SplitHostPort(b.authz); err != nil {
		return "", err
	}
	return render(bootstrapTemplate, data)
}
