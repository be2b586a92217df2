package oxd_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/demo/devas"
	"github.com/umagate/umagate/plugin/config"
)

// TestCheckAccess is the story of the published page.
func TestCheckAccess(t *testing.T) {
	t.Parallel()
	for name, options := range map[string]devas.Options{"opaque": {}, "jwt": {RPTFormat: devas.FormatJWT}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newUMAKit(t, options)
			id := k.register(t, nil)
			k.protect(t, id, photo, nil)
			k.permit(t, "[GET] /photo")
			k.permit(t, "[PUT, POST] /photo", "add")

			for _, blank := range []string{"", "  "} {
				denied := k.check(t, id, "GET", "/photo", blank)
				require.Equal(t, "denied", denied["access"])
				ticket, _ := denied["ticket"].(string)
				require.NotEmpty(t, ticket)
				require.Equal(t, fmt.Sprintf(`UMA realm="rs",as_uri="%s",error="insufficient_scope",ticket="%s"`, k.op.Issuer(), ticket), denied["www-authenticate_header"])
			}
			rpt := k.rpt(t, id, "GET", "/photo")
			granted := map[string]any{"access": "granted"}
			require.Equal(t, granted, k.check(t, id, "GET", "/photo", rpt))
			require.Equal(t, granted, k.check(t, id, "get", "/PHOTO", rpt), "neither letters of the path nor of the method count")
			require.Equal(t, granted, k.check(t, id, "HEAD", "/photo", rpt))
			require.Equal(t, granted, k.check(t, id, "GET", "/photo?size=1", rpt))
			denied := k.check(t, id, "POST", "/photo", rpt)
			require.Equal(t, "denied", denied["access"])
			require.NotEmpty(t, denied["ticket"])
			require.Equal(t, granted, k.check(t, id, "PUT", "/photo", k.rpt(t, id, "POST", "/photo")), "methods of one condition share an RPT")
			require.Equal(t, "denied", k.check(t, id, "GET", "/albums/1/x/y", rpt)["access"])

			// What the core refuses without asking the AS has no ticket.
			require.Equal(t, map[string]any{"access": "denied"}, k.check(t, id, "GET", "/photo/../photo", rpt))
			require.Equal(t, map[string]any{"access": "denied"}, k.check(t, id, "GET", "/photo", "two, tokens"))
			for _, at := range [][2]string{{"DELETE", "/photo"}, {"GET", "/photos"}, {"GET", "/albums"}} {
				k.fails(t, "invalid_request", "uma_rs_check_access", map[string]any{"oxd_id": id, "rpt": rpt, "http_method": at[0], "path": at[1]})
			}
		})
	}
}

// TestCheckOrder: what is looked at first.
func TestCheckOrder(t *testing.T) {
	t.Parallel()
	k := newUMAKit(t, devas.Options{})
	k.fails(t, "invalid_http_method", "uma_rs_check_access", map[string]any{"oxd_id": "nobody", "http_method": " "})
	k.fails(t, "invalid_path_parameter", "uma_rs_check_access", map[string]any{"oxd_id": "nobody", "http_method": "GET"})
	k.fails(t, "invalid_oxd_id", "uma_rs_check_access", map[string]any{"oxd_id": "nobody", "http_method": "GET", "path": "/"})
	k.fails(t, "bad_request", "uma_rs_check_access", map[string]any{"http_method": "GET", "path": "/"})
	id := k.register(t, nil)
	k.fails(t, "invalid_request", "uma_rs_check_access", map[string]any{"oxd_id": id, "http_method": "GET", "path": "/"})
}

