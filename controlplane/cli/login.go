package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/umagate/umagate/controlplane/loopback"
	"github.com/umagate/umagate/controlplane/registration"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/controlplane/store"
)

// loginTimeout is how long a person may take.
const loginTimeout = 10 * time.Minute

func newLogin(env Environment) *cobra.Command {
	var (
		flags   fileFlags
		name    string
		browser bool
		timeout time.Duration
	)
	cmd := &cobra.Command{
		Use:   "login",
		Short: "Let the owner of a site's resources log in, so that the PAT is theirs",
		Long: `Print a link to the authorization server's login page, and wait on a loopback address
for the answer. The refresh token is kept in the store, sealed. "umagate serve" gets PATs
with it; a running one does so within seconds. Use it for sites whose resources belong to
a person: authorization_server.pat.grant: authorization_code.

Run it on the machine where the browser is. Elsewhere, forward the printed address, for
example with ssh -L and a port in pat.redirect_uri.

If there is no client yet, it is registered first. A login ends when the authorization
server says so, or when another client replaces this one. "umagate status" then says so,
Envoys keep the PAT that they have, and "umagate login" begins the next login.

Exit codes: 0 logged in, 1 failed or not finished in time, 64 wrong usage.`,
		Example: `  umagate login -c umagate.yaml --site photos
  umagate login --site photos --browser
  umagate login --site photos --output json`,
		Args: cobra.NoArgs,
		RunE: flags.withFile(env, func(ctx context.Context, file *site.File, _ []string) error {
			s, err := oneSite(file, flags.path, name)
			if err != nil {
				return err
			}
			done, err := flags.login(ctx, env, file, s, browser, timeout)
			if err != nil {
				return err
			}
			return flags.form.show(env, done, func(p *page) {
				p.printf("Site %s: logged in as %s. umagate serve uses it from now on.\n", s.Name, cmp.Or(done.Name, "somebody who is not told"))
			})
		}),
	}
	flags.register(cmd, outputText, outputJSON)
	cmd.Flags().StringVar(&name, "site", "", "the site `NAME`; needed when the file has several")
	cmd.Flags().BoolVar(&browser, "browser", false, "open the link in a browser, too")
	cmd.Flags().DurationVar(&timeout, "timeout", loginTimeout, "how long to wait for the answer")
	return cmd
}

// oneSite is the site of that name, or the only one.
func oneSite(file *site.File, path, name string) (*site.Site, error) {
	if name == "" {
		if len(file.Sites) == 1 {
			return &file.Sites[0], nil
		}
		return nil, fmt.Errorf("--site: %s has %d sites; say which one", path, len(file.Sites))
	}
	s, ok := file.Site(name)
	if !ok {
		return nil, fmt.Errorf("--site %s: %s has no such site", name, path)
	}
	return s, nil
}

// loggedIn is what "login --output json" prints.
type loggedIn struct {
	Site    string `json:"site"`
	Issuer  string `json:"issuer"`
	Subject string `json:"sub,omitempty"`
	Name    string `json:"name,omitempty"`
}

// login bounds by timeout how long the person may take, and nothing else.
func (f *fileFlags) login(ctx context.Context, env Environment, file *site.File, s *site.Site, browser bool, timeout time.Duration) (out loggedIn, err error) {
	opened, err := store.Open(ctx, file.Store.Secret(), filepath.Dir(f.path), file.StoreKeys()...)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, opened.Close()) }()
	m, err := openManual(ctx, env, registration.OperationOptions{Site: s, Store: opened})
	if err != nil {
		return out, withRemedy(err)
	}
	defer m.Close()
	back, err := loopback.ListenFor(ctx, m.RedirectURI())
	if err != nil {
		return out, err
	}
	defer back.Close() //nolint:contextcheck // it ends after the caller's context
	login, err := m.Login(ctx, back.Address())
	if err != nil {
		return out, withRemedy(err)
	}
	if _, err := fmt.Fprintf(env.Stderr, "Log in here, as the owner of the resources of site %s:\n\n  %s\n\nwaiting for the answer at %s …\n", s.Name, login.Address(), back.Address()); err != nil {
		return out, err
	}
	if browser && env.OpenBrowser != nil {
		if err := env.OpenBrowser(ctx, login.Address()); err != nil {
			_, _ = fmt.Fprintf(env.Stderr, "no browser opened (%v): open the link yourself\n", err)
		}
	}
	waiting, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("nobody logged in within %s", timeout))
	defer cancel()
	answer, err := back.Wait(waiting, login.State())
	if err != nil {
		return out, errors.Join(err, context.Cause(waiting))
	}
	person, err := m.FinishLogin(ctx, login, answer)
	if err != nil {
		return out, withRemedy(err)
	}
	return loggedIn{Site: s.Name, Issuer: s.AuthorizationServer.Issuer, Subject: person.Subject, Name: person.Name}, nil
}

// withRemedy adds what an operator can do.
func withRemedy(err error) error {
	if remedy := registration.Remedy(err); remedy != "" {
		return fmt.Errorf("%w\n  = %s", err, remedy)
	}
	return err
}
