package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is that of the objects.
var GroupVersion = schema.GroupVersion{Group: "umagate.io", Version: "v1alpha1"} //nolint:gochecknoglobals // a constant

// The kinds.
const (
	ProtectedAPIKind        = "ProtectedAPI"
	AuthorizationServerKind = "AuthorizationServer"
)

// AddToScheme makes the objects known.
func AddToScheme(s *runtime.Scheme) error {
	s.AddKnownTypes(GroupVersion, &ProtectedAPI{}, &ProtectedAPIList{}, &AuthorizationServer{}, &AuthorizationServerList{})
	metav1.AddToGroupVersion(s, GroupVersion)
	return nil
}
