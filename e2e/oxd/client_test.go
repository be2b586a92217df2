package oxd_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/e2e/oxd"
)

const (
	callback = "http://127.0.0.1:9/cb"
	goodbye  = "http://127.0.0.1:9/bye"
)

// target is where a client is sent.
type target struct {
	// http and socket are addresses; one of them is used.
	http, socket string
	opHost       string
	// uma: the site protects resources, too.
	uma bool
}

// scope and grants are what a site registers with.
func (to target) scope() []string {
	if to.uma {
		return []string{"openid", "profile", "email", "uma_protection"}
	}
	return []string{"openid", "profile", "email"}
}

func (to target) grants() []string {
	if to.uma {
		return []string{"authorization_code", "refresh_token", "client_credentials", "urn:ietf:params:oauth:grant-type:uma-ticket"}
	}
	return []string{"authorization_code", "refresh_token"}
}

// client is one of the published clients.
type client interface {
	// call runs a method. The result is the command's data.
	call(t *testing.T, method string, args map[string]any) map[string]any
	// refused runs one that fails and gives what the client tells its user.
	refused(t *testing.T, method string, args map[string]any) string
	// authenticate makes it send a protection token, got by itself.
	authenticate(t *testing.T)
	// site is its oxd_id, registered by itself.
	site(t *testing.T) string
}

// process is a driver: a line in, a line out.
type process struct {
	stdin  io.WriteCloser
	stdout *bufio.Reader
}

type reply struct {
	Result  json.RawMessage `json:"result"`
	Failure string          `json:"failure"`
	Message string          `json:"message"`
}

func start(t *testing.T, program string, args ...string) *process {
	t.Helper()
	command := exec.CommandContext(t.Context(), program, args...)
	command.Stderr = os.Stderr
	stdin, err := command.StdinPipe()
	require.NoError(t, err)
	stdout, err := command.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, command.Start())
	watch := time.AfterFunc(2*time.Minute, func() { _ = command.Process.Kill() }) // a client that hangs
	t.Cleanup(func() {
		watch.Stop()
		_ = stdin.Close()
		_ = command.Process.Kill()
		_ = command.Wait()
	})
	return &process{stdin: stdin, stdout: bufio.NewReader(stdout)}
}

func (p *process) ask(t *testing.T, method string, args map[string]any) reply {
	t.Helper()
	if args == nil {
		args = map[string]any{}
	}
	line, err := json.Marshal(map[string]any{"method": method, "args": args})
	require.NoError(t, err)
	_, err = fmt.Fprintf(p.stdin, "%s\n", line)
	require.NoError(t, err)
	answer, err := p.stdout.ReadString('\n')
	require.NoError(t, err, "%s: the client is gone, or hangs", method)
	var got reply
	require.NoError(t, json.Unmarshal([]byte(answer), &got))
	return got
}

// python is oxdpython. Its methods give what is in data, or a part of it.
type python struct {
	*process

	protected bool
}

func startPython(t *testing.T, where oxd.Clients, interpreter string, to target) client {
	t.Helper()
	host, port, _ := strings.Cut(to.socket, ":")
	section := fmt.Sprintf("[oxd]\nhost = %s\nport = %s\n", host, port)
	if to.http != "" {
		section = fmt.Sprintf("[oxd]\nhost = %s\nhttps_extension = true\n", to.http)
	}
	config := filepath.Join(t.TempDir(), "oxd.cfg")
	require.NoError(t, os.WriteFile(config, []byte(section+fmt.Sprintf(`
[client]
authorization_redirect_uri = %s
post_logout_redirect_uri = %s
op_host = %s
scope = %s
grant_types = %s
client_name = A client of oxdpython
contacts = ops@example.com
claims_redirect_uri = %s
`, callback, goodbye, to.opHost, strings.Join(to.scope(), ","), strings.Join(to.grants(), ","), callback)), 0o600))
	return &python{process: start(t, interpreter, filepath.Join("testdata", "driver.py"), where.Python, config)}
}

