package mcp_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// serverPath is where the MCP server is asked.
const serverPath = "/mcp"

// The tools.
const (
	getAlbum    = "get_album"
	deleteAlbum = "delete_album"
)

// everyTool says what each tool does.
var everyTool = map[string]string{
	getAlbum: "shown", deleteAlbum: "deleted", "print_album": "printed", "rename_album": "renamed", "share_album": "shared",
}

// toolsBut are all tools but some.
func toolsBut(some ...string) []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(everyTool)), func(name string) bool { return slices.Contains(some, name) })
}

// album is what the tools are given.
type album struct {
	ID string `json:"id" jsonschema:"the album"`
}

// newAlbums makes an MCP server over streamable HTTP: what agents do to albums. It guards nothing: what stands before it does. A tool's answer says for
// whom it was called, as the filter has told.
func newAlbums() http.Handler {
	s := mcp.NewServer(&mcp.Implementation{Name: "albums", Version: "1"}, nil)
	for name, did := range everyTool {
		mcp.AddTool(s, &mcp.Tool{Name: name, Description: "An album is " + did + "."},
			func(_ context.Context, r *mcp.CallToolRequest, in album) (*mcp.CallToolResult, any, error) {
				text := fmt.Sprintf("album %s is %s for %s", in.ID, did, r.Extra.Header.Get("X-Uma-Subject"))
				return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: text}}}, nil, nil
			})
	}
	mux := http.NewServeMux()
	mux.Handle(serverPath, mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return s }, nil))
	return mux
}
