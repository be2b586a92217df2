package registration

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/clientauth"
	"github.com/umagate/umagate/controlplane/health"
	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/controlplane/store"
)

// What works is replaced only by what has been tried: another AS or client of the file
// ([Worker.Try]), another key (useNext), a secret that the AS answers (trySecret), another
// way to authenticate (tryMethod), endpoints that its metadata newly names (endpointsWork). What does not work is refused and told, and the one before goes on.

var (
	errLeaderFirst   = errors.New("the replica that leads has not tried it with success yet")
	errMethodRefused = errors.New("the authorization server does not take the client as it newly authenticates, and it was changed back")
)

// Try reports by its error whether the site can serve with these settings, before they
// take the place of others. It asks of the AS what is needed, keeps it in the store, and
// then does what Envoys will do. Nothing is published, and the worker is of no use after.
//
// leads is false for a replica that leaves all that to another. anew says that the store
// may know nothing of the AS yet, so that resources are registered too.
func (w *Worker) Try(ctx context.Context, leads, anew bool) error {
	phase := Standby
	if leads {
		phase = Discovering
	}
	trial := &onTrial{Store: w.store}
	w.store = trial
	if err := w.Restore(ctx, phase); err != nil {
		return err
	}
	defer w.owners.pat.stop()
	// A PAT that is in the store was had with what is to be replaced. That of a login stays:
	// its refresh token may be good once, and the worker in use has it, too.
	w.owners.pat.doubted = leads && !w.owners.pat.byLogin()
	const passes = 3 // a client that is registered anew has no PAT in the same pass
	for n := 0; leads && n < passes && (n == 0 || !w.Known()); n++ {
		if err := w.owners.prove(ctx, anew); err != nil {
			return err
		}
	}
	now := w.Snapshot()
	if !now.known(w.account.site) {
		return errLeaderFirst
	}
	if err := w.account.proves(ctx, &now); err != nil || !leads {
		return err
	}
	w.owners.pat.stop() // so that no other PAT comes
	return trial.commit(ctx, w.account.key)
}

// prove has the owners do what serving takes, and leaves the resources alone unless they
// are to be registered, too. A registration of the AS in use stays as it is: the worker
// that serves would put it back.
func (o *owners) prove(ctx context.Context, resources bool) error {
	if resources {
		return o.pass(ctx)
	}
	server, err := o.discovery.step(ctx)
	if err != nil {
		return err
	}
	o.client.secretDue = time.Time{} // a secret that ends is renewed by who uses it
	if err := o.client.obtain(ctx, server); err != nil {
		return err
	}
	// A registration is changed by who uses it, and tried then. What could never work is not
	// begun.
	if method := o.client.site.AuthorizationServer.Client.TokenEndpointAuthMethod; !envoySends(method) {
		if err := o.client.envoyNeedsNoneOf(server, method); err != nil {
			return err
		}
	}
	if o.pat.byLogin() && o.client.current != nil {
		if err := o.client.takes(ctx, server, o.client.current.Auth); err != nil {
			return err
		}
	}
	_, err = o.pat.step(ctx, server, o.client.current)
	if errors.Is(err, as.ErrClientRefused) {
		return o.client.refused(ctx, server, err)
	}
	return err
}

// Refused reports whether the AS refuses what Envoys authenticate with now, so that there
// is nothing to lose.
func (w *Worker) Refused(ctx context.Context) bool {
	now := w.Snapshot()
	if !now.known(w.account.site) {
		return true
	}
	err := w.account.proves(ctx, &now)
	return errors.Is(err, as.ErrClientRefused) || errors.Is(err, as.ErrPATRefused)
}

// proves reports by its error whether Envoys can do their work with what is known.
func (a *account) proves(ctx context.Context, now *Snapshot) error {
	if _, err := a.introspect(ctx, now); err != nil {
		return err
	}
	if list := a.declared(now); len(list) > 0 {
		if _, err := a.ticket(ctx, now, list[:1]); err != nil && !lacks(err) {
			return err
		}
	}
	return nil
}

// lacks reports whether the permission endpoint says that it does not have a resource, or
// not with its scopes (UMA Federated Authorization section 4.3): that is the worker's
// business. Any other refusal may be another endpoint's.
func lacks(err error) bool {
	failed, ok := errors.AsType[*as.Error](err)
	return ok && (failed.Code == "invalid_resource_id" || failed.Code == "invalid_scope")
}

// endpointsWork reports by its error whether Envoys can do their work at the endpoints of
// found, which are to replace those of before. Where they cannot do it at those either,
// there is nothing to lose.
func (d *discovery) endpointsWork(ctx context.Context, found *as.Server) error {
	now := d.board.read()
	if d.server == nil || !now.known(d.site) || reflect.DeepEqual(found.Metadata(), d.server.Metadata()) {
		d.conditions.Set(health.MetadataNotTaken, nil)
		return nil
	}
	before := now
	now.Server = found
	err := d.proves(ctx, &now)
	if err == nil || ctx.Err() != nil || d.proves(ctx, &before) != nil {
		d.conditions.Set(health.MetadataNotTaken, nil)
		return ctx.Err()
	}
	err = fmt.Errorf("tried what the metadata newly names: %w", err)
	d.conditions.Set(health.MetadataNotTaken, err)
	return err
}

