// Package v1alpha1 is the Kubernetes objects of umagate.io: a [ProtectedAPI] is one site,
// an [AuthorizationServer] is the AS of several.
//
// What they have in common with umagate.yaml has its keys, its meaning and its types:
// Go reads that part as it stands, and package site decodes it. Only what Kubernetes
// adds, references and status, has types here. Package crdgen writes the definitions.
package v1alpha1
