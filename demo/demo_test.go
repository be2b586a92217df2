package demo

import (
	"bytes"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/demo/devas"
	"github.com/umagate/umagate/envoy/envoytest"
)

const module = "../build/umagate.wasm"

// once are the options of a demo that tells the story and ends.
func once(where Gateway, out io.Writer) Options {
	return Options{Module: module, Gateway: where, Once: true, Cache: "../build/wazero", Stdout: out, Stderr: io.Discard}
}

// TestOnce tells the whole story. Each exchange is checked in it.
func TestOnce(t *testing.T) {
	for _, tt := range []struct {
		gateway Gateway
		real    bool
		about   string
	}{
		{Wazero, false, "wasm on wazero"},
		{Envoy, true, "in front of it: Envoy 1."},
	} {
		t.Run(string(tt.gateway), func(t *testing.T) {
			require.FileExists(t, module, "run `make wasm` first")
			if tt.real {
				binary := envoytest.Binary(t)
				t.Setenv("ENVOY_BIN", binary.Path)
			}
			var out bytes.Buffer
			require.NoError(t, Run(t.Context(), once(tt.gateway, &out)), out.String())
			require.Contains(t, out.String(), "all as told")
			require.Contains(t, out.String(), tt.about)
			for _, header := range []string{`UMA realm="photos"`, "x-uma-subject: bob", "request_submitted", "insufficient_scope", "ambiguous_path", "Warning: 199"} {
				require.Contains(t, out.String(), header)
			}
			for line := range strings.Lines(out.String()) {
				require.LessOrEqual(t, utf8.RuneCountInString(strings.TrimSuffix(line, "\n")), 100, line)
				require.NotContains(t, line, "\x1b", "no colour without a terminal")
			}
		})
	}
}

// TestAgents tells the story of the agent.
func TestAgents(t *testing.T) {
	for where, about := range map[Gateway]string{Wazero: "wasm on wazero", Envoy: "in front of it: Envoy 1."} {
		t.Run(string(where), func(t *testing.T) {
			require.FileExists(t, module, "run `make wasm` first")
			if where == Envoy {
				t.Setenv("ENVOY_BIN", envoytest.Binary(t).Path)
			}
			var out bytes.Buffer
			o := once(where, &out)
			o.MCP = true
			require.NoError(t, Run(t.Context(), o), out.String())
			for _, text := range []string{
				about, "all as told", "resource_metadata=\"http://127.0.0.1:", "bob → AS", "may bob view alice's albums?", "tools/call " + deleteAlbum,
				"the agent is told: request_submitted", "What happened",
			} {
				require.Contains(t, out.String(), text)
			}
			for line := range strings.Lines(out.String()) {
				require.LessOrEqual(t, utf8.RuneCountInString(strings.TrimSuffix(line, "\n")), 100, line)
			}
		})
	}
}

// TestAgentsNotAsTold has every tool open to everybody.
func TestAgentsNotAsTold(t *testing.T) {
	require.FileExists(t, module, "run `make wasm` first")
	var out bytes.Buffer
	o := once(Wazero, &out)
	o.MCP = true
	p := newPrinter(&out)
	w, err := startWorld(t.Context(), o, p)
	require.NoError(t, err)
	defer func() { require.NoError(t, w.stop()) }()
	_, err = w.as.Permit(devas.Policy{Resource: "*", Subjects: []string{"*"}})
	require.NoError(t, err)
	require.ErrorIs(t, w.play.tell(t.Context(), w, p), ErrNotAsTold)
	require.Contains(t, out.String(), "✗ not as told: get_album: the MCP server was called")

	out.Reset()
	p.stay(w, "bin/umagate")
	for _, text := range []string{w.url(), "oauth-protected-resource/mcp", "/admin/requests/ID/approve", "--mcp-tool delete_album"} {
		require.Contains(t, out.String(), text)
	}
}

// TestBusy: who else listens there is told of.
func TestBusy(t *testing.T) {
	t.Parallel()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, l.Close()) }()
	_, err = startAPI(t.Context(), l.Addr().String(), nil)
	require.ErrorContains(t, err, "the API: listen tcp "+l.Addr().String()+": bind: address already in use")
}

// TestNotAsTold breaks the story, so that it is known to notice.
func TestNotAsTold(t *testing.T) {
	require.FileExists(t, module, "run `make wasm` first")
	var out bytes.Buffer
	p := newPrinter(&out)
	w, err := startWorld(t.Context(), once(Wazero, &out), p)
	require.NoError(t, err)
	defer func() { require.NoError(t, w.stop()) }()
	// Everybody may do everything: nobody has to ask alice.
	_, err = w.as.Permit(devas.Policy{Resource: "*", Subjects: []string{"*"}})
	require.NoError(t, err)
	require.ErrorIs(t, tell(t.Context(), w, p), ErrNotAsTold)
	require.Contains(t, out.String(), "✗ not as told")
	require.Contains(t, out.String(), "POST /token: 200 instead of 403")

	out.Reset()
	p.stay(w, "bin/umagate")
	for _, command := range []string{"curl -i http://" + w.gateway.address(), "bin/umagate rpt --client app --user bob", w.file, "$ENVOY_BIN"} {
		require.Contains(t, out.String(), command)
	}
}

func TestStopRemovesEverything(t *testing.T) {
	require.FileExists(t, module, "run `make wasm` first")
	w, err := startWorld(t.Context(), once(Wazero, io.Discard), newPrinter(io.Discard))
	require.NoError(t, err)
	status, err := w.status(t.Context())
	require.NoError(t, err)
	require.True(t, status.OK, status.Conditions)
	require.NoError(t, w.stop())
	_, err = os.Stat(w.folder)
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = w.status(t.Context())
	require.Error(t, err)
}

func TestNoModule(t *testing.T) {
	t.Parallel()
	o := once(Wazero, io.Discard)
	o.Module = filepath.Join(t.TempDir(), "umagate.wasm")
	require.ErrorContains(t, Run(t.Context(), o), o.Module)
}

func TestShorten(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, in, out string }{
		{"a token", "Bearer BRE9O3y2aaaaaaaaaaaaaaaaaaaaaaaa", "Bearer BRE9O3y2…"},
		{"a JWT", "Bearer eyJhbGciOiJSUzI1NiIsImtpZCI6.eyJpc3M.c2ln", "Bearer eyJhbGci…"},
		{"a code", "insufficient_permission", "insufficient_permission"},
		{"a short word", "alice", "alice"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tt.out, shorten(tt.in))
		})
	}
}

func TestColour(t *testing.T) {
	t.Parallel()
	require.Equal(t, "\x1b[32mx\x1b[0m", (&printer{colour: true}).in(green, "x"))
	require.Equal(t, "x", (&printer{}).in(green, "x"))
	file, err := os.Create(t.TempDir() + "/out")
	require.NoError(t, err)
	require.False(t, newPrinter(file).colour, "a file is no terminal")
	require.NoError(t, file.Close())
}

func TestWaitGivesUp(t *testing.T) {
	t.Parallel()
	w := &world{plane: "127.0.0.1:1", ended: make(chan struct{}), cause: io.ErrUnexpectedEOF}
	close(w.ended)
	began := time.Now()
	require.ErrorIs(t, w.waitUntilServing(t.Context()), io.ErrUnexpectedEOF)
	require.Less(t, time.Since(began), startTimeout)
}