// tryKey reports by its error whether the AS takes a key that is to come into use.
func (c *client) tryKey(ctx context.Context, server *as.Server, key *ownKey) error {
	if c.current == nil {
		return nil // there is nothing that works
	}
	auth := clientauth.NewTLS(c.current.method, c.current.ID())
	if key.certificate == nil {
		var err error
		if auth, err = key.key.Auth(c.current.ID(), nil); err != nil {
			return err
		}
	}
	if err := c.takesApart(ctx, server, auth, key.certificate); err != nil {
		return fmt.Errorf("the new key %s was tried: %w", key.ID, err)
	}
	return nil
}

// takesApart is takes on a connection of its own, with the certificate where there is one.
func (c *client) takesApart(ctx context.Context, server *as.Server, auth clientauth.Auth, certificate *tls.Certificate) error {
	connection, err := connect(c.site, c.connection.given, c.connection.observe)
	if err != nil {
		return err
	}
	defer connection.closeIdle()
	if server, err = connection.client.Known(server.Metadata()); err != nil {
		return err
	}
	if certificate != nil {
		connection.present(certificate)
	}
	return c.takes(ctx, server, auth)
}

// mayChange refuses an update of the registration that could never work, or was tried and
// did not.
func (c *client) mayChange(server *as.Server, stored store.Client, next as.ClientMetadata, hash string) error {
	if hash == c.refusedMetadata {
		return c.refusedWhy
	}
	if next.AuthMethod != "" && string(next.AuthMethod) != stored.AuthMethod && !envoySends(next.AuthMethod) {
		return c.envoyNeedsNoneOf(server, next.AuthMethod)
	}
	return nil
}

// tryMethod reports by its error that the AS has changed how the client authenticates, and
// does not take that. It cannot be tried before: a client has one method (RFC 7591 section
// 2).
func (c *client) tryMethod(ctx context.Context, server *as.Server, before store.Client, answered as.Registration) error {
	if string(answered.AuthMethod) == before.AuthMethod || c.current == nil {
		return nil
	}
	if err := c.keys.activateFirst(ctx); err != nil {
		return err
	}
	auth, certificate, err := c.authOf(answered.AuthMethod, store.Client{ClientID: answered.ClientID, Secret: answered.ClientSecret})
	if err == nil {
		err = c.takesApart(ctx, server, auth, certificate)
	}
	if err != nil {
		return fmt.Errorf("%w (%s in place of %s): %w", errMethodRefused, answered.AuthMethod, before.AuthMethod, err)
	}
	return nil
}

// changeBack has the client authenticate as before again.
func (c *client) changeBack(ctx context.Context, server *as.Server, before store.Client, changed as.Registration, metadata as.ClientMetadata) error {
	metadata.AuthMethod = clientauth.Method(before.AuthMethod)
	back, err := server.UpdateRegistration(ctx, changed, metadata)
	if err != nil {
		return fmt.Errorf("it was to be changed back: %w", err)
	}
	return c.keepRegistration(ctx, before, back)
}

// trySecret returns what the AS has answered about the registration. If it has another
// secret, which the AS does not take, and takes the one before, that one stays.
func (c *client) trySecret(ctx context.Context, server *as.Server, before store.Client, answered as.Registration) as.Registration {
	method := clientauth.Method(before.AuthMethod)
	if !method.HasSecret() || answered.ClientSecret.Equal(before.Secret) || answered.ClientID != before.ClientID || before.Secret.IsZero() {
		c.conditions.Set(health.ClientSecretNotTaken, nil)
		return answered
	}
	refusal := func(clientSecret secret.Text) error {
		tried := before
		tried.Secret = clientSecret
		auth, _, err := c.authOf(method, tried)
		if err != nil {
			return err
		}
		return c.takes(ctx, server, auth)
	}
	err := refusal(answered.ClientSecret)
	if err != nil && refusal(before.Secret) == nil {
		c.conditions.Set(health.ClientSecretNotTaken, err)
		answered.ClientSecret, answered.SecretExpiresAt = before.Secret, before.SecretExpiresAt
		return answered
	}
	c.conditions.Set(health.ClientSecretNotTaken, nil)
	return answered
}

// takes reports by its error whether the AS refuses how a client authenticates. That it
// cannot be asked says nothing against the client.
func (c *client) takes(ctx context.Context, server *as.Server, auth clientauth.Auth) (err error) {
	if (&pat{account: c.account}).byLogin() || !needsPAT(c.site, server) {
		_, err = server.IntrospectAs(ctx, auth, nil, nobodysToken, "")
	} else {
		_, err = server.PAT(ctx, auth)
	}
	if errors.Is(err, as.ErrClientRefused) {
		return err
	}
	return nil
}
