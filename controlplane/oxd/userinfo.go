package oxd

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

type userInfoParams struct {
	SiteParams

	AccessToken string `json:"access_token"`
}

type userInfoResult struct {
	// Claims has a list of strings for every claim, as the page shows them.
	Claims map[string][]string `json:"claims"`
}

// userInfo asks the OP about a person (OpenID Connect Core 1.0 section 5.3).
func (s *logins) userInfo(ctx context.Context, c *Call, p userInfoParams) (userInfoResult, error) {
	if p.AccessToken == "" {
		return userInfoResult{}, fail(CodeNoAccessToken, "access_token is missing")
	}
	rc, err := s.clientOf(ctx, c.RP)
	if err != nil {
		return userInfoResult{}, err
	}
	if rc.oidc.UserInfoEndpoint() == "" {
		return userInfoResult{}, fail(CodeBadRequest, "the OP names no userinfo_endpoint")
	}
	info, status, err := rc.askUserInfo(ctx, p.AccessToken)
	switch {
	case err == nil:
	case status == 0:
		return userInfoResult{}, fail(CodeInternal, "the OP's userinfo endpoint does not answer").because(err)
	case status != http.StatusOK:
		return userInfoResult{}, fail(CodeHTTPStatus(status), "the OP does not accept the access_token for userinfo")
	default:
		return userInfoResult{}, fail(CodeInternal, "the OP's userinfo endpoint answers with something that is not userinfo")
	}
	if info.Subject == "" {
		return userInfoResult{}, fail(CodeInternal, "the OP's userinfo has no sub")
	}
	// Section 5.3.2: it must be who logged in. A token from elsewhere cannot be checked.
	known, err := s.subjectOf(ctx, p.AccessToken)
	if err != nil {
		return userInfoResult{}, err
	}
	if known != "" && known != info.Subject {
		return userInfoResult{}, fail(CodeInternal, "the OP's userinfo is of another person than the id_token")
	}
	var claims map[string]any
	if err := info.Claims(&claims); err != nil {
		return userInfoResult{}, fmt.Errorf("oxd: userinfo: %w", err)
	}
	out := map[string][]string{}
	for name, value := range claims {
		if out[name], err = claimValues(value); err != nil {
			return userInfoResult{}, err
		}
	}
	return userInfoResult{Claims: out}, nil
}

// askUserInfo calls the userinfo endpoint. status is 0 when there was no answer.
func (p *provider) askUserInfo(ctx context.Context, token string) (info *oidc.UserInfo, status int, err error) {
	client := *p.client
	seen := &observed{next: client.Transport}
	client.Transport = seen
	info, err = p.oidc.UserInfo(oidc.ClientContext(ctx, &client), oauth2.StaticTokenSource(&oauth2.Token{AccessToken: token, TokenType: "Bearer"}))
	return info, seen.status, err
}

// observed remembers the status of an answer, which go-oidc does not tell; 0 when
// there was none.
type observed struct {
	next   http.RoundTripper
	status int
}

func (o *observed) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := o.next.RoundTrip(r)
	if err == nil {
		o.status = response.StatusCode
	}
	return response, err
}

// claimValues makes oxd's list of one claim.
func claimValues(value any) ([]string, error) {
	list, ok := value.([]any)
	if !ok {
		list = []any{value}
	}
	out := make([]string, 0, len(list))
	for _, one := range list {
		switch one := one.(type) {
		case nil:
		case string:
			out = append(out, one)
		default:
			encoded, err := json.Marshal(one)
			if err != nil {
				return nil, fmt.Errorf("oxd: userinfo: %w", err)
			}
			out = append(out, string(encoded))
		}
	}
	return out, nil
}
