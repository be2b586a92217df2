package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/health"
	"github.com/umagate/umagate/controlplane/server"
	"github.com/umagate/umagate/controlplane/server/servertest"
	"github.com/umagate/umagate/demo/devas"
	"github.com/umagate/umagate/e2e/keycloak"
	"github.com/umagate/umagate/e2e/keycloak/keycloaktest"
	"github.com/umagate/umagate/e2e/postgres/postgrestest"
	"github.com/umagate/umagate/envoy"
)

// apart is by how much what users meet and what status says may differ.
const apart = 15 * time.Second

// patience is how long a user waits for everything of one visit.
const patience = 5 * time.Second

// moment is what a user met, and what status said, at one time.
type moment struct {
	at time.Time
	// met is what was not as it should be; empty when all was well.
	met        string
	conditions []string
}

// beside is a user who comes again and again, beside somebody who looks at status.
type beside struct {
	stop func()

	mu      sync.Mutex
	moments []moment
}

// comeAgain has visit made, and status looked at, five times a second.
func comeAgain(t *testing.T, visit func(context.Context) string, status func(context.Context) []string) *beside {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	l := &beside{}
	var wg sync.WaitGroup
	wg.Go(func() {
		ticker := time.NewTicker(200 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			m := moment{at: time.Now()}
			coming, leave := context.WithTimeout(ctx, patience)
			m.met = visit(coming)
			leave()
			m.conditions = status(ctx)
			l.mu.Lock()
			l.moments = append(l.moments, m)
			l.mu.Unlock()
		}
	})
	l.stop = func() { cancel(); wg.Wait() }
	t.Cleanup(l.stop)
	return l
}

// since lists the moments from a time on.
func (l *beside) since(at time.Time) []moment {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.IndexFunc(l.moments, func(m moment) bool { return !m.at.Before(at) })
	if i < 0 {
		return nil
	}
	return slices.Clone(l.moments[i:])
}

// first gives the first moment since a time that is so; ok is false for none yet.
func (l *beside) first(at time.Time, so func(moment) bool) (m moment, ok bool) {
	for _, m := range l.since(at) {
		if so(m) {
			return m, true
		}
	}
	return moment{}, false
}

// until waits for a moment since a time that is so.
func (l *beside) until(t *testing.T, what string, at time.Time, so func(moment) bool) time.Time {
	t.Helper()
	var found moment
	var last []moment
	require.Eventually(t, func() (ok bool) {
		last = l.since(at)
		last = last[max(0, len(last)-1):]
		found, ok = l.first(at, so)
		return ok
	}, servertest.Within, 50*time.Millisecond, "%s; the last moment: %v", what, &last)
	return found.at
}

// require fails where users met something, or nothing, and status said otherwise for too
// long.
func (l *beside) require(t *testing.T, at time.Time) {
	t.Helper()
	var differ time.Time
	for _, m := range l.since(at) {
		if (m.met != "") == (len(m.conditions) > 0) {
			differ = time.Time{}
			continue
		}
		if differ.IsZero() {
			differ = m.at
		}
		require.LessOrEqual(t, m.at.Sub(differ), apart, "users met %q, and status said %v", m.met, m.conditions)
	}
}

// fault is made for real.
type fault struct {
	condition health.Kind
	// users is false for what hits no request, but who operates.
	users           bool
	breakIt, mendIt func(t *testing.T)
}

// try breaks something, compares, mends it and compares.
func (l *beside) try(t *testing.T, f fault) {
	t.Helper()
	well := func(m moment) bool { return m.met == "" && len(m.conditions) == 0 }
	l.until(t, "all is well before", time.Now(), well)
	broken := time.Now()
	f.breakIt(t)
	met := time.Now() // by who operates; or else
	if f.users {
		met = l.until(t, "users meet it", broken, func(m moment) bool { return m.met != "" })
	}
	told := l.until(t, "it is told: "+f.condition.Name, broken, func(m moment) bool { return slices.Contains(m.conditions, f.condition.Name) })
	require.LessOrEqual(t, told.Sub(met), apart)
	t.Logf("%s: users met it after %s, status told it after %s", f.condition.Name, met.Sub(broken).Round(time.Millisecond), told.Sub(broken).Round(time.Millisecond))
	mended := time.Now()
	f.mendIt(t)
	all := l.until(t, "all is well again", mended, well)
	t.Logf("%s: all was well %s after it was mended", f.condition.Name, all.Sub(mended).Round(time.Millisecond))
	if f.users {
		l.require(t, broken)
	}
}

