package devas_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/demo/devas"
)

func TestFaults(t *testing.T) {
	t.Parallel()
	k := newKit(t, devas.Options{})
	id := k.resource(t, "album", "view")
	_, err := k.Permit(devas.Policy{Resource: id, Subjects: []string{"alice"}})
	require.NoError(t, err)
	rpt := k.rpt(t, "alice", id, "view")
	permission := func(a answer) map[string]any {
		list, _ := a.body["permissions"].([]any)
		require.Len(t, list, 1, a.raw)
		m, _ := list[0].(map[string]any)
		return m
	}
	for _, tt := range []struct {
		name  string
		fault devas.Fault
		check func(t *testing.T, a answer, err error)
	}{
		{"down", devas.Fault{Kind: devas.FaultDown}, func(t *testing.T, _ answer, err error) {
			t.Helper()
			require.Error(t, err)
		}},
		{"status", devas.Fault{Kind: devas.FaultStatus, Status: 502}, func(t *testing.T, a answer, _ error) {
			t.Helper()
			require.Equal(t, 502, a.status)
		}},
		{"html", devas.Fault{Kind: devas.FaultHTML}, func(t *testing.T, a answer, _ error) {
			t.Helper()
			require.Equal(t, 200, a.status)
			require.Contains(t, a.header.Get("Content-Type"), "text/html")
		}},
		{"empty", devas.Fault{Kind: devas.FaultEmpty}, func(t *testing.T, a answer, _ error) {
			t.Helper()
			require.JSONEq(t, "{}", a.raw)
		}},
		{"rate limit", devas.Fault{Kind: devas.FaultRateLimit, RetryAfter: 7 * time.Second}, func(t *testing.T, a answer, _ error) {
			t.Helper()
			require.Equal(t, 429, a.status)
			require.Equal(t, "7", a.header.Get("Retry-After"))
		}},
		{"bad token", devas.Fault{Kind: devas.FaultBadToken}, func(t *testing.T, a answer, _ error) {
			t.Helper()
			require.Equal(t, 401, a.status)
		}},
		{"collision", devas.Fault{Kind: devas.FaultCollision}, func(t *testing.T, a answer, _ error) {
			t.Helper()
			require.Equal(t, 409, a.status)
			require.Equal(t, "conflict", a.body["error"])
		}},
		{"slow", devas.Fault{Kind: devas.FaultSlow, Delay: time.Millisecond}, func(t *testing.T, a answer, _ error) {
			t.Helper()
			require.Equal(t, true, a.body["active"])
		}},
		{"truncated", devas.Fault{Kind: devas.FaultTruncated}, func(t *testing.T, a answer, err error) {
			t.Helper()
			require.Error(t, err)
			require.Equal(t, 200, a.status)
			require.NotEmpty(t, a.raw)
		}},
		{"oversized", devas.Fault{Kind: devas.FaultOversized, Size: 1 << 16}, func(t *testing.T, a answer, _ error) {
			t.Helper()
			require.Greater(t, len(a.raw), 1<<16)
			require.Equal(t, true, a.body["active"])
		}},
		{"wrong types", devas.Fault{Kind: devas.FaultWrongTypes}, func(t *testing.T, a answer, _ error) {
			t.Helper()
			require.Equal(t, "true", a.body["active"])
			require.IsType(t, map[string]any{}, a.body["permissions"])
			require.IsType(t, "", a.body["exp"])
		}},
		{"active as a string", devas.Fault{Kind: devas.FaultActiveString}, func(t *testing.T, a answer, _ error) {
			t.Helper()
			require.Equal(t, "true", a.body["active"])
			require.NotEmpty(t, a.body["permissions"])
		}},
		{"always active", devas.Fault{Kind: devas.FaultAlwaysActive}, func(t *testing.T, a answer, _ error) {
			t.Helper()
			require.JSONEq(t, `{"active":true}`, a.raw)
		}},
		{"another resource", devas.Fault{Kind: devas.FaultOtherResource}, func(t *testing.T, a answer, _ error) {
			t.Helper()
			require.Equal(t, "another-resource", permission(a)["resource_id"])
		}},
		{"no scopes", devas.Fault{Kind: devas.FaultNoScopes}, func(t *testing.T, a answer, _ error) {
			t.Helper()
			require.Empty(t, permission(a)["resource_scopes"])
		}},
		{"another issuer", devas.Fault{Kind: devas.FaultOtherIssuer}, func(t *testing.T, a answer, _ error) {
			t.Helper()
			require.Equal(t, "https://another.example", a.body["iss"])
		}},
		{"another audience", devas.Fault{Kind: devas.FaultOtherAudience}, func(t *testing.T, a answer, _ error) {
			t.Helper()
			require.Equal(t, "another-client", a.body["aud"])
		}},
		{"expired", devas.Fault{Kind: devas.FaultExpired}, func(t *testing.T, a answer, _ error) {
			t.Helper()
			require.InDelta(t, 1, a.body["exp"], 0)
			require.InDelta(t, 1, permission(a)["exp"], 0)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.fault.Endpoint, tt.fault.Count = devas.EndpointIntrospection, 1
			require.NoError(t, k.SetFault(tt.fault))
			introspect := func() (answer, error) {
				return k.send(t, http.MethodPost, "/introspect", "", "application/x-www-form-urlencoded", url.Values{"token": {rpt}}.Encode())
			}
			a, err := introspect()
			tt.check(t, a, err)
			// One request was to be spoiled, and one was.
			require.Empty(t, k.Faults())
			a, err = introspect()
			require.NoError(t, err)
			require.Equal(t, true, a.body["active"], a.raw)
			require.Equal(t, id, permission(a)["resource_id"])
		})
	}
}

