package site

import (
	"crypto/x509"
	"reflect"
	"slices"
	"strings"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/plugin/config"
)

func (v *validator) authorizationServer(path string, s *Site) {
	server := &s.AuthorizationServer
	v.issuer(path, server)
	v.aliases(path, server)
	v.endpoints(path+".endpoints", server)
	v.discovery(path, s)
	v.client(path+".client", server)
	v.pat(path, server)
	v.tls(path+".tls", &server.TLS)
}

func (v *validator) issuer(path string, server *AuthorizationServer) {
	at := path + ".issuer"
	if server.Issuer == "" {
		v.fault(at, "the authorization server has no issuer", "write the issuer that its discovery document names")
		return
	}
	u := v.url(at, server.Issuer)
	if u == nil {
		return
	}
	if u.RawQuery != "" {
		v.fault(at, "has a query", "take away ? and what follows (RFC 8414 section 2)")
	}
	switch {
	case u.Scheme == "http" && local(u.Hostname()):
	case server.InsecureHTTP && u.Scheme == "https":
		v.warn(path+".insecure_http", "tokens and credentials go in the clear wherever the authorization server names an http endpoint", "take it out unless its back channel is http")
	case server.InsecureHTTP:
		v.warn(path+".insecure_http", "tokens and credentials go in the clear", "give the authorization server a certificate and write https://")
	case u.Scheme == "http":
		v.fault(at, "is http: tokens and credentials would go in the clear", "write https://, or insecure_http: true beside it")
	}
}

func (v *validator) aliases(path string, server *AuthorizationServer) {
	for i, alias := range server.IssuerAliases {
		at := config.Index(path+".issuer_aliases", i)
		switch u := v.url(at, alias); {
		case u == nil:
		case u.RawQuery != "":
			v.fault(at, "has a query", "take away ? and what follows (RFC 8414 section 2)")
		case slices.Contains(server.Names()[:i+1], alias):
			v.fault(at, "is there already", "take one of them out")
		}
	}
}

// endpoints checks each override. A back channel may be http under an https issuer,
// on loopback or where the file says so.
func (v *validator) endpoints(path string, server *AuthorizationServer) {
	value := reflect.ValueOf(server.Endpoints)
	fields := fieldsOf(value.Type())
	for _, key := range keysOf(value.Type()) {
		raw := value.FieldByIndex(fields[key].Index).String()
		if raw == "" {
			continue
		}
		u := v.url(path+"."+key, raw)
		if u == nil || u.Scheme == "https" {
			continue
		}
		if !local(u.Hostname()) && !server.InsecureHTTP {
			v.fault(path+"."+key, "is http: credentials would go in the clear", "write https://, or insecure_http: true beside the issuer")
		}
	}
}

// discovery checks that without metadata the endpoints are there, or follow from
// the dialect.
func (v *validator) discovery(path string, s *Site) {
	server := &s.AuthorizationServer
	if server.Discovery != DiscoveryOff {
		return
	}
	switch server.Dialect {
	case as.DialectKeycloak, as.DialectGluu, as.DialectWSO2:
		return
	case as.DialectAuto:
		v.fault(path+".dialect", "auto needs discovery, which is off", "write generic, keycloak, gluu or wso2")
	case as.DialectGeneric:
	}
	needed := []string{"token", "introspection"}
	if s.Require != config.RequireOAuthScopes {
		needed = append(needed, "permission", "resource_registration")
	}
	if server.Client.Register != nil {
		needed = append(needed, "registration")
	}
	value := reflect.ValueOf(server.Endpoints)
	fields := fieldsOf(value.Type())
	var missing []string
	for _, key := range needed {
		if value.FieldByIndex(fields[key].Index).String() == "" {
			missing = append(missing, key)
		}
	}
	if len(missing) > 0 {
		v.fault(path+".discovery", "is off, and endpoints lacks "+strings.Join(missing, ", "), "write them under endpoints, or the dialect of a product that has them where it always has, or discovery: on")
	}
}

func (v *validator) tls(path string, t *TLS) {
	if t.InsecureSkipVerify {
		v.warn(path+".insecure_skip_verify", "any certificate is taken: whoever is in between reads every credential", "write ca_file: with the certificate to trust")
	}
	if t.CAFile == "" || v.env.ReadFile == nil {
		return
	}
	v.file.Sources = append(v.file.Sources, t.CAFile)
	pem, err := v.env.ReadFile(t.CAFile)
	if err != nil {
		if !v.env.SkipSecrets {
			v.fault(path+".ca_file", "cannot be read: "+err.Error(), "check its name, beside the configuration, and who may read it")
		}
		return
	}
	if !x509.NewCertPool().AppendCertsFromPEM(pem) {
		v.fault(path+".ca_file", "has no certificate in it", "write a file in PEM (-----BEGIN CERTIFICATE-----)")
		return
	}
	t.CA = pem
}
