package site

import (
	"net"
	"net/url"
	"strings"

	"github.com/umagate/umagate/plugin/config"
)

func (v *validator) oxd(path string, o *OXD) {
	if o.HTTP == "" && o.Socket == "" {
		v.fault(path, "is served nowhere", "write http: 127.0.0.1:8443, or socket: 127.0.0.1:8099, or both")
	}
	encrypted := o.TLS.CertFile != "" && o.TLS.KeyFile != ""
	if !encrypted && o.TLS != (OXDCertificate{}) {
		v.fault(path+".tls", "lacks one of cert_file and key_file", "write both, or neither for plain HTTP")
	}
	if o.TLS != (OXDCertificate{}) && o.HTTP == "" {
		v.fault(path+".tls", "is for http, which is not served; the socket has no encryption", "write http:, or take tls away")
	}
	v.oxdListen(path+".http", o.HTTP, encrypted, o.InsecurePlaintext)
	v.oxdListen(path+".socket", o.Socket, false, o.InsecurePlaintext)
	if !o.ProtectCommands {
		v.warn(path+".protect_commands_with_access_token", "whoever reaches the oxd API can command every site that uses it", "write true, or let only the applications reach it")
	}
	v.oxdProviders(path+".op_hosts", o)
	v.oxdSites(path+".sites", o.Sites)
}

func (v *validator) oxdListen(path, address string, encrypted, plaintext bool) {
	if address == "" {
		return
	}
	v.hostPort(path, address)
	host, _, err := net.SplitHostPort(address)
	switch {
	case err != nil, local(host), encrypted:
	case !plaintext:
		v.fault(path, "is not loopback, and what is served there is not encrypted", "write a loopback address, or for http a certificate under tls, or insecure_plaintext: true")
	default:
		v.warn(path, "whoever is in between reads client secrets and tokens", "write a loopback address, or for http a certificate under tls")
	}
}

func (v *validator) oxdProviders(path string, o *OXD) {
	if len(o.OPHosts) == 0 {
		v.fault(path, "names no OpenID provider", "write op_hosts: [{url: https://op.example.com}]: no other is asked anything")
	}
	known := map[string]bool{}
	for i := range o.OPHosts {
		p, at := &o.OPHosts[i], config.Index(path, i)
		if p.URL == "" {
			v.fault(at+".url", "is missing", "write what op_host has, such as https://op.example.com")
			continue
		}
		for _, address := range []struct{ path, value string }{{at + ".url", p.URL}, {at + ".issuer", p.Issuer}} {
			if address.value == "" {
				continue
			}
			u := v.url(address.path, address.value)
			if u == nil {
				continue
			}
			if u.RawQuery != "" {
				v.fault(address.path, "has a query", "take away ? and what follows")
			}
			if u.Scheme == "http" && !local(u.Hostname()) && !p.InsecureHTTP {
				v.fault(address.path, "is http: tokens and credentials would go in the clear", "write https://, or insecure_http: true beside it")
			}
		}
		if p.InsecureHTTP {
			v.warn(at+".insecure_http", "tokens and credentials go in the clear", "give the OpenID provider a certificate and write https://")
		}
		if key := oxdHostKey(p.URL); known[key] {
			v.fault(at+".url", "stands there twice", "keep one of them")
		} else {
			known[key] = true
		}
		v.tls(at+".tls", &p.TLS)
	}
	switch {
	case o.DefaultOPHost != "" && !known[oxdHostKey(o.DefaultOPHost)]:
		v.fault(strings.TrimSuffix(path, "op_hosts")+"default_op_host", "is not one of op_hosts", "write the url of one of them")
	case o.DefaultOPHost == "" && len(o.OPHosts) > 1:
		v.warn(strings.TrimSuffix(path, "op_hosts")+"op_hosts", "a command without op_host is refused, since there are several", "write default_op_host")
	}
}

// oxdHostKey brings two spellings of an address together.
func oxdHostKey(raw string) string {
	if !strings.Contains(raw, "://") {
		raw = "https://" + raw // some clients leave it out
	}
	u, err := url.Parse(raw)
	if err != nil {
		return raw
	}
	return u.Scheme + "://" + strings.ToLower(u.Host) + strings.TrimRight(u.EscapedPath(), "/")
}
