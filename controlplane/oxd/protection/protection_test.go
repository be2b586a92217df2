package protection_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/oxd/protection"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/plugin/config"
)

func parse(t *testing.T, text string) protection.Document {
	t.Helper()
	d, err := protection.Parse(json.RawMessage(text))
	require.NoError(t, err)
	return d
}

// published is the first example of the published protocol page.
const published = `[
 {"path":"/photo","conditions":[
  {"httpMethods":["GET"],"scopes":["http://photoz.example.com/dev/actions/view"]},
  {"httpMethods":["PUT","POST"],"scopes":["http://photoz.example.com/dev/actions/all","http://photoz.example.com/dev/actions/add"],
   "ticketScopes":["http://photoz.example.com/dev/actions/add"]}]},
 {"path":"/document","conditions":[{"httpMethods":["GET"],"scopes":["http://photoz.example.com/dev/actions/view"]}]}]`

func TestValidate(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, document string
		want           error
	}{
		{"the page's", published, nil},
		{"the page's expression", `[{"path":"/photo","conditions":[
			{"httpMethods":["GET"],"scope_expression":{"rule":{"and":[{"or":[{"var":0},{"var":1}]},{"var":2}]},"data":["a","b","c"]}},
			{"httpMethods":["PUT","POST"],"scope_expression":{"rule":{"and":[{"or":[{"var":0},{"var":1}]},{"var":2}]},"data":["a","b","c"]}}]}]`, nil},
		{"an expression as text", `[{"path":"/p","conditions":[{"httpMethods":["GET"],"scope_expression":"{\"rule\":{\"var\":0},\"data\":[\"a\"]}"}]}]`, nil},
		{"no resources", `[]`, protection.ErrNothing},
		{"null", `null`, protection.ErrNothing},
		{"no conditions", `[{"path":"/a","conditions":[]}]`, protection.ErrNothing},
		{"no methods", `[{"path":"/a","conditions":[{"scopes":["a"]}]}]`, protection.ErrNothing},
		{"a method in two conditions", `[{"path":"/a","conditions":[{"httpMethods":["GET"],"scopes":["a"]},{"httpMethods":["POST","GET"],"scopes":["b"]}]}]`, protection.ErrMethodNotUnique},
		{"a method in two entries", `[{"path":"/a","conditions":[{"httpMethods":["GET"],"scopes":["a"]}]},{"path":"/a","conditions":[{"httpMethods":["GET"],"scopes":["b"]}]}]`, protection.ErrMethodNotUnique},
		{"a method twice in one condition", `[{"path":"/a","conditions":[{"httpMethods":["GET","GET"],"scopes":["a"]}]}]`, protection.ErrMethodNotUnique},
		{"the case of letters", `[{"path":"/a","conditions":[{"httpMethods":["GET"],"scopes":["a"]}]},{"path":"/A","conditions":[{"httpMethods":["get"],"scopes":["b"]}]}]`, protection.ErrMethodNotUnique},
		{"templates of one shape", `[{"path":"/a/{x}","conditions":[{"httpMethods":["GET"],"scopes":["a"]}]},{"path":"/a/{y}","conditions":[{"httpMethods":["GET"],"scopes":["b"]}]}]`, protection.ErrMethodNotUnique},
		{"an exact path under a template", `[{"path":"/a/{x}","conditions":[{"httpMethods":["GET"],"scopes":["a"]}]},{"path":"/a/b","conditions":[{"httpMethods":["GET"],"scopes":["b"]}]}]`, nil},
		{"methods before expressions", `[{"path":"/a","conditions":[{"httpMethods":["GET","GET"],"scope_expression":{"rule":1}}]}]`, protection.ErrMethodNotUnique},
		{"an expression without data", `[{"path":"/a","conditions":[{"httpMethods":["GET"],"scope_expression":{"rule":{"var":0}}}]}]`, protection.ErrExpression},
		{"an expression without rule", `[{"path":"/a","conditions":[{"httpMethods":["GET"],"scope_expression":{"data":["a"]}}]}]`, protection.ErrExpression},
		{"an expression with another key", `[{"path":"/a","conditions":[{"httpMethods":["GET"],"scope_expression":{"rule":{"var":0},"data":["a"],"x":1}}]}]`, protection.ErrExpression},
		{"an expression with numbers for scopes", `[{"path":"/a","conditions":[{"httpMethods":["GET"],"scope_expression":{"rule":{"var":0},"data":[1]}}]}]`, protection.ErrExpression},
		{"an index too large", `[{"path":"/a","conditions":[{"httpMethods":["GET"],"scope_expression":{"rule":{"var":1},"data":["a"]}}]}]`, protection.ErrExpression},
		{"an unknown operator", `[{"path":"/a","conditions":[{"httpMethods":["GET"],"scope_expression":{"rule":{"xor":[{"var":0},1]},"data":["a"]}}]}]`, protection.ErrExpression},
		{"an expression that is a number", `[{"path":"/a","conditions":[{"httpMethods":["GET"],"scope_expression":1}]}]`, protection.ErrExpression},
		{"a rule of null", `[{"path":"/a","conditions":[{"httpMethods":["GET"],"scope_expression":{"rule":null,"data":["a"]}}]}]`, protection.ErrExpression},
		{"a rule of 0", `[{"path":"/a","conditions":[{"httpMethods":["GET"],"scope_expression":{"rule":0,"data":["a"]}}]}]`, protection.ErrExpression},
		{"a rule of false", `[{"path":"/a","conditions":[{"httpMethods":["GET"],"scope_expression":{"rule":false,"data":["a"]}}]}]`, protection.ErrExpression},
		{"a rule that contradicts itself", `[{"path":"/a","conditions":[{"httpMethods":["GET"],"scope_expression":{"rule":{"and":[{"var":0},{"!":{"var":0}}]},"data":["a"]}}]}]`, protection.ErrExpression},
		{"a rule that contradicts the scopes beside it", `[{"path":"/a","conditions":[{"httpMethods":["GET"],"scopes":["a"],"scope_expression":{"rule":{"!":{"var":0}},"data":["a"]}}]}]`, protection.ErrScopes},
		{"no slash", `[{"path":"a","conditions":[{"httpMethods":["GET"],"scopes":["a"]}]}]`, protection.ErrPath},
		{"no path", `[{"conditions":[{"httpMethods":["GET"],"scopes":["a"]}]}]`, protection.ErrPath},
		{"a query", `[{"path":"/a?b=c","conditions":[{"httpMethods":["GET"],"scopes":["a"]}]}]`, protection.ErrPath},
		{"dots", `[{"path":"/a/../b","conditions":[{"httpMethods":["GET"],"scopes":["a"]}]}]`, protection.ErrPath},
		{"a method that is none", `[{"path":"/a","conditions":[{"httpMethods":["G T"],"scopes":["a"]}]}]`, protection.ErrMethod},
		{"CONNECT", `[{"path":"/a","conditions":[{"httpMethods":["connect"],"scopes":["a"]}]}]`, protection.ErrMethod},
		{"no scopes", `[{"path":"/a","conditions":[{"httpMethods":["GET"]}]}]`, protection.ErrScopes},
		{"a scope with a space", `[{"path":"/a","conditions":[{"httpMethods":["GET"],"scopes":["a b"]}]}]`, protection.ErrScopes},
		{"a ticket scope with a space", `[{"path":"/a","conditions":[{"httpMethods":["GET"],"scopes":["a"],"ticketScopes":["a b"]}]}]`, protection.ErrScopes},
		{"what only oxd's exact form has", `[{"path":"/users/??","conditions":[{"httpMethods":["GET"],"scopes":["a"]}]},{"path":"/a b/ü|x","conditions":[{"httpMethods":["GET"],"scopes":["a"]}]}]`, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			require.ErrorIs(t, parse(t, tt.document).Validate(), tt.want)
		})
	}
}

