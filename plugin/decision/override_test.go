package decision_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/config"
)

func TestMethodOverrideInTheQuery(t *testing.T) {
	keep := siteOf(func(s *config.Site) { s.OverrideHeaders = config.HeaderKeep })
	preflight := siteOf(func(s *config.Site) { s.CORSPreflight = config.VerdictAllow })
	const refused = "400 method_override"
	tests := []struct {
		name, method, query string
		change              func(*config.Config)
		want                string
	}{
		{name: "plain", query: "_method=DELETE", want: refused},
		{name: "lower case", query: "_method=delete", want: refused},
		{name: "no method at all", query: "_method=x", want: refused},
		{name: "after others", query: "a=b&c&_method=PUT", want: refused},
		{name: "after many", query: strings.Repeat("&;a=b", 5000) + "&_method=P", want: refused},
		{name: "before many", query: "_method=P" + strings.Repeat(";&a", 5000), want: refused},
		{name: "after a semicolon", query: "a=b;_method=PUT", want: refused},
		{name: "encoded name", query: "%5fmethod=PUT", want: refused},
		{name: "encoded letters", query: "_%6D%65thod=PUT", want: refused},
		{name: "encoded value", query: "_method=P%55T", want: refused},
		{name: "its own, and another", query: "_method=GET&_method=PUT", want: refused},
		{name: "other letters", query: "_METHOD=PUT", want: refused},
		{name: "PHP's dot", query: ".method=PUT", want: refused},
		{name: "PHP's bracket", query: "[method=PUT", want: refused},
		{name: "PHP's blanks", query: strings.Repeat("+%20", 50) + "_method=PUT", want: refused},
		{name: "list", query: "_method[]=PUT", want: refused},
		{name: "map", query: "_method%5B" + strings.Repeat("a", 90) + "%5D=PUT", want: refused},
		{name: "NUL", query: "_method%00x=PUT", want: refused},
		{name: "blank in the value", query: "_method=+GET", want: refused},
		{name: "long value", query: "_method=GET" + strings.Repeat("+", 90), want: refused},
		{name: "name of the header", query: "X-HTTP-Method-Override=PUT", want: refused},
		{name: "name of the header, folded", query: "x_http_method=PUT", want: refused},
		{name: "preflight", method: "OPTIONS", query: "_method=PUT", change: preflight, want: refused},
		{name: "kept", query: "_method=PUT", change: keep, want: "allow public"},
		{name: "its own", query: "_method=GET", want: "allow public"},
		{name: "its own, lower case", query: "_method=g%65t", want: "allow public"},
		{name: "none", query: "_method=", want: "allow public"},
		{name: "nothing", query: "_method", want: "allow public"},
		{name: "another name", query: "method=PUT&x_method=PUT&_methods=PUT&_method_x=PUT", want: "allow public"},
		{name: "in a value", query: "a=_method=PUT", want: "allow public"},
		{name: "long name", query: strings.Repeat("a", 200) + "_method=PUT", want: "allow public"},
		{name: "bad escapes", query: "%zz=%&%5=%5", want: "allow public"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var change []func(*config.Config)
			if tt.change != nil {
				change = append(change, tt.change)
			}
			h := newHarness(t, change...)
			method := "GET"
			if tt.method != "" {
				method = tt.method
			}
			x, step := h.start(ask(method, "/open/a?"+tt.query, "", "origin", "https://app", "access-control-request-method", "PUT"))
			require.Equal(t, tt.want, outcome(x, step))
		})
	}
}
