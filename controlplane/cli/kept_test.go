package cli_test

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/cli"
	"github.com/umagate/umagate/controlplane/kept/kepttest"
	"github.com/umagate/umagate/e2e/process"
)

// TestKept: what plan, check and refresh say of a site whose resources the AS keeps.
func TestKept(t *testing.T) {
	t.Parallel()
	k := &kepttest.Keycloak{}
	as := httptest.NewServer(k)
	t.Cleanup(as.Close)
	k.Issuer = as.URL + "/realms/r"
	path := file(t, `
listen: {api: "`+freeAddress(t)+`", xds: "127.0.0.1:0"}
sites:
- name: photos
  hosts: [photos.example.com]
  authorization_server: {issuer: "`+k.Issuer+`", dialect: keycloak, client: {id: rs, secret: hush}}
  resources_at_as: {max_removals: 1}
  resources:
  - {name: health, conditions: [{paths: [/healthz], public: true}]}
`)
	plan := func(want ...string) {
		t.Helper()
		code, out, stderr := run(t, nil, "plan", "-c", path)
		require.Contains(t, []int{cli.ExitOK, cli.ExitChanges}, code, out+stderr)
		for _, text := range want {
			require.Contains(t, out, text)
		}
	}
	check := func(code int, want, path2 string) {
		t.Helper()
		got, out, stderr := run(t, nil, "check", "-c", path, "--host", "photos.example.com", "--path", path2, "--scopes", "view")
		require.Equal(t, code, got, out+stderr)
		require.Contains(t, out, want)
	}

	plan("no condition", "what no condition names is denied")
	check(cli.ExitDenied, "unmatched_path", "/albums/1")
	k.Set("albums", "/albums/*")
	k.Set("people", "/people/{id}")
	plan("albums  id albums", "/albums/**", "every method: one of the scopes view", "+ albums is new", "+ people is new")
	check(cli.ExitOK, "allow", "/albums/1")
	check(cli.ExitOK, "allow", "/healthz")
	check(cli.ExitDenied, "unmatched_path", "/elsewhere")
	k.Set("others", "/albums/*")
	plan("is a path of", "it is denied")
	check(cli.ExitDenied, "deny", "/albums/1")
	code, out, stderr := run(t, nil, "plan", "-c", path, "-o", "json")
	require.Contains(t, []int{cli.ExitOK, cli.ExitChanges}, code, stderr)
	require.Contains(t, out, `"narrowed": true`)
	code, _, stderr = run(t, nil, "refresh", "photos", "-c", path)
	require.Equal(t, cli.ExitFailed, code)
	require.Contains(t, stderr, "is umagate serve running?")

	k.Remove("albums", "others", "people")
	for _, name := range []string{"a", "b", "c"} {
		k.Set(name, "/"+name)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	log := &process.Log{}
	served := make(chan int, 1)
	go func() {
		served <- cli.Run(ctx, cli.Environment{Stdin: strings.NewReader(""), Stdout: log, Stderr: log}, []string{"serve", "-c", path})
	}()
	t.Cleanup(stop)
	status := func(want string) {
		t.Helper()
		var last string
		require.Eventually(t, func() bool {
			_, last, _ = run(t, nil, "status", "-c", path)
			return strings.Contains(last, want)
		}, time.Minute, 20*time.Millisecond, "%s: %s", want, &last)
	}
	status("3 resources")
	k.Set("d", "/d")
	plan("+ d is new") // serve looks once in a minute
	refresh := func(more ...string) {
		t.Helper()
		code, out, stderr := run(t, nil, append([]string{"refresh", "photos", "-c", path}, more...)...)
		require.Equal(t, cli.ExitOK, code, stderr)
		require.Contains(t, out, "asked for")
	}
	refresh()
	status("4 resources")
	k.Remove("b", "c")
	plan("- b is gone", "- c is gone", "2 resources gone, which is more than resources_at_as.max_removals")
	refresh()
	status("RemovalsWithheld")
	refresh("--accept-removals")
	status("2 resources")
	stop()
	require.Equal(t, cli.ExitOK, <-served, log)
	require.Empty(t, k.Changes(), "nothing is changed at the AS")
}
