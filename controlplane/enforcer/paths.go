package enforcer

import "strings"

// Paths are the paths of a policy enforcer, each once, in the order of its
// configuration. The first that is equal to the request's wins; "*" at the end is
// any text that follows; a "*." counts wherever the path ends so; a parameter with
// text behind it matches nothing; and of two templates the longer one wins, or the
// one with fewer parameters.
type Paths []string

// What Choose gives when it is no path.
const (
	None  = -1
	Fault = -2 // the enforcer fails, and with it the request
)

// Choose gives the index of the path that the enforcer takes for a request.
func (ps Paths) Choose(target string) int { return ps.chooseWith(target, nil) }

// chooseWith does so where a template that was taken stands for a resource of the
// server from then on: parts is how many parts that one's URI has, by index.
func (ps Paths) chooseWith(target string, parts func(i int) int) int {
	length, brackets := 0, 0 // of the template that is ahead
	exact, wildcard, suffix := None, None, None
	for i, path := range ps {
		matching, matches := path, sameOrBelow(path, target)
		if strings.Contains(path, "{") {
			filled, ok, fault := fill(path, target)
			if fault {
				return Fault
			}
			if ok && sameOrBelow(filled, target) {
				n, b := javaParts(path, "/"), javaParts(path, "{")
				if length == 0 || n > length || b < brackets {
					matching, matches = filled, true
					length, brackets = n, b
				}
			}
		}
		if !matches {
			continue
		}
		if matching == target || fixed(path) == target {
			if length == 0 {
				return i
			}
			exact = i
		}
		if strings.HasSuffix(path, "*") {
			if wildcard == None || ps.parts(wildcard, parts) < javaParts(matching, "/") {
				wildcard = i
			}
		} else if at := strings.Index(path, "*."); at >= 0 && strings.HasSuffix(target, path[at+1:]) {
			suffix = i
		}
	}
	switch {
	case exact != None:
		return exact
	case suffix != None:
		return suffix
	}
	return wildcard
}

// parts is how many parts a path has, or the URI of what it stands for.
func (ps Paths) parts(i int, of func(i int) int) int {
	if of != nil && strings.Contains(ps[i], "{") {
		if n := of(i); n >= 0 {
			return n
		}
	}
	return javaParts(ps[i], "/")
}

// Parts is how many parts the enforcer sees in a URI.
func Parts(uri string) int { return javaParts(uri, "/") }

// Begin gives a text with which each request begins that a path may be taken for.
func Begin(path string) string {
	if strings.Contains(path, "/*.") {
		return "" // an ending counts anywhere
	}
	text, _, _ := strings.Cut(path, "{")
	if root, ok := strings.CutSuffix(path, "*"); ok {
		text = text[:min(len(text), max(0, len(root)-1))]
	}
	return text
}

// fixed is what stands before the first wildcard or parameter.
func fixed(path string) string {
	path, _, _ = strings.Cut(path, "/*")
	path, _, _ = strings.Cut(path, "{")
	if path == "" {
		return "/"
	}
	return path
}

// sameOrBelow reports whether a path without parameters is, or may be, the target.
func sameOrBelow(path, target string) bool {
	if path == target {
		return true
	}
	if root, ok := strings.CutSuffix(path, "*"); ok {
		return strings.HasPrefix(target, root) || root != "" && target == root[:len(root)-1]
	}
	at := strings.Index(path, "/*.")
	return at >= 0 && strings.HasSuffix(target, path[at+2:])
}

// fill puts the segments of the target into the parameters of a path. It is not ok
// where they cannot be, and a fault where Keycloak's code fails on it.
func fill(path, target string) (filled string, ok, fault bool) {
	start := strings.IndexByte(path, '{')
	expected := strings.TrimSuffix(path, "/*")
	if start < 0 || start >= len(target) || target[:start] != expected[:start] || javaParts(expected, "/") > javaParts(target, "/") {
		return "", false, false
	}
	f := filler{path: expected, filled: path, target: target, params: javaSplit(target[start:], "/"), used: start}
	most := 4 * (len(path) + len(target)) // a "{" that is never closed goes round
	for i := start; i < len(expected) && f.used < len(target); i++ {
		if most--; most < 0 {
			return "", false, true
		}
		switch c := expected[i]; c {
		case '{', '*':
			if ok, fault = f.take(c); !ok || fault {
				return "", false, fault
			}
			if c == '{' {
				if end := strings.IndexByte(expected[i:], '}'); end >= 0 {
					i += end
				} else {
					i = -1
				}
			}
		case '/':
			f.segment++
			f.used++
		default:
			f.used++
		}
	}
	return f.filled, true, false
}

type filler struct {
	path, filled, target string
	params               []string // of the target, from the first parameter on
	segment              int      // of params
	used                 int      // bytes of the target
	from                 int      // where in filled the next parameter is looked for
}

// take fills one parameter, or lets a "*" take all that is left.
func (f *filler) take(c byte) (ok, fault bool) {
	last := f.segment
	if c == '*' {
		last = len(f.params)
	}
	for k := f.segment; k <= last && k != len(f.params); k++ {
		if k > len(f.params) {
			return false, true
		}
		value := f.params[k]
		if f.used+len(value) > len(f.target) {
			return false, false
		}
		f.used += len(value)
		if c == '{' {
			open, end := indexFrom(f.filled, "{", f.from), indexFrom(f.filled, "}", f.from)+1
			if open < 0 || open > end {
				return false, true
			}
			f.filled = f.filled[:open] + value + f.filled[end:]
		}
		if value == "" {
			return false, true
		}
		if strings.HasSuffix(value, "}") {
			f.from = strings.Index(f.filled, value) + len(value)
		}
		if c == '*' && f.used < len(f.target) {
			f.used++
		}
	}
	return true, false
}

func indexFrom(s, part string, from int) int {
	if from > len(s) {
		return -1
	}
	if at := strings.Index(s[from:], part); at >= 0 {
		return from + at
	}
	return -1
}

// javaParts is how many parts javaSplit gives.
func javaParts(s, separator string) int {
	if s == "" {
		return 1
	}
	if s = strings.TrimRight(s, separator); s == "" {
		return 0
	}
	return strings.Count(s, separator) + 1
}

// javaSplit is String.split: what is empty at the end is not there.
func javaSplit(s, separator string) []string {
	if s == "" {
		return []string{""}
	}
	parts := strings.Split(s, separator)
	for len(parts) > 0 && parts[len(parts)-1] == "" {
		parts = parts[:len(parts)-1]
	}
	return parts
}
