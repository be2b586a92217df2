package importer

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/umagate/umagate/controlplane/enforcer"
)

// istioReading are documents of Istio being read.
type istioReading struct {
	*Draft

	claims    *claims
	issuers   []string
	audiences map[string][]string // by issuer; "" among them is any
	allows    bool                // an ALLOW policy is there
	allowed   map[string]*istioAllowed
	order     []string
}

// istioAllowed is what ALLOW rules say of a method of a pattern: one of them is enough.
type istioAllowed struct {
	form   form
	method string
	claim  claim
}

// istioPolicy is an AuthorizationPolicy.
type istioPolicy struct {
	*Draft

	reading      *istioReading
	place, name  string
	allow, other bool // neither: DENY. other: CUSTOM
}

// Istio reads the RequestAuthentications and AuthorizationPolicies of one workload, as YAML
// documents or a List: who may pass by the paths, methods and claims of a JWT.
func Istio(source string, data []byte, settings Settings) (*Draft, error) {
	documents, err := readDocuments(source, data)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSource, err)
	}
	var objects []*value
	for _, document := range documents {
		objects = append(objects, document.root)
		if strings.HasSuffix(document.root.string("kind"), "List") {
			objects = append(objects[:len(objects)-1], document.root.get("items").itemsOf()...)
		}
	}
	r := &istioReading{Draft: newDraft(settings, source), claims: newClaims(), audiences: map[string][]string{}, allowed: map[string]*istioAllowed{}}
	r.claims.byMethod = true
	chosen, err := r.choose(objects, settings)
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(chosen, func(a, b *value) int { // whose tokens are taken first
		return strings.Compare(b.string("kind"), a.string("kind"))
	})
	policies := 0
	for _, o := range chosen {
		name := o.member("metadata").string("name")
		place := r.at(o.string("kind")+" "+name, o)
		if o.string("kind") == "RequestAuthentication" {
			err = r.authentication(place, o)
		} else {
			policies++
			err = r.policy(place, name, o)
		}
		if err != nil {
			return nil, err
		}
	}
	if policies == 0 {
		return nil, fmt.Errorf("%w: no AuthorizationPolicy is for the workload, so that everything is let pass", ErrNothing)
	}
	r.finish()
	return r.Draft, nil
}

// choose gives the objects that are for the workload.
func (r *istioReading) choose(objects []*value, settings Settings) (chosen []*value, err error) {
	found := 0
	var selectors, namespaces []string
	for _, o := range objects {
		group, version, _ := strings.Cut(o.string("apiVersion"), "/")
		kind := o.string("kind")
		if group != "security.istio.io" || kind != "RequestAuthentication" && kind != "AuthorizationPolicy" {
			continue
		}
		found++
		if version != "v1" && version != "v1beta1" {
			return nil, fmt.Errorf("%w: %s: %s of version %q cannot be read", ErrSource, o.at(), kind, version)
		}
		if o.member("spec").has("targetRef", "targetRefs") {
			return nil, fmt.Errorf("%w: %s: %s has targetRefs, which name a Gateway or a Service: give the documents of one workload, with a selector", ErrSource, o.at(), kind)
		}
		selector := selectorOf(o.member("spec", "selector", "matchLabels"))
		namespaces = append(namespaces, cmp.Or(o.member("metadata").string("namespace"), "default"))
		if selector != "" {
			selectors = append(selectors, selector)
		}
		if selector == "" || settings.Selector == "" || within(selector, settings.Selector) {
			chosen = append(chosen, o)
		}
	}
	if found == 0 {
		return nil, fmt.Errorf("%w: it has neither a RequestAuthentication nor an AuthorizationPolicy of security.istio.io", ErrSource)
	}
	if selectors = enforcer.Unique(selectors); len(selectors) > 1 && settings.Selector == "" {
		return nil, fmt.Errorf("%w: it has policies for several workloads (%s): say for which with --selector", ErrSource, strings.Join(selectors, "; "))
	}
	if namespaces = enforcer.Unique(namespaces); len(namespaces) > 1 {
		return nil, fmt.Errorf("%w: it has policies of several namespaces (%s): give those that are for the workload", ErrSource, strings.Join(namespaces, ", "))
	}
	return chosen, nil
}

// selectorOf writes labels as kubectl has them.
func selectorOf(labels *value) string {
	var out []string
	for i, key := range labels.keysOf() {
		out = append(out, key+"="+labels.items[i].text)
	}
	slices.Sort(out)
	return strings.Join(out, ",")
}

