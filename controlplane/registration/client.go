package registration

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/clientauth"
	"github.com/umagate/umagate/controlplane/envoyconf"
	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/controlplane/store"
)

// errNoEnvoyCredential: Envoy can send a header, and this client needs more.
var errNoEnvoyCredential = errors.New("the introspection endpoint takes the client's authentication, and Envoy cannot sign assertions")

// errNoGrantCredential is the same for token.evaluate: at_as.
var errNoGrantCredential = errors.New("token.evaluate: at_as takes the client's authentication at the token endpoint, and Envoy cannot sign assertions")

// Client is who the site is at its AS. It does not change: with another secret or
// key it is another Client.
type Client struct {
	Auth clientauth.Auth
	// Registered reports whether umagate registered it.
	Registered      bool
	SecretExpiresAt time.Time // zero for never

	method      clientauth.Method
	secret      secret.Text
	credentials envoyconf.Credentials
	keyID       string // of the key that Auth uses, where umagate made it
}

// ID is the client_id; empty for no client.
func (c *Client) ID() string {
	if c == nil {
		return ""
	}
	return c.Auth.ClientID()
}

// usesOwnKey reports whether it authenticates with a key and no secret.
func (c *Client) usesOwnKey() bool {
	return c != nil && (c.method == clientauth.PrivateKeyJWT || c.method == clientauth.SelfSignedTLS)
}

// clientStore keeps the client.
type clientStore interface {
	Client(ctx context.Context, key store.Key) (store.Client, error)
	PutClient(ctx context.Context, key store.Key, c store.Client) error
	DeleteClient(ctx context.Context, key store.Key) error
}

// client owns who the site is at its AS: the client of the file, or one that it
// registers, renews and replaces.
type client struct {
	*account

	store      clientStore
	keys       *keys
	connection *connection

	current      *Client   // nil for none
	updateDue    time.Time // when the registration is next compared with the file
	secretDue    time.Time // when something is to be done about the secret's end
	refusedSince time.Time // since when the AS refuses the client
	// refusedMetadata is the hash of what the client was to become and was not taken as,
	// for the reason refusedWhy.
	refusedMetadata string
	refusedWhy      error
}

func (c *client) due() time.Time { return earliest(c.updateDue, c.secretDue) }

// step makes sure that there is a client, registered as the file says.
func (c *client) step(ctx context.Context, server *as.Server) error {
	if err := c.obtain(ctx, server); err != nil {
		return err
	}
	return c.followFile(ctx, server)
}

// obtain makes sure that there is a client: the file's own, or one registered before,
// or a new one. How one of before is registered stays as it is.
func (c *client) obtain(ctx context.Context, server *as.Server) error {
	stored, err := c.stored(ctx)
	if err != nil {
		return err
	}
	switch stored.State {
	case store.ClientDeregistering:
		c.drop()
		return errDeregistering
	case store.ClientDeregistered:
		c.drop()
		return errDeregistered
	case store.ClientRegistering, store.ClientRegistered, store.ClientUpdating:
	}
	registers := c.site.AuthorizationServer.Client.Register != nil
	switch {
	case c.current == nil && !registers:
		c.enter(Registering)
		err = c.useGiven(ctx)
	case registers && (c.current == nil || stored.State == ""):
		c.enter(Registering)
		err = c.register(ctx, server, false)
	case registers && stored.State != store.ClientRegistering && (stored.ClientID != c.current.ID() || !stored.Secret.Equal(c.current.secret)):
		err = c.use(ctx, stored) // another process has registered it, or got another secret
	default:
		err = c.followKeys(ctx)
		if err == nil && registers {
			err = c.followExpiry(ctx, server, stored)
		}
	}
	if err != nil {
		return err
	}
	return c.checkEnvoyCredential(server)
}

// stored is the record of the client, zero where there is none.
func (c *client) stored(ctx context.Context) (store.Client, error) {
	stored, err := c.store.Client(ctx, c.key)
	if errors.Is(err, store.ErrNotFound) {
		return store.Client{}, nil
	}
	return stored, err
}

// demand makes sure that there is a client, on somebody's request: one that was
// deregistered is registered again, and no wait after a failure counts.
func (c *client) demand(ctx context.Context, server *as.Server) error {
	stored, err := c.stored(ctx)
	switch {
	case err != nil:
		return err
	case stored.State == store.ClientDeregistering:
		return errDeregistering
	case c.site.AuthorizationServer.Client.Register != nil:
		return c.register(ctx, server, true)
	case stored.State == store.ClientDeregistered:
		if err := c.store.DeleteClient(ctx, c.key); err != nil {
			return err
		}
	}
	return c.useGiven(ctx)
}

// useGiven uses the client of the file.
func (c *client) useGiven(ctx context.Context) error {
	if err := c.keys.ensure(ctx); err != nil {
		return err
	}
	return c.use(ctx, given(&c.site.AuthorizationServer.Client))
}

func given(c *site.Client) store.Client {
	return store.Client{ClientID: c.ID, Secret: c.Secret, AuthMethod: string(c.TokenEndpointAuthMethod)}
}

// restore uses the client that the store knows, unless it was given up.
func (c *client) restore(ctx context.Context) error {
	stored, err := c.stored(ctx)
	if err != nil {
		return err
	}
	if err := c.keys.read(ctx); err != nil {
		return err
	}
	if stored.State == store.ClientDeregistering || stored.State == store.ClientDeregistered {
		c.drop()
		return nil
	}
	return c.resume(ctx, stored)
}

