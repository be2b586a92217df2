// Package kube makes sites of Kubernetes objects: it is a [server.Source] for
// `umagate serve`, which knows nothing of it.
//
// [Open] watches; package desired, which is pure, makes sites of what is there and says
// of each object why not; the reporter writes that, and what the control plane has made
// of each site, into the objects' status, as their events, and removes at the AS what an
// object had there that is deleted.
//
// The objects' types are in v1alpha1, their definitions in deploy/crds; deploy/chart is a Helm chart,
// deploy/kustomize a base for kustomize.
package kube

//go:generate go run ./deploygen
