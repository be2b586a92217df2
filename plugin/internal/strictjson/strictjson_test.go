package strictjson_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/internal/strictjson"
)

func TestValid(t *testing.T) {
	nest := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	tests := []struct {
		name, document string
		want           bool
	}{
		{"object", `{"a":[1,true,null,"x"]}`, true},
		{"white space", " \r\n\t{} \n", true},
		{"deepest", nest(strictjson.MaxDepth), true},
		{"wide", "[" + strings.Repeat("[[]],", 10_000) + "[]]", true},
		{"brackets in a string", `{"a":"` + strings.Repeat("[", 1000) + `"}`, true},
		{"UTF-8", `{"ä€𝄞":"\ud834\udd1e"}`, true},
		{"brackets after an escaped quote", `{"a":"\"` + strings.Repeat("[", 1000) + `"}`, true},
		{"escaped backslash ends no string", `{"a":"\\"}`, true},

		{"too deep", nest(strictjson.MaxDepth + 1), false},
		{"far too deep", nest(1 << 19), false},
		{"deep and never closed", strings.Repeat(`{"a":`, 1<<18), false},
		{"deep after an escaped backslash", `["\\",` + nest(strictjson.MaxDepth) + "]", false},
		{"deep after closing brackets", strings.Repeat("]", 200) + nest(300), false},
		{"empty", "", false},
		{"byte order mark", "\ufeff{}", false},
		{"NUL after", "{}\x00", false},
		{"two values", "{}{}", false},
		{"comma at the end", `{"a":1,}`, false},
		{"comment", `{}//`, false},
		{"single quotes", `{'a':1}`, false},
		{"not a number", `{"a":NaN}`, false},
		{"leading zero", `{"a":01}`, false},
		{"control byte in a string", "{\"a\":\"\n\"}", false},
		{"no UTF-8", "{\"a\":\"\xff\"}", false},
		{"UTF-8 cut off", "{\"a\":\"\xe2\x82\"}", false},
		{"half of a pair in UTF-8", "{\"a\":\"\xed\xa0\x80\"}", false},
		{"HTML", "<html>", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, tt.want, strictjson.Valid([]byte(tt.document)))
		})
	}
}
