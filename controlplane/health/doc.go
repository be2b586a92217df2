// Package health says what is the matter: conditions, each with a name that does not
// change, a sentence, whom it hits, and what to do.
//
// kinds.go is the catalogue. Whoever finds something puts it on a [Board]: the worker of
// a site, the prober, the store's watch. What follows from other state is made when it
// is asked for (controlplane/server/conditions.go). `umagate status`, /v1/status,
// /readyz and the metrics show the same list, of one moment.
//
// docs/status.md is generated from the catalogue.
package health

//go:generate go run ./docgen
