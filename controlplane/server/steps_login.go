package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/controlplane/store"
)

// errLogin: the PAT is a person's, who has to log in.
var errLogin = errors.New("the owner of the resources has to log in")

// byLogin says that the PAT is a person's.
func (w *worker) byLogin() bool {
	return w.site.AuthorizationServer.PAT.Grant == site.PATAuthorizationCode
}

// fetchByLogin gets a PAT with the refresh token of the login. Where the AS gives
// another refresh token, it is stored before the PAT is used; nothing but the end
// of the process comes in between.
func (w *worker) fetchByLogin(ctx context.Context, server *as.Server, auth as.ClientAuth) (as.Token, error) {
	ctx = context.WithoutCancel(ctx) // the timeout of a call bounds it
	login, err := w.store.Login(ctx, w.key)
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
	if errors.Is(err, as.ErrGrantEnded) {
		// It is not tried again: some take that for theft.
		login.EndedAt = login.UpdatedAt
		w.logger.Error("the login has ended; Envoys keep the PAT they have", slog.String("subject", login.Subject), slog.Any("error", err))
		if storeErr := w.renewLogin(ctx, login); storeErr != nil {
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
	if err := w.renewLogin(ctx, login); err != nil {
		w.logger.Error("refresh token not stored: after a restart, the owner of the resources has to log in again", slog.Any("error", err))
	}
	return got.Token, nil
}

// renewLogin stores what follows from a login, unless there has been another.
func (w *worker) renewLogin(ctx context.Context, login store.Login) error {
	const attempts = 3
	var err error
	for range attempts {
		if err = w.store.RenewLogin(ctx, w.key, login); err == nil || errors.Is(err, store.ErrNotFound) {
			return nil
		}
	}
	return err
}
