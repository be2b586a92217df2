package as

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/umagate/umagate/controlplane/secret"
)

// The kinds of failure. Compare with errors.Is.
var (
	// ErrUnavailable: no answer, or a 5xx. Worth trying again.
	ErrUnavailable = errors.New("the authorization server is unavailable")
	// ErrRateLimited: 429. Worth trying again after [Error.RetryAfter].
	ErrRateLimited = errors.New("the authorization server limits the rate")
	// ErrIssuer: the metadata names another issuer than the one asked for.
	ErrIssuer = errors.New("the metadata is of another issuer")
	// ErrNoMetadata: no discovery document was found.
	ErrNoMetadata = errors.New("no discovery document")
	// ErrMissingEndpoint: the AS has no such endpoint, as far as is known.
	ErrMissingEndpoint = errors.New("the authorization server names no such endpoint")
	// ErrInsecureEndpoint: an https issuer named an http endpoint beyond loopback.
	ErrInsecureEndpoint = errors.New("an https issuer must not name an http endpoint that is not on loopback")
	// ErrRedirect: the AS answered with a redirect, which is not followed because
	// the call carries a credential.
	ErrRedirect = errors.New("redirects are not followed")
	// ErrNotJSON: the answer is not JSON; a login page or a proxy's error page.
	ErrNotJSON = errors.New("the answer is not JSON")
	// ErrTooLarge: the answer is longer than [MaxBody].
	ErrTooLarge = errors.New("the answer is larger than 1 MiB")
	// ErrMalformed: the answer is JSON but lacks what it must have.
	ErrMalformed = errors.New("the answer lacks what it must have")
	// ErrClientRefused: the AS does not accept the client's credential.
	ErrClientRefused = errors.New("the client credential is refused")
	// ErrRegistrationRefused: the AS does not let this caller register a client,
	// or the registration access token is not accepted.
	ErrRegistrationRefused = errors.New("the client registration is refused")
	// ErrSoftwareStatement: the AS is known to refuse software statements.
	ErrSoftwareStatement = errors.New("the authorization server takes no software statement")
	// ErrInvalidGrant: the authorization code or the refresh token is no longer good.
	ErrInvalidGrant = errors.New("the login is no longer good")
	// ErrPATRefused: the protection API does not accept the PAT.
	ErrPATRefused = errors.New("the PAT is refused")
	// ErrNotFound: 404.
	ErrNotFound = errors.New("not found")
	// ErrConflict: 409, a resource of that name exists.
	ErrConflict = errors.New("a resource of that name exists")
	// ErrCollision: 409, another write at the same moment was in the way, and nothing
	// was done. Worth trying again.
	ErrCollision = errors.New("the authorization server was writing something else at that moment")
	// ErrRejected: any other 4xx.
	ErrRejected = errors.New("the authorization server rejects the request")
)

// Error is a failed call to the AS. It never holds a secret that the call sent.
type Error struct {
	// Op is what was attempted, as a verb phrase: "register the client".
	Op string
	// Method and URL are the HTTP call, empty when it was not reached.
	Method, URL string
	// Status is the HTTP status, 0 when there was no answer.
	Status int
	// Code and Description are "error" and "error_description" (RFC 6749 section
	// 5.2), cut to a printable line.
	Code, Description string
	// Answer is the token endpoint's whole answer: a refusal may hold more than words
	// (UMA Grant section 3.3.6).
	Answer secret.Text
	// RetryAfter is how long the AS asks to wait, 0 when it does not say.
	RetryAfter time.Duration
	// Kind is one of the sentinels of this package.
	Kind error
	// Sent says that the request had gone out when it failed without an answer.
	Sent bool
	// Cause is what the transport or the decoder said; may be nil.
	Cause error
}

// Error names the place, the answer and the kind.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	if e.URL != "" {
		fmt.Fprintf(&b, ": %s %s", e.Method, e.URL)
	}
	if e.Status != 0 {
		fmt.Fprintf(&b, ": %d %s", e.Status, http.StatusText(e.Status))
	}
	if e.Code != "" {
		b.WriteString(": " + e.Code)
	}
	if e.Description != "" {
		fmt.Fprintf(&b, " (%s)", e.Description)
	}
	if e.Kind != nil {
		b.WriteString(": " + e.Kind.Error())
	}
	if e.Cause != nil {
		b.WriteString(": " + e.Cause.Error())
	}
	return b.String()
}

// Unwrap returns the kind and the cause to errors.Is and errors.As.
func (e *Error) Unwrap() []error {
	out := make([]error, 0, 2)
	if e.Kind != nil {
		out = append(out, e.Kind)
	}
	if e.Cause != nil {
		out = append(out, e.Cause)
	}
	return out
}

