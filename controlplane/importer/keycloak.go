package importer

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/umagate/umagate/controlplane/enforcer"
	"github.com/umagate/umagate/controlplane/glob"
	"github.com/umagate/umagate/plugin/config"
)

// enforcerConfig is a policy enforcer's configuration, alone or inside of
// keycloak.json.
type enforcerConfig struct {
	Mode             text            `json:"enforcement-mode"`
	Paths            []enforcedPath  `json:"paths"`
	MethodAsScope    flag            `json:"http-method-as-scope"`
	Realm            text            `json:"realm"`
	Server           text            `json:"auth-server-url"`
	Client           text            `json:"resource"`
	LazyLoad         flag            `json:"lazy-load-paths"`
	PathCache        json.RawMessage `json:"path-cache"`
	DenyRedirect     text            `json:"on-deny-redirect-to"`
	ClaimInformation json.RawMessage `json:"claim-information-point"`
}

type enforcedPath struct {
	Name             text             `json:"name"`
	Type             text             `json:"type"`
	Path             text             `json:"path"`
	Mode             text             `json:"enforcement-mode"`
	Scopes           []text           `json:"scopes"`
	Methods          []enforcedMethod `json:"methods"`
	ClaimInformation json.RawMessage  `json:"claim-information-point"`
}

type enforcedMethod struct {
	Method text   `json:"method"`
	Scopes []text `json:"scopes"`
	Mode   text   `json:"scopes-enforcement-mode"`
}

// The modes of a policy enforcer.
const (
	modeEnforcing  = "ENFORCING"
	modePermissive = "PERMISSIVE"
	modeDisabled   = "DISABLED"
)

// maxSegments bounds the segments of a path.
const maxSegments = 32

const unmatchedAuthenticated = string(config.UnmatchedAuthenticated)

// text is a string as Keycloak reads one: numbers and booleans do, too.
type text string

// UnmarshalJSON reads a scalar.
func (t *text) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] != '"' && data[0] != '{' && data[0] != '[' {
		if string(data) != "null" {
			*t = text(data)
		}
		return nil
	}
	return json.Unmarshal(data, (*string)(t))
}

// flag is a boolean as Keycloak reads one: "true" does, too.
type flag bool

// UnmarshalJSON reads a boolean, or its name.
func (f *flag) UnmarshalJSON(data []byte) error {
	switch strings.ToLower(strings.Trim(string(data), `" `)) {
	case "true", "1":
		*f = true
	case "false", "0", "", "null":
		*f = false
	default:
		return fmt.Errorf("%w: %s is neither true nor false", ErrSource, data)
	}
	return nil
}

func strs(list []text) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = string(s)
	}
	return enforcer.Unique(out)
}

// KeycloakEnforcer reads the configuration of a Keycloak policy enforcer: the
// "policy-enforcer" of a keycloak.json, or that object itself. It reads Keycloak's
// authorization export, too, which has the paths that an enforcer loads from the
// server: the URIs of its resources.
func KeycloakEnforcer(source string, data []byte, settings Settings) (*Draft, error) {
	data = withoutMark(data)
	members, err := object(data)
	if err != nil {
		return nil, err
	}
	if export, place := findExport(members); export != nil {
		return keycloakExport(source, export, place, members, settings)
	}
	var e enforcerConfig
	if err := json.Unmarshal(data, &e); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSource, err)
	}
	place := ""
	if inner, ok := members["policy-enforcer"]; ok {
		outer := e
		e = enforcerConfig{}
		if err := json.Unmarshal(inner, &e); err != nil {
			return nil, fmt.Errorf("%w: policy-enforcer: %w", ErrSource, err)
		}
		e.Realm, e.Server, e.Client = cmp.Or(e.Realm, outer.Realm), cmp.Or(e.Server, outer.Server), cmp.Or(e.Client, outer.Client)
		place = "policy-enforcer."
	} else if members["paths"] == nil && members["enforcement-mode"] == nil {
		return nil, fmt.Errorf("%w: it has neither policy-enforcer nor paths, and is no authorization export; is it a keycloak.json?", ErrSource)
	}
	d := newDraft(settings, source)
	d.keycloakServer(place, &e, settings)
	c := d.newKeycloakSource(place)
	d.enforcement(c, &e)
	if strings.TrimSpace(string(e.Mode)) == modeDisabled {
		d.Resources = nil
		return d, nil
	}
	for i := range e.Paths {
		if err := d.enforced(c, place+"paths["+strconv.Itoa(i)+"]", &e.Paths[i]); err != nil {
			return nil, err
		}
	}
	d.serverPaths(c, &e)
	return d.putKeycloak(c, "no path", "resource")
}

// keycloakServer carries over the AS and the client.
func (d *Draft) keycloakServer(place string, e *enforcerConfig, settings Settings) {
	d.Dialect, d.ClientID = "keycloak", string(e.Client)
	if strings.Contains(d.ClientID, "${") {
		d.ClientID = ""
		d.note("resource", "the client is named where the application runs: %q. Write client: {id: …, secret: {env: %s}} for one that exists", e.Client, secretVariable)
	}
	switch {
	case d.Issuer != "" || e.Server == "" || e.Realm == "":
	case strings.Contains(string(e.Server+e.Realm), "${"):
		d.note(place+"auth-server-url", "the authorization server is named where the application runs (%q, realm %q): give its issuer with --issuer", e.Server, e.Realm)
	default:
		d.Issuer = strings.TrimSuffix(string(e.Server), "/") + "/realms/" + string(e.Realm)
	}
	d.nameSite(settings)
}

