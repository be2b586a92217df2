package cli

import (
	"context"
	"errors"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/clientauth"
	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/plugin/decision"
)

var errNoClient = errors.New("asking about a token needs the client {id, secret} of the site in the file")

// introspect asks the real AS about --token.
func (c *checker) introspect(ctx context.Context, s *site.Site) (decision.Response, asked, error) {
	server, auth, err := c.server(ctx, s)
	if err != nil {
		return decision.Response{}, asked{}, err
	}
	answer, err := server.Introspect(ctx, auth, patsOf(server, auth), secret.New(c.flags.token))
	if err != nil {
		return decision.Response{}, asked{}, err
	}
	return decision.Response{Status: 200, Body: answer}, asked{What: "introspection", Answer: string(answer)}, nil
}

func (c *checker) server(ctx context.Context, s *site.Site) (*as.Server, clientauth.Auth, error) {
	client := s.AuthorizationServer.Client
	if client.ID == "" {
		return nil, nil, errNoClient
	}
	discovering, err := authorizationServer(c.env, s, false)
	if err != nil {
		return nil, nil, err
	}
	server, err := discovering.Discover(ctx)
	if err != nil {
		return nil, nil, err
	}
	auth, err := client.GivenAuth()
	return server, auth, err
}

func patsOf(server *as.Server, auth clientauth.Auth) *as.PATSource {
	return as.NewPATSource(as.Token{}, func(ctx context.Context) (as.Token, error) { return server.PAT(ctx, auth) }, nil, nil)
}
