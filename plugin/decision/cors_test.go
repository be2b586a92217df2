package decision_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/config"
	"github.com/umagate/umagate/plugin/decision"
)

// shared is a site whose answers the pages of an application may read.
func shared(s *config.Site) {
	s.CORS = &config.CORS{
		AllowOrigins: []string{"https://app.example.com", "https://app.example.com:8443", "http://xn--bcher-kva.example"}, AllowCredentials: true,
	}
}

// crossOrigin are the names of an answer's headers that are about other origins.
func crossOrigin(headers []decision.Header) map[string]string {
	found := map[string]string{}
	for _, h := range headers {
		if strings.HasPrefix(h.Name, "access-control-") || h.Name == "vary" {
			found[h.Name] += h.Value
		}
	}
	return found
}

func preflightOf(origins ...string) *decision.Request {
	r := ask("OPTIONS", "/albums/1", "", "access-control-request-method", "PUT", "access-control-request-headers", "authorization")
	for _, o := range origins {
		r.Headers = append(r.Headers, decision.Header{Name: "origin", Value: o})
	}
	return r
}

func TestPreflight(t *testing.T) {
	for _, origins := range [][]string{
		{"https://evil-app.example.com"},
		{"https://app.example.com.evil"},
		{"https://app.example.com:443"},
		{"https://app.example.com:8444"},
		{"http://app.example.com"},
		{"https://App.example.com"},
		{"HTTPS://app.example.com"},
		{"https://app.example.com/"},
		{"https://app.example.com."},
		{"https://app.example.com, https://app.example.com"},
		{"https://app.example.com", "https://app.example.com"},
		{"https://app.example.com", "https://evil.example"},
		{"http://bücher.example"},
		{"null"},
		{""},
		{"*"},
		{" https://app.example.com"},
	} {
		h := newHarness(t, siteOf(shared))
		x, step := h.start(preflightOf(origins...))
		require.Equal(t, decision.ReasonOriginNotAllowed, x.Decision().Reason, origins)
		require.Equal(t, 403, step.Deny.Status)
		require.Equal(t, map[string]string{"vary": "origin"}, crossOrigin(step.Deny.Headers), origins)
	}
	for _, origin := range []string{"https://app.example.com", "https://app.example.com:8443", "http://xn--bcher-kva.example"} {
		h := newHarness(t, siteOf(shared), siteOf(func(s *config.Site) {
			s.CORS.AllowHeaders, s.CORS.MaxAgeS = []string{"x-app"}, 600
		}))
		x, step := h.start(preflightOf(origin))
		require.Equal(t, decision.KindDeny, step.Kind)
		require.Equal(t, 204, step.Deny.Status)
		require.Equal(t, decision.EffectAllow, x.Decision().Effect)
		require.Equal(t, map[string]string{
			"vary": "origin", "access-control-allow-origin": origin, "access-control-allow-credentials": "true",
			"access-control-allow-methods": "GET, HEAD, POST, PUT, PATCH, DELETE", "access-control-allow-headers": "authorization, content-type, x-app",
			"access-control-max-age": "600",
		}, crossOrigin(step.Deny.Headers))
	}
}

// TestPreflightIsNotForTheAPI: but where the site says so.
func TestPreflightIsNotForTheAPI(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*config.Site)
		want   decision.Reason
	}{
		{"the API answers it", func(s *config.Site) { s.CORSPreflight = config.VerdictAllow }, decision.ReasonPreflight},
		{"monitor", func(s *config.Site) { s.Mode = config.ModeMonitor }, decision.ReasonPreflight},
		{"off", func(s *config.Site) { s.Mode = config.ModeOff }, decision.ReasonOff},
		{"no policy", func(s *config.Site) { s.CORS = nil }, decision.ReasonMethodNotCovered},
		{"a public path", func(*config.Site) {}, decision.ReasonPreflightAnswered},
	} {
		h := newHarness(t, siteOf(shared), siteOf(c.change))
		r := preflightOf("https://app.example.com")
		if c.want == decision.ReasonPreflightAnswered {
			r.Headers[1].Value = "/healthz"
		}
		x, step := h.start(r)
		require.Equal(t, c.want, x.Decision().Reason, c.name)
		require.Equal(t, c.want != decision.ReasonPreflightAnswered && c.want != decision.ReasonMethodNotCovered, step.Kind == decision.KindAllow, c.name)
	}
	// What is no preflight is judged as ever.
	h := newHarness(t, siteOf(shared))
	for _, r := range []*decision.Request{
		ask("OPTIONS", "/albums/1", "", "origin", "https://app.example.com"),
		ask("OPTIONS", "/albums/1", "", "access-control-request-method", "GET"),
	} {
		x, _ := h.start(r)
		require.Equal(t, decision.ReasonMethodNotCovered, x.Decision().Reason)
	}
}

