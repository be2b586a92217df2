package oxd

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/controlplane/store"
)

// tickets are exchanged for RPTs: what an RP does as a client of another's resources.
type tickets struct {
	*rps

	// lifetime is how long a person may take to give claims.
	lifetime time.Duration
}

type getRPTParams struct {
	SiteParams

	Ticket           secret.Text `json:"ticket"`
	ClaimToken       secret.Text `json:"claim_token"`
	ClaimTokenFormat string      `json:"claim_token_format"`
	PCT              secret.Text `json:"pct"`
	RPT              secret.Text `json:"rpt"`
	Scope            Strings     `json:"scope"`
	State            string      `json:"state"`
}

// getRPTResult has "upgraded" as the page spells it and "updated" as oxd-server did.
type getRPTResult struct {
	AccessToken string `json:"access_token"`
	TokenType   string `json:"token_type"`
	PCT         string `json:"pct"`
	Upgraded    bool   `json:"upgraded"`
	Updated     bool   `json:"updated"`
}

// The kinds of states of this file.
const (
	stateClaims = "uma_claims"
	stateRPT    = "uma_rpt"
)

// getRPT exchanges a ticket for an RPT. What was given for the same ticket, and
// for the same parameters, is given again: a ticket is good for one exchange.
func (s *tickets) getRPT(ctx context.Context, c *Call, p getRPTParams) (getRPTResult, error) {
	if err := p.check(); err != nil {
		return getRPTResult{}, err
	}
	rc, err := s.clientOf(ctx, c.RP)
	if err != nil {
		return getRPTResult{}, err
	}
	id := p.id(c.RP)
	if known, err := s.knownRPT(ctx, id); err == nil {
		return known, nil
	} else if !errors.Is(err, store.ErrNotFound) {
		return getRPTResult{}, err
	}
	if p.State == "" {
		out, _, err := s.exchangeTicket(ctx, rc, p, id)
		return out, err
	}
	// The state that a person came back with. It is used up by the RPT that it brings.
	unknown := fail(CodeBadRequest, "state is not known, or was used: uma_rp_get_claims_gathering_url gives one")
	var out getRPTResult
	err = s.once(ctx, stateClaims, claimsID(c.RP, p.State), unknown, func(store.TemporaryState) (given bool, err error) {
		out, given, err = s.exchangeTicket(ctx, rc, p, id)
		return given, err
	})
	return out, err
}

// exchangeTicket asks the AS. given says that it gave an RPT, also where that could not
// be kept.
func (s *tickets) exchangeTicket(ctx context.Context, rc *rpClient, p getRPTParams, id string) (out getRPTResult, given bool, err error) {
	got, err := rc.server.RequestToken(ctx, "exchange the ticket for an RPT", rc.auth, p.form())
	if err != nil {
		return out, false, grantFailure(err)
	}
	out = getRPTResult{
		AccessToken: got.Value.Reveal(), TokenType: got.Type, PCT: got.PCT.Reveal(), Upgraded: got.Upgraded, Updated: got.Upgraded,
	}
	return out, true, s.keepRPT(ctx, rc.rp, id, out, got)
}

// form is the token request of the UMA grant (UMA Grant section 3.3.1).
func (p getRPTParams) form() url.Values {
	form := url.Values{"grant_type": {as.GrantUMATicket}, "ticket": {p.Ticket.Reveal()}}
	for name, value := range map[string]string{
		"claim_token": p.ClaimToken.Reveal(), "claim_token_format": p.ClaimTokenFormat,
		"pct": p.PCT.Reveal(), "rpt": p.RPT.Reveal(), "scope": strings.Join(p.Scope.clean(), " "),
	} {
		if value != "" {
			form.Set(name, value)
		}
	}
	return form
}

func (p getRPTParams) check() error {
	switch {
	case strings.TrimSpace(p.Ticket.Reveal()) == "":
		return fail(CodeInvalidTicketParameter, "ticket is missing: the answer of the resource server has one")
	case p.ClaimToken.IsZero() != (p.ClaimTokenFormat == ""):
		return fail(CodeInvalidClaimToken, "claim_token and claim_token_format go together")
	}
	return nil
}

