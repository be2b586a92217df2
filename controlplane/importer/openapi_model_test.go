package importer_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/importer"
)

// modelled is a document, and what OpenAPI says of it: path to method to the
// alternatives of its security, nil where anybody may call.
type modelled map[string]map[string][][]string

// anyMethod is AWS's name of an operation for the methods that have none.
const anyMethod = "x-amazon-apigateway-any-method"

// random makes a document of overlapping paths.
func random(r *rand.Rand, odd bool) modelled {
	segments := []string{"a", "b", "{x}", "{y}"}
	if odd {
		segments = append(segments, "{x}.json", "a{x}", "{x}:a", "{x:[ab]}", "a.json")
	}
	securities := [][][]string{nil, {{"read"}}, {{"admin"}}, {{"read", "admin"}}, {{"read"}, {"admin"}}}
	methods := []string{"get", "put", "head", anyMethod}
	m := modelled{}
	for range 2 + r.IntN(6) {
		path := ""
		for i := range 1 + r.IntN(3) {
			s := segments[r.IntN(len(segments))]
			path += "/" + strings.NewReplacer("{x", fmt.Sprintf("{x%d", i), "{y", fmt.Sprintf("{y%d", i)).Replace(s)
		}
		switch n := r.IntN(12); {
		case n == 0:
			path += "/"
		case n == 1 && odd:
			path += "/{rest+}"
		case n == 2 && odd:
			path += "/{rest*}"
		case n == 3 && odd:
			path += "?q=1"
		}
		if m[path] == nil {
			m[path] = map[string][][]string{}
		}
		for range 1 + r.IntN(2) {
			m[path][methods[r.IntN(len(methods))]] = securities[r.IntN(len(securities))]
		}
	}
	return m
}

// document is the text.
func (m modelled) document(t testing.TB) string {
	t.Helper()
	paths := map[string]any{}
	for path, operations := range m {
		item := map[string]any{}
		for method, alternatives := range operations {
			security := []any{}
			for _, all := range alternatives {
				security = append(security, map[string]any{"o": all})
			}
			item[method] = map[string]any{"security": security}
		}
		paths[path] = item
	}
	text, err := json.Marshal(map[string]any{
		"openapi": "3.1.0", "info": map[string]any{"title": "t", "version": "1"}, "paths": paths,
		"components": map[string]any{"securitySchemes": map[string]any{"o": map[string]any{"type": "oauth2"}}},
	})
	require.NoError(t, err)
	return string(text)
}

// expressions are those of the paths, each made once.
var expressions sync.Map

// expression finds the requests that a path speaks of.
func expression(path string) *regexp.Regexp {
	if made, ok := expressions.Load(path); ok {
		return made.(*regexp.Regexp)
	}
	made := makeExpression(path)
	expressions.Store(path, made)
	return made
}

func makeExpression(path string) *regexp.Regexp {
	path, _, _ = strings.Cut(path, "?")
	text := regexp.QuoteMeta(path)
	text = regexp.MustCompile(`/\\\{rest\\\*\\\}$`).ReplaceAllString(text, "(/.*)")
	text = regexp.MustCompile(`\\\{rest\\\+\\\}`).ReplaceAllString(text, "[^/].*")
	text = regexp.MustCompile(`\\\{[^{}]*:\\\[ab\\\]\\\}`).ReplaceAllString(text, "[ab\x01]")
	text = regexp.MustCompile(`\\\{[^{}]*\\\}`).ReplaceAllString(text, "[^/]+")
	return regexp.MustCompile("^" + text + "$")
}

