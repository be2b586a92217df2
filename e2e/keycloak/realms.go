package keycloak

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
)

// Admin calls the administration API of the realm: path is below
// /admin/realms/<realm>, in and out are JSON and may be nil.
func (s *Server) Admin(ctx context.Context, method, path string, in, out any) error {
	return s.AdminIn(ctx, Realm, method, path, in, out)
}

// AdminIn is [Server.Admin] of another realm.
func (s *Server) AdminIn(ctx context.Context, realm, method, path string, in, out any) error {
	return s.administer(ctx, method, "/"+url.PathEscape(realm)+path, in, out)
}

// ImportRealm makes a realm of its export.
func (s *Server) ImportRealm(ctx context.Context, document any) error {
	return s.administer(ctx, http.MethodPost, "", document, nil)
}

func (s *Server) administer(ctx context.Context, method, path string, in, out any) error {
	token, err := s.AdminToken(ctx)
	if err != nil {
		return err
	}
	var body io.Reader = http.NoBody
	if in != nil {
		document, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("writing the request to Keycloak: %w", err)
		}
		body = bytes.NewReader(document)
	}
	request, err := http.NewRequestWithContext(ctx, method, s.URL()+"/admin/realms"+path, body)
	if err != nil {
		return fmt.Errorf("asking Keycloak's administration API: %w", err)
	}
	request.Header.Set("Content-Type", "application/json")
	return send(request, token, out)
}

// TokenIn gets an access token for a person of a realm by a public client.
func (s *Server) TokenIn(ctx context.Context, realm, client, person string) (string, error) {
	return s.grant(ctx, realm, url.Values{
		"grant_type": {"password"}, "client_id": {client}, "username": {person}, "password": {Password(person)},
	}, "")
}

// RPTIn gets a token with all permissions that an access token has at a resource server.
func (s *Server) RPTIn(ctx context.Context, realm, accessToken, resourceServer string) (string, error) {
	return s.grant(ctx, realm, url.Values{
		"grant_type": {"urn:ietf:params:oauth:grant-type:uma-ticket"}, "audience": {resourceServer},
	}, accessToken)
}

// ClientIn returns Keycloak's own id of a client of a realm.
func (s *Server) ClientIn(ctx context.Context, realm, clientID string) (string, error) {
	var clients []struct {
		ID string `json:"id"`
	}
	if err := s.AdminIn(ctx, realm, http.MethodGet, "/clients?clientId="+url.QueryEscape(clientID), nil, &clients); err != nil {
		return "", err
	}
	if len(clients) != 1 {
		return "", fmt.Errorf("keycloak has %d clients with the client_id %q", len(clients), clientID)
	}
	return clients[0].ID, nil
}
