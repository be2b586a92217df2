package uma_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/uma"
)

// TestTimes has the times that servers write, in an answer, in a permission and in
// a token's own payload. Zero is none.
func TestTimes(t *testing.T) {
	const never = 253402300800 // a second after the last
	tests := []struct {
		name, value                  string
		expires, notBefore, issuedAt int64
	}{
		{"seconds", "1795300000", 1795300000, 1795300000, 1795300000},
		{"a fraction", "1795300000.5", 1795300000, 1795300001, 1795300000},
		{"1970", "0", 1, 0, 0},
		{"half a second after", "0.5", 1, 1, 0},
		{"no end, -1", "-1", 0, 0, 0},
		{"no end, 2^63-1", "9223372036854775807", 0, never, 0},
		{"no end, 2^63-1 milliseconds in seconds", "9223372036854775", 0, never, 0},
		{"no end, beyond every number", "1e400", 0, never, 0},
		{"before every number", "-1e400", 1, 0, 0},
		{"before 1970", "-2", 1, 0, 0},
		{"just before 1970", "-0.5", 1, 0, 0},
		{"milliseconds", "1795300000000", 1795300000, 1795300000, 1795300000},
		{"milliseconds, a fraction", "1795300000500", 1795300000, 1795300001, 1795300000},
		{"the first milliseconds", "1000000000000", 1000000000, 1000000000, 1000000000},
		{"too few for milliseconds", "999999999999", 0, never, 0},
		{"the last second", "253402300799", 253402300799, 253402300799, 253402300799},
		{"the last millisecond", "253402300799000", 253402300799, 253402300799, 253402300799},
		{"behind it", "253402300799001", 0, never, 0},
		{"null", "null", 0, 0, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			members := fmt.Sprintf(`"exp":%[1]s,"nbf":%[1]s,"iat":%[1]s`, tt.value)
			token, err := uma.ParseIntrospection([]byte(`{"active":true,` + members + `,"permissions":[{"resource_id":"r",` + members + `}]}`))
			require.NoError(t, err)
			require.Equal(t, &uma.Token{
				Active: true, Expires: tt.expires, NotBefore: tt.notBefore, IssuedAt: tt.issuedAt,
				Permissions: []uma.Permission{{ResourceID: "r", Expires: tt.expires, NotBefore: tt.notBefore}},
			}, token)
			own, err := uma.ParseJWT(jwt("{" + members + "}"))
			require.NoError(t, err)
			require.Equal(t, &uma.Token{Expires: tt.expires, NotBefore: tt.notBefore, IssuedAt: tt.issuedAt}, own)
		})
	}
}

// TestPermissionThatCannotBeRead: it alone is dropped.
func TestPermissionThatCannotBeRead(t *testing.T) {
	tests := []struct{ name, permission string }{
		{"text", `"r1"`},
		{"null", `null`},
		{"a list", `[{"resource_id":"r1","resource_scopes":["edit"]}]`},
		{"scopes are a number", `{"resource_id":"r1","resource_scopes":1}`},
		{"a scope is null", `{"resource_id":"r1","resource_scopes":["edit",null]}`},
		{"a scope is an object", `{"rsid":"r1","scopes":["edit",{"name":"all"}]}`},
		{"resource_id is a number", `{"resource_id":1,"resource_scopes":["edit"]}`},
		{"resource_id twice", `{"resource_id":"r1","resource_id":"r2","resource_scopes":["edit"]}`},
		{"two faces", `{"resource_id":"r1","rsid":"r2","scopes":["edit"]}`},
		{"exp is text", `{"resource_id":"r1","resource_scopes":["edit"],"exp":"never"}`},
		{"exp twice", `{"resource_id":"r1","resource_scopes":["edit"],"exp":1,"exp":-1}`},
		{"nbf is true", `{"resource_id":"r1","resource_scopes":["edit"],"nbf":true}`},
	}
	view := uma.Permission{ResourceID: "r1", Scopes: []string{"view"}}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			const good = `{"resource_id":"r1","resource_scopes":["view"]}`
			for _, list := range []string{tt.permission + "," + good, good + "," + tt.permission} {
				token, err := uma.ParseIntrospection([]byte(`{"active":true,"permissions":[` + list + `]}`))
				require.NoError(t, err)
				require.Equal(t, &uma.Token{Active: true, Permissions: []uma.Permission{view}, Unread: 1}, token)
			}
			token, err := uma.ParseIntrospection([]byte(`{"active":true,"authorization":{"permissions":[` + tt.permission + `]}}`))
			require.NoError(t, err)
			require.Equal(t, &uma.Token{Active: true, Permissions: []uma.Permission{}, Unread: 1}, token, "it had permissions, and none is left")
		})
	}
}
