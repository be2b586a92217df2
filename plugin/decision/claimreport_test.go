package decision_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/umagate/umagate/plugin/config"
	"github.com/umagate/umagate/plugin/decision"
)

// reporting has the harness's site report claims.
func reporting(claims ...config.TokenClaim) func(*config.Config) {
	return func(c *config.Config) { c.Sites[0].ReportedClaims = claims }
}

// reported reads what the filter leaves of an exchange, as Envoy does.
func reported(t *testing.T, x *decision.Exchange) map[string]any {
	t.Helper()
	var message structpb.Struct
	require.NoError(t, proto.Unmarshal(x.AppendReport(nil), &message))
	return message.AsMap()
}

func named(name string, path ...string) config.TokenClaim {
	return config.TokenClaim{Name: name, Path: path}
}

// TestReportedClaims: a report has the claims that the file names, as lists of texts, of a
// token that was judged and is good.
func TestReportedClaims(t *testing.T) {
	long := func(n int, each string) string {
		list := make([]string, n)
		for i := range list {
			list[i] = fmt.Sprintf("%q", each)
		}
		return "[" + strings.Join(list, ",") + "]"
	}
	for _, tt := range []struct {
		name, groups string
		want         any
		out          bool
	}{
		{"a text", `"staff"`, []any{"staff"}, false},
		{"a list", `["staff","crew, and friends","{\"decision\":\"deny\"}"]`, []any{"staff", "crew, and friends", `{"decision":"deny"}`}, false},
		{"a number", `3`, []any{"3"}, false},
		{"an empty list", `[]`, nil, false},
		{"null", `null`, nil, false},
		{"an object", `{"a":"staff"}`, nil, false},
		{"the longest value", `"` + strings.Repeat("a", 256) + `"`, []any{strings.Repeat("a", 256)}, false},
		{"a longer one", `["staff","` + strings.Repeat("a", 257) + `"]`, nil, true},
		{"many", long(200, "123456789 123456789 "), nil, false},
		{"too many", long(205, "123456789 123456789 "), nil, true},
		{"characters", `"Ärzte"`, []any{"Ärzte"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHarness(t, reporting(named("groups", "groups"), named("none", "none"), named("roles", "realm_access", "roles")))
			x, step := h.decide(ask("GET", "/albums/1", "token"), `{"active":true,"sub":"b","groups":`+tt.groups+`,"secret":"s",
				"realm_access":{"roles":["editor"]},"permissions":[{"resource_id":"r1","resource_scopes":["view"]}]}`)
			require.Equal(t, decision.KindAllow, step.Kind)
			require.True(t, x.Told())
			got := reported(t, x)
			claims, _ := got["claims"].(map[string]any)
			require.Equal(t, []any{"editor"}, claims["roles"])
			require.NotContains(t, claims, "none")
			require.NotContains(t, fmt.Sprint(got), "secret")
			if tt.name != "many" {
				require.Equal(t, tt.want, claims["groups"])
			} else {
				require.Len(t, claims["groups"], 200)
			}
			if tt.out {
				require.Equal(t, []any{"groups"}, got["claims_left_out"])
			} else {
				require.NotContains(t, got, "claims_left_out")
			}
		})
	}
}

// TestReportedClaimsTogether: what all of them take has a bound, and each is there as a
// whole or not at all.
func TestReportedClaimsTogether(t *testing.T) {
	var claims []config.TokenClaim
	body := `{"active":true,"permissions":[{"resource_id":"r1","resource_scopes":["view"]}]`
	for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
		claims = append(claims, named(name, name))
		list := strings.Repeat(`"`+strings.Repeat(name, 250)+`",`, 8)
		body += `,"` + name + `":[` + strings.TrimSuffix(list, ",") + `]`
	}
	h := newHarness(t, reporting(claims...))
	x, _ := h.decide(ask("GET", "/albums/1", "token"), body+"}")
	got := reported(t, x)
	require.Equal(t, []any{"e", "f"}, got["claims_left_out"])
	said, _ := got["claims"].(map[string]any)
	require.Len(t, said, 4)
	require.Len(t, said["a"], 8)
}

// TestNoClaimsWithoutDecision: who passes without a good token has none in the report, and
// nor has a refusal.
func TestNoClaimsWithoutDecision(t *testing.T) {
	const other = `{"active":true,"sub":"b","groups":["staff"],"permissions":[{"resource_id":"r2","resource_scopes":["view"]}]}`
	h := newHarness(t, reporting(named("groups", "groups")), func(c *config.Config) { c.Sites[0].Mode = config.ModeMonitor })
	x, step := h.decide(ask("GET", "/albums/1", "token"), other)
	require.Equal(t, decision.KindAllow, step.Kind)
	require.Equal(t, "monitor", reported(t, x)["decision"])
	require.NotContains(t, reported(t, x), "claims")
	h = newHarness(t, reporting(named("groups", "groups")), func(c *config.Config) { c.Sites[0].Challenge = config.ChallengeBearer })
	x, step = h.decide(ask("GET", "/albums/1", "token"), other)
	require.Equal(t, decision.KindDeny, step.Kind)
	require.NotContains(t, reported(t, x), "claims")
	x, _ = newHarness(t).decide(ask("GET", "/albums/1", "token"), `{"active":true,"groups":["staff"],"permissions":[{"resource_id":"r1","resource_scopes":["view"]}]}`)
	require.False(t, x.Told())
	require.NotContains(t, reported(t, x), "claims", "no name in the file")
}

// TestNoClaimsOfAStreamThatEnds: what was told of a token is taken back with it.
func TestNoClaimsOfAStreamThatEnds(t *testing.T) {
	h := newHarness(t, reporting(named("groups", "groups")), streaming(9))
	x := h.open("token", `{"active":true,"exp":`+strconv.FormatInt(began.Unix()+30, 10)+`,"groups":["staff"],"permissions":[{"resource_id":"r1","resource_scopes":["view"]}]}`)
	require.Contains(t, reported(t, x), "claims")
	h.after(31 * time.Second)
	ended, _ := h.tick()
	require.Len(t, ended, 1)
	require.Equal(t, "end", reported(t, x)["decision"])
	require.NotContains(t, reported(t, x), "claims")
}

func TestReportedClaimFaults(t *testing.T) {
	for _, tt := range []struct {
		name, want string
		claims     []config.TokenClaim
	}{
		{"a dot", `letters, digits`, []config.TokenClaim{named("a.b", "a")}},
		{"a digit first", `letters, digits`, []config.TokenClaim{named("1a", "a")}},
		{"empty", `letters, digits`, []config.TokenClaim{named("", "a")}},
		{"long", `letters, digits`, []config.TokenClaim{named(strings.Repeat("a", 65), "a")}},
		{"twice", `another claim`, []config.TokenClaim{named("a", "a"), named("a", "b")}},
		{"no claim", `1 to 8 names`, []config.TokenClaim{named("a")}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := photos()
			c.Sites[0].ReportedClaims = tt.claims
			_, err := decision.Compile(c)
			require.ErrorContains(t, err, tt.want)
		})
	}
}
