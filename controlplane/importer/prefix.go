package importer

import (
	"slices"
	"strings"

	"github.com/umagate/umagate/controlplane/glob"
)

// prefixForms gives the forms of a text behind segments, which any text may follow where it
// is open.
func prefixForms(before []segment, prefix string, open, wide bool) (out []form) {
	list := strings.Split(strings.TrimPrefix(prefix, "/"), "/")
	last := list[len(list)-1]
	base := pattern{segments: before}
	for _, s := range list[:len(list)-1] {
		base.segments = append(base.segments, literalSegment(s, false))
	}
	add := func(rest bool, more ...segment) {
		out = append(out, form{pattern: pattern{segments: append(slices.Clone(base.segments), more...), rest: rest}, wide: wide})
	}
	text := literalSegment(last, false)
	switch {
	case !open && last == "" && len(list) == 1 && len(before) == 0:
		add(false)
	case !open && last == "":
		add(false, segment{})
	case !open:
		add(false, text)
	case last == "" && len(list) == 1 && len(before) == 0:
		add(true)
	case last == "":
		add(false, segment{})
		add(true, variableSegment(""))
	default:
		add(false, text)
		add(false, text, segment{})
		add(true, text, variableSegment(""))
		add(true, segment{key: text.key + glob.Variable, text: text.text + "*"})
	}
	return out
}
