package oxd

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode/utf8"
)

// The values of "status".
const (
	statusOK    = "ok"
	statusError = "error"
)

// Response is the envelope of every answer.
type Response struct {
	Status string `json:"status"`
	// Data is the command's result, or a [Failure].
	Data any `json:"data"`
	// Warnings tell what a command that succeeded has not done. The envelope has no
	// room for them, as some clients refuse members that they do not know: HTTP has
	// them in a header, and the log has them.
	Warnings []string `json:"-"`
}

// Failure is the data of an error. Every member is written always: clients read
// them without a default.
type Failure struct {
	Code        Code   `json:"error"`
	Description string `json:"error_description"`
	Details     any    `json:"details"`
}

// OK reports whether the command succeeded.
func (r Response) OK() bool { return r.Status == statusOK }

func succeeded(data any) Response { return Response{Status: statusOK, Data: data} }

func failed(e *Error) Response {
	return Response{Status: statusError, Data: Failure{Code: e.Code, Description: e.Description, Details: e.Details}}
}

// encodeASCII returns v as JSON without a byte above 0x7f: then the characters that
// one client counts and the bytes that another counts are the same number.
func encodeASCII(v any) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return nil, fmt.Errorf("oxd: encode the answer: %w", err)
	}
	raw := bytes.TrimRight(b.Bytes(), "\n")
	out := make([]byte, 0, len(raw))
	for len(raw) > 0 {
		r, size := utf8.DecodeRune(raw)
		switch {
		case r < utf8.RuneSelf:
			out = append(out, raw[0])
		case r > 0xffff: // as two UTF-16 units (RFC 8259 section 7)
			r -= 0x10000
			out = fmt.Appendf(out, `\u%04x\u%04x`, 0xd800+(r>>10), 0xdc00+(r&0x3ff))
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
		raw = raw[size:]
	}
	return out, nil
}
