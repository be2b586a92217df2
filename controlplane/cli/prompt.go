package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"

	"golang.org/x/term"

	"github.com/umagate/umagate/controlplane/secret"
)

var errNoPassword = errors.New("there is no password; set UMAGATE_PASSWORD, or run in a terminal")

func lookupSecret(env Environment, name string) secret.Text {
	v, _ := env.LookupEnv(name)
	return secret.New(v)
}

// askPassword takes the password from the environment, or asks for it, naming
// the authorization server that gets it.
func askPassword(env Environment, user string) func(context.Context, string) (secret.Text, error) {
	return func(_ context.Context, issuer string) (secret.Text, error) {
		if p := lookupSecret(env, "UMAGATE_PASSWORD"); !p.IsZero() {
			return p, nil
		}
		f, ok := env.Stdin.(*os.File)
		if !ok || !isTerminal(f) {
			return secret.Text{}, errNoPassword
		}
		if _, err := fmt.Fprintf(env.Stderr, "Password of %s at %s: ", user, issuer); err != nil {
			return secret.Text{}, err
		}
		typed, err := term.ReadPassword(int(f.Fd()))
		_, _ = fmt.Fprintln(env.Stderr)
		if err != nil {
			return secret.Text{}, fmt.Errorf("read the password: %w", err)
		}
		return secret.New(string(typed)), nil
	}
}

func printSorted(w io.Writer, prefix string, values map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(values)) {
		_, _ = fmt.Fprintf(w, "%s%s: %s\n", prefix, name, values[name])
	}
}
