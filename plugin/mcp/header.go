package mcp

import (
	"encoding/base64"
	"strings"
)

// DecodeHeader returns the text that a header of the protocol carries in base64, as
// "=?base64?…?=", and "" where it carries none so.
func DecodeHeader(value string) string {
	coded, ok := strings.CutPrefix(value, "=?base64?")
	if !ok {
		return ""
	}
	if coded, ok = strings.CutSuffix(coded, "?="); !ok {
		return ""
	}
	text, err := base64.StdEncoding.Strict().DecodeString(coded)
	if err != nil || strings.ContainsAny(coded, "\r\n") {
		return ""
	}
	return string(text)
}
