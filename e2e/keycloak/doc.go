// Package keycloak installs and runs a real Keycloak for tests and for trying
// umagate by hand: the judge of whether the project speaks UMA 2.0 as an
// authorization server of the field does.
//
// [Install] gets the distribution by the user's Maven, builds it once, imports
// the realm of the folder realm, and keeps the result in the user's cache
// folder. [Start] runs a copy of that in some seconds, on a port of loopback and
// with a database of its own, so that nothing a test does outlives it.
//
// The realm has the persons alice and bob, whose passwords are their names, the
// public client "app" for them, and "photos-api", a resource server's client.
// Loopback may register clients without an initial access token.
package keycloak
