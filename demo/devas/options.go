package devas

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"time"
)

// Options is what a [Server] is made from. The zero value is a server that
// follows the specifications, with open registration and nobody in it.
type Options struct {
	// Issuer is the URL clients know the server by, without a trailing slash. When
	// empty, [Server.Start] makes it from the address it listens on.
	Issuer string
	// Listen is the address for [Server.Start], IP and port; 127.0.0.1:0 when empty.
	Listen string
	// Clock tells the time for every lifetime; time.Now when nil. Delays of faults
	// are real time.
	Clock func() time.Time
	// Logger gets one line for each request at debug level, never a secret.
	Logger *slog.Logger

	// Users are the people who can log in; more with [Server.AddUser].
	Users []User
	// Clients are known from the start; more with [Server.AddClient] or by
	// registration.
	Clients []Client
	// Scopes are known besides openid, profile, email, offline_access and
	// uma_protection.
	Scopes []string

	// Registration is who may register clients.
	Registration Registration
	// InitialAccessTokens open registration where Registration asks for one.
	InitialAccessTokens []InitialAccessToken

	// RenewSecrets gives a client whose secret expires another one with each update
	// of its registration (RFC 7592 section 2.2).
	RenewSecrets bool

	Lifetimes Lifetimes
	Dialect   Dialect

	// AccessTokenFormat and RPTFormat: opaque when empty.
	AccessTokenFormat TokenFormat
	RPTFormat         TokenFormat
	// SigningAlg is what signs JWT access tokens and RPTs, and ID tokens of
	// clients that name none: RS256 (default) or ES256.
	SigningAlg string

	// LiveIntrospection asks the policies again at each introspection, so that a
	// change takes effect on RPTs already issued. Otherwise it takes effect at the
	// next grant.
	LiveIntrospection bool
	// NoPartialGrants answers request_denied when some, not all, of what a ticket
	// asks for is granted (UMA Grant section 3.3.4 leaves that to the server).
	NoPartialGrants bool
	// SkipConsent leaves out the consent page after a login.
	SkipConsent bool
	// PollInterval is told with request_submitted; 5 s when zero.
	PollInterval time.Duration
	// HTTPClient fetches jwks_uri documents of clients; http.DefaultClient when nil.
	HTTPClient *http.Client
}

// User is a person: a resource owner or a requesting party.
type User struct {
	// Name is what is typed at login and named by policies.
	Name string `json:"name"`
	// ID is the sub claim; the name when empty.
	ID       string `json:"id,omitempty"`
	Password Secret `json:"password"`
	Email    string `json:"email,omitempty"`
	// FullName is the name claim.
	FullName string `json:"full_name,omitempty"`
	// Claims are further members of an introspection answer about the user's tokens.
	Claims map[string]any `json:"claims,omitempty"`
}

// Lifetimes of what the server issues. Zero means the default.
type Lifetimes struct {
	AccessToken     time.Duration // 5 min
	PAT             time.Duration // an access token with scope uma_protection; AccessToken when zero
	RPT             time.Duration // 5 min
	Permission      time.Duration // of one permission in an RPT; the RPT's when zero
	Ticket          time.Duration // 5 min
	Code            time.Duration // 1 min
	RefreshToken    time.Duration // 24 h
	IDToken         time.Duration // 5 min
	PCT             time.Duration // 24 h
	Session         time.Duration // 12 h
	ClientSecret    time.Duration // for ever
	AssertionMaxAge time.Duration // 1 h: how far ahead a client assertion's exp may be
}

// Registration is who may register a client (RFC 7591 section 3).
type Registration string

// The values of [Registration].
const (
	RegistrationOpen  Registration = ""
	RegistrationToken Registration = "token" // needs an initial access token
	RegistrationOff   Registration = "off"
)

// InitialAccessToken allows registrations (RFC 7591 section 1.2).
type InitialAccessToken struct {
	Token Secret
	// Uses bounds how often it can be used; zero is without bound.
	Uses int
}

// TokenFormat is how a token looks to those who hold it.
type TokenFormat string

// The values of [TokenFormat].
const (
	FormatOpaque TokenFormat = ""
	FormatJWT    TokenFormat = "jwt"
)

func (o Options) withDefaults() Options {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Listen == "" {
		o.Listen = "127.0.0.1:0"
	}
	if o.SigningAlg == "" {
		o.SigningAlg = "RS256"
	}
	if o.PollInterval == 0 {
		o.PollInterval = 5 * time.Second
	}
	if o.HTTPClient == nil {
		o.HTTPClient = &http.Client{Timeout: 10 * time.Second}
	}
	o.Dialect = o.Dialect.withDefaults()
	l := &o.Lifetimes
	for _, d := range []struct {
		value    *time.Duration
		standard time.Duration
	}{
		{&l.AccessToken, 5 * time.Minute},
		{&l.RPT, 5 * time.Minute},
		{&l.Ticket, 5 * time.Minute},
		{&l.Code, time.Minute},
		{&l.RefreshToken, 24 * time.Hour},
		{&l.IDToken, 5 * time.Minute},
		{&l.PCT, 24 * time.Hour},
		{&l.Session, 12 * time.Hour},
		{&l.AssertionMaxAge, time.Hour},
	} {
		if *d.value == 0 {
			*d.value = d.standard
		}
	}
	if l.PAT == 0 {
		l.PAT = l.AccessToken
	}
	if l.Permission == 0 {
		l.Permission = l.RPT
	}
	return o
}

func (o Options) validate() error {
	var errs []error
	if o.Issuer != "" {
		u, err := url.Parse(o.Issuer)
		if err != nil || u.Scheme == "" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
			errs = append(errs, fmt.Errorf("issuer %q: want scheme://host[/path] without query", o.Issuer))
		}
	}
	if !slices.Contains(signingAlgs(), o.SigningAlg) {
		errs = append(errs, fmt.Errorf("signing_alg %q: want one of %v", o.SigningAlg, signingAlgs()))
	}
	for _, f := range []TokenFormat{o.AccessTokenFormat, o.RPTFormat} {
		if f != FormatOpaque && f != FormatJWT {
			errs = append(errs, fmt.Errorf("token format %q: want \"\" (opaque) or %q", f, FormatJWT))
		}
	}
	for i, u := range o.Users {
		if u.Name == "" || u.Password == "" {
			errs = append(errs, fmt.Errorf("users[%d]: name and password are needed", i))
		}
	}
	for i, c := range o.Clients {
		if c.ID == "" {
			errs = append(errs, fmt.Errorf("clients[%d]: an id is needed", i))
		}
	}
	return errors.Join(errs...)
}
