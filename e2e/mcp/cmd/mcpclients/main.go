// Command mcpclients fetches the clients of MCP that the tests drive.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/umagate/umagate/e2e/mcp"
)

func main() {
	clients, err := mcp.Install(context.Background())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(clients.Python)
	fmt.Println(clients.Modules)
}
