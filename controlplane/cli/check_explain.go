package cli

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/plugin/config"
	"github.com/umagate/umagate/plugin/decision"
)

// explanation is what "umagate check" prints.
type explanation struct {
	Request requestInfo `json:"request"`
	Site    string      `json:"site,omitempty"`
	// Mode is the site's, in words.
	Mode     string `json:"mode,omitempty"`
	Resource string `json:"resource,omitempty"`
	// Template is the path template that matched; Conditions what it asks of each method.
	Template   string          `json:"template,omitempty"`
	Conditions []conditionInfo `json:"conditions,omitempty"`
	Calls      []asked         `json:"calls,omitempty"`
	Allowed    bool            `json:"allowed"`
	Effect     string          `json:"effect"`
	Reason     string          `json:"reason"`
	Detail     string          `json:"detail"`
	Problem    string          `json:"problem,omitempty"`
	Status     int             `json:"status,omitempty"`
	Headers    []headerInfo    `json:"headers,omitempty"`
	Forwarded  *forwardInfo    `json:"forwarded,omitempty"`
	// Shows is what conditions name of what a list shows, where it shows only a part.
	Shows []string `json:"shows,omitempty"`
}

type requestInfo struct {
	Method string `json:"method"`
	Host   string `json:"host"`
	Path   string `json:"path"`
	Token  string `json:"token"`
	// MCP is the message to an MCP server that it brings.
	MCP string `json:"mcp,omitempty"`
}

type conditionInfo struct {
	Methods []string `json:"methods,omitempty"`
	// MCP are the messages that it is for, where it names some.
	MCP   string `json:"mcp,omitempty"`
	Needs string `json:"needs"`
}

// asked is one question to the AS.
type asked struct {
	What        string              `json:"what"`
	Permissions []config.Permission `json:"permissions,omitempty"`
	Answer      string              `json:"answer"`
}

type headerInfo struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type forwardInfo struct {
	Host    string       `json:"host,omitempty"`
	Path    string       `json:"path,omitempty"`
	Set     []headerInfo `json:"set,omitempty"`
	Removed []string     `json:"removed,omitempty"`
}

func describeRequest(f checkFlags) requestInfo {
	r := requestInfo{Method: f.method, Host: f.host, Path: f.path, Token: "none", MCP: f.message.described()}
	switch {
	case f.token != "":
		r.Token = "given"
	case len(f.scopes) > 0:
		r.Token = "assumed, with scopes " + strings.Join(f.scopes, " ")
		if f.resource != "" {
			r.Token += " on " + f.resource
		}
	}
	return r
}

// conclude takes over what the core decided.
func (e *explanation) conclude(file *site.File, d decision.Decision, step decision.Step) {
	e.Site, e.Resource, e.Template = d.Site, d.Resource, d.Condition
	e.Effect, e.Reason, e.Detail = d.Effect.String(), d.Reason.String(), d.Reason.Detail()
	e.Problem = string(d.Problem)
	e.Allowed = step.Kind == decision.KindAllow || step.Kind == decision.KindFetch
	if s, ok := file.Site(d.Site); ok {
		e.Mode = modeOf(s)
		e.Conditions = conditionsOf(s, d.Condition)
	}
	if e.Allowed {
		e.Forwarded = &forwardInfo{Host: step.Allow.Authority, Path: step.Allow.Path, Set: headers(step.Allow.Set), Removed: step.Allow.Remove}
		return
	}
	e.Status, e.Headers = step.Deny.Status, headers(step.Deny.Headers)
}

// modeOf says in which mode a request to the site is decided.
func modeOf(s *site.Site) string {
	if s.MonitorsInPart() {
		return "monitor; a condition is enforced, and so is whatever is denied before a condition is known"
	}
	return string(s.Mode)
}

func headers(list []decision.Header) []headerInfo {
	var out []headerInfo
	for _, h := range list {
		out = append(out, headerInfo(h))
	}
	return out
}

// conditionsOf lists what a template asks, of whatever method: the one that the
// core applied is among them.
func conditionsOf(s *site.Site, template string) []conditionInfo {
	var out []conditionInfo
	for i := range s.Resources {
		for j := range s.Resources[i].Conditions {
			c := &s.Resources[i].Conditions[j]
			if slices.Contains(c.Paths, template) {
				out = append(out, conditionInfo{Methods: c.Methods, MCP: covers(c.MCP), Needs: needs(c)})
			}
		}
	}
	return out
}

func needs(c *site.Condition) string {
	switch {
	case c.Public:
		return "nothing: it is public"
	case c.Deny:
		return "what nobody has: it is denied"
	case c.ScopeExpression != nil:
		return fmt.Sprintf("%s over %s", c.ScopeExpression.Rule, strings.Join(c.ScopeExpression.Data, ", "))
	default:
		return "one of " + strings.Join(c.Scopes, ", ")
	}
}

func (e *explanation) print(p *page) {
	line := func(label, format string, args ...any) {
		p.printf("%-10s %s\n", label, fmt.Sprintf(format, args...))
	}
	line("request", "%s %s%s, token: %s", e.Request.Method, e.Request.Host, e.Request.Path, e.Request.Token)
	if e.Site != "" {
		line("site", "%s", e.Site)
		line("mode", "%s", e.Mode)
	} else {
		line("site", "none has this host and path")
	}
	if e.Request.MCP != "" {
		line("mcp", "%s", e.Request.MCP)
	}
	if e.Problem != "" {
		what := "path"
		if e.Reason == decision.ReasonMCPUnreadable.String() {
			what = "mcp"
		}
		line(what, "ambiguous: %s", e.Problem)
	}
	if e.Template != "" {
		line("template", "%s of resource %s", e.Template, e.Resource)
	}
	for _, c := range e.Conditions {
		methods := "any method"
		if len(c.Methods) > 0 {
			methods = strings.Join(c.Methods, ", ")
		}
		if c.MCP != "" {
			methods = c.MCP
		}
		line("condition", "%s needs %s", methods, c.Needs)
	}
	for _, c := range e.Calls {
		line("asks", "%s", c.What)
		for _, asked := range c.Permissions {
			line("", "resource %s, scopes %s", asked.ResourceID, strings.Join(asked.ResourceScopes, " "))
		}
		line("", "answer %s", c.Answer)
	}
	if e.Shows != nil {
		line("shows", "of the list only: %s", cmp.Or(strings.Join(e.Shows, ", "), "nothing"))
	}
	line("decision", "%s", strings.TrimSuffix(fmt.Sprintf("%s (%s): %s", e.Effect, e.Reason, e.Detail), ": "))
	if !e.Allowed {
		line("answer", "%d", e.Status)
		for _, h := range e.Headers {
			line("", "%s: %s", h.Name, h.Value)
		}
	} else if e.Forwarded != nil {
		if e.Forwarded.Host != "" {
			line("forwards", "host %s", e.Forwarded.Host)
		}
		if e.Forwarded.Path != "" {
			line("forwards", "%s", e.Forwarded.Path)
		}
		for _, h := range e.Forwarded.Set {
			line("sets", "%s: %s", h.Name, h.Value)
		}
		for _, name := range e.Forwarded.Removed {
			line("removes", "%s", name)
		}
	}
}
