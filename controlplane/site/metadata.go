package site

import (
	"encoding/json"
	"slices"

	"github.com/umagate/umagate/plugin/config"
	"github.com/umagate/umagate/plugin/scope"
)

// Metadata is what clients that know OAuth are told of a site (RFC 9728).
type Metadata struct {
	// The URLs that clients know this API by, letter by letter as they are given them:
	// https://mcp.example.com/mcp. Each has a document of its own, at
	// https://mcp.example.com/.well-known/oauth-protected-resource/mcp.
	Identifiers []string `yaml:"identifiers" jsonschema:"required,minItems=1"`
	// Scopes that clients ask the AS for. Default: with "require: oauth_scopes" those that
	// conditions name, otherwise none: those of UMA are not asked for like that.
	Scopes []string `yaml:"scopes" jsonschema:"minItems=1"`
	// Name of the API, for people.
	Name string `yaml:"name"`
	// URL of its documents, for developers.
	Documentation string `yaml:"documentation"`
}

// resourceMetadata is the document of RFC 9728 section 2.
type resourceMetadata struct {
	Resource             string   `json:"resource"`
	AuthorizationServers []string `json:"authorization_servers"`
	ScopesSupported      []string `json:"scopes_supported,omitempty"`
	BearerMethods        []string `json:"bearer_methods_supported"`
	ResourceName         string   `json:"resource_name,omitempty"`
	Documentation        string   `json:"resource_documentation,omitempty"`
}

// compileMetadata writes the documents of a site, nil where it has none. Of sites among
// which a token's issuer chooses, all have the same: what is there, and of which ASs.
func (f *File) compileMetadata(s *Site) *config.Metadata {
	if s.Metadata == nil {
		return nil
	}
	out := &config.Metadata{Scopes: s.Metadata.Scopes}
	for _, id := range s.Metadata.Identifiers {
		sites := f.identified(id)
		m := resourceMetadata{
			Resource: id, BearerMethods: []string{"header"}, ResourceName: sites[0].Metadata.Name, Documentation: sites[0].Metadata.Documentation,
		}
		if s.Token.From.Query == "access_token" { // RFC 6750 section 2.3 has no other name for it
			m.BearerMethods = append(m.BearerMethods, "query")
		}
		for _, one := range sites {
			m.AuthorizationServers = appendNew(m.AuthorizationServers, one.AuthorizationServer.Issuer)
			m.ScopesSupported = appendNew(m.ScopesSupported, one.askedScopes()...)
		}
		document, err := json.Marshal(m)
		if err != nil {
			return nil // texts can be written
		}
		out.Documents = append(out.Documents, config.MetadataDocument{Resource: id, Document: string(document)})
	}
	return out
}

// identified are the sites with an identifier, the one that is chosen by path first.
func (f *File) identified(id string) []*Site {
	var sites []*Site
	for i := range f.Sites {
		switch s := &f.Sites[i]; {
		case s.Metadata == nil || !slices.Contains(s.Metadata.Identifiers, id):
		case s.ByIssuer():
			sites = append(sites, s)
		default:
			sites = slices.Insert(sites, 0, s)
		}
	}
	return sites
}

// askedScopes are what a client asks the AS for: of a rule that more scopes would fail, no
// more than it needs.
func (s *Site) askedScopes() []string {
	if len(s.Metadata.Scopes) > 0 || s.Require != config.RequireOAuthScopes {
		return s.Metadata.Scopes
	}
	var out []string
	for i := range s.Resources {
		for j := range s.Resources[i].Conditions {
			c := &s.Resources[i].Conditions[j]
			out = appendNew(out, c.Scopes...)
			if c.ScopeExpression == nil {
				continue
			}
			need, err := scope.Compile(c.ScopeExpression.Rule, c.ScopeExpression.Data)
			switch {
			case err != nil: // told by the filter's core
			case need.Negates():
				out = appendNew(out, need.Least()...)
			default:
				out = appendNew(out, need.Scopes()...)
			}
		}
	}
	return out
}

func appendNew(list []string, more ...string) []string {
	for _, s := range more {
		if !slices.Contains(list, s) {
			list = append(list, s)
		}
	}
	return list
}

// audiences are those that a token may have; any, where there is none.
func (s *Site) audiences() []string {
	if len(s.Token.Audiences) == 0 && s.Require == config.RequireOAuthScopes && s.Metadata != nil && !s.Token.InsecureAnyAudience {
		return s.Metadata.Identifiers // RFC 8707 section 2
	}
	return s.Token.Audiences
}

// resourceMetadata judges what clients are told.
func (v *validator) resourceMetadata(path string, s *Site) {
	m := s.Metadata
	if m == nil {
		return
	}
	at := path + ".metadata"
	if len(m.Identifiers) == 0 {
		v.fault(at+".identifiers", "is missing", "write the URL that clients are given, such as https://mcp.example.com/mcp")
	}
	for i, id := range m.Identifiers {
		entry := config.Index(at+".identifiers", i)
		if u := v.url(entry, id); u != nil {
			v.documented(entry, s, u.EscapedPath())
			if u.Scheme == "http" && !local(u.Hostname()) {
				v.warn(entry, "is http: tokens that are sent to it can be read on the way", "write https")
			}
		}
	}
	if m.Documentation != "" {
		v.url(at+".documentation", m.Documentation)
	}
	if s.Require == config.RequireOAuthScopes {
		return
	}
	if s.Challenge != config.ChallengeBearer && s.Challenge != config.ChallengeBoth {
		v.warn(path+".challenge", "clients that read this metadata get a permission ticket, and no challenge of theirs",
			"write challenge: bearer, or both where UMA clients come too")
	}
	if len(s.Token.Audiences) == 0 && s.Token.Evaluate == EvaluateAtAS && !s.Token.InsecureAnyAudience {
		v.warn(path+".token.audiences", "a token that was issued for any other API is evaluated here too",
			"write audiences: with the identifiers, and the site's client_id where clients bring RPTs; or insecure_any_audience: true")
	}
}

// documented refuses a condition on the very path of a document: it would be asked for no
// more.
func (v *validator) documented(at string, s *Site, path string) {
	if path == "/" {
		path = ""
	}
	path = "/.well-known/oauth-protected-resource" + path
	for i := range s.Resources {
		for j := range s.Resources[i].Conditions {
			if slices.Contains(s.Resources[i].Conditions[j].Paths, path) {
				v.fault(at, "its document is at "+path+", for which "+config.Index(config.Index("resources", i)+".conditions", j)+" is a condition",
					"take that path out of the condition, or the identifier where the API answers it itself")
			}
		}
	}
}
