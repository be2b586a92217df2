package decision

import (
	"time"

	"github.com/umagate/umagate/plugin/config"
	"github.com/umagate/umagate/plugin/uma"
)

// ticketRequest asks the AS for a permission ticket, for one request.
type ticketRequest struct {
	call
	granted string // the ticket, empty where there is none
}

// refuse denies a request that has no token or an insufficient one, with a ticket
// where tickets are used.
func (x *Exchange) refuse(reason Reason, now time.Time) *Step {
	switch {
	case x.live != nil:
		return x.finish(reason)
	case reason == ReasonNotPermitted && x.resourceID == "" && !x.site.oauth && x.cond.mode != config.ModeMonitor:
		x.note("ticket", "resource ", x.cond.resource, " is not registered at the AS")
		return x.finish(ReasonNotRegistered)
	case x.site.bearer || x.cond.anyToken || x.cond.mode == config.ModeMonitor:
		return x.finish(reason)
	case x.site.unknownAS:
		return x.finish(ReasonNoTicket)
	case x.cond.ticket == nil || x.resourceID == "":
		x.note("ticket", "resource ", x.cond.resource, " is not registered at the AS")
		return x.finish(ReasonNotRegistered)
	case x.retryLater(PurposeTicket, now):
		return x.finish(ReasonNoTicket)
	case x.state.inFlight >= x.site.limits.CallsInFlight:
		return x.finish(ReasonTooManyCalls)
	case !x.mayWait(0):
		return x.finish(ReasonTooManyWaiting)
	case !x.state.tickets.take(now, x.site.limits):
		return x.finish(ReasonTooManyTickets)
	}
	x.reason = reason
	x.request.token = "" // it has been judged
	c := &ticketRequest{}
	c.ticket = c
	return x.send(&c.call, PurposeTicket, &x.site.permission, x.ticket(), now)
}

// ticket is the permission request of the exchange.
func (x *Exchange) ticket() []byte {
	if x.cond.instance == nil && x.cond.pushed == nil {
		return x.cond.ticket
	}
	id, claims := unpushed(x.resourceID)
	body := make([]byte, 0, 128+len(x.cond.ticket))
	body = append(body, '[')
	body = uma.AppendPermissionRequest(body, id, x.cond.own, claims)
	return append(body, x.cond.ticket...)
}

func (c *ticketRequest) read(w *Worker, r Response) {
	outcome := CallRefused
	if !r.notSent {
		outcome = classify(r, 201)
	}
	if outcome == CallOK {
		var err error
		if c.granted, err = uma.ParseTicket(r.Body); err != nil {
			outcome = CallBadAnswer
		}
	}
	w.count(&c.call, outcome, r.Status)
}

func (c *ticketRequest) resume(x *Exchange, now time.Time) *Step {
	if c.granted != "" {
		return x.finishWith(x.reason, x.reason, c.granted)
	}
	x.failed = c.ended
	x.retryLater(PurposeTicket, now) // which the client is told
	return x.finish(ReasonNoTicket)
}
