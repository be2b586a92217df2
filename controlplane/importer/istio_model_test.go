package importer_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/importer"
)

type (
	istioRule struct {
		From []istioFrom `json:"from,omitempty"`
		To   []istioTo   `json:"to,omitempty"`
		When []istioWhen `json:"when,omitempty"`
	}
	istioFrom struct {
		Source istioSource `json:"source"`
	}
	istioSource struct {
		Principals []string `json:"requestPrincipals,omitempty"`
		Not        []string `json:"notRequestPrincipals,omitempty"`
		Namespaces []string `json:"namespaces,omitempty"`
	}
	istioTo struct {
		Operation istioOperation `json:"operation"`
	}
	istioOperation struct {
		Paths      []string `json:"paths,omitempty"`
		NotPaths   []string `json:"notPaths,omitempty"`
		Methods    []string `json:"methods,omitempty"`
		NotMethods []string `json:"notMethods,omitempty"`
	}
	istioWhen struct {
		Key    string   `json:"key"`
		Values []string `json:"values,omitempty"`
		Not    []string `json:"notValues,omitempty"`
	}
	istioTestPolicy struct {
		Action string      `json:"action"`
		Rules  []istioRule `json:"rules,omitempty"`
	}
)

// istioText is how Istio compares a text: exact, by its beginning or end, or present.
func istioText(pattern, text string) bool {
	switch {
	case pattern == "*":
		return text != ""
	case strings.Contains(pattern, "{"):
		// Envoy's uri_template, as a real one has it: see TestIstioPathsAtEnvoy.
		const character = `a-zA-Z0-9\-._~%!$&'()+,;:@=`
		expression := strings.NewReplacer(`\{\*\*\}`, "["+character+"/]*", `\{\*\}`, "["+character+"]+").Replace(regexp.QuoteMeta(pattern))
		return regexp.MustCompile("^" + expression + "$").MatchString(text)
	case strings.HasSuffix(pattern, "*"):
		return strings.HasPrefix(text, strings.TrimSuffix(pattern, "*"))
	case strings.HasPrefix(pattern, "*"):
		return strings.HasSuffix(text, strings.TrimPrefix(pattern, "*"))
	}
	return pattern == text
}

// fits reports that one of the texts matches one of the patterns, where there are any, and
// none of those that must not.
func fits(patterns, not []string, texts ...string) bool {
	matches := func(of []string) bool {
		return slices.ContainsFunc(of, func(p string) bool {
			return slices.ContainsFunc(texts, func(text string) bool { return istioText(p, text) })
		})
	}
	return (len(patterns) == 0 || matches(patterns)) && !matches(not)
}

// matches is Istio's decision about a rule, of a request from the namespace "here".
func (r *istioRule) matches(method, path string, p *person) bool {
	principal, claims := "", map[string][]string{}
	if p != nil {
		principal = "https://as.example.com/bob"
		claims = map[string][]string{"request.auth.claims[realm_access][roles]": p.realm, "request.auth.claims[groups]": p.groups, "request.auth.claims[department]": p.department}
	}
	from := len(r.From) == 0 || slices.ContainsFunc(r.From, func(f istioFrom) bool {
		return fits(f.Source.Principals, f.Source.Not, principal) && fits(f.Source.Namespaces, nil, "here")
	})
	to := len(r.To) == 0 || slices.ContainsFunc(r.To, func(to istioTo) bool {
		return fits(to.Operation.Paths, to.Operation.NotPaths, path) && fits(to.Operation.Methods, to.Operation.NotMethods, method)
	})
	return from && to && !slices.ContainsFunc(r.When, func(w istioWhen) bool { return !fits(w.Values, w.Not, claims[w.Key]...) })
}

// istioPasses is Istio's decision.
func istioPasses(policies []istioTestPolicy, method, path string, p *person) bool {
	allow, allowed := false, false
	for _, policy := range policies {
		matches := slices.ContainsFunc(policy.Rules, func(r istioRule) bool { return r.matches(method, path, p) })
		if policy.Action == "DENY" && matches {
			return false
		}
		if policy.Action == "ALLOW" {
			allow, allowed = true, allowed || matches
		}
	}
	return !allow || allowed
}

