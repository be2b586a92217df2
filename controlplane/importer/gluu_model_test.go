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

// tree is how Gluu Gateway keeps what it protects: by method, and then by segment.
type tree struct {
	scope string // what the path that ends here asks for; empty when none does
	words map[string]*tree
	regex []*tree // in their order
	text  string  // of a regular expression
	one   *tree   // "?"
	many  *tree   // "??"
}

func (n *tree) child(segment string) *tree {
	switch {
	case segment == "?":
		if n.one == nil {
			n.one = &tree{}
		}
		return n.one
	case segment == "??":
		if n.many == nil {
			n.many = &tree{}
		}
		return n.many
	case strings.HasPrefix(segment, "{"):
		text := strings.Trim(segment, "{}")
		for _, r := range n.regex {
			if r.text == text {
				return r
			}
		}
		n.regex = append(n.regex, &tree{text: text})
		return n.regex[len(n.regex)-1]
	}
	if n.words == nil {
		n.words = map[string]*tree{}
	}
	if n.words[segment] == nil {
		n.words[segment] = &tree{}
	}
	return n.words[segment]
}

// step goes to what a segment matches: the text itself, the first expression that is
// found in it, "?", "??". It never comes back to try the next.
func (n *tree) step(path []string, i int) (next *tree, ended bool) {
	if w := n.words[path[i]]; w != nil {
		return w, false
	}
	for _, r := range n.regex {
		if regexp.MustCompile(r.text).MatchString(path[i]) {
			return r, false
		}
	}
	if n.one != nil {
		return n.one, false
	}
	if n.many == nil {
		return nil, false
	}
	for from := i; from < len(path) && (n.many.words != nil || n.many.regex != nil || n.many.one != nil); from++ {
		at := n.many
		for j := from; j < len(path) && at != nil; j++ {
			at, _ = at.step(path, j)
		}
		if at != nil && at.scope != "" {
			return at, true
		}
	}
	if n.many.scope != "" {
		return n.many, true
	}
	return nil, false
}

// asked is the scope that the gateway asks for, empty where it knows no such path.
func (n *tree) asked(method, path string) string {
	at, ended := n, false
	parts := append([]string{method}, strings.Split(strings.TrimPrefix(path, "/"), "/")...)
	for i := range parts {
		if at, ended = at.step(parts, i); at == nil {
			return ""
		} else if ended {
			return at.scope
		}
	}
	return at.scope
}

// loosely is the expression for requests that the import may take for a path though the
// gateway does not: there an expression is not looked at, nor what follows "??" behind
// many segments; and the slash before a last "??" may be missing, as at every end.
func loosely(method, path string) *regexp.Regexp {
	if !strings.Contains(path, "{") && !strings.Contains(path, "??/") {
		base, below := strings.CutSuffix(path, "/??")
		if !below {
			return regexp.MustCompile(`^\b$`) // none
		}
		path = base
	}
	if method == "?" {
		method = "[A-Z]+"
	}
	text := regexp.MustCompile(`\{[^}]*\}`).ReplaceAllString(path, "?")
	text = regexp.MustCompile(`/\?\?/.*`).ReplaceAllString(text, "/??")
	text = strings.ReplaceAll(text, "/??", "(/[^/]+)*")
	text = regexp.MustCompile(`/\?`).ReplaceAllString(text, "/[^/]+")
	return regexp.MustCompile("^" + method + text + "$")
}

// TestGluuModel: of random configurations of Gluu Gateway, no request passes without
// the scope that the gateway asks for.
func TestGluuModel(t *testing.T) {
	t.Parallel()
	segments := []string{"a", "b", "?", "{[ab]}", "{a|b}", "c"}
	requests, narrowed := 0, 0
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 2))
		root := &tree{}
		var list []any
		var scopes []string
		taken := map[string]bool{}
		vague := map[string]*regexp.Regexp{} // by the scope: of what a path may be taken
		for i := range 2 + r.IntN(5) {
			path := ""
			many := r.IntN(3)
			for j := range 1 + r.IntN(3) {
				s := segments[r.IntN(len(segments))]
				if many == j {
					s = "??"
				}
				path += "/" + s
			}
			if taken[path] {
				continue
			}
			taken[path] = true
			method, scope := []string{"GET", "PUT", "?"}[r.IntN(3)], fmt.Sprintf("s%d", i)
			scopes = append(scopes, scope)
			vague[scope] = loosely(method, path)
			list = append(list, map[string]any{"path": path, "conditions": []any{map[string]any{"httpMethods": []string{method}, "scope_expression": map[string]any{"data": []string{scope}}}}})
			at := root
			for _, s := range append([]string{method}, strings.Split(path[1:], "/")...) {
				at = at.child(s)
			}
			at.scope = scope
		}
		text, err := json.Marshal(map[string]any{"config": map[string]any{"uma_scope_expression": list}})
		require.NoError(t, err)
		draft, err := importText(t, "gluu", string(text), importer.Settings{})
		require.NoError(t, err, "%s", text)
		served := serve(t, draft)
		values := []string{"a", "b", "c", "d", "xay"}
		for range 60 {
			path := ""
			for range 1 + r.IntN(5) {
				path += "/" + values[r.IntN(len(values))]
			}
			method := []string{"GET", "PUT", "POST", "HEAD"}[r.IntN(4)]
			want := root.asked(method, path)
			others := slices.DeleteFunc(slices.Clone(scopes), func(s string) bool { return s == want })
			requests++
			require.Equal(t, "denied", served.decide(t, method+" "+path, ""), "seed %d: %s %s\n%s", seed, method, path, text)
			if want == "" {
				// Any segment is taken for an expression, and the rest for any number of segments.
				others = slices.DeleteFunc(others, func(s string) bool { return vague[s].MatchString(method + path) })
				if method == "HEAD" { // which the filter may judge as GET
					others = slices.DeleteFunc(others, func(s string) bool { return s == root.asked("GET", path) || vague[s].MatchString("GET"+path) })
				}
			}
			if len(others) > 0 {
				require.Equal(t, "denied", served.decide(t, method+" "+path, strings.Join(others, " ")), "seed %d: %s %s passes without %s\n%s", seed, method, path, want, text)
			}
			if want != "" && served.decide(t, method+" "+path, want) == "denied" {
				narrowed++
			}
		}
	}
	require.Less(t, narrowed*3, requests, "too much is narrowed")
	t.Logf("%d requests, %d narrowed", requests, narrowed)
}
