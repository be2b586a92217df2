package site

import (
	"errors"
	"strconv"
	"strings"

	"github.com/umagate/umagate/plugin/config"
	"github.com/umagate/umagate/plugin/decision"
	"github.com/umagate/umagate/plugin/scope"
)

// core lets the filter's own core judge what it would be given, so that what
// validate accepts is never refused by an Envoy: hosts, path templates, methods,
// scopes and rules are checked nowhere else.
func (v *validator) core() {
	if len(v.file.Sites) == 0 {
		return
	}
	facts := make(map[string]Facts, len(v.file.Sites))
	for i := range v.file.Sites {
		facts[v.file.Sites[i].Name] = placeholderFacts(&v.file.Sites[i])
	}
	compiled, err := Compile(v.file, facts)
	if err != nil {
		return // only an endpoint that has a fault already
	}
	var faults config.Faults
	if _, err := decision.Compile(&compiled); errors.As(err, &faults) {
		for _, f := range faults {
			v.fault(sourcePath(f.Path), f.Problem, "")
		}
	}
	v.rules()
}

// Judge lets the filter's own core judge sites that no file has, together. The error is
// config.Faults, or what [Compile] says.
func Judge(sites ...*Site) error {
	file, facts := &File{}, map[string]Facts{}
	for _, s := range sites {
		file.Sites = append(file.Sites, *s)
		facts[s.Name] = placeholderFacts(s)
	}
	compiled, err := Compile(file, facts)
	if err == nil {
		_, err = decision.Compile(&compiled)
	}
	return err
}

// JudgeKept lets the filter's own core judge a site with what comes of resources that its
// AS keeps.
func JudgeKept(s *Site, kept *Kept) error {
	facts := placeholderFacts(s)
	facts.Kept = kept
	compiled, err := Compile(&File{Sites: []Site{*s}}, map[string]Facts{s.Name: facts})
	if err != nil && !errors.Is(err, ErrIncomplete) {
		return err
	}
	_, err = decision.Compile(&compiled)
	return err
}

// placeholderFacts returns facts that lack nothing, for a site whose AS was not asked.
func placeholderFacts(s *Site) Facts {
	f := Facts{ //nolint:gosec // URLs of nothing
		URI:           "https://as.invalid",
		Introspection: "https://as.invalid/introspect",
		Permission:    "https://as.invalid/permission",
		ResourceIDs:   map[string]string{},
		// With evaluate: at_as.
		Token: "https://as.invalid/token", EvaluatesTokens: true, Audience: "id", ClaimTokenFormat: "urn:invalid",
	}
	for i := range s.Resources {
		f.ResourceIDs[s.Resources[i].Name] = "id"
	}
	return f
}

// rules warns of rules that hold for a token without any scope, and refuses those
// that never do: they deny for ever, which nobody asks for with a rule.
func (v *validator) rules() {
	const remedy = `write what a token must have: {"or": [{"var": 0}, {"var": 1}]}`
	for i := range v.file.Sites {
		for j := range v.file.Sites[i].Resources {
			for k := range v.file.Sites[i].Resources[j].Conditions {
				e := v.file.Sites[i].Resources[j].Conditions[k].ScopeExpression
				if e == nil {
					continue
				}
				need, err := scope.Compile(e.Rule, e.Data)
				if err != nil {
					continue // told by the filter's core
				}
				at := config.Index(config.Index(config.Index("sites", i)+".resources", j)+".conditions", k) + ".scope_expression.rule"
				switch {
				case need.SatisfiedByNone():
					v.warn(at, "a token without any of the scopes satisfies this rule", remedy)
				case !need.CanHold():
					v.fault(at, "no token can satisfy this rule, whatever scopes it has", remedy)
				}
			}
		}
	}
}

// sourcePath turns a path of the filter's configuration into the one of
// umagate.yaml that it was compiled from: a ticket's first entry is the
// condition's own resource, the others are those of "ticket".
func sourcePath(path string) string {
	path = strings.TrimSuffix(strings.TrimSuffix(path, "_ms"), "_s")                                      // durations have a unit in umagate.yaml
	for _, list := range [...]string{".claims", ".claim_headers", ".reported_claims", ".pushed_claims"} { // sorted by name there
		if before, _, ok := strings.Cut(path, list+"["); ok {
			return before + list
		}
	}
	if before, after, ok := strings.Cut(path, ".metadata.documents"); ok {
		number, _, _ := strings.Cut(after, ".") // one for each identifier
		return before + ".metadata.identifiers" + number
	}
	if before, _, ok := strings.Cut(path, ".authorization_server.issuers"); ok {
		return before + ".authorization_server.issuer"
	}
	before, after, ok := strings.Cut(path, ".ticket[")
	if !ok {
		return path
	}
	number, _, _ := strings.Cut(after, "]")
	entry, err := strconv.Atoi(number)
	if err != nil || entry == 0 {
		return before + ".ticket_scopes"
	}
	return config.Index(before+".ticket", entry-1) + ".scopes"
}
