package decision_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/config"
	"github.com/umagate/umagate/plugin/decision"
)

// use makes a request with a token and tells how its answer was come by.
func (h *harness) use(token, answer string) decision.CacheUse {
	h.t.Helper()
	x, _ := h.decide(ask("GET", "/albums/1", token), answer)
	return x.Decision().Cache
}

// TestHowLongATokenIsBelieved: min(exp, max_ttl), to the second.
func TestHowLongATokenIsBelieved(t *testing.T) {
	exp := func(d time.Duration) string {
		return fmt.Sprintf(`{"active":true,"exp":%d,"permissions":[{"resource_id":"r1","resource_scopes":["view"]}]}`, began.Add(d).Unix())
	}
	tests := []struct {
		name   string
		token  config.Token
		answer string
		want   time.Duration // 0: never
	}{
		{"max_ttl", config.Token{MaxTTLMS: 30_000}, viewR1, 30 * time.Second},
		{"default max_ttl", config.Token{}, viewR1, time.Minute},
		{"exp is sooner", config.Token{MaxTTLMS: 30_000}, exp(10 * time.Second), 10 * time.Second},
		{"exp is later", config.Token{MaxTTLMS: 30_000}, exp(time.Hour), 30 * time.Second},
		{"exp and leeway", config.Token{MaxTTLMS: 30_000, LeewayMS: 5_000}, exp(10 * time.Second), 15 * time.Second},
		{"asked every time", config.Token{MaxTTLMS: -1}, viewR1, 0},
		{"expired already", config.Token{}, exp(0), 0},
		{"negative_ttl", config.Token{NegativeTTLMS: 2_000}, unknown, 2 * time.Second},
		{"default negative_ttl", config.Token{}, unknown, 5 * time.Second},
		{"negative, asked every time", config.Token{NegativeTTLMS: -1}, unknown, 0},
		{"negative is not max_ttl", config.Token{MaxTTLMS: -1}, unknown, 5 * time.Second},
		{"max_ttl is not negative", config.Token{NegativeTTLMS: -1}, viewR1, time.Minute},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHarness(t, siteOf(func(s *config.Site) { s.Token = tt.token }))
			require.Equal(t, decision.CacheMiss, h.use("token", tt.answer))
			if tt.want == 0 {
				require.Equal(t, decision.CacheMiss, h.use("token", tt.answer))
				entries, bytes := h.worker.Cached()
				require.Zero(t, entries)
				require.Zero(t, bytes)
				return
			}
			h.now = began.Add(tt.want - time.Nanosecond)
			require.Equal(t, decision.CacheHit, h.use("token", tt.answer))
			h.now = began.Add(tt.want)
			require.Equal(t, decision.CacheMiss, h.use("token", tt.answer))
		})
	}
}

// TestClockSetBack: what was learned in the future is not believed.
func TestClockSetBack(t *testing.T) {
	h := newHarness(t)
	h.use("token", viewR1)
	h.after(-time.Nanosecond)
	require.Equal(t, decision.CacheMiss, h.use("token", viewR1))
	require.Equal(t, decision.CacheHit, h.use("token", viewR1))
	h.after(-24 * time.Hour)
	require.Equal(t, decision.CacheMiss, h.use("token", viewR1))
}

