package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gateway "sigs.k8s.io/gateway-api/apis/v1"
)

// ProtectedAPI is one site: the hosts of an API, its AS, and what it protects.
type ProtectedAPI struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitzero"`

	Spec   ProtectedAPISpec   `json:"spec"`
	Status ProtectedAPIStatus `json:"status,omitzero"`
}

// ProtectedAPISpec is what a ProtectedAPI asks for.
type ProtectedAPISpec struct {
	// AuthorizationServerRef names the AS, and the client there. In another namespace, it
	// needs a ReferenceGrant of that namespace.
	AuthorizationServerRef ObjectReference `json:"authorizationServerRef"`
	// TargetRefs are what the hosts and, where all of them have some, the paths are taken
	// from: Gateways, HTTPRoutes and Services of the same namespace.
	TargetRefs []TargetReference `json:"targetRefs,omitempty"`
	// Site is the rest, with the keys of a site in umagate.yaml.
	Site Document `json:"-"`
}

// ObjectReference names an object; of the same namespace without one.
type ObjectReference struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace,omitempty"`
}

// TargetReference names what a policy is attached to, in its own namespace.
type TargetReference struct {
	Group string `json:"group"`
	Kind  string `json:"kind"`
	Name  string `json:"name"`
	// SectionName is a listener of a Gateway; empty for all of it.
	SectionName string `json:"sectionName,omitempty"`
}

// ProtectedAPIStatus is what has come of it.
type ProtectedAPIStatus struct {
	// ObservedGeneration is that of the spec which the conditions are of.
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Conditions are Accepted, Registered, Synced and Programmed.
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// Site is the name of the site at the control plane, for umagate status and the log.
	Site string `json:"site,omitempty"`
	// Hosts are those that the site has, with what comes of targetRefs.
	Hosts []string `json:"hosts,omitempty"`
	// Issuer is that of the AS.
	Issuer string `json:"issuer,omitempty"`
	// Resources are "registered/declared" at the AS, Envoys "acknowledged/connected".
	Resources string `json:"resources,omitempty"`
	Envoys    string `json:"envoys,omitempty"`
	// Ancestors are as GEP-713 has them: what the policy is attached to, and whether it holds there.
	Ancestors []gateway.PolicyAncestorStatus `json:"ancestors,omitempty"`
}

// ProtectedAPIList is a list of them.
type ProtectedAPIList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`

	Items []ProtectedAPI `json:"items"`
}

// AuthorizationServer is an AS and the client there, for the ProtectedAPIs that name it.
type AuthorizationServer struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// Spec has the keys of authorization_server in umagate.yaml. A secret is a secretKeyRef
	// in it, to a Secret of the same namespace.
	Spec   Document                  `json:"spec"`
	Status AuthorizationServerStatus `json:"status,omitzero"`
}

// AuthorizationServerStatus is what has come of it.
type AuthorizationServerStatus struct {
	// ObservedGeneration is that of the spec which the conditions are of.
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Conditions are Accepted, and why not.
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// APIs counts the ProtectedAPIs that name it and may.
	APIs int `json:"apis"`
}

// AuthorizationServerList is a list of them.
type AuthorizationServerList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`

	Items []AuthorizationServer `json:"items"`
}

// The conditions. Each is true, false with a reason and a sentence, or unknown.
const (
	// Accepted: the object is understood, what it names is there and may be named, and its
	// hosts are its own.
	Accepted = "Accepted"
	// Registered: the client is registered at the AS, and its PAT is good.
	Registered = "Registered"
	// Synced: the resources at the AS are those that are declared.
	Synced = "Synced"
	// Programmed: the Envoys have acknowledged it.
	Programmed = "Programmed"
)

// The reasons. Those that Gateway API has too are spelled as there.
const (
	ReasonAccepted        = "Accepted"
	ReasonInvalid         = "Invalid"
	ReasonConflicted      = "Conflicted"
	ReasonTargetNotFound  = "TargetNotFound"
	ReasonRefNotFound     = "RefNotFound"
	ReasonRefNotPermitted = "RefNotPermitted"
	ReasonRefInvalid      = "RefInvalid"
	ReasonSecretNotFound  = "SecretNotFound"
	ReasonPending         = "Pending"
	ReasonFailed          = "Failed"
	ReasonDone            = "Done"
	ReasonNoEnvoys        = "NoEnvoys"
	ReasonRefused         = "Refused"
)

// Finalizer keeps an object until what it has at the AS is removed.
const Finalizer = "umagate.io/deregister"

// ControllerName is that of ancestors' status.
const ControllerName gateway.GatewayController = "umagate.io/controller"
