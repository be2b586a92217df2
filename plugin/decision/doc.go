// Package decision is the core of the filter: it decides what becomes of a
// request. It has no ABI, no clock and no I/O; the host gives it a request, the
// time, and the answers of the authorization server, and gets a [Step] each time.
//
// # States
//
// An [Exchange] is one request. It begins with [Evaluator.Start] and moves on with
// [Worker.Reply]:
//
//	state        event                                        next
//	begin        site off, unknown host allowed, unmatched
//	             allowed, preflight, public, mode off         Allow
//	             bad host, path, method, Expect, credentials,
//	             unmatched denied, a condition that denies    Deny 400 403 405 417
//	             unmatched: authenticated                     as a condition that needs
//	                                                          an active token alone
//	             no token, or a cached one that does not do   ticketing
//	             a cached token that does                     Allow
//	             a token that is revoked                      ticketing
//	             a token that is not cached                   introspecting
//	             an instance that is not known                looking up
//	             too many calls in flight                     Deny 429
//	any that waits  no room to wait                           Deny 429
//	looking up   found                                        as from begin
//	             not registered                               Deny 403
//	             too many lookups                             Deny 429
//	             no answer, and none from before              Deny 503
//	introspecting  active, but not whose, and somebody's
//	             tokens are revoked                           introspecting, once
//	             active, and has what the condition needs     Allow
//	             not active, revoked, or lacks it             ticketing
//	             no answer, or one that cannot be used        Deny 503
//	ticketing    oauth_scopes, or no permission is needed:
//	             there are no tickets                         Deny 401 403
//	             too many tickets                             Deny 429
//	             201 with a ticket                            Deny 401
//	             anything else                                Deny 403 with Warning
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
