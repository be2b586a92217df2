package importer

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/umagate/umagate/controlplane/enforcer"
)

// gluuResource is an entry of "resources" (oxd) or "uma_scope_expression" (Gluu
// Gateway).
type gluuResource struct {
	Path       string          `json:"path"`
	Conditions []gluuCondition `json:"conditions"`
}

type gluuCondition struct {
	Methods      []string        `json:"httpMethods"`
	Scopes       []string        `json:"scopes"`
	TicketScopes []string        `json:"ticketScopes"`
	Expression   *gluuExpression `json:"scope_expression"`
}

type gluuExpression struct {
	Rule json.RawMessage `json:"rule"`
	Data []string        `json:"data"`
}

// gluuDocument has the list, and what else is of use.
type gluuDocument struct {
	place     string
	resources []json.RawMessage
	gateway   bool
	opHost    string
	// members are those beside the list: settings of the gateway's plugin.
	members map[string]json.RawMessage
}

// Gluu reads what is protected by an oxd application (the uma_rs_protect command,
// its params, or their "resources") or by a Gluu Gateway (the "uma_scope_expression"
// of its UMA plugin).
func Gluu(source string, data []byte, settings Settings) (*Draft, error) {
	document, err := findGluu(data)
	if err != nil {
		return nil, err
	}
	d := newDraft(settings, source)
	d.Issuer = cmp.Or(d.Issuer, document.opHost)
	if !document.gateway {
		d.Case = "insensitive" // oxd compares paths without case
	}
	r := gluuReading{Draft: d, claims: newClaims(), fold: !document.gateway}
	r.claims.leftToRight, r.claims.ofResource = document.gateway, true
	for i, raw := range document.resources {
		place := document.place + "[" + strconv.Itoa(i) + "]"
		var one gluuResource
		if err := json.Unmarshal(raw, &one); err != nil {
			if one.Path == "" {
				return nil, fmt.Errorf("%w: %s: %w", ErrSource, place, err)
			}
			d.noteNarrowed(place, "it cannot be read (%v). Every method of %q is denied now", err, one.Path)
			one.Conditions = nil
			r.claim(place, one.Path, one.Path, nil, nobody(), nil)
			continue
		}
		r.resource(place, one)
	}
	if len(r.claims.origins) == 0 {
		return nil, fmt.Errorf("%w: no resource with conditions%s", ErrNothing, d.reasons())
	}
	d.gatewaySettings(document)
	d.put(r.claims)
	return d, nil
}

// findGluu finds the list of resources, as deep as the forms have it.
func findGluu(data []byte) (gluuDocument, error) {
	var out gluuDocument
	data = withoutMark(data)
	data = bytes.TrimSpace(data)
	if len(data) > 0 && data[0] == '[' {
		out.place = "resources"
		return out, list(data, "", &out.resources)
	}
	members, err := object(data)
	if err != nil {
		return out, err
	}
	place := ""
	for range 3 {
		if host, ok := members["op_host"]; ok {
			_ = json.Unmarshal(host, &out.opHost) // of another type it is of no use
		}
		for _, key := range []string{"resources", "uma_scope_expression"} {
			if raw, ok := members[key]; ok {
				out.place, out.gateway, out.members = place+key, key != "resources", members
				return out, list(raw, out.place, &out.resources)
			}
		}
		inner, ok := members["params"]
		name := "params."
		if !ok {
			inner, name = members["config"], "config."
		}
		place += name
		if members, err = object(inner); err != nil {
			break
		}
	}
	return out, fmt.Errorf("%w: it has no resources (uma_rs_protect) and no uma_scope_expression (Gluu Gateway)", ErrSource)
}

// object reads the members of the outermost object.
func object(data []byte) (map[string]json.RawMessage, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(data, &members); err != nil {
		return nil, fmt.Errorf("%w: not a JSON object: %w", ErrSource, err)
	}
	return members, nil
}

// list reads an array, or a string with one in it, as Kong's database keeps it.
func list(raw json.RawMessage, place string, to *[]json.RawMessage) error {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		raw = json.RawMessage(text)
	}
	if err := json.Unmarshal(raw, to); err != nil {
		return fmt.Errorf("%w: %s: not a list: %w", ErrSource, place, err)
	}
	return nil
}

// gluuReading is the document being read.
type gluuReading struct {
	*Draft

	claims *claims
	fold   bool
}