// TestCachedTokenIsJudgedAgain: what is cached is the token, never a decision.
func TestCachedTokenIsJudgedAgain(t *testing.T) {
	h := newHarness(t)
	expiring := fmt.Sprintf(`{"active":true,"exp":%d,"permissions":[{"resource_id":"r1","resource_scopes":["view","edit"],"exp":%d}]}`,
		began.Add(20*time.Second).Unix(), began.Add(10*time.Second).Unix())
	require.Equal(t, decision.CacheMiss, h.use("token", expiring))
	x, step := h.start(ask("PUT", "/albums/1", "token"))
	require.Equal(t, "allow permitted", outcome(x, step))
	x, step = h.start(ask("GET", "/reports/1", "token"))
	require.Equal(t, "call permission", outcome(x, step), "another condition")
	require.Equal(t, "401 insufficient_permission", outcome(x, h.reply(step, 201, `{"ticket":"t1"}`)))
	h.now = began.Add(9 * time.Second)
	x, step = h.start(ask("GET", "/albums/1", "token"))
	require.Equal(t, "allow permitted", outcome(x, step))
	h.now = began.Add(10 * time.Second)
	x, step = h.start(ask("GET", "/albums/1", "token"))
	require.Equal(t, "call introspection", outcome(x, step), "the permission has expired, and a new one may be there")
	require.Equal(t, "call permission", outcome(x, h.reply(step, 200, expiring)))
}

// TestUpgradedRPT: the AS may give the same RPT more rights. A lack of rights is
// believed for one second only.
func TestUpgradedRPT(t *testing.T) {
	h := newHarness(t)
	h.use("token", viewR1)
	x, step := h.start(ask("PUT", "/albums/1", "token"))
	require.Equal(t, "call permission", outcome(x, step), "asked a moment ago")
	h.reply(step, 201, `{"ticket":"t1"}`)
	h.after(time.Second)
	x, step = h.start(ask("PUT", "/albums/1", "token"))
	require.Equal(t, "call introspection", outcome(x, step))
	require.Equal(t, "allow permitted", outcome(x, h.reply(step, 200, editR1)))
	x, step = h.start(ask("PUT", "/albums/2", "token"))
	require.Equal(t, "allow permitted", outcome(x, step))

	// While the AS is down, an old right is good and a lack of rights is a failure.
	h.after(2 * time.Second)
	x, step = h.start(ask("GET", "/reports/1", "token"))
	require.Equal(t, "503 as_unreachable", outcome(x, h.reply(step, 0, "")))
	x, step = h.start(ask("PUT", "/albums/2", "token"))
	require.Equal(t, "allow permitted", outcome(x, step))

	// A revocation that this question brought is in force at once.
	x, step = h.start(ask("GET", "/reports/1", "token"))
	require.Equal(t, "call permission", outcome(x, h.reply(step, 200, unknown)))
	x, step = h.start(ask("PUT", "/albums/2", "token"))
	require.Equal(t, "call permission", outcome(x, step))
}

