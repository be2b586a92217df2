package legacy

import (
	"bytes"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"

	"github.com/umagate/umagate/controlplane/site"
)

// WriteTo prints the oxd section of umagate.yaml, with the notes before it.
func (f *Found) WriteTo(w io.Writer) (int64, error) {
	var b bytes.Buffer
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("# Made by umagate import oxd. See to every TODO, put it into umagate.yaml, and check it: umagate validate -c umagate.yaml")
	line("# Then bring the RPs over, while umagate serve does not run: umagate import oxd DIR --into umagate.yaml")
	for i, n := range f.Notes {
		if i == 0 {
			line("#\n# Not carried over, or not exactly:")
		}
		line("#   %s: %s", site.Comment(n.Place), site.Comment(n.Text))
	}
	s := &f.Settings
	line("oxd:")
	port := s.Port
	if port == 0 {
		port = 8099
	}
	line("  socket: 127.0.0.1:%d", port)
	line("  # http: 127.0.0.1:8443 # what oxd-https-extension was; beyond loopback with tls: {cert_file: …, key_file: …}")
	line("  protect_commands_with_access_token: %t", s.Protect)
	hosts := f.opHosts()
	line("  op_hosts:")
	for _, host := range hosts {
		line("  - {url: %s}", site.Quote(host))
	}
	if len(hosts) == 0 {
		line("  - {url: https://op.example.com} # TODO: the OpenID provider")
	}
	if s.OPHost != "" && len(hosts) > 1 {
		line("  default_op_host: %s", site.Quote(whole(s.OPHost)))
	}
	if s.LoginLifetime > 0 {
		line("  login_lifetime: %s", s.LoginLifetime)
	}
	f.writeDefaults(line)
	f.writeSites(line)
	n, err := w.Write(b.Bytes())
	return int64(n), err
}

func (f *Found) writeDefaults(line func(string, ...any)) {
	d := &f.Settings.Defaults
	var rows []string
	for _, row := range []struct {
		key  string
		list []string
	}{
		{"scope", d.Scope},
		{"acr_values", d.ACRValues},
		{"grant_types", d.GrantTypes},
		{"response_types", d.ResponseTypes},
		{"contacts", d.Contacts},
		{"ui_locales", d.UILocales},
		{"claims_locales", d.ClaimsLocales},
	} {
		if len(row.list) > 0 {
			rows = append(rows, row.key+": "+site.QuoteList(row.list))
		}
	}
	if d.PostLogoutRedirectURI != "" {
		rows = append(rows, "post_logout_redirect_uri: "+site.Quote(d.PostLogoutRedirectURI))
	}
	for i, row := range rows {
		if i == 0 {
			line("  defaults:")
		}
		line("    %s", row)
	}
}

// writeSites gives hosts to what is protected: that of the redirect URI is a guess.
func (f *Found) writeSites(line func(string, ...any)) {
	taken := map[string]bool{}
	first := true
	for i := range f.Entries {
		e := &f.Entries[i]
		u, err := url.Parse(e.RP.Metadata.RedirectURI)
		if len(e.Document) == 0 || err != nil || u.Hostname() == "" || taken[strings.ToLower(u.Hostname())] {
			continue
		}
		taken[strings.ToLower(u.Hostname())] = true
		if first {
			line("  sites:")
			first = false
		}
		line("  - {oxd_id: %s, hosts: [%s]} # TODO: the hosts that Envoy serves for it; take it out if Envoy is not to enforce", site.Quote(e.RP.ID), site.Quote(u.Hostname()))
	}
}

// opHosts are those that anything names, the default first.
func (f *Found) opHosts() []string {
	var out []string
	add := func(host string) {
		if host = whole(host); host != "" && !slices.Contains(out, host) {
			out = append(out, host)
		}
	}
	add(f.Settings.OPHost)
	for i := range f.Entries {
		add(f.Entries[i].RP.OPHost)
	}
	return out
}

// whole is an op_host with its scheme and without a "/" at its end.
func whole(host string) string {
	host = strings.TrimRight(strings.TrimSpace(host), "/")
	if host != "" && !strings.Contains(host, "://") {
		host = "https://" + host
	}
	return host
}
