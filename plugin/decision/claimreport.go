package decision

import (
	"unicode/utf8"

	"github.com/umagate/umagate/plugin/uma"
)

const (
	// maxReportedClaim bounds the values of one claim in a report, and maxReportedClaims
	// those of all, in bytes. One value has maxReported at most.
	maxReportedClaim  = 4 << 10
	maxReportedClaims = 8 << 10
	// maxReportedName bounds the name of one.
	maxReportedName = 64
)

// cannotBeReported reports whether an expression of Envoy could not have a name after a dot.
func cannotBeReported(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c != '_' && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (i == 0 || c < '0' || c > '9') {
			return true
		}
	}
	return len(s) > maxReportedName
}

// Told reports whether others than a log act on the report of this exchange: where it
// cannot be left, nothing may pass.
func (x *Exchange) Told() bool { return x.site != nil && x.site.reported != nil }

// AppendReport appends the decision as [Decision.AppendStruct] does, and the claims that the
// file names of a token that was judged and is good for the request: nobody else has any.
func (x *Exchange) AppendReport(b []byte) []byte {
	b = x.decided.AppendStruct(b)
	if x.Told() && x.decided.Effect == EffectAllow && x.judged(x.decided.Reason) {
		b = appendReported(b, x.site.reported, x.token)
	}
	return b
}

// appendReported appends claims of a token, each a list of texts, and the names of those that
// are left out as they are too long. Nothing is cut: half of a list would be another list.
func appendReported(b []byte, claims []tokenClaim, t *uma.Token) []byte {
	left, out := maxReportedClaims, false
	b, fields := beginField(b, "claims", valueStruct)
	for i := range claims {
		c := &claims[i]
		values := t.Claim(c.index)
		n, fits := reportedSize(values, left)
		if !fits {
			out = true
			continue
		}
		if left -= n; n == 0 {
			continue
		}
		var list openField
		b, list = beginField(b, c.name, valueList)
		for _, v := range values {
			b = appendItem(b, v)
		}
		list.end(b)
	}
	fields.end(b)
	if !out {
		return b
	}
	left = maxReportedClaims
	b, list := beginField(b, "claims_left_out", valueList)
	for i := range claims {
		n, fits := reportedSize(t.Claim(claims[i].index), left)
		if left -= n; !fits {
			b = appendItem(b, claims[i].name)
		}
	}
	list.end(b)
	return b
}

// reportedSize is how many bytes of values a claim takes, none if there is no room for it.
func reportedSize(values []string, left int) (n int, fits bool) {
	for _, v := range values {
		if n += len(v); len(v) > maxReported || !utf8.ValidString(v) {
			return 0, false
		}
	}
	if n > min(left, maxReportedClaim) {
		return 0, false
	}
	return n, true
}

// openLength is room for a length that is known only when what has it is there: a varint of
// three bytes, whatever it is.
const openLength = "\x80\x80\x00"

// openField is a field whose value is a message that is being written: where its entry, its
// Value and the message begin.
type openField struct{ entry, value, message int }

func beginField(b []byte, name string, kind byte) ([]byte, openField) {
	var f openField
	b = append(b, structFields)
	b = append(b, openLength...)
	f.entry = len(b)
	b = append(b, entryKey)
	b = appendLength(b, len(name))
	b = append(b, name...)
	b = append(b, entryValue)
	b = append(b, openLength...)
	f.value = len(b)
	b = append(b, kind)
	b = append(b, openLength...)
	f.message = len(b)
	return b, f
}

func (f openField) end(b []byte) {
	for _, start := range [...]int{f.entry, f.value, f.message} {
		n, at := len(b)-start, b[start-len(openLength):]
		at[0], at[1], at[2] = byte(n)|0x80, byte(n>>7)|0x80, byte(n>>14) //nolint:gosec // seven bits of each
	}
}

// appendItem appends a text of a list.
func appendItem(b []byte, value string) []byte {
	b = append(b, listValues)
	b = appendLength(b, 1+lengthSize(len(value))+len(value))
	b = append(b, valueString)
	b = appendLength(b, len(value))
	return append(b, value...)
}
