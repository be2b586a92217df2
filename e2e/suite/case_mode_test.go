package suite_test

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/config"
)

// modeScenarios see that no mode opens what is enforced, and that what protects the
// connection to the API, and whom it takes a request to be from, has no mode.
func modeScenarios() []scenario {
	part := func(s *config.Site) {
		s.Mode = config.ModeMonitor
		s.Resources[0].Conditions[0].Mode = config.ModeEnforce
	}
	lax := func(e *env) []config.Site {
		variant := func(name string, change func(s *config.Site)) config.Site {
			s := e.standardSite()
			s.Name, s.Hosts = e.name+"-"+name, []string{name + "." + e.host}
			change(&s)
			return s
		}
		return []config.Site{
			variant("monitor", func(s *config.Site) { s.Mode = config.ModeMonitor }),
			variant("off", func(s *config.Site) { s.Mode = config.ModeOff }),
			variant("unmatched", func(s *config.Site) { s.Unmatched = config.UnmatchedAllow }),
			variant("keep", func(s *config.Site) { s.OverrideHeaders = config.HeaderKeep }),
		}
	}
	return []scenario{
		{
			name: "monitor-opens-nothing-enforced", once: true,
			site: func(_ *env, s *config.Site) { part(s) },
			more: func(e *env) []config.Site {
				s := e.standardSite()
				s.Name, s.Hosts, s.AmbiguousPaths = e.name+"-normalize", []string{"normalize." + e.host}, config.PathsNormalize
				part(&s)
				return []config.Site{s}
			},
			steps: []step{
				{name: "as it is written", path: "/echo/album/a", status: 401, code: "no_token", challenge: "UMA", tickets: 1},
				{name: "a method that none covers", method: "PATCH", path: "/echo/album/a", status: 403, code: "method_not_covered"},
				{name: "a path that none names", path: "/ECHO/album/a", status: 403, code: "unmatched_path"},
				{name: "another method is watched", method: "PUT", path: "/echo/album/a", status: 200},
				{name: "another condition is watched", path: "/echo/other/a", status: 200, api: map[string]string{"X-Uma-Subject": ""}, header: http.Header{"X-Uma-Subject": {"forged"}}},
				{name: "public", path: "/echo/public/a", status: 200},
			},
			run: monitorOpensNothing,
		},
		{name: "connection", once: true, more: lax, run: connectionInEveryMode},
		{name: "trailers", once: true, needs: canHTTP2, more: lax, run: forgedTrailers},
		{name: "connection-options", once: true, needs: canUpgrade, more: lax, run: connectionOptions},
	}
}

// monitorOpensNothing sends other spellings of what is enforced.
func monitorOpensNothing(e *env) {
	t := e.t
	normalize := "normalize." + e.host
	for _, target := range []string{
		"//echo/album/a", "/echo//album/a", "/echo/album//a", "/echo/./album/a", "/echo/album/%61", "/echo/album/a;x", "/echo/x/../album/a", "/echo%2falbum/a", `/echo\album/a`,
		"/echo/public/..;/album/a", "/echo/album/%2561", "/echo/album/a%00",
	} {
		e.rawTarget(t, e.host, target, refused)
		e.rawTarget(t, normalize, target, refused)
	}
	for target, judged := range map[string]string{
		"/echo/album/..;/public/x":     "/echo/public/x", // public
		"/echo/album/../public/x":      "/echo/public/x",
		"/echo/album/x;/../../other/a": "/echo/other/a", // watched
	} {
		e.rawTarget(t, e.host, target, refused)
		e.rawTarget(t, normalize, target, judged)
	}
}

// laxHosts are hosts whose requests pass for another reason each.
func laxHosts(e *env) map[string]string {
	return map[string]string{
		"public": e.host, "monitor": "monitor." + e.host, "off": "off." + e.host, "unmatched": "unmatched." + e.host, "unknown host": "nobody.test",
	}
}

// allowUnknownHosts lets hosts pass that no site has. The caller restores.
func (e *env) allowUnknownHosts(t *testing.T) {
	t.Helper()
	require.NoError(t, e.update(t, func(c *config.Config) { c.UnknownHosts = config.VerdictAllow }))
}

func connectionInEveryMode(e *env) {
	t := e.t
	e.allowUnknownHosts(t)
	defer e.restore(t)
	smuggled := "GET /echo/album/smuggled HTTP/1.1\r\nHost: " + e.host + "\r\n\r\n"
	for name, host := range laxHosts(e) {
		ordinary := rawRequest(t, e.gw.address(), "POST /echo/public/a HTTP/1.1\r\nHost: "+host+"\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi")
		require.NotNil(t, ordinary, name)
		require.Equal(t, 200, ordinary.status, "%s: %s", name, ordinary.body)
		e.api.look()
		for _, expect := range []string{"y 100-continue", "foo", "100-continue, foo", "100-continue y"} {
			a := rawRequest(t, e.gw.address(), fmt.Sprintf("POST /echo/public/a HTTP/1.1\r\nHost: %s\r\nExpect: %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", host, expect, len(smuggled), smuggled))
			require.NotNil(t, a, "%s, Expect: %s", name, expect)
			if a.status == 200 { // the gateway has answered it, and kept it from the API
				require.Equal(t, "wazero", e.gw.name())
				require.Empty(t, a.echo.Headers.Values("Expect"), "%s, Expect: %s", name, expect)
				require.Len(t, e.api.look(), 1)
				continue
			}
			require.Equal(t, http.StatusExpectationFailed, a.status, "%s, Expect: %s: %s", name, expect, a.body)
			require.Empty(t, e.api.look(), "%s, Expect: %s", name, expect)
		}
		for _, line := range []string{"head /echo/public/a", "get /echo/public/a", "CONNECT /echo/public/a", "CONNECT " + host + ":80", "OPTIONS *"} {
			a := rawRequest(t, e.gw.address(), line+" HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n\r\n")
			require.Empty(t, e.api.look(), "%s: %s", name, line)
			if a != nil { // a gateway may close the connection
				require.True(t, a.status >= 400 && a.status < 500, "%s: %s: %d", name, line, a.status)
			}
		}
	}
}

