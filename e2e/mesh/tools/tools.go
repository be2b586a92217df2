//go:build tools

// Package tools pins what the tests of Istio, Envoy Gateway and Kubernetes run: the real
// control planes, and the tools of those who work with them. They have a module of their
// own, so that what they depend on never decides a version of umagate.
//
// Istio, Envoy Gateway and Kubernetes are in one module, because they compile most of
// each other's libraries: apart, they would take twice as long. Istio asks for some
// pseudo-versions that are not to be had any more. So go.mod names later ones, and
// "go mod tidy", which looks for the tests of every package too, is of no use here.
package tools

import (
	_ "github.com/envoyproxy/gateway/cmd/egctl"
	_ "github.com/envoyproxy/gateway/cmd/envoy-gateway"
	_ "github.com/google/go-containerregistry/cmd/crane"
	_ "go.etcd.io/etcd/server/v3"
	_ "istio.io/istio/istioctl/cmd/istioctl"
	_ "istio.io/istio/pilot/cmd/pilot-agent"
	_ "istio.io/istio/pilot/cmd/pilot-discovery"
	_ "k8s.io/kubernetes/cmd/kube-apiserver"
	_ "k8s.io/kubernetes/cmd/kubectl"
)
