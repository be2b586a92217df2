package clientauth_test

import (
	"crypto/x509"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/clientauth"
)

func TestEndsSoon(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_700_000_000, 0)
	const day = 24 * time.Hour
	of := func(life, left time.Duration) *x509.Certificate {
		return &x509.Certificate{NotBefore: now.Add(left - life), NotAfter: now.Add(left)}
	}
	for name, c := range map[string]struct {
		chain []*x509.Certificate
		left  time.Duration
		soon  bool
	}{
		"a year":                       {[]*x509.Certificate{of(365*day, 8*day)}, 8 * day, false},
		"a year, in its last week":     {[]*x509.Certificate{of(365*day, 6*day)}, 6 * day, true},
		"a day":                        {[]*x509.Certificate{of(day, 3*time.Hour)}, 3 * time.Hour, false},
		"a day, in its last hours":     {[]*x509.Certificate{of(day, 2*time.Hour)}, 2 * time.Hour, true},
		"it has ended":                 {[]*x509.Certificate{of(day, -time.Hour)}, -time.Hour, true},
		"the one of an authority ends": {[]*x509.Certificate{of(90*day, 60*day), of(3650*day, day)}, day, true},
	} {
		ends, since, soon := clientauth.EndsSoon(c.chain, now)
		require.Equal(t, now.Add(c.left), ends, name)
		require.Equal(t, c.soon, soon, name)
		require.Equal(t, c.soon, since.Before(now), name)
	}
	_, _, soon := clientauth.EndsSoon(nil, now)
	require.False(t, soon)
}