// TestCacheBounds: in entries and in bytes, the longest unused goes first.
func TestCacheBounds(t *testing.T) {
	t.Run("entries", func(t *testing.T) {
		h := newHarness(t, func(c *config.Config) { c.Cache = config.Cache{Entries: 3} })
		for _, token := range []string{"a", "b", "c"} {
			require.Equal(t, decision.CacheMiss, h.use(token, viewR1))
		}
		require.Equal(t, decision.CacheHit, h.use("a", viewR1))
		require.Equal(t, decision.CacheMiss, h.use("d", viewR1)) // pushes out b
		for _, token := range []string{"a", "c", "d"} {
			require.Equal(t, decision.CacheHit, h.use(token, viewR1), token)
		}
		entries, _ := h.worker.Cached()
		require.Equal(t, 3, entries)
		require.Equal(t, decision.CacheMiss, h.use("b", viewR1))
	})
	t.Run("bytes", func(t *testing.T) {
		const bound = 64 << 10
		h := newHarness(t, func(c *config.Config) { c.Cache = config.Cache{Bytes: bound} })
		for i := range 100 {
			h.use(fmt.Sprint("token", i, strings.Repeat("x", 4000)), viewR1)
			_, bytes := h.worker.Cached()
			require.LessOrEqual(t, bytes, bound)
		}
		entries, _ := h.worker.Cached()
		require.Greater(t, entries, 10)
		require.Less(t, entries, 17)
	})
	t.Run("what the AS says counts", func(t *testing.T) {
		h := newHarness(t, func(c *config.Config) { c.Cache = config.Cache{Bytes: 64 << 10} })
		h.use("good", viewR1)
		wide := `{"active":true,"permissions":[` + strings.Repeat(`{"resource_id":"0123456789","resource_scopes":["a","b"]},`, 3000) + `{}]}`
		require.Equal(t, decision.CacheMiss, h.use("wide", wide))
		require.Equal(t, decision.CacheMiss, h.use("wide", wide), "too large to keep")
		require.Equal(t, decision.CacheHit, h.use("good", viewR1), "and pushes out nothing")
	})
	t.Run("bad tokens push out no good one", func(t *testing.T) {
		h := newHarness(t, func(c *config.Config) { c.Cache = config.Cache{Entries: 2, NegativeEntries: 5} },
			siteOf(func(s *config.Site) { s.Limits.TicketBurst = 1000 }))
		h.use("good", viewR1)
		for i := range 100 {
			h.use(fmt.Sprint("bad", i), unknown)
		}
		entries, _ := h.worker.Cached()
		require.Equal(t, 6, entries)
		require.Equal(t, decision.CacheHit, h.use("good", viewR1))
		require.Equal(t, decision.CacheHit, h.use("bad99", unknown))
		require.Equal(t, decision.CacheMiss, h.use("bad0", unknown))
	})
	t.Run("negative bytes", func(t *testing.T) {
		h := newHarness(t, func(c *config.Config) { c.Cache = config.Cache{NegativeBytes: 32 << 10} })
		for i := range 50 {
			h.use(fmt.Sprint("bad", i, strings.Repeat("x", 8000)), unknown)
		}
		_, bytes := h.worker.Cached()
		require.LessOrEqual(t, bytes, 32<<10)
	})
	t.Run("a token that changes sides is there once", func(t *testing.T) {
		h := newHarness(t)
		h.use("token", unknown)
		h.after(10 * time.Second)
		h.use("token", viewR1)
		entries, _ := h.worker.Cached()
		require.Equal(t, 1, entries)
		h.after(2 * time.Minute)
		h.use("token", unknown)
		entries, _ = h.worker.Cached()
		require.Equal(t, 1, entries)
	})
}

// TestSitesShareNothing: a token of one site is a stranger at another, also when
// both have the same AS and the same resource ids.
func TestSitesShareNothing(t *testing.T) {
	h := newHarness(t, func(c *config.Config) {
		other := photos().Sites[0]
		other.Name, other.Hosts = "videos", []string{"videos.example.com"}
		c.Sites = append(c.Sites, other)
	})
	h.use("token", viewR1)
	x, step := h.start(with(ask("GET", "/albums/1", "token"), ":authority", "videos.example.com"))
	require.Equal(t, "call introspection", outcome(x, step))
	require.False(t, step.Call.Shared)
	require.Equal(t, "call permission", outcome(x, h.reply(step, 200, unknown)))
	require.Equal(t, decision.CacheHit, h.use("token", viewR1))
}

