package cli

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/umagate/umagate/controlplane/importer"
)

func newImport(env Environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "import",
		Short: "Write a first umagate.yaml from what an API has already",
		Example: `  umagate import openapi openapi.yaml --out umagate.yaml
  umagate import keycloak-enforcer keycloak.json --authorization settings.json
  umagate import keycloak-authorization settings.json
  umagate import quarkus application.properties
  umagate import gatekeeper config.yaml
  umagate import istio policies.yaml --selector app=photos
  umagate import gluu uma_rs_protect.json
  umagate import oxd /opt/oxd-server`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newImportOpenAPI(env), newImportKeycloak(env), newImportAuthorization(env), newImportQuarkus(env), newImportSpring(env), newImportAPISIX(env), newImportPingGateway(env),
		newImportGatekeeper(env), newImportIstio(env), newImportGluu(env))
	for _, e := range extensions {
		cmd.AddCommand(e.importCommand(env))
	}
	return cmd
}

// importFlags are what every import has.
type importFlags struct {
	outFlags

	settings importer.Settings
	form     output
}

func (f *importFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.settings.Site, "site", "", "`NAME` of the site (default api)")
	cmd.Flags().StringArrayVar(&f.settings.Hosts, "host", nil, "`HOST` the API answers on; may be given several times")
	cmd.Flags().StringVar(&f.settings.Issuer, "issuer", "", "`URL` of the authorization server")
	f.registerForce(cmd)
	outputFlag(cmd, &f.form, outputText, outputJSON)
}

// importReport is what "import --output json" prints.
type importReport struct {
	// File is the text; empty where --out has it.
	File       string          `json:"file,omitempty"`
	Resources  int             `json:"resources"`
	Conditions int             `json:"conditions"`
	Notes      []importer.Note `json:"notes"`
}

const importNotes = `

The result passes umagate validate as it is. What cannot be written exactly becomes
narrower: a token needs more, or the request is denied. A note on standard error and at
the head of the file says so, with the place and the request. The worst come first: what
is decided differently from the source, then what is narrower, then the rest. Of many
notes of one kind the first few are shown; --output json has all.

deny: true stands where the source cannot be read, or asks for what no token can have,
so that no wider path decides instead.

Exit codes: 0 printed, 1 failed, 64 wrong usage.`

func newImportOpenAPI(env Environment) *cobra.Command {
	var flags importFlags
	by := string(importer.ByTag)
	cmd := &cobra.Command{
		Use:   "openapi FILE",
		Short: "Make resources and conditions from an OpenAPI document",
		Long: `Make resources and conditions from an OpenAPI 3.0, 3.1 or 3.2 or a Swagger 2.0 document:
paths with the servers' base paths before them, operations as methods, path parameters
as {name}, alone in a segment or with text around them. {proxy+}, {path*}, {path:.*},
{+rest}, {key...}, {name=projects/*} and x-amazon-apigateway-any-method are read, too.

Only what says who may do what is read; a fault elsewhere, such as a $ref of a schema
that points at nothing, is noted with its line.

Security becomes scopes: what one requirement lists is needed together, several
requirements are alternatives, and both make a scope_expression where it takes one.
security: [] is public. An operation that declares none, or no scope, asks for a scope
that is made up: read or write. API keys and other schemes cannot be checked by a token,
and are noted. Where a request may be one of several operations, it needs what all of
them ask for.

A server that is relative to the document is taken from --document-url; variables of a
server's URL are what --server-variable says, or their default.

Resources are named by the first tag, or the path's first segment; --resource-by path
makes one of each path.` + importNotes,
		Example: `  umagate import openapi openapi.yaml --issuer https://as.example.com --out umagate.yaml
  umagate import openapi --resource-by path --host api.example.com openapi.json`,
		Args: cobra.ExactArgs(1),
		RunE: run(func(_ context.Context, args []string) error {
			kind, err := importer.ParseResourceBy(by)
			if err != nil {
				return &exitError{code: ExitUsage, err: fmt.Errorf("--resource-by: %w", err)}
			}
			draft, err := importer.OpenAPI(args[0], kind, flags.settings)
			return flags.finish(env, draft, err)
		}),
	}
	flags.register(cmd)
	cmd.Flags().StringVar(&by, "resource-by", by, "what becomes one resource: tag or path")
	cmd.Flags().StringVar(&flags.settings.DocumentURL, "document-url", "", "`URL` that the document is served at, to which its servers may be relative")
	cmd.Flags().StringToStringVar(&flags.settings.ServerVariables, "server-variable", nil, "`NAME=VALUE` of a variable in the URLs of its servers; may be given several times")
	cmd.Flags().Lookup("server-variable").DefValue = "" // not "(default [])"
	return cmd
}