// TestIstioModel: of random policies, no request passes that Istio does not let pass,
// without a token or with any.
func TestIstioModel(t *testing.T) {
	t.Parallel()
	requests, passed, same, withToken := 0, 0, 0, 0
	some := func(r *rand.Rand, of ...string) []string {
		return slices.DeleteFunc(slices.Clone(of), func(string) bool { return r.IntN(2) == 0 })
	}
	for seed := range uint64(150) {
		r := rand.New(rand.NewPCG(seed, 8))
		one := func(of ...[]string) []string { return of[r.IntN(len(of))] }
		path := func() string {
			text := ""
			for range 1 + r.IntN(2) {
				text += "/" + []string{"a", "b", "ab", "d.c"}[r.IntN(4)]
			}
			return []string{text, text, text + "*", text + "/*", "*" + text, "*.c", "*", "/{*}" + text + "/{**}", text + "/"}[r.IntN(9)]
		}
		var policies []istioTestPolicy
		var objects []any
		objects = append(objects, map[string]any{"apiVersion": "security.istio.io/v1", "kind": "RequestAuthentication", "spec": map[string]any{
			"jwtRules": []any{map[string]any{"issuer": "https://as.example.com", "audiences": []string{"app"}}},
		}})
		for range 1 + r.IntN(3) {
			policy := istioTestPolicy{Action: []string{"ALLOW", "ALLOW", "DENY"}[r.IntN(3)]}
			for range r.IntN(4) {
				var rule istioRule
				for range r.IntN(3) {
					op := istioOperation{Paths: []string{path()}, Methods: one(nil, nil, []string{"GET"}, []string{"PUT", "HEAD"})}
					if r.IntN(3) == 0 {
						op.Paths = append(op.Paths, path())
					}
					if r.IntN(3) == 0 {
						op.NotPaths = []string{path()}
					}
					if r.IntN(8) == 0 {
						op.NotMethods = []string{"POST"}
					}
					rule.To = append(rule.To, istioTo{op})
				}
				for range r.IntN(3) {
					source := istioSource{Principals: one([]string{"*"}, []string{"https://as.example.com/*"}, []string{"https://as.example.com/bob"}, []string{"https://as.example.com/eve"})}
					switch r.IntN(5) {
					case 0, 1:
						source = istioSource{Not: one([]string{"*"}, []string{"https://as.example.com/bob"})}
					case 2:
						source.Namespaces = []string{[]string{"here", "there"}[r.IntN(2)]}
					}
					rule.From = append(rule.From, istioFrom{source})
				}
				for range max(0, r.IntN(4)-1) {
					w := istioWhen{Key: "request.auth.claims" + []string{"[realm_access][roles]", "[groups]", "[department]"}[r.IntN(3)]}
					if values := one([]string{"r"}, []string{"g", "s"}, []string{"sales", "h*"}, []string{"t", "g"}); r.IntN(3) > 0 {
						w.Values = values
					} else {
						w.Not = values
					}
					rule.When = append(rule.When, w)
				}
				policy.Rules = append(policy.Rules, rule)
			}
			policies = append(policies, policy)
			objects = append(objects, map[string]any{
				"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy", "metadata": map[string]any{"name": fmt.Sprintf("p%d", r.IntN(2))}, "spec": policy,
			})
		}
		text, err := json.Marshal(map[string]any{"kind": "List", "items": objects})
		require.NoError(t, err)
		draft, err := importer.Istio("list.json", text, importer.Settings{})
		require.NoError(t, err, "%s", text)
		require.NoError(t, draft.Finish(), "%s", text)
		served := serve(t, draft)
		for range 60 {
			target := ""
			for range 1 + r.IntN(4) {
				target += "/" + []string{"a", "b", "ab", "d.c", "x"}[r.IntN(5)]
			}
			target += []string{"", "", "/"}[r.IntN(3)]
			method := []string{"GET", "PUT", "HEAD", "POST", "PURGE"}[r.IntN(5)]
			var p *person
			if r.IntN(3) > 0 {
				p = &person{some(r, "r", "s", "t"), nil, some(r, "g", "h"), some(r, "sales", "support")}
			}
			want := istioPasses(policies, method, target, p)
			requests++
			got := served.admit(t, method+" "+target, p)
			require.False(t, got && !want, "seed %d: %s %s passes with %+v\n%s", seed, method, target, p, text)
			if want {
				passed++
				if got {
					same++
				}
				if got && !served.admit(t, method+" "+target, nil) {
					withToken++
				}
			}
		}
	}
	t.Logf("%d requests, %d pass at Istio, of which %d here, %d by their token", requests, passed, same, withToken)
	require.Greater(t, 3*same, passed, "it is right and of no use")
	require.Positive(t, withToken, "no token is let pass")
}