// forgedTrailers sends, as trailers, what is removed from headers. Envoy hands
// trailers on to an API that speaks HTTP/2 (hosts below h2.test).
func forgedTrailers(e *env) {
	t := e.t
	e.allowUnknownHosts(t)
	defer e.restore(t)
	transport := oneStream(t, e.gw.address())
	hosts := laxHosts(e)
	hosts["unknown host, HTTP/2"], hosts["keep"] = "nobody.h2.test", "keep."+e.host
	for name, host := range hosts {
		r := e.request(t, &step{method: "POST", path: "/echo/public/a", host: host, body: "hi"}, "")
		r.ContentLength, r.GetBody = -1, nil // net/http tries again for ever what a server calls a protocol error
		r.Trailer = http.Header{"X-Checksum": {"innocent"}, "X-Forwarded-Prefix": {"override"}, "X-Http-Method-Override": {"override"}}
		if e.gw.name() == "envoy" { // net/http refuses it at both gateways that are made of it, and at the API
			r.Trailer["Authorization"] = []string{"Bearer forged"}
		}
		for i, header := range forged() {
			if !strings.HasPrefix(strings.ToLower(header), "transfer") {
				r.Trailer[http.CanonicalHeaderKey(header)] = []string{fmt.Sprintf("forged-%d", i)}
			}
		}
		a, err := roundTrip(transport, r)
		require.NoError(t, err, name)
		require.Equal(t, 200, a.status, "%s: %s", name, a.body)
		require.Equal(t, "hi", a.echo.Body, name)
		for header, values := range merged(a.echo.Headers, a.echo.Trailers) {
			for _, v := range values {
				require.NotContains(t, v, "forged", "%s: %s reached the API", name, header)
				if name != "keep" {
					require.NotContains(t, v, "override", "%s: %s reached the API", name, header)
				}
			}
		}
		if strings.HasSuffix(host, "h2.test") && e.gw.name() == "envoy" {
			require.Equal(t, "HTTP/2.0", a.echo.Protocol)
			require.Equal(t, []string{"innocent"}, a.echo.Trailers.Values("X-Checksum"), "%s: the trailers do go on", name)
		}
	}
	// The trailers are there before the AS has answered.
	token := e.fresh(t, "edit")
	release := e.held(t)
	before := e.front.count(introspection)
	r := e.request(t, &step{method: "POST", path: "/echo/album/a", body: "hi"}, token)
	r.ContentLength, r.GetBody = -1, nil
	r.Trailer = http.Header{"X-Uma-Subject": {"forged"}}
	done := make(chan *answer, 1)
	go func() {
		a, err := roundTrip(transport, r)
		if err != nil {
			a = &answer{header: http.Header{"Error": {err.Error()}}}
		}
		done <- a
	}()
	waitFor(t, "the AS is asked", func() bool { return e.front.count(introspection) > before })
	close(release)
	a := <-done
	e.front.mend(introspection)
	require.Equal(t, 200, a.status, "%s %s", a.header, a.body)
	require.Empty(t, a.echo.Trailers.Values("X-Uma-Subject"))
	require.NotContains(t, a.echo.Headers.Values("X-Uma-Subject"), "forged")
}

func merged(headers ...http.Header) http.Header {
	all := http.Header{}
	for _, h := range headers {
		for name, values := range maps.All(h) {
			all[name] = append(all[name], values...)
		}
	}
	return all
}

// connectionOptions asks for an upgrade with a Connection header that names more. A
// proxy before the API would take out what it names.
func connectionOptions(e *env) {
	t := e.t
	e.allowUnknownHosts(t)
	defer e.restore(t)
	token := e.fresh(t, "view")
	targets := map[string]string{e.host: "/echo/album/socket"}
	for _, host := range laxHosts(e) {
		if host != e.host {
			targets[host] = "/echo/public/socket"
		}
	}
	for host, path := range targets {
		for _, options := range []string{"Upgrade, x-uma-subject", "x_uma_scopes,upgrade", "keep-alive, Upgrade, X-Uma-Resource-Id, cookie", "Upgrade"} {
			conn := dialRaw(t, e.gw.address())
			_, err := io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: "+host+"\r\nConnection: "+options+"\r\nUpgrade: websocket\r\nAuthorization: Bearer "+token+"\r\n\r\n")
			require.NoError(t, err)
			response, err := http.ReadResponse(bufio.NewReader(conn), nil)
			require.NoError(t, err)
			require.Equal(t, http.StatusSwitchingProtocols, response.StatusCode, "%s, Connection: %s", host, options)
			got := slices.Collect(strings.SplitSeq(strings.ToLower(response.Header.Get("X-Connection")), ","))
			for i := range got {
				got[i] = strings.TrimSpace(got[i])
			}
			require.Subset(t, []string{"upgrade", "keep-alive"}, got, "%s, Connection: %s", host, options)
			require.Contains(t, got, "upgrade")
			require.NoError(t, response.Body.Close())
			require.NoError(t, conn.Close())
		}
	}
}
