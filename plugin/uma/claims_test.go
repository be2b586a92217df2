package uma_test

import (
	"bytes"
	"encoding/json"
	"math/big"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/uma"
)

// asked are the claims that these tests ask for.
var asked = []uma.ClaimPath{{"department"}, {"realm_access", "roles"}, {"scope"}, {"https://example.com/roles"}, {"a", "b", "c"}}

func TestClaims(t *testing.T) {
	unusable := []string{}
	many := func(n int) string { return `["` + strings.Repeat(`x","`, n-1) + `x"]` }
	long := strings.Repeat("x", uma.MaxClaimBytes)
	for _, tt := range []struct {
		name, members string
		claim         int
		want          []string
	}{
		{"text", `"department":"sales"`, 0, []string{"sales"}},
		{"list", `"department":["sales","it"]`, 0, []string{"sales", "it"}},
		{"text with a space", `"department":"sales it"`, 0, []string{"sales it"}},
		{"text with a comma", `"department":"sales,it"`, 0, []string{"sales,it"}},
		{"escaped name", `"dep\u0061rtment":"sales"`, 0, []string{"sales"}},
		{"escaped text", `"department":"s\u0061les"`, 0, []string{"sales"}},
		{"empty text", `"department":""`, 0, []string{""}},
		{"empty list", `"department":[]`, 0, unusable},
		{"not said", `"Department":"sales","departmen":"sales"`, 0, nil},
		{"null", `"department":null`, 0, unusable},
		{"number", `"department":17`, 0, []string{"17"}},
		{"negative number", `"department":-17`, 0, []string{"-17"}},
		{"zero", `"department":0`, 0, []string{"0"}},
		{"a number that no float has", `"department":9007199254740993`, 0, []string{"9007199254740993"}},
		{"a number of forty digits", `"department":1234567890123456789012345678901234567890`, 0, []string{"1234567890123456789012345678901234567890"}},
		{"minus zero", `"department":-0`, 0, unusable},
		{"fraction", `"department":1.5`, 0, unusable},
		{"fraction of nothing", `"department":1.0`, 0, unusable},
		{"exponent", `"department":1e3`, 0, unusable},
		{"capital exponent", `"department":1E3`, 0, unusable},
		{"true", `"department":true`, 0, []string{"true"}},
		{"false", `"department":false`, 0, []string{"false"}},
		{"object", `"department":{"sales":"sales"}`, 0, unusable},
		{"list of lists", `"department":[["sales"]]`, 0, unusable},
		{"a number and true in a list", `"department":["sales",1,true]`, 0, []string{"sales", "1", "true"}},
		{"a fraction in a list", `"department":["sales",1.5]`, 0, unusable},
		{"null in a list", `"department":["sales",null]`, 0, unusable},
		{"twice", `"department":"sales","department":"sales"`, 0, unusable},
		{"twice, once escaped", `"department":"it","dep\u0061rtment":"sales"`, 0, unusable},
		{"three times", `"department":"sales","department":null,"department":"sales"`, 0, unusable},
		{"as many as can be", `"department":` + many(uma.MaxClaimValues), 0, strings.Split(strings.Repeat("x,", uma.MaxClaimValues-1)+"x", ",")},
		{"too many", `"department":` + many(uma.MaxClaimValues+1), 0, unusable},
		{"as long as can be", `"department":"` + long + `"`, 0, []string{long}},
		{"too long", `"department":"` + long + `x"`, 0, unusable},
		{"too long together", `"department":["` + long + `","x"]`, 0, unusable},

		{"nested", `"realm_access":{"x":1,"roles":["admin"]}`, 1, []string{"admin"}},
		{"a dot in the name is no path", `"realm_access.roles":["admin"]`, 1, nil},
		{"nested, not there", `"realm_access":{"role":["admin"]}`, 1, unusable},
		{"nested twice", `"realm_access":{"roles":["user"],"r\u006fles":["admin"]}`, 1, unusable},
		{"outer twice", `"realm_access":{"roles":["admin"]},"realm_access":{"roles":["admin"]}`, 1, unusable},
		{"in a list of objects", `"realm_access":[{"roles":["admin"]}]`, 1, unusable},
		{"in a text", `"realm_access":"{\"roles\":[\"admin\"]}"`, 1, unusable},
		{"deeper", `"a":{"b":{"c":"x"}}`, 4, []string{"x"}},
		{"not deep enough", `"a":{"b":"x"}`, 4, unusable},

		{"scope", `"scope":"view  edit "`, 2, []string{"view", "edit"}},
		{"scope with a tab", `"scope":"view\tedit"`, 2, []string{"view\tedit"}},
		{"scope as a list", `"scope":["view","edit all"]`, 2, []string{"view", "edit all"}},
		{"a name with dots", `"https://example.com/roles":"admin"`, 3, []string{"admin"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := uma.ParseIntrospection([]byte(`{"active":true,`+tt.members+`}`), asked...)
			require.NoError(t, err)
			require.Equal(t, tt.want, got.Claim(tt.claim))
			own, err := uma.ParseJWT(jwtOf(`{}`, `{`+tt.members+`}`), asked...)
			require.NoError(t, err)
			require.Equal(t, tt.want, own.Claim(tt.claim), "of the payload")
		})
	}
	none, err := uma.ParseIntrospection([]byte(`{"active":true,"department":"sales"}`))
	require.NoError(t, err)
	require.Nil(t, none.Claims, "nobody asks")
	require.Nil(t, none.Claim(0))
}

