package cli

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/clientauth"
	"github.com/umagate/umagate/controlplane/envoyconf"
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

// evaluate asks the real AS what a real token may, as Envoy would: the token itself is the
// credential, or the site's client and its PAT are.
func (c *checker) evaluate(ctx context.Context, s *site.Site, call *decision.Call) (decision.Response, asked, error) {
	transport, err := transportOf(c.env, s)
	if err != nil {
		return decision.Response{}, asked{}, err
	}
	var target url.URL
	header := http.Header{}
	for _, h := range call.Headers {
		switch h.Name {
		case ":scheme":
			target.Scheme = h.Value
		case ":authority":
			target.Host = h.Value
		case ":path":
			target.Opaque = "//" + target.Host + h.Value
		case ":method":
		default:
			header.Set(h.Name, h.Value)
		}
	}
	if header.Get("Authorization") == "" {
		credential, err := c.credential(ctx, s, call.Cluster)
		if err != nil {
			return decision.Response{}, asked{}, err
		}
		if !credential.IsZero() {
			header.Set("Authorization", credential.Reveal())
		}
	}
	ctx, cancel := context.WithTimeout(ctx, call.Timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "", bytes.NewReader(call.Body))
	if err != nil {
		return decision.Response{}, asked{}, fmt.Errorf("asking what the token may: %w", err)
	}
	request.URL, request.Header, request.Host = &target, header, target.Host
	response, err := transport.RoundTrip(request)
	if err != nil {
		return decision.Response{}, asked{}, fmt.Errorf("asking what the token may: %w", err)
	}
	defer response.Body.Close() //nolint:errcheck // only read from
	body, err := io.ReadAll(io.LimitReader(response.Body, decision.MaxResponse))
	if err != nil {
		return decision.Response{}, asked{}, fmt.Errorf("asking what the token may: %w", err)
	}
	return decision.Response{Status: response.StatusCode, Body: body}, asked{What: "evaluation", Answer: shown(body)}, nil
}

// shown is an answer without what is as good as a password.
func shown(body []byte) string {
	var secrets struct {
		Ticket string `json:"ticket"`
		Token  string `json:"access_token"`
		Error  string `json:"error"`
	}
	if err := json.Unmarshal(body, &secrets); err != nil {
		return string(body) // no object, so that it has no member
	}
	switch {
	case secrets.Token != "":
		return "an RPT, which is introspected"
	case secrets.Ticket != "" && secrets.Error == "":
		return "a permission ticket"
	case secrets.Ticket != "":
		return secrets.Error
	}
	return string(body)
}

// credential is what Envoy adds to a call to a cluster of the site's AS; zero for a
// client that shows a certificate.
func (c *checker) credential(ctx context.Context, s *site.Site, cluster string) (secret.Text, error) {
	server, auth, err := c.server(ctx, s)
	if err != nil {
		return secret.Text{}, err
	}
	pat := cluster == site.ProtectionCluster(s.Name)
	if cluster == site.IntrospectionCluster(s.Name) {
		pat = cmp.Or(s.AuthorizationServer.Introspection.Credential, server.Dialect().Introspection) == as.CredentialPAT
	}
	client := s.AuthorizationServer.Client
	switch method := client.TokenEndpointAuthMethod; {
	case pat:
		token, err := server.PAT(ctx, auth)
		return envoyconf.Bearer(token.Value), err
	case method.UsesTLS():
		return secret.Text{}, nil
	case method == clientauth.SecretBasic || method == clientauth.SecretPost:
		return envoyconf.Basic(client.ID, client.Secret), nil
	default:
		return secret.Text{}, fmt.Errorf("Envoy cannot sign the assertions of %s; write client.token_endpoint_auth_method: client_secret_basic or tls_client_auth", method) //nolint:staticcheck // a name
	}
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