func TestSite(t *testing.T) {
	t.Parallel()
	s := parse(t, published).Site("oxd-1", site.New().AuthorizationServer)
	s.Hosts = []string{"photos.test"}
	require.Equal(t, []site.Resource{
		{
			Name: "[GET] /photo", Scopes: []string{"http://photoz.example.com/dev/actions/view"},
			Conditions:  []site.Condition{{Condition: config.Condition{Paths: []string{"/photo"}, Methods: []string{"GET"}, Scopes: []string{"http://photoz.example.com/dev/actions/view"}}}},
			LiteralName: true,
		},
		{
			Name: "[PUT, POST] /photo", Scopes: []string{"http://photoz.example.com/dev/actions/all", "http://photoz.example.com/dev/actions/add"},
			Conditions: []site.Condition{{
				Condition: config.Condition{
					Paths: []string{"/photo"}, Methods: []string{"PUT", "POST"},
					Scopes: []string{"http://photoz.example.com/dev/actions/all", "http://photoz.example.com/dev/actions/add"},
				},
				TicketScopes: []string{"http://photoz.example.com/dev/actions/add"},
			}},
			LiteralName: true,
		},
		{
			Name: "[GET] /document", Scopes: []string{"http://photoz.example.com/dev/actions/view"},
			Conditions:  []site.Condition{{Condition: config.Condition{Paths: []string{"/document"}, Methods: []string{"GET"}, Scopes: []string{"http://photoz.example.com/dev/actions/view"}}}},
			LiteralName: true,
		},
	}, s.Resources)
	require.NoError(t, site.Judge(&s))

	// With scopes beside an expression, both are needed.
	s = parse(t, `[{"path":"/a/{id}","conditions":[{"httpMethods":["get"],"scopes":["b","c"],"scope_expression":{"rule":{"!":{"var":0}},"data":["a","b"]}}]}]`).
		Site("oxd-1", site.New().AuthorizationServer)
	s.Hosts = []string{"*"}
	require.Equal(t, "[get] /a/{id}", s.Resources[0].Name)
	require.Equal(t, []string{"/a/{id}", "/a/%7Bid%7D"}, s.Resources[0].Conditions[0].Paths)
	require.JSONEq(t, `{"and":[{"!":{"var":0}},{"or":[{"var":1},{"var":2}]}]}`, string(s.Resources[0].Conditions[0].ScopeExpression.Rule))
	require.Equal(t, []string{"a", "b", "c"}, s.Resources[0].Conditions[0].ScopeExpression.Data)
	require.Equal(t, []string{"a", "b"}, s.Resources[0].Conditions[0].TicketScopes)
	require.Equal(t, []string{"b", "c", "a"}, s.Resources[0].Scopes)
	require.NoError(t, site.Judge(&s))
}

