package uma_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/uma"
)

func TestParseBearer(t *testing.T) {
	long := strings.Repeat("a", 1<<20)
	tests := []struct {
		name, value string
		token       string
		kind        uma.Credential
	}{
		{"bearer", "Bearer abc", "abc", uma.CredentialBearer},
		{"other case", "bEARER abc", "abc", uma.CredentialBearer},
		{"every character", "Bearer aZ09-._~+/==", "aZ09-._~+/==", uma.CredentialBearer},
		{"more spaces", "Bearer   abc", "abc", uma.CredentialBearer},
		{"space around", " \tBearer abc\t ", "abc", uma.CredentialBearer},
		{"longest", "Bearer " + long, long, uma.CredentialBearer},

		{"basic", "Basic dTpw", "", uma.CredentialNone},
		{"DPoP", "DPoP abc", "", uma.CredentialNone},
		{"digest", `Digest username="a", realm="b"`, "", uma.CredentialNone},
		{"only a scheme", "Negotiate", "", uma.CredentialNone},

		{"empty", "", "", uma.CredentialMalformed},
		{"blank", " \t", "", uma.CredentialMalformed},
		{"no token", "Bearer", "", uma.CredentialMalformed},
		{"no token, space", "Bearer ", "", uma.CredentialMalformed},
		{"no space", "Bearerabc", "", uma.CredentialMalformed},
		{"colon", "Bearer: abc", "", uma.CredentialMalformed},
		{"tab", "Bearer\tabc", "", uma.CredentialMalformed},
		{"two tokens", "Bearer a b", "", uma.CredentialMalformed},
		{"joined by Envoy", "Bearer a,Bearer b", "", uma.CredentialMalformed},
		{"joined with a space", "Bearer a, Bearer b", "", uma.CredentialMalformed},
		{"joined behind another scheme", "Basic dTpw,Bearer b", "", uma.CredentialMalformed},
		{"joined behind two", "Basic dTpw, DPoP x, bearer b", "", uma.CredentialMalformed},
		{"joined, empty", "Bearer a,", "", uma.CredentialMalformed},
		{"comma before", ",Bearer a", "", uma.CredentialMalformed},
		{"quotes", `Bearer "abc"`, "", uma.CredentialMalformed},
		{"only padding", "Bearer ==", "", uma.CredentialMalformed},
		{"padding inside", "Bearer a=b", "", uma.CredentialMalformed},
		{"NUL", "Bearer a\x00b", "", uma.CredentialMalformed},
		{"line end", "Bearer a\r\nb", "", uma.CredentialMalformed},
		{"not ASCII", "Bearer é", "", uma.CredentialMalformed},
		{"no-break space", "Bearer\u00a0abc", "", uma.CredentialMalformed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			token, kind := uma.ParseBearer(tt.value)
			require.Equal(t, tt.kind, kind)
			require.Equal(t, tt.token, token)
		})
	}
}

// TestIsToken has every byte, alone and among others.
func TestIsToken(t *testing.T) {
	const token68 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/"
	for i := range 256 {
		c := string([]byte{byte(i)})
		want := strings.Contains(token68, c)
		require.Equal(t, want, uma.IsToken(c), "%q", c)
		require.Equal(t, want, uma.IsToken("aZ9"+c+"~"), "%q", c)
		require.Equal(t, want || c == "=", uma.IsToken("aZ9"+c), "%q", c)
	}
	require.True(t, uma.IsToken(token68+"=="))
	for _, s := range []string{"", "=", "=a", "a=b", "a= "} {
		require.False(t, uma.IsToken(s), "%q", s)
	}
}

// FuzzParseBearer: a token that is accepted is the whole credential, and can be
// written into a header or a form without another meaning.
func FuzzParseBearer(f *testing.F) {
	for _, seed := range []string{"Bearer abc", "bearer  a==", "Basic a,Bearer b", "Bearer a,b", "\tBearer\ta", "Bearer", "", "DPoP x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		token, kind := uma.ParseBearer(value)
		require.Equal(t, kind == uma.CredentialBearer, token != "")
		if kind != uma.CredentialBearer {
			return
		}
		require.NotContains(t, token, ",")
		fields := strings.Fields(value)
		require.Len(t, fields, 2)
		require.True(t, strings.EqualFold(fields[0], "bearer"))
		require.Equal(t, fields[1], token)
		again, kind := uma.ParseBearer("Bearer " + token)
		require.Equal(t, uma.CredentialBearer, kind)
		require.Equal(t, token, again)
	})
}

func TestChallenge(t *testing.T) {
	tests := []struct {
		name      string
		challenge uma.Challenge
		want      string
	}{
		{
			"ticket",
			uma.Challenge{Scheme: "UMA", Realm: "photos", ASURI: "https://as", Ticket: "t"},
			`UMA realm="photos", as_uri="https://as", ticket="t"`,
		},
		{
			"with error",
			uma.Challenge{Scheme: "UMA", Realm: "photos", ASURI: "https://as", Error: uma.ErrorInsufficientScope, Ticket: "t"},
			`UMA realm="photos", as_uri="https://as", error="insufficient_scope", ticket="t"`,
		},
		{
			"bearer",
			uma.Challenge{Scheme: "Bearer", Realm: "photos", Error: uma.ErrorInvalidToken, Scope: "view edit"},
			`Bearer realm="photos", error="invalid_token", scope="view edit"`,
		},
		{"only a scheme", uma.Challenge{Scheme: "Bearer"}, "Bearer"},
		{"quotes", uma.Challenge{Scheme: "UMA", Realm: `a", x="b\`}, `UMA realm="a\", x=\"b\\"`},
		{"what no header carries", uma.Challenge{Scheme: "UMA", Realm: "a\r\nb\x00é"}, `UMA realm="ab"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, tt.want, tt.challenge.String())
		})
	}
}

// FuzzChallenge reads what was written with a reader of its own.
func FuzzChallenge(f *testing.F) {
	f.Add("photos", "https://as", "t")
	f.Add(`a", ticket="evil`, "\r\nset-cookie: a=b", `\`)
	f.Add("é", "\x7f", "")
	f.Fuzz(func(t *testing.T, realm, asURI, ticket string) {
		written := uma.Challenge{Scheme: "UMA", Realm: realm, ASURI: asURI, Ticket: ticket}.String()
		for i := range len(written) {
			require.True(t, written[i] >= ' ' && written[i] <= '~', "%q", written)
		}
		want := map[string]string{}
		for name, value := range map[string]string{"realm": realm, "as_uri": asURI, "ticket": ticket} {
			if value != "" {
				want[name] = visible(value)
			}
		}
		require.Equal(t, want, readChallenge(t, written))
	})
}

func visible(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if s[i] >= ' ' && s[i] <= '~' {
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

// readChallenge reads "UMA name="quoted", …" by the grammar of RFC 9110.
func readChallenge(t *testing.T, s string) map[string]string {
	t.Helper()
	rest, ok := strings.CutPrefix(s, "UMA")
	require.True(t, ok)
	got := map[string]string{}
	for rest != "" {
		rest = strings.TrimPrefix(rest, ",")
		name, after, ok := strings.Cut(strings.TrimPrefix(rest, " "), `="`)
		require.True(t, ok, "%q", rest)
		var value strings.Builder
		i := 0
		for ; after[i] != '"'; i++ {
			if after[i] == '\\' {
				i++
			}
			value.WriteByte(after[i])
		}
		require.NotContains(t, got, name)
		got[name] = value.String()
		rest = after[i+1:]
	}
	return got
}
