package as

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"time"

	"github.com/umagate/umagate/controlplane/clientauth"
	"github.com/umagate/umagate/controlplane/secret"
)

// ClientMetadata is what a client registers with (RFC 7591 section 2). Members
// that are empty are not sent: some ASs refuse what they do not know.
type ClientMetadata struct {
	Name         string
	GrantTypes   []string
	RedirectURIs []string
	AuthMethod   clientauth.Method
	Scope        string
	JWKS         json.RawMessage
	JWKSURI      string
	// SigningAlg is the algorithm of client assertions (OpenID Connect Dynamic
	// Client Registration section 2).
	SigningAlg string
	// SubjectDN names the certificate of tls_client_auth (RFC 8705 section 2.1.2).
	SubjectDN string
	// SoftwareStatement is passed through (RFC 7591 section 2.3).
	SoftwareStatement string
	// Extra is sent as it is; it wins over the members above.
	Extra map[string]any
}

func (m ClientMetadata) body() map[string]any {
	out := map[string]any{}
	set := func(name string, value any, present bool) {
		if present {
			out[name] = value
		}
	}
	set("client_name", m.Name, m.Name != "")
	set("grant_types", m.GrantTypes, len(m.GrantTypes) > 0)
	set("redirect_uris", m.RedirectURIs, len(m.RedirectURIs) > 0)
	set("token_endpoint_auth_method", m.AuthMethod, m.AuthMethod != "")
	set("scope", m.Scope, m.Scope != "")
	set("jwks", m.JWKS, len(m.JWKS) > 0)
	set("jwks_uri", m.JWKSURI, m.JWKSURI != "")
	set("token_endpoint_auth_signing_alg", m.SigningAlg, m.SigningAlg != "")
	set("tls_client_auth_subject_dn", m.SubjectDN, m.SubjectDN != "")
	set("software_statement", m.SoftwareStatement, m.SoftwareStatement != "")
	maps.Copy(out, m.Extra)
	return out
}

// Hash tells two sets of metadata apart, but for the keys in JWKS: those change by
// themselves. What is hashed cannot be found out from it.
func (m ClientMetadata) Hash() (string, error) {
	m.JWKS = nil
	document, err := json.Marshal(m.body()) // the members of a map are sorted
	if err != nil {
		return "", fmt.Errorf("as: client metadata: %w", err)
	}
	sum := sha256.Sum256(document)
	return hex.EncodeToString(sum[:]), nil
}

// Registration is what the AS answers to a registration (RFC 7591 section
// 3.2.1, RFC 7592 section 3).
type Registration struct {
	ClientID     string
	ClientSecret secret.Text
	// SecretExpiresAt is zero for a secret that does not expire.
	SecretExpiresAt time.Time
	AuthMethod      clientauth.Method
	// AccessToken and URI manage the registration; empty where the AS has no RFC
	// 7592. An update may rotate the token: store each answer.
	AccessToken secret.Text
	URI         string
}

type registrationAnswer struct {
	ClientID        string            `json:"client_id"`
	ClientSecret    secret.Text       `json:"client_secret"`
	SecretExpiresAt int64             `json:"client_secret_expires_at"`
	AuthMethod      clientauth.Method `json:"token_endpoint_auth_method"`
	AccessToken     secret.Text       `json:"registration_access_token"`
	URI             string            `json:"registration_client_uri"`
}

func (a registrationAnswer) registration() Registration {
	out := Registration{
		ClientID: a.ClientID, ClientSecret: a.ClientSecret, AuthMethod: a.AuthMethod,
		AccessToken: a.AccessToken, URI: a.URI,
	}
	if a.SecretExpiresAt > 0 {
		out.SecretExpiresAt = time.Unix(a.SecretExpiresAt, 0)
	}
	return out
}

// refusedRegistration says which statuses mean that this caller may not
// register, update or read a client.
func refusedRegistration() map[int]error {
	return map[int]error{http.StatusUnauthorized: ErrRegistrationRefused, http.StatusForbidden: ErrRegistrationRefused}
}