// nameSite names the site after the client, unless it has a name.
func (d *Draft) nameSite(settings Settings) {
	if settings.Site == "" && d.ClientID != "" {
		d.Site = siteName(d.ClientID)
	}
}

// object reads the members of the outermost object.
func object(data []byte) (map[string]json.RawMessage, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(data, &members); err != nil {
		return nil, fmt.Errorf("%w: not a JSON object: %w", ErrSource, err)
	}
	return members, nil
}

// siteName makes a site's name of any text.
func siteName(text string) string {
	name := strings.Trim(strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-', r == '_':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '-'
	}, text), "-_")
	return cmp.Or(name, "api")
}

// enforcement carries over what holds for every path.
func (d *Draft) enforcement(c *keycloakSource, e *enforcerConfig) {
	switch strings.TrimSpace(string(e.Mode)) {
	case "", modeEnforcing:
	case modePermissive:
		c.Permissive = true
		d.note(c.Place+"enforcement-mode", "PERMISSIVE lets every authenticated caller pass where no path is named: unmatched: authenticated")
	case modeDisabled:
		d.authenticated(c)
		d.noteChanged(c.Place+"enforcement-mode", "DISABLED looks at no path and no permission, and wants an authenticated caller: so does unmatched: authenticated. The paths are left out; write ENFORCING to have them")
	default:
		d.noteNarrowed(c.Place+"enforcement-mode", "%q is not known: enforced", e.Mode)
	}
	c.MethodAsScope = bool(e.MethodAsScope)
	if e.DenyRedirect != "" {
		d.note(c.Place+"on-deny-redirect-to", "nobody is redirected: a client gets 401 with a ticket, or 403")
	}
	if len(e.ClaimInformation) > 0 {
		d.note(c.Place+"claim-information-point", "claims are not pushed to the authorization server")
	}
}

// enforced reads one path. Those of the same text are one: the mode of the first
// holds, and what their methods and scopes say is joined.
func (d *Draft) enforced(c *keycloakSource, place string, p *enforcedPath) error {
	path := string(p.Path)
	switch {
	case path == "" && p.Name == "":
		d.note(place, "an entry has neither path nor name")
		return nil
	case path == "":
		d.noteNarrowed(place, "%q has no path, which Keycloak takes for no request: it is in Keycloak's resource, its URIs; add it", p.Name)
		c.serverOnly = c.serverOnly || p.Mode != modeDisabled
		return nil
	case strings.Contains(path, "${"):
		return fmt.Errorf("%w: %s.path: %q is completed where the application runs: write its value", ErrSource, place, path)
	}
	if strings.Count(path, "/") > maxSegments {
		return fmt.Errorf("%w: %s.path: it has more than %d segments", ErrSource, place, maxSegments)
	}
	for segment := range strings.SplitSeq(path, "/") {
		if strings.ContainsAny(glob.Braces().ReplaceAllString(segment, ""), "{}") {
			return fmt.Errorf("%w: %s.path: %q has a brace too few or too many in a segment, by which Keycloak's enforcer loses its way", ErrSource, place, path)
		}
	}
	if len(p.ClaimInformation) > 0 {
		d.note(place+".claim-information-point", "claims are not pushed to the authorization server")
	}
	entry, first := c.Entry(place, path)
	if first {
		entry.Name = string(cmp.Or(p.Name, p.Path))
		entry.Resource = entry.Name
		if c.types[entry.Name] == "" {
			c.types[entry.Name] = string(p.Type)
		}
		switch p.Mode {
		case "", modeEnforcing:
		case modeDisabled:
			entry.Disabled = true
		default:
			d.noteNarrowed(place+".enforcement-mode", "%q is enforced", p.Mode)
		}
	} else {
		d.note(place, "%q is there twice: mode and name of the first hold, and of its methods the first of each", path)
	}
	entry.Scopes = enforcer.Unique(append(entry.Scopes, strs(p.Scopes)...))
	for i, m := range p.Methods {
		at := place + ".methods[" + strconv.Itoa(i) + "]"
		entry.Methods = append(entry.Methods, enforcer.Method{Place: at, Method: string(m.Method), Scopes: strs(m.Scopes), Mode: string(m.Mode)})
	}
	return nil
}

// serverPaths looks at what the enforcer takes from the server beside the file.
func (d *Draft) serverPaths(c *keycloakSource, e *enforcerConfig) {
	const remedy = "export the client's authorization settings (Keycloak's console: Authorization, Export) and import that file"
	lazy := bool(e.LazyLoad) || len(e.PathCache) > 0 && string(e.PathCache) != "null"
	switch {
	case !bool(e.LazyLoad) && !c.enforces():
		c.Untrusted = true
		d.noteChanged(c.Place+"paths", "no path is enforced here, so the enforcer takes its paths from Keycloak's resources (their URIs), which may have any of these: what is public here is denied until you have looked. %s", capital(remedy))
	case bool(e.LazyLoad):
		d.noteChanged(c.Place+"lazy-load-paths", "paths that are kept in Keycloak's resources (their URIs) are not in this file, and below a \"*\" another resource may be asked for: %s", remedy)
	}
	if c.Permissive && (lazy || c.Untrusted) {
		c.Permissive = false
		d.noteNarrowed(c.Place+"enforcement-mode", "what no path names is denied after all: Keycloak's resources may have it, which are not in this file")
	}
	if c.Permissive {
		d.authenticated(c)
	}
}

// authenticated lets an authenticated caller pass where no path is named.
func (d *Draft) authenticated(c *keycloakSource) {
	d.Unmatched = unmatchedAuthenticated
	d.note(c.Place+"enforcement-mode", "a caller is authenticated by a token that Keycloak calls active: since 26.7 by one that names this client in its aud")
}

func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] }
