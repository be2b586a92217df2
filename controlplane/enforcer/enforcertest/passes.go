package enforcertest

import (
	"time"

	"github.com/umagate/umagate/plugin/decision"
	"github.com/umagate/umagate/plugin/uma"
)

// Passes reports that the filter lets a request to api.example.com pass.
func Passes(policy *decision.Policy, req Request) bool {
	r := &decision.Request{Headers: []decision.Header{
		{Name: ":authority", Value: "api.example.com"}, {Name: ":path", Value: req.Path}, {Name: ":method", Value: req.Method}, {Name: ":scheme", Value: "https"},
	}}
	token := &uma.Token{Active: true, Subject: "bob"}
	if req.Permissions != nil {
		r.Headers = append(r.Headers, decision.Header{Name: "authorization", Value: "Bearer token"})
		for _, has := range req.Permissions {
			token.Permissions = append(token.Permissions, uma.Permission{ResourceID: has.Resource, Scopes: has.Scopes})
		}
	}
	return decision.Explain(policy, r, token, time.Unix(1_800_000_000, 0)).Step.Kind == decision.KindAllow
}
