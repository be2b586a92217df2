package decision

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/config"
)

func TestSmoke(t *testing.T) {
	c, err := config.Parse([]byte(`{"version":1,"sites":[{"name":"photos","hosts":["photos.example.com"],
	"authorization_server":{"uri":"https://as","introspection":{"cluster":"i","authority":"as","path":"/i"},"permission":{"cluster":"p","authority":"as","path":"/p"}},
	"resources":[{"name":"albums","id":"r1","conditions":[{"paths":["/albums/{id}"],"methods":["GET"],"scopes":["view"]}]},
	{"name":"h","conditions":[{"paths":["/healthz"],"public":true}]}]}]}`))
	require.NoError(t, err)
	p, err := Compile(c)
	require.NoError(t, err)
	w := NewWorker()
	g := w.Gate(p)
	now := time.Unix(1000, 0)
	req := func(path, tok string) *Request {
		r := &Request{Headers: []Header{{":authority", "photos.example.com"}, {":method", "GET"}, {":path", path}, {"x_uma_subject", "evil"}}}
		if tok != "" {
			r.Headers = append(r.Headers, Header{"authorization", "Bearer " + tok})
		}
		return r
	}
	_, s := g.Start(req("/healthz", ""), now)
	require.Equal(t, KindAllow, s.Kind)
	require.Equal(t, []string{"x_uma_subject"}, s.Allow.Remove)
	_, s = g.Start(req("/albums/1", ""), now)
	require.Equal(t, KindCall, s.Kind)
	o := w.Reply(s.Call.ID, Response{Status: 201, Body: []byte(`{"ticket":"abc"}`)}, now)
	require.Equal(t, 401, o[0].Step.Deny.Status)
	t.Log(o[0].Step.Deny)
	_, s = g.Start(req("/albums/1", "tok"), now)
	o = w.Reply(s.Call.ID, Response{Status: 200, Body: []byte(`{"active":true,"sub":"bob","permissions":[{"resource_id":"r1","resource_scopes":["view"]}]}`)}, now)
	require.Equal(t, KindAllow, o[0].Step.Kind)
	t.Log(o[0].Step.Allow)
	_, s = g.Start(req("/albums/1", "tok"), now)
	require.Equal(t, KindAllow, s.Kind)
	ex := Explain(p, req("/albums/1", "tok"), nil, now)
	for _, l := range ex.Lines {
		t.Log(l.Label, l.Text)
	}
}
