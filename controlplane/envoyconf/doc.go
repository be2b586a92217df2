// Package envoyconf builds the Envoy resources of a configuration: what the
// control plane pushes by xDS, and the bootstraps that "umagate render" prints.
//
// It is pure: the same [Input] gives the same resources, nothing is read and
// nothing is called. Functions are safe for concurrent use as long as nobody
// changes the Input.
//
// Credentials never stand in a cluster or in the plugin's configuration. A
// cluster's credential_injector names a secret; the secret arrives by SDS, or, in
// a static bootstrap, from its secrets section, which Envoy redacts in config_dump.
//
// Files: input.go is what goes in, cluster.go and upstream.go build clusters,
// credential.go what authenticates them, filter.go the filter itself,
// listener.go, bootstrap.go and static.go the rest of a bootstrap, encode.go writes it.
package envoyconf
