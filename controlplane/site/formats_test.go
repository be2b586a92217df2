package site_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
)

// formats prints a value in every way that a log or a message could.
func formats(v any) map[string]string {
	out := map[string]string{}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		out[verb] = fmt.Sprintf(verb, v)
	}
	if text, err := json.Marshal(v); err == nil {
		out["json"] = string(text)
	}
	var b bytes.Buffer
	slog.New(slog.NewTextHandler(&b, nil)).Info("m", slog.Any("v", v))
	out["slog"] = b.String()
	return out
}
