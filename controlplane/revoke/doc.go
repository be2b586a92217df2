// Package revoke takes tokens back before they expire: by itself, by subject,
// client or session, or by when they were issued.
//
// A [List] keeps what is revoked in the store, and gives it to the publisher, which
// puts it into the filter's configuration ([List.Compiled]); [List.Put] is told
// which configuration has what, so that it can be said of each Envoy whether a
// revocation is in force there. What revokes: a caller of the API
// ([List.Operations]), the AS by a back-channel logout or a message of Keycloak's to
// a client's admin URL, whose signatures are checked with the AS's keys, and
// Keycloak's not-before, which is read from time to time ([List.Run]).
//
// A token is never kept: what is kept of it is its SHA-256.
package revoke
