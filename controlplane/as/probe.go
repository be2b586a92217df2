package as

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/umagate/umagate/controlplane/clientauth"
	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/plugin/config"
	"github.com/umagate/umagate/plugin/uma"
)

// Clock is what an answer says of the AS's clock. The zero value says nothing.
type Clock struct {
	// Ahead is by how much the AS's clock is ahead of this host's; negative if it is
	// behind. Margin is how much of that may be the time that the answer took, and
	// the rounding to whole seconds.
	Ahead, Margin time.Duration
	// Known reports whether the answer says anything.
	Known bool
}

// clockOf compares a time of the AS, cut to the second, with the moments between which
// it was.
func clockOf(second, asked, had time.Time) Clock {
	took := had.Sub(asked) / 2
	return Clock{Ahead: second.Add(time.Second / 2).Sub(asked.Add(took)), Margin: time.Second/2 + took, Known: true}
}

// Differs returns by how much the clocks differ at least, signed as Ahead.
func (c Clock) Differs() time.Duration {
	switch {
	case c.Ahead > c.Margin:
		return c.Ahead - c.Margin
	case c.Ahead < -c.Margin:
		return c.Ahead + c.Margin
	}
	return 0
}

// Asked is what a probe is made with.
type Asked struct {
	// Authorization is the header that Envoy adds; zero for a client that authenticates
	// with its certificate, which ClientID names then.
	Authorization secret.Text
	ClientID      string
	// Hint is the token_type_hint; the dialect's when empty.
	Hint string
}

// ProbeIntrospection asks about a token as Envoy does. [ErrClientRefused]: the AS does
// not accept the credential.
func (s *Server) ProbeIntrospection(ctx context.Context, with Asked, token secret.Text) (Clock, error) {
	in := call{
		operation: OperationIntrospection, op: "introspect a token as Envoy does", method: http.MethodPost, url: s.metadata.IntrospectionEndpoint, raw: true,
		form: url.Values{"token": {token.Reveal()}}, proof: &clientauth.Proof{Authorization: with.Authorization},
		kinds: map[int]error{http.StatusUnauthorized: ErrClientRefused, http.StatusForbidden: ErrClientRefused},
	}
	if hint := cmp.Or(with.Hint, s.dialect.TokenTypeHint); hint != "" {
		in.form.Set("token_type_hint", hint)
	}
	if with.ClientID != "" {
		in.form.Set("client_id", with.ClientID)
	}
	out, clock, err := s.probe(ctx, in)
	if err != nil {
		return clock, err
	}
	if _, err := uma.ParseIntrospection(out.body); err != nil {
		kind := ErrMalformed
		if !json.Valid(out.body) {
			kind = ErrNotJSON
		}
		return clock, &Error{
			Op: in.op, Method: in.method, URL: printableURL(in.url), Status: out.status, Kind: kind, Description: describeMedia(out.header), Cause: err,
		}
	}
	return clock, nil
}

// ProbePermission asks for a ticket as Envoy does. [ErrPATRefused]: the AS does not
// accept the PAT.
func (s *Server) ProbePermission(ctx context.Context, with Asked, permissions []config.Permission) (Clock, error) {
	in := call{
		operation: OperationPermission, op: "request a permission ticket as Envoy does", method: http.MethodPost, url: s.metadata.PermissionEndpoint,
		json: slices.Clone(permissions), proof: &clientauth.Proof{Authorization: with.Authorization},
		kinds: map[int]error{http.StatusUnauthorized: ErrPATRefused, http.StatusForbidden: ErrPATRefused},
	}
	out, clock, err := s.probe(ctx, in)
	if err != nil {
		return clock, err
	}
	if _, err := uma.ParseTicket(out.body); err != nil {
		return clock, &Error{
			Op: in.op, Method: in.method, URL: printableURL(in.url), Status: out.status, Kind: ErrMalformed, Description: describeMedia(out.header), Cause: err,
		}
	}
	return clock, nil
}

// ProbeClock gets a token by client credentials, for when the AS says that it issued it:
// Keycloak writes no Date, and its tickets say when the PAT was issued. The token is not
// kept.
func (s *Server) ProbeClock(ctx context.Context, auth clientauth.Auth) (Clock, error) {
	asked := s.caller.now()
	token, err := s.PAT(ctx, auth)
	if err != nil {
		return Clock{}, err
	}
	own, err := uma.ParseJWT(token.Value.Reveal())
	if err != nil || own.IssuedAt == 0 {
		return Clock{}, nil //nolint:nilerr // an opaque token says nothing
	}
	return clockOf(time.Unix(own.IssuedAt, 0), asked, s.caller.now()), nil
}

// probe makes the call, and reads the AS's clock off the Date header of the answer (RFC
// 9110 section 6.6.1).
func (s *Server) probe(ctx context.Context, in call) (answer, Clock, error) {
	asked := s.caller.now()
	out, err := s.caller.do(ctx, in)
	date, unknown := http.ParseTime(out.header.Get("Date"))
	if unknown != nil {
		return out, Clock{}, err
	}
	return out, clockOf(date, asked, s.caller.now()), err
}
