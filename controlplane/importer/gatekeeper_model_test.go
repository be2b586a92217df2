package importer_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/importer"
	"github.com/umagate/umagate/plugin/decision"
)

// gatekeeperResource is a resource of Gatekeeper, with what chi makes of its path.
type gatekeeperResource struct {
	URI       string   `json:"uri"`
	Methods   []string `json:"methods,omitempty"`
	Roles     []string `json:"roles,omitempty"`
	Groups    []string `json:"groups,omitempty"`
	Any       bool     `json:"require-any-role,omitempty"`
	White     bool     `json:"white-listed,omitempty"`
	Anonymous bool     `json:"white-listed-anon,omitempty"`

	denied bool
}

// person is whose token it is; nil is nobody.
type person struct{ realm, client, groups, department []string }

// expression is what chi matches with a path.
func (r *gatekeeperResource) expression() *regexp.Regexp {
	text := regexp.QuoteMeta(r.URI)
	text = regexp.MustCompile(`\\\{[^{}:]*\\\}\\\.c`).ReplaceAllString(text, `[^/.]+\.c`) // up to the first dot
	text = regexp.MustCompile(`\\\{[^{}:]*:[^{}]*\\\}`).ReplaceAllString(text, "[ab]+")
	text = regexp.MustCompile(`\\\{[^{}]*\\\}`).ReplaceAllString(text, "[^/]+")
	return regexp.MustCompile("^" + strings.ReplaceAll(text, `\*`, ".*") + "$")
}

// before reports that chi tries r before other: at each byte text before a parameter before
// the rest, and what ends first.
func (r *gatekeeperResource) before(other *gatekeeperResource) bool {
	rank := func(uri string) string {
		uri = regexp.MustCompile(`\{[^{}:]*:[^{}]*\}`).ReplaceAllString(uri, "\xfd")
		uri = regexp.MustCompile(`\{[^{}]*\}`).ReplaceAllString(uri, "\xfe")
		return strings.ReplaceAll(uri, "*", "\xff")
	}
	return rank(r.URI) < rank(other.URI)
}

// takes gives the resource that Gatekeeper takes for a request.
func takes(resources []gatekeeperResource, method, path string) (found *gatekeeperResource) {
	for i := range resources {
		r := &resources[i]
		if len(r.Methods) > 0 && !slices.Contains(r.Methods, method) || !r.expression().MatchString(path) {
			continue
		}
		if found == nil || !found.before(r) { // the last of two that are the same
			found = r
		}
	}
	return found
}

// passes is Gatekeeper's decision, with a claim that is matched.
func (r *gatekeeperResource) passes(p *person, match string) bool {
	switch {
	case r.denied:
		return false
	case r.White || r.Anonymous && p == nil:
		return true
	case p == nil:
		return false
	}
	roles := slices.Clone(p.realm)
	for _, role := range p.client {
		roles = append(roles, "app:"+role)
	}
	has := 0
	for _, role := range r.Roles {
		if slices.Contains(roles, role) {
			has++
		}
	}
	if len(r.Roles) > 0 && (has == 0 || !r.Any && has < len(r.Roles)) {
		return false
	}
	if len(r.Groups) > 0 && !slices.ContainsFunc(r.Groups, func(g string) bool { return slices.Contains(p.groups, g) }) {
		return false
	}
	return match == "" || slices.ContainsFunc(p.department, regexp.MustCompile(match).MatchString)
}

// admit says whether a request passes with the token of a person, whose scopes say nothing.
func (i *imported) admit(t testing.TB, request string, p *person) bool {
	t.Helper()
	method, path, _ := strings.Cut(request, " ")
	headers := []decision.Header{{Name: ":authority", Value: i.host}, {Name: ":path", Value: path}, {Name: ":method", Value: method}, {Name: ":scheme", Value: "https"}}
	var answer []byte
	if p != nil {
		headers = append(headers, decision.Header{Name: "authorization", Value: "Bearer t"})
		var err error
		answer, err = json.Marshal(map[string]any{
			"active": true, "sub": "bob", "iss": "https://as.example.com", "client_id": "web", "aud": "app", "scope": "email profile", "realm_access": map[string]any{"roles": p.realm}, "groups": p.groups,
			"resource_access": map[string]any{"app": map[string]any{"roles": p.client}}, "department": p.department,
		})
		require.NoError(t, err)
	}
	worker, now := decision.NewWorker(), time.Unix(1_800_000_000, 0)
	_, step := worker.Evaluator(i.policy).Start(&decision.Request{Headers: headers}, now)
	for range 4 {
		if step.Kind != decision.KindCall {
			return step.Kind == decision.KindAllow
		}
		outcomes := worker.Reply(step.Call.ID, decision.Response{Status: 200, Body: answer}, now)
		require.Len(t, outcomes, 1)
		step = outcomes[0].Step
	}
	require.Fail(t, "the exchange does not end")
	return false
}

