package as_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/e2e/keycloak"
	"github.com/umagate/umagate/e2e/keycloak/keycloaktest"
)

var update = flag.Bool("update", false, "record testdata/keycloak anew from a real Keycloak")

// TestRealDialect has a real Keycloak judge what the others are judged by
// recordings, and with -update makes the recording that TestDialects replays.
func TestRealDialect(t *testing.T) {
	t.Parallel()
	kc := keycloaktest.Start(t)
	ctx := t.Context()
	initial, err := kc.InitialAccessToken(ctx, 1)
	require.NoError(t, err)
	alice, err := kc.Token(ctx, "alice")
	require.NoError(t, err)
	r := &recorder{t: t, steps: map[string][]said{}, values: map[string]string{initial: "iat-1", alice: "pat-1"}}
	clientID := ""
	s := &script{
		t: t, issuer: kc.Issuer(), transport: r, initial: secret.New(initial), expect: expectations()["keycloak"],
		step: func(name string, f func()) {
			r.step = name
			f()
			r.step = ""
			if name == "registration" {
				clientID = r.learnClient()
			}
		},
		rpt: func(ticket string) secret.Text {
			require.NoError(t, kc.ImportPolicies(ctx, clientID, keycloak.Grant{Persons: []string{"alice"}, Scopes: []string{"view"}}))
			rpt, err := kc.RPT(ctx, alice, ticket)
			require.NoError(t, err)
			r.values[rpt], r.values[ticket] = "rpt-1", "ticket-1"
			return secret.New(rpt)
		},
		noScope: fresh(alice),
	}
	s.run()
	if *update && !t.Failed() {
		r.write(kc)
	}
}

// recorder keeps what is said through it.
type recorder struct {
	t      *testing.T
	step   string
	order  []string
	steps  map[string][]said
	values map[string]string // what is replaced, and by what
}

func (r *recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	asked := readRequest(r.t, req)
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil || r.step == "" {
		return resp, err
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	_ = resp.Body.Close()
	resp.Body = io.NopCloser(bytes.NewReader(body))
	answered := recordedResponse{Status: resp.StatusCode, ContentType: resp.Header.Get("Content-Type")}
	if json.Valid(body) {
		answered.JSON = body
	} else {
		answered.Text = string(body)
	}
	if len(r.steps[r.step]) == 0 {
		r.order = append(r.order, r.step)
	}
	r.steps[r.step] = append(r.steps[r.step], said{Request: asked, Response: answered})
	return resp, nil
}

// learnClient takes what must not stand in a file from the registration.
func (r *recorder) learnClient() string {
	id, key := "", ""
	for i, s := range r.steps["registration"] {
		var got struct {
			ID     string `json:"client_id"`
			Secret string `json:"client_secret"`
			Token  string `json:"registration_access_token"`
		}
		require.NoError(r.t, json.Unmarshal(s.Response.JSON, &got))
		id, key = got.ID, got.Secret
		r.values[got.ID], r.values[got.Secret] = "rs-1", "rs-secret"
		if got.Token != "" {
			r.values[got.Token] = fmt.Sprintf("rat-%d", i+1)
		}
	}
	encode := func(pair string) string { return base64.StdEncoding.EncodeToString([]byte(pair)) }
	r.values[encode(id+":"+key)] = encode("rs-1:rs-secret")
	return id
}

var (
	anyUUID = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	anyTime = regexp.MustCompile(`"(exp|iat|nbf|auth_time|client_id_issued_at)":[0-9]+`)
	anyJWT  = regexp.MustCompile(`eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*`)
)

// write replaces what differs from run to run.
func (r *recorder) write(kc *keycloak.Server) {
	var pat struct {
		Value string `json:"access_token"`
	}
	require.NoError(r.t, json.Unmarshal(r.steps["pat"][0].Response.JSON, &pat))
	r.values[pat.Value] = "pat-1"
	uuids := map[string]string{"6f0c2f5e-3a5b-4f5e-9d38-0a3d5a8e9c02": "6f0c2f5e-3a5b-4f5e-9d38-0a3d5a8e9c02"}
	for _, step := range r.order {
		text, err := json.Marshal(recording{Source: "recorded from Keycloak " + kc.Version, Exchanges: r.steps[step]})
		require.NoError(r.t, err)
		s := strings.ReplaceAll(string(text), kc.URL(), "ISSUER")
		for have, name := range r.values {
			s = strings.ReplaceAll(s, have, name)
		}
		s = anyJWT.ReplaceAllString(s, "ticket-2")
		s = anyTime.ReplaceAllString(s, fmt.Sprintf(`"$1":%d`, time.Unix(1767312000, 0).Unix()))
		s = anyUUID.ReplaceAllStringFunc(s, func(id string) string {
			if uuids[id] == "" {
				uuids[id] = fmt.Sprintf("00000000-0000-4000-8000-%012d", len(uuids))
			}
			return uuids[id]
		})
		var indented bytes.Buffer
		require.NoError(r.t, json.Indent(&indented, []byte(s), "", " "))
		indented.WriteByte('\n')
		require.NoError(r.t, os.WriteFile(filepath.Join("testdata", "keycloak", step+".json"), indented.Bytes(), 0o600))
		require.NoError(r.t, os.Chmod(filepath.Join("testdata", "keycloak", step+".json"), 0o644))
	}
}
