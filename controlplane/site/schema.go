package site

import (
	_ "embed"
	"reflect"
)

//go:generate go run ./schemagen

//go:embed umagate.schema.json
var jsonSchema []byte

// JSONSchema is the JSON Schema (2020-12) of umagate.yaml, for editors. It is
// generated from the model: run "make generate" after a change. What it accepts
// may still have faults that only Parse finds.
func JSONSchema() []byte { return append([]byte(nil), jsonSchema...) }

// Values lists the values of an enumeration of the model, the default first
// where there is one, or nil for any other type.
func Values(t reflect.Type) []string { return enumerations[t] }
