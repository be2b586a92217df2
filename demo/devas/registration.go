package devas

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"time"
)

// registrationAnswer is a client information response (RFC 7591 section 3.2.1).
type registrationAnswer struct {
	ClientID              string `json:"client_id"`
	ClientSecret          string `json:"client_secret,omitempty"`
	ClientIDIssuedAt      int64  `json:"client_id_issued_at"`
	ClientSecretExpiresAt int64  `json:"client_secret_expires_at"`
	RegistrationToken     string `json:"registration_access_token"`
	RegistrationURI       string `json:"registration_client_uri"`
	Metadata
}

// serveRegistration registers a client (RFC 7591 section 3).
func (s *Server) serveRegistration(w http.ResponseWriter, r *http.Request) error {
	if err := s.allowRegistration(bearer(r)); err != nil {
		return err
	}
	meta, _, err := s.readMetadata(r)
	if err != nil {
		return err
	}
	client := &Client{ID: randomID(), Metadata: meta, issued: s.now(), registration: randomToken()}
	s.giveSecret(client)
	s.state.mu.Lock()
	s.state.clients[client.ID] = client
	s.state.mu.Unlock()
	writeJSON(w, http.StatusCreated, s.describeClient(client))
	return nil
}

func (s *Server) giveSecret(c *Client) {
	if !c.needsSecret() {
		c.Secret = ""
		return
	}
	if c.Secret != "" {
		return
	}
	c.Secret = Secret(randomToken())
	if life := s.options.Lifetimes.ClientSecret; life > 0 {
		c.secretExpires = s.now().Add(life)
	}
}

func (s *Server) allowRegistration(given string) error {
	switch s.options.Registration {
	case RegistrationOff:
		return newError(http.StatusForbidden, "access_denied", "registration is off")
	case RegistrationToken:
	case RegistrationOpen:
		if given == "" {
			return nil
		}
	}
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	left, ok := s.state.initial[given]
	switch {
	case !ok || given == "":
		return bearerRefused("an initial access token is needed")
	case left == nil:
		return nil
	case *left <= 0:
		return bearerRefused("the initial access token is used up")
	}
	*left--
	return nil
}

// readMetadata reads client metadata. The second value is the whole document's
// client_id and client_secret, which an update must carry (RFC 7592 section 2.2).
func (s *Server) readMetadata(r *http.Request) (Metadata, map[string]string, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return Metadata{}, nil, bodyError(err)
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(body, &members); err != nil {
		return Metadata{}, nil, newError(400, "invalid_client_metadata", "the body is not a JSON object: "+err.Error())
	}
	ids := map[string]string{}
	for _, k := range []string{"client_id", "client_secret"} {
		var v string
		if raw, ok := members[k]; ok && json.Unmarshal(raw, &v) == nil {
			ids[k] = v
		}
	}
	if r.Method == http.MethodPut {
		for _, k := range []string{
			"client_id", "client_secret", "client_id_issued_at", "client_secret_expires_at",
			"registration_access_token", "registration_client_uri",
		} {
			delete(members, k)
		}
		if body, err = json.Marshal(members); err != nil {
			return Metadata{}, nil, newError(400, "invalid_client_metadata", err.Error())
		}
	}
	dec := json.NewDecoder(strings.NewReader(string(body)))
	if s.options.Dialect.StrictMetadata {
		dec.DisallowUnknownFields()
	}
	var meta Metadata
	if err := dec.Decode(&meta); err != nil {
		return Metadata{}, nil, newError(400, "invalid_client_metadata", err.Error())
	}
	if s.options.Dialect.StrictMetadata && meta.SoftwareStatement != "" {
		return Metadata{}, nil, newError(400, "invalid_client_metadata", "software_statement is not known")
	}
	if err := meta.complete(); err != nil {
		return Metadata{}, nil, err
	}
	return meta, ids, nil
}

func (s *Server) describeClient(c *Client) registrationAnswer {
	a := registrationAnswer{
		ClientID:          c.ID,
		ClientSecret:      c.Secret.Reveal(),
		ClientIDIssuedAt:  c.issued.Unix(),
		RegistrationToken: c.registration,
		RegistrationURI:   s.endpoint(s.options.Dialect.Paths.Registration) + "/" + c.ID,
		Metadata:          c.Metadata,
	}
	if !c.secretExpires.IsZero() {
		a.ClientSecretExpiresAt = c.secretExpires.Unix()
	}
	return a
}

// serveRegisteredClient reads, updates or deletes a registration (RFC 7592). An
// update makes the registration access token anew.
func (s *Server) serveRegisteredClient(w http.ResponseWriter, r *http.Request) error {
	client, ok := s.state.client(r.PathValue("id"))
	if !ok || !Secret(client.registration).matches(bearer(r)) {
		// One answer for both, as section 2.1 asks.
		return bearerRefused("the registration access token is wrong, or the client is gone")
	}
	switch r.Method {
	case http.MethodGet:
		writeJSON(w, http.StatusOK, s.describeClient(client))
		return nil
	case http.MethodDelete:
		s.state.mu.Lock()
		s.state.dropClient(client.ID)
		s.state.mu.Unlock()
		w.WriteHeader(http.StatusNoContent)
		return nil
	case http.MethodPut:
		return s.updateClient(w, r, client)
	default:
		return methodNotAllowed(http.MethodGet, http.MethodPut, http.MethodDelete)
	}
}

func (s *Server) updateClient(w http.ResponseWriter, r *http.Request, client *Client) error {
	meta, ids, err := s.readMetadata(r)
	if err != nil {
		return err
	}
	if ids["client_id"] != client.ID {
		return invalidRequest("the body's client_id must be the client's own")
	}
	if given := ids["client_secret"]; given != "" && !client.Secret.matches(given) {
		return invalidRequest("client_secret must be the current one, or left out")
	}
	next := *client
	next.Metadata = meta
	next.registration = randomToken()
	if !next.needsSecret() {
		next.secretExpires = time.Time{}
	}
	if s.options.RenewSecrets && !next.secretExpires.IsZero() {
		next.Secret = ""
	}
	s.giveSecret(&next)
	s.state.mu.Lock()
	s.state.clients[next.ID] = &next
	s.state.mu.Unlock()
	writeJSON(w, http.StatusOK, s.describeClient(&next))
	return nil
}