func TestPrivateNetworkPreflight(t *testing.T) {
	for _, c := range []struct {
		allowed, asked bool
		want           string
	}{{true, true, "true"}, {true, false, ""}, {false, true, ""}} {
		h := newHarness(t, siteOf(shared), siteOf(func(s *config.Site) { s.CORS.AllowPrivateNetworkAccess = c.allowed }))
		r := preflightOf("https://app.example.com")
		if c.asked {
			r.Headers = append(r.Headers, decision.Header{Name: "access-control-request-private-network", Value: "true"})
		}
		_, step := h.start(r)
		require.Equal(t, c.want, crossOrigin(step.Deny.Headers)["access-control-allow-private-network"])
	}
}

// TestRefusalsArePublished: a page reads every refusal, if its origin is allowed.
func TestRefusalsArePublished(t *testing.T) {
	readable := map[string]string{
		"vary": "origin", "access-control-allow-origin": "https://app.example.com", "access-control-allow-credentials": "true",
		"access-control-expose-headers": "www-authenticate, retry-after, warning",
	}
	for _, c := range []struct {
		name, answer string
		request      *decision.Request
		status       int
	}{
		{"400", "", ask("GET", "/albums//1", ""), 400},
		{"401", "", ask("GET", "/albums/1", ""), 401},
		{"401 of a token", unknown, ask("GET", "/albums/1", "token"), 401},
		{"403", "", ask("GET", "/nothing", ""), 403},
		{"405", "", ask("CONNECT", "/albums/1", ""), 405},
		{"503", "no JSON", ask("GET", "/albums/1", "token"), 503},
	} {
		for origin, want := range map[string]map[string]string{"https://app.example.com": readable, "https://evil.example": {"vary": "origin"}, "": {"vary": "origin"}} {
			r := *c.request
			if origin != "" {
				r.Headers = append(slices.Clone(r.Headers), decision.Header{Name: "origin", Value: origin})
			}
			if c.status == 405 { // before the site's origins are looked at
				continue
			}
			h := newHarness(t, siteOf(shared))
			_, step := h.decide(&r, c.answer)
			require.Equal(t, c.status, step.Deny.Status, c.name)
			require.Equal(t, want, crossOrigin(step.Deny.Headers), "%s for %q", c.name, origin)
		}
	}
	h := newHarness(t)
	_, step := h.decide(ask("GET", "/albums/1", "", "origin", "https://app.example.com"), "")
	require.Empty(t, crossOrigin(step.Deny.Headers))
}

