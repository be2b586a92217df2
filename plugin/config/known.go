package config

import (
	"reflect"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/umagate/umagate/plugin/internal/strictjson"
)

// ParseKnown is [Parse] for a document of which some sites are known from an
// earlier one: it does not look into those. known is asked with the JSON of a
// site. texts has the JSON of each site, in memory of its own; the sites of c
// that are known are empty.
func ParseKnown(document []byte, known func(text string) bool) (c *Config, texts []string, err error) {
	rest, texts := cutSites(string(document))
	if rest != nil && strictjson.Valid(rest) {
		p := parser{cut: texts, known: known, names: map[reflect.Type][]string{}}
		c := &Config{}
		p.value(gjson.ParseBytes(rest), reflect.ValueOf(c).Elem())
		if len(p.faults) == 0 && len(p.cut) == 0 && len(c.Sites) == len(texts) && c.Version == Version {
			return c, texts, nil
		}
	}
	// Something is wrong with it: read it as a whole, to say what and where.
	if c, err = Parse(document); err != nil {
		return nil, nil, err
	}
	return c, make([]string, len(c.Sites)), nil
}

// cutSites takes the elements of "sites" out of a document, and leaves null for
// each. Nothing of the document has been checked: what is left is nil when it has
// no such list, and checking it says whether the cuts were where they should be,
// as each element is checked by itself.
func cutSites(document string) (rest []byte, elements []string) {
	sites := gjson.Result{}
	gjson.Parse(document).ForEach(func(key, value gjson.Result) bool {
		if key.Str == "sites" {
			sites = value
			return false
		}
		return true
	})
	if !sites.IsArray() {
		return nil, nil
	}
	rest = make([]byte, 0, len(document)-len(sites.Raw)+64)
	from, misplaced := 0, false
	sites.ForEach(func(_, value gjson.Result) bool {
		to := value.Index + len(value.Raw)
		if misplaced = value.Index < from || to > len(document) || document[value.Index:to] != value.Raw; misplaced {
			return false
		}
		rest = append(rest, document[from:value.Index]...)
		rest = append(rest, "null"...)
		// The whole document must not stay alive for the texts of one site.
		elements = append(elements, strings.Clone(value.Raw))
		from = to
		return true
	})
	if misplaced {
		return nil, nil
	}
	return append(rest, document[from:]...), elements
}

// uncut returns a site that was cut out of the document, where v stands for one,
// and whether it is known.
func (p *parser) uncut(v gjson.Result) (site gjson.Result, known bool) {
	if v.Type != gjson.Null || len(p.cut) == 0 {
		return v, false
	}
	text := p.cut[0]
	p.cut = p.cut[1:]
	if p.known(text) {
		return v, true
	}
	if !strictjson.Valid([]byte(text)) {
		p.fault("is not valid JSON")
		return v, true
	}
	return gjson.Parse(text), false
}
