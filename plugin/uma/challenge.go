package uma

// Error codes of a challenge (RFC 6750 section 3.1).
const (
	ErrorInvalidRequest    = "invalid_request"
	ErrorInvalidToken      = "invalid_token"
	ErrorInsufficientScope = "insufficient_scope"
)

// WarningUnreachable is the Warning header of UMA Grant section 3.2.2: the
// authorization server gave no ticket.
const WarningUnreachable = `199 - "UMA Authorization Server Unreachable"`

// Challenge builds a WWW-Authenticate value. Values that are empty are left out.
type Challenge struct {
	// Scheme is "UMA" or "Bearer".
	Scheme string
	Realm  string
	ASURI  string
	Error  string
	Scope  string
	Ticket string
	// ResourceMetadata is the URL of the metadata of what is protected (RFC 9728 section 5.1).
	ResourceMetadata string
	// ACRValues and MaxAge are what the user has to be authenticated by and how recently,
	// in seconds (RFC 9470 section 3).
	ACRValues, MaxAge string
}

// String writes the challenge; UMA Grant section 3.2.1 has the order.
func (c Challenge) String() string {
	b := make([]byte, 0, len(c.Scheme)+len(c.Realm)+len(c.ASURI)+len(c.Error)+len(c.Scope)+len(c.Ticket)+len(c.ResourceMetadata)+len(c.ACRValues)+96)
	b = append(b, c.Scheme...)
	first := true
	for _, p := range [...]struct{ name, value string }{
		{"realm", c.Realm},
		{"as_uri", c.ASURI},
		{"error", c.Error},
		{"scope", c.Scope},
		{"ticket", c.Ticket},
		{"acr_values", c.ACRValues},
		{"max_age", c.MaxAge},
		{"resource_metadata", c.ResourceMetadata},
	} {
		if p.value == "" {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = append(b, ' ')
		b = append(b, p.name...)
		b = append(b, '=', '"')
		b = appendQuoted(b, p.value)
		b = append(b, '"')
	}
	return string(b)
}

// appendQuoted writes the inside of a quoted-string (RFC 9110 section 5.6.4).
// What a header cannot carry is left out.
func appendQuoted(b []byte, s string) []byte {
	for i := range len(s) {
		switch c := s[i]; {
		case c < ' ' || c > '~':
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		default:
			b = append(b, c)
		}
	}
	return b
}
