package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/modelcontextprotocol/go-sdk/oauthex"
)

// agentBack is where the browser is sent back to after the login. Nobody listens there: the
// agent takes the address, as a program on a desktop does.
const agentBack = "http://127.0.0.1/callback"

// agent is an MCP client of the Go SDK, with its OAuth handler, and nothing of umagate.
type agent struct {
	user    *person
	wire    *wire
	session *mcp.ClientSession
	logins  int // how often its user was sent to the authorization server
}

// connect has the agent find its way to the server with nothing but the server's URL.
func (a *agent) connect(ctx context.Context, at string) error {
	browse := &http.Client{Transport: a.wire}
	handler, err := auth.NewAuthorizationCodeHandler(&auth.AuthorizationCodeHandlerConfig{
		RedirectURL: agentBack, Client: browse, AuthorizationCodeFetcher: a.askUser,
		DynamicClientRegistrationConfig: &auth.DynamicClientRegistrationConfig{Metadata: &oauthex.ClientRegistrationMetadata{
			ClientName: "Bob's agent", RedirectURIs: []string{agentBack}, TokenEndpointAuthMethod: "none", GrantTypes: []string{"authorization_code"},
		}},
	})
	if err != nil {
		return fmt.Errorf("the agent: %w", err)
	}
	client := mcp.NewClient(&mcp.Implementation{Name: "bob's agent", Version: "1"}, nil)
	a.session, err = client.Connect(ctx, &mcp.StreamableClientTransport{Endpoint: at, HTTPClient: browse, OAuthHandler: handler}, nil)
	if err != nil {
		return fmt.Errorf("the agent connects: %w", err)
	}
	return nil
}

// askUser has the user log in.
func (a *agent) askUser(ctx context.Context, args *auth.AuthorizationArgs) (*auth.AuthorizationResult, error) {
	a.logins++
	a.wire.note(a.user.name, "logs in, and lets the agent act in his name")
	back, err := a.user.logIn(ctx, args.URL, agentBack)
	if err != nil {
		return nil, err
	}
	q := back.Query()
	return &auth.AuthorizationResult{Code: q.Get("code"), State: q.Get("state"), Iss: q.Get("iss")}, nil
}

// call calls a tool. A refusal is what the SDK tells the agent of it, and no error.
func (a *agent) call(ctx context.Context, tool string) (text, refusal string, err error) {
	result, err := a.session.CallTool(ctx, &mcp.CallToolParams{Name: tool, Arguments: map[string]any{"id": "1"}})
	var denied *jsonrpc.Error
	switch {
	case errors.As(err, &denied):
		return "", denied.Message, nil
	case err != nil:
		return "", "", fmt.Errorf("the agent calls %s: %w", tool, err)
	}
	if len(result.Content) == 1 {
		if content, ok := result.Content[0].(*mcp.TextContent); ok {
			return content.Text, "", nil
		}
	}
	return "", "", fmt.Errorf("the answer of %s: %w", tool, ErrNotAsTold)
}

// wire is the agent's way to the net, with a look at what goes over it.
type wire struct {
	gateway, as string

	mu   sync.Mutex
	seen []message
}

// message is one request of the agent's with its answer, or an act of its user's.
type message struct {
	who, to string
	what    string
	status  int // 0 is an act
	answer  http.Header
	body    []byte // of an answer that is not a stream
}

func (w *wire) note(who, what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen = append(w.seen, message{who: who, to: toAS, what: what})
}

// take returns what has gone over the wire since the last take.
func (w *wire) take() []message {
	w.mu.Lock()
	defer w.mu.Unlock()
	seen := w.seen
	w.seen = nil
	return seen
}

// RoundTrip implements [http.RoundTripper].
func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	m := message{who: "agent", to: toGateway, what: r.Method + " " + r.URL.Path}
	if r.URL.Host == w.as {
		m.to = toAS
	} else if r.Method == http.MethodPost && r.GetBody != nil {
		m.what += "  " + rpcName(r)
	}
	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	m.status, m.answer = response.StatusCode, response.Header
	if !strings.HasPrefix(response.Header.Get("Content-Type"), "text/event-stream") {
		m.body, err = io.ReadAll(io.LimitReader(response.Body, 1<<20))
		if err = errors.Join(err, response.Body.Close()); err != nil {
			return nil, err
		}
		response.Body = io.NopCloser(bytes.NewReader(m.body))
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen = append(w.seen, m)
	return response, nil
}

// rpcName is the method of a message, and the tool that it calls.
func rpcName(r *http.Request) string {
	body, err := r.GetBody()
	if err != nil {
		return ""
	}
	var m struct {
		Method string
		Params struct{ Name string }
	}
	if json.NewDecoder(body).Decode(&m) != nil {
		return ""
	}
	return strings.TrimSpace(m.Method + " " + m.Params.Name)
}
