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
	"github.com/umagate/umagate/controlplane/secret"
)

// Shape is how the AS is told who the requesting party is.
type Shape string

// The shapes.
const (
	// ShapeAuto is ShapeBearer for Keycloak, ShapeClaim for every other AS.
	ShapeAuto Shape = ""
	// ShapeBearer sends the party's access token as the call's own credential.
	ShapeBearer Shape = "bearer"
	// ShapeClaim pushes the party's token as a claim token, and authenticates the
	// client (UMA Grant section 3.3.1).
	ShapeClaim Shape = "claim-token"
)

const (
	grantType         = "urn:ietf:params:oauth:grant-type:uma-ticket"
	formatIDToken     = "http://openid.net/specs/openid-connect-core-1_0.html#IDToken" //nolint:gosec // the name of a format
	formatAccessToken = "urn:ietf:params:oauth:token-type:access_token"                //nolint:gosec // the name of a format
	// maxTries bounds needs for information and waits for an owner, one after another.
	maxTries = 60
	// defaultInterval is between two tries where the AS names none (UMA Grant
	// section 3.3.6).
	defaultInterval = 5
)

type grantAnswer struct {
	AccessToken  secret.Text `json:"access_token"`
	PCT          secret.Text `json:"pct"`
	Upgraded     bool        `json:"upgraded"`
	Error        string      `json:"error"`
	Description  string      `json:"error_description"`
	Ticket       string      `json:"ticket"`
	Interval     int         `json:"interval"`
	RedirectUser string      `json:"redirect_user"`
	Required     []struct {
		Name         string `json:"name"`
		FriendlyName string `json:"friendly_name"`
	} `json:"required_claims"`
}

type granted struct{ rpt, pct secret.Text }

// grant exchanges the ticket for an RPT, and does what the AS asks for on the way.
func (f *Flow) grant(ctx context.Context, client *http.Client, server *as.Server, ticket string) (granted, error) {
	party, err := f.Party.Token(ctx, server, f.observe)
	if err != nil {
		return granted{}, fmt.Errorf("get the requesting party's token: %w", err)
	}
	for range maxTries {
		answer, status, err := f.tryGrant(ctx, client, server, party, ticket)
		if err != nil {
			return granted{}, err
		}
		switch {
		case status == http.StatusOK && !answer.AccessToken.IsZero():
			return granted{rpt: answer.AccessToken, pct: answer.PCT}, nil
		case answer.Error == "need_info" && answer.RedirectUser != "" && f.Gather != nil:
			if ticket, err = f.gather(ctx, answer); err != nil {
				return granted{}, err
			}
		case submitted(answer) && f.Wait != nil:
			if answer.Ticket != "" {
				ticket = answer.Ticket
			}
			interval := answer.Interval
			if interval <= 0 {
				interval = defaultInterval
			}
			if err := f.Wait(ctx, interval); err != nil {
				return granted{}, fmt.Errorf("%w: the resource owner has not answered: %w", ErrDenied, err)
			}
		default:
			return granted{}, refusal(answer, status)
		}
	}
	return granted{}, fmt.Errorf("%w after %d tries", ErrDenied, maxTries)
}

// submitted reports that the resource owner was asked. Keycloak says so in the
// description only, and its ticket can be used again.
func submitted(a grantAnswer) bool {
	return a.Error == "request_submitted" || a.Error == "access_denied" && a.Description == "request_submitted"
}

func refusal(a grantAnswer, status int) error {
	why := explained(a.Error, a.Description)
	switch {
	case submitted(a):
		why += ": the resource owner has been asked; try again once they have agreed"
	case a.Error == "need_info":
		var names []string
		for _, r := range a.Required {
			names = append(names, clip(r.FriendlyName+r.Name))
		}
		why += ": it needs to know more: " + strings.Join(names, ", ")
		if a.RedirectUser != "" {
			why += "; open " + clip(a.RedirectUser)
		}
	case why == "":
		why = "it answered without an error code"
	}
	return fmt.Errorf("%w: %d %s", ErrDenied, status, why)
}

// explained is an error of the AS as it is shown.
func explained(code, description string) string {
	if description == "" {
		return clip(code)
	}
	return clip(code) + " (" + clip(description) + ")"
}

// tryGrant makes one token request (UMA Grant section 3.3.1).
func (f *Flow) tryGrant(ctx context.Context, client *http.Client, server *as.Server, party PartyToken, ticket string) (grantAnswer, int, error) {
	endpoint := server.Metadata().TokenEndpoint
	form := url.Values{"grant_type": {grantType}, "ticket": {ticket}}
	if len(f.Scope) > 0 {
		form.Set("scope", strings.Join(f.Scope, " "))
	}
	header := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Accept": {"application/json"}}
	if f.shape(server) == ShapeBearer {
		header.Set("Authorization", "Bearer "+party.Access.Reveal())
	} else {
		if err := f.authenticate(server.Audience(), header, form); err != nil {
			return grantAnswer{}, 0, err
		}
		party.claim(form)
	}
	step := Step{Title: "exchange the ticket for an RPT", Method: http.MethodPost, URL: endpoint, Sent: shownForm(form)}
	if a := header.Get("Authorization"); a != "" {
		step.Sent["Authorization"] = redact("Authorization", a)
	}
	got, err := send(ctx, client, http.MethodPost, endpoint, header, []byte(form.Encode()))
	if err != nil {
		step.Note = err.Error()
		f.observe(step)
		return grantAnswer{}, 0, err
	}
	var answer grantAnswer
	step.Status = got.Status
	if err := json.Unmarshal(got.Body, &answer); err != nil {
		step.Note = "the answer is not JSON"
		f.observe(step)
		return answer, got.Status, fmt.Errorf("%w: %d, and the answer is not JSON", ErrDenied, got.Status)
	}
	step.Note = noteOf(answer)
	f.observe(step)
	return answer, got.Status, nil
}

func noteOf(a grantAnswer) string {
	switch {
	case !a.AccessToken.IsZero():
		return "an RPT"
	case a.Description != "":
		return clip(a.Error) + ": " + clip(a.Description)
	default:
		return clip(a.Error)
	}
}

func (f *Flow) shape(server *as.Server) Shape {
	if f.Shape != ShapeAuto {
		return f.Shape
	}
	if server.Dialect().Name == as.DialectKeycloak {
		return ShapeBearer
	}
	return ShapeClaim
}

// authenticate adds the client's own credential.
func (f *Flow) authenticate(audience string, header http.Header, form url.Values) error {
	if f.Client == nil {
		return errors.New("the authorization server wants to know the client; give its client_id")
	}
	return prove(audience, f.Client, header, form)
}

// gather sends the requesting party to the AS, and comes back with a new ticket
// (UMA Grant section 3.3.2).
func (f *Flow) gather(ctx context.Context, a grantAnswer) (string, error) {
	u, err := url.Parse(a.RedirectUser)
	if err != nil || u.Host == "" {
		return "", fmt.Errorf("%w: its redirect_user %q is no URL", ErrDenied, clip(a.RedirectUser))
	}
	// The page may be on another host than the AS, but the ticket goes there, and the
	// address to whatever opens such addresses on this machine.
	if err := f.trustScheme(u); err != nil {
		return "", err
	}
	q := u.Query()
	q.Set("client_id", f.clientID())
	q.Set("ticket", a.Ticket)
	u.RawQuery = q.Encode()
	return f.Gather(ctx, u)
}

func (f *Flow) clientID() string {
	if f.Client != nil {
		return f.Client.ClientID()
	}
	return ""
}
