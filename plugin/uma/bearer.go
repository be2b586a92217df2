package uma

import (
	"encoding/base64"
	"strings"

	"github.com/umagate/umagate/plugin/internal/ascii"
)

// Credential is what an Authorization header offers.
type Credential uint8

// The kinds of credential. A scheme other than Bearer is none of ours.
const (
	CredentialNone Credential = iota
	CredentialBearer
	CredentialMalformed
)

// ParseBearer reads the value of an Authorization header (RFC 6750 section 2.1,
// RFC 9110 section 11.4). A comma makes it malformed: two headers joined.
func ParseBearer(value string) (token string, kind Credential) {
	token, kind = CutBearer(value)
	if kind == CredentialBearer && !IsToken(token) {
		return "", CredentialMalformed
	}
	return token, kind
}

// CutBearer is ParseBearer without a look at the characters of the token, which
// the caller leaves to [IsToken] unless it knows the token already.
func CutBearer(value string) (token string, kind Credential) {
	value = strings.Trim(value, " \t")
	scheme, rest := value, ""
	if i := strings.IndexAny(value, " \t"); i >= 0 {
		scheme, rest = value[:i], value[i:]
	}
	if !ascii.EqualFold(scheme, "bearer") {
		if value == "" || hasBearerPrefix(scheme) || joinsBearer(value) {
			return "", CredentialMalformed
		}
		return "", CredentialNone
	}
	token = strings.TrimLeft(rest, " ")
	if token == "" { // how long it may be is the host's matter, which has it already
		return "", CredentialMalformed
	}
	return token, CredentialBearer
}

// DecodeBearer reads a token in base64url without padding, as a name that has no room for
// every character of a token carries it.
func DecodeBearer(encoded string) (token string, ok bool) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	return string(raw), err == nil
}

// joinsBearer finds a bearer credential behind another one: Envoy joins two
// Authorization headers with a comma, and an upstream may believe the second.
func joinsBearer(value string) bool {
	_, rest, more := strings.Cut(value, ",")
	for more {
		var item string
		item, rest, more = strings.Cut(rest, ",")
		if hasBearerPrefix(strings.TrimLeft(item, " \t")) {
			return true
		}
	}
	return false
}

func hasBearerPrefix(s string) bool {
	const bearer = "bearer"
	return len(s) >= len(bearer) && ascii.EqualFold(s[:len(bearer)], bearer)
}

// The characters of token68, a bit each: those below '@', and those from there.
const (
	digits     = (1<<10 - 1) << '0'
	letters    = (1<<26-1)<<('A'-64) | (1<<26-1)<<('a'-64)
	token68Low = uint64(digits | 1<<'+' | 1<<'-' | 1<<'.' | 1<<'/')
	token68    = uint64(letters | 1<<('_'-64) | 1<<('~'-64))
)

// IsToken tells that s is RFC 9110's token68, which RFC 6750 calls b64token.
func IsToken(s string) bool {
	body := strings.TrimRight(s, "=")
	good := uint64(1)
	for i := range len(body) {
		c := body[i]
		set := token68Low
		if c >= 64 {
			set = token68
		}
		good &= set >> (c & 63) &^ uint64(c>>7)
	}
	return good == 1 && body != ""
}
