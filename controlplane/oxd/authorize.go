package oxd

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/oauth2"
)

// logins log persons in and out, and renew and use their tokens.
type logins struct {
	*rps

	// lifetime is how long a login may take.
	lifetime time.Duration
}

type authorizationParams struct {
	SiteParams

	Scope            Strings        `json:"scope"`
	ACRValues        Strings        `json:"acr_values"`
	Prompt           string         `json:"prompt"`
	HostedDomain     string         `json:"hd"`
	CustomParameters map[string]any `json:"custom_parameters"`
}

type authorizationResult struct {
	AuthorizationURL string `json:"authorization_url"`
}

// login is a state that was given out. It is kept sealed in the store, so that
// any replica can finish it, also after a restart, and one of them once.
type login struct {
	Nonce       string   `json:"nonce"`
	Verifier    string   `json:"code_verifier,omitempty"`
	ACRValues   []string `json:"acr_values,omitempty"`
	RedirectURI string   `json:"redirect_uri"`
}

// stateLogin is the kind of a login's state. Its id is that of loginID.
const stateLogin = "login"

// loginID has the RP in it: one cannot use up another's state.
func loginID(rp *RP, state string) string { return rp.ID + " " + state }

// authorizationURL begins a login (OpenID Connect Core 1.0 section 3.1.2.1, RFC
// 7636 where the OP has it).
func (s *logins) authorizationURL(ctx context.Context, c *Call, p authorizationParams) (authorizationResult, error) {
	rc, err := s.clientOf(ctx, c.RP)
	if err != nil {
		return authorizationResult{}, err
	}
	m := c.RP.Metadata
	begun := login{Nonce: rand.Text(), ACRValues: first(p.ACRValues, m.ACRValues), RedirectURI: m.RedirectURI}
	state := rand.Text()
	scope := with([]string{scopeOpenID}, first(p.Scope, m.Scope)...)
	parameters := url.Values{"nonce": {begun.Nonce}, "response_type": {responseType(m.ResponseTypes)}}
	set := func(name string, values ...string) {
		if value := strings.Join(values, " "); value != "" {
			parameters.Set(name, value)
		}
	}
	set("acr_values", begun.ACRValues...)
	set("prompt", p.Prompt)
	set("hd", p.HostedDomain)
	set("ui_locales", m.UILocales...)
	set("claims_locales", m.ClaimsLocales...)
	if err := custom(parameters, p.CustomParameters); err != nil {
		return authorizationResult{}, err
	}
	options := make([]oauth2.AuthCodeOption, 0, len(parameters)+1)
	for _, name := range slices.Sorted(maps.Keys(parameters)) {
		options = append(options, oauth2.SetAuthURLParam(name, parameters.Get(name)))
	}
	if rc.supportsPKCE() {
		begun.Verifier = oauth2.GenerateVerifier()
		options = append(options, oauth2.S256ChallengeOption(begun.Verifier))
	}
	config := oauth2.Config{ClientID: c.RP.ClientID, Endpoint: rc.oidc.Endpoint(), RedirectURL: begun.RedirectURI, Scopes: rc.asks(scope)}
	if config.Endpoint.AuthURL == "" {
		return authorizationResult{}, fail(CodeNoConnectDiscovery, "the OP names no authorization_endpoint")
	}
	value, err := json.Marshal(begun)
	if err != nil {
		return authorizationResult{}, err
	}
	if err := s.putState(ctx, stateLogin, loginID(c.RP, state), c.RP.ID, string(value), s.lifetime); err != nil {
		return authorizationResult{}, err
	}
	return authorizationResult{AuthorizationURL: config.AuthCodeURL(state, options...)}, nil
}

// reserved are the parameters that the login depends on.
func reserved() []string {
	return []string{
		"client_id", "redirect_uri", "response_type", "scope", "state", "nonce", "code_challenge", "code_challenge_method", "client_secret",
		"request", "request_uri",
	}
}

// custom adds the application's own parameters. What umagate sets itself cannot
// be changed by them.
func custom(parameters url.Values, more map[string]any) error {
	for name, value := range more {
		if slices.Contains(reserved(), name) {
			return fail(CodeBadRequest, "custom_parameters cannot set %s: umagate does", name)
		}
		switch value := value.(type) {
		case string:
			parameters.Set(name, value)
		case nil:
		default:
			encoded, err := json.Marshal(value)
			if err != nil {
				return err
			}
			parameters.Set(name, string(encoded))
		}
	}
	return nil
}
