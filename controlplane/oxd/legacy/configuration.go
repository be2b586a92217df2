package legacy

import (
	"cmp"
	"encoding/json"
	"fmt"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/umagate/umagate/controlplane/site"
)

// Settings is what umagate.yaml's oxd section takes over.
type Settings struct {
	Port          int
	LocalhostOnly bool
	Protect       bool
	LoginLifetime time.Duration
	OPHost        string
	Defaults      site.OXDDefaults
}

// serverSettings are the members of oxd-conf.json and oxd-server.yml that mean
// something here.
type serverSettings struct {
	Port              *int          `json:"port"`
	LocalhostOnly     *bool         `json:"localhost_only"`
	Protect           *bool         `json:"protect_commands_with_access_token"`
	StateMinutes      int           `json:"state_expiration_in_minutes"`
	TrustAll          bool          `json:"trust_all_certs"`
	TrustStore        string        `json:"trust_store_path"`
	ClientPAT         *bool         `json:"use_client_authentication_for_pat"`
	KeyStore          string        `json:"crypt_provider_key_store_path"`
	AutoRegister      *bool         `json:"uma2_auto_register_claims_gathering_endpoint_as_redirect_uri_of_client"`
	Storage           string        `json:"storage"`
	License           string        `json:"license_id"`
	OPHost            string        `json:"op_host"`
	DefaultSiteConfig *siteSettings `json:"defaultSiteConfig"`
}

// siteSettings are those of oxd-default-site-config.json and of defaultSiteConfig.
type siteSettings struct {
	OPHost        string `json:"op_host"`
	DiscoveryPath string `json:"op_discovery_path"`
	RedirectURI   string `json:"authorization_redirect_uri"`
	JWKSURI       string `json:"client_jwks_uri"`
	GrantType     list   `json:"grant_type"`
	GrantTypes    list   `json:"grant_types"`
	Scope         list   `json:"scope"`
	ACRValues     list   `json:"acr_values"`
	ResponseTypes list   `json:"response_types"`
	PostLogout    text   `json:"post_logout_redirect_uri"`
	PostLogouts   list   `json:"post_logout_redirect_uris"`
	Contacts      list   `json:"contacts"`
	UILocales     list   `json:"ui_locales"`
	ClaimsLocales list   `json:"claims_locales"`
}

func (f *Found) readConfiguration(name string, kind kind, data []byte) error {
	if kind == serverYAML {
		var tree map[string]any
		if err := yaml.Unmarshal(data, &tree); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		var err error
		if data, err = json.Marshal(tree); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if kind == siteJSON {
		var s siteSettings
		if err := json.Unmarshal(data, &s); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		f.takeSite(name, &s)
		return nil
	}
	var s serverSettings
	if err := json.Unmarshal(data, &s); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	f.takeServer(name, &s, kind)
	return nil
}

func (f *Found) takeServer(name string, s *serverSettings, kind kind) {
	out := &f.Settings
	out.LocalhostOnly = valueOr(s.LocalhostOnly, true)
	out.Port = valueOr(s.Port, out.Port)
	// Left out, oxd asked for a token.
	out.Protect = valueOr(s.Protect, true)
	out.LoginLifetime = time.Duration(s.StateMinutes) * time.Minute
	out.OPHost = cmp.Or(s.OPHost, out.OPHost)
	for _, n := range []struct {
		holds bool
		text  string
	}{
		{kind == serverYAML, "oxd 4.x has no socket, and commands with other names for some parameters: umagate speaks 3.x, and takes both spellings where they are known"},
		{!out.LocalhostOnly, "localhost_only is false: the socket has no encryption, so it stays on loopback; applications elsewhere take http with a certificate, or write insecure_plaintext: true"},
		{s.TrustAll, "trust_all_certs: every certificate is checked now; write op_hosts[].tls.ca_file for an OP whose certificate the system does not know"},
		{s.TrustStore != "", fmt.Sprintf("trust_store_path %q is not read: export its certificates in PEM, and write op_hosts[].tls.ca_file", s.TrustStore)},
		{!valueOr(s.ClientPAT, true), "use_client_authentication_for_pat is false: a PAT is got with the client's credential only, so the client needs the grant type client_credentials"},
		{s.KeyStore != "", "the keys of crypt_provider_key_store_path are not carried over: umagate makes its own for private_key_jwt, and update_site registers them"},
		{valueOr(s.AutoRegister, false), "uma2_auto_register_claims_gathering_endpoint_as_redirect_uri_of_client: register claims_redirect_uri by the application, as register_site has it"},
		{s.License != "", "no licence is needed"},
		{s.Storage != "" && s.Storage != "h2", fmt.Sprintf("storage %q is not read: export the entries as JSON, one file for each", s.Storage)},
	} {
		if n.holds {
			f.note(name, "%s", n.text)
		}
	}
	if s.DefaultSiteConfig != nil {
		f.takeSite(name, s.DefaultSiteConfig)
	}
}

func (f *Found) takeSite(name string, s *siteSettings) {
	out := &f.Settings
	out.OPHost = cmp.Or(s.OPHost, out.OPHost)
	out.Defaults = site.OXDDefaults{
		Scope: s.Scope, ACRValues: s.ACRValues, GrantTypes: append(s.GrantTypes, s.GrantType...), ResponseTypes: s.ResponseTypes,
		PostLogoutRedirectURI: string(s.PostLogout), Contacts: s.Contacts, UILocales: s.UILocales, ClaimsLocales: s.ClaimsLocales,
	}
	if out.Defaults.PostLogoutRedirectURI == "" && len(s.PostLogouts) > 0 {
		out.Defaults.PostLogoutRedirectURI = s.PostLogouts[0]
	}
	for member, value := range map[string]string{"authorization_redirect_uri": s.RedirectURI, "client_jwks_uri": s.JWKSURI, "op_discovery_path": s.DiscoveryPath} {
		if value != "" {
			f.note(name, "%s has no default in umagate: register_site sends it", member)
		}
	}
}

// valueOr returns what a member says, or what it means left out.
func valueOr[T any](member *T, otherwise T) T {
	if member == nil {
		return otherwise
	}
	return *member
}

// list is a list of strings, or one; null and empty ones are left out.
type list []string

func (l *list) UnmarshalJSON(data []byte) error {
	var many []*string
	if data[0] != '[' {
		many = make([]*string, 1)
		if err := json.Unmarshal(data, &many[0]); err != nil {
			return err
		}
	} else if err := json.Unmarshal(data, &many); err != nil {
		return err
	}
	*l = nil
	for _, one := range many {
		if one != nil && *one != "" {
			*l = append(*l, *one)
		}
	}
	return nil
}

// text is a string, or the first of a list.
type text string

func (t *text) UnmarshalJSON(data []byte) error {
	var l list
	if err := l.UnmarshalJSON(data); err != nil {
		return err
	}
	*t = ""
	if len(l) > 0 {
		*t = text(l[0])
	}
	return nil
}

// moment is a time: milliseconds since 1970, or RFC 3339.
type moment time.Time

func (m *moment) UnmarshalJSON(data []byte) error {
	var ms float64
	if json.Unmarshal(data, &ms) == nil {
		if ms > 0 {
			*m = moment(time.UnixMilli(int64(ms)))
		}
		return nil
	}
	var t time.Time
	if json.Unmarshal(data, &t) == nil {
		*m = moment(t)
	}
	return nil // another form is as good as none
}
