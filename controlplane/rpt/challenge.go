package rpt

import (
	"errors"
	"fmt"
	"strings"

	"github.com/umagate/umagate/controlplane/printable"
)

// ErrChallenge is wrapped by errors about a WWW-Authenticate header.
var ErrChallenge = errors.New("malformed WWW-Authenticate")

// Challenge is one challenge of a WWW-Authenticate header (RFC 9110 section
// 11.3). Names of parameters are in lower case.
type Challenge struct {
	Scheme  string
	Token68 string
	Params  map[string]string
}

// ParseChallenges reads the values of all WWW-Authenticate headers of an answer,
// each of which may hold several challenges (RFC 9110 section 11.6.1).
func ParseChallenges(values []string) ([]Challenge, error) {
	var out []Challenge
	for _, value := range values {
		p := challengeParser{s: value}
		list, err := p.challenges()
		if err != nil {
			return nil, fmt.Errorf("%w: %w at byte %d of %q", ErrChallenge, err, p.at, clip(value))
		}
		out = append(out, list...)
	}
	return out, nil
}

var (
	errScheme    = errors.New("a scheme is expected")
	errParam     = errors.New("a parameter is expected")
	errQuote     = errors.New("a quoted text does not end")
	errDuplicate = errors.New("a parameter is there twice")
	errComma     = errors.New("a comma is expected")
)

type challengeParser struct {
	s  string
	at int
}

// challenges reads #challenge. Commas separate challenges and the parameters of
// one alike: a token that is followed by "=" belongs to the challenge before.
func (p *challengeParser) challenges() ([]Challenge, error) {
	var out []Challenge
	for {
		p.skipListSeparators()
		if p.at == len(p.s) {
			return out, nil
		}
		scheme := p.token()
		if scheme == "" {
			return nil, errScheme
		}
		c := Challenge{Scheme: scheme, Params: map[string]string{}}
		if p.at < len(p.s) && p.s[p.at] != ',' {
			if !p.space() {
				return nil, errScheme
			}
			if err := p.rest(&c); err != nil {
				return nil, err
			}
		}
		out = append(out, c)
	}
}

// rest reads what follows a scheme: a token68, or parameters.
func (p *challengeParser) rest(c *Challenge) error {
	if text, ok := p.token68(); ok {
		c.Token68 = text
		return nil
	}
	for {
		start := p.at
		p.skipListSeparators()
		if p.at == len(p.s) {
			return nil
		}
		name := strings.ToLower(p.token())
		if name == "" {
			return errParam
		}
		p.skipSpace()
		if !p.take('=') {
			// Not a parameter but the next scheme.
			p.at = start
			return nil
		}
		p.skipSpace()
		value, err := p.value()
		if err != nil {
			return err
		}
		if _, twice := c.Params[name]; twice {
			return errDuplicate
		}
		c.Params[name] = value
		p.skipSpace()
		if p.at < len(p.s) && p.s[p.at] != ',' {
			return errComma
		}
	}
}

func (p *challengeParser) value() (string, error) {
	if !p.take('"') {
		v := p.token()
		if v == "" {
			return "", errParam
		}
		return v, nil
	}
	var b strings.Builder
	for p.at < len(p.s) {
		c := p.s[p.at]
		p.at++
		switch c {
		case '"':
			return b.String(), nil
		case '\\':
			if p.at == len(p.s) {
				return "", errQuote
			}
			b.WriteByte(p.s[p.at])
			p.at++
		default:
			b.WriteByte(c)
		}
	}
	return "", errQuote
}

// token68 reads a token68 (RFC 9110 section 11.2) if that, and nothing else, is
// what stands before the next comma or the end.
func (p *challengeParser) token68() (string, bool) {
	end := p.at
	for end < len(p.s) && (isTokenChar(p.s[end]) && !strings.ContainsRune("!#$%&'*^`|", rune(p.s[end])) || p.s[end] == '/') {
		end++
	}
	if end == p.at {
		return "", false
	}
	for end < len(p.s) && p.s[end] == '=' {
		end++
	}
	after := strings.TrimLeft(p.s[end:], " \t")
	if after != "" && after[0] != ',' {
		return "", false
	}
	text := p.s[p.at:end]
	p.at = len(p.s) - len(after)
	return text, true
}

func (p *challengeParser) token() string {
	start := p.at
	for p.at < len(p.s) && isTokenChar(p.s[p.at]) {
		p.at++
	}
	return p.s[start:p.at]
}

func (p *challengeParser) take(c byte) bool {
	if p.at < len(p.s) && p.s[p.at] == c {
		p.at++
		return true
	}
	return false
}

func (p *challengeParser) space() bool {
	start := p.at
	p.skipSpace()
	return p.at > start || p.at == len(p.s)
}

func (p *challengeParser) skipSpace() {
	for p.at < len(p.s) && (p.s[p.at] == ' ' || p.s[p.at] == '\t') {
		p.at++
	}
}

func (p *challengeParser) skipListSeparators() {
	for p.at < len(p.s) && (p.s[p.at] == ' ' || p.s[p.at] == '\t' || p.s[p.at] == ',') {
		p.at++
	}
}

// isTokenChar is tchar of RFC 9110 section 5.6.2.
func isTokenChar(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

// clip makes a text fit to be shown.
func clip(s string) string {
	const most = 200
	return printable.Line(s, most)
}