// Temporary reports whether the same call may succeed later with nothing
// changed.
func (e *Error) Temporary() bool {
	return errors.Is(e.Kind, ErrUnavailable) || errors.Is(e.Kind, ErrRateLimited) || errors.Is(e.Kind, ErrCollision)
}

// OutcomeUnknown reports whether the AS may have done what was asked, and nobody knows
// that: the answer was lost, or is not one.
func OutcomeUnknown(err error) bool {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		return false
	}
	switch {
	case e.Status == 0:
		return e.Sent
	case e.Status < http.StatusMultipleChoices:
		return true
	default:
		// A proxy's words for a server that may be at work still.
		return e.Status == http.StatusInternalServerError || e.Status == http.StatusBadGateway || e.Status == http.StatusGatewayTimeout
	}
}

// Remedy says in one sentence what an operator can do about err; empty when err
// is nil or is not of this package.
func Remedy(err error) string {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return "Give the AS a certificate that has not ended, is for this name and of a CA that is trusted here and by Envoys; or name that CA: authorization_server.tls.ca_file."
	}
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return "Let the AS's name be found: look at DNS on this host and on those of Envoys. Envoys that run go on with the address that they have, as long as the PAT lasts."
	}
	remedies := []struct {
		kind error
		text string
	}{
		{ErrIssuer, "Write the issuer in umagate.yaml exactly as the AS's metadata spells it, with or without the trailing slash."},
		{ErrNoMetadata, "Check authorization_server.issuer, or name the endpoints in authorization_server.endpoints."},
		{ErrMissingEndpoint, "Name it in authorization_server.endpoints."},
		{ErrInsecureEndpoint, "Make the AS name https endpoints (behind a proxy: its public address), or name them in authorization_server.endpoints. Where the back channel is meant to be http, as inside a cluster, write authorization_server.insecure_http: true."},
		{ErrRedirect, "Write the address it redirects to in umagate.yaml, if it is the AS's own."},
		{ErrNotJSON, "Something other than the AS's API answers there: check the address, and for a login or proxy page in between."},
		{ErrTooLarge, "Check that the address is the AS's API."},
		{ErrSoftwareStatement, "Take software_statement out of authorization_server.client.register."},
		{ErrInvalidGrant, "The owner of the resources has to log in again: umagate login."},
		{ErrRegistrationRefused, "Give authorization_server.client.register.initial_access_token (a fresh one: each has a use count), let the AS trust this host, or give authorization_server.client.id and secret."},
		{ErrClientRefused, "Check id and secret of authorization_server.client; a client that umagate registered itself is registered anew by umagate serve."},
		{ErrPATRefused, "Let the client have the right to protect resources: scope uma_protection, at Keycloak the client role uma_protection."},
		{ErrOwner, "At Keycloak, give the client's service account the role manage-authorization of the client realm-management, and the client Full scope allowed (or that role in its scope)."},
		{ErrUnknownOwner, "Name the owner by the user's id (sub) or user name, not by the e-mail address. If that is right, see the AS's log."},
		{ErrConflict, "Rename the resource, delete the one at the AS, or adopt it with adopt: true."},
		{ErrCollision, "None needed: umagate tries again by itself, and a command can be run again."},
		{ErrRateLimited, "None needed: it is tried again when the AS allows."},
		{ErrUnavailable, "None needed if the AS is down: umagate serve tries again by itself, and a command can be run again when it is up. Otherwise check address, DNS and TLS trust from this host."},
		{ErrMalformed, "Check authorization_server.dialect."},
		{ErrNotFound, "Check authorization_server.endpoints and dialect."},
		{ErrRejected, "See the AS's words and its log."},
	}
	for _, r := range remedies {
		if errors.Is(err, r.kind) {
			return r.text
		}
	}
	return ""
}

// RetryAfter is how long the AS asked to wait, 0 when err does not say.
func RetryAfter(err error) time.Duration {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.RetryAfter
	}
	return 0
}

// maxRetryAfter bounds what an AS can make the control plane wait.
const maxRetryAfter = 10 * time.Minute

// parseRetryAfter reads RFC 9110 section 10.2.3: seconds or a date.
func parseRetryAfter(value string, now time.Time) time.Duration {
	if value == "" {
		return 0
	}
	var wait time.Duration
	if seconds, err := strconv.Atoi(value); err == nil {
		wait = time.Duration(min(seconds, int(maxRetryAfter/time.Second))) * time.Second
	} else if date, err := http.ParseTime(value); err == nil {
		wait = date.Sub(now)
	}
	return max(0, min(wait, maxRetryAfter))
}
