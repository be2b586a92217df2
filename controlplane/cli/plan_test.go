package cli_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/cli"
	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/controlplane/store"
	"github.com/umagate/umagate/demo/devas"
)

// syncBench is an AS and a folder with umagate.yaml.
type syncBench struct {
	t      *testing.T
	as     *devas.Server
	issuer string
	dir    string
}

// newSyncBench starts the development AS; a client "rs" is known there.
func newSyncBench(t *testing.T, dialect devas.Dialect) *syncBench {
	t.Helper()
	as, err := devas.New(devas.Options{
		Dialect: dialect,
		Clients: []devas.Client{{
			ID: "rs", Secret: "rs-secret", Metadata: devas.Metadata{
				GrantTypes: []string{"client_credentials", "urn:ietf:params:oauth:grant-type:uma-ticket"}, Scope: "uma_protection",
			},
		}},
	})
	require.NoError(t, err)
	front := httptest.NewServer(as)
	t.Cleanup(front.Close)
	b := &syncBench{t: t, as: as, issuer: front.URL + dialect.Prefix, dir: t.TempDir()}
	as.SetIssuer(b.issuer)
	return b
}

func (b *syncBench) path() string { return filepath.Join(b.dir, "umagate.yaml") }

// declare writes umagate.yaml with these resources, each "name: scopes [more keys]".
func (b *syncBench) declare(client string, resources ...string) {
	b.t.Helper()
	if client == "" {
		client = "{id: rs, secret: rs-secret}"
	}
	var text strings.Builder
	fmt.Fprintf(&text, "sites:\n- name: photos\n  hosts: [photos.example.com]\n  authorization_server: {issuer: %q, client: %s}\n  resources:\n", b.issuer, client)
	fmt.Fprintln(&text, "  - {name: health, conditions: [{paths: [/healthz], public: true}]}")
	for i, r := range resources {
		name, rest, _ := strings.Cut(r, ":")
		scopes, more, _ := strings.Cut(rest, "|")
		if more != "" {
			more = ", " + more
		}
		fmt.Fprintf(&text, "  - {name: %s%s, conditions: [{paths: [/r%d], scopes: %s}]}\n", name, more, i, scopes)
	}
	require.NoError(b.t, os.WriteFile(b.path(), []byte(text.String()), 0o600))
}

func (b *syncBench) run(args ...string) (int, string, string) {
	b.t.Helper()
	return run(b.t, nil, append(args[:1:1], append([]string{"-c", b.path()}, args[1:]...)...)...)
}

// summary of "plan --output json".
func (b *syncBench) summary(want int) map[string]int {
	b.t.Helper()
	code, out, stderr := b.run("plan", "-o", "json")
	require.Equal(b.t, want, code, out+stderr)
	var got struct{ Summary map[string]int }
	require.NoError(b.t, json.Unmarshal([]byte(out), &got))
	for k, n := range got.Summary {
		if n == 0 {
			delete(got.Summary, k)
		}
	}
	return got.Summary
}

// resources at the AS by name, with their scopes.
func (b *syncBench) resources() map[string]string {
	out := map[string]string{}
	for _, r := range b.as.Resources() {
		out[r.Name] = strings.Join(r.Scopes, " ")
	}
	return out
}

func (b *syncBench) id(name string) string {
	b.t.Helper()
	for _, r := range b.as.Resources() {
		if r.Name == name {
			return r.ID
		}
	}
	require.FailNow(b.t, "no resource", name)
	return ""
}

// direct calls the AS's resource endpoint as the site's client does.
func (b *syncBench) direct(method, path, body string) {
	b.t.Helper()
	form := strings.NewReader("grant_type=client_credentials&scope=uma_protection")
	req, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, b.issuer+"/token", form)
	require.NoError(b.t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth("rs", "rs-secret")
	resp, err := http.DefaultClient.Do(req)
	require.NoError(b.t, err)
	defer func() { _ = resp.Body.Close() }()
	var token struct {
		Value string `json:"access_token"`
	}
	require.NoError(b.t, json.NewDecoder(resp.Body).Decode(&token))
	req, err = http.NewRequestWithContext(b.t.Context(), method, b.issuer+"/uma/resources"+path, strings.NewReader(body))
	require.NoError(b.t, err)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+token.Value)
	answer, err := http.DefaultClient.Do(req)
	require.NoError(b.t, err)
	defer func() { _ = answer.Body.Close() }()
	require.Less(b.t, answer.StatusCode, 300)
}

