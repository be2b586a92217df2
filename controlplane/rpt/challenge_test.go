package rpt_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/rpt"
)

func TestParseChallenges(t *testing.T) {
	t.Parallel()
	type params = map[string]string
	tests := []struct {
		name   string
		values []string
		want   []rpt.Challenge
	}{
		{"none", nil, nil},
		{"empty elements", []string{" , ,"}, nil},
		{"scheme alone", []string{"Negotiate"}, []rpt.Challenge{{Scheme: "Negotiate", Params: params{}}}},
		{"token68", []string{"Negotiate a/b+c=="}, []rpt.Challenge{{Scheme: "Negotiate", Token68: "a/b+c==", Params: params{}}}},
		{
			"uma",
			[]string{`UMA realm="photos", as_uri="https://as.example.com/r", ticket="t-1"`},
			[]rpt.Challenge{{Scheme: "UMA", Params: params{"realm": "photos", "as_uri": "https://as.example.com/r", "ticket": "t-1"}}},
		},
		{
			"as oxd wrote it",
			[]string{`UMA realm="rs",as_uri="https://as",error="insufficient_scope",ticket="e986fd2b"`},
			[]rpt.Challenge{{Scheme: "UMA", Params: params{"realm": "rs", "as_uri": "https://as", "error": "insufficient_scope", "ticket": "e986fd2b"}}},
		},
		{
			"several in one header, as RFC 9110 has it",
			[]string{`Basic realm="simple", Newauth realm="apps", type=1, title="Login to \"apps\""`},
			[]rpt.Challenge{{Scheme: "Basic", Params: params{"realm": "simple"}}, {Scheme: "Newauth", Params: params{"realm": "apps", "type": "1", "title": `Login to "apps"`}}},
		},
		{
			"several headers",
			[]string{`Bearer`, `UMA ticket = "a,b" , AS_URI	=x`},
			[]rpt.Challenge{{Scheme: "Bearer", Params: params{}}, {Scheme: "UMA", Params: params{"ticket": "a,b", "as_uri": "x"}}},
		},
		{"a scheme after a token68", []string{`Negotiate abc, UMA ticket=t`}, []rpt.Challenge{{Scheme: "Negotiate", Token68: "abc", Params: params{}}, {Scheme: "UMA", Params: params{"ticket": "t"}}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := rpt.ParseChallenges(tt.values)
			require.NoError(t, err)
			require.Equal(t, tt.want, got)
		})
	}
	for _, bad := range []string{`"quoted"`, `UMA ticket="x`, `UMA ticket="x\`, `UMA a=1, ticket=`, `UMA a=1 b=2`, `UMA a=1, a=2`, `UMA a=1, =2`, "UMA\x00"} {
		t.Run("bad "+bad, func(t *testing.T) {
			t.Parallel()
			_, err := rpt.ParseChallenges([]string{bad})
			require.ErrorIs(t, err, rpt.ErrChallenge)
		})
	}
}

func FuzzParseChallenges(f *testing.F) {
	for _, seed := range []string{"", `UMA realm="a", as_uri="b", ticket="c"`, `Basic realm="\"", Negotiate a==, X a=b`, ", ,", `A "`, "A a = \"\\\"\" ,b=c"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := rpt.ParseChallenges([]string{s})
		if err != nil {
			require.ErrorIs(t, err, rpt.ErrChallenge)
			return
		}
		for _, c := range got {
			require.NotEmpty(t, c.Scheme)
			require.False(t, c.Token68 != "" && len(c.Params) > 0)
		}
	})
}
