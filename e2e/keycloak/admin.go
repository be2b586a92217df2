package keycloak

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	// adminName is name and password of the administrator of a server that only
	// loopback reaches.
	adminName = "admin"
	// AppClient is the public client that persons use.
	AppClient = "app"
	// maxAnswerBytes bounds an answer of the server.
	maxAnswerBytes = 16 << 20
)

// Password returns the password of a person of the realm.
func Password(person string) string { return person }

// Token gets an access token for a person by the client "app".
func (s *Server) Token(ctx context.Context, person string) (string, error) {
	return s.TokenIn(ctx, Realm, AppClient, person)
}

// RPT gets a requesting party token for a ticket (UMA Grant section 3.3.1), with
// an access token of the requesting party as Keycloak wants it.
func (s *Server) RPT(ctx context.Context, accessToken, ticket string) (string, error) {
	return s.grant(ctx, Realm, url.Values{
		"grant_type": {"urn:ietf:params:oauth:grant-type:uma-ticket"}, "ticket": {ticket},
	}, accessToken)
}

// AdminToken gets an access token for the administration API.
func (s *Server) AdminToken(ctx context.Context) (string, error) {
	return s.grant(ctx, "master", url.Values{
		"grant_type": {"password"}, "client_id": {"admin-cli"}, "username": {adminName}, "password": {adminName},
	}, "")
}

func (s *Server) grant(ctx context.Context, realm string, form url.Values, bearer string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost,
		s.URL()+"/realms/"+realm+"/protocol/openid-connect/token", strings.NewReader(form.Encode()))
	if err != nil {
		return "", fmt.Errorf("asking Keycloak for a token: %w", err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	if err := send(request, bearer, &answer); err != nil {
		return "", err
	}
	return answer.AccessToken, nil
}

// StatusError is an answer of Keycloak that is not 2xx.
type StatusError struct {
	Method, URL string
	Status      int
	Body        string
}

// Error names the request and the answer.
func (e *StatusError) Error() string {
	return fmt.Sprintf("keycloak answered %s %s with %d: %s", e.Method, e.URL, e.Status, e.Body)
}

func send(request *http.Request, bearer string, out any) error {
	if bearer != "" {
		request.Header.Set("Authorization", "Bearer "+bearer)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("asking Keycloak: %w", err)
	}
	defer response.Body.Close() //nolint:errcheck // only read from
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswerBytes))
	if err != nil {
		return fmt.Errorf("reading Keycloak's answer: %w", err)
	}
	if response.StatusCode/100 != 2 {
		return &StatusError{request.Method, request.URL.String(), response.StatusCode, string(body)}
	}
	if out == nil || len(body) == 0 {
		return nil
	}
	if err := json.Unmarshal(body, out); err != nil {
		return fmt.Errorf("reading Keycloak's answer to %s: %w", request.URL, err)
	}
	return nil
}

// InitialAccessToken makes a token that registers up to count clients.
func (s *Server) InitialAccessToken(ctx context.Context, count int) (string, error) {
	var answer struct {
		Token string `json:"token"`
	}
	err := s.Admin(ctx, http.MethodPost, "/clients-initial-access", map[string]any{"count": count, "expiration": 0}, &answer)
	return answer.Token, err
}

// client returns Keycloak's own id of a client.
func (s *Server) client(ctx context.Context, clientID string) (string, error) {
	return s.ClientIn(ctx, Realm, clientID)
}

// SetClientAttributes changes attributes of a client, such as
// "access.token.lifespan", which is how long its tokens and permission tickets
// live, in seconds.
func (s *Server) SetClientAttributes(ctx context.Context, clientID string, attributes map[string]string) error {
	id, err := s.client(ctx, clientID)
	if err != nil {
		return err
	}
	var whole map[string]any
	if err := s.Admin(ctx, http.MethodGet, "/clients/"+id, nil, &whole); err != nil {
		return err
	}
	all, ok := whole["attributes"].(map[string]any)
	if !ok {
		all = map[string]any{}
	}
	for name, value := range attributes {
		all[name] = value
	}
	whole["attributes"] = all
	return s.Admin(ctx, http.MethodPut, "/clients/"+id, whole, nil)
}

// DeleteClient removes a client, as an administrator behind umagate's back would.
func (s *Server) DeleteClient(ctx context.Context, clientID string) error {
	id, err := s.client(ctx, clientID)
	if err != nil {
		return err
	}
	return s.Admin(ctx, http.MethodDelete, "/clients/"+id, nil, nil)
}

// Logout ends every session of a person: the tokens become inactive.
func (s *Server) Logout(ctx context.Context, person string) error {
	var users []struct {
		ID string `json:"id"`
	}
	if err := s.Admin(ctx, http.MethodGet, "/users?exact=true&username="+url.QueryEscape(person), nil, &users); err != nil {
		return err
	}
	if len(users) != 1 {
		return fmt.Errorf("keycloak has %d persons named %q", len(users), person)
	}
	return s.Admin(ctx, http.MethodPost, "/users/"+users[0].ID+"/logout", nil, nil)
}

// SetAccessTokenLifespan changes how long the realm's tokens live, in whole
// seconds.
func (s *Server) SetAccessTokenLifespan(ctx context.Context, lifespan time.Duration) error {
	return s.Admin(ctx, http.MethodPut, "", map[string]any{"accessTokenLifespan": int(lifespan.Seconds())}, nil)
}

// RotateKeys adds an RSA key that signs from now on. Tokens of the old key stay
// valid.
func (s *Server) RotateKeys(ctx context.Context) error {
	return s.Admin(ctx, http.MethodPost, "/components", map[string]any{
		"name": "rotated", "providerId": "rsa-generated", "providerType": "org.keycloak.keys.KeyProvider",
		"config": map[string][]string{
			"priority": {fmt.Sprint(time.Now().UnixMilli())}, "enabled": {"true"}, "active": {"true"},
			"algorithm": {"RS256"}, "keySize": {"2048"},
		},
	}, nil)
}
