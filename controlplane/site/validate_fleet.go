package site

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/umagate/umagate/plugin/config"
)

// groupName is what a site's name is made of, too.
var groupName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]*$`)

// groups judges who gets what. A site that no group has is served by nobody.
func (v *validator) groups() {
	f := v.file
	if len(f.Groups) == 0 {
		return
	}
	var names, sites []string
	for i := range f.Sites {
		sites = append(sites, f.Sites[i].Name)
	}
	everyone := ""
	for i := range f.Groups {
		g, path := &f.Groups[i], config.Index("groups", i)
		switch {
		case !groupName.MatchString(g.Name):
			v.fault(path+".name", "is no name of a group", `write one of lower-case letters, digits, "-" and "_"`)
		case slices.Contains(names, g.Name):
			v.fault(path+".name", fmt.Sprintf("another group is called %q", g.Name), "give each a name of its own")
		case everyone != "":
			v.fault(path, fmt.Sprintf("no Envoy is ever of this group: group %q before it takes all", everyone), "put the group without match last")
		}
		names = append(names, g.Name)
		v.groupSites(path+".sites", g, sites)
		v.match(path+".match", g.Match)
		if g.Match.all() {
			everyone = g.Name
		}
	}
	for i := range f.Sites {
		name := f.Sites[i].Name
		if name != "" && !slices.ContainsFunc(f.Groups, func(g Group) bool { return g.HasSite(name) }) {
			v.warn(config.Index("sites", i), "no group has this site: no Envoy guards it", "add it to the sites of a group")
		}
	}
}

func (v *validator) groupSites(path string, g *Group, known []string) {
	if len(g.Sites) == 0 {
		v.fault(path, "the group has no site", "name those that its Envoys serve: "+strings.Join(known, ", "))
	}
	for i, name := range g.Sites {
		if slices.Contains(known, name) || strings.Contains(name, "*") {
			continue
		}
		v.fault(config.Index(path, i), fmt.Sprintf("there is no site %q", name), withNearest(name, known, "one of "+strings.Join(known, ", ")))
	}
}

// match asks for proof where there is one, and refuses to ask where there is none.
func (v *validator) match(path string, m Match) {
	mutual := v.file.Listen.XDSTLS != nil
	switch {
	case mutual && len(m.SAN) == 0:
		v.fault(path, "says nothing of the Envoy's certificate, and so any Envoy can claim to be of this group",
			`write san: with the names in their certificates, such as ["spiffe://example.com/edge/*"]; ["*"] is every one that client_ca signed`)
	case !mutual && len(m.SAN) > 0:
		v.fault(path+".san", "there is no certificate without listen.xds_tls", "write listen.xds_tls, or match by id, cluster or metadata")
	}
	for i, name := range m.SAN {
		if name == "" {
			v.fault(config.Index(path+".san", i), "is empty", `write a URI or a DNS name; "*" stands for any characters`)
		}
	}
}

// xdsTLS checks that the files are there and fit each other.
func (v *validator) xdsTLS() {
	const path = "listen.xds_tls"
	t := v.file.Listen.XDSTLS
	if t == nil {
		return
	}
	read := func(key, name string) []byte {
		if name == "" {
			v.fault(path+"."+key, "is missing", "write the name of a file in PEM, beside the configuration")
			return nil
		}
		if v.env.ReadFile == nil {
			return nil
		}
		data, err := v.env.ReadFile(name)
		if err != nil && !v.env.SkipSecrets {
			v.fault(path+"."+key, "cannot be read: "+err.Error(), "check its name, beside the configuration, and who may read it")
		}
		return data
	}
	certificate, key, ca := read("certificate", t.Certificate), read("key", t.Key), read("client_ca", t.ClientCA)
	if certificate != nil && key != nil {
		if _, err := tls.X509KeyPair(certificate, key); err != nil {
			v.fault(path+".certificate", "does not belong to the key: "+err.Error(), "write the files of one pair, in PEM, the server's certificate first")
		}
	}
	if ca != nil && !x509.NewCertPool().AppendCertsFromPEM(ca) {
		v.fault(path+".client_ca", "has no certificate in it", "write a file in PEM (-----BEGIN CERTIFICATE-----)")
	}
}
