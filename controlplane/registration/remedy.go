package registration

import (
	"errors"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/enforcer"
	"github.com/umagate/umagate/controlplane/kept"
	"github.com/umagate/umagate/controlplane/reconcile"
	"github.com/umagate/umagate/controlplane/store"
)

// Remedy says in one sentence what an operator can do about err; empty when nothing is
// known.
func Remedy(err error) string {
	for _, r := range []struct {
		kind error
		text string
	}{
		{reconcile.ErrConflict, "Rename the resource in umagate.yaml, remove the other one at the AS, or take it over with adopt: true or umagate apply --adopt NAME."},
		{reconcile.ErrOtherSite, "Rename the resource in umagate.yaml, or give each site a client of its own. If the other site stands in no file any more, put it back and let umagate deregister --site NAME remove what it has."},
		{reconcile.ErrGone, "None needed: umagate serve registers it anew, and so does another umagate apply."},
		{reconcile.ErrManyDeletions, "Look at umagate plan; if they are meant, run umagate apply on a terminal, or umagate apply --yes --deletions N."},
		{reconcile.ErrAmbiguous, "Remove those that are not needed at the AS, or write the id: of the right one into umagate.yaml."},
		{ErrKeptAtAS, "Change them at the authorization server; umagate refresh reads them at once."},
		{ErrNoPaths, "Declare the paths in resources, and take resources_at_as out."},
		{kept.ErrRemovals, "Look with umagate plan at what is gone. If that is meant, run umagate refresh --accept-removals."},
		{kept.ErrWithdrawn, "Name those that are to be public in resources, and write unmatched: deny."},
		{enforcer.ErrTooMany, "Give the resources at the authorization server fewer paths that overlap, such as endings (/*.html) below many others."},
		{store.ErrLocked, "Wait for the other umagate, or look at what it does with umagate status."},
		{store.ErrReplaced, "Nothing is to be done: another replica leads."},
		{errLogin, "Let the owner of the resources log in: umagate login --site NAME. Until then Envoys keep the PAT they have."},
		{errDryLogin, "Start umagate serve, which renews the PAT and keeps the next refresh token, and plan again."},
		{errDeregistering, "Wait for the umagate deregister that is at it, or finish one that was cut off: umagate deregister --site NAME."},
		{errDeregistered, "Take the site out of umagate.yaml, or register it again with umagate apply."},
		{errLeftBehind, "Look for unused clients at the authorization server, and find out what stands between. umagate apply tries again at once."},
		{errOutcomeUnknown, "Look whether the authorization server has an unused client of this name. umagate apply tries again at once."},
		{errExpiry, "Renew the secret at the authorization server, or register with another method: umagate deregister, and then umagate apply."},
		{errNoManagement, "Change the client at the authorization server, or begin anew: umagate deregister --force, and then umagate apply."},
		{errMethodRefused, "Correct client in umagate.yaml: for private_key_jwt with keys.jwks_uri, see that the authorization server reaches it. It is tried again when the file changes, or with umagate apply."},
		{errNoKey, "Restore the store's backup, or begin anew: umagate deregister --force, and then umagate apply."},
		{errNoGrantCredential, "Write client.token_endpoint_auth_method: tls_client_auth or client_secret_basic; or token.evaluate: as_issued."},
		{errNoEnvoyCredential, "Write client.token_endpoint_auth_method: tls_client_auth or client_secret_basic; or, where the authorization server takes the PAT there (Keycloak does not), introspection.credential: pat."},
		{store.ErrCrowded, "Let PostgreSQL take more connections (max_connections; a replica needs 25 at most), or find out who holds them. umagate serve goes on by itself."},
		{store.ErrSealed, "Start with the key file or store_key that the database was written with."},
	} {
		if errors.Is(err, r.kind) {
			return r.text
		}
	}
	return as.Remedy(err)
}

// NeedsPerson reports whether a site waits for what only a person can do about it.
func NeedsPerson(err error) bool {
	return errors.Is(err, errLogin) || errors.Is(err, errDeregistered) || errors.Is(err, errNoEnvoyCredential) || errors.Is(err, errNoGrantCredential)
}
