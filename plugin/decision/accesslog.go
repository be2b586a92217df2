package decision

import (
	"encoding/binary"
	"math"
	"strings"
	"unicode/utf8"
)

// maxReported bounds each text of a report, in bytes: what an authorization server
// says may be long, and every request may have it in a line.
const maxReported = 256

// AppendStruct appends the decision as a google.protobuf.Struct in its wire form, for
// the access log, which makes a JSON object of it. Fields that do not apply are left
// out. A text that is longer than 256 bytes is cut, with "…" at its end. In one that is not
// UTF-8, "?" stands for each byte that is not ASCII: Envoy reads no Struct with such a
// text.
func (d *Decision) AppendStruct(b []byte) []byte {
	b = appendText(b, "decision", d.Effect.String())
	b = appendText(b, "reason", d.Reason.String())
	b = appendText(b, "site", d.Site)
	b = appendText(b, "resource", d.Resource)
	b = appendText(b, "condition", d.Condition)
	b = appendText(b, "problem", string(d.Problem))
	if m := d.MCP; m != nil {
		b = appendText(b, "mcp_method", m.Method)
		name, _, _ := strings.Cut(m.Name, "?") // as of a path: a query may hold what nobody should read in a log
		b = appendText(b, "mcp_name", name)
	}
	b = appendText(b, "subject", d.Subject)
	b = appendText(b, "client_id", d.ClientID)
	b = appendText(b, "scopes", d.Scopes)
	if d.Cache != CacheNone {
		b = appendText(b, "cache", d.Cache.String())
	}
	if f := d.Failed; f.Outcome != CallOK {
		b = appendText(b, "as_outcome", f.Outcome.String())
		b = appendNumber(b, "as_status", int(f.Status))
	}
	if d.Status != 0 {
		b = appendNumber(b, "status", d.Status)
	}
	return b
}

// The tags of google/protobuf/struct.proto.
const (
	structFields = 1<<3 | 2 // Struct.fields, a map: each entry a message
	entryKey     = 1<<3 | 2
	entryValue   = 2<<3 | 2
	valueNumber  = 2<<3 | 1 // Value.number_value, a double
	valueString  = 3<<3 | 2
	valueStruct  = 5<<3 | 2
	valueList    = 6<<3 | 2
	listValues   = 1<<3 | 2 // ListValue.values
)

// appendText appends a field whose value is a text, none for an empty one.
func appendText(b []byte, name, value string) []byte {
	if value == "" {
		return b
	}
	if len(value) > maxReported || !utf8.ValidString(value) {
		value = reported(value)
	}
	b = appendEntry(b, name, 1+lengthSize(len(value))+len(value))
	b = append(b, valueString)
	b = appendLength(b, len(value))
	return append(b, value...)
}

// appendNumber appends a field whose value is a number.
func appendNumber(b []byte, name string, value int) []byte {
	b = appendEntry(b, name, 1+8)
	b = append(b, valueNumber)
	return binary.LittleEndian.AppendUint64(b, math.Float64bits(float64(value)))
}

// appendEntry appends a field up to its Value, which has size bytes.
func appendEntry(b []byte, name string, size int) []byte {
	b = append(b, structFields)
	b = appendLength(b, 1+lengthSize(len(name))+len(name)+1+lengthSize(size)+size)
	b = append(b, entryKey)
	b = appendLength(b, len(name))
	b = append(b, name...)
	b = append(b, entryValue)
	return appendLength(b, size)
}

// lengthSize is how many bytes a length has as a varint: no text and no number has more
// than maxReported and some.
func lengthSize(n int) int {
	if n < 1<<7 {
		return 1
	}
	return 2
}

func appendLength(b []byte, n int) []byte {
	if n < 1<<7 {
		return append(b, byte(n)) //nolint:gosec // just compared
	}
	return append(b, byte(n&0x7f|0x80), byte(n>>7)) //nolint:gosec // see lengthSize
}

// reported makes a text one that a report may have.
func reported(s string) string {
	const more = "…"
	cut := len(s) > maxReported
	if cut {
		end := maxReported - len(more)
		for end > 0 && !utf8.RuneStart(s[end]) {
			end--
		}
		s = s[:end]
	}
	if !utf8.ValidString(s) {
		b := []byte(s)
		for i, c := range b {
			if c >= utf8.RuneSelf {
				b[i] = '?'
			}
		}
		s = string(b)
	}
	if cut {
		return s + more
	}
	return s
}
