package mcp_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/e2e/mcp"
	"github.com/umagate/umagate/e2e/process/processtest"
)

// script is an agent in another language: a program of testdata.
type script struct {
	w      *world
	in     io.Writer
	out    *bufio.Reader
	errors bytes.Buffer
	listed []string
	pages  []string
}

func connectPython(ctx context.Context, t *testing.T, w *world) agent {
	t.Helper()
	return start(ctx, t, w, w.clients["python"], installed(t).Python, "testdata/client.py")
}

func connectTypeScript(ctx context.Context, t *testing.T, w *world) agent {
	t.Helper()
	return start(ctx, t, w, w.clients["typescript"], installed(t).Node, "testdata/client.mjs")
}

func installed(t *testing.T) mcp.Clients {
	t.Helper()
	return processtest.Require(t, "the clients of MCP", mcp.Find)
}

func start(ctx context.Context, t *testing.T, w *world, id, program, file string) agent {
	t.Helper()
	s := &script{w: w}
	command := exec.CommandContext(context.WithoutCancel(ctx), program, file, w.url)
	command.Env = append(os.Environ(), "CALLBACK="+callback, "CLIENT_ID="+id, "MODULES="+installed(t).Modules)
	command.Stderr = &s.errors
	in, err := command.StdinPipe()
	require.NoError(t, err)
	out, err := command.StdoutPipe()
	require.NoError(t, err)
	s.in, s.out = in, bufio.NewReader(out)
	require.NoError(t, command.Start())
	t.Cleanup(func() { // the end of its input is its end
		require.NoError(t, in.Close()) // no tool more
		_, _ = io.Copy(io.Discard, s.out)
		if err := command.Wait(); err != nil || t.Failed() {
			t.Errorf("%s: %v\n%s", file, err, s.errors.String())
		}
	})
	s.listed = s.read(t).Tools
	return s
}

// line is what a program tells.
type line struct {
	Authorize, Text, Problem string
	Tools                    []string
}

// read returns the next line, and has the person log in where that is asked for before.
func (s *script) read(t *testing.T) line {
	t.Helper()
	for {
		text, err := s.out.ReadBytes('\n')
		require.NoError(t, err, "%s\n%s", text, &s.errors)
		var l line
		require.NoError(t, json.Unmarshal(text, &l), "%s", text)
		if l.Authorize == "" {
			return l
		}
		s.pages = append(s.pages, l.Authorize)
		s.write(t, s.w.logIn(t, l.Authorize))
	}
}

func (s *script) write(t *testing.T, text string) {
	t.Helper()
	_, err := io.WriteString(s.in, text+"\n")
	require.NoError(t, err)
}

func (s *script) call(t *testing.T, tool string) (text, problem string) {
	t.Helper()
	s.write(t, tool)
	l := s.read(t)
	return l.Text, l.Problem
}

func (s *script) list(t *testing.T) []string {
	t.Helper()
	s.write(t, "tools/list")
	l := s.read(t)
	require.Empty(t, l.Problem)
	return l.Tools
}

func (s *script) tools() []string { return s.listed }
func (s *script) asked() []string { return s.pages }
