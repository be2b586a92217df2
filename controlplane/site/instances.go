package site

import (
	"strings"
	"time"

	"github.com/umagate/umagate/plugin/config"
)

// Instances is how each Envoy worker learns of the instances of resources whose
// name has variables. Zero counts mean the filter's default.
type Instances struct {
	// How long a worker believes that an instance is registered. Default 60s; 0s
	// asks the control plane for every request.
	TTL time.Duration `yaml:"ttl" range:"0s to 24h"`
	// The same for one that is not registered. Default 2s.
	NegativeTTL time.Duration `yaml:"negative_ttl" range:"0s to 1h"`
	// How much longer one that was registered is believed to be while the control
	// plane does not answer. Default 24h; 0s not at all.
	Stale time.Duration `yaml:"stale" range:"0s to 720h"`
	config.InstanceLimits
}

// OnCreate is what follows when the API has created an instance.
type OnCreate string

// OnDelete is what follows when the API has removed an instance.
type OnDelete string

// The values of OnCreate and OnDelete, the default first.
const (
	OnCreateIgnore   OnCreate = "ignore"
	OnCreateRegister OnCreate = "register" // for the subject of the request as its owner

	OnDeleteRemove OnDelete = "remove"
	OnDeleteKeep   OnDelete = "keep"
)

// HasInstances reports whether the resource's name has variables: each tuple of
// their values has a registration of its own.
func (r *Resource) HasInstances() bool { return !r.LiteralName && strings.Contains(r.Name, "{") }

// HasInstances reports whether a resource of the site has instances, so that its
// Envoys have to reach the control plane.
func (s *Site) HasInstances() bool {
	if s.Require == config.RequireOAuthScopes {
		return false
	}
	for i := range s.Resources {
		if s.Resources[i].HasInstances() {
			return true
		}
	}
	return false
}

// HasInstances reports the same of any site.
func (f *File) HasInstances() bool {
	for i := range f.Sites {
		if f.Sites[i].HasInstances() {
			return true
		}
	}
	return false
}

const (
	// InstancesCluster names the Envoy cluster of the control plane's endpoint for
	// instances.
	InstancesCluster = "umagate/control-plane"
	// InstancesSecret names the SDS secret with what Envoy shows there.
	InstancesSecret = "umagate/control-plane"
	// InstancesPath is the path of that endpoint.
	InstancesPath = "/v1/instances"
	// instancesAuthority is the Host of calls to it; there is one, whatever its address.
	instancesAuthority = "umagate-control-plane"
)

// compileInstances is nil for a site where no resource has instances.
func compileInstances(s *Site) *config.Instances {
	if !s.HasInstances() {
		return nil
	}
	i := &s.Instances
	return &config.Instances{
		Endpoint: config.Endpoint{
			Cluster: InstancesCluster, Scheme: "http", Authority: instancesAuthority, Path: InstancesPath,
			TimeoutMS: int(s.AuthorizationServer.Timeout / time.Millisecond),
		},
		TTLMS: ttl(i.TTL), NegativeTTLMS: ttl(i.NegativeTTL), StaleMS: ttl(i.Stale),
		InstanceLimits: i.InstanceLimits,
	}
}
