package site

import (
	"fmt"
	"slices"
	"strings"

	"github.com/umagate/umagate/plugin/config"
	"github.com/umagate/umagate/plugin/route"
)

// OXDSite gives hosts to what an application protects with uma_rs_protect, so that
// Envoy enforces it. An application that no entry names is answered by
// uma_rs_check_access only. Exactly one of the first three says which application it
// is. If several applications match, the first to call uma_rs_protect gets the hosts.
type OXDSite struct {
	// The oxd_id of the application.
	OxdID string `yaml:"oxd_id"`
	// The client_name that the application registered with. Whoever may register
	// at the oxd API may take a name that nobody has taken yet.
	ClientName string `yaml:"client_name"`
	// The host of the application's authorization_redirect_uri. As with the name.
	RedirectHost string `yaml:"redirect_host"`
	// The hosts, as those of a site.
	Hosts []string `yaml:"hosts" jsonschema:"required,minItems=1"`
	// URL of the protected API ("http://127.0.0.1:8080"), which Envoy routes the hosts to.
	Upstream string `yaml:"upstream"`
	// What becomes of a path that the application does not protect: deny
	// (default) or allow, which is how an application of oxd served it.
	Unmatched config.Verdict `yaml:"unmatched"`
}

// Names reports whether the entry is for that application.
func (e *OXDSite) Names(oxdID, clientName, redirectHost string) bool {
	switch {
	case e.OxdID != "":
		return e.OxdID == oxdID
	case e.ClientName != "":
		return e.ClientName == clientName
	default:
		return e.RedirectHost != "" && strings.EqualFold(e.RedirectHost, redirectHost)
	}
}

// oxdSites checks the entries, and that no host is given twice.
func (v *validator) oxdSites(path string, entries []OXDSite) {
	taken := map[string]string{}
	for i := range v.file.Sites {
		s := &v.file.Sites[i]
		for _, host := range s.Hosts {
			taken[strings.ToLower(host)] = "site " + s.Name
		}
		if strings.HasPrefix(s.Name, "oxd-") {
			v.fault(config.Index("sites", i)+".name", "begins with oxd-, as the sites of applications do that use the oxd API", "give it another name")
		}
	}
	var names [][3]string
	for i := range entries {
		e, at := &entries[i], config.Index(path, i)
		name := [3]string{e.OxdID, e.ClientName, strings.ToLower(e.RedirectHost)}
		given := 0
		for _, n := range name {
			if n != "" {
				given++
			}
		}
		switch {
		case given != 1:
			v.fault(at, "does not say which application it is for", "write exactly one of oxd_id, client_name and redirect_host")
		case slices.Contains(names, name):
			v.fault(at, "another entry is for the same application", "write all its hosts into one")
		case e.OxdID == "":
			v.warn(at, "any application that registers with this "+map[bool]string{true: "client_name", false: "redirect_host"}[e.ClientName != ""]+" first gets the hosts",
				"write its oxd_id, once it has one")
		}
		names = append(names, name)
		if len(e.Hosts) == 0 {
			v.fault(at+".hosts", "there is no host", "write the hosts that the application answers on")
		}
		for j, host := range e.Hosts {
			if _, err := route.NewHosts().Add(host, 0); err != nil {
				v.fault(config.Index(at+".hosts", j), err.Error(), "write a host name without port")
				continue
			}
			if other, ok := taken[strings.ToLower(host)]; ok {
				v.fault(config.Index(at+".hosts", j), fmt.Sprintf("%q belongs to %s", host, other), "give a host to one only")
			}
			taken[strings.ToLower(host)] = at
		}
		if e.Upstream != "" {
			if u := v.url(at+".upstream", e.Upstream); u != nil && (u.Path != "" && u.Path != "/" || u.RawQuery != "") {
				v.fault(at+".upstream", "has a path", "write scheme, host and port only; requests keep the path they came with")
			}
		}
		if e.Unmatched == config.VerdictAllow {
			v.warn(at+".unmatched", "a path that the application does not protect passes without a token", "write unmatched: deny, and protect every path")
		}
	}
}