func TestSiteName(t *testing.T) {
	t.Parallel()
	require.Equal(t, "oxd-6f9619ff-8b86-d011-b42d-00cf4fc964ff", protection.SiteName("6f9619ff-8b86-d011-b42d-00cf4fc964ff"))
	for _, other := range []string{"6F9619FF-8B86-D011-B42D-00CF4FC964FF", "a/b", "", "ü", "0123456789012345678901234567890123456789012345678901234567890123456789"} {
		s := protection.Document{}.Site(protection.SiteName(other), site.New().AuthorizationServer)
		s.Hosts = []string{"*"}
		require.NoError(t, site.Judge(&s), other)
		require.NotEqual(t, "oxd-6f9619ff-8b86-d011-b42d-00cf4fc964ff", s.Name, "names of two are two")
	}
}

func TestTarget(t *testing.T) {
	t.Parallel()
	d := parse(t, `[{"path":"/Photo"},{"path":"/users/??"},{"path":"/a/{id}"},{"path":"/b/**"},{"path":"/a b"},{"path":"/c%20d"}]`)
	for given, want := range map[string]string{
		"/photo":     "/Photo",
		"/users/??":  "/users/%2A%2A",
		"/A/{ID}":    "/a/%7Bid%7D",
		"/b/**":      "/b/%2A%2A",
		"/a b":       "/a%20b",
		"/c%20d":     "/c%20d",
		"/other/ü x": "/other/%C3%BC%20x",
		"/x?y=z":     "/x?y=z",
		"/x/%2e%2e":  "/x/%2e%2e",
	} {
		require.Equal(t, want, d.Target(given), given)
	}
}

func FuzzDocument(f *testing.F) {
	f.Add(published)
	f.Add(`[{"path":"/a/{id}","conditions":[{"httpMethods":["get"],"scopes":["b"],"scope_expression":{"rule":{"!":{"var":0}},"data":["a"]}}]}]`)
	f.Add(`[{"path":"/users/??","conditions":[{"httpMethods":["GET"],"scopes":["a"]}]}]`)
	f.Add(`[{"path":"/%2F/..;/\u0000","conditions":[{"httpMethods":["GET"],"scopes":["a"]}]}]`)
	f.Fuzz(func(t *testing.T, text string) {
		d, err := protection.Parse(json.RawMessage(text))
		if err != nil || d.Validate() != nil {
			return
		}
		// What is taken can be stored, read again, and enforced.
		stored, err := d.Encode()
		require.NoError(t, err)
		again, err := protection.Parse(stored)
		require.NoError(t, err)
		require.NoError(t, again.Validate())
		s := again.Site("oxd-1", site.New().AuthorizationServer)
		s.Hosts = []string{"*"}
		require.NoError(t, site.Judge(&s))
	})
}
