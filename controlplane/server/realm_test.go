package server

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/as"
)

// TestRealmURL: Keycloak is asked where it is reached.
func TestRealmURL(t *testing.T) {
	tests := []struct{ name, issuer, token, want string }{
		{"as its issuer", "https://kc.example.com/realms/demo", "https://kc.example.com/realms/demo/protocol/openid-connect/token", "https://kc.example.com/realms/demo"},
		{"by a back channel", "https://kc.example.com/realms/demo", "http://keycloak:8080/realms/demo/protocol/openid-connect/token", "http://keycloak:8080/realms/demo"},
		{"by another path", "https://kc.example.com/realms/demo", "http://keycloak:8080/auth/realms/demo/protocol/openid-connect/token", "http://keycloak:8080/auth/realms/demo"},
		{"by a proxy of its own", "https://kc.example.com/realms/demo", "https://kc.example.com/token", "https://kc.example.com/realms/demo"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, tt.want, realmURL(as.Metadata{Issuer: tt.issuer, TokenEndpoint: tt.token}))
		})
	}
}

func TestNotBeforeUnknown(t *testing.T) {
	require.ErrorContains(t, notBeforeUnknown(errors.New("it answers 404")), "it answers 404")
	require.NoError(t, notBeforeUnknown(nil))
}
