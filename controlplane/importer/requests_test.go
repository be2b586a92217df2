package importer_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/importer"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/plugin/decision"
)

// imported is what an import protects, with the filter's own core in front.
type imported struct {
	file   *site.File
	policy *decision.Policy
	host   string
}

// serve judges requests by what a finished draft prints.
func serve(t testing.TB, d *importer.Draft) *imported {
	t.Helper()
	var out bytes.Buffer
	_, err := d.WriteTo(&out)
	require.NoError(t, err)
	f, err := site.Parse("imported.yaml", out.Bytes(), site.Environment{SkipSecrets: true})
	require.NoError(t, err, out.String())
	ids := map[string]string{}
	for _, r := range f.Sites[0].Resources {
		ids[r.Name] = "id of " + r.Name
	}
	compiled, err := site.Compile(f, map[string]site.Facts{f.Sites[0].Name: {
		Introspection: "https://as.example.com/introspect", Permission: "https://as.example.com/permission", ResourceIDs: ids,
		Token: "https://as.example.com/token", EvaluatesTokens: true, Audience: "api",
	}})
	require.NoError(t, err)
	policy, err := decision.Compile(&compiled)
	require.NoError(t, err)
	return &imported{file: f, policy: policy, host: f.Sites[0].Hosts[0]}
}

// decide says what becomes of a request with a token that has the scopes for every
// resource, and with none when there are no scopes: "public", "allowed", "denied".
func (i *imported) decide(t testing.TB, request, scopes string) string {
	t.Helper()
	method, path, _ := strings.Cut(request, " ")
	headers := []decision.Header{{Name: ":authority", Value: i.host}, {Name: ":path", Value: path}, {Name: ":method", Value: method}, {Name: ":scheme", Value: "https"}}
	type permission struct {
		ID     string   `json:"resource_id"`
		Scopes []string `json:"resource_scopes"`
	}
	var permissions []permission
	if scopes != "" {
		headers = append(headers, decision.Header{Name: "authorization", Value: "Bearer t"})
		for _, r := range i.file.Sites[0].Resources {
			permissions = append(permissions, permission{"id of " + r.Name, strings.Fields(scopes)})
		}
	}
	introspected, err := json.Marshal(map[string]any{"active": true, "sub": "bob", "client_id": "app", "permissions": permissions})
	require.NoError(t, err)
	worker, now := decision.NewWorker(), time.Unix(1_800_000_000, 0)
	x, step := worker.Evaluator(i.policy).Start(&decision.Request{Headers: headers}, now)
	for range 3 {
		switch step.Kind {
		case decision.KindAllow:
			if x.Decision().Reason == decision.ReasonPermitted {
				return "allowed"
			}
			return x.Decision().Reason.String()
		case decision.KindDeny:
			return "denied"
		case decision.KindRead, decision.KindFetch:
			require.Fail(t, "no import makes conditions on messages")
		case decision.KindCall:
		}
		response := decision.Response{Status: 201, Body: []byte(`{"ticket":"t1"}`)}
		if step.Call.Purpose == decision.PurposeIntrospect {
			response = decision.Response{Status: 200, Body: introspected}
		}
		outcomes := worker.Reply(step.Call.ID, response, now)
		require.Len(t, outcomes, 1)
		step = outcomes[0].Step
	}
	require.Fail(t, "the exchange does not end")
	return ""
}

// ask is a request with the scopes of its token, and what becomes of it.
type ask struct{ request, scopes, want string }

func asks(rows ...string) []ask {
	var out []ask
	for _, row := range rows {
		f := strings.Split(row, "|")
		out = append(out, ask{strings.TrimSpace(f[0]), strings.TrimSpace(f[1]), strings.TrimSpace(f[2])})
	}
	return out
}