func newImportKeycloak(env Environment) *cobra.Command {
	var flags importFlags
	cmd := &cobra.Command{
		Use:   "keycloak-enforcer FILE",
		Short: "Make resources and conditions from a Keycloak policy enforcer's JSON",
		Long: `Make resources and conditions from the "policy-enforcer" of a Keycloak adapter's JSON, or
from that object itself: paths, methods and their scopes with scopes-enforcement-mode ALL,
ANY or DISABLED, enforcement-mode ENFORCING, PERMISSIVE (unmatched: authenticated) or
DISABLED, http-method-as-scope.

--authorization names Keycloak's export of the client's authorization settings (console:
client, Authorization, Export). It has what an enforcer takes from the server: paths, where
the file enforces none or lazy-load-paths or path-cache is on, and the resource for one
value of a path's parameters. Resources are then used as they are there, by their id.
Without it, what the server may have is noted.

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
environment variable CLIENT_SECRET.` + importNotes,
		Example: `  umagate import keycloak-enforcer keycloak.json --host photos.example.com --out umagate.yaml
  umagate import keycloak-enforcer keycloak.json --authorization settings.json
  CLIENT_SECRET=… umagate plan -c umagate.yaml`,
		Args: cobra.ExactArgs(1),
		RunE: flags.read(env, importer.KeycloakEnforcer),
	}
	flags.register(cmd)
	flags.registerAuthorization(cmd)
	return cmd
}

// registerAuthorization adds what imports of a policy enforcer have.
func (f *importFlags) registerAuthorization(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.settings.Authorization, "authorization", "", "`FILE` of Keycloak's export of the client's authorization settings")
}

func newImportAuthorization(env Environment) *cobra.Command {
	var flags importFlags
	cmd := &cobra.Command{
		Use:   "keycloak-authorization FILE",
		Short: "Make resources and conditions from Keycloak's authorization export",
		Long: `Make resources and conditions from Keycloak's export of a client's authorization settings
(console: client, Authorization, Export), or from the export of the whole client. The URIs
of a resource are its paths, and a request needs one of its scopes, as with a policy
enforcer that loads its paths. Resources are used as they are at Keycloak, by their id.

Policies and permissions stay at Keycloak, which evaluates them: token: {evaluate: at_as}.
They are counted in a note, and a resource that none names is noted.` + importNotes,
		Example: `  umagate import keycloak-authorization settings.json --issuer https://sso.example.com/realms/photos`,
		Args:    cobra.ExactArgs(1),
		RunE:    flags.read(env, importer.KeycloakAuthorization),
	}
	flags.register(cmd)
	return cmd
}

func newImportQuarkus(env Environment) *cobra.Command {
	var flags importFlags
	cmd := &cobra.Command{
		Use:   "quarkus FILE",
		Short: "Make resources and conditions from Quarkus's Keycloak policy enforcer",
		Long: `Make resources and conditions from quarkus.keycloak.policy-enforcer of an
application.properties or application.yaml: paths, methods, scopes and their modes, as
umagate import keycloak-enforcer does it. Issuer and client are those of quarkus.oidc.

Quarkus asks Keycloak for resources when a path is asked for (lazy-load-paths is on there
by default): --authorization has them. Where quarkus.http.auth.permission or another tenant
may guard paths, too, nothing is made public.` + importNotes,
		Example: `  umagate import quarkus src/main/resources/application.properties --authorization settings.json`,
		Args:    cobra.ExactArgs(1),
		RunE:    flags.read(env, importer.Quarkus),
	}
	flags.register(cmd)
	flags.registerAuthorization(cmd)
	cmd.Flags().StringVar(&flags.settings.Profile, "profile", "prod", "`NAME` of the profile whose settings hold")
	return cmd
}

