package keycloak

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
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
