package api_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/api"
	"github.com/umagate/umagate/controlplane/secret"
)

func TestWhoCalls(t *testing.T) {
	t.Parallel()
	known := api.NewCredentials([]api.Token{
		{Name: "local", Value: secret.New("local-token-0123456789"), Role: api.Write, Loopback: true},
		{Name: "ci", Value: secret.New("ci-token-0123456789"), Role: api.Write},
		{Name: "monitoring", Value: secret.New("monitoring-token-0123456789"), Role: api.Read},
	}, []api.Certificate{
		{Name: "ops", Subject: "uri:spiffe://example.com/ops", Role: api.Write},
		{Name: "host", Subject: "dns:monitor.example.com", Role: api.Read},
		{Name: "person", Subject: "email:ann@example.com", Role: api.Read},
		{Name: "old", Subject: "cn:old monitor", Role: api.Read},
	})
	certificate := func(c x509.Certificate, verified bool) *tls.ConnectionState {
		s := &tls.ConnectionState{PeerCertificates: []*x509.Certificate{&c}}
		if verified {
			s.VerifiedChains = [][]*x509.Certificate{{&c}}
		}
		return s
	}
	spiffe := x509.Certificate{URIs: []*url.URL{{Scheme: "spiffe", Host: "example.com", Path: "/ops"}}}
	for _, test := range []struct {
		name   string
		header []string
		from   string
		tls    *tls.ConnectionState
		caller api.Caller
	}{
		{name: "a token", header: []string{"Bearer ci-token-0123456789"}, caller: api.Caller{Name: "ci", Role: api.Write}},
		{name: "the scheme's case does not matter", header: []string{"bEARER monitoring-token-0123456789"}, caller: api.Caller{Name: "monitoring", Role: api.Read}},
		{name: "the token's does", header: []string{"Bearer CI-token-0123456789"}},
		{name: "the beginning of a token", header: []string{"Bearer ci-token-012345678"}},
		{name: "a token and more", header: []string{"Bearer ci-token-0123456789 "}},
		{name: "another scheme", header: []string{"Basic ci-token-0123456789"}},
		{name: "no token", header: []string{"Bearer "}},
		{name: "no scheme", header: []string{"ci-token-0123456789"}},
		{name: "two headers", header: []string{"Bearer ci-token-0123456789", "Bearer ci-token-0123456789"}},
		{name: "nothing"},
		{name: "the local token from this machine", header: []string{"Bearer local-token-0123456789"}, from: "127.0.0.1:1", caller: api.Caller{Name: "local", Role: api.Write}},
		{name: "the local token by IPv6", header: []string{"Bearer local-token-0123456789"}, from: "[::1]:1", caller: api.Caller{Name: "local", Role: api.Write}},
		{name: "the local token from elsewhere", header: []string{"Bearer local-token-0123456789"}},
		{name: "a certificate by URI", tls: certificate(spiffe, true), caller: api.Caller{Name: "ops", Role: api.Write}},
		{name: "one that was not verified", tls: certificate(spiffe, false)},
		{name: "a certificate by DNS name", tls: certificate(x509.Certificate{DNSNames: []string{"a", "Monitor.example.com"}}, true), caller: api.Caller{Name: "host", Role: api.Read}},
		{name: "a certificate by address", tls: certificate(x509.Certificate{EmailAddresses: []string{"ann@example.com"}}, true), caller: api.Caller{Name: "person", Role: api.Read}},
		{name: "a certificate by CN", tls: certificate(x509.Certificate{Subject: pkix.Name{CommonName: "old monitor"}}, true), caller: api.Caller{Name: "old", Role: api.Read}},
		{name: "a CN that looks like another name", tls: certificate(x509.Certificate{Subject: pkix.Name{CommonName: "spiffe://example.com/ops"}}, true)},
		{name: "a certificate of nobody", tls: certificate(x509.Certificate{}, true)},
		{name: "a wrong token is not made good by a certificate", header: []string{"Bearer other-token-0123456789"}, tls: certificate(spiffe, true)},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			req := httptest.NewRequestWithContext(t.Context(), "GET", "/v1/status", nil)
			req.Header["Authorization"] = test.header
			req.TLS = test.tls
			if test.from != "" {
				req.RemoteAddr = test.from
			}
			caller, err := known.Authenticate(req)
			require.Equal(t, test.caller, caller)
			if test.caller.Name == "" {
				require.ErrorIs(t, err, api.ErrNoCredential)
			} else {
				require.NoError(t, err)
			}
		})
	}
}

func TestLocalToken(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "umagate.db.token")
	_, err := api.ReadLocalToken(path)
	require.ErrorIs(t, err, os.ErrNotExist)
	require.ErrorIs(t, err, api.ErrLocalToken)

	// Replicas may start at the same moment.
	var wg sync.WaitGroup
	var mu sync.Mutex
	values, made := map[string]bool{}, 0
	for range 8 {
		wg.Go(func() {
			token, isNew, err := api.LocalToken(path)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
			}
			values[token.Reveal()] = true
			if isNew {
				made++
			}
		})
	}
	wg.Wait()
	require.Len(t, values, 1)
	require.Equal(t, 1, made)
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	left, err := filepath.Glob(path + ".*")
	require.NoError(t, err)
	require.Empty(t, left)

	require.NoError(t, os.Chmod(path, 0o644))
	_, _, err = api.LocalToken(path)
	require.ErrorContains(t, err, "chmod 600")
	require.NoError(t, os.WriteFile(path, []byte("short\n"), 0o600))
	require.NoError(t, os.Chmod(path, 0o600))
	_, _, err = api.LocalToken(path)
	require.ErrorContains(t, err, "16 characters")
	require.NoError(t, os.WriteFile(path, bytes.Repeat([]byte("a"), 5_000), 0o600))
	_, _, err = api.LocalToken(path)
	require.ErrorContains(t, err, "is no token")
}

// TestPlantedLocalToken: a token that another user has put there first opens nothing. Root
// calls the control plane of another user with that user's.
func TestPlantedLocalToken(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can give a file to another user")
	}
	path := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(path, []byte("0123456789abcdef\n"), 0o600))
	require.NoError(t, os.Chown(path, 65534, 65534))
	_, _, err := api.LocalToken(path)
	require.ErrorIs(t, err, api.ErrLocalToken)
	require.ErrorContains(t, err, path+" belongs to user 65534")
	token, err := api.ReadLocalToken(path)
	require.NoError(t, err)
	require.Equal(t, "0123456789abcdef", token.Reveal())
}
