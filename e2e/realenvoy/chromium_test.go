package realenvoy_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/e2e/process/processtest"
)

// openPage opens a page in a real Chromium until the end of the test.
func openPage(t *testing.T, url string) {
	t.Helper()
	binary := processtest.Require(t, "Chromium", func() (string, error) { return exec.LookPath("chromium") })
	command := exec.CommandContext(t.Context(), binary, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
		"--no-first-run", "--disable-background-networking", "--proxy-server=direct://", "--remote-debugging-port=0",
		"--user-data-dir="+filepath.Join(t.TempDir(), "profile"), url)
	command.WaitDelay = time.Minute
	require.NoError(t, command.Start())
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait() // it was killed
	})
}

// origin serves a page, and hands over what it reports.
func origin(t *testing.T, page func() string) (url string, reports chan map[string]any) {
	t.Helper()
	reports = make(chan map[string]any, 100)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/report" {
			w.Header().Set("Content-Type", "text/html")
			fmt.Fprint(w, page())
			return
		}
		var report map[string]any
		if json.NewDecoder(r.Body).Decode(&report) == nil {
			reports <- report
		}
	}))
	t.Cleanup(server.Close)
	return server.URL, reports
}

func awaitReport(t *testing.T, reports chan map[string]any) map[string]any {
	t.Helper()
	select {
	case r := <-reports:
		return r
	case <-time.After(patience):
		require.Fail(t, "the page has not reported")
		return nil
	}
}

const fetchingPage = `<!doctype html><script>
const api = %q;
async function ask(path, options) {
	try {
		const r = await fetch(api + path, options);
		return {status: r.status, challenge: r.headers.get("WWW-Authenticate"), code: r.status < 400 ? "" : (await r.json()).code};
	} catch (e) {
		return {error: e.name};
	}
}
const bearer = token => ({headers: {Authorization: "Bearer " + token}});
(async () => {
	const report = {
		none: await ask("/albums/1"),
		bad: await ask("/albums/1", bearer("bad")),
		good: await ask("/albums/1", bearer("good")),
		put: await ask("/albums/1", {method: "PUT", ...bearer("good")}),
		credentials: await ask("/albums/1", {credentials: "include", ...bearer("good")}),
		missing: await ask("/nothing"),
		header: await ask("/albums/1", {headers: {"X-Not-Allowed": "1"}}),
	};
	await fetch("/report", {method: "POST", body: JSON.stringify(report)});
})();
</script>`

// TestPagesOfOtherOrigins: a page of a listed origin reads refusals and answers, and one of
// another origin reads nothing.
func TestPagesOfOtherOrigins(t *testing.T) {
	as := browserAS(t)
	wasm, err := filepath.Abs("../../build/umagate.wasm")
	require.NoError(t, err)
	var base string
	page := func() string { return fmt.Sprintf(fetchingPage, base) }
	ours, reports := origin(t, page)
	others, refusals := origin(t, page)
	process, address := setup{Wasm: wasm, Config: browserSite(t, as, ours), Clusters: cluster("as", as.Listener.Addr().String())}.start(t)
	base = address
	openPage(t, ours)
	const ticket = `UMA realm="photos", as_uri="https://as.example.com", ticket="t1"`
	require.Equal(t, map[string]any{
		"none":        map[string]any{"status": 401., "challenge": ticket, "code": "no_token"},
		"bad":         map[string]any{"status": 401., "challenge": `UMA realm="photos", as_uri="https://as.example.com", error="invalid_token", ticket="t1"`, "code": "inactive_token"},
		"good":        map[string]any{"status": 200., "challenge": nil, "code": ""},
		"put":         map[string]any{"status": 200., "challenge": nil, "code": ""},
		"credentials": map[string]any{"status": 200., "challenge": nil, "code": ""},
		"missing":     map[string]any{"status": 403., "challenge": nil, "code": "unmatched_path"},
		"header":      map[string]any{"error": "TypeError"},
	}, awaitReport(t, reports))
	openPage(t, others)
	for name, result := range awaitReport(t, refusals) {
		require.Equal(t, map[string]any{"error": "TypeError"}, result, name)
	}
	requireNoTrap(t, process)
}
