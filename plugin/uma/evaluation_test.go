package uma_test

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/uma"
)

func TestParsePermissions(t *testing.T) {
	view := []uma.Permission{{ResourceID: "r1", Scopes: []string{"view"}}}
	for _, tt := range []struct {
		body string
		want []uma.Permission
		err  error
	}{
		{`[{"scopes":["view"],"rsid":"r1","rsname":"album"}]`, view, nil},
		{`[{"resource_scopes":["view"],"resource_id":"r1"}]`, view, nil},
		{`[]`, []uma.Permission{}, nil},
		{`[{"scopes":["view"],"rsid":"r1"},{"scopes":1,"rsid":"r2"},7]`, view, nil},
		{`[{"rsid":"r1"}]`, []uma.Permission{{ResourceID: "r1"}}, nil},
		{`{}`, nil, uma.ErrWrongType},
		{`{"permissions":[{"scopes":["view"],"rsid":"r1"}]}`, nil, uma.ErrWrongType},
		{`null`, nil, uma.ErrWrongType},
		{`"x"`, nil, uma.ErrWrongType},
		{``, nil, uma.ErrNotJSON},
		{`[{"scopes":["view"],"rsid":"r1"}`, nil, uma.ErrNotJSON},
		{`[][]`, nil, uma.ErrNotJSON},
	} {
		list, err := uma.ParsePermissions([]byte(tt.body))
		require.ErrorIs(t, err, tt.err, tt.body)
		require.Equal(t, tt.want, list, tt.body)
	}
}

func TestParseRefusal(t *testing.T) {
	for body, want := range map[string]uma.GrantError{
		`{"error":"access_denied","error_description":"not_authorized"}`:           uma.GrantDenied,
		`{"error":"access_denied"}`:                                                uma.GrantDenied,
		`{"error":"access_denied","error_description":"request_submitted"}`:        uma.GrantSubmitted,
		`{"error":"request_denied"}`:                                               uma.GrantDenied,
		`{"error":"request_submitted","ticket":"t","interval":5}`:                  uma.GrantSubmitted,
		`{"error":"need_info","ticket":"t","required_claims":[]}`:                  uma.GrantNeedsInfo,
		`{"error":"invalid_grant","error_description":"Invalid bearer token"}`:     uma.GrantInvalid,
		`{"error":"invalid_token"}`:                                                uma.GrantInvalid,
		`{"error":"invalid_resource","error_description":"Resource with id [x]…"}`: uma.GrantUnknownResource,
		`{"error":"invalid_scope"}`:                                                uma.GrantUnknownResource,
		`{"error":"invalid_request"}`:                                              uma.GrantErrorOther,
		`{"error":"invalid_client"}`:                                               uma.GrantErrorOther,
		`{"error":"access_denied","error":"invalid_grant"}`:                        uma.GrantErrorOther,
		`{"error":1}`: uma.GrantErrorOther, `[]`: uma.GrantErrorOther, ``: uma.GrantErrorOther, `access_denied`: uma.GrantErrorOther,
	} {
		require.Equal(t, want, uma.ParseRefusal([]byte(body)).Error, body)
	}
}

// TestRefusalAsksToWait: a refusal may have a ticket for the next time, and say when.
func TestRefusalAsksToWait(t *testing.T) {
	for body, want := range map[string]uma.Refusal{
		`{"error":"request_submitted","ticket":"t","interval":5}`:             {Error: uma.GrantSubmitted, Ticket: "t", Interval: 5},
		`{"error":"request_submitted","interval":2.5}`:                        {Error: uma.GrantSubmitted, Interval: 2},
		`{"error":"request_submitted","interval":-5}`:                         {Error: uma.GrantSubmitted},
		`{"error":"request_submitted","interval":1e300}`:                      {Error: uma.GrantSubmitted},
		`{"error":"request_submitted","interval":"5"}`:                        {Error: uma.GrantSubmitted},
		`{"error":"request_submitted","ticket":null}`:                         {Error: uma.GrantSubmitted},
		`{"error":"request_submitted","ticket":1}`:                            {},
		`{"error":"request_submitted","interval":5,"interval":6}`:             {},
		`{"error":"need_info","ticket":"t","redirect_user":"https://as.com"}`: {Error: uma.GrantNeedsInfo, Ticket: "t"},
		`{"error":"invalid_ticket"}`:                                          {Error: uma.GrantInvalid},
	} {
		require.Equal(t, want, uma.ParseRefusal([]byte(body)), body)
	}
}