// TestConfigurationUpdate: a push keeps what is known of tokens, judges it by
// the new rules, and forgets what another AS said.
func TestConfigurationUpdate(t *testing.T) {
	tests := []struct {
		name   string
		change func(*config.Site)
		want   string
	}{
		{"the same", func(*config.Site) {}, "allow permitted"},
		{"another realm", func(s *config.Site) { s.Realm = "x" }, "allow permitted"},
		{"another resource id", func(s *config.Site) { s.Resources[0].ID = "r9" }, "call permission"},
		{"another scope", func(s *config.Site) { s.Resources[0].Conditions[0].Scopes = []string{"edit"} }, "call permission"},
		{"another issuer", func(s *config.Site) { s.Token.Issuers = []string{"https://as"} }, "call permission"},
		{"shorter max_ttl", func(s *config.Site) { s.Token.MaxTTLMS = 500 }, "call introspection"},
		{"max_ttl just long enough", func(s *config.Site) { s.Token.MaxTTLMS = 501 }, "allow permitted"},
		{"no cache any more", func(s *config.Site) { s.Token.MaxTTLMS = -1 }, "call introspection"},
		{"another cluster", func(s *config.Site) { s.AuthorizationServer.Introspection.Cluster = "x" }, "call introspection"},
		{"another AS", func(s *config.Site) { s.AuthorizationServer.Introspection.Authority = "x" }, "call introspection"},
		{"another endpoint", func(s *config.Site) { s.AuthorizationServer.Introspection.Path = "/x" }, "call introspection"},
		{"another hint", func(s *config.Site) { s.AuthorizationServer.Introspection.TokenTypeHint = "x" }, "call introspection"},
		{"another reading", func(s *config.Site) { s.AuthorizationServer.Introspection.Claims = config.ClaimsFromToken }, "call introspection"},
		{"another site", func(s *config.Site) { s.Name = "x" }, "call introspection"},
		{"the AS is not known", func(s *config.Site) { s.AuthorizationServer = config.AuthorizationServer{Unknown: true} }, "503 as_unreachable"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHarness(t)
			h.use("token", viewR1)
			h.after(500 * time.Millisecond)
			h.configure(siteOf(tt.change))
			x, step := h.start(ask("GET", "/albums/1", "token"))
			require.Equal(t, tt.want, outcome(x, step))
		})
	}
	t.Run("a smaller cache", func(t *testing.T) {
		h := newHarness(t)
		for i := range 10 {
			h.use(fmt.Sprint(i), viewR1)
		}
		h.configure(func(c *config.Config) { c.Cache.Entries = 2 })
		entries, _ := h.worker.Cached()
		require.Equal(t, 2, entries)
		require.Equal(t, decision.CacheHit, h.use("9", viewR1))
	})
	t.Run("what is dropped is not kept in memory", func(t *testing.T) {
		h := newHarness(t)
		h.use("token", viewR1)
		h.use("bad", unknown)
		h.configure(siteOf(func(s *config.Site) { s.AuthorizationServer.Introspection.Path = "/x" }))
		entries, bytes := h.worker.Cached()
		require.Zero(t, entries)
		require.Zero(t, bytes)
	})
	t.Run("a request under way ends under the configuration it began under", func(t *testing.T) {
		h := newHarness(t)
		x, step := h.start(ask("GET", "/albums/1", "token"))
		h.configure(siteOf(func(s *config.Site) {
			s.AuthorizationServer.Introspection.Path = "/x"
			s.Resources[0].Conditions[0].Scopes = []string{"edit"}
		}))
		y, fresh := h.start(ask("GET", "/albums/1", "token"))
		require.False(t, fresh.Call.Shared, "the old AS's answer is not for the new configuration")
		require.Equal(t, "allow permitted", outcome(x, h.reply(step, 200, viewR1)))
		entries, _ := h.worker.Cached()
		require.Zero(t, entries, "nor remembered for it")
		require.Equal(t, "call permission", outcome(y, h.reply(fresh, 200, viewR1)))
	})
	t.Run("requests of two configurations share a call", func(t *testing.T) {
		h := newHarness(t)
		x, step := h.start(ask("GET", "/albums/1", "token"))
		h.configure(siteOf(func(s *config.Site) { s.Resources[0].Conditions[0].Scopes = []string{"edit"} }))
		y, shared := h.start(ask("GET", "/albums/1", "token"))
		require.True(t, shared.Call.Shared)
		got := map[*decision.Exchange]string{}
		for _, o := range h.worker.Reply(step.Call.ID, answer(200, viewR1), h.now) {
			got[o.Exchange] = outcome(o.Exchange, o.Step)
		}
		require.Equal(t, map[*decision.Exchange]string{x: "allow permitted", y: "call permission"}, got)
	})
}
