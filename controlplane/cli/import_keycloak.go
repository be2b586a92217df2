package cli

import (
	"github.com/spf13/cobra"

	"github.com/umagate/umagate/controlplane/importer"
)

// keycloakImports are those of Keycloak's policy enforcer, wherever its configuration is.
func keycloakImports() []importSource {
	return []importSource{
		{
			name:  "keycloak-enforcer",
			short: "Make resources and conditions from a Keycloak policy enforcer's JSON",
			long: `Make resources and conditions from the "policy-enforcer" of a Keycloak adapter's JSON, or
from that object itself: paths, methods and their scopes with scopes-enforcement-mode ALL,
ANY or DISABLED, enforcement-mode ENFORCING, PERMISSIVE (unmatched: authenticated) or
DISABLED, http-method-as-scope.

--authorization names Keycloak's export of the client's authorization settings (console:
client, Authorization, Export). It has what an enforcer takes from the server: paths, where
the file enforces none or lazy-load-paths or path-cache is on, and the resource for one
value of a path's parameters. Resources are then used as they are there, by their id.
Without it, what the server may have is noted. Keycloak 26 exports no ids: --resource-ids
names the list of the resources, as the administration API has it.

A file without user-managed-access is of clients that send plain access tokens: token:
{evaluate: at_as} and challenge: bearer ask Keycloak what such a token may, as the enforcer
does. Where the enforcer pushes claims (claim-information-point), a path is denied unless
the export shows that no policy reads them.

Which path an enforcer takes for a request is worked out as Keycloak's own matcher does.
It is not the most specific one: "/orders/{id}/*" before "/orders/{id}" has /orders/1,
"/reports/*.pdf" has whatever ends in .pdf, "/api*" has /apis/a, and "/docs/**" and
"/files/{id}.json" have nothing. Where the filter cannot tell apart what Keycloak does,
what all of them need is asked for, or the request is denied, and a note names it. Where
Keycloak asks for nothing, although a path that is enforced reads as if it were meant,
that one is enforced here.

Issuer and client are taken over; the client's secret is not, but read from the
environment variable CLIENT_SECRET.`,
			example: `  umagate import keycloak-enforcer keycloak.json --host photos.example.com --out umagate.yaml
  umagate import keycloak-enforcer keycloak.json --authorization settings.json
  kcadm.sh get clients/UUID/authz/resource-server/resource -q max=10000 -r photos >resources.json
  umagate import keycloak-enforcer keycloak.json --authorization settings.json --resource-ids resources.json
  CLIENT_SECRET=… umagate plan -c umagate.yaml`,
			flags: authorizationFlags,
			read:  oneFile(importer.KeycloakEnforcer),
		},
		{
			name:  "keycloak-authorization",
			short: "Make resources and conditions from Keycloak's authorization export",
			long: `Make resources and conditions from Keycloak's export of a client's authorization settings
(console: client, Authorization, Export), or from the export of the whole client. The URIs
of a resource are its paths, and a request needs one of its scopes, as with a policy
enforcer that loads its paths. Resources are used as they are at Keycloak, by their id,
which --resource-ids has where the export has none.

Policies and permissions stay at Keycloak, which evaluates them: token: {evaluate: at_as}.
They are counted in a note, and a resource that none names is noted.`,
			example: `  umagate import keycloak-authorization settings.json --issuer https://sso.example.com/realms/photos`,
			flags:   resourceIDsFlag,
			read:    oneFile(importer.KeycloakAuthorization),
		},
		{
			name:  "quarkus",
			short: "Make resources and conditions from Quarkus's Keycloak policy enforcer",
			long: `Make resources and conditions from quarkus.keycloak.policy-enforcer of an
application.properties or application.yaml: paths, methods, scopes and their modes, as
umagate import keycloak-enforcer does it. Issuer and client are those of quarkus.oidc.

Quarkus asks Keycloak for resources when a path is asked for (lazy-load-paths is on there
by default): --authorization has them. Where quarkus.http.auth.permission or another tenant
may guard paths, too, nothing is made public.`,
			example: `  umagate import quarkus src/main/resources/application.properties --authorization settings.json`,
			flags: func(cmd *cobra.Command, f *importFlags) {
				authorizationFlags(cmd, f)
				cmd.Flags().StringVar(&f.settings.Profile, "profile", "prod", "`NAME` of the profile whose settings hold")
			},
			read: oneFile(importer.Quarkus),
		},
		{
			name:  "spring",
			short: "Make resources and conditions from a Spring Boot application's policy enforcer",
			long: `Make resources and conditions from keycloak.policy-enforcer-config of an application.yaml or
application.properties, or from a policy-enforcer wherever an application keeps it, as
umagate import keycloak-enforcer does it. server.servlet.context-path stands before the
paths. Where keycloak.security-constraints may guard paths, too, nothing is made public.`,
			example: `  umagate import spring src/main/resources/application.yaml --authorization settings.json`,
			flags: func(cmd *cobra.Command, f *importFlags) {
				authorizationFlags(cmd, f)
				cmd.Flags().StringVar(&f.settings.Profile, "profile", "", "`NAME` of the profile whose documents hold beside those of none")
			},
			read: oneFile(importer.Spring),
		},
	}
}

// authorizationFlags are those of a policy enforcer's imports.
func authorizationFlags(cmd *cobra.Command, f *importFlags) {
	cmd.Flags().StringVar(&f.settings.Authorization, "authorization", "", "`FILE` of Keycloak's export of the client's authorization settings")
	resourceIDsFlag(cmd, f)
}

func resourceIDsFlag(cmd *cobra.Command, f *importFlags) {
	cmd.Flags().StringVar(&f.settings.ResourceIDs, "resource-ids", "", "`FILE` of the list of the client's resources, which has the ids that an export lacks")
}
