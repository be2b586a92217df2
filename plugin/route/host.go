package route

import (
	"errors"
	"strings"

	"github.com/umagate/umagate/plugin/internal/ascii"
)

// Errors of a host in configuration.
var (
	ErrHostForm      = errors.New(`a host is a name without port and path ("photos.example.com"), a suffix ("*.example.com") or "*"`)
	ErrHostDuplicate = errors.New("another site has this host already")
)

// CanonicalHost reads an :authority: lower case, without port. It is not ok when
// a parser could take it for another host: empty, with userinfo, a trailing dot,
// or characters that no host name has.
func CanonicalHost(authority string) (host string, ok bool) {
	_, host, ok = CanonicalAuthority(authority)
	return host, ok
}

// CanonicalAuthority reads an :authority, and gives the one spelling of it that is
// forwarded: lower case, the port, if there is one, without zeros before it.
func CanonicalAuthority(authority string) (canonical, host string, ok bool) {
	end := strings.IndexByte(authority, ':')
	if strings.HasPrefix(authority, "[") {
		end = strings.IndexByte(authority, ']') + 1
		if end == 0 || !isIPv6(authority[1:end-1]) {
			return "", "", false
		}
	} else {
		if end < 0 {
			end = len(authority)
		}
		if !isHostName(authority[:end]) {
			return "", "", false
		}
	}
	port := authority[end:]
	if !isPort(port) {
		return "", "", false
	}
	canonical = lowerASCII(authority)
	host = canonical[:end]
	if strings.HasPrefix(port, ":0") {
		canonical = host + ":" + strings.TrimLeft(port[1:len(port)-1], "0") + port[len(port)-1:]
	}
	return canonical, host, true
}

// isPort accepts "" and ":" with a number of 16 bits.
func isPort(s string) bool {
	if s == "" {
		return true
	}
	if s[0] != ':' || len(s) < 2 || len(s) > 6 {
		return false
	}
	n := 0
	for i := 1; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
		n = 10*n + int(s[i]-'0')
	}
	return n <= 0xFFFF
}

func isIPv6(s string) bool {
	for i := range len(s) {
		if !isHex(s[i]) && s[i] != ':' && s[i] != '.' {
			return false
		}
	}
	return strings.Contains(s, ":")
}

func isHostName(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	label := 0 // bytes of the current label
	for i := range len(s) {
		c := s[i]
		switch {
		case c == '.':
			if label == 0 {
				return false
			}
			label = 0
		case c|0x20 >= 'a' && c|0x20 <= 'z', c >= '0' && c <= '9', c == '-', c == '_':
			if label++; label > 63 {
				return false
			}
		default:
			return false
		}
	}
	return label > 0 // no trailing dot
}

// Hosts finds the site of a host. An exact name is preferred to the longest
// suffix, and that to "*".
type Hosts struct {
	exact  map[string]int
	suffix map[string]int // ".example.com"
	any    int            // value plus one
}

// NewHosts makes an empty table.
func NewHosts() *Hosts {
	return &Hosts{exact: make(map[string]int), suffix: make(map[string]int)}
}

// Add enters a host of the configuration. The error is [ErrHostForm], or
// [ErrHostDuplicate] with the value that is kept: the one that was there.
func (h *Hosts) Add(pattern string, value int) (present int, err error) {
	table, host, err := h.entry(pattern)
	switch {
	case err != nil:
		return 0, err
	case table != nil:
		if present, taken := table[host]; taken {
			return present, ErrHostDuplicate
		}
		table[host] = value
	case h.any != 0:
		return h.any - 1, ErrHostDuplicate
	default:
		h.any = value + 1
	}
	return value, nil
}

// Replace gives a host that was added another value.
func (h *Hosts) Replace(pattern string, value int) {
	switch table, host, err := h.entry(pattern); {
	case err != nil:
	case table != nil:
		table[host] = value
	default:
		h.any = value + 1
	}
}

// entry is where a host of the configuration stands; without a table, it is every host.
func (h *Hosts) entry(pattern string) (table map[string]int, host string, err error) {
	if pattern == "*" {
		return nil, "", nil
	}
	table, name := h.exact, pattern
	if strings.HasPrefix(pattern, "*.") {
		table, name = h.suffix, pattern[2:]
	}
	host, ok := CanonicalHost(name)
	if !ok || !ascii.EqualFold(host, name) { // a port was cut
		return nil, "", ErrHostForm
	}
	if name != pattern {
		if host[0] == '[' { // an address has no suffix
			return nil, "", ErrHostForm
		}
		host = "." + host
	}
	return table, host, nil
}

// Find returns the value of a canonical host.
func (h *Hosts) Find(host string) (value int, ok bool) {
	if v, ok := h.exact[host]; ok {
		return v, true
	}
	if len(h.suffix) > 0 && !strings.HasPrefix(host, "[") {
		for i := range len(host) {
			if host[i] == '.' {
				if v, ok := h.suffix[host[i:]]; ok {
					return v, true
				}
			}
		}
	}
	return h.any - 1, h.any != 0
}
