package cli

import (
	"fmt"
	"strings"

	"github.com/umagate/umagate/controlplane/site"
)

// addClaims puts claims, as NAME=VALUE, into what is assumed of a token. One that is
// given several times is a list, and replaces what was assumed.
func addClaims(answer map[string]any, claims []string) error {
	given := map[string][]string{}
	for _, text := range claims {
		name, value, ok := strings.Cut(text, "=")
		if !ok {
			return fmt.Errorf("--claim %q: write NAME=VALUE, such as department=sales", text)
		}
		path, err := site.ParseClaim(name)
		if err != nil {
			return fmt.Errorf("--claim %q: %w", text, err)
		}
		in := answer
		for _, outer := range path[:len(path)-1] {
			next, ok := in[outer].(map[string]any)
			if !ok {
				next = map[string]any{}
				in[outer] = next
			}
			in = next
		}
		given[name] = append(given[name], value)
		if list := given[name]; len(list) > 1 {
			in[path[len(path)-1]] = list
		} else {
			in[path[len(path)-1]] = value
		}
	}
	return nil
}
