// Command oxdclients fetches the clients of oxd that the tests drive.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/umagate/umagate/e2e/oxd"
)

func main() {
	clients, err := oxd.Install(context.Background())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(clients.Python)
	fmt.Println(clients.Node)
}