// visitor is alice, at photos behind a real Envoy, with a real Keycloak.
type visitor struct {
	as   *keycloak.Server
	base atomic.Value // of Envoy, a string
	rpt  string       // the last that she got
}

// visit asks for an album without a token, gets an RPT for it, and asks with that. It
// returns what was not as it should be.
func (v *visitor) visit(ctx context.Context) string {
	status, challenge, err := v.get(ctx, "")
	if err != nil {
		return err.Error()
	}
	_, ticket, ok := strings.Cut(challenge, `ticket="`)
	if status != http.StatusUnauthorized || !ok {
		return fmt.Sprintf("without a token: %d, %s", status, challenge)
	}
	ticket, _, _ = strings.Cut(ticket, `"`)
	if token, err := v.as.Token(ctx, "alice"); err == nil {
		if rpt, err := v.as.RPT(ctx, token, ticket); err == nil {
			v.rpt = rpt
		}
	}
	status, challenge, err = v.get(ctx, v.rpt)
	if err != nil {
		return err.Error()
	}
	if status != http.StatusOK {
		return fmt.Sprintf("with an RPT: %d, %s", status, challenge)
	}
	return ""
}

func (v *visitor) get(ctx context.Context, token string) (status int, challenge string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprint(v.base.Load(), "/albums/1"), nil)
	if err != nil {
		return 0, "", err
	}
	req.Host = "photos.example.com"
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, resp.Header.Get("WWW-Authenticate"), resp.Body.Close()
}

// names asks for the conditions that status tells; one that does not answer is a
// condition, too.
func (p *plane) names(ctx context.Context) []string {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.API+"/v1/status", nil)
	if err != nil {
		return []string{err.Error()}
	}
	p.Authorize(req)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return []string{err.Error()}
	}
	defer func() { _ = resp.Body.Close() }()
	var s server.Status
	if err := json.NewDecoder(resp.Body).Decode(&s); err != nil {
		return []string{err.Error()}
	}
	return health.Names(s.Conditions)
}

// revoke revokes a session, and gives the status of the answer and its body.
func (p *plane) revoke(t *testing.T, session string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+p.API+"/v1/revocations", strings.NewReader(`{"session_id":"`+session+`"}`))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/json")
	p.Authorize(req)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	var body bytes.Buffer
	_, err = body.ReadFrom(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, body.String()
}

// photosAPI is the client that the realm has for a resource server.
type photosAPI struct {
	as          *keycloak.Server
	id, account string // of the client, and of its service account
}

func newPhotosAPI(t *testing.T, as *keycloak.Server) *photosAPI {
	t.Helper()
	a := &photosAPI{as: as}
	var clients []struct {
		ID string `json:"id"`
	}
	require.NoError(t, as.Admin(t.Context(), http.MethodGet, "/clients?clientId=photos-api", nil, &clients))
	a.id = clients[0].ID
	var account struct {
		ID string `json:"id"`
	}
	require.NoError(t, as.Admin(t.Context(), http.MethodGet, "/clients/"+a.id+"/service-account-user", nil, &account))
	a.account = account.ID
	// PATs and RPTs of twenty seconds: what an administrator changes is met soon.
	require.NoError(t, as.SetClientAttributes(t.Context(), "photos-api", map[string]string{"access.token.lifespan": "20"}))
	return a
}

func (a *photosAPI) setSecret(t *testing.T, secret string) {
	t.Helper()
	var client map[string]any
	require.NoError(t, a.as.Admin(t.Context(), http.MethodGet, "/clients/"+a.id, nil, &client))
	client["secret"] = secret
	require.NoError(t, a.as.Admin(t.Context(), http.MethodPut, "/clients/"+a.id, client, nil))
}

