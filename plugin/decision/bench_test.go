package decision_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/config"
	"github.com/umagate/umagate/plugin/decision"
	"github.com/umagate/umagate/plugin/route"
)

// manyResources is a configuration as a large deployment has it.
func manyResources(n int) *config.Config {
	c := photos()
	s := &c.Sites[0]
	for i := range n {
		s.Resources = append(s.Resources, config.Resource{
			Name: fmt.Sprintf("resource-%d", i), ID: fmt.Sprintf("5f0c7a52-3f6c-4d3e-9b53-%012d", i),
			Conditions: []config.Condition{
				{Paths: []string{fmt.Sprintf("/resources/%d", i), fmt.Sprintf("/resources/%d/**", i)}, Methods: []string{"GET"}, Scopes: []string{"view"}},
				{Paths: []string{fmt.Sprintf("/resources/%d", i)}, Methods: []string{"PUT", "DELETE"}, Scopes: []string{"edit"}},
			},
		})
	}
	return c
}

// browser is what a browser sends along.
var browser = []string{
	"user-agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36",
	"accept", "application/json, text/plain, */*", "accept-encoding", "gzip, deflate, br", "accept-language", "en-US,en;q=0.9",
	"x-forwarded-proto", "https", "x-request-id", "5f0c7a52-3f6c-4d3e-9b53-c1a4d4e8a001", "x-forwarded-for", "192.0.2.1",
	"cookie", "a=b; c=d", "referer", "https://photos.example.com/", "cache-control", "no-cache",
}

// TestAllocations bounds what the path that nearly every request takes costs.
func TestAllocations(t *testing.T) {
	// One byte more, and Go, which adds 8, allocates 1024 for each request instead of 896.
	require.LessOrEqual(t, int(unsafe.Sizeof(decision.Exchange{})), 888)
	tests := []struct {
		name    string
		request *decision.Request
		most    float64
	}{
		{"cached", ask("GET", "/albums/1", "token", browser...), 1},
		{"public", ask("GET", "/healthz", "", browser...), 1},
		{"unmatched", ask("GET", "/nothing", "token", browser...), 4},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHarness(t)
			h.decide(ask("GET", "/albums/1", "token"), viewR1)
			require.LessOrEqual(t, testing.AllocsPerRun(200, func() { h.evaluator.Start(tt.request, h.now) }), tt.most)
		})
	}
}

func BenchmarkDecide(b *testing.B) {
	evaluate := func(b *testing.B, c *config.Config) (*decision.Worker, *decision.Evaluator) {
		b.Helper()
		policy, err := decision.Compile(c)
		require.NoError(b, err)
		w := decision.NewWorker()
		return w, w.Evaluator(policy)
	}
	b.Run("cached", func(b *testing.B) {
		w, g := evaluate(b, photos())
		r := ask("GET", "/albums/1", "token", browser...)
		_, step := g.Start(r, began)
		w.Reply(step.Call.ID, answer(200, viewR1), began)
		b.ReportAllocs()
		for b.Loop() {
			if _, step := g.Start(r, began); step.Kind != decision.KindAllow {
				b.Fatal(step)
			}
		}
	})
	b.Run("public", func(b *testing.B) {
		_, g := evaluate(b, photos())
		r := ask("GET", "/healthz", "", browser...)
		b.ReportAllocs()
		for b.Loop() {
			if _, step := g.Start(r, began); step.Kind != decision.KindAllow {
				b.Fatal(step)
			}
		}
	})
	b.Run("ticket", func(b *testing.B) {
		w, g := evaluate(b, photos())
		r := ask("GET", "/albums/1", "", browser...)
		ticket := answer(201, `{"ticket":"016f84e8-f9b9-11e0-bd6f-0021cc6004de"}`)
		now := began
		b.ReportAllocs()
		for b.Loop() {
			now = now.Add(time.Second)
			_, step := g.Start(r, now)
			if o := w.Reply(step.Call.ID, ticket, now); o[0].Step.Deny.Status != 401 {
				b.Fatal(o)
			}
		}
	})
	b.Run("introspect", func(b *testing.B) {
		c := photos()
		c.Sites[0].Token.MaxTTLMS = -1
		w, g := evaluate(b, c)
		r := ask("GET", "/albums/1", "token", browser...)
		reply := answer(200, viewR1)
		b.ReportAllocs()
		for b.Loop() {
			_, step := g.Start(r, began)
			if o := w.Reply(step.Call.ID, reply, began); o[0].Step.Kind != decision.KindAllow {
				b.Fatal(o)
			}
			w.Drain(func(string, *decision.SiteStats) {})
		}
	})
	b.Run("10k_resources", func(b *testing.B) {
		w, g := evaluate(b, manyResources(10_000))
		r := ask("GET", "/resources/5000/x", "token", browser...)
		_, step := g.Start(r, began)
		w.Reply(step.Call.ID, answer(200, `{"active":true,"permissions":[{"resource_id":"5f0c7a52-3f6c-4d3e-9b53-000000005000","resource_scopes":["view"]}]}`), began)
		b.ReportAllocs()
		for b.Loop() {
			if _, step := g.Start(r, began); step.Kind != decision.KindAllow {
				b.Fatal(step)
			}
		}
	})
}

