package demo

import (
	"context"
	"fmt"
	"net/http"
	"sync"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// The tools of the MCP server.
const (
	getAlbum    = "get_album"
	deleteAlbum = "delete_album"
)

// mcpPath is where the MCP server is.
const mcpPath = "/mcp"

// tools is an MCP server, made with the Go SDK as anybody makes one. It knows nothing of
// authorization, and counts the calls that reach it.
type tools struct {
	mu    sync.Mutex
	calls map[string]int
}

// picture is what the tools are given.
type picture struct {
	ID string `json:"id" jsonschema:"the number of the album"`
}

func (t *tools) handler() http.Handler {
	server := mcp.NewServer(&mcp.Implementation{Name: "albums", Version: "1"}, nil)
	for name, does := range map[string]string{getAlbum: "shows", deleteAlbum: "deletes"} {
		mcp.AddTool(server, &mcp.Tool{Name: name, Description: fmt.Sprintf("%s one of alice's albums.", does)},
			func(_ context.Context, r *mcp.CallToolRequest, in picture) (*mcp.CallToolResult, any, error) {
				t.mu.Lock()
				t.calls[name]++
				t.mu.Unlock()
				who := r.Extra.Header.Get("X-Uma-Subject") // which the gateway alone can set
				text := fmt.Sprintf("%s album %s: Lofoten, 12 pictures (for %s)", does, in.ID, who)
				return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: text}}}, nil, nil
			})
	}
	mux := http.NewServeMux()
	mux.Handle(mcpPath, mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, nil))
	return mux
}

// called is how often a tool was called.
func (t *tools) called(name string) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.calls[name]
}
