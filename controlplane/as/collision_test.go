package as_test

import (
	"context"
	"encoding/base64"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/secret"
)

// colliding is an AS in memory: the first writes collide, the next succeeds.
type colliding struct {
	metadata, refusal, success string
	collisions                 int
	writes                     []time.Time
}

func (c *colliding) RoundTrip(req *http.Request) (*http.Response, error) {
	answer := func(status int, body string) (*http.Response, error) {
		return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body)), Request: req}, nil
	}
	switch {
	case strings.Contains(req.URL.Path, "/.well-known/"):
		return answer(http.StatusOK, c.metadata)
	case req.Method == http.MethodGet:
		return answer(http.StatusOK, c.success)
	}
	c.writes = append(c.writes, time.Now())
	if len(c.writes) <= c.collisions {
		return answer(http.StatusConflict, c.refusal)
	}
	return answer(http.StatusCreated, c.success)
}

// TestCollision: a Keycloak that was writing the same new scope at that moment is
// asked again, after longer and longer waits, and not for ever. A name that is
// taken stays so.
func TestCollision(t *testing.T) {
	t.Parallel()
	const (
		keycloak = `{"issuer":"http://as.test/realms/r","token_endpoint":"http://as.test/realms/r/protocol/openid-connect/token",
			"resource_registration_endpoint":"http://as.test/realms/r/authz/protection/resource_set"}`
		other    = `{"issuer":"http://as.test/realms/r","token_endpoint":"http://as.test/t","resource_registration_endpoint":"http://as.test/rreg"}`
		collides = `{"error":"conflict","error_description":"Duplicate resource error"}`
		taken    = `{"error":"invalid_request","error_description":"Resource with name [albums] already exists."}`
	)
	album := as.Resource{ID: "r1", Name: "albums", Scopes: []string{"view"}}
	create := func(ctx context.Context, p *as.Protection) error {
		_, err := p.Create(ctx, as.Resource{Name: album.Name, Scopes: album.Scopes})
		return err
	}
	tests := []struct {
		name              string
		metadata, refusal string
		collisions        int
		write             func(ctx context.Context, p *as.Protection) error
		want              error
		writes            int
	}{
		{"none", keycloak, collides, 0, create, nil, 1},
		{"once", keycloak, collides, 1, create, nil, 2},
		{"as often as is tried again", keycloak, collides, 7, create, nil, 8},
		{"for ever", keycloak, collides, 1000, create, as.ErrCollision, 8},
		{"another answer of the same status", keycloak, `<html>`, 1, create, nil, 2},
		{"a name that is taken", keycloak, taken, 1000, create, as.ErrConflict, 1},
		{"at an AS that says nothing more", other, collides, 1000, create, as.ErrConflict, 1},
		{"an update", keycloak, collides, 3, func(ctx context.Context, p *as.Protection) error { return p.Update(ctx, album) }, nil, 4},
		{"for an owner", keycloak, collides, 3, func(ctx context.Context, p *as.Protection) error {
			_, err := p.Create(ctx, as.Resource{Name: album.Name, Scopes: album.Scopes, Owner: "alice"})
			return err
		}, nil, 4},
		{"for an owner, taken", keycloak, taken, 1000, func(ctx context.Context, p *as.Protection) error {
			_, err := p.Create(ctx, as.Resource{Name: album.Name, Scopes: album.Scopes, Owner: "alice"})
			return err
		}, as.ErrConflict, 1},
		{"of somebody who has gone", keycloak, collides, 1000, func(ctx context.Context, p *as.Protection) error {
			ctx, cancel := context.WithCancel(ctx)
			cancel()
			_, err := p.Create(ctx, album)
			return err
		}, context.Canceled, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := &colliding{metadata: tt.metadata, refusal: tt.refusal, collisions: tt.collisions, success: `{"_id":"r1","name":"albums","owner":{"id":"alice"}}`}
				client, err := as.New(as.Config{Issuer: "http://as.test/realms/r", Transport: server})
				require.NoError(t, err)
				found, err := client.Discover(t.Context())
				require.NoError(t, err)
				pat := as.Token{
					Value:    secret.New("e30." + base64.RawURLEncoding.EncodeToString([]byte(`{"azp":"rs"}`)) + ".x"),
					IssuedAt: time.Now(), ExpiresAt: time.Now().Add(time.Hour),
				}
				began := time.Now()
				err = tt.write(t.Context(), found.Protection(as.NewPATSource(pat, nil, nil, nil)))
				require.ErrorIs(t, err, tt.want)
				require.Len(t, server.writes, tt.writes)
				for i := 1; i < len(server.writes); i++ {
					require.Positive(t, server.writes[i].Sub(server.writes[i-1]), "it waits before it tries again")
				}
				require.LessOrEqual(t, time.Since(began), 1700*time.Millisecond)
				if err != nil {
					require.NotEmpty(t, as.Remedy(err))
				}
			})
		})
	}
}
