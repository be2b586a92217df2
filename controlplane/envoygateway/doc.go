// Package envoygateway makes Envoy Gateway's objects of umagate.yaml: the filter for a
// Gateway or a route of it (EnvoyExtensionPolicy), and the clusters of the authorization
// servers with their credentials (EnvoyPatchPolicy).
//
// A Backend of Envoy Gateway becomes a cluster only where a route leads to it. The
// authorization server's would be one that anybody could ask through that route, with the
// credentials that Envoy adds. So the clusters are patched in, as umagate has them.
package envoygateway
