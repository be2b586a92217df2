package route

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCanonicalHost(t *testing.T) {
	label := strings.Repeat("a", 63)
	tests := []struct {
		name, authority string
		want            string // "" is refused
	}{
		{"plain", "photos.example.com", "photos.example.com"},
		{"upper case", "PHOTOS.Example.COM", "photos.example.com"},
		{"port", "h.example:8443", "h.example"},
		{"one label", "localhost", "localhost"},
		{"underscore", "a_b.example", "a_b.example"},
		{"IPv4", "127.0.0.1:80", "127.0.0.1"},
		{"IPv6", "[2001:DB8::1]:443", "[2001:db8::1]"},
		{"longest label", label + ".example", label + ".example"},

		{"empty", "", ""},
		{"only a port", ":80", ""},
		{"trailing dot", "h.example.", ""},
		{"trailing dot and port", "h.example.:80", ""},
		{"leading dot", ".example", ""},
		{"two dots", "h..example", ""},
		{"only a dot", ".", ""},
		{"userinfo", "user@h.example", ""},
		{"userinfo and port", "h.example:80@evil.example", ""},
		{"two hosts", "h.example,evil.example", ""},
		{"space", "h.example ", ""},
		{"tab", "h\t.example", ""},
		{"NUL", "h.example\x00.evil", ""},
		{"line end", "h.example\r\nx: y", ""},
		{"slash", "h.example/a", ""},
		{"backslash", `h.example\a`, ""},
		{"percent", "h%2eexample", ""},
		{"star", "*.example", ""},
		{"not ASCII", "é.example", ""},
		{"Kelvin sign", "\u212Aube.example", ""},
		{"full-width dot", "h．example", ""},
		{"empty port", "h.example:", ""},
		{"port of letters", "h.example:http", ""},
		{"port with a sign", "h.example:+80", ""},
		{"long port", "h.example:000080", ""},
		{"port of more than 16 bits", "h.example:65536", ""},
		{"two ports", "h.example:80:80", ""},
		{"IPv6 without brackets", "::1", ""},
		{"IPv6 not closed", "[::1", ""},
		{"IPv6 with a zone", "[fe80::1%25eth0]", ""},
		{"IPv6 and more", "[::1]evil", ""},
		{"name in brackets", "[h.example]", ""},
		{"long label", label + "a.example", ""},
		{"long name", strings.Repeat("a.", 127) + "aa", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			host, ok := CanonicalHost(tt.authority)
			require.Equal(t, tt.want != "", ok)
			require.Equal(t, tt.want, host)
		})
	}
}

func TestCanonicalAuthority(t *testing.T) {
	tests := []struct{ name, authority, want string }{
		{"as it came", "h.example", "h.example"},
		{"port as it came", "h.example:8443", "h.example:8443"},
		{"default port as it came", "h.example:80", "h.example:80"},
		{"letters", "H.Example:80", "h.example:80"},
		{"zero before the port", "h.example:080", "h.example:80"},
		{"zeros and letters", "H.example:00080", "h.example:80"},
		{"port zero", "h.example:000", "h.example:0"},
		{"largest port", "h.example:65535", "h.example:65535"},
		{"IPv6", "[2001:DB8::1]:0443", "[2001:db8::1]:443"},
		{"IPv6 without port", "[::1]", "[::1]"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			canonical, host, ok := CanonicalAuthority(tt.authority)
			require.True(t, ok)
			require.Equal(t, tt.want, canonical)
			require.True(t, strings.HasPrefix(canonical, host))
			again, _, ok := CanonicalAuthority(canonical)
			require.True(t, ok)
			require.Equal(t, canonical, again)
		})
	}
}

func TestHosts(t *testing.T) {
	h := NewHosts()
	for value, pattern := range []string{"example.com", "*.example.com", "a.example.com", "*.b.example.com", "*"} {
		_, err := h.Add(pattern, value)
		require.NoError(t, err)
	}
	tests := []struct {
		name, host string
		want       int
	}{
		{"exact", "example.com", 0},
		{"exact before a suffix", "a.example.com", 2},
		{"suffix", "x.example.com", 1},
		{"suffix of several labels", "x.y.example.com", 1},
		{"longest suffix", "x.b.example.com", 3},
		{"a suffix is not itself", "b.example.com", 1},
		{"a suffix ends at a dot", "xexample.com", 4},
		{"any", "other.test", 4},
		{"IPv6", "[::1]", 4},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			value, ok := h.Find(tt.host)
			require.True(t, ok)
			require.Equal(t, tt.want, value)
		})
	}
	_, ok := NewHosts().Find("example.com")
	require.False(t, ok)
}

func TestHostsRefuses(t *testing.T) {
	tests := []struct {
		name, pattern string
		err           error
		present       int
	}{
		{"again", "example.com", ErrHostDuplicate, 0},
		{"again, other case", "EXAMPLE.com", ErrHostDuplicate, 0},
		{"suffix again", "*.example.com", ErrHostDuplicate, 1},
		{"any again", "*", ErrHostDuplicate, 2},
		{"empty", "", ErrHostForm, 0},
		{"port", "h.example:80", ErrHostForm, 0},
		{"scheme", "http://h.example", ErrHostForm, 0},
		{"path", "h.example/a", ErrHostForm, 0},
		{"trailing dot", "h.example.", ErrHostForm, 0},
		{"star inside", "a.*.example", ErrHostForm, 0},
		{"star of a part", "a*.example", ErrHostForm, 0},
		{"empty suffix", "*.", ErrHostForm, 0},
		{"suffix of an address", "*.[::1]", ErrHostForm, 0},
		{"two stars", "*.*.example", ErrHostForm, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := NewHosts()
			for value, pattern := range []string{"example.com", "*.example.com", "*"} {
				_, err := h.Add(pattern, value)
				require.NoError(t, err)
			}
			present, err := h.Add(tt.pattern, 9)
			require.ErrorIs(t, err, tt.err)
			require.Equal(t, tt.present, present)
		})
	}
}

func TestHostsReplace(t *testing.T) {
	h := NewHosts()
	for value, pattern := range []string{"example.com", "*.example.com", "*"} {
		_, err := h.Add(pattern, value)
		require.NoError(t, err)
		h.Replace(pattern, 10+value)
	}
	for value, host := range []string{"example.com", "a.example.com", "other.test"} {
		got, ok := h.Find(host)
		require.True(t, ok)
		require.Equal(t, 10+value, got, host)
	}
}
