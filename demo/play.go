package demo

import (
	"context"
	_ "embed"
	"net/http"
	"time"

	"github.com/umagate/umagate/demo/devas"
	"github.com/umagate/umagate/demo/sampleapi"
)

// play is one of the stories: what it happens in, and how it goes.
type play struct {
	title string
	// file is its umagate.yaml.
	file string
	// api is what is protected, and about says what it is.
	api   func(w *world) http.Handler
	about string
	// scopes are what the authorization server has besides OpenID Connect's.
	scopes []string
	// owners have the resources, and are asked for what nobody has been given yet.
	owners map[string]string
	// policies are there from the beginning.
	policies []devas.Policy
	// poll is how long the authorization server has a client wait that asks whether the
	// owner has answered; zero is its own.
	poll time.Duration

	tell func(ctx context.Context, w *world, p *printer) error
	// tries are what to try while everything stays up.
	tries func(w *world, umagate string) []try
}

// try is something to try: why, and the lines to type.
type try struct {
	about string
	lines []string
}

//go:embed umagate.yaml
var albumsFile string

//go:embed mcp.yaml
var agentsFile string

// plays returns the story that is asked for.
func playOf(o Options) play {
	if o.MCP {
		return play{
			title: "umagate: who may let an agent do what? The owner, tool by tool",
			file:  agentsFile, about: "an MCP server: what agents do to alice's albums. It guards nothing",
			api:    func(w *world) http.Handler { return w.tools.handler() },
			scopes: []string{"open", "view", "delete"},
			owners: map[string]string{alicesAlbums: "alice"},
			// Whoever has logged in may see which tools there are.
			policies: []devas.Policy{{Resource: alicesAlbums, Scopes: []string{"open"}, Subjects: []string{"*"}}},
			poll:     time.Second,
			tell:     tellMCP, tries: triesMCP,
		}
	}
	return play{
		title: "umagate: UMA 2.0 in front of an API that knows nothing of it",
		file:  albumsFile, about: "photo albums: 1 and 2 are alice's, 3 is bob's",
		api:    func(*world) http.Handler { return sampleapi.New() },
		scopes: []string{"view", "edit"},
		owners: map[string]string{"album-1": "alice", "album-2": "alice", "album-3": "bob"},
		tell:   tell, tries: triesAlbums,
	}
}
