// Package api is the control plane's HTTP API: what every operation has in common.
//
// A package that has operations declares them and lets package server join them
// into one [Router]:
//
//	func (r *Revocations) Operations() []api.Operation {
//		return []api.Operation{{
//			ID: "createRevocation", Method: http.MethodPost, Path: "/v1/revocations", Tag: "revocations",
//			Summary: "Revoke tokens on every Envoy", Role: api.Write, Status: http.StatusCreated,
//			Action: audit.RevocationCreate, Codes: []api.Code{api.CodeUnavailable},
//			Handler: api.Handle(r.create),
//		}}
//	}
//
//	type createInput struct {
//		Site string `path:"site" pattern:"^[a-z0-9_-]+$" doc:"the site's name"`
//		Kind string `query:"kind" enum:"token,subject"`
//		Body RevocationSpec
//	}
//
//	func (r *Revocations) create(ctx context.Context, in createInput) (Revocation, error)
//
// The types are the declaration: huma makes the OpenAPI document of them, and what
// is not as the document says never reaches the handler. Members without omitempty
// or omitzero are required; constraints are huma's tags (minLength, pattern, enum,
// minimum, format, …); unknown members, parameters and bodies, and null, are refused.
// A type's name is its name in the document, so two types must not share one.
//
// A body that is not JSON is a field RawBody []byte with the tag
// contentType:"text/plain": the handler gets it as it came, within bounds.
//
// A handler returns a value, or an error: a [*Problem] made by a constructor, or
// any other, which package server explains (server.explain) or else is a 500
// without words. A list embeds [Paging] and answers a [Page]. An answer with a
// Location method is a 201 with that header. Who calls is [CallerOf]; what is
// changed deeper down is recorded under their name (package audit).
//
// What the router does for every operation: request id, security headers, strict
// reading within bounds, authentication, role, the audit record of Action, HEAD,
// 405 with Allow, problems (RFC 9457) with stable codes.
//
// To join an operation: append it in (*serving).operations of package server.
package api
