// Package decision is the core of the filter: it decides what becomes of a
// request. It has no ABI, no clock and no I/O; the host gives it a request, the
// time, and the answers of the authorization server, and gets a [Step] each time.
//
// # States
//
// An [Exchange] is one request. It begins with [Evaluator.Start] and moves on with
// [Worker.Read] and [Worker.Reply]:
//
//	state          event                                                                          next
//	begin          unknown_host_allowed, off, public, cors_preflight, unmatched_allowed           Allow
//	begin          permitted, unmatched_authenticated, by a cached token                          Allow
//	begin          permitted, unmatched_authenticated, by a stale token, in an outage             Allow
//	begin          cors_preflight_answered                                                        Deny 204
//	begin          metadata_answered                                                              Deny 200
//	begin          invalid_host, ambiguous_path, invalid_request, method_override                 Deny 400
//	begin          method_not_forwarded                                                           Deny 405
//	begin          expectation_failed                                                             Deny 417
//	begin          unknown_host, unmatched_path, method_not_covered, denied                       Deny 403
//	begin          mcp_unreadable: by its headers                                                 Deny 400
//	begin          a message to an MCP server whose tools are guarded                             reading
//	begin          foreign_page                                                                   Deny 403
//	begin          cors_origin_not_allowed                                                        Deny 403
//	begin          resource_unknown: its values are empty or too long, or cached so               Deny 403
//	begin          resource_not_registered                                                        Deny 403
//	begin          no_ticket: the AS is unknown, or asked to be called later                      Deny 403
//	begin          as_unreachable: the AS is unknown, and there is a token                        Deny 503
//	begin          as_busy: the AS asked to be called later                                       Deny 503
//	begin          too_many_lookups, too_many_calls, too_many_tickets, too_many_waiting           Deny 429
//	begin          too_many_evaluations, too_many_streams                                         Deny 429
//	begin          an instance that is not known                                                  looking up
//	begin          a token that is not cached                                                     introspecting
//	begin          a cached token that lacks a permission, older than 1 s                         introspecting
//	begin          a cached token, not known whose, and somebody's are revoked                    introspecting
//	begin          a token that is not cached, where the AS evaluates it                          evaluating
//	begin          a cached token that lacks a permission, where the AS evaluates it              evaluating
//	begin          no_token, revoked_token                                                        ticketing
//	begin          what introspecting finds, of a cached token                                    ticketing
//	begin          what leads to ticketing, where there are no tickets                            Deny 401
//	begin          insufficient_permission, as cached, of oauth_scopes or with challenge bearer   Deny 403
//	begin          need_info, request_submitted: as cached, with challenge bearer                 Deny 403
//	begin          insufficient_user_authentication                                               Deny 401
//	begin          insufficient_claims                                                            Deny 403
//	begin          a cached token, not all of whose claims are known                              introspecting
//	begin          a cached token that does, and no key to sign what the API is told              keying
//	begin          no_signing_key: there was none a moment ago                                    Deny 503
//	reading        a message that a condition has                                                 as from begin
//	reading        a list that shows what the caller may use, to a caller that may ask for it     listing
//	reading        the same, where the AS evaluates tokens                                        evaluating
//	reading        mcp_unreadable                                                                 Deny 400
//	reading        mcp_not_covered                                                                Deny 403
//	reading        mcp_too_large                                                                  Deny 413
//	looking up     found, or found before and now no answer                                       as from begin
//	looking up     resource_unknown, resource_not_registered                                      Deny 403
//	looking up     too_many_lookups                                                               Deny 429
//	looking up     control_plane_unreachable, lookup_failed                                       Deny 503
//	introspecting  permitted, unmatched_authenticated                                             Allow
//	introspecting  no answer, and what was known of the token is enough                           Allow
//	introspecting  enough, of a list that shows what the caller may use                           listing
//	introspecting  answered, and its turn has not come                                            introspecting
//	introspecting  active, not said whose, and somebody's are revoked                             introspecting
//	introspecting  inactive_token, revoked_token, revocation_unknown                              ticketing
//	introspecting  expired_token, token_not_yet_valid, wrong_issuer, wrong_audience               ticketing
//	introspecting  wrong_client, not_an_access_token, sender_constrained_token                    ticketing
//	introspecting  insufficient_permission, request_submitted                                     ticketing
//	introspecting  too little, or another audience, where the AS evaluates the token              evaluating
//	introspecting  what leads to ticketing, where there are no tickets                            Deny 401
//	introspecting  insufficient_user_authentication                                               Deny 401
//	introspecting  insufficient_claims                                                            Deny 403
//	introspecting  active, and not said what claims it has that count                             introspecting
//	introspecting  insufficient_permission, of oauth_scopes or with challenge bearer              Deny 403
//	introspecting  request_submitted, before, with challenge bearer                               Deny 403
//	introspecting  resource_not_registered, no_ticket                                             Deny 403
//	introspecting  too_many_tickets, too_many_calls, too_many_waiting, too_many_evaluations       Deny 429
//	introspecting  too_many_streams                                                               Deny 429
//	introspecting  as_unreachable, as_refused, as_error, as_bad_answer, as_busy                   Deny 503
//	introspecting  a token that does, and no key to sign what the API is told                     keying
//	introspecting  no_signing_key                                                                 Deny 503
//	evaluating     permitted                                                                      Allow
//	evaluating     no answer, and what was known of the token is enough                           Allow
//	evaluating     enough, of a list that shows what the caller may use                           listing
//	evaluating     the same, and not all that it could show is known                              evaluating
//	evaluating     answered, and its turn has not come                                            evaluating
//	evaluating     a ticket, an RPT, or another call to follow                                    evaluating
//	evaluating     granted, not said whose the token is, and somebody's are revoked               introspecting
//	evaluating     inactive_token, revoked_token                                                  ticketing
//	evaluating     expired_token, token_not_yet_valid, wrong_issuer, wrong_audience               ticketing
//	evaluating     wrong_client, not_an_access_token, sender_constrained_token                    ticketing
//	evaluating     insufficient_permission, need_info, request_submitted                          ticketing
//	evaluating     what leads to ticketing, with challenge bearer                                 Deny 401
//	evaluating     insufficient_user_authentication                                               Deny 401
//	evaluating     insufficient_claims                                                            Deny 403
//	evaluating     granted, and not said what claims the token has that count                     introspecting
//	evaluating     insufficient_permission, need_info, request_submitted: with challenge bearer   Deny 403
//	evaluating     resource_not_registered, no_ticket                                             Deny 403
//	evaluating     too_many_tickets, too_many_calls, too_many_waiting, too_many_streams           Deny 429
//	evaluating     as_unreachable, as_refused, as_error, as_bad_answer, as_busy                   Deny 503
//	evaluating     a token that does, and no key to sign what the API is told                     keying
//	evaluating     no_signing_key                                                                 Deny 503
//	listing        what may be shown of the list, or another answer                               Deny 200
//	listing        mcp_list_unreadable                                                            Deny 502
//	listing        mcp_server_unreachable                                                         Deny 503
//	keying         a key                                                                          as from begin
//	keying         no_signing_key                                                                 Deny 503
//	ticketing      a ticket                                                                       Deny 401
//	ticketing      no_ticket                                                                      Deny 403
//
// An event with the code of a [Reason] is what was found; "unmatched: authenticated" goes
// on as a condition that needs an active token alone. A test takes every row, and fails on
// a transition that has none.
//
// In mode monitor every Deny becomes an Allow that says what it would have been,
// and no ticket is asked for. The mode is the condition's. Before a condition is
// known it is the strictest of the site: the request may be for what is enforced.
// What could harm the connection to the API, or have it read another request, is
// denied in every mode, to a host that no site has, too.
//
// The zero [Step] denies.
//
// Of many requests that wait for one call, a host may take some at a time
// ([Worker.Bound], [Worker.Next]).
//
// What is known of a token is stale once its time has ended. It permits what it did, as
// long as the site allows, while the AS cannot be asked: in an outage, which begins when
// there is no answer about a token that was active, at once.
//
// A token that is in use is asked about again before its time ends, by a call that no
// request waits for ([Worker.Due]).
//
// Where the site says so, a request that was let through is looked at again until its
// stream ends ([Worker.Look]): after each push, every second, and by asking the AS when what
// is known of its token is over. What would be denied as a new request is denied then, too.
//
// Where the AS evaluates tokens, one that has no permission for a request is asked about
// once more: whether it may. Yes becomes a permission of the token, no is remembered
// beside the tokens that are not active. That is one call, or several where the AS wants a
// permission ticket; the first of the requests that wait carries each.
//
// Where the API is told in a signed token who asks, the control plane gives the key. It is
// asked for by the first request that needs it, and before it ends by a call that no
// request waits for.
//
// Where the site says so, the lists of an MCP server show what the caller may use. A request
// for one that is permitted is not let pass but sent in a call of the filter's own
// ([KindFetch]), whose answer is read as a whole, and answered with what is left of it: the
// Deny of the table.
//
// An instance that the API creates or removes is told to the control plane after
// its answer has gone out ([Worker.Ended]), again and again until it has heard.
//
// # Who calls it
//
// plugin/filter inside Envoy, one [Worker] for each Envoy worker and one [Evaluator]
// for each configuration; controlplane for `umagate check` and for
// uma_rs_check_access of oxd. A Worker and its Evaluators belong to one goroutine; a
// [Policy] is immutable and may be shared.
package decision
