package registration

import (
	"context"
	"errors"
	"time"

	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/controlplane/store"
)

// ErrNoOwnKeys says that umagate makes no keys for the site's client.
var ErrNoOwnKeys = errors.New("umagate makes no keys for this site's client: write client.token_endpoint_auth_method: private_key_jwt, without private_key")

// KeyStatus is a key of the client, without its private part.
type KeyStatus struct {
	ID        string           `json:"kid"`
	Purpose   store.KeyPurpose `json:"use"`
	Algorithm string           `json:"alg"`
	State     store.KeyState   `json:"state"`
	CreatedAt time.Time        `json:"created_at"`
	StateAt   time.Time        `json:"state_at"`
	// NextAt is when it goes on to its next state; zero when that is not known.
	NextAt time.Time `json:"next_at,omitzero"`
	// Certificate is PEM; empty for a key that only signs.
	Certificate string `json:"certificate,omitempty"`
}

// KeyReader is where client keys are; [store.SQL] is one.
type KeyReader interface {
	ClientKeys(ctx context.Context, key store.Key) ([]store.ClientKey, error)
}

// Keys lists the keys that umagate made for a site's client, the oldest first.
func Keys(ctx context.Context, from KeyReader, s *site.Site) ([]KeyStatus, error) {
	settings, own := s.AuthorizationServer.Client.OwnKeys()
	stored, err := from.ClientKeys(ctx, store.Key{Site: s.Name, Issuer: s.AuthorizationServer.Issuer})
	if err != nil {
		return nil, err
	}
	out := make([]KeyStatus, 0, len(stored))
	for _, k := range stored {
		status := KeyStatus{
			ID: k.ID, Purpose: k.Purpose, Algorithm: k.Algorithm, State: k.State, CreatedAt: k.CreatedAt, StateAt: k.StateAt, Certificate: k.Certificate,
		}
		switch {
		case !own:
		case k.State == store.KeyPublished:
			status.NextAt = k.StateAt.Add(settings.PublishBefore)
		case k.State == store.KeyRetiring:
			status.NextAt = k.StateAt.Add(settings.Overlap)
		case k.State == store.KeyActive && settings.RotateEvery > 0:
			status.NextAt = k.CreatedAt.Add(settings.RotateEvery)
		}
		out = append(out, status)
	}
	return out, nil
}