// id tells this exchange from every other one, and shows nothing of it.
func (p getRPTParams) id(rp *RP) string {
	h := sha256.New()
	for _, part := range append([]string{
		rp.ID, p.Ticket.Reveal(), p.ClaimToken.Reveal(), p.ClaimTokenFormat, p.PCT.Reveal(), p.RPT.Reveal(), p.State,
	}, p.Scope.clean()...) {
		fmt.Fprintf(h, "%d %s\n", len(part), part)
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

func (s *tickets) knownRPT(ctx context.Context, id string) (out getRPTResult, err error) {
	state, err := s.store.TemporaryState(ctx, stateRPT, id, s.now())
	if err != nil {
		return out, err
	}
	if err := json.Unmarshal([]byte(state.Value.Reveal()), &out); err != nil {
		return out, errors.New("oxd: the state of an RPT is not JSON") // the cause may quote it
	}
	return out, nil
}

// keepRPT remembers what a ticket gave, as long as it is good. A lifetime that the
// AS does not tell is not guessed.
func (s *tickets) keepRPT(ctx context.Context, rp *RP, id string, out getRPTResult, got as.TokenResponse) error {
	if got.ExpiresIn == 0 {
		return nil
	}
	value, err := json.Marshal(out) //nolint:gosec // it is sealed below
	if err != nil {
		return fmt.Errorf("oxd: encode the state: %w", err)
	}
	return s.store.PutTemporaryState(ctx, store.TemporaryState{
		Kind: stateRPT, ID: id, OxdID: rp.ID, Value: secret.New(string(value)), ExpiresAt: got.ExpiresAt,
	}, s.now())
}

// grantFailure returns the error of an exchange that the AS refused. Its object goes
// to the client, who needs the new ticket in it.
func grantFailure(err error) *Error {
	refused, ok := errors.AsType[*as.Error](err)
	var object map[string]any
	if !ok || json.Unmarshal([]byte(refused.Answer.Reveal()), &object) != nil {
		return fail(CodeInternal, "the AS did not answer the exchange of the ticket as it must").because(err)
	}
	switch refused.Code {
	case "need_info":
		return &Error{
			Code: CodeNeedInfo, Details: object,
			Description: "The authorization server needs additional information in order to determine whether the client is authorized to have these permissions.",
		}
	case "invalid_grant", "invalid_ticket", "expired_ticket":
		return fail(CodeInvalidTicket, "Ticket is not valid (outdated or not present on Authorization Server).").because(err)
	}
	if refused.Status < http.StatusBadRequest {
		return fail(CodeInternal, "the AS gave no RPT and no error").because(err)
	}
	return &Error{Code: CodeHTTPStatus(refused.Status), Description: wordsOf(refused), Details: object, Cause: err}
}

type claimsURLParams struct {
	SiteParams

	Ticket            secret.Text       `json:"ticket"`
	ClaimsRedirectURI Strings           `json:"claims_redirect_uri"`
	State             string            `json:"state"`
	CustomParameters  map[string]string `json:"custom_parameters"`
}

type claimsURLResult struct {
	URL   string `json:"url"`
	State string `json:"state"`
}

// claimsURL returns the address of UMA Grant section 3.3.2.
func (s *tickets) claimsURL(ctx context.Context, c *Call, p claimsURLParams) (claimsURLResult, error) {
	redirect := strings.Join(p.ClaimsRedirectURI.clean(), " ")
	if strings.TrimSpace(p.Ticket.Reveal()) == "" {
		return claimsURLResult{}, fail(CodeInvalidTicketParameter, "ticket is missing: the details of need_info have the newest")
	}
	if u, err := url.Parse(redirect); err != nil || !u.IsAbs() || u.Fragment != "" || strings.Contains(redirect, " ") {
		return claimsURLResult{}, fail(CodeInvalidClaimsRedirect, "claims_redirect_uri must be one absolute address")
	}
	if known := c.RP.Metadata.ClaimsRedirectURIs; len(known) > 0 && !slices.Contains(known, redirect) {
		return claimsURLResult{}, fail(CodeInvalidClaimsRedirect, "claims_redirect_uri is not one that the site registered")
	}
	rc, err := s.clientOf(ctx, c.RP)
	if err != nil {
		return claimsURLResult{}, err
	}
	endpoint, err := url.Parse(rc.server.Metadata().ClaimsInteractionEndpoint)
	if err != nil || !endpoint.IsAbs() {
		return claimsURLResult{}, fail(CodeNoUMADiscovery, "op_host names no claims_interaction_endpoint (Keycloak has none)")
	}
	state := cmp.Or(p.State, rand.Text())
	query := endpoint.Query()
	for name, value := range p.CustomParameters {
		query.Set(name, value)
	}
	query.Set("client_id", c.RP.ClientID)
	query.Set("ticket", p.Ticket.Reveal())
	query.Set("claims_redirect_uri", redirect)
	query.Set("state", state)
	endpoint.RawQuery = query.Encode()
	err = s.putState(ctx, stateClaims, claimsID(c.RP, state), c.RP.ID, ".", s.lifetime)
	return claimsURLResult{URL: endpoint.String(), State: state}, err
}

func claimsID(rp *RP, state string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %s %s", len(rp.ID), rp.ID, state))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
