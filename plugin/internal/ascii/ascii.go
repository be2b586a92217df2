// Package ascii compares protocol elements, which fold the letters of ASCII and no
// others. strings.EqualFold also takes U+017F for an s and U+212A for a k, and links
// tables of Unicode that every Envoy would compile.
package ascii

// EqualFold reports whether two texts are equal but for the case of ASCII letters.
func EqualFold(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
