package oxd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/oxd/protection"
	"github.com/umagate/umagate/controlplane/reconcile"
	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/controlplane/store"
	"github.com/umagate/umagate/plugin/config"
	"github.com/umagate/umagate/plugin/decision"
)

type accessParams struct {
	SiteParams

	RPT        secret.Text `json:"rpt"`
	Path       string      `json:"path"`
	HTTPMethod string      `json:"http_method"`
}

// checkFirst is done before the oxd_id is looked at, as oxd did.
func (p accessParams) checkFirst() error {
	switch {
	case strings.TrimSpace(p.HTTPMethod) == "":
		return fail(CodeInvalidHTTPMethod, "http_method is missing")
	case strings.TrimSpace(p.Path) == "":
		return fail(CodeInvalidPath, "path is missing")
	}
	return nil
}

// The values of access.
const (
	accessGranted = "granted"
	accessDenied  = "denied"
)

// accessResult has a ticket and a challenge where access is denied and the AS gave
// a ticket; else neither member is there.
type accessResult struct {
	Access    string `json:"access"`
	Challenge string `json:"www-authenticate_header,omitempty"`
	Ticket    string `json:"ticket,omitempty"`
}

func notProtected() *Error {
	return fail(CodeInvalidRequest, "Resource is not protected. Please protect your resource first with uma_rs_protect command.")
}

// anyHost is the host of a check: an oxd_id has none.
const anyHost = "oxd.invalid"

// checkAccess lets the filter's own core decide what Envoy would.
func (s *resources) checkAccess(ctx context.Context, c *Call, p accessParams) (accessResult, error) {
	rc, err := s.umaClientOf(ctx, c.RP)
	if err != nil {
		return accessResult{}, err
	}
	kept, err := s.records.Protection(ctx, c.RP.ID)
	if errors.Is(err, store.ErrNotFound) {
		return accessResult{}, notProtected()
	}
	if err != nil {
		return accessResult{}, err
	}
	policy, err := s.policy(ctx, rc, kept)
	if err != nil {
		return accessResult{}, err
	}
	d, err := protection.Parse(kept.Document)
	if err != nil {
		return accessResult{}, err
	}
	method, target := strings.ToUpper(strings.TrimSpace(p.HTTPMethod)), d.Target(p.Path)
	token := strings.TrimSpace(p.RPT.Reveal())
	made, ticket := s.decide(ctx, rc, policy, requestOf(method, target, token), secret.New(token))
	s.logger.Info("access checked", slog.String("oxd_id", c.RP.ID), slog.String("resource", made.Resource), slog.String("reason", made.Reason.String()))
	switch {
	case made.Effect == decision.EffectAllow:
		return accessResult{Access: accessGranted}, nil
	case nobodys(made.Reason), refusedUnseen(made.Reason) && s.unprotected(policy, method, target):
		return accessResult{}, notProtected()
	case ticket == "":
		return accessResult{Access: accessDenied}, nil
	}
	return accessResult{Access: accessDenied, Ticket: ticket, Challenge: fmt.Sprintf(`UMA realm="rs",as_uri=%q,error="insufficient_scope",ticket=%q`, asURI(c.RP), ticket)}, nil
}

func requestOf(method, target, token string) *decision.Request {
	request := &decision.Request{Headers: []decision.Header{{Name: ":authority", Value: anyHost}, {Name: ":method", Value: method}, {Name: ":path", Value: target}}}
	if token != "" {
		request.Headers = append(request.Headers, decision.Header{Name: "authorization", Value: "Bearer " + token})
	}
	return request
}

// nobodys reports whether nothing protects the request.
func nobodys(r decision.Reason) bool {
	return r == decision.ReasonUnmatched || r == decision.ReasonMethodNotCovered
}

// refusedUnseen reports whether the core refuses the request whatever is protected: it
// is wrong in itself.
func refusedUnseen(r decision.Reason) bool {
	return r >= decision.ReasonInvalidHost && r < decision.ReasonUnknownHost
}

// unprotected reports whether nothing protects a request that the core refuses unseen,
// however its path and its method are read. Where that cannot be told, it is protected.
func (s *resources) unprotected(policy *decision.Policy, method, target string) bool {
	// Without a token, what is protected leads to a call for a ticket, which is not made.
	reason := func(path string) decision.Reason {
		if x, step := decision.NewWorker().Evaluator(policy).Start(requestOf(method, path, ""), s.now()); step.Kind == decision.KindDeny {
			return x.Decision().Reason
		}
		return decision.ReasonNoToken
	}
	_, query, _ := strings.Cut(target, "?")
	query, _, _ = strings.Cut(query, "#")
	refused := reason("/?" + query) // whatever the path
	if refused == decision.ReasonNotForwarded {
		return true // no document can have the method
	}
	readings, ok := protection.Readings(target)
	for _, path := range readings {
		r := reason(path)
		// A query that names another method may be believed: then no method is certain.
		ok = ok && nobodys(r) && (r == decision.ReasonUnmatched || refused != decision.ReasonMethodOverride)
	}
	return ok
}

