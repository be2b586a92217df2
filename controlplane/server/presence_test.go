package server

import (
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/health"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/controlplane/store"
)

// heard is a presence that takes what others tell at times that a test makes up.
type heard struct {
	*presence

	t     *testing.T
	own   announcement
	beats int64
	now   time.Time
}

func newHeard(t *testing.T) *heard {
	t.Helper()
	return &heard{
		t: t, presence: newPresence(nil, nil, slog.New(slog.DiscardHandler), nil), now: time.Unix(1_000_000, 0),
		own: announcement{Version: "1", File: map[string]string{"envoy": "a", "sites.photos": "b"}},
	}
}

// after tells, when some time has passed, what the others told last. Those that run have
// another beat.
func (h *heard) after(passed time.Duration, told map[string]announcement, dead ...string) (silent []string) {
	h.t.Helper()
	h.now, h.beats = h.now.Add(passed), h.beats+1
	var all []store.Replica
	for id, a := range told {
		said, err := json.Marshal(a)
		require.NoError(h.t, err)
		r := store.Replica{ID: id, Beat: h.beats, Said: said}
		for _, d := range dead {
			if d == id {
				r.Beat = 1_000
			}
		}
		all = append(all, r)
	}
	return h.take(h.own, all, h.now)
}

// TestReplicasDiffer: what another replica has otherwise is told after a while, of those
// that run, and for as long as they do.
func TestReplicasDiffer(t *testing.T) {
	t.Parallel()
	h := newHeard(t)
	other := announcement{Name: "two", Version: "2", Leader: true, File: map[string]string{"envoy": "c", "sites.files": "d", "sites.photos": "b"}}
	told := map[string]announcement{"2": other, "3": {Name: "three", Version: "1", File: h.own.File}}
	h.after(0, told)
	require.Empty(t, h.differing(h.now), "who runs is not known yet")
	h.after(3*time.Second, told)
	require.Empty(t, h.differing(h.now), "a file is not replaced everywhere at once")
	h.after(3*time.Second, told)
	got := h.differing(h.now)
	require.Equal(t, []string{health.ReplicasDiffer.Name}, health.Names(got))
	require.Equal(t, "replica two, which leads, has another umagate.yaml (envoy, sites.files), and is umagate 2, and this one 1", got[0].Message)
	require.Equal(t, h.now.Add(-6*time.Second), got[0].Since)
	told["2"] = announcement{Name: "two", Version: "1", File: h.own.File}
	h.after(3*time.Second, told)
	require.Empty(t, h.differing(h.now))

	// One that died with another file is told of no more, and forgotten.
	told["2"] = other
	require.Empty(t, h.after(time.Second, told, "2"))
	require.Empty(t, h.after(differFor, told, "2"))
	require.NotEmpty(t, h.differing(h.now))
	require.Empty(t, h.after(aliveFor, told, "2"))
	require.Empty(t, h.differing(h.now))
	require.Equal(t, []string{"2"}, h.after(forgottenAfter, told, "2"))
	delete(told, "2")
	require.Empty(t, h.after(time.Second, told))
	require.Len(t, h.others, 1)
}

// TestUnreadableReplica: what a later release tells otherwise is no fault of this one.
func TestUnreadableReplica(t *testing.T) {
	t.Parallel()
	h := newHeard(t)
	for beat := range int64(3) {
		require.Empty(t, h.take(h.own, []store.Replica{{ID: "2", Beat: beat, Said: json.RawMessage(`[]`)}}, h.now))
	}
	require.Empty(t, h.differing(h.now))
}

// TestPartsOf: each part of umagate.yaml that replicas have to have alike changes what is
// told, and no secret does.
func TestPartsOf(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "umagate.yaml")
	const text = `
sites:
- name: photos
  hosts: [photos.example.com]
  upstream: http://127.0.0.1:1
  authorization_server: {issuer: "https://as.example.com", client: {id: photos, secret: hunter2}}
  resources: [{name: albums, conditions: [{paths: ["/**"], scopes: [view]}]}]
`
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	load := func() *site.File {
		file, err := site.Load(path)
		require.NoError(t, err)
		return file
	}
	parts := func(file *site.File) map[string]string {
		out, err := partsOf(file)
		require.NoError(t, err)
		return out
	}
	same := parts(load())
	require.Equal(t, same, parts(load()))
	require.Contains(t, same, "sites.photos")
	of := reflect.TypeFor[site.File]()
	for field := range of.Fields() {
		if key := field.Tag.Get("yaml"); key != "" && key != "-" && key != "sites" {
			require.NotEqual(t, ofOneReplica(key), same[key] != "", "%s: either each replica has its own, or all have the same", key)
		}
	}
	other := load()
	other.Sites[0].Upstream = "http://127.0.0.1:2"
	require.NotEqual(t, same["sites.photos"], parts(other)["sites.photos"])
	require.NoError(t, os.WriteFile(path, []byte(text[:len(text)-1]+"\nenvoy: {listener: \"127.0.0.1:1\"}\nlisten: {api: \"127.0.0.1:7\"}\n"), 0o600))
	differ := announcement{File: same}.differs(announcement{File: parts(load())})
	require.Equal(t, "has another umagate.yaml (envoy)", differ)
}

// TestAgentsElsewhere: agents that are with another replica than their Envoy count once.
func TestAgentsElsewhere(t *testing.T) {
	t.Parallel()
	h := newHeard(t)
	h.id = "5"
	told := map[string]announcement{
		"2": {Agents: map[string]present{"a": {Count: 1}, "b": {Count: 2}}, Envoys: map[string]present{"b": {Count: 1}}},
		"3": {Envoys: map[string]present{"a": {Count: 1}, "c": {Count: 1}}},
		"7": {Envoys: map[string]present{"b": {Count: 1}}},
	}
	h.after(0, told)
	h.after(time.Second, told)
	beside := h.beside(h.now)
	require.Equal(t, map[string]int{"a": 0, "b": 1, "c": -1}, beside, "3 is before this one, 7 is not")
}