func TestPlanAndApply(t *testing.T) {
	t.Parallel()
	b := newSyncBench(t, devas.Dialect{})
	b.declare("", "albums: [view, edit]|type: 'https://example.com/album'", "tags: [view]", "old: [view]")

	// New.
	code, out, stderr := b.run("plan")
	require.Equal(t, cli.ExitChanges, code, stderr)
	require.Contains(t, out, "+ albums\n      type      https://example.com/album\n      scopes    [edit view]\n")
	require.Contains(t, out, "Plan: 3 to create, 0 unchanged.")
	require.NotContains(t, out, "\x1b", "no terminal, no colour")
	require.Empty(t, b.resources(), "a plan changes nothing at the AS")
	entries, err := os.ReadDir(b.dir)
	require.NoError(t, err)
	require.Len(t, entries, 1, "a plan makes no store")

	// Nobody to ask.
	code, _, stderr = b.run("apply")
	require.Equal(t, cli.ExitFailed, code)
	require.Contains(t, stderr, "--yes")
	require.Empty(t, b.resources())

	code, out, stderr = b.run("apply", "--yes")
	require.Equal(t, cli.ExitOK, code, out+stderr)
	require.Contains(t, out, "Site photos: 3 done.")
	require.Equal(t, map[string]string{"albums": "edit view", "tags": "view", "old": "view"}, b.resources())
	code, out, _ = b.run("plan")
	require.Equal(t, cli.ExitOK, code, out)
	require.Contains(t, out, "nothing to change, 3 resources in step.")

	// Changed in the file, changed at the AS, no longer declared, new.
	b.declare("", "albums: [view]|type: 'https://example.com/album'", "tags: [view]", "new: [view]")
	b.direct(http.MethodPut, "/"+b.id("tags"), `{"name":"tags","resource_scopes":["view","forged"]}`)
	before := b.database()
	code, out, stderr = b.run("plan")
	require.Equal(t, cli.ExitChanges, code, stderr)
	require.Contains(t, out, "~ albums")
	require.Contains(t, out, "scopes    [edit view] → [view]\n")
	require.Contains(t, out, `warning: policies at the AS that name ["edit"] lose it`)
	require.Contains(t, out, "↺ tags  (changed at the authorization server, put back)")
	require.Contains(t, out, "scopes    [forged view] → [view]\n")
	require.Contains(t, out, "- old")
	require.Contains(t, out, "+ new")
	require.Contains(t, out, "Plan: 1 to create, 1 to update, 1 to repair, 1 to delete, 0 unchanged.")
	require.Equal(t, before, b.database(), "a plan changes nothing in the store")
	require.Equal(t, "view forged", b.resources()["tags"])

	code, out, stderr = b.run("apply", "--yes", "-o", "json")
	require.Equal(t, cli.ExitOK, code, out+stderr)
	var got struct {
		Applied []struct {
			Site         string
			Done, Failed int
		}
	}
	require.NoError(t, json.Unmarshal([]byte(out), &got))
	require.Equal(t, 4, got.Applied[0].Done)
	require.Equal(t, map[string]string{"albums": "view", "tags": "view", "new": "view"}, b.resources())
	require.Equal(t, map[string]int{"unchanged": 3}, b.summary(cli.ExitOK))
}

// database is what the store holds, as it was when it was last written.
func (b *syncBench) database() string {
	b.t.Helper()
	s, err := store.ReadSQLite(b.t.Context(), filepath.Join(b.dir, "umagate.db"), secret.Text{})
	require.NoError(b.t, err)
	defer func() { require.NoError(b.t, s.Close()) }()
	var all strings.Builder
	keys, err := s.Keys(b.t.Context())
	require.NoError(b.t, err)
	for _, k := range keys {
		records, err := s.Resources(b.t.Context(), k)
		require.NoError(b.t, err)
		pat, err := s.PAT(b.t.Context(), k)
		require.NoError(b.t, err)
		discovered, err := s.Discovery(b.t.Context(), k)
		require.NoError(b.t, err)
		fmt.Fprintf(&all, "%v %s %v %v\n", k, records, pat.ExpiresAt, discovered.FoundAt)
	}
	return all.String()
}

