package server

import (
	"errors"
	"log/slog"
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

func TestNotBeforeInStatus(t *testing.T) {
	w := &worker{logger: slog.New(slog.DiscardHandler)}
	w.tellNotBefore(errors.New("it answers 404"))
	require.Len(t, w.attentions, 1)
	require.ErrorContains(t, w.attentions[0].err, "it answers 404")
	w.tellNotBefore(nil)
	require.Empty(t, w.attentions)
}