// TestRequests: what is imported lets pass what the source does, and nothing more.
// The table names the request, the scopes of the token, and what is decided.
func TestRequests(t *testing.T) {
	t.Parallel()
	tests := []struct {
		source string
		asks   []ask
	}{
		{"openapi-verb.yaml", asks(
			"GET /files/1 | | public",
			"GET /files/1:export | | denied",
			"GET /files/1:export | read | denied",
			"GET /files/1:export | admin | allowed",
		)},
		{"openapi-queries.yaml", asks(
			"POST /a | read | allowed",
			"POST /a | | denied",
			"DELETE /a | read | allowed",
			"DELETE /a | | denied",
		)},
		{"openapi-shape-method.yaml", asks(
			"GET /m/1 | read | allowed",
			"GET /m/1 | admin | denied",
			"PUT /m/1 | admin | allowed",
			"PUT /m/1 | read | denied",
			"DELETE /m/1 | admin | allowed",
			"DELETE /m/1 | read | denied",
		)},
		{"openapi-shape-scopes.yaml", asks(
			"GET /m/1 | read | denied",
			"GET /m/1 | admin | denied",
			"GET /m/1 | read admin | allowed",
		)},
		{"openapi-fragments.yaml", asks(
			"POST / | | denied",
			"POST / | read | allowed",
		)},
		{"openapi-missing-reference.yaml", asks("GET /a | read | allowed", "GET /a | | denied")},
		{"openapi-bad-schema.yaml", asks("GET /a | read | allowed", "GET /a | | denied")},
		{"openapi-bad-tag.yaml", asks("GET /a | read | allowed", "GET /a | | denied")},
		{"openapi-mark.json", asks("GET /a | read | allowed", "GET /a | | denied")},
		{"openapi-servers.yaml", asks(
			"GET /v2/a | read | allowed",
			"GET /v3/a | read | allowed",
			"GET /v4/a | read | allowed",
			"GET /v5/a | read | allowed",
			"GET /a | read | allowed",
			"GET /v1/a | read | denied",
			"GET /x//y/a | read | denied",
			"GET /v2/a | | denied",
		)},
		{"openapi-swagger.yaml", asks(
			"GET /v1/pets | read | allowed",
			"GET /v1/pets | write | denied",
			"POST /v1/pets | write | allowed",
			"GET /v1/status | | public",
			"GET /pets | read | denied",
		)},
		{"openapi-gateways.yaml", asks(
			"GET /aws/a/b | | public",
			"GET /aws | | denied",
			"HEAD /aws/a | | denied", // GET is public, and HEAD is one of any
			"HEAD /aws/a | admin | allowed",
			"POST /aws/a/b | | denied",
			"POST /aws/a/b | admin | allowed",
			"GET /star/a/b | admin | allowed",
			"GET /star/ | admin | allowed",
			"GET /regex/a/b | admin | allowed",
			"GET /regex/a/b/export | read | allowed",
			"GET /regex/a/b/c/d/e/f/export | read | denied",
			"GET /regex/a/b/c/d/e/f/export | read admin | allowed",
			"GET /plus/a/b | admin | allowed",
			"GET /go/a/b | admin | allowed",
			"GET /digits/7 | | denied", // the digits are guarded
			"GET /digits/7 | admin | allowed",
			"GET /v1/projects/p/locations/l | admin | allowed",
			"GET /v1/projects/p | admin | denied",
			"DELETE /v1/projects/p/x | admin | allowed",
			"POST /shelves/1 | read | allowed",
			"POST /shelves/1:merge | read | denied",
			"POST /shelves/1:merge | admin | allowed",
			"GET /entities(1) | admin | allowed",
			"GET /entities(1) | | denied",
			"GET /compare/main | | public",
			"GET /compare/main...dev | | denied",
			"GET /compare/main...dev | admin | allowed",
			"GET /reports/1 | | public",
			"GET /reports/1.json | | denied",
			"GET /reports/1.json | admin | allowed",
			"GET /pets/1 | | public",
			"GET /pets/special | | denied", // it may be either
			"GET /pets/special | admin | allowed",
			"GET /pets/mine | admin | denied",
			"GET /pets/mine | read | allowed",
			"GET /dogs/special | admin | allowed",
		)},
		{"gluu-expression.json", asks(
			"GET /p/5 | read | denied",
			"GET /p/5 | read admin | allowed",
			"GET /p/a5b | read | denied", // the expression is found in it
		)},
		{"gluu-middle.json", asks(
			"GET /p/a | read | allowed",
			"GET /p/a | admin | denied",
			"GET /p/secret | read | denied",
			"GET /p/secret | admin | allowed",
			"GET /p/a/secret | read | denied",
			"GET /p/a/secret | admin | allowed",
			"GET /p/a/b/c/d/e/f/g/secret | read | denied",
			"GET /p/a/b/c/d/e/f/g/secret | read admin | allowed",
		)},
		{"gluu-no-way-back.json", asks(
			"GET /c/a | last | denied", // the gateway goes on with the other expression
			"GET /c/a | any | denied",
			"GET /c/a | any last | allowed",
		)},
		{"gluu-dead-end.json", asks(
			"GET /a/b | one deep | denied", // the gateway stays with the word
			"PUT /a/b | one | allowed",     // of which PUT has none
			"GET /a/x | one | allowed",
			"GET /a/b/c | deep | allowed",
			"GET /d/word | word | allowed",
			"GET /d/word/x | word below | denied",
			"GET /d/x/x | below | allowed",
			"GET /p/5/x | number | allowed",
			"GET /p/5/y | number one | denied",
			"GET /q/1/z | last | allowed",
			"GET /q/1/y | last below | denied",
			"GET /q/1/z/y | last below | denied",
			"GET /q/ | below | allowed",
		)},
		{"gluu-gateway.json", asks(
			"GET /folder/a/file | folder | allowed",
			"HEAD /folder/a/file | folder | denied", // HEAD is any method there
			"HEAD /folder/a/file | any | allowed",
			"PATCH /elsewhere | any | allowed",
			"GET /elsewhere | any | denied", // GET is named, and not for this
			"GET /users/1/todos | users items | allowed",
			"GET /users/1/todos | users | denied",
			"GET /path/a/b/image.jpg | image | allowed",
		)},
	}
	for _, tt := range tests {
		t.Run(tt.source, func(t *testing.T) {
			t.Parallel()
			draft, err := read(filepath.Join("testdata", tt.source))
			require.NoError(t, err)
			require.NoError(t, draft.Finish())
			served := serve(t, draft)
			for _, a := range tt.asks {
				require.Equal(t, a.want, served.decide(t, a.request, a.scopes), "%s with %q", a.request, a.scopes)
			}
		})
	}
}

