// Package store keeps what the control plane must not lose: how an AS was
// discovered, the client registered there, the PAT, and the resources registered.
//
// [SQL] is the store, in SQLite (sqlite.go, read.go) or PostgreSQL (postgres.go);
// [Open] takes what umagate.yaml says. Both pass the suite of package storetest. Who
// uses the store declares the few methods that it needs. Every record belongs to
// a [Key], a site together with an issuer: a site that moves to another AS starts
// anew there, and what was registered at the old one is not forgotten.
//
// Secrets are sealed before they reach the database (see package seal): a copy of the
// file without the key tells none.
//
// The order of writes is the callers' (packages server and reconcile): an intent
// stands in the store before the call to the AS that it announces, so that a
// process killed in between can find out what became of the call.
//
// Of the processes that share a store one leads, see [SQL.Lead]: it registers,
// renews and synchronises. With SQLite that is whoever locked a file beside the
// database (lock.go), with PostgreSQL whose session has an advisory lock
// (session.go). Each leader has a larger epoch than the one before, and every
// write compares it in its own transaction: one that was replaced and does not
// know it yet cannot overwrite what its successor wrote.
package store
