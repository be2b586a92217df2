package site_test

import (
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/site"
)

// TestDefaultsAreInRange reads every range of the model, and finds what a file has that
// says nothing of it within.
func TestDefaultsAreInRange(t *testing.T) {
	t.Parallel()
	const more = "telemetry: {otlp: {endpoint: http://127.0.0.1:4318}}\noxd: {http: 127.0.0.1:0, op_hosts: [{url: https://op.example.com}]}"
	text := strings.Replace(around(more, "", conditions), "{register: {}}", "{register: {}, token_endpoint_auth_method: private_key_jwt, keys: {}}", 1)
	f, err := site.Parse("umagate.yaml", []byte(text), environment(nil))
	require.NoError(t, err)
	seen := 0
	var walk func(v reflect.Value)
	walk = func(v reflect.Value) {
		switch v.Kind() {
		case reflect.Pointer:
			if !v.IsNil() {
				walk(v.Elem())
			}
		case reflect.Slice:
			for i := range v.Len() {
				walk(v.Index(i))
			}
		case reflect.Struct:
			for field, value := range v.Fields() {
				walk(value)
				allowed, ok := field.Tag.Lookup("range")
				if !ok {
					continue
				}
				seen++
				bounds, _, _ := strings.Cut(allowed, ",")
				low, high, bounded := strings.Cut(bounds, " to ")
				if _, zero := field.Tag.Lookup("zero"); !zero || !value.IsZero() {
					require.GreaterOrEqual(t, value.Int(), number(t, value, low), field.Name)
					require.True(t, !bounded || value.Int() <= number(t, value, high), field.Name)
				}
			}
		default:
		}
	}
	walk(reflect.ValueOf(f).Elem())
	require.Greater(t, seen, 30)
}

func number(t *testing.T, like reflect.Value, s string) int64 {
	t.Helper()
	if like.Type() == reflect.TypeFor[time.Duration]() {
		d, err := time.ParseDuration(s)
		require.NoError(t, err)
		return int64(d)
	}
	n, err := strconv.ParseInt(s, 10, 64)
	require.NoError(t, err)
	return n
}