func TestParseRPT(t *testing.T) {
	for body, want := range map[string]string{
		`{"access_token":"a.b-c_d~e+f/g=","token_type":"Bearer","pct":"p","upgraded":true}`: "a.b-c_d~e+f/g=",
		`{"access_token":"a b"}`:                  "",
		`{"access_token":""}`:                     "",
		`{"access_token":7}`:                      "",
		`{"access_token":"a","access_token":"b"}`: "",
		`{"token_type":"Bearer"}`:                 "",
		`[{"rsid":"r1","scopes":["view"]}]`:       "",
		``:                                        "",
	} {
		rpt, err := uma.ParseRPT([]byte(body))
		require.Equal(t, want, rpt, body)
		require.Equal(t, want == "", err != nil, body)
	}
}

func TestCarriesPermissions(t *testing.T) {
	encode := func(payload string) string {
		return "e30." + base64.RawURLEncoding.EncodeToString([]byte(payload)) + ".c2ln"
	}
	for token, want := range map[string]bool{
		encode(`{"authorization":{"permissions":[]}}`): true,
		encode(`{"authorization":"x"}`):                false,
		encode(`{"sub":"a"}`):                          false,
		encode(`{"authorization":{}`):                  false,
		"opaque":                                       false, "a.b": false, "..": false, "a.!.c": false,
	} {
		require.Equal(t, want, uma.CarriesPermissions(token), token)
	}
}

// FuzzParsePermissions holds what is read to what the standard library reads.
func FuzzParsePermissions(f *testing.F) {
	for _, seed := range []string{
		`[{"scopes":["view"],"rsid":"r1","rsname":"album"}]`, `[{"resource_scopes":["view"],"resource_id":"r1"}]`, `[]`, `{}`, `[[]]`, `[{"rsid":"r1","resource_id":"r2","scopes":["view"]}]`,
		`[{"rsid":"r1","rsid":"r1","scopes":["view"]}]`, `[{"rsid":"r1","scopes":"view"}]`, `[{"rsid":"r1","scopes":["view"],"exp":1}]`, "[null]",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		list, err := uma.ParsePermissions(body)
		if err != nil {
			require.Nil(t, list)
			return
		}
		var naive []json.RawMessage
		require.NoError(t, json.Unmarshal(body, &naive))
		require.LessOrEqual(t, len(list), len(naive))
		for _, p := range list {
			require.True(t, slices.ContainsFunc(naive, func(raw json.RawMessage) bool {
				var r map[string]json.RawMessage // names of another case are other names
				require.NoError(t, json.Unmarshal(raw, &r))
				is := func(name string) bool {
					var id string
					return json.Unmarshal(r[name], &id) == nil && id == p.ResourceID
				}
				return p.ResourceID == "" || is("resource_id") || is("rsid")
			}), "%q", p.ResourceID)
		}
		within := uma.Within(list, "r1", []string{"view"})
		for _, p := range within {
			require.Equal(t, "r1", p.ResourceID)
			require.NotEmpty(t, p.Scopes)
		}
		require.Empty(t, uma.Within(uma.Without(list, "r1", []string{"view"}), "r1", []string{"view"}))
	})
}

// FuzzParseRefusal: only an object that says so, once, is a no.
func FuzzParseRefusal(f *testing.F) {
	for _, seed := range []string{
		`{"error":"access_denied","error_description":"not_authorized"}`, `{"error":"access_denied","error_description":"request_submitted"}`,
		`{"error":"invalid_grant"}`, `{"error":"need_info"}`, `{"error":"invalid_scope"}`, `[]`, `{"error":["access_denied"]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if uma.ParseRefusal(body).Error == uma.GrantErrorOther {
			return
		}
		var naive map[string]any
		require.NoError(t, json.Unmarshal(body, &naive))
		require.IsType(t, "", naive["error"])
	})
}
