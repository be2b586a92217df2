package registration

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/audit"
	"github.com/umagate/umagate/controlplane/clientauth"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/controlplane/store"
)

var (
	// ErrNoLogin says that the site's PAT is the client's own.
	ErrNoLogin = errors.New("the site's PAT is the client's own, and nobody has to log in for it: write authorization_server.pat.grant: authorization_code if the resources are a person's")
	// errLogin: the PAT is a person's, who has to log in.
	errLogin = errors.New("the owner of the resources has to log in")
)

// byLogin reports whether the PAT is a person's.
func (p *pat) byLogin() bool {
	return p.site.AuthorizationServer.PAT.Grant == site.PATAuthorizationCode
}

// fetchByLogin gets a PAT with the refresh token of the login. Where the AS gives
// another refresh token, it is stored before the PAT is used; nothing but the end
// of the process comes in between.
func (p *pat) fetchByLogin(ctx context.Context, server *as.Server, auth clientauth.Auth) (as.Token, error) {
	ctx = context.WithoutCancel(ctx) // the timeout of a call bounds it
	login, err := p.store.Login(ctx, p.key)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return as.Token{}, errLogin
	case err != nil:
		return as.Token{}, err
	case login.ClientID != auth.ClientID():
		return as.Token{}, fmt.Errorf("%w again: the login was to client %s, which has been replaced", errLogin, login.ClientID)
	case !login.EndedAt.IsZero():
		return as.Token{}, fmt.Errorf("%w again: the login of %s ended at %s", errLogin, login.Subject, login.EndedAt.UTC().Format(time.RFC3339))
	}
	got, err := server.Refresh(ctx, auth, login.RefreshToken)
	login.UpdatedAt = time.Now()
	if errors.Is(err, as.ErrInvalidGrant) {
		// It is not tried again: some take that for theft.
		login.EndedAt = login.UpdatedAt
		p.logger.Error("the login has ended; Envoys keep the PAT they have", slog.String("subject", login.Subject), slog.Any("error", err))
		if storeErr := p.renewLogin(ctx, login); storeErr != nil {
			err = errors.Join(err, storeErr)
		}
		return as.Token{}, fmt.Errorf("%w again: %w", errLogin, err)
	}
	if err != nil {
		return as.Token{}, err
	}
	login.RefreshToken = got.RefreshToken
	if got.Scope != "" {
		login.Scope = got.Scope
	}
	if err := p.renewLogin(ctx, login); err != nil {
		p.logger.Error("refresh token not stored: after a restart, the owner of the resources has to log in again", slog.Any("error", err))
	}
	return got.Token, nil
}

// renewLogin stores what follows from a login, unless there has been another.
func (p *pat) renewLogin(ctx context.Context, login store.Login) error {
	const attempts = 3
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		err := p.store.RenewLogin(ctx, p.key, login)
		if errors.Is(err, store.ErrNotFound) {
			err = nil
		}
		return struct{}{}, err
	}, backoff.WithMaxTries(attempts))
	return err
}

// finishLogin takes the answer to a login, and stores the refresh token and the PAT.
// A running control plane goes on with it.
func (p *pat) finishLogin(ctx context.Context, client *Client, login *as.Login, answer url.Values) (as.Person, error) {
	// Once the code is exchanged, what it gave must not be lost.
	ctx = context.WithoutCancel(ctx)
	got, person, err := login.Finish(ctx, answer)
	if err != nil {
		return person, err
	}
	now := time.Now()
	err = p.store.PutLogin(ctx, p.key, store.Login{
		ClientID: client.ID(), Subject: person.Name, Scope: got.Scope, RefreshToken: got.RefreshToken, ObtainedAt: now, UpdatedAt: now,
	})
	if err != nil {
		return person, err
	}
	p.record(ctx, audit.Login, person.Name, map[string]string{"client_id": client.ID(), "scope": got.Scope})
	return person, p.store.PutPAT(ctx, p.key, store.PAT{
		Value: got.Value, ClientID: client.ID(), IssuedAt: got.IssuedAt, ExpiresAt: got.ExpiresAt,
	})
}
