package server_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/api"
	"github.com/umagate/umagate/controlplane/audit"
	"github.com/umagate/umagate/controlplane/server"
	"github.com/umagate/umagate/controlplane/server/servertest"
	"github.com/umagate/umagate/controlplane/store"
	"github.com/umagate/umagate/demo/devas"
)

// send makes a call with a JSON body.
func (p *plane) send(method, path, body string, out any) (int, http.Header) {
	p.T.Helper()
	req, err := http.NewRequestWithContext(p.T.Context(), method, "http://"+p.API+path, strings.NewReader(body))
	require.NoError(p.T, err)
	req.Header.Set("Content-Type", "application/json")
	p.Authorize(req)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(p.T, err)
	defer resp.Body.Close()
	if out != nil {
		require.NoError(p.T, json.NewDecoder(resp.Body).Decode(out))
	}
	return resp.StatusCode, resp.Header
}

// instances is umagate.yaml with another resource.
func (p *plane) instances(issuer, resource string) string {
	return strings.Replace(p.config(issuer, "people"), `xds: "127.0.0.1:0"`, `xds: "127.0.0.1:0", instances: "127.0.0.1:0"`, 1) + resource
}

// TestInstances: instances are registered, listed and removed by the API, outlive
// the AS's and the control plane's ends, and no change of the file removes one.
func TestInstances(t *testing.T) {
	t.Parallel()
	const album = `  - {name: "album-{id}", conditions: [{paths: ["/albums/{id}"], scopes: [view]}]}` + "\n"
	as := servertest.StartAS(t, devas.Options{})
	p := newPlane(t)
	p.Write(p.instances(as.Issuer(), ""))
	p.Start()
	p.Until("all is well", allWell)
	const resources = "/v1/sites/photos/resources"
	var problem api.Problem
	code, _ := p.send(http.MethodPost, resources, `{"resource":"album-{id}","values":["7"]}`, &problem)
	require.Equal(t, http.StatusBadRequest, code, "there is no such resource yet")

	// The file gets one while it runs.
	p.Write(p.instances(as.Issuer(), album))
	p.Until("the resource is known", func(s server.Status) bool { return s.OK && len(s.Sites[0].Resources.Instances) == 1 })
	var made server.Instance
	code, header := p.send(http.MethodPost, resources, `{"resource":"album-{id}","path":"/albums/7","owner":"alice"}`, &made)
	require.Equal(t, http.StatusCreated, code)
	require.Equal(t, resources+"/album-7", header.Get("Location"))
	require.Equal(t, store.InstanceRegistered, made.State)
	require.Contains(t, names(as), "album-7")
	require.NotContains(t, names(as), "album-{id}")
	code, _ = p.send(http.MethodPost, resources, `{"resource":"album-{id}","values":["7"],"owner":"alice"}`, &made)
	require.Equal(t, http.StatusCreated, code, "the same again")
	code, _ = p.send(http.MethodPost, resources, `{"resource":"album-{id}","values":["7"],"owner":"bob"}`, &problem)
	require.Equal(t, http.StatusConflict, code)
	code, _ = p.send(http.MethodPost, resources, `{"resource":"album-{id}","values":["7/8"]}`, &problem)
	require.Equal(t, http.StatusBadRequest, code)
	require.Len(t, p.audited("action="+string(audit.ResourceCreate)), 2, "people, album-7")

	// The AS goes: what is asked for is done when it is back, also by another process.
	require.NoError(t, as.SetFault(devas.Fault{Endpoint: devas.EndpointResources, Kind: devas.FaultStatus, Status: 503}))
	code, _ = p.send(http.MethodPost, resources, `{"resource":"album-{id}","values":["8"],"owner":"alice"}`, &made)
	require.Equal(t, http.StatusCreated, code)
	require.Equal(t, store.InstancePending, made.State)
	require.NotEmpty(t, made.Failure)
	p.Stop()
	as.ClearFaults(devas.EndpointResources)
	p.Start()
	require.Eventually(t, func() bool {
		return p.call(http.MethodGet, resources+"/album-8", &made) == http.StatusOK && made.State == store.InstanceRegistered
	}, servertest.Within, 20*time.Millisecond)
	var page api.Page[server.Instance]
	require.Equal(t, http.StatusOK, p.call(http.MethodGet, resources+"?limit=1", &page))
	require.Len(t, page.Items, 1)
	require.Equal(t, "album-7", page.Items[0].Name)
	require.Equal(t, http.StatusOK, p.call(http.MethodGet, resources+"?cursor="+page.NextCursor, &page))
	require.Len(t, page.Items, 1)
	require.Equal(t, "album-8", page.Items[0].Name)

	// The template goes: they stay, and are counted.
	p.Write(p.instances(as.Issuer(), ""))
	s := p.Until("the resource is gone", func(s server.Status) bool {
		return s.OK && len(s.Sites[0].Resources.Instances) == 1 && !s.Sites[0].Resources.Instances[0].Declared
	})
	require.Equal(t, 2, s.Sites[0].Resources.Instances[0].Registered)
	require.Contains(t, names(as), "album-7")
	code, _ = p.send(http.MethodDelete, resources+"/album-7", "", nil)
	require.Equal(t, http.StatusNoContent, code)
	require.NotContains(t, names(as), "album-7")
	require.Contains(t, names(as), "album-8")
	require.Equal(t, http.StatusNotFound, p.call(http.MethodGet, resources+"/album-7", &problem))
	p.RequireNoSecrets(as)
}
