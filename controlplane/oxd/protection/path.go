package protection

import (
	"strings"

	"github.com/umagate/umagate/plugin/route"
)

// templates returns the templates of a path. One that has the signs of a template is
// both: the template, and the exact text, because a gateway of oxd's time names the
// pattern itself when it asks. In oxd's time such signs stood for whole segments:
// beside other text, they stand for themselves.
func templates(path string) []string {
	path = pattern(path)
	exact := escape(path)
	template, err := route.ParseTemplate(path)
	switch {
	case err != nil || template.HasPatterns():
		return []string{exact}
	case strings.ContainsAny(path, "*{"):
		return []string{path, exact}
	default:
		return []string{path}
	}
}

// pattern writes the wildcards of Gluu Gateway, which registers them through oxd,
// as umagate's: "?" is one segment, "??" the rest.
func pattern(path string) string {
	if !strings.Contains(path, "?") {
		return path
	}
	segments := strings.Split(path, "/")
	for i, s := range segments {
		switch s {
		case "?":
			segments[i] = "*"
		case "??":
			segments[i] = "**"
		}
	}
	return strings.Join(segments, "/")
}

// requestPath is the path of a request that an application means by a path that it
// has protected: of a template, the text itself.
func requestPath(path string) string {
	path = pattern(path)
	if !strings.ContainsAny(path, "*{") {
		if _, err := route.ParsePath(path, "", false); err == nil {
			return path
		}
	}
	return escape(path)
}

// Target returns the path of the request that a check_access asks about: that of the
// protected path which equals it without case, or else itself, with what no path on
// the wire can have escaped. Applications are given their paths decoded.
func (d Document) Target(path string) string {
	for i := range d {
		if strings.EqualFold(d[i].Path, path) {
			return requestPath(d[i].Path)
		}
	}
	return route.Escape(path, func(c byte) bool { return c <= ' ' || c >= 0x7f || strings.IndexByte(`"<>\^{|}`+"`", c) >= 0 })
}

// escape writes a path so that it stands for itself, segment by segment, and for
// nothing else.
func escape(path string) string {
	return route.Escape(path, func(c byte) bool {
		return c != '/' && (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') && strings.IndexByte("-._~", c) < 0
	})
}
