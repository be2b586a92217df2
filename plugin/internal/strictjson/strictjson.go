// Package strictjson checks documents before gjson reads them.
package strictjson

import (
	"unicode/utf8"

	"github.com/tidwall/gjson"
)

// MaxDepth is how deep a document may be nested. gjson's own check calls itself
// for each level, and the stack of a WebAssembly module is small: without a
// bound, one hostile answer would end the VM.
const MaxDepth = 128

// Valid tells that document is one JSON value (RFC 8259) in UTF-8 (section 8.1),
// nested at most [MaxDepth] levels. gjson takes any bytes within a string, and two
// readers of what is no UTF-8 read two different names.
func Valid(document []byte) bool {
	return shallow(document) && utf8.Valid(document) && gjson.ValidBytes(document)
}

// shallow looks at brackets outside of strings only; what is no JSON at all is
// found afterwards.
func shallow(document []byte) bool {
	depth := 0
	inString := false
	for i := 0; i < len(document); i++ {
		switch c := document[i]; {
		case c == '"':
			inString = !inString
		case inString:
			if c == '\\' {
				i++
			}
		case c == '[' || c == '{':
			if depth++; depth > MaxDepth {
				return false
			}
		case c == ']' || c == '}':
			depth--
		}
	}
	return true
}
