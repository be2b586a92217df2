package server_test

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/server"
	"github.com/umagate/umagate/controlplane/server/servertest"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/demo/devas"
)

// source has as many sites as its number says.
type source struct {
	host     server.SourceHost
	issuer   string
	number   atomic.Int64
	open     chan struct{}
	stopped  atomic.Bool
	released atomic.Bool
}

func (s *source) Sites(context.Context, *site.File) ([]site.Site, error) {
	var out []site.Site
	for _, name := range []string{"photos", "one", "two"}[:s.number.Load()] {
		made := site.New()
		made.Name, made.Hosts = name, []string{name + ".source.example.com"}
		made.AuthorizationServer.Issuer = s.issuer
		made.AuthorizationServer.InsecureHTTP = true
		made.AuthorizationServer.Client.Register = &site.Register{}
		var condition site.Condition
		condition.Paths, condition.Scopes = []string{"/"}, []string{"view"}
		made.Resources = []site.Resource{{Name: name, Conditions: []site.Condition{condition}}}
		out = append(out, made)
	}
	return out, nil
}

func (s *source) Run(ctx context.Context) error {
	close(s.open)
	<-ctx.Done()
	s.stopped.Store(true)
	return nil
}

func (s *source) Close() { s.released.Store(true) }

// TestSourceOfSites: the sites of a source are served beside the file's, as they are
// when the source says that they have changed. The file's keep their names.
func TestSourceOfSites(t *testing.T) {
	t.Parallel()
	as := servertest.StartAS(t, devas.Options{})
	s := &source{issuer: as.Issuer(), open: make(chan struct{})}
	p := newPlane(t)
	p.Options.Sources = []server.OpenSource{func(_ context.Context, host server.SourceHost, _ *site.File) (server.Source, error) {
		s.host = host
		return s, nil
	}}
	p.Write(p.config(as.Issuer(), "albums"))
	p.Start()
	p.Until("the file's is served", func(s server.Status) bool { return s.OK && len(s.Sites) == 1 })

	<-s.open
	s.number.Store(2)
	enforced, err := s.host.Changed(t.Context())
	require.NoError(t, err)
	require.True(t, enforced, "there is no Envoy that does not")
	p.Until("the source's is served", func(s server.Status) bool {
		return s.OK && len(s.Sites) == 2 && s.Sites[1].Name == "one" && s.Sites[1].Resources.Registered == 1
	})
	require.ElementsMatch(t, []string{"albums", "one"}, names(as))
	require.Contains(t, p.Log.String(), "has the name of one in the file, and is left out")

	s.number.Store(3)
	ended, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	<-ended.Done()
	_, err = s.host.Changed(ended)
	require.ErrorIs(t, err, context.DeadlineExceeded)

	p.Stop()
	require.True(t, s.stopped.Load())
	require.True(t, s.released.Load())
}

// TestSectionWithoutItsSource: a file that asks for oxd is not served without it.
func TestSectionWithoutItsSource(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	p.Write(strings.Replace(p.config("http://127.0.0.1:1", "albums"), "sites:", "oxd: {http: 127.0.0.1:0, op_hosts: [{url: https://op.example.com}]}\nsites:", 1))
	err := server.Run(t.Context(), server.Options{Path: p.Path(), Logger: slog.New(slog.DiscardHandler)})
	require.ErrorContains(t, err, "built without it")
}