// istioPolicies is a List of policies with those specs.
func istioPolicies(specs ...string) string {
	var items []string
	for _, spec := range specs {
		items = append(items, `{"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy", "spec": `+spec+`}`)
	}
	return `{"kind": "List", "items": [` + strings.Join(items, ",") + `]}`
}

// TestIstioPolicies: what Istio decides by more than path, method and claims is not opened.
func TestIstioPolicies(t *testing.T) {
	t.Parallel()
	const jwt = `{"apiVersion": "security.istio.io/v1", "kind": "RequestAuthentication", "spec": {"jwtRules": [{"issuer": "https://as.example.com", "audiences": ["app"]}]}}`
	staff := &person{groups: []string{"staff"}}
	tests := []struct {
		name, spec, request string
		who                 *person
		passes              bool
	}{
		{"everything", `{"rules": [{}]}`, "GET /a", nil, true},
		{"an ALLOW policy without rules", `{}`, "GET /a", staff, false},
		{"a DENY policy without rules", `{"action": "DENY"}`, "GET /a", nil, true},
		{"an AUDIT policy", `{"action": "AUDIT", "rules": [{}]}`, "GET /a", nil, true},
		{"a CUSTOM policy", `{"action": "CUSTOM", "rules": [{"from": [{"source": {"notRequestPrincipals": ["*"]}}]}]}`, "GET /a", staff, false},
		{"whoever has no token is denied", `{"action": "DENY", "rules": [{"from": [{"source": {"notRequestPrincipals": ["*"]}}]}]}`, "GET /a", nil, false},
		{"and who has one is not", `{"action": "DENY", "rules": [{"from": [{"source": {"notRequestPrincipals": ["*"]}}]}]}`, "GET /a", staff, true},
		{"a host", `{"rules": [{"to": [{"operation": {"hosts": ["a.example.com"]}}]}]}`, "GET /a", staff, false},
		{"a port that is denied", `{"action": "DENY", "rules": [{"to": [{"operation": {"ports": ["8080"]}}]}]}`, "GET /a", staff, false},
		{"a header", `{"rules": [{"when": [{"key": "request.headers[x-a]", "values": ["b"]}]}]}`, "GET /a", staff, false},
		{"a path that is denied by its end", `{"action": "DENY", "rules": [{"to": [{"operation": {"paths": ["*.env"]}}]}]}`, "GET /a/b.env", nil, false},
		{"a character that may come encoded", `{"rules": [{"to": [{"operation": {"paths": ["/a+b"]}}]}]}`, "GET /a%2Bb", nil, false},
		{"a value with a space", `{"rules": [{"when": [{"key": "request.auth.claims[groups]", "values": ["a b", "staff"]}]}]}`, "GET /a", staff, true},
		{"an issuer that is not taken", `{"rules": [{"from": [{"source": {"requestPrincipals": ["https://other.example.com/*"]}}]}]}`, "GET /a", staff, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			text := strings.Replace(istioPolicies(tt.spec), `"items": [`, `"items": [`+jwt+`,`, 1)
			draft, err := importer.Istio("list.json", []byte(text), importer.Settings{})
			require.NoError(t, err)
			require.NoError(t, draft.Finish())
			require.Equal(t, tt.passes, serve(t, draft).admit(t, tt.request, tt.who))
		})
	}
	// Without a RequestAuthentication nobody has a principal.
	draft, err := importer.Istio("list.json", []byte(istioPolicies(`{"rules": [{"from": [{"source": {"requestPrincipals": ["*"]}}]}]}`)), importer.Settings{})
	require.NoError(t, err)
	require.NoError(t, draft.Finish())
	require.False(t, serve(t, draft).admit(t, "GET /a", staff))
}