// enable switches the service account on or off, whose token the PAT is.
func (a *photosAPI) enable(t *testing.T, on bool) {
	t.Helper()
	require.NoError(t, a.as.Admin(t.Context(), http.MethodPut, "/users/"+a.account, map[string]any{"enabled": on}, nil))
}

func (a *photosAPI) deleteResource(t *testing.T, name string) {
	t.Helper()
	path := "/clients/" + a.id + "/authz/resource-server/resource"
	var found []struct {
		ID   string `json:"_id"`
		Name string `json:"name"`
	}
	require.NoError(t, a.as.Admin(t.Context(), http.MethodGet, path, nil, &found))
	for _, r := range found {
		if r.Name == name {
			require.NoError(t, a.as.Admin(t.Context(), http.MethodDelete, path+"/"+r.ID, nil, nil))
			return
		}
	}
	require.Fail(t, "no resource", name)
}

// TestStatusTellsWhatUsersMeet makes faults for real, under load: what users meet and what
// status says never differ for more than 15 s.
func TestStatusTellsWhatUsersMeet(t *testing.T) { // alone: a limit of the process may be its full disk
	as := keycloaktest.StartWithClock(t)
	client := newPhotosAPI(t, as)
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }))
	t.Cleanup(api.Close)
	p := newPlane(t)
	p.Options.Intervals = server.Intervals{} // those of production
	disk := smallDisk(t)
	config := func(secret string) string {
		return fmt.Sprintf(`
listen: {api: "127.0.0.1:0", xds: "127.0.0.1:0"}
store: "sqlite:%s"
plugin: {wasm: %q}
sites:
- name: photos
  hosts: [photos.example.com]
  upstream: %s
  authorization_server: {issuer: %s, timeout: 2s, client: {id: photos-api, secret: %s}}
  token: {max_ttl: 0s, negative_ttl: 0s}
  resources:
  - {name: albums, conditions: [{paths: ["/albums/**"], scopes: [view]}]}
`, disk.path("umagate.db"), servertest.Module(t), api.URL, as.Issuer(), secret)
	}
	secret := "photos-api-secret"
	p.Write(config(secret))
	p.Token = disk.path("umagate.db.token")
	p.Start()
	p.Until("it serves", allWell)
	front := p.Protect(envoy.Options{})
	v := &visitor{as: as}
	v.base.Store(front.Base)
	l := comeAgain(t, v.visit, p.names)

	for _, f := range []fault{{
		condition: health.IntrospectionRefused, users: true,
		breakIt: func(t *testing.T) { t.Helper(); client.setSecret(t, "changed-at-the-as") },
		mendIt:  func(t *testing.T) { t.Helper(); secret = "changed-at-the-as"; p.Write(config(secret)) },
	}, {
		condition: health.TicketsRefused, users: true,
		breakIt: func(t *testing.T) { t.Helper(); client.enable(t, false) },
		mendIt:  func(t *testing.T) { t.Helper(); client.enable(t, true) },
	}, {
		condition: health.ResourceMissing, users: true,
		breakIt: func(t *testing.T) { t.Helper(); client.deleteResource(t, "albums") },
		mendIt: func(t *testing.T) { // which umagate does, but for what only somebody can know
			t.Helper()
			l.until(t, "it is registered anew", time.Now(), func(m moment) bool { return slices.Equal(m.conditions, []string{health.PoliciesLost.Name}) })
			require.Equal(t, http.StatusNoContent, p.call(http.MethodDelete, "/v1/sites/photos/lost/albums", nil))
		},
	}, {
		condition: health.ClockSkew, users: true,
		breakIt: func(t *testing.T) { t.Helper(); require.NoError(t, as.SetClock(-10*time.Minute)) },
		mendIt:  func(t *testing.T) { t.Helper(); require.NoError(t, as.SetClock(0)) },
	}, {
		condition: health.AuthorizationServerUnreachable, users: true,
		breakIt: func(t *testing.T) { t.Helper(); require.NoError(t, as.Freeze()) },
		mendIt:  func(t *testing.T) { t.Helper(); require.NoError(t, as.Thaw()) },
	}, {
		condition: health.StoreFull,
		breakIt: func(t *testing.T) {
			t.Helper()
			disk.fill(t)
			requireRefused(t, p, "disk")
		},
		mendIt: func(t *testing.T) { t.Helper(); disk.free(t) },
	}, {
		condition: health.StoreReplaced,
		breakIt: func(t *testing.T) {
			t.Helper()
			require.NoError(t, os.Rename(disk.path("umagate.db"), disk.path("umagate.away")))
			requireRefused(t, p, "removed or replaced")
		},
		mendIt: func(t *testing.T) {
			t.Helper()
			require.NoError(t, os.Rename(disk.path("umagate.away"), disk.path("umagate.db")))
		},
	}, {
		condition: health.EnvoyGone, users: true,
		breakIt: func(t *testing.T) { t.Helper(); front.Stop() },
		mendIt: func(t *testing.T) {
			t.Helper()
			v.base.Store(p.Protect(envoy.Options{}).Base)
			require.Equal(t, http.StatusConflict, p.call(http.MethodDelete, "/v1/envoys/umagate-envoy", nil), "it is connected")
		},
	}} {
		if !t.Run(f.condition.Name, func(t *testing.T) { l.try(t, f) }) {
			return // the next begins when all is well
		}
	}

	// What is wrong from the start never replaces what works: nobody meets it.
	for name, wrong := range map[string]string{
		"secret": config("not-that-of-the-client"),
		"issuer": strings.Replace(config(secret), as.Issuer(), api.URL, 1),
	} {
		t.Run("another "+name+" that does not work", func(t *testing.T) {
			began := time.Now()
			p.Write(wrong)
			told := l.until(t, "it is told", began, func(m moment) bool { return slices.Contains(m.conditions, health.CandidateRefused.Name) })
			require.LessOrEqual(t, told.Sub(began), apart)
			p.Write(config(secret))
			l.until(t, "all is well", told, func(m moment) bool { return len(m.conditions) == 0 })
			for _, m := range l.since(began) {
				require.Empty(t, m.met)
			}
		})
	}
}

