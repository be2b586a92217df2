package decision

import (
	"github.com/umagate/umagate/plugin/config"
	"github.com/umagate/umagate/plugin/route"
)

// readsOtherwise reports whether some server is known to read the path as one of
// another condition than found, which is nil where no condition has the path and it
// may pass.
func (x *Exchange) readsOtherwise(found *condition) bool {
	var literals uint64
	var places []route.Place
	if found != nil {
		literals = x.rule.literals
		if found.instance != nil {
			places = found.instance.places
		}
	}
	for n := range route.Readings {
		path, moved, ok := x.path.Reading(n, literals, places)
		if !ok {
			continue
		}
		if found != nil && found.readsValue(x.path, path) {
			x.note("path", "can be read with another value where a claim is compared")
			return true
		}
		index, others := x.site.paths.Match(path, nil)
		// The same condition on what another segment names is about another instance.
		if x.means(index, found) && (index < 0 || !moved) {
			for len(others) > 0 && x.means(others[0].Value, found) {
				others = others[1:]
			}
			if len(others) == 0 {
				continue
			}
			index = others[0].Value
		}
		if index < 0 {
			x.note("path", "can be read as one that no condition names")
		} else {
			x.note("path", "can be read as one of ", x.site.rules[index].template)
		}
		return true
	}
	return false
}

// means reports whether another reading of the path, which matches index, asks for
// what was found. A reading that no condition has counts only against what would pass
// without a token.
func (x *Exchange) means(index int, found *condition) bool {
	if x.rule != nil && x.rule.mcp != nil && index >= 0 && x.site.rules[index].mcp != x.rule.mcp {
		return false
	}
	if index >= 0 && x.decided.MCP != nil && x.decided.MCP.read {
		return true // the same rule has the same condition for the message
	}
	if index < 0 {
		return found == nil || x.site.allowUnmatched || !found.public && found.mode == config.ModeEnforce
	}
	return found != nil && x.site.rules[index].find(x.request.method) == found
}