// TestScopeExpression: the rule is evaluated, for every combination of scopes.
func TestScopeExpression(t *testing.T) {
	t.Parallel()
	rules := []struct {
		name, rule string
		holds      func(a, b, c bool) bool
	}{
		{"page", `{"and":[{"or":[{"var":0},{"var":1}]},{"var":2}]}`, func(a, b, c bool) bool { return (a || b) && c }},
		{"and", `{"and":[{"var":0},{"var":1}]}`, func(a, b, _ bool) bool { return a && b }},
		{"not", `{"and":[{"var":0},{"!":{"var":1}}]}`, func(a, b, _ bool) bool { return a && !b }},
		{"truth", `{"!!":{"var":2}}`, func(_, _, c bool) bool { return c }},
		{"equal", `{"==":[{"var":0},{"var":1}]}`, func(a, b, _ bool) bool { return a == b }},
		{"unequal", `{"!=":[{"var":0},{"var":1}]}`, func(a, b, _ bool) bool { return a != b }},
		{"if", `{"if":[{"var":0},{"var":1},{"var":2}]}`, func(a, b, c bool) bool {
			if a {
				return b
			}
			return c
		}},
	}
	scopes := []string{"a", "b", "c"}
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			k := newUMAKit(t, devas.Options{})
			id := k.register(t, nil)
			k.protect(t, id, fmt.Sprintf(`[{"path":"/p","conditions":[{"httpMethods":["GET"],"scope_expression":{"rule":%s,"data":["a","b","c"]}}]}]`, r.rule), nil)
			for bits := 1; bits < 8; bits++ {
				var held []string
				for i, s := range scopes {
					if bits&(1<<i) != 0 {
						held = append(held, s)
					}
				}
				policy, err := k.op.Permit(devas.Policy{Resource: "[GET] /p", Scopes: held, Subjects: []string{"alice"}})
				require.NoError(t, err)
				want := "denied"
				if r.holds(bits&1 != 0, bits&2 != 0, bits&4 != 0) {
					want = "granted"
				}
				require.Equal(t, want, k.check(t, id, "GET", "/p", k.rpt(t, id, "GET", "/p"))["access"], "%s with %v", r.rule, held)
				k.op.Forbid(policy)
			}
		})
	}
}

// TestCheckSurvivesTheAS: an AS that fails opens nothing, and gives no ticket that
// is none.
func TestCheckSurvivesTheAS(t *testing.T) {
	t.Parallel()
	for _, kind := range devas.FaultKinds() {
		for _, endpoint := range []devas.Endpoint{devas.EndpointIntrospection, devas.EndpointPermission} {
			t.Run(fmt.Sprint(kind, " ", endpoint), func(t *testing.T) {
				t.Parallel()
				k := newUMAKit(t, devas.Options{})
				id := k.register(t, nil)
				k.protect(t, id, photo, nil)
				k.permit(t, "[GET] /photo")
				rpt := k.rpt(t, id, "GET", "/photo")
				if kind == devas.FaultHang {
					k.serve(t, time.Second)
				}
				require.NoError(t, k.op.SetFault(devas.Fault{Endpoint: endpoint, Kind: kind, Delay: 10 * time.Millisecond}))
				status, data := k.call(t, "uma_rs_check_access", map[string]any{"oxd_id": id, "rpt": rpt, "path": "/photo", "http_method": "GET"})
				require.Equal(t, "ok", status, data)
				if endpoint == devas.EndpointPermission {
					require.Equal(t, "granted", data["access"])
					data = k.check(t, id, "GET", "/photo", "")
				}
				switch {
				case endpoint == devas.EndpointIntrospection && kind == devas.FaultSlow:
					require.Equal(t, "granted", data["access"])
				case endpoint == devas.EndpointIntrospection && (kind == devas.FaultOtherIssuer || kind == devas.FaultOtherAudience):
					require.Equal(t, "granted", data["access"], "an application does not say which issuer or audience it wants")
				case data["ticket"] != nil:
					require.Equal(t, "denied", data["access"])
					require.Contains(t, data["www-authenticate_header"], data["ticket"])
				default:
					require.Equal(t, map[string]any{"access": "denied"}, data)
				}
			})
		}
	}
}

// TestCheckRefusesWhatIsRevoked: as Envoy does, whatever the AS says.
func TestCheckRefusesWhatIsRevoked(t *testing.T) {
	t.Parallel()
	k := newUMAKit(t, devas.Options{})
	id := k.register(t, nil)
	k.protect(t, id, photo, nil)
	k.permit(t, "[GET] /photo")
	rpt := k.rpt(t, id, "GET", "/photo")
	require.Equal(t, "granted", k.check(t, id, "GET", "/photo", rpt)["access"])
	revoked := config.DigestOf(config.Signed(rpt), time.Now().Add(time.Hour).Unix(), 0)
	k.revoked = []config.Revocations{{Tokens: config.NewDigests([]config.Digest{revoked})}}
	denied := k.check(t, id, "GET", "/photo", rpt)
	require.Equal(t, "denied", denied["access"])
	require.NotEmpty(t, denied["ticket"])
}