func TestFaultsAreCountedSkippedAndCleared(t *testing.T) {
	t.Parallel()
	k := newKit(t, devas.Options{})
	status := func() int { return k.introspect(t, "x").status }

	require.NoError(t, k.SetFault(devas.Fault{Endpoint: devas.EndpointIntrospection, Kind: devas.FaultStatus, Skip: 1, Count: 2}))
	require.Equal(t, []int{200, 500, 500, 200}, []int{status(), status(), status(), status()})

	require.NoError(t, k.SetFault(devas.Fault{Kind: devas.FaultStatus, Status: 503}))
	require.Equal(t, []int{503, 503}, []int{status(), status()})
	require.Equal(t, 503, k.json(t, http.MethodGet, "/uma/resources", nil).status)
	k.ClearFaults(devas.EndpointToken)
	require.Equal(t, 503, status())
	k.ClearFaults("")
	require.Equal(t, 200, status())

	require.Error(t, k.SetFault(devas.Fault{Endpoint: "tokn", Kind: devas.FaultDown}))
	require.Error(t, k.SetFault(devas.Fault{Kind: "dwn"}))
}

func TestAHangingRequestEndsWithTheServer(t *testing.T) {
	t.Parallel()
	as, err := devas.New(devas.Options{})
	require.NoError(t, err)
	stop, err := as.Start(t.Context())
	require.NoError(t, err)
	require.NoError(t, as.SetFault(devas.Fault{Kind: devas.FaultHang}))
	failed := make(chan error, 1)
	go func() {
		req, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), http.MethodGet, as.Issuer()+"/jwks", nil)
		if err == nil {
			var resp *http.Response
			if resp, err = http.DefaultClient.Do(req); err == nil {
				_ = resp.Body.Close()
			}
		}
		failed <- err
	}()
	require.Eventually(t, func() bool { return as.Count(devas.EndpointJWKS) == 1 }, 2*time.Minute, time.Millisecond)
	stop()
	require.Error(t, <-failed)
}

func TestRecorder(t *testing.T) {
	t.Parallel()
	k := newKit(t, devas.Options{})
	k.ResetCalls()
	k.introspect(t, "one")
	require.NoError(t, k.SetFault(devas.Fault{Kind: devas.FaultDown, Count: 1}))
	_, err := k.send(t, http.MethodPost, "/introspect", "", "application/x-www-form-urlencoded", "token=two")
	require.Error(t, err)
	k.json(t, http.MethodPost, "/uma/permission", map[string]any{})

	require.Equal(t, 2, k.Count(devas.EndpointIntrospection))
	require.Equal(t, 1, k.Count(devas.EndpointPermission))
	require.Equal(t, 3, k.Count(devas.EndpointAny))
	calls := k.Calls(devas.EndpointIntrospection)
	require.Equal(t, "one", calls[0].Form.Get("token"))
	require.Equal(t, 200, calls[0].Status)
	require.Equal(t, "two", calls[1].Form.Get("token"), "a call is recorded before the fault meets it")
	require.Zero(t, calls[1].Status)
	require.True(t, strings.HasPrefix(calls[0].Header.Get("Authorization"), "Basic "))
	require.JSONEq(t, "{}", k.Calls(devas.EndpointPermission)[0].Body)

	for range 210 {
		k.introspect(t, "x")
	}
	require.Equal(t, 212, k.Count(devas.EndpointIntrospection))
	require.Len(t, k.Calls(devas.EndpointIntrospection), 200)
}

func TestRestartOnTheSameAddress(t *testing.T) {
	t.Parallel()
	as, err := devas.New(devas.Options{Clients: []devas.Client{{ID: "rs", Secret: "rs-secret"}}})
	require.NoError(t, err)
	stop, err := as.Start(t.Context())
	require.NoError(t, err)
	k := &kit{Server: as}
	issuer, pat := as.Issuer(), k.newPAT(t)
	stop()
	stop()
	_, err = k.send(t, http.MethodGet, "/jwks", "", "", "")
	require.Error(t, err)

	stop, err = as.Start(t.Context())
	require.NoError(t, err)
	defer stop()
	require.Equal(t, issuer, as.Issuer())
	require.Equal(t, true, k.introspect(t, pat).body["active"], "the state outlives the listener")
}
