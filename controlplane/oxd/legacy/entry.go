package legacy

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/umagate/umagate/controlplane/clientauth"
	"github.com/umagate/umagate/controlplane/oxd"
	"github.com/umagate/umagate/controlplane/oxd/protection"
	"github.com/umagate/umagate/controlplane/secret"
)

// Entry is one RP.
type Entry struct {
	// RP has no Issuer yet: that is umagate.yaml's.
	RP oxd.RP
	// Document is what it protects; IDs are the resource ids, by name.
	Document protection.Document
	IDs      map[string]string
}

type entryJSON struct {
	OxdID             string      `json:"oxd_id"`
	OPHost            string      `json:"op_host"`
	DiscoveryPath     string      `json:"op_discovery_path"`
	ClientID          string      `json:"client_id"`
	ClientSecret      secret.Text `json:"client_secret"`
	RegistrationToken secret.Text `json:"client_registration_access_token"`
	RegistrationURI   string      `json:"client_registration_client_uri"`
	IssuedAt          moment      `json:"client_id_issued_at"`
	SecretExpiresAt   moment      `json:"client_secret_expires_at"`
	ClientName        string      `json:"client_name"`
	RedirectURI       string      `json:"authorization_redirect_uri"`
	RedirectURI4      string      `json:"redirect_uri"`
	RedirectURIs      list        `json:"redirect_uris"`
	LogoutRedirect    text        `json:"logout_redirect_uri"`
	PostLogout        text        `json:"post_logout_redirect_uri"`
	PostLogouts       text        `json:"post_logout_redirect_uris"`
	ApplicationType   string      `json:"application_type"`
	ResponseTypes     list        `json:"response_types"`
	GrantTypes        list        `json:"grant_types"`
	Scope             list        `json:"scope"`
	ACRValues         list        `json:"acr_values"`
	JWKSURI           string      `json:"client_jwks_uri"`
	AuthMethod        string      `json:"token_endpoint_auth_method"`
	AuthAlg           string      `json:"token_endpoint_auth_signing_alg"`
	RequestURIs       list        `json:"request_uris"`
	LogoutURIs        list        `json:"front_channel_logout_uri"`
	SectorIdentifier  text        `json:"sector_identifier_uri"`
	Contacts          list        `json:"contacts"`
	UILocales         list        `json:"ui_locales"`
	ClaimsLocales     list        `json:"claims_locales"`
	ClaimsRedirect    list        `json:"claims_redirect_uri"`
	Setup             *bool       `json:"is_setup_client"`
	SetupOxdID        string      `json:"setup_oxd_id"`
	UserID            string      `json:"user_id"`
	Resources         []struct {
		ID           string `json:"id"`
		Path         string `json:"path"`
		Methods      list   `json:"http_methods"`
		Scopes       list   `json:"scopes"`
		Expressions  list   `json:"scope_expressions"`
		TicketScopes list   `json:"ticketScopes"`
	} `json:"uma_protected_resources"`
}

// readEntry takes an object that is an RP; any other is none of ours.
func (f *Found) readEntry(file string, raw json.RawMessage) error {
	var e entryJSON
	var named struct {
		OxdID    string `json:"oxd_id"`
		ClientID string `json:"client_id"`
	}
	if json.Unmarshal(raw, &named) != nil || named.OxdID == "" || named.ClientID == "" {
		return nil
	}
	if err := json.Unmarshal(raw, &e); err != nil {
		// The decoder's words may quote a secret.
		return fmt.Errorf("%s: the entry of oxd_id %q has a member of another type than oxd-server writes", file, named.OxdID)
	}
	for i := range f.Entries {
		if f.Entries[i].RP.ID == e.OxdID {
			f.note(e.OxdID, "it is there twice; the first is taken")
			return nil
		}
	}
	made := Entry{RP: e.rp(), IDs: map[string]string{}}
	f.notes(&e)
	for _, r := range e.Resources {
		f.protect(&made, r.ID, r.Path, protection.Condition{
			Methods: r.Methods, Scopes: r.Scopes, TicketScopes: r.TicketScopes,
		}, r.Expressions)
	}
	f.Entries = append(f.Entries, made)
	return nil
}

