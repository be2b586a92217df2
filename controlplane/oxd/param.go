package oxd

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
)

// Strings is a list of strings. A single string is taken as a list of one, since
// the page and the clients do not agree on which it is. null is the same as left out.
type Strings []string

var errStrings = errors.New("must be a string or a list of strings")

// UnmarshalJSON takes both forms.
func (s *Strings) UnmarshalJSON(data []byte) error {
	data = bytes.TrimSpace(data)
	switch {
	case bytes.Equal(data, []byte("null")):
		*s = nil
		return nil
	case len(data) > 0 && data[0] == '"':
		var one string
		if err := json.Unmarshal(data, &one); err != nil {
			return errStrings
		}
		*s = nil
		if one != "" {
			*s = Strings{one}
		}
		return nil
	}
	var many []string
	if err := json.Unmarshal(data, &many); err != nil {
		return errStrings
	}
	*s = many
	return nil
}

// given reports whether the parameter names something: clients send empty lists and
// lists of one empty string for what they leave out.
func (s Strings) given() bool { return len(s.clean()) > 0 }

// clean leaves out empty ones and repetitions.
func (s Strings) clean() []string {
	var out []string
	for _, one := range s {
		if one = strings.TrimSpace(one); one != "" && !slices.Contains(out, one) {
			out = append(out, one)
		}
	}
	return out
}

// first is the first list that names something.
func first(lists ...Strings) Strings {
	for _, list := range lists {
		if list.given() {
			return list.clean()
		}
	}
	return nil
}

// present is nil for a value that is not there.
func present[T comparable](v T) *T {
	var none T
	if v == none {
		return nil
	}
	return &v
}

// SiteParams is embedded in the parameters of a command that belongs to an RP.
type SiteParams struct {
	// OxdID is the oxd_id that register_site gave.
	OxdID string `json:"oxd_id"`
}

func (p SiteParams) oxdID() string { return p.OxdID }

// ofSite is what parameters with oxd_id have.
type ofSite interface{ oxdID() string }

// idResult answers commands that have nothing else to tell.
type idResult struct {
	OxdID string `json:"oxd_id"`
}

// wordFor is what a client calls a JSON type.
func wordFor(kind reflect.Kind) string {
	switch kind {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Struct, reflect.Map, reflect.Pointer, reflect.Interface:
		return "an object"
	default:
		return "a number"
	}
}