func newImportSpring(env Environment) *cobra.Command {
	var flags importFlags
	cmd := &cobra.Command{
		Use:   "spring FILE",
		Short: "Make resources and conditions from a Spring Boot application's policy enforcer",
		Long: `Make resources and conditions from keycloak.policy-enforcer-config of an application.yaml or
application.properties, or from a policy-enforcer wherever an application keeps it, as
umagate import keycloak-enforcer does it. server.servlet.context-path stands before the
paths. Where keycloak.security-constraints may guard paths, too, nothing is made public.` + importNotes,
		Example: `  umagate import spring src/main/resources/application.yaml --authorization settings.json`,
		Args:    cobra.ExactArgs(1),
		RunE:    flags.read(env, importer.Spring),
	}
	flags.register(cmd)
	flags.registerAuthorization(cmd)
	cmd.Flags().StringVar(&flags.settings.Profile, "profile", "", "`NAME` of the profile whose documents hold beside those of none")
	return cmd
}

func newImportAPISIX(env Environment) *cobra.Command {
	var flags importFlags
	cmd := &cobra.Command{
		Use:   "apisix FILE",
		Short: "Make resources and conditions from APISIX routes with authz-keycloak",
		Long: `Make resources and conditions from the routes of an apisix.yaml, from one route, or from
what APISIX's admin API lists: those with the plugin authz-keycloak ask for its permissions,
by the path and the methods of the route. One of the permissions is enough; those on other
resources than the first's are left out. http_method_as_scope asks for the method.

Routes without the plugin are public, unless another plugin, a global rule, a host or vars
may keep a request from them. lazy_load_paths asks Keycloak: such a route is denied, and
umagate import keycloak-authorization reads what Keycloak has.` + importNotes,
		Example: `  umagate import apisix apisix.yaml --host api.example.com --out umagate.yaml`,
		Args:    cobra.ExactArgs(1),
		RunE:    flags.read(env, importer.APISIX),
	}
	flags.register(cmd)
	return cmd
}

func newImportPingGateway(env Environment) *cobra.Command {
	var flags importFlags
	cmd := &cobra.Command{
		Use:   "pinggateway FILE",
		Short: "Make resources and conditions from a PingGateway's UmaService",
		Long: `Make resources and conditions from the UmaService of a PingGateway (ForgeRock Identity
Gateway, OpenIG), wherever it is in a route or in config.json: each pattern of a resource is
one resource here, and a request needs the scopes of all actions for its method together.

Patterns of text with ".*" at the end are read. Of another one, whatever begins so needs
what it asks for. A path of several patterns needs what all of them ask for, as PingGateway
may take any. Shares are not carried over.` + importNotes,
		Example: `  umagate import pinggateway uma-route.json --issuer https://am.example.com/am/oauth2`,
		Args:    cobra.ExactArgs(1),
		RunE:    flags.read(env, importer.PingGateway),
	}
	flags.register(cmd)
	return cmd
}

func newImportGatekeeper(env Environment) *cobra.Command {
	var flags importFlags
	cmd := &cobra.Command{
		Use:   "gatekeeper FILE",
		Short: "Make conditions from a Gatekeeper's (louketo-proxy's) configuration",
		Long: `Make conditions from the configuration of Gatekeeper (gogatekeeper, before louketo-proxy and
keycloak-gatekeeper), YAML or JSON: the paths and methods of its resources, and the roles,
groups and acr that a token needs there. white-listed is public; what no resource names
needs a token (enable-default-deny), is denied (enable-default-deny-strict), or is public.
match-claims becomes token.claims.

Gatekeeper asks for no permission, and so does require: oauth_scopes with a rule that holds
for every token that has a scope, as those of Keycloak do. A token must name the client-id
in its aud. With enable-uma, Keycloak says what a path needs: it is denied here, and umagate
import keycloak-authorization or resources_at_as has it.` + importNotes,
		Example: `  umagate import gatekeeper config.yaml --host shop.example.com --out umagate.yaml`,
		Args:    cobra.ExactArgs(1),
		RunE:    flags.read(env, importer.Gatekeeper),
	}
	flags.register(cmd)
	return cmd
}

