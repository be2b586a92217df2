package uma

import "errors"

// Errors of an answer of the authorization server.
var (
	ErrNotJSON    = errors.New("the answer is not a JSON object")
	ErrDuplicate  = errors.New("a member is there twice")
	ErrWrongType  = errors.New("a member has the wrong type")
	ErrNoActive   = errors.New(`"active" is missing`)
	ErrNoTicket   = errors.New(`"ticket" is missing`)
	ErrNoRPT      = errors.New(`"access_token" is missing, or no token`)
	ErrNotJWT     = errors.New("the token is not a JWT")
	ErrBadTicket  = errors.New("the ticket has characters that a header cannot carry")
	ErrManyRights = errors.New("the token has too many permissions")
)

// Bounds of one token. Each request looks at them all.
const (
	MaxPermissions = 4096
	MaxScopes      = 16384 // of the token and all its permissions together
)

const (
	// lastSecond is the end of the year 9999: a time behind it is no time in seconds.
	lastSecond = 253402300799
	// firstMilli is the least number that is taken for milliseconds, of 2001.
	firstMilli = 1e12
)

// Token is what the authorization server says of a token. Times are seconds
// since 1970; zero is absent.
type Token struct {
	Active    bool
	Subject   string
	Issuer    string
	ClientID  string
	JWTID     string
	SessionID string
	Audience  []string
	Scopes    []string
	Expires   int64
	NotBefore int64
	IssuedAt  int64
	// ACR is how whose the token is was authenticated, AuthTime when (OpenID Connect Core
	// section 2, RFC 9470 section 6).
	ACR         string
	AuthTime    int64
	Permissions []Permission
	// Claims are those that were asked for, in that order, as the server says them; Own are
	// the same as the token itself does, whom the server has vouched for. See Claim.
	Claims, Own [][]string
	// Unread is how many permissions more there are that could not be read.
	Unread int
	// Asked is what the server was asked for, where Permissions are the answer to that
	// and not all that the token has; nil where they are.
	Asked []Permission

	// Bound tells that the token is bound to a key of the client (a "cnf" member,
	// RFC 7800; DPoP, RFC 9449; mutual TLS, RFC 8705), so that it is no bearer token.
	Bound bool
	// NotAccess tells that the token is, by its own word, not an access token: the
	// AS calls a refresh token active too. Keycloak says it in "typ", Ory Hydra in
	// "token_use", others in "token_type" (RFC 7662).
	NotAccess bool
}

// Permission is one right of an RPT. Its times are those of [Token].
type Permission struct {
	ResourceID string
	Scopes     []string
	Expires    int64
	NotBefore  int64
}

// ValidAt tells that a permission is in force at a time, to the second; leeway
// is the clock difference tolerated, in seconds.
func (p *Permission) ValidAt(now, leeway int64) bool {
	return (p.Expires == 0 || now < p.Expires+leeway) && (p.NotBefore == 0 || now >= p.NotBefore-leeway)
}

// ParseIntrospection reads an introspection answer, and of it the claims that are named.
func ParseIntrospection(body []byte, named ...ClaimPath) (*Token, error) {
	t := &Token{}
	r := reader{token: t}
	r.ask(named)
	if err := r.object(body, r.claim); err != nil {
		return nil, err
	}
	if !r.seenActive {
		return nil, ErrNoActive
	}
	if !t.Active {
		return &Token{}, nil
	}
	t.pack()
	return t, nil
}
