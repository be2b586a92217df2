// Package kept makes conditions of the resources that an authorization server keeps with
// their paths (Keycloak), for sites with resources_at_as.
//
// A [Reading] is what was read of the AS and is in force. [Reading.Next] says what comes
// of a new look at it: resources that are gone in numbers stay as they were until
// somebody accepts it, and paths that were protected are remembered. [Compile] makes the
// conditions, by package enforcer: they ask for what Keycloak's policy enforcer asks for
// that loads its paths from the server, or for more.
package kept