// resume uses a client as it is stored.
func (c *client) resume(ctx context.Context, stored store.Client) error {
	settings := &c.site.AuthorizationServer.Client
	if settings.Register == nil {
		if _, own := settings.OwnKeys(); own && c.keys.ring.newest() == nil {
			return nil // the leader makes one
		}
		return c.use(ctx, given(settings))
	}
	if stored.State == store.ClientRegistering && c.board.read().Phase != Standby {
		c.logger.Warn("a registration was begun and its answer is not known; if the AS has a client of this name that is not in use, remove it",
			slog.String("client_name", c.clientName()), slog.Time("begun_at", stored.UpdatedAt))
	}
	if stored.ClientID == "" {
		return nil
	}
	return c.use(ctx, stored)
}

// drop gives up a client that is no more, and what it had.
func (c *client) drop() {
	c.current, c.secretDue = nil, time.Time{}
	c.board.update(func(s *Snapshot) bool {
		had := s.Client != nil || !s.PAT.Value.IsZero()
		s.Client, s.PAT, s.PATRenewsAt, s.source, s.ResourceIDs = nil, as.Token{}, time.Time{}, nil, nil
		s.enter(Deregistered)
		return had
	})
}

// use makes the client the one in use. ctx bounds nothing but reading.
func (c *client) use(ctx context.Context, stored store.Client) error {
	method := clientauth.Method(stored.AuthMethod)
	auth, certificate, err := c.authOf(method, stored)
	if err != nil {
		return err
	}
	next := &Client{
		Auth: auth, Registered: c.site.AuthorizationServer.Client.Register != nil, SecretExpiresAt: stored.SecretExpiresAt,
		method: method, secret: stored.Secret, keyID: c.keys.inUse(),
	}
	if envoySends(method) && !method.UsesTLS() {
		next.credentials.Introspection = envoyconf.Basic(stored.ClientID, stored.Secret)
	}
	if certificate != nil {
		if next.credentials.Certificate, err = envoyCertificate(certificate); err != nil {
			return err
		}
	}
	c.connection.present(certificate)
	c.board.update(func(s *Snapshot) bool {
		if s.Client.ID() != next.ID() {
			s.PAT, s.PATRenewsAt = as.Token{}, time.Time{}
		}
		s.Client, s.source = next, nil
		return true
	})
	c.current, c.refusedSince, c.secretDue = next, time.Time{}, c.expiryDue(stored)
	return ctx.Err()
}

// authOf is how a client authenticates: as the file says, or with the keys that
// umagate has made for it.
func (c *client) authOf(method clientauth.Method, stored store.Client) (clientauth.Auth, *tls.Certificate, error) {
	settings := &c.site.AuthorizationServer.Client
	if method != clientauth.PrivateKeyJWT && method != clientauth.SelfSignedTLS || !settings.PrivateKey.IsZero() {
		certificate, err := settings.GivenCertificate()
		if err != nil {
			return nil, nil, err
		}
		auth, err := settings.Auth(method, stored.ClientID, stored.Secret)
		return auth, certificate, err
	}
	own := c.keys.ring.inUse()
	if own == nil {
		return nil, nil, errNoKey
	}
	if method == clientauth.SelfSignedTLS {
		return clientauth.NewTLS(method, stored.ClientID), own.certificate, nil
	}
	auth, err := own.key.Auth(stored.ClientID, nil)
	return auth, nil, err
}

// followKeys uses the key that another process has put in place of the one in use.
func (c *client) followKeys(ctx context.Context) error {
	changed, err := c.keys.refresh(ctx)
	if id := c.keys.inUse(); err == nil && changed && id != "" && id != c.current.keyID && c.current.usesOwnKey() {
		return c.useKey(ctx)
	}
	return err
}

// useKey authenticates with the key in use from now on; the client is the same.
func (c *client) useKey(ctx context.Context) error {
	if c.current == nil {
		return nil
	}
	if settings := &c.site.AuthorizationServer.Client; settings.Register == nil {
		return c.use(ctx, given(settings))
	}
	stored, err := c.store.Client(ctx, c.key)
	if err != nil {
		return err
	}
	return c.use(ctx, stored)
}

// holder is the client as the owner of its keys needs it.
func (c *client) holder(server *as.Server) holder {
	return holder{
		update: func(ctx context.Context) error { return c.update(ctx, server) }, useKey: c.useKey,
		try: func(ctx context.Context, key *ownKey) error { return c.tryKey(ctx, server, key) },
	}
}

// checkEnvoyCredential refuses what could never work.
func (c *client) checkEnvoyCredential(server *as.Server) error {
	has := c.current.credentials
	if has.Introspection.IsZero() && has.Certificate.IsZero() {
		return c.envoyNeedsNoneOf(server, c.current.method)
	}
	return nil
}

// envoyNeedsNoneOf refuses a method that Envoy cannot authenticate by, where it has to.
func (c *client) envoyNeedsNoneOf(server *as.Server, method clientauth.Method) error {
	switch {
	case introspectionCredential(c.site, server) != as.CredentialPAT:
		return fmt.Errorf("%w (%s)", errNoEnvoyCredential, method)
	case c.site.EvaluatesByTicket(server.Dialect().EvaluatesTokens):
		return fmt.Errorf("%w (%s)", errNoGrantCredential, method)
	}
	return nil
}

// envoySends reports whether Envoy can authenticate by that method, by a header or by the
// client's certificate.
func envoySends(method clientauth.Method) bool {
	return method == clientauth.SecretBasic || method == clientauth.SecretPost || method == "" || method.UsesTLS()
}

// envoyCertificate is a certificate as Envoy gets it.
func envoyCertificate(pair *tls.Certificate) (envoyconf.ClientCertificate, error) {
	key, err := clientauth.PrivateKeyPEM(pair)
	if err != nil {
		return envoyconf.ClientCertificate{}, err
	}
	var chain []byte
	for _, der := range pair.Certificate {
		chain = append(chain, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return envoyconf.ClientCertificate{Chain: string(chain), Key: key}, nil
}
