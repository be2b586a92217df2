// Package storetest is the conformance suite that every implementation of
// store passes.
package storetest

import (
	"testing"
	"time"

	"github.com/umagate/umagate/controlplane/store"
)

// opener opens an empty store; reopen opens the same one again, as another process would,
// beside the first or after its Close.
type opener func(t *testing.T) (s *store.SQL, reopen func() *store.SQL)

var (
	photos = store.Key{Site: "photos", Issuer: "https://as.example.com/realms/demo"}
	moved  = store.Key{Site: "photos", Issuer: "https://other.example.com"}
	at     = time.UnixMilli(1_790_000_000_123)
)

// Run tests a store.
func Run(t *testing.T, open opener) {
	t.Helper()
	t.Run("what replicas tell each other", func(t *testing.T) { fleet(t, open) })
	for name, test := range map[string]func(*testing.T, opener){
		"missing":                                  missing,
		"what the AS lost":                         lost,
		"what the AS keeps":                        kept,
		"records survive and are replaced":         records,
		"sites of a resource":                      resourceSites,
		"of two sites, one has a resource":         oneSite,
		"keys of a client":                         clientKeys,
		"a renewal does not undo another login":    renewals,
		"what applications protect":                protections,
		"what is forgotten is gone":                forgotten,
		"audit events are added, chosen and ended": auditEvents,
		"revocations":                              revocations,
		"keys are apart":                           apart,
		"concurrent writers lose nothing":          concurrently,
		"every write is a change that all see":     changes,
		"one leads":                                leads,
		"one changes a site":                       oneChanges,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open)
		})
	}
	runRPs(t, open)
	runInstances(t, open)
}