func newImportIstio(env Environment) *cobra.Command {
	var flags importFlags
	cmd := &cobra.Command{
		Use:   "istio FILE",
		Short: "Make conditions from Istio's RequestAuthentications and AuthorizationPolicies",
		Long: `Make conditions from the RequestAuthentications and AuthorizationPolicies of one workload
(security.istio.io/v1 and v1beta1), as YAML documents or as the List that kubectl get -o
yaml prints. --selector has the workload's labels, where the file has policies for others.

ALLOW rules are conditions by path, method and claims (requestPrincipals,
request.auth.claims[…]); what they do not allow is denied. DENY rules hold on top: a rule
for requests without a principal, or without a value of a claim, asks for it; any other
denies. Without an ALLOW policy the rest is public, as in Istio. What Istio knows of the
connection (principals, namespaces, IP addresses, ports), hosts, headers and CUSTOM cannot
be asked for: what is allowed by them is denied, and what may be denied, too.

Istio asks for no permission, and so does require: oauth_scopes with a rule that holds for
every token that has a scope.` + importNotes,
		Example: `  kubectl get requestauthentications,authorizationpolicies -n photos -o yaml >policies.yaml
  umagate import istio policies.yaml --selector app=photos --out umagate.yaml`,
		Args: cobra.ExactArgs(1),
		RunE: flags.read(env, importer.Istio),
	}
	flags.register(cmd)
	cmd.Flags().StringVar(&flags.settings.Selector, "selector", "", "`LABELS` of the workload whose policies hold, such as app=photos,version=v1")
	return cmd
}

func newImportGluu(env Environment) *cobra.Command {
	var flags importFlags
	cmd := &cobra.Command{
		Use:   "gluu FILE",
		Short: "Make resources and conditions from an oxd or Gluu Gateway document",
		Long: `Make resources and conditions from what an application sends to oxd with uma_rs_protect
(the command, its params, or their resources), or from the uma_scope_expression of a Gluu
Gateway's UMA plugin: path, httpMethods, scopes, ticketScopes, scope_expression.

Each condition becomes a resource of its own, named as oxd names it: "[GET] /photo". oxd's
paths are compared without case. Gluu Gateway's "?" is one segment, "??" any number. Its
{regular expression} is any segment here, which needs what every condition asks for that
may be meant.

Beware: oxd never evaluated the rule of a scope_expression at the resource server, and
umagate does.` + importNotes,
		Example: `  umagate import gluu uma_rs_protect.json --issuer https://as.example.com
  umagate import gluu kong-plugin.json --host api.example.com --out umagate.yaml`,
		Args: cobra.ExactArgs(1),
		RunE: flags.read(env, importer.Gluu),
	}
	flags.register(cmd)
	return cmd
}

// read adapts an importer of one file.
func (f *importFlags) read(env Environment, read func(source string, data []byte, settings importer.Settings) (*importer.Draft, error)) func(*cobra.Command, []string) error {
	return run(func(_ context.Context, args []string) error {
		data, err := importer.ReadSource(args[0])
		if err != nil {
			return err
		}
		draft, err := read(args[0], data, f.settings)
		if err != nil && !strings.Contains(err.Error(), args[0]) {
			err = fmt.Errorf("%s: %w", args[0], err)
		}
		return f.finish(env, draft, err)
	})
}

// finish prints the draft, and its notes on Stderr. As JSON it is one document, with
// the file in it unless --out has that.
func (f *importFlags) finish(env Environment, draft *importer.Draft, err error) error {
	if err != nil {
		return err
	}
	if err := draft.Finish(); err != nil {
		return err
	}
	var text bytes.Buffer
	if _, err := draft.WriteTo(&text); err != nil {
		return err
	}
	report := importReport{Resources: len(draft.Resources), Notes: append([]importer.Note{}, draft.Notes...)}
	for i := range draft.Resources {
		report.Conditions += len(draft.Resources[i].Conditions)
	}
	if f.form == outputJSON && f.out == "" {
		report.File = text.String()
	} else if err := f.create(env, text.Bytes()); err != nil {
		return err
	}
	if f.form == outputJSON {
		return printJSON(env.Stdout, report)
	}
	for _, shown := range draft.Show() {
		for _, line := range shown.Lines {
			_, _ = fmt.Fprintf(env.Stderr, "note (%s): %s\n", shown.Severity, printable(line))
		}
	}
	_, _ = fmt.Fprintf(env.Stderr, "umagate: %s, %s, %s\n",
		count(report.Resources, "resource"), count(report.Conditions, "condition"), count(len(report.Notes), "note"))
	return nil
}
