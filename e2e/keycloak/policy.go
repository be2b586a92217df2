package keycloak

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
)

// Grant says that persons have scopes on every resource of a resource server
// that has the scopes.
type Grant struct {
	Persons []string
	Scopes  []string
}

// ImportPolicies gives a resource server's client policies that grant what is
// listed, and nothing else: a client that registered itself has none, and denies
// everything. The scopes must be there, which they are once a resource that has
// them is registered.
func (s *Server) ImportPolicies(ctx context.Context, clientID string, grants ...Grant) error {
	id, err := s.client(ctx, clientID)
	if err != nil {
		return err
	}
	policies := []map[string]any{}
	for i, grant := range grants {
		persons, err := json.Marshal(grant.Persons)
		if err != nil {
			return fmt.Errorf("writing a policy: %w", err)
		}
		scopes, err := json.Marshal(grant.Scopes)
		if err != nil {
			return fmt.Errorf("writing a policy: %w", err)
		}
		who := fmt.Sprintf("persons %d", i)
		apply, err := json.Marshal([]string{who})
		if err != nil {
			return fmt.Errorf("writing a policy: %w", err)
		}
		policies = append(policies,
			policy(who, "user", map[string]string{"users": string(persons)}),
			policy(fmt.Sprintf("grant %d", i), "scope", map[string]string{"scopes": string(scopes), "applyPolicies": string(apply)}))
	}
	return s.Admin(ctx, http.MethodPost, "/clients/"+id+"/authz/resource-server/import", map[string]any{
		"policyEnforcementMode": "ENFORCING", "decisionStrategy": "UNANIMOUS", "allowRemoteResourceManagement": true,
		"resources": []any{}, "scopes": []any{}, "policies": policies,
	}, nil)
}

func policy(name, kind string, config map[string]string) map[string]any {
	return map[string]any{"name": name, "type": kind, "logic": "POSITIVE", "decisionStrategy": "UNANIMOUS", "config": config}
}

// ManageAuthorization lets a client's service account give resources to persons by
// the administration API.
func (s *Server) ManageAuthorization(ctx context.Context, clientID string) error {
	id, err := s.client(ctx, clientID)
	if err != nil {
		return err
	}
	var whole map[string]any
	if err := s.Admin(ctx, http.MethodGet, "/clients/"+id, nil, &whole); err != nil {
		return err
	}
	whole["fullScopeAllowed"] = true
	if err := s.Admin(ctx, http.MethodPut, "/clients/"+id, whole, nil); err != nil {
		return err
	}
	var account struct {
		ID string `json:"id"`
	}
	if err := s.Admin(ctx, http.MethodGet, "/clients/"+id+"/service-account-user", nil, &account); err != nil {
		return err
	}
	management, err := s.client(ctx, "realm-management")
	if err != nil {
		return err
	}
	var role map[string]any
	if err := s.Admin(ctx, http.MethodGet, "/clients/"+management+"/roles/manage-authorization", nil, &role); err != nil {
		return err
	}
	return s.Admin(ctx, http.MethodPost, "/users/"+account.ID+"/role-mappings/clients/"+management, []any{role}, nil)
}

// Share lets a person have these scopes on a resource, and no others, as its owner does in
// the account console. token is the owner's.
func (s *Server) Share(ctx context.Context, token, resourceID, person string, scopes ...string) error {
	document, err := json.Marshal([]map[string]any{{"username": person, "scopes": append([]string{}, scopes...)}})
	if err != nil {
		return fmt.Errorf("writing the request to Keycloak: %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPut, s.Issuer()+"/account/resources/"+url.PathEscape(resourceID)+"/permissions", bytes.NewReader(document))
	if err != nil {
		return fmt.Errorf("sharing a resource at Keycloak: %w", err)
	}
	request.Header.Set("Content-Type", "application/json")
	return send(request, token, nil)
}