// BenchmarkReport is what a report costs with claims of the token, and without.
func BenchmarkReport(b *testing.B) {
	said := `{"active":true,"sub":"5f0c7a52","client_id":"app","groups":["staff","crew"],"plan":"gold","permissions":[{"resource_id":"r1","resource_scopes":["view"]}]}`
	for name, claims := range map[string][]config.TokenClaim{"plain": nil, "claims": {named("groups", "groups"), named("plan", "plan")}} {
		b.Run(name, func(b *testing.B) {
			c := photos()
			c.Sites[0].ReportedClaims = claims
			policy, err := decision.Compile(c)
			require.NoError(b, err)
			w := decision.NewWorker()
			g := w.Evaluator(policy)
			_, step := g.Start(ask("GET", "/albums/1", "token"), began)
			w.Reply(step.Call.ID, answer(200, said), began)
			x, _ := g.Start(ask("GET", "/albums/1", "token"), began)
			buffer := x.AppendReport(nil)
			require.Equal(b, claims != nil, bytes.Contains(buffer, []byte("staff")))
			b.ReportAllocs()
			for b.Loop() {
				buffer = x.AppendReport(buffer[:0])
			}
			b.ReportMetric(float64(len(buffer)), "bytes")
		})
	}
}

// BenchmarkCostlyRequests are requests of 60 KB, which nobody needs a token for, and
// what each costs a worker.
func BenchmarkCostlyRequests(b *testing.B) {
	const size = 60_000
	full := func(s string) string { return strings.Repeat(s, size/len(s)) }
	for _, bb := range []struct {
		name    string
		request *decision.Request
	}{
		{"one_field", ask("GET", "/open/x?a="+full("b"), "")},
		{"many_fields", ask("GET", "/open/x?"+full("&"), "")},
		{"many_methods", ask("GET", "/open/x?"+full("_method=GET&"), "")},
		{"many_options", ask("GET", "/open/x", "", "connection", full("te,"))},
		{"many_credentials", ask("GET", "/open/x", "", "authorization", "Basic "+full(","))},
		{"odd_path", ask("GET", "/open/"+strings.Repeat("%D0%AF", route.MaxOddPath/6-1), "")},
		{"odd_segments", ask("GET", "/open/"+strings.Repeat("a../", route.MaxOddPath/4-2), "")},
	} {
		b.Run(bb.name, func(b *testing.B) {
			policy, err := decision.Compile(photos())
			require.NoError(b, err)
			g := decision.NewWorker().Evaluator(policy)
			for b.Loop() {
				if _, step := g.Start(bb.request, began); step.Kind != decision.KindAllow {
					b.Fatal(step)
				}
			}
		})
	}
}

// BenchmarkConfigure is what stops an Envoy worker at a push.
func BenchmarkConfigure(b *testing.B) {
	document, err := config.Encode(manyResources(10_000))
	require.NoError(b, err)
	b.Run("parse_10k", func(b *testing.B) {
		b.SetBytes(int64(len(document)))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := config.Parse(document); err != nil {
				b.Fatal(err)
			}
		}
	})
	parsed, err := config.Parse(document)
	require.NoError(b, err)
	b.Run("compile_shared_10k", func(b *testing.B) {
		c := photos()
		c.Sites = two(func(s *config.Site) {
			s.Resources, s.Hosts = manyResources(10_000).Sites[0].Resources, nil
			for i := range 20 {
				s.Hosts = append(s.Hosts, fmt.Sprintf("h%d.example.com", i))
			}
		})
		for b.Loop() {
			if _, err := decision.Compile(c); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("compile_10k", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := decision.Compile(parsed); err != nil {
				b.Fatal(err)
			}
		}
	})
}