// asURI is the op_host as the RP wrote it, made whole.
func asURI(rp *RP) string {
	if strings.Contains(rp.OPHost, "://") {
		return rp.OPHost
	}
	return rp.Issuer
}

// policy compiles what an RP protects, as the publisher does for Envoy.
func (s *resources) policy(ctx context.Context, rc *rpClient, kept store.Protection) (*decision.Policy, error) {
	made, err := siteOf(rc.rp, kept, s.origin)
	if err != nil {
		return nil, err
	}
	made.Hosts = []string{"*"}
	ids, err := (&reconcile.Reconciler{Records: s.records, Key: keyOf(rc.rp)}).IDs(ctx)
	if err != nil {
		return nil, err
	}
	compiled, err := site.Compile(&site.File{Sites: []site.Site{made}}, map[string]site.Facts{made.Name: site.FactsOf(rc.server, ids)})
	if err != nil {
		return nil, err
	}
	if s.revoked != nil {
		compiled.Revocations = s.revoked()
	}
	return decision.Compile(&compiled)
}

// decide takes a request to its end. Each check asks the AS anew: nothing is cached.
func (s *resources) decide(ctx context.Context, rc *rpClient, policy *decision.Policy, request *decision.Request, token secret.Text) (made decision.Decision, ticket string) {
	worker := decision.NewWorker()
	x, step := worker.Evaluator(policy).Start(request, s.now())
	for step.Kind == decision.KindCall {
		var response decision.Response
		switch step.Call.Purpose { //nolint:exhaustive // an RP has no instances
		case decision.PurposeIntrospect:
			hint := ""
			if bytes.Contains(step.Call.Body, []byte("token_type_hint=")) {
				hint = rc.server.Dialect().TokenTypeHint
			}
			response = s.answerIntrospection(ctx, rc, token, hint)
		case decision.PurposeTicket:
			response, ticket = s.answerTicket(ctx, rc, step.Call.Body)
		}
		outcomes := worker.Reply(step.Call.ID, response, s.now())
		if len(outcomes) != 1 {
			break // there is one request; the zero decision denies
		}
		step = outcomes[0].Step
	}
	made = x.Decision()
	if made.Reason.Status() != http.StatusUnauthorized {
		ticket = "" // what came was not a ticket
	}
	return made, ticket
}

func (s *resources) answerIntrospection(ctx context.Context, rc *rpClient, token secret.Text, hint string) decision.Response {
	raw, err := rc.server.IntrospectAs(ctx, rc.auth, rc.pats, token, hint)
	if err != nil {
		return s.brokenAnswer(err, "token not introspected")
	}
	return decision.Response{Status: http.StatusOK, Body: raw}
}

func (s *resources) answerTicket(ctx context.Context, rc *rpClient, body []byte) (decision.Response, string) {
	var wanted []config.Permission
	if err := json.Unmarshal(body, &wanted); err != nil {
		return s.brokenAnswer(err, "permission request not read"), ""
	}
	ticket, err := rc.server.Protection(rc.pats).Permission(ctx, wanted)
	if patMayHaveEnded(err) {
		if _, renewErr := rc.pats.Renew(ctx); renewErr == nil {
			ticket, err = rc.server.Protection(rc.pats).Permission(ctx, wanted)
		}
	}
	if err != nil {
		return s.brokenAnswer(err, "no permission ticket"), ""
	}
	answer, err := json.Marshal(map[string]string{"ticket": ticket})
	if err != nil {
		return decision.Response{}, ""
	}
	return decision.Response{Status: http.StatusCreated, Body: answer}, ticket
}

// brokenAnswer is an answer of the AS that package as did not take.
func (s *resources) brokenAnswer(err error, what string) decision.Response {
	s.logger.Warn("the authorization server failed an application's check", slog.String("what", what), slog.Any("error", err), slog.String("remedy", as.Remedy(err)))
	if e, ok := errors.AsType[*as.Error](err); ok {
		return decision.Response{Status: e.Status, TooLarge: errors.Is(err, as.ErrTooLarge)}
	}
	return decision.Response{}
}
