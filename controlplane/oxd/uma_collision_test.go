package oxd_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/demo/devas"
)

// TestProtectCollides: two resources that bring the same new scope at the same
// moment are in each other's way at Keycloak, and that is no resource of somebody
// else.
func TestProtectCollides(t *testing.T) {
	t.Parallel()
	k := newUMAKit(t, devas.Options{Dialect: devas.Keycloak()})
	id := k.register(t, map[string]any{"scope": []string{"openid"}})
	// The first call looks for a name; of those after it, some create.
	require.NoError(t, k.op.SetFault(devas.Fault{Endpoint: devas.EndpointResources, Kind: devas.FaultCollision, Skip: 3, Count: 5}))
	k.protect(t, id, photo, nil)
	require.Empty(t, k.op.Faults(), "there were collisions")
	require.Len(t, k.atAS(t), 3)
}
