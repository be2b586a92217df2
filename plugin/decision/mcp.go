package decision

import (
	"strings"
	"time"

	"github.com/umagate/umagate/plugin/config"
	"github.com/umagate/umagate/plugin/mcp"
	"github.com/umagate/umagate/plugin/route"
	"github.com/umagate/umagate/plugin/uma"
)

// MCPMessage is what a request asks of an MCP server.
type MCPMessage struct {
	// Method is empty in a client's response to the server, and before the message is read.
	Method string
	// Name is of the tool, the prompt or, as a URI, of the resource; empty where the method
	// alone says what is asked for.
	Name string

	id      string       // what an answer to it has to have, as JSON; empty for none
	plain   *condition   // of the path and its HTTP method; nil for none
	headers [2]mcpHeader // that say its method and its name once more
	read    bool
	label   [2]string // the method and name that it counts under
	list    *listing  // of a request for a list of which only a part is shown; nil for none
}

type mcpHeader struct {
	value string
	given bool
}

// mcpRules are the conditions of one path on messages.
type mcpRules struct {
	texts      [mcp.Targets]route.Texts // to the index of a condition
	conditions []*condition
}

// enterMCP adds a condition to those on the messages of a template.
func (b *builder) enterMCP(path place, r *rule, m *config.MCP, c *condition) {
	if r.mcp == nil {
		r.mcp = &mcpRules{}
	}
	index := len(r.mcp.conditions)
	r.mcp.conditions = append(r.mcp.conditions, c)
	lists := [mcp.Targets]struct {
		name  string
		texts []string
	}{mcp.TargetNone: {"methods", m.Methods}, mcp.TargetTool: {"tools", m.Tools}, mcp.TargetResource: {"resources", m.Resources}, mcp.TargetPrompt: {"prompts", m.Prompts}}
	n := 0
	for target, list := range lists {
		for i, text := range list.texts {
			n++
			at := path.element(list.name, i)
			if problem := textProblem(mcp.Target(target), text); problem != "" {
				b.fault(at, problem)
				continue
			}
			switch _, added, err := r.mcp.texts[target].Add(text, index); {
			case err != nil:
				b.fault(at, err.Error())
			case !added:
				b.fault(at, "another condition of this path has it already")
			}
		}
	}
	if n == 0 {
		b.fault(path, "at least one of tools, resources, prompts and methods is needed")
	}
}

// textProblem says why no message could have a text, or why another list is for it.
func textProblem(target mcp.Target, text string) string {
	named, _ := mcp.TargetOf(text)
	switch {
	case text == "": // Texts says so
	case target == mcp.TargetNone && named != mcp.TargetNone:
		return "a message of this method is covered by what it names: write " + named.String() + "s"
	case !mcp.Plain(text):
		return "has a space at an end, or a character that cannot be seen: no message passes with it"
	case target == mcp.TargetResource && !mcp.PlainPattern(text):
		return "is no URI in canonical form (file:///docs/a%20b, scheme and host in lower case): no message passes with it"
	}
	return ""
}

// asOpen is as that of [rule].
func (m *mcpRules) asOpen(other *mcpRules) bool {
	if m == nil || other == nil {
		return m == other
	}
	if len(m.conditions) != len(other.conditions) {
		return false
	}
	for i := range m.texts {
		if !m.texts[i].Same(&other.texts[i], func(a, b int) bool { return m.conditions[a].asOpen(other.conditions[b]) }) {
			return false
		}
	}
	return true
}

// opens reports whether somebody may pass without a token.
func (m *mcpRules) opens() bool {
	for _, c := range m.conditions {
		if c.public || c.mode != config.ModeEnforce {
			return true
		}
	}
	return false
}

// locateMessage finds what is asked of a request to an MCP server: of one that brings a
// message, once its body is there. plain is the condition of the path, nil for none.
func (x *Exchange) locateMessage(plain *condition) (step *Step, done bool) {
	if x.request.upgrade {
		return x.unreadable(mcp.ProblemUpgrade), true
	}
	switch x.request.method {
	case "GET", "HEAD", "DELETE", "OPTIONS": // of streams of events and sessions, without a message
		x.forgetReplay()
		return x.settle(plain)
	case "POST":
	default:
		return x.settle(nil)
	}
	if x.request.credentials == uma.CredentialMalformed || x.request.foreign {
		x.cond = plain
		return nil, false
	}
	// Nobody's message is kept who shows no token and needs one whatever it says.
	if x.request.credentials == uma.CredentialNone && plain.guards() && !x.rule.mcp.opens() {
		x.note("mcp", "without a token the message is not read")
		return x.settle(plain)
	}
	if x.request.expects { // the API would say 100, after the decision, and that needs the message
		x.note("mcp", "the client waits for 100 before its message")
		return x.finish(ReasonExpectation), true
	}
	m := &MCPMessage{plain: plain, label: [2]string{"other", "-"}}
	x.decided.MCP = m
	if problem := m.screen(x.headers); problem != "" {
		return x.unreadable(problem), true
	}
	x.weight = headerBytes(x.headers)
	x.keep()
	x.request.token = strings.Clone(x.request.token)
	x.step = Step{Kind: KindRead}
	return &x.step, true
}

