package oxd

import (
	"context"
	"encoding/json"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/plugin/config"
	"github.com/umagate/umagate/plugin/uma"
)

type rptParams struct {
	SiteParams

	RPT secret.Text `json:"rpt"`
}

// rptResult is an answer of UMA Federated Authorization section 5 in one spelling,
// whatever the AS's.
type rptResult struct {
	Active      bool            `json:"active"`
	Expiry      *int64          `json:"exp"`
	IssuedAt    *int64          `json:"iat"`
	NotBefore   *int64          `json:"nbf"`
	Permissions []rptPermission `json:"permissions"`
	ClientID    *string         `json:"client_id"`
	Subject     *string         `json:"sub"`
	Audience    []string        `json:"aud"`
	Issuer      *string         `json:"iss"`
	TokenID     *string         `json:"jti"`
	// extra are all other members, as they came.
	extra map[string]any
}

type rptPermission struct {
	ResourceID     string   `json:"resource_id"`
	ResourceScopes []string `json:"resource_scopes"`
	Expiry         *int64   `json:"exp,omitempty"`
	NotBefore      *int64   `json:"nbf,omitempty"`
}

// MarshalJSON writes the other members beside.
func (r rptResult) MarshalJSON() ([]byte, error) {
	type plainForm rptResult
	return marshalBeside(plainForm(r), r.extra)
}

// introspectRPT asks the AS, and reads its answer as the filter does.
func (s *resources) introspectRPT(ctx context.Context, c *Call, p rptParams) (rptResult, error) {
	if p.RPT.IsZero() {
		return rptResult{}, fail(CodeInvalidRPT, "rpt is missing")
	}
	rc, err := s.clientOf(ctx, c.RP)
	if err != nil {
		return rptResult{}, err
	}
	raw, err := rc.server.Introspect(ctx, rc.auth, rc.pats, p.RPT)
	if err != nil {
		return rptResult{}, opFailure(err, "the AS does not introspect the RPT")
	}
	malformed := fail(CodeInternal, "the AS's introspection answer is malformed")
	token, err := uma.ParseIntrospection(raw)
	if err != nil {
		return rptResult{}, malformed.because(err)
	}
	if !token.Active {
		return rptResult{Permissions: []rptPermission{}, Audience: []string{}}, nil
	}
	if rc.server.Dialect().Claims == config.ClaimsFromToken {
		// An opaque token has no claims: the answer is all there is.
		if err := uma.AddJWTClaims(token, p.RPT.Reveal()); err != nil && err != uma.ErrNotJWT { //nolint:errorlint // returned bare
			return rptResult{}, malformed.because(err)
		}
	}
	uma.Restrict(token, p.RPT.Reveal())
	out := fromToken(token)
	if err := json.Unmarshal(raw, &out.extra); err != nil {
		return rptResult{}, malformed.because(as.ErrMalformed) // the cause may quote it
	}
	return out, nil
}

func fromToken(t *uma.Token) rptResult {
	out := rptResult{
		Active: t.Active, Expiry: present(t.Expires), IssuedAt: present(t.IssuedAt), NotBefore: present(t.NotBefore),
		ClientID: present(t.ClientID), Subject: present(t.Subject), Issuer: present(t.Issuer), TokenID: present(t.JWTID),
		Audience: append([]string{}, t.Audience...), Permissions: []rptPermission{},
	}
	for _, p := range t.Permissions {
		out.Permissions = append(out.Permissions, rptPermission{
			ResourceID: p.ResourceID, ResourceScopes: append([]string{}, p.Scopes...), Expiry: present(p.Expires), NotBefore: present(p.NotBefore),
		})
	}
	return out
}
