package route

import (
	"strings"
	"unicode/utf8"

	"github.com/umagate/umagate/plugin/internal/ascii"
)

const upperHex = "0123456789ABCDEF"

// rewrite brings a target to its canonical form, or says which of its problems
// has none. The caller judges the outcome again.
func rewrite(target, authority string) (path, query string, err error) {
	if i := strings.IndexByte(target, '#'); i >= 0 {
		target = target[:i]
	}
	path = target
	if i := strings.IndexByte(target, '?'); i >= 0 {
		path, query = target[:i], target[i:]
	}
	if at := controlByte(query); at >= 0 {
		return "", "", &PathError{ProblemControl, len(path) + at}
	}
	if path, err = originForm(path, authority); err != nil {
		return "", "", err
	}
	if path, err = canonicalBytes(path); err != nil {
		return "", "", err
	}
	return removeDotSegments(path), query, nil
}

// originForm turns an absolute-form target (RFC 9112 section 3.2.2) of the same
// authority into origin-form.
func originForm(path, authority string) (string, error) {
	if path != "" && path[0] == '/' {
		return path, nil
	}
	scheme, rest, ok := strings.Cut(path, "://")
	if !ok || !ascii.EqualFold(scheme, "http") && !ascii.EqualFold(scheme, "https") {
		return "", &PathError{ProblemForm, 0}
	}
	host, path := rest, "/"
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		host, path = rest[:i], rest[i:]
	}
	if host == "" || !ascii.EqualFold(host, authority) {
		return "", &PathError{ProblemForm, 0}
	}
	return path, nil
}

// canonicalBytes writes every character of a path in its canonical way: slashes
// as '/', unreserved characters as themselves, others above ASCII escaped. It
// drops matrix parameters.
func canonicalBytes(path string) (string, error) {
	out := make([]byte, 0, len(path))
	matrix := false // inside ";…", up to the next slash
	put := func(b ...byte) {
		if !matrix {
			out = append(out, b...)
		}
	}
	for i := 0; i < len(path); i++ {
		c := path[i]
		switch {
		case c == '/' || c == '\\':
			matrix = false
			put('/')
		case c <= ' ' || c == 0x7F:
			return "", &PathError{ProblemControl, i}
		case c == ';':
			matrix = true
		case c == '%':
			n, problem := scanEscape(path[i:])
			b, _ := escapedByte(path[i:])
			switch problem {
			case "":
				for j := i; j < i+n; j += 3 {
					e, _ := escapedByte(path[j:])
					put('%', upperHex[e>>4], upperHex[e&15])
				}
				i += n - 1
				continue
			case ProblemEncSlash, ProblemEncBackslash:
				matrix = false
				put('/')
			case ProblemEncDot, ProblemEncUnreserved:
				put(b)
			default:
				return "", &PathError{problem, i}
			}
			i += 2
		case c >= utf8.RuneSelf:
			r, size := utf8.DecodeRuneInString(path[i:])
			if r == utf8.RuneError && size <= 1 {
				return "", &PathError{ProblemUTF8, i}
			}
			if p := runeProblem(r); p != "" {
				return "", &PathError{p, i}
			}
			for j := i; j < i+size; j++ {
				put('%', upperHex[path[j]>>4], upperHex[path[j]&15])
			}
			i += size - 1
		default:
			put(c)
		}
	}
	return string(out), nil
}

// removeDotSegments merges empty segments and resolves "." and ".." (RFC 3986
// section 5.2.4); ".." does not go above the root.
func removeDotSegments(path string) string {
	kept := make([]string, 0, strings.Count(path, "/"))
	slash := false // the path ends in a slash
	for segment := range strings.SplitSeq(path[1:], "/") {
		slash = true
		switch segment {
		case "", ".":
		case "..":
			if len(kept) > 0 {
				kept = kept[:len(kept)-1]
			}
		default:
			kept = append(kept, segment)
			slash = false
		}
	}
	out := "/" + strings.Join(kept, "/")
	if slash && len(kept) > 0 {
		out += "/"
	}
	return out
}
