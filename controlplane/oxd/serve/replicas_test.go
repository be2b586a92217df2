package serve_test

import (
	"bytes"
	"database/sql"
	"encoding/base64"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/registration"
	"github.com/umagate/umagate/controlplane/seal"
	"github.com/umagate/umagate/controlplane/server"
	"github.com/umagate/umagate/controlplane/server/servertest"
	"github.com/umagate/umagate/demo/devas"
	"github.com/umagate/umagate/e2e/postgres/postgrestest"
)

func leader(s server.Status) bool {
	return s.OK && s.Leader && s.Sites[0].Phase == registration.Serving
}

func follower(s server.Status) bool {
	return s.OK && !s.Leader && s.Sites[0].Phase == registration.Standby
}

func names(as *devas.Server) []string {
	out := []string{}
	for _, r := range as.Resources() {
		out = append(out, r.Name)
	}
	return out
}

// TestOXDReplicas: whichever replica an application talks to, all of them have what
// it protects.
func TestOXDReplicas(t *testing.T) {
	t.Parallel()
	database := postgrestest.Database(t, postgrestest.Start(t))
	as := servertest.StartAS(t, devas.Options{SkipConsent: true, Scopes: []string{"oxd"}, Users: []devas.User{{Name: "alice", Password: "alice"}}})
	start := func() *plane {
		key := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, seal.KeySize))
		p := newPlane(t, fmt.Sprintf(`
store: %q
store_key: %q
listen: {api: "127.0.0.1:0", xds: "127.0.0.1:0"}
oxd:
  http: 127.0.0.1:0
  op_hosts: [{url: %q}]
  sites: [{client_name: photo app, hosts: [photos.example.com]}]
`, database, key, as.Issuer()))
		p.Options.Intervals.Standby = 20 * time.Millisecond
		p.Start()
		return p
	}
	one := start()
	one.Until("it leads", func(s server.Status) bool { return s.Leader })
	two := start()
	two.Until("it follows", func(s server.Status) bool { return !s.Leader && s.LeaderName != "" })

	app := two.application()
	app.register(as.Issuer(), "openid", "uma_protection")
	app.login()
	app.protect(false, `[{"path":"/photo","conditions":[{"httpMethods":["GET"],"scopes":["view"]}]}]`)
	has := func(n int) func(server.Status) bool {
		return func(s server.Status) bool {
			return len(s.Sites) == 1 && s.Sites[0].Name == "oxd-"+app.oxdID && s.Sites[0].Resources.Registered == n && s.Sites[0].Failure == nil
		}
	}
	one.Until("the leader has the site", func(s server.Status) bool { return has(1)(s) && s.Sites[0].Phase == registration.Serving })
	two.Until("both publish the same", func(s server.Status) bool { return has(1)(s) && s.Revision == one.Status().Revision })
	require.Len(t, as.Resources(), 1)

	// The other one answers for it, and changes it.
	other := one.application()
	other.oxdID, other.token, other.idToken = app.oxdID, app.token, app.idToken
	require.Equal(t, "denied", other.check("GET", "")["access"])
	other.protect(true, `[{"path":"/photo","conditions":[{"httpMethods":["GET"],"scopes":["view"]},{"httpMethods":["POST"],"scopes":["add"]}]}]`)
	one.Until("the leader has both", has(2))
	two.Until("so has the other", has(2))
	require.Equal(t, "denied", app.check("POST", "")["access"])

	// One that led, and whose session ended unasked, answers as before.
	db, err := sql.Open("pgx", database)
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	require.Eventually(t, func() bool {
		a, b := one.Status(), two.Status()
		if leader(a) && follower(b) {
			_, err := db.ExecContext(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'`)
			require.NoError(t, err)
		}
		return leader(b) && follower(a)
	}, servertest.Within, 50*time.Millisecond, "the other leads")
	other.protect(true, `[{"path":"/photo","conditions":[{"httpMethods":["GET"],"scopes":["view"]}]},{"path":"/film","conditions":[{"httpMethods":["GET"],"scopes":["view"]}]}]`)
	two.Until("the leader has what it wrote", has(2))
	require.ElementsMatch(t, []string{"[GET] /photo", "[GET] /film"}, names(as))
	other.ok("remove-site", map[string]any{})
	two.Until("the site is gone", func(s server.Status) bool { return len(s.Sites) == 0 })
}
