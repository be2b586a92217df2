package devas

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
)

// Secret is a password or client secret. It redacts itself wherever it is
// formatted, logged or encoded; [Secret.Reveal] gives the value.
type Secret string

const redacted = "[redacted]"

// Reveal returns the value itself.
func (s Secret) Reveal() string { return string(s) }

// Format implements fmt.Formatter, so that no verb tells the value.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// String implements fmt.Stringer and never tells the value.
func (Secret) String() string { return redacted }

// GoString implements fmt.GoStringer and never tells the value.
func (Secret) GoString() string { return redacted }

// MarshalJSON never tells the value.
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// LogValue implements slog.LogValuer and never tells the value.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// matches compares in constant time; an empty secret matches nothing.
func (s Secret) matches(given string) bool {
	return s != "" && subtle.ConstantTimeCompare([]byte(s), []byte(given)) == 1
}

// randomID returns a name of 128 random bits.
func randomID() string { return randomText(16) }

// randomToken returns a bearer credential of 256 random bits.
func randomToken() string { return randomText(32) }

func randomText(bytes int) string {
	b := make([]byte, bytes)
	// crypto/rand.Read never fails: it ends the program instead (Go 1.24).
	_, _ = rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)
}
