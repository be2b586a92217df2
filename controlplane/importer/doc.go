// Package importer makes the beginning of a umagate.yaml from what an API has
// already: an OpenAPI document ([OpenAPI]), a Keycloak policy enforcer's
// configuration ([KeycloakEnforcer]), or what an oxd application or a Gluu Gateway
// protects ([Gluu]). "umagate import" uses it.
//
// Each reader fills a [Draft]; [Draft.Finish] takes out what umagate would refuse,
// so that what [Draft.WriteTo] prints passes "umagate validate". Whatever is not
// carried over, or not exactly, is a [Note] with its place and why: nothing is
// dropped silently, because a path that is left out may be covered by a wider one.
//
// No secret of the source is copied.
package importer
