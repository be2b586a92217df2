package oxd

import (
	"cmp"
	"context"
	"errors"
	"net/url"

	"github.com/umagate/umagate/controlplane/store"
)

type logoutParams struct {
	SiteParams

	IDTokenHint           string `json:"id_token_hint"`
	PostLogoutRedirectURI string `json:"post_logout_redirect_uri"`
	State                 string `json:"state"`
	SessionState          string `json:"session_state"`
}

type logoutResult struct {
	URI string `json:"uri"`
}

// logoutURI is where a person is sent to log out (OpenID Connect RP-Initiated
// Logout 1.0). Without a hint the site's last ID token is taken, and before any
// login the client alone is named.
func (s *logins) logoutURI(ctx context.Context, c *Call, p logoutParams) (logoutResult, error) {
	rc, err := s.clientOf(ctx, c.RP)
	if err != nil {
		return logoutResult{}, err
	}
	address, err := url.Parse(rc.metadata.EndSessionEndpoint)
	if err != nil || address.Host == "" {
		return logoutResult{}, fail(CodeNoEndSession, "the OP names no end_session_endpoint").because(err)
	}
	hint := p.IDTokenHint
	if hint == "" {
		state, err := s.store.TemporaryState(ctx, stateIDToken, c.RP.ID, s.now())
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return logoutResult{}, err
		}
		hint = state.Value.Reveal()
	}
	query := address.Query()
	set := func(name, value string) {
		if value != "" {
			query.Set(name, value)
		}
	}
	set("id_token_hint", hint)
	if hint == "" {
		set("client_id", c.RP.ClientID)
	}
	set("post_logout_redirect_uri", cmp.Or(p.PostLogoutRedirectURI, c.RP.Metadata.PostLogoutRedirectURI))
	set("state", p.State)
	set("session_state", p.SessionState)
	address.RawQuery = query.Encode()
	return logoutResult{URI: address.String()}, nil
}
