package suite_test

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/config"
)

func splitScopes(s string) []string { return strings.Fields(s) }

// forged are spellings of the identity headers that some stack reads as ours.
func forged() []string {
	return []string{
		"x-uma-subject", "X-UMA-SUBJECT", "x_uma_subject", "X_Uma_Subject", "x.uma.subject", "x-uma_subject", "x_uma-scopes", "X-Uma-Client-Id",
		"x-uma-resource-id", "x-uma-anything-else", "x-uma-", "x~uma~subject",
		"content_length", "Transfer_Encoding", "transfer.encoding",
	}
}

// overrides are headers that make some upstreams see another method or path.
func overrides() []string {
	return []string{
		"X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "X-Original-URL", "X-Rewrite-URL", "X-Original-URI", "X-Forwarded-Uri",
		"X-Forwarded-Path", "X-Original-Method", "X-Forwarded-Method", "X-Envoy-Original-Path", "X_HTTP_Method_Override", "x.original.url",
		"Forwarded", "X-Forwarded-Host", "x_forwarded_host", "X-Forwarded-Prefix", "X-Forwarded-Port", "X-Forwarded-Server", "X-Forwarded-Scheme", "X-Original-Host",
		"X-Host", "X-HTTP-Host-Override", "X-Script-Name", "X-Forwarded-Script-Name", "X-Original-Prefix", "X-Scheme", "X-Envoy-Original-Host",
	}
}

// identityScenarios see that no header of a client passes for the gateway's word,
// on whatever way a request gets through.
func identityScenarios() []scenario {
	return []scenario{
		{
			name: "forged-identity",
			more: func(e *env) []config.Site {
				variant := func(name string, change func(s *config.Site)) config.Site {
					s := e.standardSite()
					s.Name, s.Hosts = "forged-"+name, []string{name + ".forged.test"}
					change(&s)
					return s
				}
				return []config.Site{
					variant("unmatched", func(s *config.Site) { s.Unmatched = config.UnmatchedAllow }),
					variant("off", func(s *config.Site) { s.Mode = config.ModeOff }),
					variant("monitor", func(s *config.Site) { s.Mode = config.ModeMonitor }),
					variant("strip", func(s *config.Site) { s.Token.AuthorizationHeader = config.HeaderStrip }),
					variant("keep-overrides", func(s *config.Site) { s.OverrideHeaders = config.HeaderKeep }),
				}
			},
			run: forgedIdentity,
		},
		{
			name: "override-headers-kept",
			site: func(_ *env, s *config.Site) { s.OverrideHeaders = config.HeaderKeep },
			run: func(e *env) {
				t := e.t
				r := e.request(t, &step{path: "/echo/public/a"}, "")
				r.Header.Set("X-Http-Method-Override", "DELETE")
				a := e.client.do(t, r)
				require.Equal(t, 200, a.status)
				require.Equal(t, "DELETE", a.echo.Headers.Get("X-Http-Method-Override"))
			},
		},
		{
			name: "override-headers-decide-nothing",
			steps: []step{
				{name: "another path", path: "/echo/album/a", header: http.Header{"X-Original-Url": {"/echo/public/a"}, "X-Forwarded-Uri": {"/healthz"}, "X-Rewrite-Url": {"/healthz"}}, status: 401, code: "no_token", challenge: "UMA", tickets: 1},
				{name: "another method", method: "PUT", path: "/echo/album/a", header: http.Header{"X-Http-Method-Override": {"GET"}}, token: "alice/album/view", status: 401, code: "insufficient_permission", challenge: "UMA", fault: "insufficient_scope", introspections: 1, tickets: 1},
				{name: "another host", path: "/echo/album/a", header: http.Header{"X-Forwarded-Host": {"public.test"}, "Forwarded": {"host=public.test"}}, status: 401, code: "no_token", challenge: "UMA", tickets: 1},
			},
		},
	}
}

func forgedIdentity(e *env) {
	t := e.t
	for _, way := range []struct {
		name, host, path, token string
		permitted, keeps        bool
	}{
		{"public", e.host, "/echo/public/a", "", false, false},
		{"permitted", e.host, "/echo/album/a", "alice/album/view", true, false},
		{"unmatched", "unmatched.forged.test", "/echo/nowhere", "", false, false},
		{"off", "off.forged.test", "/echo/album/a", "", false, false},
		{"monitor", "monitor.forged.test", "/echo/album/a", "", false, false},
		{"stripped", "strip.forged.test", "/echo/album/a", "alice/album/view", true, false},
		{"overrides kept", "keep-overrides.forged.test", "/echo/public/a", "", false, true},
	} {
		r := e.request(t, &step{path: way.path, host: way.host}, e.token(t, way.token))
		for i, name := range forged() {
			r.Header[name] = []string{fmt.Sprintf("forged-%d", i)}
		}
		for i, name := range overrides() {
			r.Header[name] = []string{fmt.Sprintf("override-%d", i)}
		}
		r.Header["X-Umax-Subject"] = []string{"innocent"}
		a := e.client.do(t, r)
		require.Equal(t, 200, a.status, "%s: %s", way.name, a.body)
		for name, values := range a.echo.Headers {
			for _, v := range values {
				require.NotContains(t, v, "forged", "%s: %s reached the API", way.name, name)
				if !way.keeps {
					require.NotContains(t, v, "override", "%s: %s reached the API", way.name, name)
				}
			}
		}
		require.Equal(t, "innocent", a.echo.Headers.Get("X-Umax-Subject"), way.name)
		if way.permitted {
			require.Equal(t, []string{"view"}, a.echo.Headers.Values("X-Uma-Scopes"), way.name)
			require.Equal(t, []string{e.as.resources["album"]}, a.echo.Headers.Values("X-Uma-Resource-Id"), way.name)
		}
	}
}
