package decision

import (
	"time"

	"github.com/umagate/umagate/plugin/route"
	"github.com/umagate/umagate/plugin/uma"
)

// Line is one thing the core looked at.
type Line struct {
	// Label is what was looked at: host, site, path, method, condition, token,
	// permission, scopes, ticket, stream, decision.
	Label string `json:"label"`
	Text  string `json:"text"`
}

// Explanation is a decision and how it came about.
type Explanation struct {
	Lines    []Line
	Decision Decision
	// Step is what the client or the API would get. A denial that offers a ticket
	// has none in it.
	Step Step
	// TicketRequest is the body of the permission request that would be sent.
	TicketRequest []byte
	// Instance is the name of the registration that the request is about, where the
	// resource has instances. It stands for the resource_id that the AS gave it.
	Instance string
}

// Explain decides a request as the filter would, without a cache and without a
// call: token is what the AS says of the request's token; it is used only if the
// decision needs it. `umagate check` and the oxd API call it.
func Explain(p *Policy, r *Request, token *uma.Token, now time.Time) Explanation {
	var e Explanation
	x := &Exchange{evaluator: NewWorker().Evaluator(p), headers: r.Headers}
	x.evaluator.Client = func() string {
		x.note("pushed claims", "192.0.2.1 stands for the address of the client")
		return "192.0.2.1:0"
	}
	x.request.screen(r)
	x.trace = func(label, text string) { e.Lines = append(e.Lines, Line{label, text}) }
	step := x.begin(now)
	if step.Kind == KindRead { // who asks has no messages
		step = x.readMessage(nil, false, now)
	}
	if step.Kind == KindCall && step.Call.Purpose == PurposeLookup {
		// Which id it has is the control plane's to say; the name stands for it.
		x.leave()
		var id string
		if name, err := route.ParseName(x.cond.instance.template.name); err == nil {
			id = name.Expand(x.cond.instance.values(x.path))
		}
		e.Instance = id
		x.note("instance", "the registration of ", id, " decides; were there none, the answer would be 403 ", ReasonResourceUnknown.String())
		x.identify(id)
		step = x.proceed(now)
	}
	if step.Kind == KindCall && (step.Call.Purpose == PurposeIntrospect || step.Call.Purpose == PurposeEvaluate) {
		if token == nil {
			token = &uma.Token{}
		}
		x.leave()
		reason := x.checkRevoked(token, x.state.revoked.names(x.request.token, token, now.Unix()), now)
		if x.evaluates(reason, true) {
			resource, _ := unpushed(x.resourceID)
			x.note("evaluation", "what the AS says of ", resource, " with ", quoteList(x.cond.need.Scopes()), " decides; if it says no, the answer is the one below")
		}
		step = x.decide(reason, now)
	}
	if step.Kind == KindCall {
		e.TicketRequest = step.Call.Body
		x.note("ticket", "a permission ticket is asked for: ", string(step.Call.Body))
		step = x.finishWith(x.reason, x.reason, "…")
	}
	e.Step, e.Decision = *step, x.decided
	return e
}