// TestCompletedClaims: what the answer speaks of stands, also where it cannot be used.
func TestCompletedClaims(t *testing.T) {
	payload := jwtOf(`{}`, `{"department":"sales","realm_access":{"roles":["admin"]}}`)
	for _, tt := range []struct {
		name, members string
		want          [][]string
	}{
		{"nothing is said", ``, [][]string{{"sales"}, {"admin"}}},
		{"another is said", `,"department":"it"`, [][]string{{"it"}, {"admin"}}},
		{"null is said", `,"department":null`, [][]string{{}, {"admin"}}},
		{"the object around is said", `,"realm_access":{}`, [][]string{{"sales"}, {}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := uma.ParseIntrospection([]byte(`{"active":true`+tt.members+`}`), asked[:2]...)
			require.NoError(t, err)
			before := got.With(&uma.Token{})
			require.NoError(t, uma.AddJWTClaims(got, payload, asked[:2]...))
			require.Equal(t, tt.want, [][]string{got.Claim(0), got.Claim(1)})
			require.NotEqual(t, [][]string{{"sales"}, {"admin"}}, [][]string{before.Claim(0), before.Claim(1)}, "another token keeps its own")
			later, err := uma.ParseIntrospection([]byte(`{"active":true,"department":[],"realm_access":1}`), asked[:2]...)
			require.NoError(t, err)
			both := got.With(later)
			for i := range tt.want {
				want := tt.want[i]
				if got.Claims[i] == nil {
					want = []string{}
				}
				require.Equal(t, want, both.Claim(i), "a later answer stands, too")
			}
		})
	}
	opaque := &uma.Token{Active: true}
	require.ErrorIs(t, uma.AddJWTClaims(opaque, "opaque", asked...), uma.ErrNotJWT)
	require.Nil(t, opaque.Claim(0))
}

// naiveMembers reads an object with the standard library, members that are there twice
// twice.
func naiveMembers(raw []byte) (names []string, values []json.RawMessage, ok bool) {
	d := json.NewDecoder(strings.NewReader(string(raw)))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return nil, nil, false
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, nil, false
		}
		var v json.RawMessage
		if d.Decode(&v) != nil {
			return nil, nil, false
		}
		names, values = append(names, name.(string)), append(values, v) //nolint:forcetypeassert // a name
	}
	return names, values, true
}

// naiveText is the text of a value, of a number by arithmetic without bounds.
func naiveText(read any) (text string, ok bool) {
	switch v := read.(type) {
	case string:
		return v, !strings.ContainsRune(v, utf8.RuneError)
	case bool:
		return strconv.FormatBool(v), true
	case json.Number:
		n, whole := new(big.Int).SetString(v.String(), 10)
		return v.String(), whole && n.String() == v.String()
	}
	return "", false
}

// naiveClaim is what an answer has of a claim; ok tells that it has it once.
func naiveClaim(raw []byte, path []string) (list []string, said, ok bool) {
	for i, name := range path {
		names, values, isObject := naiveMembers(raw)
		if !isObject {
			return nil, said, false
		}
		found := 0
		for j := range names {
			if names[j] == name {
				raw = values[j]
				found++
			}
		}
		said = said || i == 0 && found > 0
		if found != 1 {
			return nil, said, false
		}
	}
	var read any
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if d.Decode(&read) != nil {
		return nil, said, false
	}
	switch v := read.(type) {
	case string:
		if len(path) == 1 && path[0] == "scope" {
			return strings.FieldsFunc(v, func(c rune) bool { return c == ' ' }), said, true
		}
		return []string{v}, said, true
	case []any:
		for _, item := range v {
			s, hasText := naiveText(item)
			if !hasText {
				return nil, said, false
			}
			list = append(list, s)
		}
		return list, said, true
	}
	s, hasText := naiveText(read)
	return []string{s}, said, hasText
}

// FuzzClaims compares the claims of any answer with a reading by the standard library.
func FuzzClaims(f *testing.F) {
	for _, seed := range []string{
		`{"active":true,"department":"sales"}`, `{"active":true,"department":["sales",1]}`, `{"active":true,"realm_access":{"roles":["admin","\u0061"]}}`,
		`{"active":true,"a":{"b":{"c":["\ud834\udd1e","\ud834"]}}}`, `{"active":true,"scope":" view  edit"}`, `{"active":true,"scope":{"scope":1}}`,
		`{"active":true,"https://example.com/roles":{}}`, `{"active":true,"department":"a","dep\u0061rtment":"b"}`, `{"active":true,"department":[1,-0,true,1e2]}`,
		`{"active":true,"department":-12}`, `{"active":true,"a":{"b":{},"b":{"c":"x"}}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		token, err := uma.ParseIntrospection(body, asked...)
		if err != nil || !token.Active {
			return
		}
		require.True(t, utf8.Valid(body))
		for i, path := range asked {
			list, said, ok := naiveClaim(body, path)
			got, size := token.Claim(i), len(strings.Join(list, ""))
			switch {
			case !said:
				require.Nil(t, got, "%v of %s", path, body)
			case !ok || len(list) == 0 || size > uma.MaxClaimBytes || len(list) > uma.MaxClaimValues:
				require.NotNil(t, got, "%v of %s", path, body)
				require.Empty(t, got, "%v of %s", path, body)
			default:
				require.Equal(t, list, got, "%v of %s", path, body)
			}
		}
	})
}
