package server_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/revoke"
	"github.com/umagate/umagate/controlplane/server/servertest"
	"github.com/umagate/umagate/e2e/keycloak/keycloaktest"
)

// TestKeycloakBackChannel: a real Keycloak whose issuer is an https address that
// does not answer here, and whose back channel is http on loopback.
func TestKeycloakBackChannel(t *testing.T) {
	t.Parallel()
	const public = "https://keycloak.umagate.test"
	kc := keycloaktest.StartBehind(t, public)
	realm := strings.TrimPrefix(kc.Issuer(), kc.URL())
	initial, err := kc.InitialAccessToken(t.Context(), 1)
	require.NoError(t, err)
	p := newPlane(t)
	document := strings.Replace(p.config(public+realm, "albums"), "register: {}", `register: {initial_access_token: "`+initial+`"}`, 1)
	document = strings.Replace(document, "    client:", `    endpoints: {discovery: "`+kc.Issuer()+`/.well-known/uma2-configuration"}`+"\n    client:", 1)
	p.Write(strings.Replace(document, "  resources:", "  revocation: {not_before_every: 1s}\n  resources:", 1))
	p.Start()
	site := p.Until("all is well", allWell).Sites[0]
	require.Equal(t, "keycloak", site.Dialect)
	require.Equal(t, public+realm, site.Issuer)
	require.Equal(t, 1, site.Resources.Registered)

	// What Keycloak revokes is read where it is reached.
	at := time.Now().Add(-time.Minute).Unix()
	require.NoError(t, kc.Admin(t.Context(), http.MethodPut, "", map[string]any{"notBefore": at}, nil))
	require.Eventually(t, func() bool {
		for _, r := range p.revocations() {
			if r.Kind == revoke.Issued && r.IssuedBefore.Unix() == at {
				return true
			}
		}
		return false
	}, servertest.Within, servertest.Within/100, "%v", p.revocations)
}
