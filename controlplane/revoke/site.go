package revoke

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/umagate/umagate/controlplane/secret"
)

// Site is what revocation needs to know of a site. The members of the AS are empty
// before it was reached.
type Site struct {
	Name string
	// Keep is how long a revocation stays whose tokens do not say when they end.
	Keep time.Duration
	// Leeway is the clock difference to the AS that is tolerated.
	Leeway time.Duration
	// Now is what time it is by the AS's clock; zero where that is not known.
	Now time.Time
	// NotBeforeEvery is how often the AS's not-before is read; 0 for never.
	NotBeforeEvery time.Duration

	Issuer, JWKS string
	// Names are the issuer and its aliases: what the AS may call itself in what it signs.
	Names []string
	// ClientIDs are those whose logout tokens are taken; OwnClientID, one of them,
	// is the site's own.
	ClientIDs   []string
	OwnClientID string
	// NotBeforeURL is where Keycloak tells its not-before; empty elsewhere.
	NotBeforeURL string
	// NotBeforeRead, when set, is told how each reading of it ended.
	NotBeforeRead func(err error)
	// Client makes calls to the AS.
	Client *http.Client
	// RevokeAtAS revokes a token at the AS (RFC 7009); nil when it cannot be done.
	RevokeAtAS func(ctx context.Context, token secret.Text) error
}

// Sites returns the sites as they are now.
type Sites func() []Site

// Errors of this package.
var (
	// ErrNoSite: there is no site of that name.
	ErrNoSite = errors.New("there is no such site")
	// ErrNotKnown: the AS has not been reached yet, or lacks what is needed.
	ErrNotKnown = errors.New("the authorization server is not known well enough")
	// ErrMessage: a signed message is not one that is to be believed.
	ErrMessage = errors.New("the message is refused")
	// ErrSpec: what is to be revoked is not said as it must be.
	ErrSpec = errors.New("exactly one of token, subject, client_id and session_id is needed, or issued_before alone")
)

func (s Sites) named(name string) (Site, error) {
	for _, site := range s() {
		if site.Name == name {
			return site, nil
		}
	}
	return Site{}, ErrNoSite
}