// within reports that a workload with those labels has the ones that are selected.
func within(selector, labels string) bool {
	return enforcer.Subset(strings.Split(selector, ","), strings.Split(labels, ","))
}

// authentication reads whose tokens are taken.
func (r *istioReading) authentication(place string, o *value) error {
	spec := members{of: o.get("spec")}
	for _, rule := range spec.list("jwtRules") {
		m := members{of: rule}
		if issuer := m.text("issuer"); issuer != "" {
			r.issuers = enforcer.Unique(append(r.issuers, issuer))
		}
		audiences := m.texts("audiences")
		if len(audiences) == 0 {
			audiences = []string{""}
		}
		r.audiences[m.text("issuer")] = append(r.audiences[m.text("issuer")], audiences...)
		if rule.has("fromHeaders", "fromParams", "fromCookies") {
			r.noteNarrowed(place, "a token is read from the Authorization header. token.from names other places")
		}
		if rule.has("outputPayloadToHeader", "outputClaimToHeaders") {
			r.note(place, "claims in headers are not carried over: claim_headers writes some")
		}
		if m.err != nil {
			return m.err
		}
	}
	return spec.err
}

// policy reads an AuthorizationPolicy.
func (r *istioReading) policy(place, name string, o *value) error {
	spec := members{of: o.get("spec")}
	p := &istioPolicy{Draft: r.Draft, reading: r, place: place, name: cmp.Or(name, "policy")}
	switch action := cmp.Or(spec.text("action"), "ALLOW"); action {
	case "ALLOW":
		p.allow, r.allows = true, true
	case "DENY":
	case "CUSTOM":
		p.other = true
		r.noteNarrowed(place, "CUSTOM asks a provider that is not known here: what it is asked about is denied")
	case "AUDIT":
		r.note(place, "AUDIT decides nothing, and is left out")
		return nil
	default:
		return fmt.Errorf("%w: %s: %s: there is no action %q", ErrSource, o.at(), place, action)
	}
	for i, rule := range spec.list("rules") {
		if err := p.rule(r.at(place+".rules["+strconv.Itoa(i)+"]", rule), rule); err != nil {
			return err
		}
	}
	return spec.err
}

// finish enters what ALLOW rules say, and what holds for everything else.
func (r *istioReading) finish() {
	rest := nobody()
	if !r.allows {
		rest = need{public: true}
		r.note("AuthorizationPolicy", "there is no ALLOW policy: what no DENY policy refuses is public, as in Istio")
	}
	everything := istioPolicy{Draft: r.Draft, reading: r, name: "everything"}
	everything.allowed("AuthorizationPolicy", "*", form{pattern: pattern{rest: true}}, []string{""}, rest)
	for _, key := range r.order {
		a := r.allowed[key]
		r.claims.add("", a.form, nil, a.method, a.claim)
	}
	if r.Issuer == "" && len(r.issuers) > 0 && strings.Contains(r.issuers[0], "://") {
		r.Issuer = r.issuers[0]
	}
	if len(r.issuers) > 1 {
		r.noteNarrowed("RequestAuthentication", "it takes tokens of %q, and a site has one authorization server: those of the others are refused. Several sites of one host can have several", r.issuers)
	}
	r.Require = "oauth_scopes"
	audiences := r.audiences[r.Issuer]
	if audiences == nil && len(r.issuers) > 0 {
		audiences = r.audiences[r.issuers[0]]
	}
	r.Audiences = enforcer.Unique(withoutEmpty(audiences))
	if len(r.Audiences) == 0 || slices.Contains(audiences, "") {
		r.Audiences = enforcer.Unique(append(r.Audiences, r.Site))
		r.noteNarrowed("RequestAuthentication", "it takes tokens for any audience: here a token must name one of %q in its aud. Write those of the API, or insecure_any_audience: true", r.Audiences)
	}
	r.note("RequestAuthentication", "Istio verifies a JWT by its signature, and looks at its claims: here the authorization server is asked about it, and require: oauth_scopes with a rule that holds for every token that has a scope asks for no permission. umagate validate warns of such a rule")
	r.noteChanged("RequestAuthentication", "Istio answers 401 to a bad token on a public path, too, where umagate looks at none; and a token without a sub has no request principal there, and passes as any token here")
	r.put(r.claims)
}
