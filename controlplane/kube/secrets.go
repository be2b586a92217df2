package kube

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/umagate/umagate/controlplane/kube/desired"
)

// secretWithin bounds how long a Secret is waited for.
const secretWithin = 5 * time.Second

// secrets reads the Secrets that are named, each by a request of its own: whoever may get
// some by name may not list or watch others.
type secrets struct {
	reader client.Reader

	mu    sync.Mutex
	known map[desired.Name]*known
}

// known is what a Secret has, of the keys that were asked for.
type known struct {
	values map[string][]byte
	errors map[string]error
}

var (
	// errSecret says what an author can do something about, at that place.
	errSecret = errors.New("spec")
	// errAway: the API server does not answer.
	errAway = errors.New("cannot be read now")
)

func newSecrets(reader client.Reader) *secrets {
	return &secrets{reader: reader, known: map[desired.Name]*known{}}
}

// get returns a key of a Secret, as it was read last.
func (s *secrets) get(ctx context.Context, name desired.Name, key string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k := s.known[name]; k != nil {
		if value, ok := k.values[key]; ok {
			return value, nil
		}
		if err := k.errors[key]; err != nil {
			return nil, err
		}
	}
	value, err := s.read(ctx, name, key)
	s.note(name, key, value, err)
	return value, err
}

func (s *secrets) note(name desired.Name, key string, value []byte, err error) {
	k := s.known[name]
	if k == nil {
		k = &known{values: map[string][]byte{}, errors: map[string]error{}}
		s.known[name] = k
	}
	delete(k.values, key)
	delete(k.errors, key)
	if err != nil {
		k.errors[key] = err
	} else {
		k.values[key] = value
	}
}

func (s *secrets) read(ctx context.Context, name desired.Name, key string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, secretWithin)
	defer cancel()
	var secret corev1.Secret
	err := s.reader.Get(ctx, name, &secret)
	switch {
	case err == nil:
		if value := secret.Data[key]; len(value) > 0 {
			return value, nil
		}
		return nil, fmt.Errorf("%w: Secret %s has no %s; add it, or write another key", errSecret, name, key)
	case apierrors.IsNotFound(err):
		return nil, fmt.Errorf("%w: there is no Secret %s; create it", errSecret, name)
	case apierrors.IsForbidden(err):
		return nil, fmt.Errorf("%w: Secret %s may not be read; let the controller's service account get it by name, with a Role of this namespace", errSecret, name)
	default:
		return nil, fmt.Errorf("%w: Secret %s: %w: %w", errSecret, name, errAway, err)
	}
}

// refresh reads all anew, and reports whether one is not as it was.
func (s *secrets) refresh(ctx context.Context) (changed bool) {
	for _, one := range s.asked() {
		value, err := s.read(ctx, one.name, one.key)
		if errors.Is(err, errAway) {
			continue // what was read stays
		}
		s.mu.Lock()
		if k := s.known[one.name]; k != nil {
			before, beforeErr := k.values[one.key], k.errors[one.key]
			if !bytes.Equal(before, value) || (beforeErr == nil) != (err == nil) || err != nil && beforeErr.Error() != err.Error() {
				changed = true
				s.note(one.name, one.key, value, err)
			}
		}
		s.mu.Unlock()
	}
	return changed
}

type askedFor struct {
	name desired.Name
	key  string
}

func (s *secrets) asked() (out []askedFor) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, k := range s.known {
		for key := range k.values {
			out = append(out, askedFor{name, key})
		}
		for key := range k.errors {
			out = append(out, askedFor{name, key})
		}
	}
	return out
}

// keep forgets those that nobody names any more.
func (s *secrets) keep(named map[desired.Name]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.known, func(name desired.Name, _ *known) bool { return !named[name] })
}
