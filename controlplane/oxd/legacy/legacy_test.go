package legacy_test

import (
	"os"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/clientauth"
	"github.com/umagate/umagate/controlplane/oxd/legacy"
	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/controlplane/store"
)

func texts(f *legacy.Found) string {
	var b strings.Builder
	for _, n := range f.Notes {
		b.WriteString(n.Place + ": " + n.Text + "\n")
	}
	return b.String()
}

func TestReadV3(t *testing.T) {
	t.Parallel()
	f, err := legacy.Read(os.DirFS("testdata/v3"))
	require.NoError(t, err)
	require.Equal(t, 8199, f.Settings.Port)
	require.False(t, f.Settings.Protect)
	require.Equal(t, 7*time.Minute, f.Settings.LoginLifetime)
	require.Len(t, f.Entries, 2)
	first := f.Entries[0]
	require.Equal(t, "d8cc6dea-4d66-4995-b6e1-da3a33722f2e", first.RP.ID)
	require.Equal(t, "@!38D4!0001!37F2", first.RP.ClientID)
	require.Equal(t, "4a72e386-97ed", first.RP.Secrets.ClientSecret.Reveal())
	require.Equal(t, "920fdb64", first.RP.Secrets.RegistrationToken.Reveal())
	require.Equal(t, clientauth.SecretBasic, first.RP.AuthMethod)
	require.Equal(t, "99", first.RP.SetupOxdID)
	require.True(t, first.RP.IssuedAt.Equal(time.UnixMilli(1528879584000)))
	require.Equal(t, "https://client.example.com/bye", first.RP.Metadata.PostLogoutRedirectURI)
	require.Equal(t, map[string]string{"[GET] /photo": "r-1", "[PUT, POST] /photo": "r-2", "[GET] /doc": "r-3"}, first.IDs)
	require.NoError(t, first.Document.Validate())
	require.Len(t, first.Document, 2)
	require.Equal(t, []string{"a", "b"}, first.Document[1].Conditions[0].Expression.Data)
	require.Empty(t, first.Document[1].Conditions[0].Scopes, "the data that oxd kept twice is no requirement of its own")
	require.Equal(t, clientauth.SecretPost, f.Entries[1].RP.AuthMethod)
	require.Equal(t, "c2", f.Entries[1].RP.ClientID)
	notes := texts(f)
	for _, want := range []string{
		"trust_all_certs", "localhost_only", "licence", "/other", "[GET] no-slash is not protected", "second: it is there twice",
		"user_id", "setup client 99", "claims_redirect_uri",
	} {
		require.Contains(t, notes, want)
	}
}

func TestReadV4(t *testing.T) {
	t.Parallel()
	f, err := legacy.Read(os.DirFS("testdata/v4"))
	require.NoError(t, err)
	require.True(t, f.Settings.Protect)
	require.Equal(t, "https://op.example.com", f.Settings.OPHost)
	require.Equal(t, "https://app.example.com/bye", f.Settings.Defaults.PostLogoutRedirectURI)
	for _, want := range []string{"4.x", "redis", "trust.jks", "crypt_provider_key_store_path"} {
		require.Contains(t, texts(f), want)
	}
}

// TestPrinted: what is printed is a configuration, and shows no secret.
func TestPrinted(t *testing.T) {
	t.Parallel()
	for _, folder := range []string{"testdata/v3", "testdata/v4"} {
		f, err := legacy.Read(os.DirFS(folder))
		require.NoError(t, err)
		var b strings.Builder
		_, err = f.WriteTo(&b)
		require.NoError(t, err)
		for _, hidden := range []string{"4a72e386", "920fdb64", "old-pat", "s2"} {
			require.NotContains(t, b.String(), hidden)
		}
		file, err := site.Parse("umagate.yaml", []byte(b.String()), site.Environment{})
		require.NoError(t, err, b.String())
		require.NotEmpty(t, file.OXD.OPHosts)
		if folder == "testdata/v3" {
			require.Equal(t, "127.0.0.1:8199", file.OXD.Socket)
			require.Equal(t, "https://op.example.com", file.OXD.DefaultHost())
			require.Equal(t, []string{"openid", "profile", "uma_protection"}, file.OXD.Defaults.Scope)
			require.Equal(t, []site.OXDSite{{OxdID: "d8cc6dea-4d66-4995-b6e1-da3a33722f2e", Hosts: []string{"client.example.com"}}}, file.OXD.Sites)
		}
	}
}