func (p *python) call(t *testing.T, method string, args map[string]any) map[string]any {
	t.Helper()
	got := p.ask(t, method, args)
	require.Empty(t, got.Failure, "%s: %s", method, got.Message)
	var object map[string]any
	if json.Unmarshal(got.Result, &object) == nil {
		return object
	}
	var value any
	require.NoError(t, json.Unmarshal(got.Result, &value))
	return map[string]any{"value": value}
}

func (p *python) refused(t *testing.T, method string, args map[string]any) string {
	t.Helper()
	got := p.ask(t, method, args)
	require.Equal(t, "OxdServerError", got.Failure, "%s: %s %s", method, got.Message, got.Result)
	return got.Message
}

func (p *python) authenticate(t *testing.T) {
	t.Helper()
	p.protected = true
	got := p.call(t, "setup_client", nil)
	for _, member := range []string{"oxd_id", "client_id_of_oxd_id", "op_host", "setup_client_oxd_id", "client_id", "client_secret", "client_id_issued_at"} {
		require.NotEmpty(t, got[member], member)
	}
	token := p.call(t, "get_client_token", map[string]any{"auto_update": false})
	require.NotEmpty(t, token["access_token"])
	require.Positive(t, token["expires_in"])
}

func (p *python) site(t *testing.T) string {
	t.Helper()
	id, _ := p.call(t, "register_site", nil)["value"].(string) // that of setup_client, where there was one
	return id
}

// node is oxd-node. Its callbacks get the envelope.
type node struct {
	*process

	to    target
	id    string
	token any
}

func startNode(t *testing.T, where oxd.Clients, to target) client {
	t.Helper()
	config := map[string]any{"https_extension": to.http != ""}
	if to.http != "" {
		config["host"] = to.http
	} else {
		host, port, _ := strings.Cut(to.socket, ":")
		config["host"], config["port"] = host, port
	}
	encoded, err := json.Marshal(config)
	require.NoError(t, err)
	return &node{
		process: start(t, "node", filepath.Join("testdata", "driver.js"), filepath.Join(where.Node, "node_modules", "oxd-node"), string(encoded)),
		to:      to,
	}
}

func (n *node) envelope(t *testing.T, method string, args map[string]any) (status string, data map[string]any) {
	t.Helper()
	sent := map[string]any{}
	if n.id != "" {
		sent["oxd_id"] = n.id
	}
	if n.token != nil {
		sent["protection_access_token"] = n.token
	}
	maps.Copy(sent, args)
	got := n.ask(t, method, sent)
	require.Empty(t, got.Failure, "%s: %s", method, got.Message)
	var envelope struct {
		Status string         `json:"status"`
		Data   map[string]any `json:"data"`
	}
	require.NoError(t, json.Unmarshal(got.Result, &envelope))
	return envelope.Status, envelope.Data
}

func (n *node) call(t *testing.T, method string, args map[string]any) map[string]any {
	t.Helper()
	status, data := n.envelope(t, method, args)
	require.Equal(t, "ok", status, "%s: %v", method, data)
	return data
}

func (n *node) refused(t *testing.T, method string, args map[string]any) string {
	t.Helper()
	status, data := n.envelope(t, method, args)
	require.Equal(t, "error", status, "%s: %v", method, data)
	code, _ := data["error"].(string)
	return code
}

func (n *node) authenticate(t *testing.T) {
	t.Helper()
	setup := n.call(t, "setup_client", map[string]any{"op_host": n.to.opHost, "authorization_redirect_uri": callback, "scope": []string{"openid"}})
	token := n.call(t, "get_client_token", map[string]any{
		"op_host": n.to.opHost, "client_id": setup["client_id"], "client_secret": setup["client_secret"], "scope": []string{"openid", "oxd"},
	})
	n.token = token["access_token"]
}

func (n *node) site(t *testing.T) string {
	t.Helper()
	if n.id == "" {
		n.id, _ = n.call(t, "register_site", map[string]any{
			"op_host": n.to.opHost, "authorization_redirect_uri": callback, "post_logout_redirect_uri": goodbye,
			"scope": n.to.scope(), "grant_types": n.to.grants(), "claims_redirect_uri": []string{callback},
		})["oxd_id"].(string)
	}
	return n.id
}
