package oxd

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"strings"

	"github.com/umagate/umagate/controlplane/secret"
)

type introspectParams struct {
	SiteParams

	AccessToken secret.Text `json:"access_token"`
}

// introspection is an answer of RFC 7662 as oxd has it: scope as lists, acr too.
type introspection struct {
	Active    bool     `json:"active"`
	ClientID  *string  `json:"client_id"`
	Username  *string  `json:"username"`
	Scopes    []string `json:"scopes"`
	Scope     []string `json:"scope"`
	TokenType *string  `json:"token_type"`
	Subject   *string  `json:"sub"`
	// Audience is a string, or a list where there are several.
	Audience  any      `json:"aud"`
	Issuer    *string  `json:"iss"`
	Expiry    *int64   `json:"exp"`
	IssuedAt  *int64   `json:"iat"`
	ACRValues []string `json:"acr_values"`
	// extra are all other members, as they came.
	extra map[string]any
}

// MarshalJSON writes the other members beside.
func (i introspection) MarshalJSON() ([]byte, error) {
	type plainForm introspection
	return marshalBeside(plainForm(i), i.extra)
}

// marshalBeside writes a result, and beside it the members of extra that it does not have.
func marshalBeside(result any, extra map[string]any) ([]byte, error) {
	own, err := json.Marshal(result)
	if err != nil || len(extra) == 0 {
		return own, err
	}
	all := maps.Clone(extra)
	if err := json.Unmarshal(own, &all); err != nil { // its own members win
		return nil, err
	}
	return json.Marshal(all)
}

// introspect asks the OP about an access token.
func (s *admission) introspect(ctx context.Context, c *Call, p introspectParams) (introspection, error) {
	if p.AccessToken.IsZero() {
		return introspection{}, fail(CodeNoAccessToken, "access_token is missing")
	}
	rc, err := s.clientOf(ctx, c.RP)
	if err != nil {
		return introspection{}, err
	}
	said, err := rc.introspect(ctx, p.AccessToken)
	if err != nil || said.Active {
		return said, err
	}
	return s.introspectAsSetup(ctx, c.RP, p.AccessToken, said)
}

// introspectAsSetup asks once more about a token that the OP calls inactive, where it
// is a setup client's: an OP may tell of a token only whom it is for.
func (s *admission) introspectAsSetup(ctx context.Context, rp *RP, token secret.Text, said introspection) (introspection, error) {
	setup, err := s.setupNamedBy(ctx, token)
	if err != nil || setup == nil || setup.Issuer != rp.Issuer || setup.ClientID == rp.ClientID {
		return said, err
	}
	rc, err := s.clientOf(ctx, setup)
	if err != nil {
		return introspection{}, err
	}
	own, err := rc.introspect(ctx, token)
	if err != nil || own.ClientID == nil || *own.ClientID != setup.ClientID {
		return said, err
	}
	return own, nil
}

func (rc *rpClient) introspect(ctx context.Context, token secret.Text) (introspection, error) {
	raw, err := rc.server.IntrospectAs(ctx, rc.auth, rc.pats, token, "")
	if err != nil {
		return introspection{}, opFailure(err, "the OP does not introspect the token")
	}
	out, err := readIntrospection(raw)
	if err != nil {
		return introspection{}, fail(CodeInternal, "the OP's introspection answer is malformed").because(err)
	}
	if !out.Active {
		if own, ok, err := rc.own(ctx, token); err != nil || ok {
			return own, err
		}
	}
	return out, nil
}

var errIntrospection = errors.New("oxd: an introspection answer has active, and members of their own types")

func readIntrospection(raw json.RawMessage) (introspection, error) {
	var members map[string]any
	if err := json.Unmarshal(raw, &members); err != nil {
		return introspection{}, errIntrospection // the cause may quote it
	}
	if _, ok := members["active"].(bool); !ok {
		return introspection{}, errIntrospection
	}
	return fromMembers(members), nil
}

func fromMembers(members map[string]any) introspection {
	active, _ := members["active"].(bool)
	out := introspection{Active: active, extra: members}
	text := func(name string) *string {
		if s, ok := members[name].(string); ok {
			return &s
		}
		return nil
	}
	number := func(name string) *int64 {
		if f, ok := members[name].(float64); ok {
			n := int64(f)
			return &n
		}
		return nil
	}
	out.ClientID, out.Username, out.TokenType = text("client_id"), text("username"), text("token_type")
	out.Subject, out.Issuer, out.Expiry, out.IssuedAt = text("sub"), text("iss"), number("exp"), number("iat")
	if out.ClientID == nil {
		out.ClientID = text("azp")
	}
	out.Scope = words(members["scope"], members["scopes"])
	out.Scopes = out.Scope
	out.ACRValues = words(members["acr_values"], members["acr"])
	out.Audience = members["aud"]
	if list, ok := out.Audience.([]any); ok && len(list) == 1 {
		out.Audience = list[0]
	}
	return out
}

// words makes a list of the first that is there: a list, or words in one string.
func words(values ...any) []string {
	out := []string{}
	for _, value := range values {
		switch value := value.(type) {
		case string:
			return append(out, strings.Fields(value)...)
		case []any:
			for _, one := range value {
				if s, ok := one.(string); ok {
					out = append(out, s)
				}
			}
			return out
		}
	}
	return out
}
