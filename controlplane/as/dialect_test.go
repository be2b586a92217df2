package as_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/clientauth"
	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/plugin/config"
	"github.com/umagate/umagate/plugin/uma"
)

// script says everything that umagate says to an AS, step by step.
type script struct {
	t         *testing.T
	issuer    string
	transport http.RoundTripper
	// step has what its function says be looked at.
	step func(name string, f func())
	// initial registers the client.
	initial secret.Text
	// rpt gets an RPT for a ticket, and says the permissions that it has.
	rpt func(ticket string) secret.Text
	// noScope is a PAT source whose PATs lack the right to protect resources; nil
	// leaves that step out.
	noScope *as.PATSource
	expect  expectation
}

// expectation is in what the dialects differ for those who call this package.
type expectation struct {
	dialect as.DialectName
	// unmanaged: the registration cannot be read, changed or deleted.
	unmanaged bool
	// described: a survey has the descriptions.
	described bool
	// withoutScope and duplicate are what a PAT without the right and a second
	// resource of one name lead to; nil leaves the latter out.
	withoutScope, duplicate error
	// description: a resource has one.
	description bool
}

func (s *script) run() {
	t, ctx := s.t, s.t.Context()
	client, err := as.New(as.Config{
		Issuer: s.issuer, Transport: s.transport, Now: func() time.Time { return time.Unix(1767312000, 0) },
	})
	require.NoError(t, err)
	var server *as.Server
	s.step("discovery", func() { server, err = client.Discover(ctx) })
	require.NoError(t, err)
	d := server.Dialect()
	require.Equal(t, s.expect.dialect, d.Name)

	metadata := as.ClientMetadata{Name: "umagate photos", GrantTypes: d.GrantTypes, AuthMethod: clientauth.SecretBasic, Scope: d.RegisterScope}
	registration := s.register(server, metadata)
	auth, err := clientauth.NewSecret(registration.AuthMethod, registration.ClientID, registration.ClientSecret, nil)
	require.NoError(t, err)

	var pat as.Token
	s.step("pat", func() { pat, err = server.PAT(ctx, auth) })
	require.NoError(t, err)
	source := func(now, next secret.Text) *as.PATSource {
		life := time.Now().Add(time.Hour)
		return as.NewPATSource(as.Token{Value: now, IssuedAt: time.Now().Add(-time.Minute), ExpiresAt: life}, func(context.Context) (as.Token, error) {
			return as.Token{Value: next, IssuedAt: time.Now(), ExpiresAt: life}, nil
		}, nil, nil)
	}
	api := server.Protection(source(pat.Value, secret.Text{}))
	album := s.resources(api)

	permissions := []config.Permission{{ResourceID: album.ID, ResourceScopes: []string{"view"}}}
	ticket := ""
	s.step("permission", func() { ticket, err = api.Permission(ctx, permissions) })
	require.NoError(t, err)
	s.introspection(server, auth, source(pat.Value, secret.Text{}), ticket, album.ID)

	s.step("refused-pat", func() { _, err = server.Protection(source(secret.New("old"), pat.Value)).Permission(ctx, permissions) })
	require.NoError(t, err, "a PAT that the AS refuses is renewed, and the call made again")
	if s.noScope != nil {
		s.step("pat-without-scope", func() { _, err = server.Protection(s.noScope).Permission(ctx, permissions) })
		require.ErrorIs(t, err, s.expect.withoutScope)
	}
	unknown := "6f0c2f5e-3a5b-4f5e-9d38-0a3d5a8e9c02"
	var refused error
	s.step("unknown-resource", func() {
		_, err = api.Read(ctx, unknown)
		_, refused = api.Permission(ctx, []config.Permission{{ResourceID: unknown, ResourceScopes: []string{"view"}}})
	})
	require.ErrorIs(t, err, as.ErrNotFound)
	require.ErrorIs(t, refused, as.ErrRejected)
	told, ok := errors.AsType[*as.Error](refused)
	require.True(t, ok)
	require.Equal(t, "invalid_resource_id", told.Code)

	s.step("delete", func() { err = errors.Join(api.Delete(ctx, album.ID), api.Delete(ctx, album.ID)) })
	require.NoError(t, err, "one that is gone is no error")
	if !s.expect.unmanaged {
		s.step("deregistration", func() { err = server.DeleteRegistration(ctx, registration) })
		require.NoError(t, err)
	}
}

func (s *script) register(server *as.Server, metadata as.ClientMetadata) as.Registration {
	t, ctx := s.t, s.t.Context()
	var registered, read, updated as.Registration
	var err error
	s.step("registration", func() {
		registered, err = server.Register(ctx, metadata, s.initial)
		if err != nil || s.expect.unmanaged {
			return
		}
		if read, err = server.ReadRegistration(ctx, registered); err != nil {
			return
		}
		metadata.Name += " 2"
		updated, err = server.UpdateRegistration(ctx, read, metadata)
	})
	require.NoError(t, err)
	require.NotEmpty(t, registered.ClientID)
	require.False(t, registered.ClientSecret.IsZero())
	require.Equal(t, s.expect.unmanaged, registered.URI == "")
	if s.expect.unmanaged {
		return registered
	}
	require.Equal(t, registered.ClientID, updated.ClientID)
	return updated
}

