package rpt

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/url"

	"github.com/umagate/umagate/controlplane/loopback"
)

// GatherClaims makes a [Flow]'s Gather: it shows the AS's address, with a loopback
// address to come back to, and waits for the new ticket (UMA Grant section 3.3.3).
// [loopback.ErrNoAnswer]: the browser does not come back.
func GatherClaims(at string, show func(ctx context.Context, address string) error) func(context.Context, *url.URL) (string, error) {
	return func(ctx context.Context, redirectUser *url.URL) (string, error) {
		back, err := loopback.Listen(ctx, at)
		if err != nil {
			return "", err
		}
		defer back.Close() //nolint:contextcheck // it ends after the caller's context
		state := rand.Text()
		u := *redirectUser
		q := u.Query()
		q.Set("claims_redirect_uri", back.Address())
		q.Set("state", state)
		u.RawQuery = q.Encode()
		if err := show(ctx, u.String()); err != nil {
			return "", err
		}
		got, err := back.Wait(ctx, state)
		if err != nil {
			return "", err
		}
		if got.Get("ticket") == "" {
			return "", fmt.Errorf("%w: the claims gathering ended with %s", ErrDenied, clip(got.Get("error")))
		}
		return got.Get("ticket"), nil
	}
}
