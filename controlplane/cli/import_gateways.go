package cli

import (
	"github.com/spf13/cobra"

	"github.com/umagate/umagate/controlplane/importer"
)

// gatewayImports are those of the configurations of other gateways.
func gatewayImports() []importSource {
	return []importSource{
		{
			name:  "apisix",
			short: "Make resources and conditions from APISIX routes with authz-keycloak",
			long: `Make resources and conditions from the routes of an apisix.yaml, from one route, or from
what APISIX's admin API lists: those with the plugin authz-keycloak ask for its permissions,
by the path and the methods of the route. One of the permissions is enough; those on other
resources than the first's are left out. http_method_as_scope asks for the method.

Routes without the plugin are public, unless another plugin, a global rule, a host or vars
may keep a request from them. lazy_load_paths asks Keycloak: such a route is denied, and
umagate import keycloak-authorization reads what Keycloak has.`,
			example: `  umagate import apisix apisix.yaml --host api.example.com --out umagate.yaml`,
			read:    oneFile(importer.APISIX),
		},
		{
			name:  "pinggateway",
			short: "Make resources and conditions from a PingGateway's UmaService",
			long: `Make resources and conditions from the UmaService of a PingGateway (ForgeRock Identity
Gateway, OpenIG), wherever it is in a route or in config.json: each pattern of a resource is
one resource here, and a request needs the scopes of all actions for its method together.

Patterns of text with ".*" at the end are read. Of another one, whatever begins so needs
what it asks for. A path of several patterns needs what all of them ask for, as PingGateway
may take any. Shares are not carried over.`,
			example: `  umagate import pinggateway uma-route.json --issuer https://am.example.com/am/oauth2`,
			read:    oneFile(importer.PingGateway),
		},
		{
			name:  "gatekeeper",
			short: "Make conditions from a Gatekeeper's (louketo-proxy's) configuration",
			long: `Make conditions from the configuration of Gatekeeper (gogatekeeper, before louketo-proxy and
keycloak-gatekeeper), YAML or JSON: the paths and methods of its resources, and the roles,
groups and acr that a token needs there. white-listed is public; what no resource names
needs a token (enable-default-deny), is denied (enable-default-deny-strict), or is public.
match-claims becomes token.claims.

Gatekeeper asks for no permission, and so does require: oauth_scopes with a rule that holds
for every token that has a scope, as those of Keycloak do. A token must name the client-id
in its aud. With enable-uma, Keycloak says what a path needs: it is denied here, and umagate
import keycloak-authorization or resources_at_as has it.`,
			example: `  umagate import gatekeeper config.yaml --host shop.example.com --out umagate.yaml`,
			read:    oneFile(importer.Gatekeeper),
		},
		{
			name:  "istio",
			short: "Make conditions from Istio's RequestAuthentications and AuthorizationPolicies",
			long: `Make conditions from the RequestAuthentications and AuthorizationPolicies of one workload
(security.istio.io/v1 and v1beta1), as YAML documents or as the List that kubectl get -o
yaml prints. --selector has the workload's labels, where the file has policies for others.

ALLOW rules are conditions by path, method and claims (requestPrincipals,
request.auth.claims[…]); what they do not allow is denied. DENY rules hold on top: a rule
for requests without a principal, or without a value of a claim, asks for it; any other
denies. Without an ALLOW policy the rest is public, as in Istio. What Istio knows of the
connection (principals, namespaces, IP addresses, ports), hosts, headers and CUSTOM cannot
be asked for: what is allowed by them is denied, and what may be denied, too.

Istio asks for no permission, and so does require: oauth_scopes with a rule that holds for
every token that has a scope.`,
			example: `  kubectl get requestauthentications,authorizationpolicies -n photos -o yaml >policies.yaml
  umagate import istio policies.yaml --selector app=photos --out umagate.yaml`,
			flags: func(cmd *cobra.Command, f *importFlags) {
				cmd.Flags().StringVar(&f.settings.Selector, "selector", "", "`LABELS` of the workload whose policies hold, such as app=photos,version=v1")
			},
			read: oneFile(importer.Istio),
		},
		{
			name:  "gluu",
			short: "Make resources and conditions from an oxd or Gluu Gateway document",
			long: `Make resources and conditions from what an application sends to oxd with uma_rs_protect
(the command, its params, or their resources), or from the uma_scope_expression of a Gluu
Gateway's UMA plugin: path, httpMethods, scopes, ticketScopes, scope_expression.

Each condition becomes a resource of its own, named as oxd names it: "[GET] /photo". oxd's
paths are compared without case. Gluu Gateway's "?" is one segment, "??" any number. Its
{regular expression} is any segment here, which needs what every condition asks for that
may be meant.

Beware: oxd never evaluated the rule of a scope_expression at the resource server, and
umagate does.`,
			example: `  umagate import gluu uma_rs_protect.json --issuer https://as.example.com
  umagate import gluu kong-plugin.json --host api.example.com --out umagate.yaml`,
			read: oneFile(importer.Gluu),
		},
	}
}
