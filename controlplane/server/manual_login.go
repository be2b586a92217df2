package server

import (
	"context"
	"errors"
	"net/url"
	"time"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/audit"
	"github.com/umagate/umagate/controlplane/store"
)

// ErrNoLogin says that the site's PAT is the client's own.
var ErrNoLogin = errors.New("the site's PAT is the client's own, and nobody has to log in for it: write authorization_server.pat.grant: authorization_code if the resources are a person's")

// Login begins the login of the person who owns the resources, after registering
// the client where there is none. redirect is the address that the answer comes
// to.
func (m *Manual) Login(ctx context.Context, redirect string) (*as.Login, error) {
	if !m.worker.byLogin() {
		return nil, ErrNoLogin
	}
	if err := m.register(ctx); err != nil {
		return nil, err
	}
	return m.worker.server.NewLogin(m.worker.auth, redirect)
}

// FinishLogin takes the answer, and stores the refresh token and the PAT. A
// running control plane goes on with it.
func (m *Manual) FinishLogin(ctx context.Context, login *as.Login, answer url.Values) (as.Person, error) {
	// Once the code is exchanged, what it gave must not be lost.
	ctx = context.WithoutCancel(ctx)
	got, person, err := login.Finish(ctx, answer)
	if err != nil {
		return person, err
	}
	w := m.worker
	now := time.Now()
	name := person.Name
	err = w.store.PutLogin(ctx, w.key, store.Login{
		ClientID: w.auth.ClientID(), Subject: name, Scope: got.Scope, RefreshToken: got.RefreshToken, ObtainedAt: now, UpdatedAt: now,
	})
	if err != nil {
		return person, err
	}
	w.record(ctx, audit.Login, name, map[string]string{"client_id": w.auth.ClientID(), "scope": got.Scope})
	return person, w.store.PutPAT(ctx, w.key, store.PAT{
		Value: got.Value, ClientID: w.auth.ClientID(), IssuedAt: got.IssuedAt, ExpiresAt: got.ExpiresAt,
	})
}

// RedirectURI is where the answer to a login comes to, as umagate.yaml has it.
func (m *Manual) RedirectURI() string { return m.worker.site.AuthorizationServer.PAT.RedirectURI }
