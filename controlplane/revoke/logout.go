package revoke

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

const (
	// clockSkew is how far ahead the AS's clock may be in what it signs, and maxAge
	// how old a message may be at most: Keycloak's live two minutes.
	clockSkew = time.Minute
	maxAge    = 10 * time.Minute
)

// Logout takes a logout token of OpenID Connect Back-Channel Logout 1.0 (section
// 2.6), and revokes the session it names, or all that the subject was issued until
// then. An error wraps [ErrMessage] when the token is refused.
func (l *List) Logout(ctx context.Context, siteName, token string) error {
	site, err := l.options.Sites.named(siteName)
	if err != nil {
		return err
	}
	keys, err := l.keys.of(ctx, site)
	if err != nil {
		return err
	}
	now := l.clock.atAS(site)
	verifier := oidc.NewVerifier("", keys, &oidc.Config{
		SkipIssuerCheck: true, SkipClientIDCheck: true, // both are checked below
		SupportedSigningAlgs: algorithmNames(), Now: func() time.Time { return now.Add(-clockSkew) },
	})
	got, err := verifier.VerifyLogout(ctx, token)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrMessage, err)
	}
	switch {
	case !slices.Contains(site.Names, got.Issuer):
		return fmt.Errorf("%w: it was issued by %q; write it into issuer_aliases if that is a name of this authorization server", ErrMessage, got.Issuer)
	case !slices.ContainsFunc(got.Audience, func(aud string) bool { return slices.Contains(site.ClientIDs, aud) }):
		return fmt.Errorf("%w: it is for %q; write the client_id into revocation.client_ids if it is right", ErrMessage, got.Audience)
	case got.IssuedAt.IsZero() || got.IssuedAt.After(now.Add(clockSkew)) || got.IssuedAt.Before(now.Add(-maxAge)):
		return fmt.Errorf("%w: it was not issued just now", ErrMessage)
	}
	spec := Spec{Site: site.Name, Kind: Session, Value: got.SessionID, Source: FromLogout}
	if got.SessionID == "" {
		spec.Kind, spec.Value, spec.IssuedBefore = Subject, got.Subject, got.IssuedAt.Truncate(time.Second).Add(time.Second)
	}
	return l.once(ctx, site, got.TokenID, func() error {
		_, err := l.Revoke(ctx, spec)
		return err
	})
}

// once does what a message asks for, unless one of the same id was taken before.
// What could not be done may be sent again.
func (l *List) once(ctx context.Context, site Site, id string, do func() error) error {
	if id == "" {
		return fmt.Errorf("%w: it has no id", ErrMessage)
	}
	now := l.options.Now()
	sum := sha256.Sum256([]byte(site.Issuer + "\x00" + site.Name + "\x00" + id))
	name := base64.RawURLEncoding.EncodeToString(sum[:])
	first, err := l.options.Store.TakeMessage(ctx, name, now.Add(2*maxAge), now)
	switch {
	case err != nil:
		return err
	case !first:
		return fmt.Errorf("%w: it was taken before", ErrMessage)
	}
	if err := do(); err != nil {
		return errors.Join(err, l.options.Store.ForgetMessage(context.WithoutCancel(ctx), name))
	}
	return nil
}
