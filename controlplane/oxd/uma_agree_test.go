package oxd_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/oxd"
	"github.com/umagate/umagate/controlplane/oxd/protection"
	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/controlplane/store"
	"github.com/umagate/umagate/demo/devas"
	"github.com/umagate/umagate/e2e/native"
)

// filter is the filter's core behind HTTP, configured as the publisher does it.
type filter struct {
	address string
}

func (k *umaKit) filter(t *testing.T, id string) filter {
	t.Helper()
	ctx := t.Context()
	origin := func(string) site.AuthorizationServer { return site.New().AuthorizationServer }
	sites, err := oxd.SitesOf(ctx, k.store, origin, []site.OXDSite{{OxdID: id, Hosts: []string{"photos.test"}}}, nil)
	require.NoError(t, err)
	var file site.File
	for _, s := range sites {
		if len(s.Hosts) > 0 {
			file.Sites = append(file.Sites, s)
		}
	}
	require.Len(t, file.Sites, 1)
	name := file.Sites[0].Name
	client, err := k.opClient()
	require.NoError(t, err)
	server, err := client.Discover(ctx)
	require.NoError(t, err)
	compiled, err := site.Compile(&file, map[string]site.Facts{name: site.FactsOf(server, k.records(t, id))})
	require.NoError(t, err)

	rp, err := k.store.RP(ctx, id)
	require.NoError(t, err)
	var sealed struct {
		Secret string `json:"client_secret"`
	}
	require.NoError(t, json.Unmarshal([]byte(rp.Secrets.Reveal()), &sealed))
	basic := base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(rp.ClientID) + ":" + url.QueryEscape(sealed.Secret)))
	pat, err := k.store.PAT(ctx, store.Key{Site: name, Issuer: k.op.Issuer()})
	require.NoError(t, err)
	issuer, err := url.Parse(k.op.Issuer())
	require.NoError(t, err)
	upstream := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(upstream.Close)
	behind, err := url.Parse(upstream.URL)
	require.NoError(t, err)
	gateway, err := native.New(ctx, native.Options{Config: compiled, Upstream: behind, Clusters: map[string]native.Cluster{
		site.IntrospectionCluster(name): {URL: issuer, Credential: secret.New("Basic " + basic)},
		site.ProtectionCluster(name):    {URL: issuer, Credential: secret.New("Bearer " + pat.Value.Reveal())},
	}})
	require.NoError(t, err)
	t.Cleanup(gateway.Close)
	front := httptest.NewUnstartedServer(nil)
	front.Config = gateway.Server()
	front.Start()
	t.Cleanup(front.Close)
	return filter{front.URL}
}

// ask sends a request with the path just as it is.
func (f filter) ask(t *testing.T, method, path, token string) (status int, challenge, code string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, f.address, http.NoBody)
	require.NoError(t, err)
	req.URL.Opaque, req.Host = path, "photos.test"
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer func() { require.NoError(t, resp.Body.Close()) }()
	var problem struct {
		Code string `json:"code"`
	}
	_ = json.NewDecoder(resp.Body).Decode(&problem) // the API's answers have none
	return resp.StatusCode, resp.Header.Get("WWW-Authenticate"), problem.Code
}

// randomDocument makes a document that is valid.
func randomDocument(r *rand.Rand) protection.Document {
	pick := func(from ...string) string { return from[r.IntN(len(from))] }
	for {
		var d protection.Document
		for range 1 + r.IntN(4) {
			resource := protection.Resource{Path: pick("/", "/a", "/A", "/a/b", "/a/{id}", "/a/{id}/c", "/a/*", "/a/**", "/**", "/ü", "/a b", "/x/?", "/x/??", "/a/")}
			methods := []string{"GET", "POST", "put", "HEAD", "DELETE"}
			r.Shuffle(len(methods), func(i, j int) { methods[i], methods[j] = methods[j], methods[i] })
			for range 1 + r.IntN(2) {
				n := 1 + r.IntN(2)
				c := protection.Condition{Methods: methods[:n]}
				methods = methods[n:]
				if r.IntN(2) == 0 {
					c.Expression = &protection.Expression{Data: []string{"s0", "s1", "s2"}, Rule: json.RawMessage(pick(
						`{"and":[{"var":0},{"var":1}]}`, `{"or":[{"var":0},{"var":2}]}`, `{"!":{"var":1}}`, `{"if":[{"var":0},{"var":1},{"var":2}]}`, `{"==":[{"var":0},{"var":1}]}`, `true`))}
				}
				if c.Expression == nil || r.IntN(3) == 0 {
					c.Scopes = []string{pick("s0", "s1"), pick("s2", "s3")}
				}
				resource.Conditions = append(resource.Conditions, c)
			}
			d = append(d, resource)
		}
		if d.Validate() == nil {
			return d
		}
	}
}

