// Command localkeycloak installs a Keycloak for the tests, or runs one to try
// umagate with.
//
//	localkeycloak install [version]  install one into the user's cache folder
//	localkeycloak enforcer           the same for Keycloak's policy enforcer
//	localkeycloak start [version]    run it until interrupted, and say where
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/umagate/umagate/e2e/keycloak"
	"github.com/umagate/umagate/e2e/keycloak/enforcer"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

// run returns the exit code: 0 done, 1 failed, 2 wrong usage.
func run(ctx context.Context, args []string) int {
	if len(args) == 1 && args[0] == "enforcer" {
		if err := enforcer.Install(ctx, os.Stderr); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return 0
	}
	version := keycloak.DefaultVersion
	if len(args) == 2 {
		version = args[1]
	}
	if len(args) == 0 || len(args) > 2 || args[0] != "install" && args[0] != "start" {
		fmt.Fprintln(os.Stderr, "usage: localkeycloak install|start [version], or localkeycloak enforcer")
		return 2
	}
	installation, err := keycloak.Install(ctx, version, os.Stderr)
	if err == nil && args[0] == "start" {
		err = serve(ctx, installation)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func serve(ctx context.Context, installation keycloak.Installation) error {
	server, err := keycloak.Start(ctx, installation)
	if err != nil {
		return err
	}
	defer server.Stop()
	fmt.Printf("Keycloak %s, issuer %s\n", installation.Version, server.Issuer())
	fmt.Printf("persons alice and bob (the password is the name), public client %q\n", keycloak.AppClient)
	<-ctx.Done()
	return nil
}