func (e *entryJSON) rp() oxd.RP {
	redirect := cmp.Or(e.RedirectURI, e.RedirectURI4)
	if redirect == "" && len(e.RedirectURIs) > 0 {
		redirect = e.RedirectURIs[0]
	}
	return oxd.RP{
		ID: e.OxdID, OPHost: e.OPHost, DiscoveryPath: e.DiscoveryPath, Setup: valueOr(e.Setup, false), SetupOxdID: e.setupOf(),
		ClientID: e.ClientID, AuthMethod: cmp.Or(clientauth.Method(e.AuthMethod), clientauth.SecretBasic), AuthAlg: e.AuthAlg, IssuedAt: time.Time(e.IssuedAt), SecretExpiresAt: time.Time(e.SecretExpiresAt),
		RegistrationURI: e.RegistrationURI,
		Metadata: oxd.Metadata{
			RedirectURI: redirect, PostLogoutRedirectURI: string(cmp.Or(e.LogoutRedirect, e.PostLogout, e.PostLogouts)),
			ApplicationType: e.ApplicationType, ResponseTypes: e.ResponseTypes, GrantTypes: e.GrantTypes, Scope: e.Scope, ACRValues: e.ACRValues,
			ClientName: e.ClientName, JWKSURI: e.JWKSURI, AuthMethod: e.AuthMethod, AuthAlg: e.AuthAlg, RequestURIs: e.RequestURIs,
			FrontchannelLogout: e.LogoutURIs, SectorIdentifierURI: string(e.SectorIdentifier), Contacts: e.Contacts,
			UILocales: e.UILocales, ClaimsLocales: e.ClaimsLocales, ClaimsRedirectURIs: e.ClaimsRedirect,
		},
		Secrets: oxd.RPSecrets{ClientSecret: e.ClientSecret, RegistrationToken: e.RegistrationToken},
	}
}

// setupOf is the setup client that commands the RP; a setup client names itself.
func (e *entryJSON) setupOf() string {
	if valueOr(e.Setup, false) || e.SetupOxdID == e.OxdID {
		return ""
	}
	return e.SetupOxdID
}

func (f *Found) notes(e *entryJSON) {
	for _, uri := range e.RedirectURIs {
		if uri != e.RedirectURI && uri != e.RedirectURI4 && (e.RedirectURI != "" || e.RedirectURI4 != "" || uri != e.RedirectURIs[0]) {
			f.note(e.OxdID, "redirect URI %q stays registered until update_site, which sends one only", uri)
		}
	}
	if e.UserID != "" {
		f.note(e.OxdID, "user_id and user_secret are not carried over: a PAT is got with the client's credential")
	}
	if clientauth.Method(e.AuthMethod) == clientauth.PrivateKeyJWT {
		f.note(e.OxdID, "its client authenticates with a key of oxd-server's key store, which is not carried over: update_site makes a new one")
	}
	if e.ClientSecret.IsZero() {
		f.note(e.OxdID, "it has no client secret: no command that calls the OP will succeed")
	}
}

// protect adds a resource, unless it cannot be enforced.
func (f *Found) protect(e *Entry, id, path string, c protection.Condition, expressions []string) {
	if len(expressions) > 0 {
		c.Expression = &protection.Expression{}
		if err := json.Unmarshal([]byte(expressions[0]), c.Expression); err != nil {
			c.Expression = &protection.Expression{}
		}
		// oxd kept the data in scopes too, where it asked for one of them.
		if strings.Join(c.Scopes, "\n") == strings.Join(c.Expression.Data, "\n") {
			c.Scopes = nil
		}
		if len(expressions) > 1 {
			f.note(e.RP.ID, "%s has %d scope expressions; the first is taken", c.Name(path), len(expressions))
		}
	}
	next := append(protection.Document{}, e.Document...)
	added := false
	for i := range next {
		if next[i].Path == path {
			next[i].Conditions = append(append([]protection.Condition{}, next[i].Conditions...), c)
			added = true
		}
	}
	if !added {
		next = append(next, protection.Resource{Path: path, Conditions: []protection.Condition{c}})
	}
	if err := next.Validate(); err != nil {
		f.note(e.RP.ID, "%s is not protected: %s", c.Name(path), err)
		return
	}
	e.Document = next
	if id != "" {
		e.IDs[c.Name(path)] = id
	}
}
