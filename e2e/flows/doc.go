// Package flows is one table of OpenID Connect and UMA 2.0 flows that speaks
// nothing but HTTP to an issuer. It runs against the dev AS in each of its
// dialects and against a real product, which is the judge of whether the dev AS
// is right.
//
// What differs between issuers is said in [Issuer]: its words for a refusal, what
// it can do at all, and how a policy is made, for which no specification has an
// API. A row that needs what an issuer lacks is skipped by name.
//
//	flows.Run(t, flows.Issuer{URL: …, PartyClient: "app", Users: …, Can: …, Permit: …})
//
// Files: issuer.go is what differs; wire.go and browser.go are the HTTP client and
// the person in front of a browser; table.go runs the rows of the *_rows.go files.
package flows
