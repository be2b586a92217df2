package decision

import "github.com/umagate/umagate/plugin/config"

// Compiler compiles one configuration after another, and looks only into the
// sites that are not as they were: a worker's traffic waits meanwhile, and most
// pushes change one site or none. The zero value is ready; one goroutine uses it.
type Compiler struct {
	sites map[string]*site // by their JSON
}

// Compile parses and compiles a document. The error, [config.Faults], is that of
// [config.Parse] or [Compile], and then the sites remembered stay as they were.
func (c *Compiler) Compile(document []byte) (*Policy, error) {
	parsed, texts, err := config.ParseKnown(document, func(text string) bool { return c.sites[text] != nil })
	if err != nil {
		return nil, err
	}
	compiled := make([]*site, len(texts))
	for i, text := range texts {
		compiled[i] = c.sites[text]
	}
	policy, err := compile(parsed, compiled)
	if err != nil {
		return nil, err
	}
	c.sites = make(map[string]*site, len(texts))
	for i, text := range texts {
		c.sites[text] = policy.sites[i]
	}
	return policy, nil
}
