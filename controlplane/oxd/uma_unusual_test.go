package oxd_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/demo/devas"
)

// TestCheckOfUnusualPaths: a path that no request may have is not protected if
// nothing protects it, however an API reads it. Otherwise it is denied, as Envoy
// would.
func TestCheckOfUnusualPaths(t *testing.T) {
	t.Parallel()
	k := newUMAKit(t, devas.Options{})
	id := k.register(t, nil)
	k.protect(t, id, `[
		{"path":"/photo","conditions":[{"httpMethods":["GET"],"scopes":["view"]}]},
		{"path":"/users/{id}","conditions":[{"httpMethods":["GET"],"scopes":["view"]}]},
		{"path":"/open/**","conditions":[{"httpMethods":["GET"],"scopes":["view"]}]},
		{"path":"/100%","conditions":[{"httpMethods":["GET"],"scopes":["view"]}]}]`, nil)
	k.permit(t, "[GET] /photo")
	rpt := k.rpt(t, id, "GET", "/photo")
	denied := map[string]any{"access": "denied"}
	for _, tt := range []struct {
		path      string
		protected bool
	}{
		{"//none", false},
		{"/none//x", false},
		{"/none/.", false},
		{"/none/../none", false},
		{"/none;v=1", false},
		{"/none/%2e%2e/none", false},
		{"/none%2Fx", false},
		{"/none%252Fx", false},
		{"/none%3Bx", false},
		{"/none%3Fx", false},
		{"/none%", false},
		{"/50%off", false},
		{`/none\x`, false},
		{"/none#x", false},
		{"none", false},
		{"http://photos.test/none", false},
		{"*", false},
		{"/none/http://photos.test/photo", false},
		{"/%6eone", false},
		{"/none?_method=DELETE", false},
		{"/none/../none?_method=DELETE", false},
		{"/none?x=" + strings.Repeat("y", 20_000), false},

		{"//photo", true},
		{"/./photo", true},
		{"/none/../photo", true},
		{"/none/%2e%2e/photo", true},
		{"/none/%252e%252e/photo", true},
		{"/photo;v=1", true},
		{"/photo%3Bv=1", true},
		{"/photo%3Fv=1", true},
		{"/photo#x", true},
		{"/%70hoto", true},
		{"/%2570hoto", true},
		{"/%252570hoto", true},
		{"photo", true},
		{"http://photos.test/photo", true},
		{"/users/a%2Fb", true},
		{"/users/..", true},
		{"/users/a;b", true},
		{"/users//", true},
		{"/users/%", true},
		{"/users/../none", false},
		{"/open/../none", true},
		{"/open%2Fnone", true},
		{`\open\none`, true},
		{"/photo?_method=DELETE", true},
		{"//photo?_method=DELETE", true},
		// What they are read as, nobody can tell.
		{"/none/" + strings.Repeat("y", 20_000), true},
		{"/none%00", true},
		{"/none%ff", true},
		{"/none%EF%BC%8Fx", true},
		{"/none%25252525252e", true},
	} {
		t.Run(tt.path[:min(len(tt.path), 60)], func(t *testing.T) {
			params := map[string]any{"oxd_id": id, "rpt": rpt, "path": tt.path, "http_method": "GET"}
			if !tt.protected {
				k.fails(t, "invalid_request", "uma_rs_check_access", params)
				return
			}
			data := k.ok(t, "uma_rs_check_access", params)
			require.Equal(t, denied, data)
		})
	}
	// Whatever is sent as a token, or as a method.
	k.fails(t, "invalid_request", "uma_rs_check_access", map[string]any{"oxd_id": id, "rpt": "two, tokens", "path": "/none", "http_method": "GET"})
	k.fails(t, "invalid_request", "uma_rs_check_access", map[string]any{"oxd_id": id, "rpt": rpt, "path": "/photo", "http_method": "CONNECT"})
	k.fails(t, "invalid_request", "uma_rs_check_access", map[string]any{"oxd_id": id, "rpt": rpt, "path": "//photo", "http_method": "DELETE"})
	k.fails(t, "invalid_request", "uma_rs_check_access", map[string]any{"oxd_id": id, "rpt": rpt, "path": "/none", "http_method": "b@d"})
	// A query that names another method is a request of that one to some.
	for _, path := range []string{"/photo?_method=GET", "//photo?_method=GET", "/photo?_method=GET#x"} {
		require.Equal(t, denied, k.ok(t, "uma_rs_check_access", map[string]any{"oxd_id": id, "rpt": rpt, "path": path, "http_method": "POST"}), path)
	}
}
