package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	jsonschema "github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

// maxDepth bounds how deep a body nests.
const maxDepth = 32

// maxReasons bounds the places that one answer names.
const maxReasons = 20

// strict refuses what two readers may read differently: a member twice, something
// after the value, very deep nesting. at is where, as a JSON pointer.
func strict(data []byte) (at string, err error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	if at, err := strictValue(decoder, "", 0); err != nil {
		return at, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return "", errors.New("has something after the value")
	}
	return "", nil
}

func strictValue(d *json.Decoder, at string, depth int) (string, error) {
	if depth > maxDepth {
		return at, fmt.Errorf("nests deeper than %d", maxDepth)
	}
	token, err := d.Token()
	if err != nil {
		return at, errors.New("is not JSON")
	}
	switch token {
	case json.Delim('['):
		for i := 0; d.More(); i++ {
			if where, err := strictValue(d, at+"/"+strconv.Itoa(i), depth+1); err != nil {
				return where, err
			}
		}
	case json.Delim('{'):
		seen := map[string]bool{}
		for d.More() {
			key, err := d.Token()
			name, ok := key.(string)
			if err != nil || !ok {
				return at, errors.New("is not JSON")
			}
			where := at + "/" + escapePointer(name)
			if seen[name] {
				return where, errors.New("is there twice")
			}
			seen[name] = true
			if where, err := strictValue(d, where, depth+1); err != nil {
				return where, err
			}
		}
	default:
		return "", nil
	}
	if _, err := d.Token(); err != nil { // the closing one
		return at, errors.New("is not JSON")
	}
	return "", nil
}

// escapePointer is RFC 6901 section 3.
func escapePointer(s string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(s)
}

// reasons lists what a schema has against a value, at its leaves. It is never
// empty.
func reasons(err error) []FieldError {
	var out []FieldError
	printer := message.NewPrinter(language.English)
	var walk func(e *jsonschema.ValidationError)
	walk = func(e *jsonschema.ValidationError) {
		for _, cause := range e.Causes {
			walk(cause)
		}
		if len(e.Causes) > 0 || len(out) == maxReasons {
			return
		}
		var at strings.Builder
		for _, step := range e.InstanceLocation {
			at.WriteString("/" + escapePointer(step))
		}
		out = append(out, FieldError{In: inBody, Name: at.String(), Detail: strings.ToValidUTF8(e.ErrorKind.LocalizedString(printer), "�")})
	}
	if e, ok := errors.AsType[*jsonschema.ValidationError](err); ok {
		walk(e)
	}
	if len(out) == 0 {
		return []FieldError{{In: inBody, Detail: "does not fit the API document"}}
	}
	slices.SortStableFunc(out, func(a, b FieldError) int { return strings.Compare(a.Name, b.Name) })
	return out
}
