// Package enforcer runs Keycloak's own policy enforcer (Maven
// org.keycloak:keycloak-policy-enforcer) for tests, which compare with it what
// "umagate import keycloak-enforcer" makes of a configuration, and what resources_at_as
// makes of the resources of a real Keycloak.
//
// It is asked in three ways: its matcher alone, the enforcer with a token that is made
// up, and as the filter of a servlet (Serve.java), which asks a real Keycloak. Whole
// configurations for the last are in testdata/decisions: a realm, and the enforcer's file.
//
// Install gets it, and compiles the Java files, which needs a JDK. A machine that has
// not done so leaves the tests out; with UMAGATE_REQUIRE_REAL=1, as CI sets it,
// that is a failure.
package enforcer
