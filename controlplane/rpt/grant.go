package rpt

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/clientauth"
	"github.com/umagate/umagate/controlplane/secret"
)

// PartyMode is how the AS is told who the requesting party is.
type PartyMode string

// The modes.
const (
	// PartyAuto is PartyBearer for Keycloak, PartyClaimToken for every other AS.
	PartyAuto PartyMode = ""
	// PartyBearer sends the party's access token as the call's own credential.
	PartyBearer PartyMode = "bearer"
	// PartyClaimToken pushes the party's token as a claim token, and authenticates the
	// client (UMA Grant section 3.3.1).
	PartyClaimToken PartyMode = "claim-token"
)

const (
	formatIDToken     = "http://openid.net/specs/openid-connect-core-1_0.html#IDToken" //nolint:gosec // the name of a format
	formatAccessToken = "urn:ietf:params:oauth:token-type:access_token"                //nolint:gosec // the name of a format
	// maxTries bounds needs for information and waits for an owner, one after another.
	maxTries = 60
	// defaultInterval is between two tries where the AS names none (UMA Grant
	// section 3.3.6).
	defaultInterval = 5
)

// refusal is an AS's error, with what it wants (UMA Grant section 3.3.6).
type refusal struct {
	said *as.Error

	Ticket       string `json:"ticket"`
	Interval     int    `json:"interval"`
	RedirectUser string `json:"redirect_user"`
	Required     []struct {
		Name         string `json:"name"`
		FriendlyName string `json:"friendly_name"`
	} `json:"required_claims"`
}

// grant exchanges the ticket for an RPT, and does what the AS asks for on the way.
func (f *Flow) grant(ctx context.Context, server *as.Server, ticket string) (as.TokenResponse, error) {
	party, err := f.Party.Token(ctx, server, f.observe)
	if err != nil {
		return as.TokenResponse{}, fmt.Errorf("get the requesting party's token: %w", err)
	}
	for range maxTries {
		granted, err := f.tryGrant(ctx, server, party, ticket)
		failed, ok := errors.AsType[*as.Error](err)
		if !ok || failed.Status == 0 {
			return granted, err
		}
		refused := refusal{said: failed}
		_ = json.Unmarshal([]byte(failed.Answer.Reveal()), &refused) // what cannot be read is not there
		switch {
		case failed.Code == "need_info" && refused.RedirectUser != "" && f.Gather != nil:
			if ticket, err = f.gather(ctx, refused); err != nil {
				return granted, err
			}
		case refused.submitted() && f.Wait != nil:
			if refused.Ticket != "" {
				ticket = refused.Ticket
			}
			interval := refused.Interval
			if interval <= 0 {
				interval = defaultInterval
			}
			if err := f.Wait(ctx, interval); err != nil {
				return granted, fmt.Errorf("%w: %w", refused.error(), err)
			}
		default:
			return granted, refused.error()
		}
	}
	return as.TokenResponse{}, fmt.Errorf("%w after %d tries", ErrDenied, maxTries)
}

// submitted reports whether the AS says that the resource owner was asked. Keycloak says so
// in the description only, and its ticket can be used again.
func (r refusal) submitted() bool { return r.said.Code == "request_submitted" || r.keycloak() }

// keycloak reports whether Keycloak has answered so. It does whoever owns the resource, and
// asks nobody where that is the resource server itself.
func (r refusal) keycloak() bool {
	return r.said.Code == "access_denied" && r.said.Description == "request_submitted"
}

func (r refusal) error() error {
	why := ""
	switch {
	case r.keycloak():
		why = ": no policy allows it. If a person owns the resource and User-managed access is on in the realm, Keycloak asks them; if the resource server owns it, nobody is asked"
	case r.submitted():
		why = ": the resource owner has been asked; try again once they have agreed"
	case r.said.Code == "need_info":
		var names []string
		for _, claim := range r.Required {
			names = append(names, clip(claim.FriendlyName+claim.Name))
		}
		why = ": it needs to know more: " + strings.Join(names, ", ")
		if r.RedirectUser != "" {
			why += "; open " + clip(r.RedirectUser)
		}
	}
	return fmt.Errorf("%w%s", denied(r.said), why)
}

// denied is [ErrDenied] in the AS's words, where it has some.
func denied(said *as.Error) error {
	if said.Code == "" {
		return fmt.Errorf("%w: %w", ErrDenied, said)
	}
	err := fmt.Errorf("%w: %d %s", ErrDenied, said.Status, explained(said.Code, said.Description))
	switch {
	// Keycloak says unauthorized_client of a wrong secret, too.
	case said.Code == "invalid_client", said.Code == "unauthorized_client" && said.Status == http.StatusUnauthorized:
		return refusedError{err, ErrClientRefused}
	case said.Code == "unauthorized_client", said.Code == "unsupported_grant_type":
		return refusedError{err, ErrGrantRefused}
	}
	return err
}

// refusedError is an error that is a sentinel, too, without its words.
type refusedError struct {
	error
	as error
}

func (e refusedError) Unwrap() []error { return []error{e.error, e.as} }

// explained is an error of the AS as it is shown.
func explained(code, description string) string {
	if description == "" {
		return clip(code)
	}
	return clip(code) + " (" + clip(description) + ")"
}

// tryGrant makes one token request (UMA Grant section 3.3.1).
func (f *Flow) tryGrant(ctx context.Context, server *as.Server, party PartyToken, ticket string) (as.TokenResponse, error) {
	form := url.Values{"grant_type": {as.GrantUMATicket}, "ticket": {ticket}}
	if len(f.Scope) > 0 {
		form.Set("scope", strings.Join(f.Scope, " "))
	}
	auth := f.Client
	switch {
	case f.partyMode(server) == PartyBearer:
		auth = bearer(party.Access)
	case auth == nil:
		return as.TokenResponse{}, errors.New("the authorization server wants to know the client; give its client_id")
	default:
		party.claim(form)
	}
	return requestToken(ctx, server, f.observe, "exchange the ticket for an RPT", "an RPT", auth, form)
}

// bearer sends the requesting party's token where a client's proof would stand.
type bearer secret.Text

func (bearer) ClientID() string          { return "" }
func (bearer) Method() clientauth.Method { return "" }
func (b bearer) Prove(string) (clientauth.Proof, error) {
	return clientauth.Proof{Authorization: secret.New("Bearer " + secret.Text(b).Reveal())}, nil
}

func (f *Flow) partyMode(server *as.Server) PartyMode {
	if f.PartyMode != PartyAuto {
		return f.PartyMode
	}
	if server.Dialect().Name == as.DialectKeycloak {
		return PartyBearer
	}
	return PartyClaimToken
}

// gather sends the requesting party to the AS, and comes back with a new ticket
// (UMA Grant section 3.3.2).
func (f *Flow) gather(ctx context.Context, r refusal) (string, error) {
	u, err := url.Parse(r.RedirectUser)
	if err != nil || u.Host == "" {
		return "", fmt.Errorf("%w: its redirect_user %q is no URL", ErrDenied, clip(r.RedirectUser))
	}
	// The page may be on another host than the AS, but the ticket goes there, and the
	// address to whatever opens such addresses on this machine.
	if err := f.trustScheme(u); err != nil {
		return "", err
	}
	q := u.Query()
	q.Set("client_id", f.clientID())
	q.Set("ticket", r.Ticket)
	u.RawQuery = q.Encode()
	return f.Gather(ctx, u)
}

func (f *Flow) clientID() string {
	if f.Client != nil {
		return f.Client.ClientID()
	}
	return ""
}
