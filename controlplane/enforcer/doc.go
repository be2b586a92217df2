// Package enforcer is how Keycloak's policy enforcer chooses among the paths of its
// configuration: by comparing texts, which is neither what its documentation says of
// them nor what the filter does.
//
// [Paths.Choose] is org.keycloak.common.util.PathMatcher as it was seen to behave,
// written anew; e2e/keycloak/enforcer runs both side by side.
//
// [Source.Conditions] makes conditions of the filter that ask for what the enforcer asks
// for. It compares two readings of paths: which one the enforcer takes for a request, and
// which template the filter. The templates are refined until the enforcer takes one path
// for all requests of each, as far as that goes; what is left needs what all of them ask
// for, so that nothing passes that the enforcer would not let pass. What is not exact is
// told to [Notes].
package enforcer
