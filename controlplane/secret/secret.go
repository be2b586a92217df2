// Package secret holds the types for values that must not be printed: client
// secrets, PATs, registration access tokens, sealing keys.
//
// A [Text] formats, marshals and logs as [Redacted] whatever verb or encoder is
// used, also as an unexported field of another struct, where fmt cannot call
// methods: the value stands behind a pointer. [Text.Reveal] is the only way to
// it, so that a search for Reveal finds every place where a secret leaves.
package secret

import (
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
)

// Redacted is what every form of a set [Text] shows.
const Redacted = "[redacted]"

// Text is a secret string. The zero value is the empty secret and shows as "".
// It is immutable and safe for concurrent use.
type Text struct {
	value *string
}

// New makes a secret of s; the empty string makes the zero value.
func New(s string) Text {
	if s == "" {
		return Text{}
	}
	return Text{value: &s}
}

// Reveal returns the secret itself. Call it only where the value goes out, to the
// AS, to Envoy or to the sealed store.
func (t Text) Reveal() string {
	if t.value == nil {
		return ""
	}
	return *t.value
}

// IsZero reports that there is no secret. encoding/json's omitzero calls it.
func (t Text) IsZero() bool { return t.value == nil }

// Equal compares two secrets in a time that does not tell how much is equal.
func (t Text) Equal(other Text) bool {
	return subtle.ConstantTimeCompare([]byte(t.Reveal()), []byte(other.Reveal())) == 1
}

// String redacts.
func (t Text) String() string {
	if t.IsZero() {
		return ""
	}
	return Redacted
}

// GoString redacts.
func (t Text) GoString() string { return fmt.Sprintf("secret.Text(%q)", t.String()) }

// Format redacts for every verb of fmt.
func (t Text) Format(f fmt.State, verb rune) {
	if verb == 'v' && f.Flag('#') {
		_, _ = io.WriteString(f, t.GoString())
		return
	}
	_, _ = io.WriteString(f, t.String())
}

// LogValue redacts for slog.
func (t Text) LogValue() slog.Value { return slog.StringValue(t.String()) }

// MarshalText redacts; it serves encoders of text forms such as YAML.
func (t Text) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// MarshalJSON redacts.
func (t Text) MarshalJSON() ([]byte, error) { return json.Marshal(t.String()) }

// UnmarshalJSON reads the secret from a JSON string; the AS's answers are read
// with it.
func (t *Text) UnmarshalJSON(data []byte) error {
	var s string
	if err := json.Unmarshal(data, &s); err != nil {
		// The cause may quote the value: it is left out on purpose.
		return fmt.Errorf("secret: not a JSON string")
	}
	*t = New(s)
	return nil
}
