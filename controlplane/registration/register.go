package registration

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/audit"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/controlplane/store"
)

var (
	errDeregistering  = errors.New("the site is being deregistered, or that was cut off")
	errDeregistered   = errors.New("the site was deregistered, and is not registered anew by itself")
	errOutcomeUnknown = errors.New("what became of the registration before is not known, and the authorization server may have a client of it")
	errLeftBehind     = errors.New("the authorization server may have registered a client that nobody can use: look for it there, by its client_name, and remove it")
	errTooSoon        = errors.New("the client was registered a short while ago, and is not registered again before its time")
)

const (
	// longestWait bounds the wait for the next registration.
	longestWait = 24 * time.Hour
	// closely is within what time registrations count as following each other.
	closely = 24 * time.Hour
	// growth is by how much such a wait grows each time.
	growth = 4
)

// grown is first after one time, growth times that after two, and so on.
func grown(first time.Duration, times int, longest time.Duration) time.Duration {
	wait := first
	for range times - 1 {
		if wait *= growth; wait >= longest {
			return longest
		}
	}
	return min(wait, longest)
}

// register registers a client, unless another process of this store has done so
// meanwhile. On demand, no wait after a failure counts.
func (c *client) register(ctx context.Context, server *as.Server, demanded bool) error {
	return c.locked(ctx, func(ctx context.Context) error {
		previous, err := c.stored(ctx)
		switch {
		case err != nil:
			return err
		case previous.State == store.ClientDeregistering:
			return errDeregistering
		case previous.State == store.ClientDeregistered:
			previous = store.Client{}
		case previous.State != store.ClientRegistering && previous.ClientID != c.current.ID() && previous.ClientID != "":
			return c.use(ctx, previous)
		}
		if wait := time.Until(previous.RetryAt); wait > 0 && !demanded {
			return fmt.Errorf("%w: the next attempt is at %s", errOutcomeUnknown, previous.RetryAt.UTC().Format(time.RFC3339))
		}
		return c.registerLocked(ctx, server, previous)
	})
}

// registerLocked registers a client. The intent is stored first: RFC 7591 has no
// way to find a client whose answer was lost, so what is left is to tell of it, and
// not to try often. previous is the client before, zero when there was none: until
// another one is there, nothing of it may be lost, for the AS may come to accept it
// again.
func (c *client) registerLocked(ctx context.Context, server *as.Server, previous store.Client) error {
	if err := c.keys.ensure(ctx); err != nil {
		return err
	}
	metadata, hash, err := c.metadata(server)
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	// From the intent to the record, a stop or a reload must not cut in: the answer
	// would be lost. The timeout of a call bounds it.
	ctx = context.WithoutCancel(ctx)
	now := time.Now()
	intent := previous
	intent.State, intent.UpdatedAt, intent.Attempts = store.ClientRegistering, now, previous.Attempts+1
	intent.RetryAt = now.Add(grown(c.intervals.Retry, intent.Attempts, time.Hour))
	if previous.ClientID == "" {
		intent.Name = metadata.Name
	}
	if err := c.store.PutClient(ctx, c.key, intent); err != nil {
		return err
	}
	registration, err := server.Register(ctx, metadata, c.site.AuthorizationServer.Client.Register.InitialAccessToken)
	if err != nil {
		return c.registrationFailed(ctx, err, previous, intent)
	}
	count := 1
	if now.Sub(previous.RegisteredAt) < closely {
		count = previous.Registrations + 1
	}
	err = c.keepRegistration(ctx, store.Client{Name: metadata.Name, Metadata: hash, RegisteredAt: now, Registrations: count}, registration)
	if err != nil {
		return err
	}
	if previous.ClientID != "" {
		c.logger.Error("REGISTERED ANEW: policies and tokens of the client before are not those of the new one",
			slog.String("client_id_before", previous.ClientID), slog.String("registration_before", previous.URI), slog.String("client_id", registration.ClientID))
	}
	c.record(ctx, audit.ClientRegister, registration.ClientID, map[string]string{"client_name": metadata.Name, "before": previous.ClientID})
	c.logger.Info("client registered", slog.String("client_id", registration.ClientID), slog.String("client_name", metadata.Name))
	return nil
}

// registrationFailed puts the record right after a registration that failed.
func (c *client) registrationFailed(ctx context.Context, err error, previous, intent store.Client) error {
	if !as.OutcomeUnknown(err) {
		// The AS has said no, or was not reached: nothing new of ours is there.
		return errors.Join(err, c.putBack(ctx, previous))
	}
	if failed, ok := errors.AsType[*as.Error](err); ok && failed.Status != 0 && !errors.Is(err, as.ErrUnavailable) {
		// It says yes, and gives nothing that can be used: it will do so again.
		intent.RetryAt = time.Now().Add(grown(c.intervals.Unusable, intent.Attempts, longestWait))
		err = fmt.Errorf("%w; %w", err, errLeftBehind)
		c.logger.Error("registration answered with something else than a registration",
			slog.Any("error", err), slog.Int("attempts", intent.Attempts), slog.Time("next_attempt", intent.RetryAt))
		return errors.Join(err, c.store.PutClient(ctx, c.key, intent))
	}
	return err
}

