package decision

import (
	"encoding/base64"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"github.com/umagate/umagate/plugin/config"
	"github.com/umagate/umagate/plugin/internal/sha256"
	"github.com/umagate/umagate/plugin/uma"
)

const (
	// maxTokenClaim bounds the values of one claim of an internal token, and maxTokenClaims
	// those of all, in bytes.
	maxTokenClaim  = 4 << 10
	maxTokenClaims = 8 << 10
	// maxTokenTTL is how long an internal token lives at most, in seconds.
	maxTokenTTL = 300
)

// signer makes the token that tells the API of a site who asks. What is the same in all of
// them is written once.
type signer struct {
	header string
	begin  string // the payload's first members: issuer and audience
	ttl    int64  // in seconds
	claims []tokenClaim
	key    endpoint
	body   []byte // of the call for the key
	// version is that of the keys that may sign.
	version int
}

// tokenClaim is a claim of the internal token, or of a report, by the name that it has there.
type tokenClaim struct {
	name  string
	index int // in site.named
}

// signedToken is one that was made for a token, and is used until half of its time is over.
type signedToken struct {
	text  string
	by    *signer
	until instant
}

// signer compiles what the API is told in a signed token.
func (b *builder) signer(path place, s *site, c *config.InternalToken) {
	if c == nil {
		return
	}
	if rest, ok := strings.CutPrefix(c.Header, "x-uma-"); !ok || !isHeaderName(rest) || namesCaller(rest) || s.hasHeader(c.Header) {
		b.fault(path.member("header"), `must begin with "x-uma-", go on with lower-case letters, digits and "-", and be no other header's name`)
	}
	if c.Issuer == "" {
		b.fault(path.member("issuer"), "what the API knows umagate by is needed")
	}
	if len(c.Audience) == 0 {
		b.fault(path.member("audience"), "what the API knows itself by is needed")
	}
	if c.TTLS < 1 || c.TTLS > maxTokenTTL {
		b.fault(path.member("ttl_s"), "must be between 1 and 300")
	}
	begin := append([]byte(nil), `{"iss":`...)
	begin = gjson.AppendJSONString(begin, c.Issuer)
	begin = append(begin, `,"aud":`...)
	begin = appendTexts(begin, c.Audience)
	sign := &signer{header: c.Header, begin: string(begin), ttl: int64(c.TTLS), key: b.endpoint(path.member("key"), &c.Key, "application/json")}
	sign.body = gjson.AppendJSONString([]byte(`{"site":`), s.name)
	if sign.version = c.KeyVersion; c.KeyVersion != 0 {
		sign.body = strconv.AppendInt(append(sign.body, `,"version":`...), int64(c.KeyVersion), 10)
	}
	sign.body = append(sign.body, '}')
	if c.KeyVersion < 0 {
		b.fault(path.member("key_version"), "must not be negative")
	}
	sign.claims = b.tokenClaims(path, "claims", s, c.Claims, isTokenMember, "is empty, or the name of a claim that has another meaning")
	s.signer = sign
}

// isTokenMember reports whether a name is one that every internal token has.
func isTokenMember(name string) bool {
	switch name {
	case "iss", "aud", "iat", "nbf", "exp", "jti", "sub", "client_id":
		return true
	}
	return false
}

// tokenClaims compiles which claims are told, and by which names: no two have the same one,
// and none has one that cannot be.
func (b *builder) tokenClaims(path place, member string, s *site, list []config.TokenClaim, cannotBe func(string) bool, why string) []tokenClaim {
	var claims []tokenClaim
	for i := range list {
		c := &list[i]
		at := path.element(member, i)
		for j := range claims {
			if claims[j].name == c.Name {
				b.fault(at.member("name"), "another claim has this name already")
			}
		}
		if c.Name == "" || cannotBe(c.Name) {
			b.fault(at.member("name"), why)
		}
		if !isClaimPath(c.Path) {
			b.fault(at.member("path"), "must be 1 to 8 names, none of them empty or with a NUL")
		}
		claims = append(claims, tokenClaim{c.Name, s.indexOf(c.Path)})
	}
	return claims
}

