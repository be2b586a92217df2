package config

import (
	"cmp"
	"encoding/base64"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/umagate/umagate/plugin/internal/sha256"
)

// Revocations are the tokens of a site that are refused although the AS may not
// say so yet. They stand beside the sites, so that a site's own part of the
// document is the same after a revocation. Times are seconds since 1970.
type Revocations struct {
	// Site is the name of a site; empty for every site. Each is there once.
	Site string `json:"site,omitempty"`
	// Tokens are tokens by themselves. The others are claims of tokens: sid, sub
	// and client_id.
	Tokens    Digests `json:"tokens,omitempty"`
	Sessions  Digests `json:"sessions,omitempty"`
	Subjects  Digests `json:"subjects,omitempty"`
	ClientIDs Digests `json:"client_ids,omitempty"`
	// IssuedBefore refuses every token whose iat is before it, and every token
	// without iat, until IssuedBeforeEnds; 0 for none.
	IssuedBefore     int64 `json:"issued_before,omitempty"`
	IssuedBeforeEnds int64 `json:"issued_before_ends,omitempty"`
	// Made says when the newest of these was made, and nothing reads it: a revocation that was
	// taken back and is made again gives another document. Envoy may go back to one that it
	// has had, and then tells the filter with the next request, not at once.
	Made string `json:"made,omitempty"`
}

// Digest is one revocation as the filter knows it.
type Digest struct {
	// Sum is the SHA-256 of what is revoked: the filter's configuration is in
	// Envoy's config_dump, where no token may stand.
	Sum [sha256.Size]byte
	// Ends is when the revocation has no effect any more.
	Ends int64
	// IssuedBefore: only tokens whose iat is before it are meant, and those without
	// iat; 0 for all.
	IssuedBefore int64
}

// DigestOf is the revocation of a value: a token, or a claim of tokens.
func DigestOf(value string, ends, issuedBefore int64) Digest {
	return Digest{Sum: sha256.Sum(value), Ends: ends, IssuedBefore: issuedBefore}
}

// Digests is a set of revocations as one string of records, each a digest in
// base64url and two times of ten decimal digits, in ascending order. It is
// searched as it is: however many there are, a push builds nothing of them.
type Digests string

const (
	digestText = 43 // of SHA-256 in base64url without padding
	timeText   = 10
	record     = digestText + 2*timeText
	maxTime    = 9_999_999_999
)

// NewDigests writes a set. Of a value that is there several times, the latest
// times count.
func NewDigests(digests []Digest) Digests {
	type line struct {
		text string
		Digest
	}
	lines := make([]line, 0, len(digests))
	for _, d := range digests {
		lines = append(lines, line{base64.RawURLEncoding.EncodeToString(d.Sum[:]), d})
	}
	slices.SortFunc(lines, func(a, b line) int { return cmp.Compare(a.text, b.text) })
	var b strings.Builder
	for i := 0; i < len(lines); {
		d := lines[i].Digest
		j := i + 1
		for ; j < len(lines) && lines[j].text == lines[i].text; j++ {
			d.Ends = max(d.Ends, lines[j].Ends)
			d.IssuedBefore = widest(d.IssuedBefore, lines[j].IssuedBefore)
		}
		b.WriteString(lines[i].text)
		writeTime(&b, d.Ends)
		writeTime(&b, d.IssuedBefore)
		i = j
	}
	return Digests(b.String())
}

// widest is the one of two IssuedBefore that means more tokens.
func widest(a, b int64) int64 {
	if a == 0 || b == 0 {
		return 0
	}
	return max(a, b)
}

func writeTime(b *strings.Builder, t int64) {
	text := strconv.FormatInt(min(max(t, 0), maxTime), 10)
	for range timeText - len(text) {
		b.WriteByte('0')
	}
	b.WriteString(text)
}

// Len is how many revocations there are.
func (d Digests) Len() int { return len(d) / record }

// Valid tells that d is as [NewDigests] writes it.
func (d Digests) Valid() bool {
	if len(d)%record != 0 {
		return false
	}
	for i := 0; i < len(d); i += record {
		if i > 0 && d[i-record:i-record+digestText] >= d[i:i+digestText] {
			return false
		}
		for j := i + digestText; j < i+record; j++ {
			if d[j] < '0' || d[j] > '9' {
				return false
			}
		}
	}
	return true
}

// Find looks for the revocation of a value. d is valid.
func (d Digests) Find(value string) (Digest, bool) {
	if d == "" {
		return Digest{}, false
	}
	found := Digest{Sum: sha256.Sum(value)}
	var text [digestText]byte
	base64.RawURLEncoding.Encode(text[:], found.Sum[:])
	low, high := 0, d.Len()
	for low < high {
		if middle := (low + high) / 2; string(d[middle*record:middle*record+digestText]) < string(text[:]) {
			low = middle + 1
		} else {
			high = middle
		}
	}
	if low == d.Len() || string(d[low*record:low*record+digestText]) != string(text[:]) {
		return Digest{}, false
	}
	at := low*record + digestText
	found.Ends, found.IssuedBefore = readTime(d[at:at+timeText]), readTime(d[at+timeText:at+2*timeText])
	return found, true
}

// Latest says, of all revocations in d, when the last one ends, and before when a
// token must have been issued for any to be for it. It reads all of d, which is valid.
func (d Digests) Latest() (ends, before int64) {
	for at := digestText; at < len(d); at += record {
		ends = max(ends, readTime(d[at:at+timeText]))
		b := readTime(d[at+timeText : at+2*timeText])
		if b == 0 {
			b = math.MaxInt64
		}
		before = max(before, b)
	}
	return ends, before
}

func readTime(digits Digests) int64 {
	var t int64
	for i := range len(digits) {
		t = t*10 + int64(digits[i]-'0')
	}
	return t
}

// Signed is what of a token a revocation names: of a JWS all but its signature,
// which has several spellings that are as valid (unused bits of base64, and the
// other s of ECDSA); of any other token the whole.
func Signed(token string) string {
	end := strings.LastIndexByte(token, '.')
	if strings.Count(token, ".") != 2 {
		return token
	}
	header, _, _ := strings.Cut(token, ".")
	if text, err := base64.RawURLEncoding.DecodeString(header); err != nil || !strings.HasPrefix(strings.TrimLeft(string(text), " \t\r\n"), "{") {
		return token
	}
	return token[:end]
}