func TestAnswersOfTheAPI(t *testing.T) {
	with := func(pairs ...string) (headers []decision.Header) {
		for i := 0; i < len(pairs); i += 2 {
			headers = append(headers, decision.Header{Name: pairs[i], Value: pairs[i+1]})
		}
		return headers
	}
	added := with("vary", "origin", "access-control-allow-origin", "https://app.example.com", "access-control-allow-credentials", "true",
		"access-control-expose-headers", "www-authenticate, retry-after, warning, location")
	for _, c := range []struct {
		name, origin string
		api, want    []decision.Header
	}{
		{"plain", "https://app.example.com", with(":status", "200"), added},
		{"it varies already", "https://app.example.com", with("vary", "accept, Origin"), added[1:]},
		{"it varies by something else", "https://app.example.com", with("vary", "accept"), added},
		{"another origin", "https://evil.example", with(":status", "200"), added[:1]},
		{"the API allows cookies already", "https://app.example.com", with("access-control-allow-credentials", "true"), slices.Delete(slices.Clone(added), 2, 3)},
		{"it does so for every origin", "https://evil.example", with("access-control-allow-credentials", "true"), added[:1]},
		{"the API has a policy", "https://app.example.com", with("access-control-allow-origin", "https://app.example.com"), nil},
		{"the API has another policy", "https://evil.example", with("access-control-allow-origin", "*"), nil},
	} {
		h := newHarness(t, siteOf(shared), siteOf(func(s *config.Site) { s.CORS.ExposeHeaders = []string{"location"} }))
		x, step := h.decide(ask("GET", "/albums/1", "token", "origin", c.origin), viewR1)
		require.Equal(t, decision.KindAllow, step.Kind)
		_, add := x.Answering().Amend(c.api)
		require.Equal(t, c.want, add, c.name)
	}
	// An origin beside it would have browsers read answers to cookies.
	h := newHarness(t, siteOf(shared), siteOf(func(s *config.Site) { s.CORS.AllowCredentials = false }))
	x, _ := h.decide(ask("GET", "/albums/1", "token", "origin", "https://app.example.com"), viewR1)
	_, add := x.Answering().Amend(with("access-control-allow-credentials", "true"))
	require.Equal(t, added[:1], add)
	h = newHarness(t, siteOf(shared), siteOf(func(s *config.Site) {
		s.CORS.AllowOrigins, s.CORS.AllowCredentials = []string{"*"}, false
	}))
	x, _ = h.decide(ask("GET", "/albums/1", "token", "origin", "null"), viewR1)
	_, add = x.Answering().Amend(nil)
	require.Equal(t, with("access-control-allow-origin", "*", "access-control-expose-headers", "www-authenticate, retry-after, warning"), add)
	h = newHarness(t)
	x, _ = h.decide(ask("GET", "/albums/1", "token", "origin", "https://app.example.com"), viewR1)
	require.Nil(t, x.Answering())
}

func TestCORSFaults(t *testing.T) {
	for _, c := range []struct {
		at     string
		change func(*config.CORS)
	}{
		{"allow_origins", func(c *config.CORS) { c.AllowOrigins = nil }},
		{"allow_origins", func(c *config.CORS) {
			c.AllowOrigins, c.AllowCredentials = []string{"*", "https://app.example.com"}, false
		}},
		{"allow_credentials", func(c *config.CORS) { c.AllowOrigins = []string{"*"} }},
		{"allow_origins[0]", func(c *config.CORS) { c.AllowOrigins[0] = "null" }},
		{"allow_origins[0]", func(c *config.CORS) { c.AllowOrigins[0] = "app.example.com" }},
		{"allow_origins[0]", func(c *config.CORS) { c.AllowOrigins[0] = "https://app.example.com/" }},
		{"allow_origins[0]", func(c *config.CORS) { c.AllowOrigins[0] = "https://*.example.com" }},
		{"allow_origins[0]", func(c *config.CORS) { c.AllowOrigins[0] = "https://App.example.com" }},
		{"allow_origins[0]", func(c *config.CORS) { c.AllowOrigins[0] = "https://bücher.example" }},
		{"allow_origins[0]", func(c *config.CORS) { c.AllowOrigins[0] = "https://app.example.com:443" }},
		{"allow_origins[0]", func(c *config.CORS) { c.AllowOrigins[0] = "http://app.example.com:80" }},
		{"allow_origins[0]", func(c *config.CORS) { c.AllowOrigins[0] = "https://app.example.com:port" }},
		{"allow_origins[0]", func(c *config.CORS) { c.AllowOrigins[0] = "https://" }},
		{"allow_methods[0]", func(c *config.CORS) { c.AllowMethods = []string{"get"} }},
		{"allow_headers[0]", func(c *config.CORS) { c.AllowHeaders = []string{"*"} }},
		{"expose_headers[0]", func(c *config.CORS) { c.ExposeHeaders = []string{"a b"} }},
		{"max_age_s", func(c *config.CORS) { c.MaxAgeS = 86_401 }},
	} {
		document := photos()
		siteOf(shared)(document)
		c.change(document.Sites[0].CORS)
		_, err := decision.Compile(document)
		var faults config.Faults
		require.ErrorAs(t, err, &faults, c.at)
		require.Len(t, faults, 1)
		require.Equal(t, "sites[0].cors."+c.at, faults[0].Path)
	}
}
