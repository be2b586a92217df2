package flows

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// row is one flow.
type row struct {
	name  string
	needs []Capability
	// hook names a hook of the Issuer that the row needs; "" is none.
	hook string
	run  func(t *testing.T, w *world)
}

// Run runs every flow that the issuer is capable of. The rows do not depend on
// each other: each registers what it needs.
func Run(t *testing.T, issuer Issuer) {
	t.Helper()
	require.NotNil(t, issuer.Permit, "flows.Issuer.Permit is needed: no specification has an API for policies")
	w := &world{Issuer: issuer}
	r := w.do(t, http.MethodGet, strings.TrimSuffix(issuer.URL, "/")+"/.well-known/uma2-configuration", "", "", nobody)
	require.Equal(t, http.StatusOK, r.status, r.raw)
	w.meta = r.body
	for _, row := range slices.Concat(clientRows(), tokenRows(), protectionRows(), umaRows(), claimsRows(), browserRows()) {
		t.Run(row.name, func(t *testing.T) {
			for _, c := range row.needs {
				if !issuer.can(c) {
					t.Skipf("the issuer does not have %s", c)
				}
			}
			if (row.hook == "Forbid" && issuer.Forbid == nil) || (row.hook == "AskOwner" && issuer.AskOwner == nil) {
				t.Skipf("the issuer has no hook %s", row.hook)
			}
			row.run(t, w)
		})
	}
}