func TestConflictsAndAdoption(t *testing.T) {
	t.Parallel()
	b := newSyncBench(t, devas.Dialect{})
	b.declare("", "albums: [view]")
	b.direct(http.MethodPost, "", `{"name":"albums","resource_scopes":["view","edit"]}`)
	b.direct(http.MethodPost, "", `{"name":"foreign","resource_scopes":["view"]}`)
	taken := b.id("albums")

	code, out, stderr := b.run("plan")
	require.Equal(t, cli.ExitFailed, code, stderr)
	require.Contains(t, out, "! albums  (conflict)")
	require.Contains(t, out, "--adopt NAME")
	require.NotContains(t, out, "foreign")
	code, _, _ = b.run("apply", "--yes")
	require.Equal(t, cli.ExitFailed, code)
	require.Equal(t, "view edit", b.resources()["albums"], "what is of others is not touched")

	code, _, stderr = b.run("plan", "--adopt", "nope")
	require.Equal(t, cli.ExitFailed, code)
	require.Contains(t, stderr, "--adopt nope")
	code, out, _ = b.run("plan", "--adopt", "albums")
	require.Equal(t, cli.ExitChanges, code)
	require.Contains(t, out, "← albums  (adopted by name)  id "+taken+"\n      scopes    [edit view] → [view]\n")
	code, out, stderr = b.run("apply", "--yes", "--adopt", "albums")
	require.Equal(t, cli.ExitOK, code, out+stderr)
	require.Equal(t, map[string]string{"albums": "view", "foreign": "view"}, b.resources())
	require.Equal(t, taken, b.id("albums"))
	require.Equal(t, map[string]int{"unchanged": 1}, b.summary(cli.ExitOK), "adopted for good")

	// In the file, it needs no flag.
	b.declare("", "albums: [view]", "foreign: [view]|adopt: true")
	require.Equal(t, map[string]int{"unchanged": 1, "adopt": 1}, b.summary(cli.ExitChanges))

	// The id is gone.
	b.direct(http.MethodDelete, "/"+taken, "")
	code, out, _ = b.run("plan")
	require.Equal(t, cli.ExitChanges, code)
	require.Contains(t, out, "+ albums  (lost by the authorization server, registered anew)")
	require.Contains(t, out, "write them anew for the new id")

	// Two of a name.
	b.direct(http.MethodPost, "", `{"name":"albums","resource_scopes":["view"]}`)
	b.direct(http.MethodPost, "", `{"name":"albums","resource_scopes":["view"]}`)
	code, out, _ = b.run("plan", "--adopt", "albums")
	require.Equal(t, cli.ExitFailed, code)
	require.Contains(t, out, "several resources of that name")

	// A site that is taken out of the file keeps its resources.
	code, _, stderr = b.run("apply", "--yes")
	require.Equal(t, cli.ExitFailed, code, stderr)
	text, err := os.ReadFile(b.path())
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(b.path(), []byte(strings.Replace(string(text), "name: photos", "name: renamed", 1)), 0o600))
	_, out, _ = b.run("plan", "--adopt", "foreign")
	require.Contains(t, out, "Site photos at "+b.issuer+" is not in the file any more")
}

// TestApplyRegisters: where there is no client yet, apply registers one, and a
// plan says so and asks nothing more of the AS.
func TestApplyRegisters(t *testing.T) {
	t.Parallel()
	b := newSyncBench(t, devas.Dialect{})
	b.declare("{register: {}}", "albums: [view]")
	code, out, stderr := b.run("plan")
	require.Equal(t, cli.ExitChanges, code, stderr)
	require.Contains(t, out, "+ client umagate photos is registered\n  + albums")
	require.Contains(t, out, "Plan: 1 to register as client, 1 to create, 0 unchanged.")
	require.Empty(t, b.as.Calls(devas.EndpointRegistration))
	code, out, stderr = b.run("apply", "-y")
	require.Equal(t, cli.ExitOK, code, out+stderr)
	require.Len(t, b.as.Calls(devas.EndpointRegistration), 1)
	require.Equal(t, map[string]int{"unchanged": 1}, b.summary(cli.ExitOK))
}

// TestApplyThousands: 2,000 resources at an AS that pages and limits the rate; the
// run is cut short, and the next ones finish it.
func TestApplyThousands(t *testing.T) {
	t.Parallel()
	const many = 2000
	b := newSyncBench(t, devas.Keycloak())
	var resources []string
	for i := range many {
		resources = append(resources, fmt.Sprintf("album-%04d: [view, edit]", i))
	}
	b.declare("", resources...)
	require.NoError(t, b.as.SetFault(devas.Fault{Endpoint: devas.EndpointResources, Kind: devas.FaultRateLimit, Skip: 100, Count: 2, RetryAfter: time.Second}))
	require.NoError(t, b.as.SetFault(devas.Fault{Endpoint: devas.EndpointResources, Kind: devas.FaultDown, Skip: 900}))

	// The AS goes away in the middle.
	start := time.Now()
	code, out, stderr := b.run("apply", "--yes", "--concurrency", "8")
	require.Equal(t, cli.ExitFailed, code, stderr)
	_, out, _ = strings.Cut(out, "Plan: ") // thousands of lines before it
	require.Contains(t, out, "not tried: interrupted; what was done is recorded")
	made := len(b.as.Resources())
	require.Greater(t, made, 100)
	require.Less(t, made, many)
	t.Logf("%d registered until the AS went away, %s", made, time.Since(start))

	b.as.ClearFaults(devas.EndpointAny)
	start = time.Now()
	code, out, stderr = b.run("apply", "--yes", "--concurrency", "8")
	require.Equal(t, cli.ExitOK, code, stderr)
	_, out, _ = strings.Cut(out, "Plan: ")
	require.Contains(t, out, " done.")
	t.Logf("the rest in %s", time.Since(start))
	require.Len(t, b.resources(), many, "each once")
	require.Len(t, b.as.Resources(), many, "each once")
	start = time.Now()
	require.Equal(t, map[string]int{"unchanged": many}, b.summary(cli.ExitOK))
	t.Logf("plan in %s", time.Since(start))
}

