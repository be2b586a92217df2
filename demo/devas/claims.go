package devas

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
)

// claimsRequest is a checked request to the claims interaction endpoint (UMA
// Grant section 3.3.2).
type claimsRequest struct {
	ticket      *ticket
	redirectURI string
	state       string
}

// serveClaims is the claims interaction endpoint: the requesting party logs in,
// agrees, and goes back to the client with a ticket that knows who came.
func (s *Server) serveClaims(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	client, ok := s.state.client(q.Get("client_id"))
	if !ok {
		return showError(w, http.StatusBadRequest, "The application is not known here.")
	}
	redirectURI := q.Get("claims_redirect_uri")
	if redirectURI == "" && len(client.ClaimsRedirectURIs) == 1 {
		redirectURI = client.ClaimsRedirectURIs[0]
	}
	if !slices.ContainsFunc(client.ClaimsRedirectURIs, func(u string) bool { return sameRedirect(u, redirectURI) }) {
		return showError(w, http.StatusBadRequest, "The application has not registered the address that it wants you sent back to.")
	}
	req := &claimsRequest{redirectURI: redirectURI, state: q.Get("state")}
	t, err := s.useTicket(q.Get("ticket"), client)
	if err != nil {
		return sendBackClaims(w, r, req, url.Values{"error": {"invalid_request"}, "error_description": {err.Error()}})
	}
	req.ticket = t
	d := s.newDialog(w, r, client)
	d.claims = req
	return s.proceed(w, r, d)
}

func (s *Server) finishClaims(w http.ResponseWriter, r *http.Request, d *dialog, login *session) error {
	next := s.nextTicket(d.claims.ticket, d.clientID, login.user, "")
	return sendBackClaims(w, r, d.claims, url.Values{"ticket": {next}})
}

func sendBackClaims(w http.ResponseWriter, r *http.Request, req *claimsRequest, values url.Values) error {
	target, err := url.Parse(req.redirectURI)
	if err != nil {
		return invalidRequest("claims_redirect_uri: " + err.Error())
	}
	q := target.Query()
	maps.Copy(q, values)
	if req.state != "" {
		q.Set("state", req.state)
	}
	target.RawQuery = q.Encode()
	redirect(w, r, target.String())
	return nil
}
