package registration

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/health"
	"github.com/umagate/umagate/demo/devas"
)

// TestProbeLooksAtTheList: of a site with many resources, the next probe finds one that the
// AS lost, wherever it stands, and the AS is asked for one list more.
func TestProbeLooksAtTheList(t *testing.T) {
	t.Parallel()
	const many = 300
	o, server := newTestOwners(t, "register: {}")
	s := *o.client.site
	one := s.Resources[0]
	s.Resources = nil
	for i := range many {
		r := one
		r.Name = fmt.Sprintf("r%04d", i)
		s.Resources = append(s.Resources, r)
	}
	a := *o.client.account
	a.site = &s
	kept := o.discovery.store.(Store)
	w := &Worker{account: &a, store: kept, prober: newProber(a.intervals), wake: make(chan struct{}, 1), doubt: make(chan struct{}, 1)}
	at := forgetful{handled: handled{server}, empty: &atomic.Bool{}}
	connection, err := connect(&s, at, nil)
	require.NoError(t, err)
	w.connection, w.owners = connection, newOwners(&a, connection, kept)
	t.Cleanup(w.owners.pat.stop)
	require.NoError(t, w.owners.pass(t.Context()))
	probe := func() (told bool, lists int) {
		before := server.Count(devas.EndpointResources)
		w.Probe(t.Context())
		lists = server.Count(devas.EndpointResources) - before
		for _, c := range a.conditions.Conditions() {
			told = told || c.Name == health.ResourceMissing.Name
			require.Contains(t, c.Message, "r0287")
		}
		return told, lists
	}
	told, lists := probe()
	require.False(t, told)
	require.Zero(t, lists, "that there are many is seen by the first")
	told, lists = probe()
	require.False(t, told)
	require.Equal(t, 1, lists)

	for _, r := range server.Resources() {
		if r.Name == "r0287" {
			require.True(t, server.DeleteResource(r.ID))
		}
	}
	w.prober.listDue = time.Time{}
	told, lists = probe()
	require.True(t, told)
	require.Equal(t, 1, lists)
	require.Len(t, w.wake, 1, "it is registered anew")
	w.owners.resources.due = time.Time{}
	require.NoError(t, w.owners.pass(t.Context()))

	// What the AS leaves out of its list, and has, is not told, and the list is left alone
	// for a while.
	at.empty.Store(true)
	w.prober.listDue = time.Time{}
	told, _ = probe()
	require.False(t, told)
	require.Positive(t, time.Until(w.prober.listDue)-listRefused/2)
	told, lists = probe()
	require.False(t, told)
	require.Zero(t, lists)
}

// forgetful answers with an empty list, once empty is set.
type forgetful struct {
	handled

	empty *atomic.Bool
}

func (f forgetful) RoundTrip(r *http.Request) (*http.Response, error) {
	if f.empty.Load() && r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/resources") {
		w := httptest.NewRecorder()
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.WriteString("[]")
		return w.Result(), nil
	}
	return f.handled.RoundTrip(r)
}
