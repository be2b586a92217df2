// Package rpt walks the client's side of UMA: a request, the challenge, the
// authorization server (AS), the requesting party's own token, the UMA grant, and
// the request again with the RPT (UMA Grant section 3).
//
// [Flow.Run] is the whole walk. Each HTTP exchange is shown to the Flow's Observe
// as a [Step], with every credential redacted. "umagate rpt" is its caller.
//
// The API names the AS in its challenge. That is no reason to trust it with a
// password: [Flow] sends credentials only to an AS that is https or on loopback,
// and, where ExpectAS is set, to that one alone.
//
// Files: challenge.go reads WWW-Authenticate, flow.go is the walk, grant.go the UMA
// grant, party.go and gather.go ask the requesting party, wire.go asks the API and shows
// what is asked of the AS.
package rpt
