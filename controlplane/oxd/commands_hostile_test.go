package oxd_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/oxd"
	"github.com/umagate/umagate/controlplane/oxd/protection"
	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/controlplane/store"
)

// both is a server on both transports, with one site "a" whose OP is away.
type both struct {
	*oxd.Server

	store  *store.SQL
	hidden string // the site's client secret
	web    http.Handler
	mu     sync.Mutex // one command at a time on the connection
	conn   net.Conn
}

func newBoth(tb testing.TB) *both {
	tb.Helper()
	const host = "https://op.example.com"
	kept, err := store.OpenSQLite(tb.Context(), tb.TempDir()+"/s.db", secret.Text{})
	require.NoError(tb, err)
	b := &both{store: kept, hidden: rand.Text() + rand.Text()}
	b.Server, err = oxd.New(oxd.Config{
		Store: kept, Records: kept, OPs: []oxd.OP{{Host: host, Transport: nowhere{}}}, DefaultOP: host, Defaults: site.OXDDefaults{Scope: []string{"openid"}},
	})
	require.NoError(tb, err)
	b.web, err = b.Handler()
	require.NoError(tb, err)
	b.site(tb)
	ctx, cancel := context.WithCancel(context.Background())
	p := &pipes{accepted: make(chan net.Conn), closed: make(chan struct{})}
	done := make(chan error, 1)
	go func() { done <- b.ServeSocket(ctx, p, oxd.SocketLimits{}) }()
	client, server := net.Pipe()
	p.accepted <- server
	b.conn = client
	tb.Cleanup(func() {
		cancel()
		require.NoError(tb, <-done)
		_ = kept.Close()
	})
	return b
}

// site is there, whatever was done to it.
func (b *both) site(tb testing.TB) {
	tb.Helper()
	const host = "https://op.example.com"
	if _, err := b.store.RP(tb.Context(), "a"); err == nil {
		return
	}
	d, err := protection.Parse(json.RawMessage(photo))
	require.NoError(tb, err)
	rp := oxd.RP{
		ID: "a", OPHost: host, Issuer: host, ClientID: "c", AuthMethod: "client_secret_basic", RegistrationURI: host + "/register/c",
		Metadata: oxd.Metadata{RedirectURI: callback, Scope: []string{"openid"}},
		Secrets:  oxd.RPSecrets{ClientSecret: secret.New(b.hidden), RegistrationToken: secret.New(b.hidden)},
	}
	require.NoError(tb, oxd.Import(tb.Context(), b.store, rp, d, map[string]string{"[GET] /photo": "r-1"}, time.Now()))
}

// overHTTP gives status, and the envelope as it came.
func (b *both) overHTTP(command, params string) (status int, envelope string) {
	request := httptest.NewRequest(http.MethodPost, "http://localhost/"+strings.ReplaceAll(command, "_", "-"), strings.NewReader(params)) //nolint:noctx // it is served here
	request.Header.Set("Authorization", "Bearer any")
	recorder := httptest.NewRecorder()
	b.web.ServeHTTP(recorder, request)
	return recorder.Code, recorder.Body.String()
}