// guards reports whether a token is what is asked for.
func (c *condition) guards() bool {
	return c != nil && !c.public && !c.deny && c.mode == config.ModeEnforce
}

// screen reads the headers that say what the body is. A name that a server would fold into one of
// theirs is refused, as it is not known which of the two it believes.
func (m *MCPMessage) screen(headers []Header) mcp.Problem {
	media := false
	for i := range headers {
		h := &headers[i]
		if h.Name == "" || (h.Name[0]|0x20 != 'c' && h.Name[0]|0x20 != 'm') {
			continue
		}
		var buf [64]byte
		folded := foldName(buf[:0], h.Name)
		switch string(folded) {
		case "content-type":
			if media || h.Name != "content-type" || !mcp.IsJSON(h.Value) {
				return mcp.ProblemMedia
			}
			media = true
		case "content-encoding":
			return mcp.ProblemEncoding
		case "mcp-method", "mcp-name":
			to := &m.headers[0]
			if len(folded) == len("mcp-name") {
				to = &m.headers[1]
			}
			if to.given || h.Name != string(folded) {
				return mcp.ProblemHeader
			}
			*to = mcpHeader{strings.Clone(h.Value), true}
		}
	}
	if !media {
		return mcp.ProblemMedia
	}
	return ""
}

// MaxBody is how many bytes of its body a request of [KindRead] may have.
func (x *Exchange) MaxBody() int { return x.site.limits.MCPMessageBytes }

func (x *Exchange) unreadable(p mcp.Problem) *Step {
	x.problem = route.Problem(p)
	x.note("mcp", "the message cannot be read in one way only: ", string(p))
	return x.finish(ReasonMCPUnreadable)
}

// readMessage goes on once the body is there.
func (x *Exchange) readMessage(body []byte, tooLarge bool, now time.Time) *Step {
	m := x.decided.MCP
	m.read = true
	if tooLarge || len(body) > x.MaxBody() {
		return x.finish(ReasonMCPTooLarge)
	}
	read, problem := mcp.Read(body)
	if problem != "" {
		return x.unreadable(problem)
	}
	m.Method, m.Name, m.id = read.Method, read.Name, read.ID
	if x.listing(len(body)); x.lists() && !x.mayWait(0) {
		return x.finish(ReasonTooManyWaiting)
	}
	if !m.headers[0].says(read.Method) || !m.headers[1].says(read.Name) {
		return x.unreadable(mcp.ProblemHeader)
	}
	found, step := x.findMessage(read.Target)
	if step != nil {
		return step
	}
	if x.path.Odd() && x.readsOtherwise(found) {
		x.problem = route.ProblemSecondReading
		return x.finish(ReasonAmbiguousPath)
	}
	if step, done := x.settle(found); done {
		return step
	}
	return x.judge(now)
}

// says reports whether the header is not there, or says what the message says (MCP 2026-07-28,
// "Streamable HTTP"): as it is or, where a header cannot carry that, in base64.
func (h *mcpHeader) says(text string) bool {
	if !h.given || h.value == text {
		return true
	}
	return mcp.DecodeHeader(h.value) == text && text != ""
}

// findMessage finds the condition of the message; step is there where none has it.
func (x *Exchange) findMessage(target mcp.Target) (found *condition, step *Step) {
	m, rules := x.decided.MCP, x.rule.mcp
	text := m.Name
	if target == mcp.TargetNone {
		text = m.Method
	}
	x.note("mcp", describe(target, text))
	index, by, clash := rules.texts[target].Match(text)
	m.label = labelOf(target, m.Method, by)
	switch {
	case index < 0 && target == mcp.TargetNone && mcp.Basic(m.Method) && m.plain != nil:
		x.note("mcp", "the condition of the path covers it")
		return m.plain, nil
	case index < 0:
		x.note("mcp", "no condition has it")
		return nil, x.finish(ReasonMCPNotCovered)
	case clash >= 0:
		x.note("mcp", by, " and another pattern have it, and neither is the more specific one")
		return nil, x.finish(ReasonMCPNotCovered)
	}
	x.note("mcp", by, " has it")
	return rules.conditions[index], nil
}

// labelOf is what a message counts under; by is what the configuration has it by.
func labelOf(target mcp.Target, method, by string) [2]string {
	switch {
	case target != mcp.TargetNone && by == "":
		by = "other"
	case target != mcp.TargetNone:
	case method == "":
		return [2]string{"response", "-"}
	case by != "":
		return [2]string{by, "-"}
	case !mcp.Basic(method):
		return [2]string{"other", "-"}
	case strings.HasPrefix(method, "notifications/"):
		return [2]string{"notification", "-"}
	default:
		by = "-"
	}
	return [2]string{method, by}
}

func describe(target mcp.Target, text string) string {
	if text == "" {
		return "a response of the client's"
	}
	return target.String() + " " + text
}
