package mcp_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/mcp"
)

// bodies are those of testdata, by their names.
func bodies(t testing.TB) (names []string, list [][]byte) {
	t.Helper()
	text, err := os.ReadFile("testdata/bodies")
	require.NoError(t, err)
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		name, quoted, ok := strings.Cut(strings.TrimRight(line, "\n"), "\t")
		require.True(t, ok, line)
		body, err := strconv.Unquote(quoted)
		require.NoError(t, err, name)
		names, list = append(names, name), append(list, []byte(body))
	}
	require.NotEmpty(t, list)
	return names, list
}

// seen is what a reader says that a message calls; both are empty for what it does not read.
type seen struct{ Method, Name string }

// goReader reads as a server does that is written in Go: the case of members does not matter to
// encoding/json, and the last one of a name counts.
func goReader(body []byte) seen {
	var m struct {
		Method string
		Params struct{ Name string }
	}
	if json.Unmarshal(body, &m) != nil {
		return seen{}
	}
	return seen{m.Method, m.Params.Name}
}

// The programs read a list of texts in base64, and write what they see in each.
const (
	pythonReader = `
import base64, json, sys
def see(body):
    try:
        m = json.loads(body)
        p = m.get("params", {})
        return {"Method": m.get("method", ""), "Name": p.get("name", "") if isinstance(p, dict) else ""}
    except Exception:
        return {"Method": "", "Name": ""}
def text(v):
    return v if isinstance(v, str) else json.dumps(v)
out = []
for coded in json.load(sys.stdin):
    out.append({k: text(v) for k, v in see(base64.b64decode(coded)).items()})
json.dump(out, sys.stdout)
`
	nodeReader = `
const text = v => typeof v === "string" ? v : JSON.stringify(v) ?? "";
const see = body => {
  try {
    const m = Object.assign({}, JSON.parse(body.toString("utf8")));
    const p = Object.assign({}, m.params);
    return {Method: text(m.method), Name: text(p.name)};
  } catch { return {Method: "", Name: ""}; }
};
const list = JSON.parse(require("fs").readFileSync(0, "utf8"));
process.stdout.write(JSON.stringify(list.map(c => see(Buffer.from(c, "base64")))));
`
)

// readBy has a program read all bodies. Where it is not installed, nothing is compared with it,
// unless real parts are demanded.
func readBy(t *testing.T, list [][]byte, program string, arguments ...string) []seen {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil && os.Getenv("UMAGATE_REQUIRE_REAL") == "" {
		return nil
	}
	require.NoError(t, err)
	input, err := json.Marshal(list)
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), path, arguments...)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(input), t.Output()
	output, err := cmd.Output()
	require.NoError(t, err)
	var out []seen
	require.NoError(t, json.Unmarshal(output, &out))
	require.Len(t, out, len(list))
	return out
}

// TestReadersAgree: what Read takes, servers in Python, JavaScript and Go read alike.
func TestReadersAgree(t *testing.T) {
	t.Parallel()
	names, list := bodies(t)
	readers := map[string][]seen{
		"Python": readBy(t, list, "python3", "-c", pythonReader),
		"Node":   readBy(t, list, "node", "-e", nodeReader),
		"Go":     nil,
	}
	for _, body := range list {
		readers["Go"] = append(readers["Go"], goReader(body))
	}
	taken, differ := 0, 0
	for i, body := range list {
		m, problem := mcp.Read(body)
		for reader, all := range readers {
			switch {
			case all == nil:
			case problem != "":
				if all[i] != readers["Go"][i] {
					differ++
				}
			default:
				require.Equal(t, m.Method, all[i].Method, "%s: %s", reader, names[i])
				if m.Target == mcp.TargetTool {
					require.Equal(t, m.Name, all[i].Name, "%s: %s", reader, names[i])
				}
			}
		}
		if problem == "" {
			taken++
		}
	}
	require.Positive(t, taken)
	if readers["Python"] != nil {
		require.Positive(t, differ, "the bodies show no reader that differs")
	}
}

// FuzzRead: what Read takes, encoding/json reads alike, and of two members of one name that
// count there is none.
func FuzzRead(f *testing.F) {
	_, list := bodies(f)
	for _, body := range list {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		m, problem := mcp.Read(body)
		if problem != "" {
			require.Empty(t, m)
			return
		}
		var members map[string]json.RawMessage
		require.NoError(t, json.Unmarshal(body, &members))
		for name := range members {
			require.Contains(t, []string{"jsonrpc", "id", "method", "params", "result", "error"}, name)
		}
		got := goReader(body)
		if m.Target != mcp.TargetTool && m.Target != mcp.TargetPrompt {
			var method struct{ Method string }
			require.NoError(t, json.Unmarshal(body, &method))
			require.Equal(t, m.Method, method.Method)
			return
		}
		require.Equal(t, seen{m.Method, m.Name}, got)
		require.True(t, mcp.Plain(m.Name))
	})
}