// of gives what the document says of a request: OpenAPI takes a concrete path before
// a templated one, and leaves open which of two that are templated; there the one
// with fewer requests counts, and both where neither has fewer.
func (m modelled) of(method, path string) (found [][][]string, matched bool) {
	variables := regexp.MustCompile(`\{[^{}]*\}`)
	var matching []string
	for _, p := range slices.Sorted(maps.Keys(m)) {
		if expression(p).MatchString(path) {
			matching = append(matching, p)
		}
	}
	// Nothing after the slash is a path of its own, and so is what follows it.
	covers := func(big, small string) bool {
		small, _, _ = strings.Cut(small, "?")
		rests := []string{"\x01", strings.Repeat("\x01/", 9) + "\x01"} // deeper than any other path
		if base, ok := strings.CutSuffix(small, "{rest*}"); ok && expression(base).MatchString(path) {
			rests = []string{""}
		}
		return !slices.ContainsFunc(rests, func(rest string) bool {
			example := strings.NewReplacer("{rest+}", rest, "{rest*}", rest).Replace(small)
			return !expression(big).MatchString(variables.ReplaceAllString(example, "\x01"))
		})
	}
	for _, p := range matching {
		hidden := slices.ContainsFunc(matching, func(o string) bool {
			return covers(p, o) && !covers(o, p) && !strings.Contains(o, "?") && !strings.Contains(o, ":[")
		})
		if hidden {
			continue
		}
		if alternatives, ok := m[p][strings.ToLower(method)]; ok {
			found = append(found, alternatives)
		} else if alternatives, ok := m[p][anyMethod]; ok {
			found = append(found, alternatives)
		} else if alternatives, ok := m[p]["get"]; ok && method == "HEAD" {
			found = append(found, alternatives)
		}
	}
	return found, len(matching) > 0
}

// turned is the path with a slash at the end, or without the one it has.
func turned(path string) string {
	other, slashed := strings.CutSuffix(path, "/")
	if !slashed {
		other += "/"
	}
	return other
}

// lets reports that the document lets a request pass, and whether it speaks of it.
func (m modelled) lets(method, path string, scopes []string) (passes, spoken bool) {
	found, matched := m.of(method, path)
	if !matched { // umagate judges by the path with or without the slash then
		found, _ = m.of(method, turned(path))
	}
	for _, alternatives := range found {
		if alternatives != nil && !slices.ContainsFunc(alternatives, func(all []string) bool {
			return !slices.ContainsFunc(all, func(s string) bool { return !slices.Contains(scopes, s) })
		}) {
			return false, true
		}
	}
	return len(found) > 0, len(found) > 0
}

// TestOpenAPIModel: of random documents whose paths overlap, nothing passes that the
// document does not let pass; and where every path can be written as it is, all that
// it does.
func TestOpenAPIModel(t *testing.T) {
	t.Parallel()
	for _, odd := range []bool{false, true} {
		t.Run(fmt.Sprintf("odd=%v", odd), func(t *testing.T) {
			t.Parallel()
			requests, narrowed := 0, 0
			for seed := range uint64(40) {
				r := rand.New(rand.NewPCG(seed, 1))
				m := random(r, odd)
				text := m.document(t)
				draft, err := importText(t, "openapi", text, importer.Settings{})
				if odd && err != nil {
					require.ErrorIs(t, err, importer.ErrNothing, text)
					continue
				}
				require.NoError(t, err, text)
				served := serve(t, draft)
				values := []string{"a", "b", "z", "a.json", "z:a", "az", "a:a"}
				for range 40 {
					path := ""
					for range 1 + r.IntN(4) {
						path += "/" + values[r.IntN(len(values))]
					}
					if r.IntN(6) == 0 {
						path += "/"
					}
					method := []string{"GET", "HEAD", "PUT"}[r.IntN(3)]
					for _, scopes := range []string{"", "read", "admin", "read admin"} {
						requests++
						got := served.decide(t, method+" "+path, scopes) != "denied"
						passes, spoken := m.lets(method, path, strings.Fields(scopes))
						switch {
						case got && spoken:
							require.True(t, passes, "seed %d: %s %s passes with %q\n%s", seed, method, path, scopes, text)
						case got && !odd:
							require.Fail(t, "it passes, and the document does not speak of it", "seed %d: %s %s with %q\n%s", seed, method, path, scopes, text)
						case got:
							if passes, _ := m.lets(method, turned(path), nil); passes {
								continue
							}
							require.NotEmpty(t, scopes, "seed %d: %s %s is public, and the document does not speak of it\n%s", seed, method, path, text)
						case passes && !odd:
							require.Fail(t, "it is denied, and the document lets it pass", "seed %d: %s %s with %q\n%s", seed, method, path, scopes, text)
						case passes:
							narrowed++
						}
					}
				}
			}
			require.Less(t, narrowed*4, requests, "too much is narrowed")
			t.Logf("%d requests, %d narrowed", requests, narrowed)
		})
	}
}