// TestCheckAgreesWithTheFilter: what check_access says of a request is what the
// filter does with it, for random documents, requests and tokens.
func TestCheckAgreesWithTheFilter(t *testing.T) {
	t.Parallel()
	const documents, requests = 12, 60
	k := newUMAKit(t, devas.Options{})
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	granted, refused, unprotected := 0, 0, 0
	for range documents {
		id := k.register(t, nil)
		d := randomDocument(r)
		encoded, err := d.Encode()
		require.NoError(t, err)
		k.protect(t, id, string(encoded), nil)
		tokens := []string{"", "junk", "a,b", "a b"}
		for _, resource := range d {
			for _, c := range resource.Conditions {
				var held []string
				for _, s := range []string{"s0", "s1", "s2", "s3"} {
					if r.IntN(2) == 0 {
						held = append(held, s)
					}
				}
				if len(held) == 0 {
					continue
				}
				_, err := k.op.Permit(devas.Policy{Resource: k.records(t, id)[c.Name(resource.Path)], Scopes: held, Subjects: []string{"alice"}})
				require.NoError(t, err)
				denied := k.check(t, id, c.Methods[0], resource.Path, "")
				status, data := k.call(t, "uma_rp_get_rpt", map[string]any{"oxd_id": id, "ticket": denied["ticket"], "claim_token": k.claim(t, id), "claim_token_format": idTokenFormat})
				if status == "ok" {
					tokens = append(tokens, mustText(t, data["access_token"]))
				}
			}
		}
		f := k.filter(t, id)
		for range requests {
			method := []string{"GET", "POST", "PUT", "HEAD", "DELETE", "OPTIONS"}[r.IntN(6)]
			paths := []string{"/", "/a", "/A/", "/a/b", "/a/B", "/a/7", "/a/7/c", "/a/7/c/d", "/x/y", "/x/y/z", "/ü", "/a%20b", "/a//b", "/a/../b", "/a/%2e", "/a;x=1", "/a?q=1", "/none"}
			paths = append(paths, d[r.IntN(len(d))].Path)
			path, token := paths[r.IntN(len(paths))], tokens[r.IntN(len(tokens))]
			status, challenge, code := f.ask(t, method, d.Target(path), token)
			answer, data := k.call(t, "uma_rs_check_access", map[string]any{"oxd_id": id, "rpt": token, "path": path, "http_method": method})
			at := fmt.Sprintf("%s %s with %q under %s: Envoy %d %s %s, check_access %s %v", method, path, token, encoded, status, code, challenge, answer, data)
			switch {
			case answer == "error":
				unprotected++
				require.Equal(t, "invalid_request", data["error"], at)
				if method != http.MethodHead {
					require.Contains(t, []string{"unmatched_path", "method_not_covered", "ambiguous_path"}, code, at)
				}
				require.Contains(t, []int{http.StatusForbidden, http.StatusBadRequest}, status, at)
				_, found := d.Find(path, method)
				require.False(t, found, at)
			case data["access"] == "granted":
				granted++
				require.Equal(t, http.StatusOK, status, at)
			default:
				refused++
				require.Equal(t, "denied", data["access"], at)
				require.NotEqual(t, http.StatusOK, status, at)
				require.Equal(t, status == http.StatusUnauthorized, data["ticket"] != nil, at)
				if status == http.StatusUnauthorized {
					require.Contains(t, challenge, `UMA realm="rs"`, at)
				}
			}
		}
	}
	require.Positive(t, granted)
	require.Positive(t, refused)
	require.Positive(t, unprotected)
}
