package decision

import "github.com/umagate/umagate/plugin/config"

// place is a place in a configuration. It becomes text only when there is a
// fault: a worker's traffic waits while it compiles.
type place struct {
	up    *place
	name  string
	index int // of an element, plus one; 0 is the member itself
}

// member is the place of a member of p.
func (p *place) member(name string) place { return place{up: p, name: name} }

// element is the place of an element of a list of p.
func (p *place) element(name string, i int) place { return place{up: p, name: name, index: i + 1} }

func (p *place) String() string {
	text := p.name
	if p.up != nil && p.up.name != "" {
		text = p.up.String() + "." + p.name
	}
	if p.index > 0 {
		text = config.Index(text, p.index-1)
	}
	return text
}

func (b *builder) fault(at place, problem string) { b.faults.Add(at.String(), problem) }
