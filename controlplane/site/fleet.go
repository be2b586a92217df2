package site

import (
	"slices"
	"strings"
)

// Group is a part of the fleet: the Envoys that match it, and the sites that they
// serve. An Envoy gets the filter, the clusters and the credentials of its group's
// sites and of no other.
type Group struct {
	// Unique name, of lower-case letters, digits, "-" and "_".
	Name string `yaml:"name" jsonschema:"required,pattern=^[a-z0-9][a-z0-9_-]*$"`
	// Which Envoys are of this group. All that is written must hold; an Envoy that
	// several groups match is of the first.
	Match Match `yaml:"match"`
	// Names of the sites that these Envoys serve. "*" stands for any characters:
	// "oxd-*" is also for sites that come by oxd.
	Sites []string `yaml:"sites" jsonschema:"required,minItems=1"`
}

// Match tells Envoys by what they say of themselves and, with listen.xds_tls, by
// their certificate. In each text, "*" stands for any characters.
type Match struct {
	// The node.id of the Envoy.
	ID string `yaml:"id"`
	// The node.cluster of the Envoy.
	Cluster string `yaml:"cluster"`
	// Texts in the node.metadata of the Envoy.
	Metadata map[string]string `yaml:"metadata" jsonschema:"minProperties=1"`
	// URIs and DNS names, one of which the Envoy's client certificate has as a subject
	// alternative name. Needed with listen.xds_tls: what an Envoy says of itself proves
	// nothing.
	SAN []string `yaml:"san" jsonschema:"minItems=1"`
}

// XDSTLS is the TLS of the xDS server. The files are read anew when they change.
type XDSTLS struct {
	// File with the server's certificate and those between it and its CA, in PEM.
	Certificate string `yaml:"certificate" jsonschema:"required"`
	// File with its private key, in PEM.
	Key string `yaml:"key" jsonschema:"required"`
	// File with the certificates that sign those of the Envoys, in PEM. An Envoy
	// without a certificate of theirs gets no connection.
	ClientCA string `yaml:"client_ca" jsonschema:"required"`
}

// EnvoyTLS is the Envoy's side of listen.xds_tls: files on the machine that Envoy
// runs on.
type EnvoyTLS struct {
	// File with Envoy's client certificate, in PEM. Default /etc/envoy/tls/tls.crt.
	Certificate string `yaml:"certificate"`
	// File with its private key, in PEM. Default /etc/envoy/tls/tls.key.
	Key string `yaml:"key"`
	// File with the certificates that sign that of the xDS server, in PEM. Default
	// /etc/envoy/tls/ca.crt.
	CA string `yaml:"ca"`
	// Name expected in the xDS server's certificate. Default: the host of envoy.xds.
	ServerName string `yaml:"server_name"`
	// Folder with the files that "umagate render xds-secrets" makes. With them, Envoy
	// notices that certificate, key or ca have changed; without, at its next start.
	SDSFolder string `yaml:"sds_folder"`
}

// Fits reports whether an Envoy is one of those meant. metadata are the texts at the
// top of node.metadata, sans the names in its client certificate, which was verified;
// nil without one.
func (m Match) Fits(id, cluster string, metadata map[string]string, sans []string) bool {
	if m.ID != "" && !glob(m.ID, id) || m.Cluster != "" && !glob(m.Cluster, cluster) {
		return false
	}
	for key, pattern := range m.Metadata {
		if value, ok := metadata[key]; !ok || !glob(pattern, value) {
			return false
		}
	}
	return len(m.SAN) == 0 || slices.ContainsFunc(m.SAN, func(pattern string) bool {
		return slices.ContainsFunc(sans, func(name string) bool { return glob(pattern, name) })
	})
}

// HasSite reports whether the group's Envoys serve the site of that name.
func (g Group) HasSite(name string) bool {
	return slices.ContainsFunc(g.Sites, func(pattern string) bool { return glob(pattern, name) })
}

// all reports whether every Envoy fits.
func (m Match) all() bool {
	return m.ID == "" && m.Cluster == "" && len(m.Metadata) == 0 && len(m.SAN) == 0
}

// glob compares a text with a pattern in which "*" stands for any characters.
func glob(pattern, s string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == s
	}
	last := len(parts) - 1
	if !strings.HasPrefix(s, parts[0]) {
		return false
	}
	s = s[len(parts[0]):]
	for _, part := range parts[1:last] {
		i := strings.Index(s, part)
		if i < 0 {
			return false
		}
		s = s[i+len(part):]
	}
	return strings.HasSuffix(s, parts[last])
}
