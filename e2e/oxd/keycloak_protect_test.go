package oxd_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/e2e/keycloak/keycloaktest"
)

// TestKeycloakFirstRegistrations: twelve resources that bring the same new scopes
// are registered at once. Keycloak refuses some of those that are in each other's
// way, and every command succeeds all the same.
func TestKeycloakFirstRegistrations(t *testing.T) {
	t.Parallel()
	const applications, paths = 20, 12
	as := keycloaktest.Start(t)
	to := serve(t, as.Issuer(), false)
	failed := map[string]int{}
	for n := range applications {
		site := setUp(t, to, map[string]any{
			"grant_types": []string{"authorization_code", "client_credentials", "urn:ietf:params:oauth:grant-type:uma-ticket"},
		})
		var resources []any
		for i := range paths {
			resources = append(resources, map[string]any{"path": fmt.Sprintf("/photo/%d", i), "conditions": []any{
				map[string]any{"httpMethods": []string{"GET"}, "scopes": []string{fmt.Sprint("view-", n), fmt.Sprint("all-", n)}},
			}})
		}
		status, data := command(t, to, "uma-rs-protect", map[string]any{"oxd_id": site["oxd_id"], "resources": resources})
		if status != "ok" {
			failed[fmt.Sprint(data["error"])]++
			continue
		}
		require.Equal(t, map[string]any{"oxd_id": site["oxd_id"]}, data)
	}
	require.Empty(t, failed, "of %d first registrations", applications)
}
