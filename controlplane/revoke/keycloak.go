package revoke

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/umagate/umagate/controlplane/audit"
)

// The actions of Keycloak's messages to a client's admin URL.
const (
	pushNotBefore = "PUSH_NOT_BEFORE"
	logoutAll     = "LOGOUT"
)

// adminAction is a message of Keycloak's to a client's admin URL, signed with the
// realm's key. It names neither issuer nor audience; resource is the client_id.
type adminAction struct {
	ID         string `json:"id"`
	Expiration int64  `json:"expiration"`
	Resource   string `json:"resource"`
	Action     string `json:"action"`
	NotBefore  int64  `json:"notBefore"`
	// KeycloakSessionIDs are the sessions that a logout is for; all when there are none.
	KeycloakSessionIDs []string `json:"keycloakSessionIds"`
}

// AdminAction takes a message of Keycloak's: PUSH_NOT_BEFORE (k_push_not_before)
// or LOGOUT (k_logout). What is not before the site's own client is not before the
// site; what is not before another client is not before the tokens it was issued.
func (l *List) AdminAction(ctx context.Context, siteName, action, message string) error {
	site, err := l.options.Sites.named(siteName)
	if err != nil {
		return err
	}
	var got adminAction
	if err := l.keys.verified(ctx, site, message, &got); err != nil {
		return err
	}
	now := l.clock.atAS(site)
	expires := time.Unix(got.Expiration, 0)
	switch {
	case got.Action != action:
		return fmt.Errorf("%w: its action is %q, not %s", ErrMessage, got.Action, action)
	case !expires.After(now.Add(-clockSkew)) || expires.After(now.Add(maxAge)):
		return fmt.Errorf("%w: it does not expire soon, or has expired", ErrMessage)
	case !slices.Contains(site.ClientIDs, got.Resource):
		return fmt.Errorf("%w: it is for client %q; write it into revocation.client_ids if it is right", ErrMessage, got.Resource)
	case got.NotBefore < 0 || got.NotBefore > now.Add(clockSkew).Unix():
		return fmt.Errorf("%w: its notBefore is not a time that was", ErrMessage)
	}
	return l.once(ctx, site, got.ID, func() error {
		for _, spec := range got.specs(site) {
			if _, err := l.Revoke(ctx, spec); err != nil {
				return err
			}
		}
		return nil
	})
}

// specs is what a message revokes. A notBefore of 0 is none.
func (a adminAction) specs(site Site) []Spec {
	var out []Spec
	for _, session := range a.KeycloakSessionIDs {
		out = append(out, Spec{Site: site.Name, Kind: Session, Value: session, Source: FromKeycloak})
	}
	switch {
	case len(out) > 0 || a.NotBefore == 0:
	case a.Resource == site.OwnClientID:
		out = append(out, Spec{Site: site.Name, Kind: Issued, IssuedBefore: time.Unix(a.NotBefore, 0), Source: FromKeycloak})
	default:
		out = append(out, Spec{Site: site.Name, Kind: Client, Value: a.Resource, IssuedBefore: time.Unix(a.NotBefore, 0), Source: FromKeycloak})
	}
	return out
}

// readNotBefore reads the not-before of each realm, where it is due. Only the
// leader does; the others find it in the store.
func (l *List) readNotBefore(ctx context.Context) error {
	if l.options.Leads == nil || !l.options.Leads() {
		return nil
	}
	var errs []error
	for _, site := range l.options.Sites() {
		if site.NotBeforeURL == "" || site.Client == nil || site.NotBeforeEvery <= 0 || !l.due(site) {
			continue
		}
		err := l.readRealm(ctx, site)
		if err != nil {
			l.notBeforeIn(site, min(site.NotBeforeEvery, notBeforeAgain))
			err = fmt.Errorf("read the realm's not-before at %s: %w", site.NotBeforeURL, err)
			errs = append(errs, fmt.Errorf("site %s: %w", site.Name, err))
		}
		if site.NotBeforeRead != nil && ctx.Err() == nil {
			site.NotBeforeRead(err)
		}
	}
	return errors.Join(errs...)
}

// notBeforeAgain is the longest wait after a reading that failed: so long, at most, a
// realm can be read and is still told to be unknown.
const notBeforeAgain = 5 * time.Second

func (l *List) due(site Site) bool {
	l.mu.Lock()
	next := l.notBeforeDue[site.Name]
	l.mu.Unlock()
	if l.options.Now().Before(next) {
		return false
	}
	l.notBeforeIn(site, site.NotBeforeEvery)
	return true
}

func (l *List) notBeforeIn(site Site, wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.notBeforeDue[site.Name] = l.options.Now().Add(wait)
}

// readRealm reads the public document of a realm.
func (l *List) readRealm(ctx context.Context, site Site) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, site.NotBeforeURL, http.NoBody)
	if err != nil {
		return err
	}
	resp, err := site.Client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()            //nolint:errcheck // only read from
	body, err := io.ReadAll(resp.Body) // the client bounds it
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("it answers %s", resp.Status)
	}
	var realm struct {
		NotBefore *int64 `json:"tokens-not-before"`
	}
	if err := json.Unmarshal(body, &realm); err != nil || realm.NotBefore == nil {
		return errors.New("it does not answer with tokens-not-before; write revocation.not_before_every: 0s if this Keycloak does not tell")
	}
	at := time.Unix(*realm.NotBefore, 0)
	if *realm.NotBefore <= 0 || at.Add(site.Keep).Before(l.clock.atEarliest(site)) {
		return nil // whatever was issued before has ended
	}
	spec := Spec{Site: site.Name, Kind: Issued, IssuedBefore: at, Source: FromKeycloak}
	wanted, err := l.revocation(spec)
	if err != nil {
		return err
	}
	if known, ok := l.find(wanted.ID); ok && !known.IssuedBefore.Before(wanted.IssuedBefore) {
		return nil
	}
	_, err = l.Revoke(audit.WithActor(ctx, audit.Actor{Kind: audit.KindAS, Name: site.Issuer}), spec)
	return err
}
