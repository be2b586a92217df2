package uma

import (
	"strings"
	"unicode/utf8"

	"github.com/tidwall/gjson"
)

// Bounds of one claim that was asked for. One that has more has none.
const (
	MaxClaimValues = 1024
	MaxClaimBytes  = 16 << 10 // of its values together
)

// ClaimPath names a claim: a member of what the authorization server says, and then
// the members of the objects within, as in realm_access, roles. It has one name at least.
type ClaimPath []string

// none is what a claim has that is there and cannot be used.
var none = []string{}

// Claim is what the token has of the nth claim that was asked for: nil when nothing has
// been said of it, and empty when what was said has no text and is no list of what has. The
// token's own word counts only for what the server does not speak of.
func (t *Token) Claim(n int) []string {
	if n < len(t.Claims) && t.Claims[n] != nil {
		return t.Claims[n]
	}
	if n < len(t.Own) {
		return t.Own[n]
	}
	return nil
}

// ask makes the reader keep claims.
func (r *reader) ask(named []ClaimPath) {
	if r.named = named; len(named) > 0 {
		r.token.Claims = make([][]string, len(named))
	}
}

// keep reads a member for the claims that were asked for. One that is there twice has
// two meanings, and so none.
func (r *reader) keep(name string, v gjson.Result) {
	for i, path := range r.named {
		switch {
		case path[0] != name:
		case r.token.Claims[i] != nil:
			r.token.Claims[i] = none
		default:
			r.token.Claims[i] = claimOf(v, path)
		}
	}
}

// claimOf follows a path from its first member on. What is not there within a member
// that is has been left out by who knows the member.
func claimOf(v gjson.Result, path ClaimPath) []string {
	for _, name := range path[1:] {
		if !v.IsObject() {
			return none
		}
		found, n := gjson.Result{}, 0
		v.ForEach(func(key, member gjson.Result) bool {
			if key.Str == name {
				found, n = member, n+1
			}
			return true
		})
		if n != 1 {
			return none
		}
		v = found
	}
	if v.IsArray() {
		return textsOf(v)
	}
	text, ok := textOf(v)
	switch {
	case !ok:
		return none
	case v.Type == gjson.String && len(path) == 1 && path[0] == "scope": // RFC 6749 section 3.3
		list := []string{}
		for s := range strings.SplitSeq(v.Str, " ") {
			if s != "" {
				list = append(list, s)
			}
		}
		return bounded(list)
	}
	return bounded([]string{text})
}

// textOf is the text that stands for a value: a text itself, true and false, and a whole
// number as it is written. A fraction or an exponent has more than one way to be written,
// and a reader that computes with it may take two numbers for one: it has no text.
func textOf(v gjson.Result) (text string, ok bool) {
	switch v.Type {
	case gjson.String: // half of a pair of UTF-16 takes what follows with it, or does not: readers differ
		return v.Str, !strings.ContainsRune(v.Str, utf8.RuneError)
	case gjson.True:
		return "true", true
	case gjson.False:
		return "false", true
	case gjson.Number:
		return v.Raw, v.Raw != "-0" && strings.IndexByte(v.Raw, '.') < 0 && strings.IndexByte(v.Raw, 'e') < 0 && strings.IndexByte(v.Raw, 'E') < 0
	case gjson.Null, gjson.JSON:
	}
	return "", false
}

// textsOf reads an array of what has a text, and of nothing else.
func textsOf(v gjson.Result) []string {
	list := []string{}
	v.ForEach(func(_, item gjson.Result) bool {
		text, ok := textOf(item)
		if !ok || len(list) == MaxClaimValues {
			list = nil
			return false
		}
		list = append(list, text)
		return true
	})
	if list == nil {
		return none
	}
	return bounded(list)
}

func bounded(list []string) []string {
	n := 0
	for _, s := range list {
		n += len(s)
	}
	if n > MaxClaimBytes || len(list) > MaxClaimValues {
		return none
	}
	return list
}

// completeClaims adds what more says of claims that has does not speak of, in memory of
// its own: another token may have the same list.
func completeClaims(has, more [][]string) [][]string {
	if len(more) == 0 {
		return has
	}
	claims := make([][]string, len(more))
	copy(claims, has)
	for i := range claims {
		if claims[i] == nil {
			claims[i] = more[i]
		}
	}
	return claims
}
