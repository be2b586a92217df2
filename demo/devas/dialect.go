package devas

// Dialect is how a product departs from the specifications. The zero value
// departs nowhere.
type Dialect struct {
	// Prefix is the path of the issuer, "/realms/demo" for one.
	Prefix string
	Paths  Paths

	// PATWithoutScope makes every client_credentials token of a client that has the
	// UMA grant type a PAT, and refuses the scope uma_protection.
	PATWithoutScope bool
	// ForbiddenPAT answers a bad, missing or expired PAT with 403
	// invalid_bearer_token instead of 401 invalid_token.
	ForbiddenPAT bool
	// IntrospectionClientAuth refuses a PAT at the introspection endpoint: only
	// client authentication does.
	IntrospectionClientAuth bool
	// IntrospectionHint shows permissions only where token_type_hint is
	// requesting_party_token, and then leaves out sub, iss, client_id and scope.
	IntrospectionHint bool
	// IntrospectionAudience calls every token inactive whose aud lacks the client
	// that introspects, and gives tokens that are asked for nothing in particular
	// the aud "account".
	IntrospectionAudience bool
	// PermissionNames writes permissions as rsid, rsname and scopes (beside
	// resource_id and resource_scopes in introspection), with no validity of their
	// own, and under "authorization" in a JWT.
	PermissionNames bool
	// PermissionArray refuses a permission request that is not an array.
	PermissionArray bool
	// ReusableTickets keeps a ticket valid after its first use.
	ReusableTickets bool
	// AccessDenied answers 403 access_denied where the specification has
	// need_info, request_submitted and request_denied, and 403 invalid_ticket for a
	// bad ticket.
	AccessDenied bool
	// PermissionGrant evaluates the policies for an access token that is shown to the
	// token endpoint with the UMA grant and no ticket: for the resource server that
	// audience names, and for what permission asks ("<id>#<scope>,<scope>", once or
	// more), or for everything.
	PermissionGrant bool
	// SnapshotRPT keeps permissions in an RPT whose resource is gone.
	SnapshotRPT bool
	// NoClaimsInteraction leaves out the claims interaction endpoint.
	NoClaimsInteraction bool

	// ResourceObjects shows the scopes of a resource and its owner as objects, and
	// adds members of the product's own.
	ResourceObjects bool
	// StrictResources refuses unknown members of a resource description, and a name
	// that its owner already uses (409).
	StrictResources bool
	// NoLocation leaves Location out of the answer to a resource registration.
	NoLocation bool
	// PutNoContent answers an update of a resource with 204.
	PutNoContent bool
	// PageSize bounds the list of resources, paged by first and max; no bound when
	// zero.
	PageSize int

	// RealmDocument answers the issuer's own address as a realm of Keycloak's does.
	RealmDocument bool
	// StrictMetadata refuses unknown members of client metadata.
	StrictMetadata bool
	// SingleAudience refuses a client assertion whose aud is an array of several.
	SingleAudience bool
}

// Paths are the endpoints below the issuer. Empty means the default.
type Paths struct {
	JWKS, Registration, Authorization, Token, Introspection, Revocation,
	UserInfo, EndSession, Resources, Permission, Claims string
}

// Keycloak is the dialect of Keycloak 26, realm "demo", as measured on it.
func Keycloak() Dialect {
	const oidc = "/protocol/openid-connect"
	return Dialect{
		Prefix: "/realms/demo",
		Paths: Paths{
			JWKS:          oidc + "/certs",
			Registration:  "/clients-registrations/openid-connect",
			Authorization: oidc + "/auth",
			Token:         oidc + "/token",
			Introspection: oidc + "/token/introspect",
			Revocation:    oidc + "/revoke",
			UserInfo:      oidc + "/userinfo",
			EndSession:    oidc + "/logout",
			Resources:     "/authz/protection/resource_set",
			Permission:    "/authz/protection/permission",
		},
		PATWithoutScope:         true,
		ForbiddenPAT:            true,
		IntrospectionClientAuth: true,
		IntrospectionHint:       true,
		IntrospectionAudience:   true, // Since 26.7; 26.0 does not look.
		PermissionNames:         true,
		PermissionArray:         true,
		ReusableTickets:         true,
		AccessDenied:            true,
		PermissionGrant:         true,
		SnapshotRPT:             true,
		NoClaimsInteraction:     true,
		ResourceObjects:         true,
		StrictResources:         true,
		NoLocation:              true,
		PutNoContent:            true,
		PageSize:                100,
		RealmDocument:           true,
		StrictMetadata:          true,
		SingleAudience:          true,
	}
}

func (d Dialect) withDefaults() Dialect {
	for _, p := range []struct {
		value    *string
		standard string
	}{
		{&d.Paths.JWKS, "/jwks"},
		{&d.Paths.Registration, "/register"},
		{&d.Paths.Authorization, "/authorize"},
		{&d.Paths.Token, "/token"},
		{&d.Paths.Introspection, "/introspect"},
		{&d.Paths.Revocation, "/revoke"},
		{&d.Paths.UserInfo, "/userinfo"},
		{&d.Paths.EndSession, "/logout"},
		{&d.Paths.Resources, "/uma/resources"},
		{&d.Paths.Permission, "/uma/permission"},
		{&d.Paths.Claims, "/uma/claims"},
	} {
		if *p.value == "" {
			*p.value = p.standard
		}
	}
	return d
}