// sign sees to it that the API can be told who asks, and returns nil when it can: the
// token for that stands in place of the one that has been judged. Otherwise the request
// waits for the key, or ends.
func (x *Exchange) sign(now time.Time) *Step {
	k := &x.state.signing
	if !k.usable(now) || k.version != x.site.signer.version {
		return x.awaitKey(now)
	}
	x.evaluator.worker.renewKey(x.state, x.site, now)
	e := x.state.tokens[x.request.token]
	if e != nil && e.token != x.token {
		e = nil // it has another by now
	}
	if e != nil && e.signed != nil && e.signed.by == x.site.signer && before(now, e.signed.until) && since(e.signed.until, now) >= -maxTokenTTL*time.Second {
		x.request.token = e.signed.text
		return nil
	}
	signed := x.site.signer.sign(k, x.token, x.request.token, x.site.leeway, now)
	if signed == nil {
		return x.finish(ReasonNoSigningKey)
	}
	if x.request.token = signed.text; e != nil {
		e.keepSigned(signed)
		x.evaluator.worker.active.shrink()
	}
	return nil
}

// keepSigned keeps an internal token beside what is known of the token that it is of. It
// takes room in the cache.
func (e *entry) keepSigned(signed *signedToken) {
	if e.signed != nil {
		e.resize(-len(e.signed.text))
	}
	e.signed = signed
	e.resize(len(signed.text))
}

// sign makes the token, a JWT (RFC 7519) signed with EdDSA (RFC 8037). It ends with the
// token of the AS at the latest.
func (s *signer) sign(k *signingKey, t *uma.Token, token string, leeway int64, now time.Time) *signedToken {
	issued := now.Unix()
	ends := issued + s.ttl
	if t.Expires != 0 {
		ends = min(ends, t.Expires+leeway)
	}
	iat := strconv.FormatInt(issued, 10)
	payload := make([]byte, 0, 512)
	payload = append(payload, s.begin...)
	payload = append(payload, `,"iat":`...)
	payload = append(payload, iat...)
	payload = append(payload, `,"exp":`...)
	payload = strconv.AppendInt(payload, ends, 10)
	// The token of the AS and the time tell it from all others, and tell nothing of either.
	digest := sha256.Sum(token + "\x00" + iat)
	payload = append(payload, `,"jti":"`...)
	payload = base64.RawURLEncoding.AppendEncode(payload, digest[:16])
	payload = append(payload, '"')
	payload = appendMember(payload, "sub", t.Subject)
	payload = appendMember(payload, "client_id", t.ClientID)
	payload = append(s.appendClaims(payload, t), '}')

	text := make([]byte, 0, len(k.head)+1+base64.RawURLEncoding.EncodedLen(len(payload))+88)
	text = append(text, k.head...)
	text = base64.RawURLEncoding.AppendEncode(text, payload)
	signature := k.key.Sign(text)
	if signature == nil {
		return nil
	}
	text = append(text, '.')
	text = base64.RawURLEncoding.AppendEncode(text, signature)
	half := time.Duration(max(ends-issued, 0)) * time.Second / 2
	return &signedToken{text: string(text), by: s, until: at(now.Add(half))}
}

// appendClaims appends the claims that the file names, each as a list. One that is too long
// is left out, never cut.
func (s *signer) appendClaims(b []byte, t *uma.Token) []byte {
	left := maxTokenClaims
	for i := range s.claims {
		values, n := t.Claim(s.claims[i].index), 0
		for _, v := range values {
			n += len(v) + 3
		}
		if n == 0 || n > min(left, maxTokenClaim) {
			continue
		}
		left -= n
		b = append(b, ',')
		b = gjson.AppendJSONString(b, s.claims[i].name)
		b = append(b, ':')
		b = appendTexts(b, values)
	}
	return b
}

func appendTexts(b []byte, list []string) []byte {
	b = append(b, '[')
	for i, v := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = gjson.AppendJSONString(b, v)
	}
	return append(b, ']')
}

func appendMember(b []byte, name, value string) []byte {
	if value == "" {
		return b
	}
	b = append(b, ',', '"')
	b = append(b, name...)
	b = append(b, '"', ':')
	return gjson.AppendJSONString(b, value)
}
