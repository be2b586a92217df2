package importer

import (
	"errors"
	"slices"
	"strings"

	"github.com/umagate/umagate/controlplane/enforcer"
)

var (
	// ErrSource: the file is not what it was said to be.
	ErrSource = errors.New("the file cannot be imported")
	// ErrNothing: the file is read, and has nothing to protect in it.
	ErrNothing = errors.New("the file has nothing in it that can be protected")
)

// MaxSource bounds a source file, in bytes.
const MaxSource = 32 << 20

// Settings are what the source does not say. Zero values leave it to the source.
type Settings struct {
	// Site names the site; default "api".
	Site  string
	Hosts []string
	// Issuer is the AS.
	Issuer string
	// DocumentURL is where an OpenAPI document is served, to which its servers may be
	// relative.
	DocumentURL string
	// ServerVariables are values of variables in the URLs of its servers.
	ServerVariables map[string]string
	// Authorization is the file of Keycloak's authorization export, with what a policy
	// enforcer takes from the server.
	Authorization string
	// ResourceIDs is the file of a list of Keycloak's administration API, which has the ids
	// of the resources that the export is of.
	ResourceIDs string
	// Profile is the one whose settings of a Quarkus or Spring application hold.
	Profile string
	// Selector has the labels of the workload whose policies of Istio hold, as in kubectl:
	// "app=photos".
	Selector string
}

// Draft is a site in the making.
type Draft struct {
	// Source is what the head of the file names as its origin.
	Source string
	Site   string
	Hosts  []string
	Issuer string
	// Dialect is empty for auto.
	Dialect string
	// ClientID is a client that exists; empty registers one. Its secret is taken
	// from the environment variable CLIENT_SECRET.
	ClientID string
	// Mode, Unmatched, Case, Evaluate, Challenge and Require are empty for the default.
	Mode, Unmatched, Case, Evaluate, Challenge, Require string
	// Audiences and Claims are what is asked of every token.
	Audiences []string
	Claims    []Claim

	Resources []Resource
	Notes     []Note

	noted map[Note]bool
	lines map[string]int // by place
}

// Resource is one registration.
type Resource struct {
	Name, Type string
	// ID is the resource_id at the AS, where the resource is there already.
	ID         string
	Conditions []Condition
}

// Condition is one condition. Exactly one of Public, Deny, Scopes and Data is set. Claims
// and what else is asked of a token come beside the latter two.
type Condition struct {
	// Place is where it stands in the source, Comment what is said of it there.
	Place, Comment string

	Paths, Methods []string
	Public, Deny   bool
	Scopes         []string
	// Rule and Data are a scope_expression; Rule is JSON.
	Rule         string
	Data         []string
	TicketScopes []string

	// ACR, Roles, Groups and Claims are needed beside scopes.
	ACR, Roles, Groups []string
	Claims             []Claim
}

// Claim is a claim of a token, by the name that umagate.yaml has for it, and the values of
// which it must have one.
type Claim struct {
	Name   string
	Values []string
}

func newDraft(settings Settings, source string) *Draft {
	d := &Draft{Source: source, Site: settings.Site, Hosts: settings.Hosts, Issuer: settings.Issuer, noted: map[Note]bool{}}
	if d.Site == "" {
		d.Site = "api"
	}
	return d
}

// resource gives the resource of that name, made when it is not there.
func (d *Draft) resource(name string) *Resource {
	for i := range d.Resources {
		if d.Resources[i].Name == name {
			return &d.Resources[i]
		}
	}
	d.Resources = append(d.Resources, Resource{Name: name})
	return &d.Resources[len(d.Resources)-1]
}

// asksLike reports that both ask for the same. It is called for each pair of
// conditions.
func (c *Condition) asksLike(o *Condition) bool {
	return c.Public == o.Public && c.Deny == o.Deny && slices.Equal(c.Scopes, o.Scopes) && c.Rule == o.Rule &&
		slices.Equal(c.Data, o.Data) && slices.Equal(c.TicketScopes, o.TicketScopes) && c.flowClaims() == o.flowClaims()
}

// add puts a condition into the resource, together with one of the same paths and
// requirement that has methods, too.
func (r *Resource) add(c Condition) {
	for i := range r.Conditions {
		have := &r.Conditions[i]
		if len(c.Methods) > 0 && len(have.Methods) > 0 && slices.Equal(have.Paths, c.Paths) && have.asksLike(&c) {
			have.Methods = append(have.Methods, c.Methods...)
			have.Comment = join(have.Comment, c.Comment)
			return
		}
	}
	r.Conditions = append(r.Conditions, c)
}

// joinPaths makes one condition of those that differ in their paths only. Where they
// deny, it does not matter from where they are.
func (r *Resource) joinPaths() {
	var out []Condition
	for _, c := range r.Conditions {
		i := slices.IndexFunc(out, func(have Condition) bool {
			return have.Comment == c.Comment && slices.Equal(have.Methods, c.Methods) && have.asksLike(&c) && (c.Deny || have.Place == c.Place)
		})
		if i < 0 {
			out = append(out, c)
			continue
		}
		out[i].Paths = enforcer.Unique(append(out[i].Paths, c.Paths...))
	}
	r.Conditions = out
}

func join(a, b string) string {
	if a == "" || b == "" || a == b {
		return a + strings.TrimPrefix(b, a)
	}
	return a + "; " + b
}