func TestKeep(t *testing.T) {
	t.Parallel()
	f, err := legacy.Read(os.DirFS("testdata/v3"))
	require.NoError(t, err)
	kept, err := store.OpenSQLite(t.Context(), t.TempDir()+"/s.db", secret.Text{})
	require.NoError(t, err)
	t.Cleanup(func() { _ = kept.Close() })
	settings := &site.OXD{OPHosts: []site.OXDProvider{{URL: "https://op.example.com/", Issuer: "https://op.example.com"}}}
	at := time.UnixMilli(1_790_000_000_000)
	done, err := f.Keep(t.Context(), kept, settings, at)
	require.NoError(t, err)
	require.Equal(t, legacy.Kept{RPs: 1, Resources: 3}, done)
	require.Contains(t, texts(f), `op2.example.com/" is not one of oxd.op_hosts`)
	const id = "d8cc6dea-4d66-4995-b6e1-da3a33722f2e"
	rp, err := kept.RP(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, "@!38D4!0001!37F2", rp.ClientID)
	require.Equal(t, "https://op.example.com", rp.Issuer)
	require.NotContains(t, string(rp.Record), "4a72e386", "a secret is sealed")
	require.Contains(t, rp.Secrets.Reveal(), "4a72e386")
	p, err := kept.Protection(t.Context(), id)
	require.NoError(t, err)
	require.True(t, p.Settled)
	resources, err := kept.Resources(t.Context(), store.Key{Site: "oxd-" + id, Issuer: "https://op.example.com"})
	require.NoError(t, err)
	require.Len(t, resources, 3)
	require.Equal(t, store.ResourceRegistered, resources[0].State)

	// Again: nothing is changed.
	done, err = f.Keep(t.Context(), kept, settings, at.Add(time.Hour))
	require.NoError(t, err)
	require.Equal(t, legacy.Kept{There: 1}, done)
}

func TestDatabase(t *testing.T) {
	t.Parallel()
	f, err := legacy.Read(fstest.MapFS{"bin/oxd_db.mv.db": {Data: []byte("H2")}, "oxd-conf.json": {Data: []byte(`{}`)}})
	require.NoError(t, err)
	require.Contains(t, texts(f), "bin/oxd_db.mv.db: an H2 database cannot be read")
	require.Contains(t, texts(f), "lsox.sh")
}

func TestNothing(t *testing.T) {
	t.Parallel()
	_, err := legacy.Read(fstest.MapFS{"a.json": {Data: []byte(`{"x":1}`)}})
	require.ErrorIs(t, err, legacy.ErrNothing)
	_, err = legacy.Read(fstest.MapFS{"a.json": {Data: []byte(`{"oxd_id":"a","client_id":"b","client_secret":{"hush":1}}`)}})
	require.Error(t, err)
	require.NotContains(t, err.Error(), "hush")
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"oxd_id":"a","client_id":"b","uma_protected_resources":[{"path":"/a","http_methods":["GET"],"scope_expressions":["{"]}]}`))
	f.Add([]byte(`[{]{"oxd_id":1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		found, err := legacy.Read(fstest.MapFS{"rps.json": {Data: data}, "oxd-conf.json": {Data: []byte(`{}`)}})
		if err != nil {
			return
		}
		for _, e := range found.Entries {
			if len(e.Document) > 0 {
				require.NoError(t, e.Document.Validate())
			}
		}
		_, err = found.WriteTo(&strings.Builder{})
		require.NoError(t, err)
	})
}
