package decision

import (
	"encoding/base64"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"github.com/umagate/umagate/plugin/internal/eddsa"
	"github.com/umagate/umagate/plugin/internal/strictjson"
)

const (
	// retryKey is how long the control plane is not asked for a key after it gave none.
	retryKey = time.Second
	// minKeyLife is the least time that a key is given for, in seconds, and maxKeyLife the
	// most: what a clock that was set back leaves of it.
	minKeyLife = 60
	maxKeyLife = 7 * 24 * 3600
	maxKeyID   = 128
)

// signingKey is what a worker signs the internal tokens of a site with. The control plane
// gives it, and it stands in no configuration.
type signingKey struct {
	key  *eddsa.Key // nil for none yet
	head string     // a JWT's first part with the dot
	// version is the one that it was asked for with: a site that has another by now has
	// withdrawn it.
	version int
	given   instant
	renew   instant // when the next one is asked for
	until   instant
	retry   instant  // when the control plane may be asked again
	call    *keyCall // under way
}

// usable reports whether the key may sign now.
func (k *signingKey) usable(now time.Time) bool {
	return k.key != nil && before(now, k.until) && since(k.given, now) >= 0
}

// keyCall asks the control plane for the key of a site, for all who wait and for who comes.
type keyCall struct {
	call
	reason Reason
}

// awaitKey makes a request wait for the key, and ends it where there is none to be had.
func (x *Exchange) awaitKey(now time.Time) *Step {
	k := &x.state.signing
	c, waiting := k.call, 0
	if c != nil && c.overdue(now) {
		c = nil
	}
	if c != nil {
		waiting = c.waiting.n
	}
	switch {
	case !x.mayWait(waiting):
		return x.finish(ReasonTooManyWaiting)
	case c == nil && k.pausing(now):
		return x.finish(ReasonNoSigningKey)
	}
	x.request.token = strings.Clone(x.request.token)
	if c != nil {
		return x.join(&c.call)
	}
	x.note("token", "the API is told in a signed token who asks, and the control plane is asked for the key")
	return x.send(&k.newCall().call, PurposeSigningKey, &x.site.signer.key, x.site.signer.body, now)
}

// pausing reports whether the control plane has given none a moment ago.
func (k *signingKey) pausing(now time.Time) bool {
	return before(now, k.retry) && since(k.retry, now) >= -retryKey
}

func (k *signingKey) newCall() *keyCall {
	c := &keyCall{reason: ReasonNoSigningKey}
	c.key = c
	k.call = c
	return c
}

// renewKey asks for the next key before this one ends, by a call that no request waits for.
func (w *Worker) renewKey(m *siteState, s *site, now time.Time) {
	k := &m.signing
	if before(now, k.renew) || k.pausing(now) || k.call != nil && !k.call.overdue(now) {
		return
	}
	w.followUps = append(w.followUps, w.open(&k.newCall().call, PurposeSigningKey, m, s, &s.signer.key, s.signer.body, now))
}

func (c *keyCall) read(w *Worker, r Response, now time.Time) {
	k := &c.state.signing
	if k.call == c {
		k.call = nil
	}
	outcome := CallRefused
	if !r.notSent {
		outcome = classify(r, 200)
	}
	if outcome == CallOK {
		if next := readKey(r.Body, now); next.key != nil {
			next.call, next.version = k.call, c.site.signer.version
			*k = next
			c.reason = ReasonPermitted
		} else {
			outcome = CallBadAnswer
		}
	}
	if outcome != CallOK {
		k.retry = at(now.Add(retryKey))
	}
	w.count(&c.call, outcome, r.Status)
}

// readKey reads {"kid", "key", "renew_in", "expires_in"}: the seed of an Ed25519 key in
// base64url, and seconds. The key is nil in what cannot be used.
func readKey(body []byte, now time.Time) signingKey {
	if !strictjson.Valid(body) {
		return signingKey{}
	}
	doc := gjson.ParseBytes(body)
	kid, renew, expires := doc.Get("kid"), doc.Get("renew_in"), doc.Get("expires_in")
	if kid.Type != gjson.String || kid.Str == "" || len(kid.Str) > maxKeyID || !isVisible(kid.Str) ||
		!isKeyLife(expires) || !isKeyLife(renew) || renew.Num > expires.Num {
		return signingKey{}
	}
	seed, err := base64.RawURLEncoding.DecodeString(doc.Get("key").String())
	if err != nil {
		return signingKey{}
	}
	key, err := eddsa.NewKey(seed)
	if err != nil {
		return signingKey{}
	}
	head := append(gjson.AppendJSONString([]byte(`{"alg":"EdDSA","typ":"`+TokenType+`","kid":`), kid.Str), '}')
	return signingKey{
		key: key, head: base64.RawURLEncoding.EncodeToString(head) + ".", given: at(now),
		renew: at(now.Add(time.Duration(renew.Num) * time.Second)), until: at(now.Add(time.Duration(expires.Num) * time.Second)),
	}
}

// TokenType is the typ of an internal token: it is no access token (RFC 8725 section 3.11).
const TokenType = "umagate+jwt" //nolint:gosec // a media type

func isKeyLife(v gjson.Result) bool {
	return v.Type == gjson.Number && v.Num >= minKeyLife && v.Num <= maxKeyLife
}

// resume judges a request anew, for its token may have ended while it waited.
func (c *keyCall) resume(x *Exchange, now time.Time) *Step {
	if c.reason != ReasonPermitted {
		x.failed = c.ended
		return x.finish(c.reason)
	}
	return x.verify(now)
}