// Register registers a client (RFC 7591 section 3.1). It is not idempotent: each
// success is one more client. initialToken may be empty.
func (s *Server) Register(ctx context.Context, m ClientMetadata, initialToken secret.Text) (Registration, error) {
	if m.SoftwareStatement != "" && s.dialect.RefusesSoftwareStatement {
		return Registration{}, &Error{Op: "register the client", Kind: ErrSoftwareStatement, Description: string(s.dialect.Name)}
	}
	in := call{
		operation: OperationRegistration, op: "register the client", method: http.MethodPost, url: s.metadata.RegistrationEndpoint,
		bearer: initialToken, json: m.body(), kinds: refusedRegistration(),
	}
	var got registrationAnswer
	out, err := s.caller.doJSON(ctx, in, &got)
	if err != nil {
		return Registration{}, err
	}
	if got.ClientID == "" {
		return Registration{}, in.malformed(out, "client_id is missing")
	}
	reg := got.registration()
	if reg.AuthMethod == "" {
		reg.AuthMethod = m.AuthMethod
	}
	return reg, nil
}

// ReadRegistration reads the registration (RFC 7592 section 2.1). ErrNotFound or
// ErrRegistrationRefused mean that the AS has forgotten it, or that the token is
// no longer good; the AS may not tell which.
func (s *Server) ReadRegistration(ctx context.Context, r Registration) (Registration, error) {
	const op = "read the client registration"
	if err := s.manageable(op, r); err != nil {
		return Registration{}, err
	}
	var got registrationAnswer
	_, err := s.caller.doJSON(ctx, call{
		operation: OperationRegistration, op: op, method: http.MethodGet, url: r.URI,
		bearer: r.AccessToken, kinds: refusedRegistration(),
	}, &got)
	if err != nil {
		return Registration{}, err
	}
	return r.merge(got.registration()), nil
}

// UpdateRegistration replaces the registration's metadata (RFC 7592 section 2.2)
// and returns the new state: the registration access token may be another.
func (s *Server) UpdateRegistration(ctx context.Context, r Registration, m ClientMetadata) (Registration, error) {
	const op = "update the client registration"
	if err := s.manageable(op, r); err != nil {
		return Registration{}, err
	}
	body := m.body()
	body["client_id"] = r.ClientID
	if m.AuthMethod != "" {
		r.AuthMethod = m.AuthMethod
	}
	var got registrationAnswer
	_, err := s.caller.doJSON(ctx, call{
		operation: OperationRegistration, op: op, method: http.MethodPut, url: r.URI,
		bearer: r.AccessToken, json: body, kinds: refusedRegistration(),
	}, &got)
	if err != nil {
		return Registration{}, err
	}
	return r.merge(got.registration()), nil
}

// DeleteRegistration removes the client (RFC 7592 section 2.3).
func (s *Server) DeleteRegistration(ctx context.Context, r Registration) error {
	const op = "delete the client registration"
	if err := s.manageable(op, r); err != nil {
		return err
	}
	_, err := s.caller.do(ctx, call{
		operation: OperationRegistration, op: op, method: http.MethodDelete, url: r.URI,
		bearer: r.AccessToken, kinds: refusedRegistration(),
	})
	return err
}

// manageable refuses to send the registration access token, which reads and
// changes the client, in the clear because the AS names its own address wrongly.
func (s *Server) manageable(op string, r Registration) error {
	u, err := url.Parse(r.URI)
	if err == nil && s.metadata.exposed(u, s.insecureHTTP) {
		return &Error{Op: op, Kind: ErrInsecureEndpoint, Description: "registration_client_uri " + printableURL(r.URI)}
	}
	return nil
}

// merge keeps of r what the AS's answer leaves out.
func (r Registration) merge(got Registration) Registration {
	if got.ClientID == "" {
		got.ClientID = r.ClientID
	}
	if got.ClientSecret.IsZero() {
		got.ClientSecret, got.SecretExpiresAt = r.ClientSecret, r.SecretExpiresAt
	}
	if got.AccessToken.IsZero() {
		got.AccessToken = r.AccessToken
	}
	if got.URI == "" {
		got.URI = r.URI
	}
	if r.AuthMethod != "" {
		// Some ASs read another method back than the one registered.
		got.AuthMethod = r.AuthMethod
	}
	return got
}
