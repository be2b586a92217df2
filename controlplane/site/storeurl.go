package site

import (
	"fmt"
	"io"
	"log/slog"
	"net/url"

	"github.com/umagate/umagate/controlplane/secret"
)

// StoreURL says where the control plane keeps its state: "sqlite:PATH" or
// "postgres://…". It may hold a password, which no way of formatting shows.
type StoreURL struct{ value secret.Text }

// NewStoreURL wraps a URL that did not come from a file.
func NewStoreURL(value string) StoreURL { return StoreURL{value: secret.New(value)} }

// Reveal returns the URL as written, with its password.
func (s StoreURL) Reveal() string { return s.value.Reveal() }

// Secret returns the URL as [StoreURL.Reveal] does, for package store.
func (s StoreURL) Secret() secret.Text { return s.value }

// String is the URL without its password and its query, where drivers take one too.
func (s StoreURL) String() string {
	u, err := url.Parse(s.value.Reveal())
	if err != nil {
		return secret.Redacted
	}
	if u.RawQuery != "" {
		u.RawQuery = secret.Redacted
	}
	return u.Redacted()
}

// GoString implements [fmt.GoStringer] without the password.
func (s StoreURL) GoString() string { return "site.StoreURL(" + s.String() + ")" }

// Format implements [fmt.Formatter], so that no verb reaches the password.
func (s StoreURL) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// MarshalText implements [encoding.TextMarshaler] without the password.
func (s StoreURL) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue implements [slog.LogValuer] without the password.
func (s StoreURL) LogValue() slog.Value { return slog.StringValue(s.String()) }
