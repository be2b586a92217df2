// Package enforcer runs Keycloak's own policy enforcer (Maven
// org.keycloak:keycloak-policy-enforcer) for tests, which compare with it what
// "umagate import keycloak-enforcer" makes of a configuration, and what resources_at_as
// makes of the resources of a real Keycloak.
//
// Install gets it, and compiles Enforce.java, which needs a JDK. A machine that has
// not done so leaves the tests out; with UMAGATE_REQUIRE_REAL=1, as CI sets it,
// that is a failure.
package enforcer