// TestGatekeeperModel: of random configurations, no request passes that Gatekeeper does not
// let pass, without a token or with any.
func TestGatekeeperModel(t *testing.T) {
	t.Parallel()
	requests, passed, same, withToken := 0, 0, 0, 0
	some := func(r *rand.Rand, of ...string) []string {
		return slices.DeleteFunc(slices.Clone(of), func(string) bool { return r.IntN(2) == 0 })
	}
	for seed := range uint64(150) {
		r := rand.New(rand.NewPCG(seed, 7))
		var resources []gatekeeperResource
		for range 1 + r.IntN(5) {
			uri := ""
			for range 1 + r.IntN(3) {
				uri += "/" + []string{"a", "b", "ab", "a", "b", "{x}", "{x}", "{y}.c", "a{z}", "{w:^[ab]+$}"}[r.IntN(10)]
			}
			for _, name := range []string{"{x}", "{y}", "{z}", "{w:"} { // chi takes each once
				for i := 0; strings.Count(uri, name) > 1; i++ {
					uri = strings.Replace(uri, name, fmt.Sprintf("{n%s%d%s", name[1:2], i, name[2:]), 1)
				}
			}
			uri += []string{"", "", "*", "/*", "/"}[r.IntN(5)]
			if strings.HasSuffix(uri, "}*") {
				uri = strings.TrimSuffix(uri, "*")
			}
			one := gatekeeperResource{URI: uri, Methods: [][]string{nil, nil, {"GET"}, {"PUT", "HEAD"}}[r.IntN(4)]}
			switch r.IntN(5) {
			case 0, 1:
				one.White = true
			case 2:
				one.Anonymous = r.IntN(3) == 0
				one.Groups = some(r, "g", "h")
				fallthrough
			default:
				one.Roles, one.Any = some(r, "r", "s", "app:r", "app:s", "t"), r.IntN(2) == 0
			}
			resources = append(resources, one)
		}
		match := []string{"", "", "sales", "^sales$", "^(sales|support)$", "^s"}[r.IntN(6)]
		config := map[string]any{"client-id": "app", "discovery-url": "https://as.example.com/realms/r", "resources": resources}
		if match != "" {
			config["match-claims"] = map[string]string{"department": match}
		}
		others := gatekeeperResource{URI: "/*"}
		switch r.IntN(3) {
		case 0:
			config["enable-default-deny"], others.White = false, true
		case 1:
			config["enable-default-deny-strict"], others.denied = true, true
		}
		text, err := json.Marshal(config)
		require.NoError(t, err)
		draft, err := importer.Gatekeeper("config.json", text, importer.Settings{})
		require.NoError(t, err, "%s", text)
		require.NoError(t, draft.Finish())
		served := serve(t, draft)
		all := append([]gatekeeperResource{others}, resources...)
		for range 80 {
			path := ""
			for range 1 + r.IntN(4) {
				path += "/" + []string{"a", "b", "ab", "d.c", "x", "d.e.c"}[r.IntN(6)]
			}
			path += []string{"", "", "/"}[r.IntN(3)]
			method := []string{"GET", "PUT", "HEAD", "POST", "PURGE"}[r.IntN(5)]
			var p *person
			if r.IntN(3) > 0 {
				p = &person{some(r, "r", "s", "t", "app:r"), some(r, "r", "s"), some(r, "g", "h"), some(r, "sales", "support", "presales")}
			}
			want := method != "PURGE" && takes(all, method, path).passes(p, match)
			requests++
			got := served.admit(t, method+" "+path, p)
			require.False(t, got && !want, "seed %d: %s %s passes with %+v\n%s", seed, method, path, p, text)
			if want {
				passed++
				if got {
					same++
				}
				if got && !served.admit(t, method+" "+path, nil) {
					withToken++
				}
			}
		}
	}
	t.Logf("%d requests, %d pass at Gatekeeper, of which %d here, %d by their token", requests, passed, same, withToken)
	require.Greater(t, 20*withToken, requests, "no token is let pass")
	require.Greater(t, 2*same, passed, "it is right and of no use")
}

// TestGatekeeperPaths: which paths are public is what chi takes them for, or fewer.
func TestGatekeeperPaths(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, resources, request string
		public                   bool
	}{
		{"the rest of a path", `{"uri": "/a/*", "white-listed": true}`, "GET /a/b/c", true},
		{"the rest of a word", `{"uri": "/a*", "white-listed": true}`, "GET /ab/c", true},
		{"an expression is preferred to a parameter", `{"uri": "/{n:^[0-9]+$}/{x}"}, {"uri": "/{x}/b", "white-listed": true}`, "GET /7/b", false},
		{"an expression is public for some", `{"uri": "/{n:^[0-9]+$}", "white-listed": true}`, "GET /a", false},
		{"a parameter ends at the first dot", `{"uri": "/{n}.css", "white-listed": true}`, "GET /a.b.css", false},
		{"a character that may come encoded", `{"uri": "/a+b", "white-listed": true}`, "GET /a%2Bb", false},
		{"a method that it does not name", `{"uri": "/a", "white-listed": true, "methods": ["GET"]}`, "HEAD /a", false},
		{"a method that Gatekeeper does not know", `{"uri": "/a", "white-listed": true}`, "PURGE /a", false},
		{"a slash at the end", `{"uri": "/a", "white-listed": true}`, "GET /a/", false},
		{"Gatekeeper's own path", `{"uri": "/o*", "white-listed": true}`, "GET /oauth/token", false},
		{"a public path that is there twice", `{"uri": "/a", "white-listed": true}, {"uri": "/a", "roles": ["r"]}`, "GET /a", false},
		{"with a token or without", `{"uri": "/a", "white-listed-anon": true}`, "GET /a", false},
		{"a resource of the command line", `"uri=/a|white-listed=true|methods=GET,POST"`, "POST /a", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			draft, err := importer.Gatekeeper("config.json", []byte(`{"client-id": "app", "resources": [`+tt.resources+`]}`), importer.Settings{})
			require.NoError(t, err)
			require.NoError(t, draft.Finish())
			require.Equal(t, tt.public, serve(t, draft).admit(t, tt.request, nil))
		})
	}
}