// TestApplyAsksForTheNumber: many deletions are not done by a habit of typing y,
// nor by a pipeline that was not told.
func TestApplyAsksForTheNumber(t *testing.T) {
	t.Parallel()
	prepared := func(t *testing.T) *syncBench {
		t.Helper()
		b := newSyncBench(t, devas.Dialect{})
		b.declare("", "a: [view]", "b: [view]", "c: [view]", "d: [view]", "e: [view]")
		code, out, stderr := b.run("apply", "--yes")
		require.Equal(t, cli.ExitOK, code, out+stderr)
		b.declare("", "a: [view]")
		return b
	}
	tests := []struct {
		name  string
		args  []string
		typed string // on a terminal, when not empty
		code  int
		told  string
		left  int
	}{
		{"a pipeline", []string{"--yes"}, "", cli.ExitFailed, "site photos: 4 resources would be deleted, and 3 may be (sync.max_deletions)", 5},
		{"a pipeline that was told too little", []string{"--yes", "--deletions", "2"}, "", cli.ExitFailed, "add --deletions 4", 5},
		{"a pipeline that was told", []string{"--yes", "--deletions", "4"}, "", cli.ExitOK, "", 1},
		{"a habit", nil, "y\n", cli.ExitFailed, "Type 4 to do it", 5},
		{"another number", nil, "5\n", cli.ExitFailed, "not confirmed", 5},
		{"the number", nil, "4\n", cli.ExitOK, "This deletes 4 resources, and with them the policies on them.", 1},
		{"given on the command line", []string{"--deletions", "4"}, "y\n", cli.ExitOK, "Do this? [y/N]", 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := prepared(t)
			args := append([]string{"apply", "-c", b.path()}, tt.args...)
			var code int
			var shown string
			if tt.typed == "" {
				var out, stderr string
				code, out, stderr = run(t, nil, args...)
				shown = out + stderr
			} else {
				code, shown = runOnTerminal(t, tt.typed, args...)
			}
			require.Equal(t, tt.code, code, shown)
			require.Contains(t, shown, tt.told)
			require.Len(t, b.as.Resources(), tt.left)
		})
	}
}

// TestProgress: on a terminal a bar shows how far plan and apply are, and there is
// none in a pipe.
func TestProgress(t *testing.T) {
	t.Parallel()
	b := newSyncBench(t, devas.Dialect{})
	var resources []string
	for i := range 30 {
		resources = append(resources, fmt.Sprintf("r%02d: [view]", i))
	}
	b.declare("", resources...)
	_, out, stderr := b.run("plan")
	require.NotContains(t, out+stderr, "30/30")
	code, shown := runOnTerminal(t, "", "plan", "-c", b.path())
	require.Equal(t, cli.ExitChanges, code, shown)
	require.Contains(t, shown, "\rphotos: comparing [==============================] 30/30")
	code, shown = runOnTerminal(t, "y\n", "apply", "-c", b.path())
	require.Equal(t, cli.ExitOK, code, shown)
	require.Contains(t, shown, "\rphotos [==============================] 30/30")
	_, out, stderr = b.run("apply", "--yes")
	require.NotContains(t, out+stderr, "30/30")
}

// TestApplyToASiteThatNeedsNoPATAnyMore: what a site registered is planned for deletion
// once it asks for OAuth scopes, and apply carries that out.
func TestApplyToASiteThatNeedsNoPATAnyMore(t *testing.T) {
	t.Parallel()
	b := newSyncBench(t, devas.Dialect{})
	b.declare("", "a: [view]", "b: [view]")
	code, out, stderr := b.run("apply", "--yes")
	require.Equal(t, cli.ExitOK, code, out+stderr)
	require.Len(t, b.as.Resources(), 2)
	text, err := os.ReadFile(b.path())
	require.NoError(t, err)
	scoped := strings.Replace(string(text), "  resources:\n", "  require: oauth_scopes\n  token: {audiences: [photos]}\n  resources:\n", 1)
	require.NoError(t, os.WriteFile(b.path(), []byte(scoped), 0o600))
	require.Equal(t, map[string]int{"delete": 2}, b.summary(cli.ExitChanges))
	code, out, stderr = b.run("apply", "--yes")
	require.Equal(t, cli.ExitOK, code, out+stderr)
	require.Empty(t, b.as.Resources())
	require.Empty(t, b.summary(cli.ExitOK))
}
