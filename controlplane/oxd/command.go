package oxd

import (
	"context"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
)

// Command is a row of the table: a name, what it takes, gives and does.
type Command struct {
	// Name is as the socket has it, with underscores.
	Name string
	// Aliases are other names of the same.
	Aliases []string
	// Open needs no protection token, on either transport.
	Open bool
	// Summary is one sentence for the OpenAPI document.
	Summary string
	// Params and Result are struct types.
	Params, Result reflect.Type

	decode func(raw json.RawMessage) (any, error)
	run    func(ctx context.Context, c *Call, params any) (any, error)
}

// Path is where HTTP has the command.
func (c *Command) Path() string { return "/" + strings.ReplaceAll(c.Name, "_", "-") }

// Call is one command under way.
type Call struct {
	Command *Command
	// RP is what oxd_id names; nil for a command without oxd_id. It is a copy.
	RP *RP
	// Caller is who the protection token was given to; nil where none was checked.
	Caller *Caller

	warnings []string
}

// warn notes what a command has not done, although it succeeds.
func (c *Call) warn(text string) { c.warnings = append(c.warnings, text) }

// define makes a row of the method that runs the command. Parameters that embed [SiteParams] get their RP
// loaded before run is called. Unknown parameters are ignored: clients send their
// whole configuration.
func define[P, R any](name, summary string, run func(ctx context.Context, c *Call, p P) (R, error)) Command {
	return Command{
		Name: name, Summary: summary,
		Params: reflect.TypeFor[P](), Result: reflect.TypeFor[R](),
		decode: func(raw json.RawMessage) (any, error) {
			var p P
			err := json.Unmarshal(raw, &p)
			return p, err
		},
		run: func(ctx context.Context, c *Call, params any) (any, error) {
			p, _ := params.(P) // decode made it
			return run(ctx, c, p)
		},
	}
}

func (c Command) open() Command {
	c.Open = true
	return c
}

func (c Command) alias(names ...string) Command {
	c.Aliases = append(slices.Clone(c.Aliases), names...)
	return c
}

// owners run the commands. Each has its own state, and the RPs.
type owners struct {
	*rps

	admission    *admission
	registration *registration
	logins       *logins
	resources    *resources
	tickets      *tickets
}

// commands is the table, in the order of the OpenAPI document.
func (o owners) commands() []Command {
	return []Command{
		define("setup_client", "Register the client whose tokens protect commands, and a site that they command.", o.registration.setupClient).open(),
		define("get_client_token", "Get the token that protects commands.", o.admission.clientToken).open(),
		define("introspect_access_token", "Ask the OP about an access token.", o.admission.introspect),
		define("register_site", "Register a client at the OP.", o.registration.registerSite),
		define("update_site", "Change the client at the OP.", o.registration.updateSite).alias("update_site_registration"),
		define("remove_site", "Forget a site, and delete its client at the OP.", o.registration.removeSite),
		define("get_authorization_url", "Begin a login.", o.logins.authorizationURL),
		define("get_tokens_by_code", "End a login.", o.logins.tokensByCode),
		define("get_access_token_by_refresh_token", "Renew an access token.", o.logins.tokensByRefresh),
		define("get_user_info", "Ask the OP about the person of an access token.", o.logins.userInfo),
		define("get_logout_uri", "Where a person is sent to log out.", o.logins.logoutURI),
		define("get_rp", "What is kept of a site.", o.describe),
		define("get_jwks", "The keys of an OP.", o.jwks),
		define("get_discovery", "The discovery document of an OP.", o.discovery),
		define("uma_rs_protect", "Protect paths and methods, at the AS and in Envoy.", o.resources.protect),
		define("uma_rs_modify", "Change the scopes of what is protected.", o.resources.modify),
		define("uma_rs_check_access", "Decide whether a request may pass, as Envoy does.", o.resources.checkAccess),
		define("introspect_rpt", "Ask the AS about an RPT.", o.resources.introspectRPT),
		define("uma_rp_get_rpt", "Exchange a permission ticket for an RPT.", o.tickets.getRPT),
		define("uma_rp_get_claims_gathering_url", "Where a person is sent to tell the AS what it needs to know.", o.tickets.claimsURL),
	}
}

// Commands lists every command, in the order of the OpenAPI document. They describe
// themselves; a [Server] runs them.
func Commands() []Command { return owners{}.commands() }

// byName finds commands without regard to case, as oxd did.
func byName(commands []Command) map[string]*Command {
	out := map[string]*Command{}
	for _, c := range commands {
		for _, name := range append([]string{c.Name}, c.Aliases...) {
			out[name] = &c
		}
	}
	return out
}
