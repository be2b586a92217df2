// Package importer makes the beginning of a umagate.yaml from what an API has
// already: an OpenAPI document ([OpenAPI]), a Keycloak policy enforcer's
// configuration ([KeycloakEnforcer], in an application's settings [Quarkus] and [Spring]),
// Keycloak's authorization export ([KeycloakAuthorization]), routes of [APISIX], the service of a
// [PingGateway], the configuration of a [Gatekeeper], policies of [Istio], or what an oxd application
// or a Gluu Gateway protects ([Gluu]). "umagate import" uses it.
//
// Each reader fills a [Draft]; [Draft.Finish] denies what umagate would refuse,
// so that what [Draft.WriteTo] prints passes "umagate validate".
//
// What cannot be written exactly asks for more, and never for less. The readers of
// OpenAPI, Gluu and the gateways say what the source asks for, pattern by pattern, as claims. The
// patterns are closed under meeting, so that each path has one that is the most
// specific, which is the one that the filter takes; and there holds what all claims
// ask for that the source could mean by the path. What cannot be read is denied.
//
// Whatever is not carried over, or not exactly, is a [Note] with its place, its
// request and why. [Draft.Show] groups them, the worst first.
//
// No secret of the source is copied.
package importer