// overSocket returns the envelope; false for a command that no frame can carry.
func (b *both) overSocket(tb testing.TB, command, params string) (envelope string, fits bool) {
	tb.Helper()
	body := `{"command":"` + command + `","params":` + params + `}`
	units := len(utf16.Encode([]rune(body)))
	if units > 9999 || strings.ContainsRune(body, '\uFFFD') {
		return "", false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	require.NoError(tb, b.conn.SetDeadline(time.Now().Add(time.Minute)))
	_, err := io.WriteString(b.conn, fmt.Sprintf("%04d%s", units, body))
	require.NoError(tb, err, "the connection stays")
	prefix := make([]byte, 4)
	_, err = io.ReadFull(b.conn, prefix)
	require.NoError(tb, err, "every command is answered")
	length, err := strconv.Atoi(string(prefix))
	require.NoError(tb, err)
	answer := make([]byte, length)
	_, err = io.ReadFull(b.conn, answer)
	require.NoError(tb, err)
	return string(answer), true
}

// alike says that both transports must say the same: not of commands that answer
// differently the second time, nor where the token counts, which HTTP has in a header.
func alike(command, params string) bool {
	var given map[string]json.RawMessage
	if json.Unmarshal([]byte(params), &given) == nil {
		for name := range given {
			if strings.EqualFold(name, "protection_access_token") {
				return false
			}
		}
	}
	return !slices.Contains([]string{"remove_site", "uma_rs_protect", "uma_rs_modify", "register_site"}, command)
}

// hold runs a command with the parameters on both transports, and holds both answers to
// what is true of any.
func (b *both) hold(tb testing.TB, command, params string) {
	tb.Helper()
	shown := command + " " + params[:min(len(params), 300)]
	status, web := b.overHTTP(command, params)
	require.Contains(tb, []int{http.StatusOK, http.StatusBadRequest, http.StatusRequestEntityTooLarge}, status, shown)
	answered := b.judge(tb, web, shown)
	if status != http.StatusOK {
		require.Equal(tb, "error", answered.Status, shown)
	}
	b.site(tb)
	if !json.Valid([]byte(params)) {
		require.NotEqual(tb, http.StatusOK, status, shown)
		return
	}
	said, fits := b.overSocket(tb, command, params)
	b.site(tb)
	if !fits {
		return
	}
	other := b.judge(tb, said, shown)
	if alike(command, params) {
		require.Equal(tb, answered.Status, other.Status, shown)
		require.Equal(tb, answered.Data["error"], other.Data["error"], shown)
	}
}

type envelope struct {
	Status string         `json:"status"`
	Data   map[string]any `json:"data"`
}

func (b *both) judge(tb testing.TB, raw, shown string) envelope {
	tb.Helper()
	var got envelope
	require.NoError(tb, json.Unmarshal([]byte(raw), &got), "%s: %s", shown, raw)
	require.NotContains(tb, raw, b.hidden, shown)
	require.NotContains(tb, raw, "[redacted]", shown)
	require.Regexp(tb, `^[\x20-\x7e]*$`, raw, shown)
	if got.Status == "ok" {
		return got
	}
	require.Equal(tb, "error", got.Status, shown)
	code, _ := got.Data["error"].(string)
	require.Regexp(tb, `^[a-z][a-z0-9_]*$`, code, shown)
	require.NotEmpty(tb, got.Data["error_description"], shown)
	require.Contains(tb, got.Data, "details", shown)
	return got
}

// hostile are values for any parameter.
func hostile() []string {
	return []string{
		`null`, `true`, `false`, `0`, `-1`, `1e999`, `18446744073709551616`, `1.5`, `""`, `" "`, `[]`, `[null]`, `[[]]`, `["a",1]`, `[{}]`, `{}`,
		`{"a":{"b":[1,2,{"c":null}]}}`, `"a"`, `["a"]`, `"\u0000"`, `"\ud800"`, `"\r\nSet-Cookie: a=b"`, `"https://evil.example.com/"`,
		`"http://127.0.0.1:1/"`, `"javascript:alert(1)"`, `"../../etc/passwd"`, `"/..%2f/"`, `"' OR 1=1 --"`, `"%s%n%d"`, `"💥\u202e"`,
		`"` + strings.Repeat("x", 3000) + `"`, strings.Repeat(`[`, 500) + strings.Repeat(`]`, 500), `[` + strings.Repeat(`"a",`, 500) + `"a"]`,
	}
}

// members lists the parameters of a command.
func members(t reflect.Type) []string {
	var out []string
	for _, field := range reflect.VisibleFields(t) {
		if name, _, _ := strings.Cut(field.Tag.Get("json"), ","); name != "" && name != "-" {
			out = append(out, name)
		}
	}
	return append(out, "protection_access_token", "unknown")
}

// TestHostileParameters gives each parameter of each command each hostile value, beside
// others that are good.
func TestHostileParameters(t *testing.T) {
	t.Parallel()
	good := map[string]string{
		"oxd_id": `"a"`, "authorization_redirect_uri": `"` + callback + `"`, "path": `"/photo"`, "http_method": `"GET"`, "rpt": `"x"`, "ticket": `"t"`,
		"claims_redirect_uri": `"https://app.example.com/c"`, "resources": photo, "access_token": `"x"`, "refresh_token": `"x"`, "code": `"x"`, "state": `"x"`,
	}
	for _, c := range oxd.Commands() {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			b := newBoth(t)
			names := members(c.Params)
			for _, name := range names {
				for _, value := range hostile() {
					var params []string
					for _, other := range names {
						if v, ok := good[other]; ok && other != name {
							params = append(params, strconv.Quote(other)+":"+v)
						}
					}
					b.hold(t, c.Name, "{"+strings.Join(append(params, strconv.Quote(name)+":"+value), ",")+"}")
				}
			}
			for _, whole := range append(hostile(), ``, `{`, `{"oxd_id":"a"`, `{"oxd_id":"a"}{}`, "\xff", `{"oxd_id":"a","oxd_id":"b"}`, `{"OXD_ID":"a"}`) {
				b.hold(t, c.Name, whole)
			}
		})
	}
}

// FuzzCommands: whatever the parameters of whatever command, both transports answer
// alike, in the envelope, and show no secret.
func FuzzCommands(f *testing.F) {
	b := newBoth(f)
	commands := oxd.Commands()
	for i := range uint8(len(commands)) {
		f.Add(i, `{"oxd_id":"a","state":"s","code":"c","ticket":"t","path":"/photo","http_method":"GET","rpt":"x","access_token":"x"}`)
		f.Add(i, `{"oxd_id":"a","scope":[null],"acr_values":"a b","custom_parameters":{"a":[1]}}`)
	}
	f.Add(uint8(0), `{"authorization_redirect_uri":"https://app.example.com/cb","op_host":"https://op.example.com/..","trusted_client":null}`)
	f.Fuzz(func(t *testing.T, which uint8, params string) {
		b.hold(t, commands[int(which)%len(commands)].Name, params)
	})
}
