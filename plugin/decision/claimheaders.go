package decision

import (
	"strings"

	"github.com/umagate/umagate/plugin/config"
)

const (
	// maxClaimHeader bounds the value of one header, and maxClaimHeaders those of all,
	// in bytes: many servers take no more than 8 KiB in a line.
	maxClaimHeader  = 4 << 10
	maxClaimHeaders = 16 << 10
)

// claimHeader tells the API a claim.
type claimHeader struct {
	name  string
	index int // in site.named
}

// claimHeaders compiles which claims the API is told. Their names begin as those of all
// headers that only the filter may set, so that no client can send one in any spelling.
func (b *builder) claimHeaders(path place, s *site, list []config.ClaimHeader) {
	for i := range list {
		h := &list[i]
		at := path.element("claim_headers", i)
		switch rest, ok := strings.CutPrefix(h.Name, "x-uma-"); {
		case !ok || !isHeaderName(rest):
			b.fault(at.member("name"), `must begin with "x-uma-" and go on with lower-case letters, digits and "-"`)
		case namesCaller(rest):
			b.fault(at.member("name"), "is a header that has another meaning")
		case s.hasHeader(h.Name):
			b.fault(at.member("name"), "another claim has this header already")
		case !isClaimPath(h.Path):
			b.fault(at.member("path"), "must be 1 to 8 names, none of them empty or with a NUL")
		default:
			s.headers = append(s.headers, claimHeader{name: h.Name, index: s.indexOf(h.Path)})
		}
	}
}

// namesCaller reports whether a header is one that every site has.
func namesCaller(rest string) bool {
	return rest == "subject" || rest == "client-id" || rest == "scopes" || rest == "resource-id"
}

func (s *site) hasHeader(name string) bool {
	for i := range s.headers {
		if s.headers[i].name == name {
			return true
		}
	}
	return false
}

func isHeaderName(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return s != "" && len(s) <= 58
}

// appendClaims adds what the API is told of the token's claims. A value that is too long
// is left out, never cut: half of a list would be another list.
func (x *Exchange) appendClaims(set []Header) []Header {
	left := maxClaimHeaders
	for i := range x.site.headers {
		h := &x.site.headers[i]
		value := claimText(x.token.Claim(h.index))
		if len(value) > min(left, maxClaimHeader) {
			x.note("claim", h.name, " is left out: its value is too long")
			continue
		}
		left -= len(value)
		if value != "" {
			set = append(set, Header{h.name, value})
		}
	}
	return set
}

// claimText writes the values of a claim, with commas between them. A comma that is part
// of a value is percent-encoded, as is all that headerText encodes.
func claimText(values []string) string {
	if len(values) == 1 && strings.IndexByte(values[0], ',') < 0 {
		return headerText(values[0])
	}
	var b []byte
	for _, v := range values {
		if v == "" {
			continue
		}
		if len(b) > 0 {
			b = append(b, ',')
		}
		if len(b) > maxClaimHeader {
			break // it is left out
		}
		for _, part := range []byte(headerText(v)) {
			if part == ',' {
				b = append(b, "%2C"...)
			} else {
				b = append(b, part)
			}
		}
	}
	return string(b)
}
