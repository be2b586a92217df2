// Package istio makes Istio's objects of umagate.yaml: what puts the filter into the
// proxies of a mesh, leads it to the authorization servers, and gives it credentials.
//
// There are two ways. By [Istiod], the filter and its configuration are a WasmPlugin, and
// the authorization servers are hosts of the mesh (ServiceEntry, DestinationRule). By
// [Umagate], the proxies have both from the control plane itself, over a stream beside
// istiod's (EnvoyFilter). In both, credentials come from the control plane by SDS, and no
// secret is in what is made here.
//
// [Objects] chooses; plugin.go and extension.go have the two ways, hosts.go the
// authorization servers as hosts of the mesh.
package istio
