package rpt

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/secret"
)

// TicketRequest is one token request of the UMA grant (UMA Grant section 3.3.1).
// Only Ticket is needed.
type TicketRequest struct {
	Ticket           string
	ClaimToken       secret.Text
	ClaimTokenFormat string
	PCT, RPT         secret.Text
	Scope            []string
}

// TicketAnswer is what the authorization server said to a [TicketRequest].
type TicketAnswer struct {
	Status int
	// RPT is zero when none was given; Error says why then.
	RPT, PCT secret.Text
	// TokenType is as the AS spells it.
	TokenType string
	Upgraded  bool
	// Lifetime is 0 when the AS does not tell it.
	Lifetime time.Duration
	// Error and Description are "error" and "error_description"; Object is the whole
	// answer of an error.
	Error, Description string
	Object             map[string]any
}

// Exchange makes one token request of the UMA grant, and goes no step further:
// what a need_info asks for is the caller's matter. The error is for a request
// that was not answered with a JSON object. Safe for concurrent use.
func Exchange(ctx context.Context, client *http.Client, server *as.Server, auth as.ClientAuth, r TicketRequest) (TicketAnswer, error) {
	endpoint := server.Metadata().TokenEndpoint
	if endpoint == "" {
		return TicketAnswer{}, fmt.Errorf("%w: token_endpoint", as.ErrMissingEndpoint)
	}
	form := url.Values{"grant_type": {grantType}, "ticket": {r.Ticket}}
	for name, value := range map[string]string{
		"claim_token": r.ClaimToken.Reveal(), "claim_token_format": r.ClaimTokenFormat,
		"pct": r.PCT.Reveal(), "rpt": r.RPT.Reveal(), "scope": strings.Join(r.Scope, " "),
	} {
		if value != "" {
			form.Set(name, value)
		}
	}
	header := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Accept": {"application/json"}}
	if err := prove(server.Audience(), auth, header, form); err != nil {
		return TicketAnswer{}, err
	}
	got, err := send(ctx, client, http.MethodPost, endpoint, header, []byte(form.Encode()))
	if err != nil {
		return TicketAnswer{}, err
	}
	return readTicketAnswer(got)
}

// prove adds the client's own credential.
func prove(audience string, auth as.ClientAuth, header http.Header, form url.Values) error {
	proof, err := auth.Prove(audience)
	if err != nil {
		return err
	}
	if !proof.Authorization.IsZero() {
		header.Set("Authorization", proof.Authorization.Reveal())
	}
	maps.Copy(form, proof.Form)
	return nil
}

func readTicketAnswer(got Answer) (TicketAnswer, error) {
	out := TicketAnswer{Status: got.Status}
	var form struct {
		AccessToken secret.Text `json:"access_token"`
		TokenType   string      `json:"token_type"`
		PCT         secret.Text `json:"pct"`
		Upgraded    bool        `json:"upgraded"`
		ExpiresIn   float64     `json:"expires_in"`
		Error       string      `json:"error"`
		Description string      `json:"error_description"`
	}
	// The decoder's words may quote the answer.
	if err := json.Unmarshal(got.Body, &form); err != nil {
		return out, fmt.Errorf("%w: %d, and the answer is not a JSON object with members of their own types", ErrDenied, got.Status)
	}
	out.Error, out.Description = form.Error, form.Description
	if got.Status == http.StatusOK && form.Error == "" {
		if form.AccessToken.IsZero() {
			return out, fmt.Errorf("%w: the answer has no access_token", ErrDenied)
		}
		out.RPT, out.PCT, out.TokenType, out.Upgraded = form.AccessToken, form.PCT, form.TokenType, form.Upgraded
		const longest = 24 * time.Hour
		if form.ExpiresIn > 0 {
			out.Lifetime = longest
			if form.ExpiresIn < longest.Seconds() {
				out.Lifetime = time.Duration(form.ExpiresIn * float64(time.Second))
			}
		}
		return out, nil
	}
	if err := json.Unmarshal(got.Body, &out.Object); err != nil {
		return out, fmt.Errorf("%w: %d, and the answer is not a JSON object", ErrDenied, got.Status)
	}
	return out, nil
}
