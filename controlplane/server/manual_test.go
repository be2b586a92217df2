package server_test

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/registration"
	"github.com/umagate/umagate/controlplane/server"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/controlplane/store"
	"github.com/umagate/umagate/demo/devas"
)

// TestManualBesideServe: "umagate serve" and several "umagate apply" start at once
// from nothing, on one store. The AS takes a name twice, so only umagate itself
// keeps a resource from being registered twice; and so it is with the client.
func TestManualBesideServe(t *testing.T) {
	t.Parallel()
	as, err := devas.New(devas.Options{})
	require.NoError(t, err)
	front := httptest.NewServer(as)
	t.Cleanup(front.Close)
	as.SetIssuer(front.URL)
	var resources []string
	for i := range 30 {
		resources = append(resources, fmt.Sprintf("r%02d", i))
	}
	p := newPlane(t)
	p.Write(p.config(front.URL, resources...))
	file, err := site.Load(p.Path())
	require.NoError(t, err)

	var wg sync.WaitGroup
	errs := make([]error, 3)
	for i := range errs {
		wg.Go(func() {
			store, err := store.Open(t.Context(), file.Store.Secret(), filepath.Dir(p.Path()), file.StoreKeys()...)
			if err != nil {
				errs[i] = err
				return
			}
			defer func() { errs[i] = errors.Join(errs[i], store.Close()) }()
			m, err := registration.Open(t.Context(), registration.OperationOptions{
				Site: &file.Sites[0], Store: store, Logger: slog.New(slog.DiscardHandler), Transport: http.DefaultTransport,
			})
			if err != nil {
				errs[i] = err
				return
			}
			defer m.Close()
			_, _, errs[i] = m.Apply(t.Context(), nil)
		})
	}
	p.Start()
	wg.Wait()
	require.NoError(t, errors.Join(errs...))
	p.Until("serving", func(s server.Status) bool { return s.OK })
	require.ElementsMatch(t, resources, names(as))
	registrations := 0
	for _, c := range as.Calls(devas.EndpointRegistration) {
		if c.Method == http.MethodPost {
			registrations++
		}
	}
	require.Equal(t, 1, registrations)
}

// TestManualKeepsToWhatWasShown: what has changed since a plan was shown is not
// done.
func TestManualKeepsToWhatWasShown(t *testing.T) {
	t.Parallel()
	as, err := devas.New(devas.Options{})
	require.NoError(t, err)
	front := httptest.NewServer(as)
	t.Cleanup(front.Close)
	as.SetIssuer(front.URL)
	p := newPlane(t)
	open := func(resources ...string) *registration.Operation {
		p.Write(p.config(front.URL, resources...))
		file, err := site.Load(p.Path())
		require.NoError(t, err)
		store, err := store.Open(t.Context(), file.Store.Secret(), filepath.Dir(p.Path()), file.StoreKeys()...)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, store.Close()) })
		m, err := registration.Open(t.Context(), registration.OperationOptions{
			Site: &file.Sites[0], Store: store, Logger: slog.New(slog.DiscardHandler), Transport: http.DefaultTransport,
		})
		require.NoError(t, err)
		t.Cleanup(m.Close)
		return m
	}
	shown, err := open("albums").Plan(t.Context())
	require.NoError(t, err)
	_, _, err = open("albums", "people").Apply(t.Context(), &shown)
	require.ErrorIs(t, err, registration.ErrPlanChanged)
	require.Empty(t, names(as))
	done, _, err := open("albums").Apply(t.Context(), &shown)
	require.NoError(t, err)
	require.Equal(t, 1, done.Done)
	done, _, err = open("albums").Apply(t.Context(), &shown)
	require.NoError(t, err, "somebody has done it meanwhile")
	require.Zero(t, done.Done)
}