// TestDeniedInstead: what umagate refuses to be asked for is denied, and does not take
// what stands beside it along.
func TestDeniedInstead(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, condition, note string }{
		{"a rule that no token can satisfy", `"scope_expression": {"rule": {"and": [{"var": 0}, {"!": [{"var": 0}]}]}, "data": ["x"]}`, "no scopes satisfy its rule"},
		{"a rule that is false", `"scope_expression": {"rule": false, "data": ["x"]}`, "no scopes satisfy its rule"},
		{"a rule that is none", `"scope_expression": {"rule": {"or": []}, "data": ["x"]}`, "wrong number of operands"},
		{"a scope that is none", `"scopes": ["a b"]`, "cannot be written"},
		{"ticket scopes that are none", `"scopes": ["x"], "ticketScopes": ["a b"]`, "cannot be written"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			draft, err := importText(t, "gluu", `{"resources": [
				{"path": "/", "conditions": [{"httpMethods": ["GET"], "scopes": ["x"]}]},
				{"path": "/a", "conditions": [{"httpMethods": ["GET"], `+tt.condition+`}]}]}`, importer.Settings{})
			require.NoError(t, err)
			require.Contains(t, check(t, draft), tt.note)
			served := serve(t, draft)
			require.Equal(t, "denied", served.decide(t, "GET /a", "x"))
			require.Equal(t, "allowed", served.decide(t, "GET /", "x"))
		})
	}
}

// importText imports a document that is not in a file of its own.
func importText(t testing.TB, kind, text string, settings importer.Settings) (*importer.Draft, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), kind+".json")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	var draft *importer.Draft
	var err error
	if kind == "gluu" {
		draft, err = importer.Gluu(path, []byte(text), settings)
	} else {
		draft, err = importer.OpenAPI(path, importer.ByTag, settings)
	}
	if err == nil {
		err = draft.Finish()
	}
	return draft, err
}