// gatewaySettings notes what the plugin's other settings mean.
func (d *Draft) gatewaySettings(document gluuDocument) {
	if !document.gateway {
		return
	}
	place := strings.TrimSuffix(document.place, "uma_scope_expression")
	set := func(key string) bool {
		text := strings.Trim(string(bytes.TrimSpace(document.members[key])), `"`)
		return text != "" && text != "false" && text != "null"
	}
	if raw, there := document.members["deny_by_default"]; there && !set("deny_by_default") {
		d.noteNarrowed(place+"deny_by_default", "it is %s: with any valid token the gateway lets pass what no path names. Here it is denied: add conditions, or unmatched: authenticated to let it pass likewise", raw)
	}
	if set("obtain_rpt") {
		d.noteChanged(place+"obtain_rpt", "the gateway gets an RPT for whom it has logged in; umagate does not: a client gets 401 with a ticket, and brings the RPT itself")
	}
	if set("require_id_token") {
		d.noteChanged(place+"require_id_token", "the gateway pushes the ID token as a claim when it gets the RPT; here the client does so, where it gets the RPT")
	}
	if set("redirect_claim_gathering_url") {
		d.noteChanged(place+"redirect_claim_gathering_url", "nobody is redirected to gather claims: the authorization server tells the client where, and the callback path has no condition")
	}
}

func (r *gluuReading) resource(place string, one gluuResource) {
	if one.Path == "" {
		r.noteNarrowed(place, "left out: it has no path")
		return
	}
	if len(one.Conditions) == 0 {
		r.noteNarrowed(place, "it has no condition. Every method of %q is denied now", one.Path)
		r.claim(place, one.Path, one.Path, nil, nobody(), nil)
	}
	for i, c := range one.Conditions {
		at := place + ".conditions[" + strconv.Itoa(i) + "]"
		var methods []string
		every := false
		for _, m := range c.Methods {
			every = every || m == "?"
			if upper := strings.ToUpper(m); upper != "" && (m == "?" || enforcer.IsForwarded(upper)) {
				methods = append(methods, upper)
			} else {
				r.noteNarrowed(at, "method %q is left out: umagate refuses each request of it", m)
			}
		}
		if methods = enforcer.Unique(methods); len(methods) == 0 {
			r.noteNarrowed(at, "left out: it names no method")
			continue
		}
		// One registration for each condition, named as oxd names it: a permission on
		// one is none on the others.
		name := "[" + strings.Join(methods, ", ") + "] " + one.Path
		if every {
			name, methods = one.Path, nil
		}
		asked, why := r.asked(at, c)
		if why != "" {
			r.noteNarrowed(at, "what it asks for cannot be written: %s. It is denied now", why)
			asked = nobody()
		}
		r.claim(at, one.Path, name, methods, asked, enforcer.Unique(c.TicketScopes))
	}
}

// asked reads what a condition needs. The text says why it cannot.
func (r *gluuReading) asked(at string, c gluuCondition) (n need, problem string) {
	scopes := enforcer.Unique(c.Scopes)
	if c.Expression == nil {
		if len(scopes) == 0 {
			return n, "it names no scope"
		}
		return r.checked(anyOf(scopes))
	}
	if len(c.Expression.Data) == 0 {
		return n, "its scope_expression has no data"
	}
	if len(scopes) > 0 {
		r.note(at, "scopes %q are left out: the scope_expression beside them is what is asked for", scopes)
	}
	rule := bytes.TrimSpace(c.Expression.Rule)
	if len(rule) == 0 || string(rule) == "null" {
		r.note(at, "scope_expression has no rule: one of its data is asked for")
		return r.checked(anyOf(enforcer.Unique(c.Expression.Data)))
	}
	decoder := json.NewDecoder(bytes.NewReader(rule))
	decoder.UseNumber()
	if err := decoder.Decode(&n.rule); err != nil {
		return n, "its rule is not JSON"
	}
	n.data = c.Expression.Data
	if text, err := json.Marshal(n.rule); err != nil || strings.Contains(string(text), "${") || n.rule == nil {
		return n, "its rule is not one of JsonLogic"
	}
	return r.checked(n)
}

func anyOf(scopes []string) need {
	var alternatives [][]string
	for _, s := range scopes {
		alternatives = append(alternatives, []string{s})
	}
	return needs(alternatives...)
}

func (r *gluuReading) checked(n need) (need, string) {
	if err := n.problem(); err != nil {
		return n, err.Error()
	}
	return n, ""
}

// claim enters what is said of methods, nil for all, under each form of the path.
func (r *gluuReading) claim(at, path, name string, methods []string, asked need, ticket []string) {
	if methods == nil {
		methods = []string{""}
	}
	reader := gluuPath{fold: r.fold}
	forms, steps := reader.forms(path)
	for _, f := range forms {
		if err := f.pattern.problem(); err != nil {
			r.noteNarrowed(at, "%q is left out: %v. umagate refuses each request for it", f.pattern.template(), err)
			continue
		}
		for _, m := range methods {
			r.claims.add(path, f, steps, m, claim{place: at, resource: name, need: asked, ticket: ticket})
		}
	}
	for _, p := range reader.problems {
		r.noteNarrowed(at, "%s", p)
	}
}
