package istio

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/umagate/umagate/controlplane/envoyconf"
	"github.com/umagate/umagate/controlplane/manifest"
)

type serviceEntry struct {
	Hosts      []string       `yaml:"hosts"`
	ExportTo   []string       `yaml:"exportTo"`
	Location   string         `yaml:"location"`
	Resolution string         `yaml:"resolution"`
	Ports      []servicePort  `yaml:"ports"`
	Endpoints  []meshEndpoint `yaml:"endpoints,omitempty"`
}

type servicePort struct {
	Number   uint32 `yaml:"number"`
	Name     string `yaml:"name"`
	Protocol string `yaml:"protocol"`
}

type meshEndpoint struct {
	Address string `yaml:"address"`
}

// serviceEntry makes an authorization server outside the mesh known to it.
func (o Options) serviceEntry(h *host) manifest.Object {
	spec := serviceEntry{Hosts: []string{h.name}, ExportTo: []string{"."}, Location: "MESH_EXTERNAL", Resolution: "DNS"}
	if h.address != "" {
		spec.Resolution, spec.Endpoints = "STATIC", []meshEndpoint{{Address: h.address}}
	}
	for _, p := range h.ports {
		protocol := "HTTP"
		if p.tls {
			// The workload's own calls of it, and of others at this port, stay as they are.
			protocol = "HTTPS"
		}
		name := fmt.Sprintf("%s-%d", strings.ToLower(protocol), p.number)
		spec.Ports = append(spec.Ports, servicePort{Number: p.number, Name: name, Protocol: protocol})
	}
	return manifest.Object{APIVersion: "networking.istio.io/v1", Kind: "ServiceEntry", Metadata: o.metadata(h.label()), Spec: spec}
}

type destinationRule struct {
	Host             string       `yaml:"host"`
	ExportTo         []string     `yaml:"exportTo"`
	WorkloadSelector selector     `yaml:"workloadSelector"`
	Subsets          []ruleSubset `yaml:"subsets"`
}

type ruleSubset struct {
	Name          string        `yaml:"name"`
	TrafficPolicy trafficPolicy `yaml:"trafficPolicy"`
}

type trafficPolicy struct {
	ConnectionPool connectionPool `yaml:"connectionPool"`
	TLS            *clientTLS     `yaml:"tls,omitempty"`
}

type connectionPool struct {
	TCP  tcpPool  `yaml:"tcp"`
	HTTP httpPool `yaml:"http"`
}

type tcpPool struct {
	MaxConnections uint32 `yaml:"maxConnections"`
	ConnectTimeout string `yaml:"connectTimeout"`
}

type httpPool struct {
	HTTP1MaxPendingRequests uint32 `yaml:"http1MaxPendingRequests"`
	HTTP2MaxRequests        uint32 `yaml:"http2MaxRequests"`
	MaxRetries              uint32 `yaml:"maxRetries"`
}

type clientTLS struct {
	Mode               string   `yaml:"mode"`
	SNI                string   `yaml:"sni,omitempty"`
	SubjectAltNames    []string `yaml:"subjectAltNames,omitempty"`
	InsecureSkipVerify bool     `yaml:"insecureSkipVerify,omitempty"`
}

// destinationRule says how the proxies speak to an authorization server. Calls with
// different credentials are different subsets, and so different clusters.
func (o Options) destinationRule(in envoyconf.Input, h *host, own map[string]*ownCluster) manifest.Object {
	spec := destinationRule{Host: h.name, ExportTo: []string{"."}, WorkloadSelector: selector{MatchLabels: o.pods()}}
	for _, s := range h.subsets {
		limits := own[s.cluster].limits()
		policy := trafficPolicy{ConnectionPool: connectionPool{
			TCP:  tcpPool{MaxConnections: limits, ConnectTimeout: own[s.cluster].connectTimeout()},
			HTTP: httpPool{HTTP1MaxPendingRequests: limits, HTTP2MaxRequests: limits, MaxRetries: limits},
		}}
		if h.isTLS(s.port) && !own[s.cluster].hasOwnTLS(in, s.site) {
			name := cmp.Or(s.site.AuthorizationServer.TLS.ServerName, h.address, h.name)
			policy.TLS = &clientTLS{Mode: "SIMPLE", SubjectAltNames: []string{name}}
			if h.address == "" || name != h.address {
				policy.TLS.SNI = name
			}
			if s.site.AuthorizationServer.TLS.InsecureSkipVerify {
				policy.TLS.InsecureSkipVerify, policy.TLS.SubjectAltNames = true, nil
			}
		}
		spec.Subsets = append(spec.Subsets, ruleSubset{Name: s.name, TrafficPolicy: policy})
	}
	return manifest.Object{APIVersion: "networking.istio.io/v1", Kind: "DestinationRule", Metadata: o.metadata(h.label()), Spec: spec}
}

func (h *host) isTLS(number uint32) bool {
	for _, p := range h.ports {
		if p.number == number {
			return p.tls
		}
	}
	return false
}