// requireRefused wants a revocation to be refused, not acknowledged and lost.
func requireRefused(t *testing.T, p *plane, why string) {
	t.Helper()
	code, body := p.revoke(t, "some-session")
	require.Equal(t, http.StatusServiceUnavailable, code, body)
	require.Contains(t, body, why)
	_, list := p.Get("/v1/revocations")
	require.NotContains(t, list, "some-session")
}

// TestStatusTellsThatTheStoreIsDown ends a real PostgreSQL under two replicas.
func TestStatusTellsThatTheStoreIsDown(t *testing.T) {
	t.Parallel()
	database := postgrestest.Start(t)
	url := postgrestest.Database(t, database)
	as := servertest.StartAS(t, devas.Options{})
	one, two := replica(t, url, as.Issuer()), replica(t, url, as.Issuer())
	one.Options.Intervals.Standby, two.Options.Intervals.Standby = time.Second, time.Second // those of production
	one.Start()
	one.Until("it leads", leader)
	two.Start()
	two.Until("it follows", follower)
	for _, p := range []*plane{one, two} {
		l := comeAgain(t, func(context.Context) string { return "" }, p.names)
		for _, condition := range []health.Kind{health.StoreUnreachable, health.NoLeader} {
			l.try(t, fault{
				condition: condition,
				breakIt: func(t *testing.T) {
					t.Helper()
					database.Kill()
					code, body := p.revoke(t, "some-session")
					require.Equal(t, http.StatusServiceUnavailable, code, body)
				},
				mendIt: func(t *testing.T) {
					t.Helper()
					require.Eventually(t, func() bool { code, _ := p.Get("/readyz"); return code == http.StatusServiceUnavailable }, apart, 50*time.Millisecond)
					require.NoError(t, database.Restart(t.Context()))
				},
			})
		}
		l.stop()
	}
}

// disk is a place for a store that can be filled.
type disk struct {
	folder string
	own    bool // it is a file system of its own
}

func (d *disk) path(name string) string { return filepath.Join(d.folder, name) }