func (s *script) resources(api *as.Protection) as.Resource {
	t, ctx := s.t, s.t.Context()
	album := as.Resource{
		Name: "albums", Type: "https://example.com/types/album", IconURI: "https://example.com/album.png",
		Description: "Collections of pictures", Scopes: []string{"edit", "view"},
	}
	given := album
	given.Scopes = []string{"view", "edit"}
	created := as.Resource{}
	var err error
	s.step("create", func() { created, err = api.Create(ctx, given) })
	require.NoError(t, err)
	require.NotEmpty(t, created.ID)
	album.ID = created.ID
	if !s.expect.description {
		album.Description = ""
	}
	var have as.Resource
	s.step("read", func() { have, err = api.Read(ctx, album.ID) })
	require.NoError(t, err)
	require.Equal(t, have.ExpiresAt.IsZero(), s.expect.dialect != as.DialectGluu, "only Gluu forgets resources by itself")
	have.ExpiresAt = time.Time{}
	require.Equal(t, have.Owner != "", s.expect.dialect == as.DialectKeycloak, "only Keycloak tells owners")
	album.Owner = have.Owner
	require.Equal(t, album, have)
	if s.expect.duplicate != nil {
		s.step("duplicate", func() { _, err = api.Create(ctx, given) })
		require.ErrorIs(t, err, s.expect.duplicate)
	}
	album.Scopes = []string{"view"}
	given.ID, given.Scopes = album.ID, album.Scopes
	s.step("update", func() { err = api.Update(ctx, given) })
	require.NoError(t, err)
	var ids []string
	var survey as.Listing
	s.step("list", func() {
		if ids, err = api.List(ctx); err == nil {
			survey, err = api.ListAll(ctx)
		}
	})
	require.NoError(t, err)
	require.Contains(t, ids, album.ID)
	require.Len(t, survey.Resources, len(ids))
	require.Equal(t, s.expect.described, survey.Described)
	if survey.Described {
		for i := range survey.Resources {
			survey.Resources[i].OwnerName = "" // an AS tells it or not
		}
		require.Contains(t, survey.Resources, album)
	}
	var found []as.Resource
	s.step("find", func() { found, err = api.FindByName(ctx, "albums") })
	require.NoError(t, err)
	require.Len(t, found, 1)
	require.Equal(t, album.ID, found[0].ID)
	return album
}

func (s *script) introspection(server *as.Server, auth clientauth.Auth, pats *as.PATSource, ticket, id string) {
	t, ctx := s.t, s.t.Context()
	rpt := s.rpt(ticket)
	var active, inactive []byte
	var err error
	s.step("introspection", func() {
		if active, err = server.Introspect(ctx, auth, pats, rpt); err == nil {
			inactive, err = server.Introspect(ctx, auth, pats, secret.New("nonsense"))
		}
	})
	require.NoError(t, err)
	token, err := uma.ParseIntrospection(active)
	require.NoError(t, err)
	require.True(t, token.Active)
	require.Len(t, token.Permissions, 1)
	require.Equal(t, id, token.Permissions[0].ResourceID)
	require.Equal(t, []string{"view"}, token.Permissions[0].Scopes)
	token, err = uma.ParseIntrospection(inactive)
	require.NoError(t, err)
	require.False(t, token.Active)
}

func expectations() map[string]expectation {
	return map[string]expectation{
		"generic":  {dialect: as.DialectGeneric, withoutScope: as.ErrRejected, description: true},
		"gluu":     {dialect: as.DialectGluu, withoutScope: as.ErrPATRefused, description: true},
		"wso2":     {dialect: as.DialectWSO2, withoutScope: as.ErrPATRefused, description: true, unmanaged: true, duplicate: as.ErrConflict},
		"keycloak": {dialect: as.DialectKeycloak, withoutScope: as.ErrPATRefused, described: true, duplicate: as.ErrConflict},
	}
}

// TestDialects replays what is recorded of each dialect.
func TestDialects(t *testing.T) {
	t.Parallel()
	for name, expect := range expectations() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlayer(t, name)
			s := &script{
				t: t, issuer: p.server.URL + issuerPath(name), step: p.play, initial: secret.New("iat-1"), expect: expect,
				rpt:     func(string) secret.Text { return secret.New("rpt-1") },
				noScope: fresh("pat-1"),
			}
			s.run()
		})
	}
}

// fresh is a source of one PAT that is too new to be renewed.
func fresh(pat string) *as.PATSource {
	token := as.Token{Value: secret.New(pat), IssuedAt: time.Now().Add(time.Hour), ExpiresAt: time.Now().Add(2 * time.Hour)}
	return as.NewPATSource(token, func(context.Context) (as.Token, error) { return token, nil }, nil, nil)
}

func issuerPath(folder string) string {
	switch folder {
	case "wso2":
		return "/oauth2/token"
	case "keycloak":
		return "/realms/umagate"
	default:
		return ""
	}
}
