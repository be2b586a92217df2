package flows

import (
	"net/http"
	"slices"
	"testing"
)

// Capability is something that not every issuer can do.
type Capability string

// The capabilities.
const (
	// PATScope: a PAT is asked for with the scope uma_protection.
	PATScope Capability = "pat_scope"
	// PATIntrospection: a PAT as Bearer is enough at the introspection endpoint.
	PATIntrospection Capability = "pat_introspection"
	// PlainIntrospection: a resource server may introspect an access token that is
	// not meant for it in particular.
	PlainIntrospection Capability = "plain_introspection"
	// SinglePermission: a permission request may be one object.
	SinglePermission Capability = "single_permission"
	// ResourceLocation: a registered resource is told by Location, too.
	ResourceLocation Capability = "resource_location"
	// SingleUseTickets: a ticket is good for one use.
	SingleUseTickets Capability = "single_use_tickets"
	// NeedInfo: an unknown requesting party is asked for claims, pushed or gathered.
	NeedInfo Capability = "need_info"
	// PCT: a persisted claims token comes with an RPT.
	PCT Capability = "pct"
	// Upgrade: an RPT can be upgraded by a ticket, and the answer says so.
	Upgrade Capability = "upgrade"
	// PermissionTimes: each permission has an exp of its own.
	PermissionTimes Capability = "permission_times"
	// Sub: introspection of an RPT tells sub and client_id.
	Sub Capability = "sub"
	// LiveResources: a deleted resource is gone from RPTs already issued.
	LiveResources Capability = "live_resources"
	// JWTRPT: an RPT is a JWT that the JWKS verifies.
	JWTRPT Capability = "jwt_rpt"
	// UMAGrantListed: the grant types of discovery have the UMA grant.
	UMAGrantListed Capability = "uma_grant_listed"
	// OwnResourcesOnly: a resource server cannot ask for a ticket for another's
	// resource, though it knows the id.
	OwnResourcesOnly Capability = "own_resources_only"
	// RefreshRotation: a refresh token is good for one use.
	RefreshRotation Capability = "refresh_rotation"
)

// Refusal is an issuer's words for no.
type Refusal struct {
	Status int
	Code   string
}

// Policy is what a row asks the issuer to allow.
type Policy struct {
	// ResourceServer is the client_id that registered the resource.
	ResourceServer string
	ResourceID     string
	ResourceName   string
	Scopes         []string
	// User is the name of the person who may.
	User string
}

// Issuer is an Authorization Server under test and what is peculiar to it.
type Issuer struct {
	// URL is the issuer as it names itself.
	URL string
	// HTTP makes the calls; http.DefaultClient when nil.
	HTTP *http.Client
	// PartyClient is the client_id of a public client with the password grant, the
	// authorization code grant and refresh tokens, that the requesting party uses.
	PartyClient string
	// RedirectURI is one of PartyClient's; nothing needs to listen there.
	RedirectURI string
	// Users are the names and passwords of "alice" and "bob".
	Users map[string]string
	// InitialAccessToken opens registration where that is not open to all.
	InitialAccessToken string

	Can []Capability
	// TokenTypeHint is sent with introspection.
	TokenTypeHint string

	// Denied, BadTicket and BadPAT are the words for a party without permission, a
	// ticket that is no good, and a PAT that is no good.
	Denied, BadTicket, BadPAT Refusal

	// Permit makes a policy.
	Permit func(t *testing.T, p Policy)
	// Forbid takes back all policies for a resource server's resource; nil skips
	// the rows that need it.
	Forbid func(t *testing.T, p Policy)
	// AskOwner makes the resource alice's, and lets who has no permission wait for
	// her; the function it returns is her yes to all who wait. Nil skips the rows
	// that need it.
	AskOwner func(t *testing.T, p Policy) (approve func())
}

func (i Issuer) can(c Capability) bool { return slices.Contains(i.Can, c) }