// putBack makes the record what it was before the intent.
func (c *client) putBack(ctx context.Context, previous store.Client) error {
	if previous.ClientID == "" && previous.Attempts == 0 {
		return c.store.DeleteClient(ctx, c.key)
	}
	if previous.State != store.ClientRegistering {
		previous.State = store.ClientRegistered
	}
	return c.store.PutClient(ctx, c.key, previous)
}

// keepRegistration stores what the AS answered, and then uses it. known is what
// the answer does not say.
func (c *client) keepRegistration(ctx context.Context, known store.Client, r as.Registration) error {
	known.State, known.UpdatedAt, known.Attempts, known.RetryAt = store.ClientRegistered, time.Now(), 0, time.Time{}
	known.ClientID, known.Secret, known.SecretExpiresAt = r.ClientID, r.ClientSecret, r.SecretExpiresAt
	known.AuthMethod, known.AccessToken, known.URI = string(r.AuthMethod), r.AccessToken, r.URI
	if err := c.store.PutClient(ctx, c.key, known); err != nil {
		return err
	}
	if err := c.keys.activateFirst(ctx); err != nil {
		return err
	}
	return c.use(ctx, known)
}

// refused is called when the AS does not accept the client. One that
// umagate registered, and that the AS says it does not have, is registered anew.
func (c *client) refused(ctx context.Context, server *as.Server, cause error) error {
	if c.current == nil || !c.current.Registered {
		return cause
	}
	stored, err := c.store.Client(ctx, c.key)
	if err != nil {
		return errors.Join(cause, err)
	}
	if stored.ClientID != c.current.ID() {
		return errors.Join(cause, c.use(ctx, stored))
	}
	if c.refusedSince.IsZero() {
		c.refusedSince = time.Now()
	}
	if err := c.mayRegisterAgain(stored); err != nil {
		return fmt.Errorf("%w; %w", cause, err)
	}
	since := c.refusedSince
	err = c.readRegistration(ctx, server)
	switch {
	case err == nil:
		c.refusedSince = since
		return cause // with what was read, the next attempt may succeed
	case errors.Is(err, as.ErrRegistrationRefused), errors.Is(err, as.ErrNotFound):
	case errors.Is(err, errNoManagement):
		// There is nobody to ask: a refusal that lasts is all there is to know.
		if time.Since(c.refusedSince) < c.intervals.Forgotten {
			return cause
		}
	default:
		return errors.Join(cause, err)
	}
	c.logger.Error("the authorization server has forgotten the client, with its policies and resources; registering anew",
		slog.String("client_id", c.current.ID()), slog.String("registration", stored.URI))
	c.enter(Registering)
	return c.register(ctx, server, false)
}

// mayRegisterAgain bounds how many clients an AS is given that keeps on refusing
// them.
func (c *client) mayRegisterAgain(stored store.Client) error {
	count := max(1, stored.Registrations)
	if since := time.Since(stored.RegisteredAt); since >= closely {
		count = 1
	}
	next := stored.RegisteredAt.Add(grown(c.intervals.Forgotten, count, longestWait))
	if time.Now().Before(next) {
		return fmt.Errorf("%w: at %s, for it is number %d", errTooSoon, next.UTC().Format(time.RFC3339), count+1)
	}
	return nil
}

// metadata is what the client is registered with.
func (c *client) metadata(server *as.Server) (as.ClientMetadata, string, error) {
	settings := &c.site.AuthorizationServer.Client
	dialect := server.Dialect()
	m := as.ClientMetadata{
		Name: c.clientName(), GrantTypes: dialect.GrantTypes, AuthMethod: settings.TokenEndpointAuthMethod, Scope: dialect.RegisterScope,
		SoftwareStatement: settings.Register.SoftwareStatement.Reveal(), SigningAlg: string(settings.TokenEndpointAuthSigningAlg),
	}
	if c.site.EvaluatesByTicket(dialect.EvaluatesTokens) && !slices.Contains(m.GrantTypes, as.GrantUMATicket) {
		m.GrantTypes = append(slices.Clone(m.GrantTypes), as.GrantUMATicket)
	}
	if c.site.AuthorizationServer.PAT.Grant == site.PATAuthorizationCode {
		m.GrantTypes = append([]string{as.GrantAuthorizationCode, as.GrantRefreshToken}, m.GrantTypes...)
		m.RedirectURIs = []string{c.site.AuthorizationServer.PAT.RedirectURI}
		if m.Scope != "" {
			m.Scope = strings.Join(server.LoginScopes(), " ")
		}
	}
	if err := c.keys.metadata(&m); err != nil {
		return m, "", err
	}
	if len(settings.Register.Metadata) > 0 {
		if err := decodeObject(settings.Register.Metadata, &m.Extra); err != nil {
			return m, "", fmt.Errorf("register.metadata: %w", err)
		}
	}
	hash, err := m.Hash()
	return m, hash, err
}
