package site

import (
	"crypto/x509"
	"reflect"
	"strings"

	"github.com/umagate/umagate/plugin/config"
)

func (v *validator) authorizationServer(path string, s *Site) {
	as := &s.AuthorizationServer
	v.issuer(path, as)
	v.endpoints(path+".endpoints", as)
	v.discovery(path, s)
	v.client(path+".client", as)
	v.pat(path, as)
	v.tls(path+".tls", &as.TLS)
}

func (v *validator) issuer(path string, as *AuthorizationServer) {
	at := path + ".issuer"
	if as.Issuer == "" {
		v.fault(at, "the authorization server has no issuer", "write the issuer that its discovery document names")
		return
	}
	u := v.url(at, as.Issuer)
	if u == nil {
		return
	}
	if u.RawQuery != "" {
		v.fault(at, "has a query", "take away ? and what follows (RFC 8414 section 2)")
	}
	switch {
	case u.Scheme == "http" && loopback(u.Hostname()):
	case as.InsecureHTTP && u.Scheme == "https":
		v.warn(path+".insecure_http", "tokens and credentials go in the clear wherever the authorization server names an http endpoint", "take it out unless its back channel is http")
	case as.InsecureHTTP:
		v.warn(path+".insecure_http", "tokens and credentials go in the clear", "give the authorization server a certificate and write https://")
	case u.Scheme == "http":
		v.fault(at, "is http: tokens and credentials would go in the clear", "write https://, or insecure_http: true beside it")
	}
}

// endpoints checks each override. A back channel may be http under an https issuer,
// on loopback or where the file says so.
func (v *validator) endpoints(path string, as *AuthorizationServer) {
	value := reflect.ValueOf(as.Endpoints)
	for i, key := range keysOf(value.Type()) {
		raw := value.Field(i).String()
		if raw == "" {
			continue
		}
		u := v.url(path+"."+key, raw)
		if u == nil || u.Scheme == "https" {
			continue
		}
		if !loopback(u.Hostname()) && !as.InsecureHTTP {
			v.fault(path+"."+key, "is http: credentials would go in the clear", "write https://, or insecure_http: true beside the issuer")
		}
	}
}

// discovery checks that without metadata the endpoints are there, or follow from
// the dialect.
func (v *validator) discovery(path string, s *Site) {
	as := &s.AuthorizationServer
	if as.Discovery != DiscoveryOff {
		return
	}
	switch as.Dialect {
	case DialectKeycloak, DialectGluu, DialectWSO2:
		return
	case DialectAuto:
		v.fault(path+".dialect", "auto needs discovery, which is off", "write generic, keycloak, gluu or wso2")
	case DialectGeneric:
	}
	needed := []string{"token", "introspection"}
	if s.Require != config.RequireOAuthScopes {
		needed = append(needed, "permission", "resource_registration")
	}
	if as.Client.Register != nil {
		needed = append(needed, "registration")
	}
	value := reflect.ValueOf(as.Endpoints)
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
