package v1alpha1

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	gateway "sigs.k8s.io/gateway-api/apis/v1"
)

// DeepCopyObject implements [runtime.Object].
func (p *ProtectedAPI) DeepCopyObject() runtime.Object { return p.DeepCopy() }

// DeepCopy returns a copy that shares nothing.
func (p *ProtectedAPI) DeepCopy() *ProtectedAPI {
	out := *p
	out.ObjectMeta = *p.ObjectMeta.DeepCopy()
	out.Spec.TargetRefs = slices.Clone(p.Spec.TargetRefs)
	out.Spec.Site = slices.Clone(p.Spec.Site)
	out.Status.Conditions = copyConditions(p.Status.Conditions)
	out.Status.Hosts = slices.Clone(p.Status.Hosts)
	if p.Status.Ancestors != nil {
		out.Status.Ancestors = make([]gateway.PolicyAncestorStatus, len(p.Status.Ancestors))
		for i := range p.Status.Ancestors {
			p.Status.Ancestors[i].DeepCopyInto(&out.Status.Ancestors[i])
		}
	}
	return &out
}

// DeepCopyObject implements [runtime.Object].
func (a *AuthorizationServer) DeepCopyObject() runtime.Object { return a.DeepCopy() }

// DeepCopy returns a copy that shares nothing.
func (a *AuthorizationServer) DeepCopy() *AuthorizationServer {
	out := *a
	out.ObjectMeta = *a.ObjectMeta.DeepCopy()
	out.Spec = slices.Clone(a.Spec)
	out.Status.Conditions = copyConditions(a.Status.Conditions)
	return &out
}

// DeepCopyObject implements [runtime.Object].
func (l *ProtectedAPIList) DeepCopyObject() runtime.Object {
	out := *l
	l.DeepCopyInto(&out.ListMeta)
	out.Items = make([]ProtectedAPI, len(l.Items))
	for i := range l.Items {
		out.Items[i] = *l.Items[i].DeepCopy()
	}
	return &out
}

// DeepCopyObject implements [runtime.Object].
func (l *AuthorizationServerList) DeepCopyObject() runtime.Object {
	out := *l
	l.DeepCopyInto(&out.ListMeta)
	out.Items = make([]AuthorizationServer, len(l.Items))
	for i := range l.Items {
		out.Items[i] = *l.Items[i].DeepCopy()
	}
	return &out
}

func copyConditions(list []metav1.Condition) []metav1.Condition {
	// A condition has no pointers but those of an immutable time.
	return slices.Clone(list)
}
