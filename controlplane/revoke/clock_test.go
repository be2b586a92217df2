package revoke_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/revoke"
	"github.com/umagate/umagate/controlplane/secret"
)

// tick is what Run does every so often.
func (r *rig) tick() {
	r.t.Helper()
	revoke.Refresh(r.t, r.List)
}

// refused reports whether Envoys refuse a session's tokens.
func (r *rig) refused(session string) bool {
	_, ok := r.compiled("photos").Sessions.Find(session)
	return ok
}

// TestClockJumpsAhead: what is revoked stays so until its tokens have ended, whatever is
// done to this host's clock meanwhile.
func TestClockJumpsAhead(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		// put is by how much this host's clock is put ahead. together: the AS's with it.
		put            time.Duration
		together, mute bool
		// meanwhile: they are in force while it is ahead.
		meanwhile bool
	}{
		{name: "an hour and more", put: 2 * time.Hour, meanwhile: true},
		{name: "years", put: 10 * 365 * 24 * time.Hour, meanwhile: true},
		{name: "years, and the AS says nothing of its clock", put: 10 * 365 * 24 * time.Hour, mute: true, meanwhile: true},
		{name: "both clocks", put: 10 * 365 * 24 * time.Hour, together: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.mute = tt.mute
			_, err := r.Revoke(t.Context(), revoke.Spec{Site: "photos", Kind: revoke.Session, Value: "s1"})
			require.NoError(t, err)
			r.putClock(tt.put)
			if tt.together {
				r.atAS += tt.put
			}
			r.tick()
			require.Equal(t, tt.meanwhile, r.refused("s1"))
			// A change reads the store anew, and lets it forget.
			_, err = r.Revoke(t.Context(), revoke.Spec{Site: "photos", Kind: revoke.Session, Value: "s2"})
			require.NoError(t, err)
			require.Equal(t, tt.meanwhile, r.refused("s1"))
			require.True(t, r.refused("s2"))
			r.putClock(-tt.put)
			r.atAS = 0
			changes := r.changes
			r.tick()
			require.True(t, r.refused("s1"), "the clock is right again")
			if !tt.meanwhile {
				require.Greater(t, r.changes, changes, "Envoys are told")
			}
			replica := r.another(r.store)
			require.NoError(t, replica.Load(t.Context()))
			lists, _ := replica.Compiled()
			require.Equal(t, 2, lists[0].Sessions.Len(), "after a start, too")
		})
	}
}

// TestStartWithAWrongClock: a control plane that starts with a clock that is ahead drops
// nothing before the AS has said what time it is, nor then.
func TestStartWithAWrongClock(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	_, err := r.Revoke(t.Context(), revoke.Spec{Site: "photos", Kind: revoke.Session, Value: "s1"})
	require.NoError(t, err)
	r.now, r.atAS, r.mute = r.now.Add(20*time.Hour), -20*time.Hour, true
	r.List = r.another(r.store)
	require.NoError(t, r.Load(t.Context()))
	require.True(t, r.refused("s1"))
	r.mute = false
	r.tick()
	require.True(t, r.refused("s1"))
	r.atAS = 0
	r.tick()
	require.False(t, r.refused("s1"), "20 hours have really passed")
}

// TestRevokedByAClockThatIsBehind: what is revoked by a clock that is behind counts, and
// for as long as its tokens live.
func TestRevokedByAClockThatIsBehind(t *testing.T) {
	t.Parallel()
	const behind = 3 * time.Hour // longer than tokens live
	for _, mute := range []bool{false, true} {
		r := newRig(t)
		r.mute = mute
		right := r.now
		r.putClock(-behind)
		made, err := r.Revoke(t.Context(), revoke.Spec{Site: "photos", Kind: revoke.Subject, Value: "bob"})
		require.NoError(t, err)
		require.Equal(t, right.Add(time.Hour+3*time.Second).Unix(), made.ExpiresAt.Unix())
		require.Equal(t, right.Add(3*time.Second).Unix(), made.IssuedBefore.Unix(), "a token of this second, by the AS's clock")
		opaque, err := r.Revoke(t.Context(), revoke.Spec{Kind: revoke.Token, Token: secret.New("opaque")})
		require.NoError(t, err)
		require.Equal(t, right.Add(2*time.Hour).Unix(), opaque.ExpiresAt.Unix())
	}
}

// TestLogoutByTheASClock: a message that the AS has just signed is taken, whatever this
// host's clock says.
func TestLogoutByTheASClock(t *testing.T) {
	t.Parallel()
	for _, put := range []time.Duration{-3 * time.Hour, 3 * time.Hour} {
		r := newRig(t)
		right := r.now
		r.putClock(put)
		logout := func(issued time.Time, id string) error {
			return r.Logout(t.Context(), "photos", r.sign(map[string]any{
				"iss": r.as.URL, "aud": "rs", "iat": issued.Unix(), "exp": issued.Add(2 * time.Minute).Unix(), "jti": id, "sid": "s-" + id,
				"events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}},
			}))
		}
		require.NoError(t, logout(right, "now"))
		require.True(t, r.refused("s-now"))
		require.ErrorIs(t, logout(right.Add(-time.Hour), "old"), revoke.ErrMessage)
		require.ErrorIs(t, logout(right.Add(time.Hour), "early"), revoke.ErrMessage)
	}
}
