package revoke

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	jose "github.com/go-jose/go-jose/v4"
)

// algorithms are those that a message may be signed with. None is symmetric: the
// keys are public.
var algorithms = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
}

// keyring has the keys of each site's AS. A key that is not known is asked for, so
// that a rotation is noticed; but whoever sends messages with made-up keys must
// not make umagate ask without end.
type keyring struct {
	now func() time.Time

	mu     sync.Mutex
	bySite map[string]*siteKeys
}

type siteKeys struct {
	url string
	set *oidc.RemoteKeySet
}

// of returns the keys of a site's AS.
func (k *keyring) of(ctx context.Context, s Site) (oidc.KeySet, error) {
	if s.JWKS == "" || s.Issuer == "" || s.Client == nil {
		return nil, ErrNotKnown
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if found := k.bySite[s.Name]; found != nil && found.url == s.JWKS {
		return found.set, nil
	}
	client := *s.Client
	client.Transport = &sparing{next: client.Transport, now: k.now}
	// The set keeps the context for the client in it; calls have their own end.
	kept := oidc.ClientContext(context.WithoutCancel(ctx), &client)
	made := &siteKeys{url: s.JWKS, set: oidc.NewRemoteKeySet(kept, s.JWKS)}
	k.bySite[s.Name] = made
	return made.set, nil
}

// errSparing: the keys were asked for too often.
var errSparing = errors.New("the keys of the authorization server were read several times in the last seconds, and have none that signed this")

// sparing lets a few requests pass in each interval.
type sparing struct {
	next http.RoundTripper
	now  func() time.Time

	mu    sync.Mutex
	times []time.Time
}

// RoundTrip implements [http.RoundTripper].
func (s *sparing) RoundTrip(r *http.Request) (*http.Response, error) {
	const most, interval = 5, 10 * time.Second
	s.mu.Lock()
	now := s.now()
	s.times = slices.DeleteFunc(s.times, func(t time.Time) bool { return now.Sub(t) >= interval || t.After(now) })
	refused := len(s.times) >= most
	if !refused {
		s.times = append(s.times, now)
	}
	s.mu.Unlock()
	if refused {
		return nil, errSparing
	}
	next := s.next
	if next == nil {
		next = http.DefaultTransport
	}
	return next.RoundTrip(r)
}

// verified returns the payload of a message that the site's AS has signed.
func (k *keyring) verified(ctx context.Context, s Site, message string, to any) error {
	keys, err := k.of(ctx, s)
	if err != nil {
		return err
	}
	signed, err := jose.ParseSignedCompact(message, algorithms)
	if err != nil {
		return fmt.Errorf("%w: it is no JWS that a known algorithm signed", ErrMessage)
	}
	if len(signed.Signatures) != 1 {
		return fmt.Errorf("%w: it must have one signature", ErrMessage)
	}
	payload, err := keys.VerifySignature(ctx, message)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrMessage, err)
	}
	if err := json.Unmarshal(payload, to); err != nil {
		return fmt.Errorf("%w: its payload is not what it must be", ErrMessage)
	}
	return nil
}

func algorithmNames() []string {
	out := make([]string, len(algorithms))
	for i, a := range algorithms {
		out[i] = string(a)
	}
	return out
}
