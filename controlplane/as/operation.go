package as

import "context"

// Operation is what a call to an AS is for: few enough for the label of a metric.
type Operation string

// The operations. OperationOther is of libraries that call with [HTTPClient]: they read
// keys, and Keycloak's not-before.
const (
	OperationDiscovery     Operation = "discovery"
	OperationRegistration  Operation = "registration"
	OperationToken         Operation = "token"
	OperationIntrospection Operation = "introspection"
	OperationPermission    Operation = "permission"
	OperationResource      Operation = "resource"
	OperationRevocation    Operation = "revocation"
	OperationOther         Operation = "other"
)

// Operations lists them.
func Operations() []Operation {
	return []Operation{
		OperationDiscovery, OperationRegistration, OperationToken, OperationIntrospection, OperationPermission, OperationResource, OperationRevocation,
		OperationOther,
	}
}

type operationKey struct{}

// OperationOf returns what a call is for, by the context of its request.
func OperationOf(ctx context.Context) Operation {
	if o, ok := ctx.Value(operationKey{}).(Operation); ok {
		return o
	}
	return OperationOther
}
