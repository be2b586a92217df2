package cli

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/plugin/config"
	"github.com/umagate/umagate/plugin/decision"
)

// checkFlags are what a request is made of.
type checkFlags struct {
	fileFlags

	host, method, path string
	scopes             []string
	claims             []string
	resource           string
	issuer             string
	unregistered       bool
	token              string
	headers            []string

	message messageFlags
}

func newCheck(env Environment) *cobra.Command {
	var flags checkFlags
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Explain, step by step, what the filter would decide of a request",
		Long: `Explain what the filter would decide of a request, and why. The decision is made by
the filter's own core; nothing is sent to the API, and no ticket is asked for.

Without --scopes and --token the request has no token. With --scopes it has one that
carries these scopes: on every resource of the site, or on --resource alone, and the
claims of --claim. With --token (or $UMAGATE_TOKEN) the authorization server is asked
about a real one, with the client {id, secret} of the file. It is asked, too, for what it
keeps of a site with resources_at_as.

With --mcp-tool, --mcp-resource, --mcp-prompt or --mcp-method the request is a POST that
brings an MCP server this message.

Exit codes: 0 allowed, 1 failed, 3 denied, 64 wrong usage.`,
		Example: `  umagate check --host photos.example.com --method GET --path /albums/1
  umagate check --host photos.example.com --method PUT --path /albums/1 --scopes edit,view
  umagate check --host tools.example.com --path /mcp --mcp-tool delete_album --scopes view
  UMAGATE_TOKEN=$RPT umagate check --host photos.example.com --path /albums/1 --output json`,
		Args: cobra.NoArgs,
		RunE: flags.withFile(env, func(ctx context.Context, file *site.File, _ []string) error {
			if flags.token == "" && len(flags.scopes) == 0 {
				flags.token, _ = env.LookupEnv("UMAGATE_TOKEN")
			}
			if flags.message.given() && flags.method == "GET" {
				flags.method = "POST"
			}
			c := checker{env: env, file: file, flags: flags}
			explained, err := c.check(ctx)
			if err != nil {
				return err
			}
			err = flags.form.show(env, explained, explained.print)
			if err == nil && !explained.Allowed {
				return &exitError{code: ExitDenied}
			}
			return err
		}),
	}
	flags.register(cmd, outputText, outputJSON)
	f := cmd.Flags()
	f.StringVar(&flags.host, "host", "", "the `HOST` that the request names, with or without port")
	f.StringVarP(&flags.method, "method", "X", "GET", "its `METHOD`")
	f.StringVar(&flags.path, "path", "/", "its `PATH`, with query if it has one")
	f.StringSliceVar(&flags.scopes, "scopes", nil, "it has a token with these `SCOPES`, separated by commas")
	f.StringArrayVar(&flags.claims, "claim", nil, "with --scopes: the token has this `CLAIM`, as NAME=VALUE with NAME as in the file; may be repeated")
	f.StringVar(&flags.resource, "resource", "", "with --scopes: they are on the resource of this `NAME` alone")
	f.StringVar(&flags.issuer, "issuer", "", "with --scopes: the token names this `ISSUER`, where sites are chosen by it")
	f.BoolVar(&flags.unregistered, "unregistered", false, "of a resource with instances: assume that this one is not registered")
	f.StringVar(&flags.token, "token", "", "it has this `TOKEN`; better in $UMAGATE_TOKEN, which no process list shows")
	f.StringArrayVarP(&flags.headers, "header", "H", nil, "a further `HEADER`, as \"name: value\"; may be repeated")
	flags.message.register(cmd)
	_ = cmd.MarkFlagRequired("host")
	cmd.MarkFlagsMutuallyExclusive("scopes", "token")
	cmd.MarkFlagsMutuallyExclusive("claim", "token")
	return cmd
}

// checker makes one decision with the core and notes what it did on the way.
type checker struct {
	env   Environment
	file  *site.File
	flags checkFlags
	now   time.Time
	// kept are the resources that the AS of the site keeps.
	kept []config.Resource
	// instanceName is what the request is about, of a resource with instances.
	instanceName string
}

// assumedIssuer stands for an AS that is not asked.
const assumedIssuer = "https://as.invalid"

func (c *checker) check(ctx context.Context) (*explanation, error) {
	c.now = time.Now()
	facts := map[string]site.Facts{}
	for i := range c.file.Sites {
		s := &c.file.Sites[i]
		facts[s.Name] = assumedFacts(s)
	}
	request, err := c.request()
	if err != nil {
		return nil, err
	}
	compiled, worker, exchange, step, err := c.start(facts, request)
	if err != nil {
		return nil, err
	}
	// Which site's AS is asked shows now, and only that one is. What is protected may not be
	// in the file.
	if s, ok := c.file.Site(exchange.Site()); ok && (s.ResourcesAtAS != nil || c.flags.token != "" && step.Kind == decision.KindCall) {
		known, err := factsOf(ctx, c.env, s, false)
		if err != nil {
			return nil, fmt.Errorf("site %s: %w", s.Name, err)
		}
		if c.flags.token == "" {
			assumed := facts[s.Name]
			assumed.Kept, c.kept = known.Kept, known.Kept.Resources
			known = assumed
		}
		facts[s.Name] = known
		if compiled, worker, exchange, step, err = c.start(facts, request); err != nil {
			return nil, err
		}
	}
	out := &explanation{Request: describeRequest(c.flags)}
	for step.Kind == decision.KindCall {
		response, note, err := c.answer(ctx, compiled, step.Call)
		if err != nil {
			return nil, err
		}
		out.Calls = append(out.Calls, note)
		outcomes := worker.Reply(step.Call.ID, response, c.now)
		if len(outcomes) != 1 {
			return nil, fmt.Errorf("the core gave %d steps for one request", len(outcomes))
		}
		step = outcomes[0].Step
	}
	out.conclude(c.file, exchange.Decision(), step)
	if step.Kind == decision.KindFetch {
		out.Shows = exchange.Shows()
	}
	return out, nil
}

// start begins the request with what is known of each AS.
func (c *checker) start(facts map[string]site.Facts, request *decision.Request) (compiled config.Config, worker *decision.Worker, exchange *decision.Exchange, step decision.Step, err error) {
	if compiled, err = site.Compile(c.file, facts); err != nil {
		return compiled, nil, nil, step, err
	}
	for i := range compiled.Sites {
		if c.flags.token == "" { // what the AS says is assumed, whichever way it is asked
			compiled.Sites[i].AuthorizationServer.Evaluation = nil
		}
	}
	policy, err := decision.Compile(&compiled)
	if err != nil {
		return compiled, nil, nil, step, err
	}
	worker = decision.NewWorker()
	exchange, step = worker.Evaluator(policy).Start(request, c.now)
	if step.Kind == decision.KindRead {
		step = worker.Read(exchange, c.flags.message.body(), false, c.now)
	}
	return compiled, worker, exchange, step, nil
}

// request is what the flags describe, as the filter would see it.
func (c *checker) request() (*decision.Request, error) {
	r := &decision.Request{Headers: []decision.Header{
		{Name: ":authority", Value: c.flags.host},
		{Name: ":method", Value: c.flags.method},
		{Name: ":path", Value: c.flags.path},
		{Name: ":scheme", Value: "https"},
	}}
	for _, h := range c.flags.headers {
		name, value, err := splitHeader(h)
		if err != nil {
			return nil, &exitError{code: ExitUsage, err: err}
		}
		r.Headers = append(r.Headers, decision.Header{Name: strings.ToLower(name), Value: value})
	}
	r.Headers = append(r.Headers, c.flags.message.headers()...)
	switch {
	case c.flags.token != "":
		r.Headers = append(r.Headers, decision.Header{Name: "authorization", Value: "Bearer " + c.flags.token})
	case len(c.flags.scopes) > 0:
		r.Headers = append(r.Headers, decision.Header{Name: "authorization", Value: "Bearer " + c.assumedToken()})
	}
	return r, nil
}

// assumedToken is a token that names --issuer, where one is given.
func (c *checker) assumedToken() string {
	if c.flags.issuer == "" {
		return "assumed"
	}
	claims, _ := json.Marshal(map[string]string{"iss": c.flags.issuer}) // a map of texts can be written
	return "e30." + base64.RawURLEncoding.EncodeToString(claims) + ".assumed"
}

// answer stands for the AS: an assumed token, or what the real AS says of a real one.
func (c *checker) answer(ctx context.Context, compiled config.Config, call *decision.Call) (decision.Response, asked, error) {
	if call.Purpose == decision.PurposeLookup {
		return c.instance(call)
	}
	name := siteOfCluster(compiled, call.Cluster)
	s, ok := c.file.Site(name)
	if !ok {
		return decision.Response{}, asked{}, fmt.Errorf("the core called cluster %q, which no site has", call.Cluster)
	}
	switch call.Purpose {
	case decision.PurposeIntrospect:
		if c.flags.token != "" {
			return c.introspect(ctx, s)
		}
		body, err := c.assumed(s)
		return decision.Response{Status: 200, Body: body}, asked{What: "introspection", Answer: "assumed: a token with scopes " + strings.Join(c.flags.scopes, " ")}, err
	case decision.PurposeTicket:
		return decision.Response{Status: 201, Body: []byte(`{"ticket":"assumed"}`)},
			asked{What: "permission ticket", Permissions: permissionsOf(call.Body), Answer: "assumed: a ticket"}, nil
	case decision.PurposeEvaluate:
		return c.evaluate(ctx, s, call)
	case decision.PurposeSigningKey:
		return decision.Response{Status: 200, Body: []byte(`{"kid":"assumed","key":"` + strings.Repeat("A", 43) + `","renew_in":3600,"expires_in":3600}`)},
			asked{What: "signing key", Answer: "assumed: a key"}, nil
	case decision.PurposeLookup, decision.PurposeRegister, decision.PurposeRemove, decision.PurposeList: // of none of these
	case decision.Purposes: // only counts the others
	}
	return decision.Response{}, asked{}, fmt.Errorf("the core makes a call (%s) that this umagate does not know", call.Purpose)
}

// assumed is the introspection answer for a token with the scopes of --scopes,
// that satisfies what the site asks of every token.
func (c *checker) assumed(s *site.Site) ([]byte, error) {
	first := func(list []string, otherwise string) string {
		if len(list) > 0 {
			return list[0]
		}
		return otherwise
	}
	answer := map[string]any{
		"active":    true,
		"sub":       "assumed",
		"iss":       first(s.Token.Issuers, s.AuthorizationServer.Issuer),
		"aud":       first(s.Token.Audiences, s.Name),
		"client_id": first(s.Token.ClientIDs, "assumed"),
		"exp":       c.now.Add(time.Hour).Unix(),
		"scope":     strings.Join(c.flags.scopes, " "),
	}
	if s.Require != config.RequireOAuthScopes {
		var permissions []map[string]any
		for i := range s.Resources {
			names := c.assumedNames(s, &s.Resources[i])
			if c.flags.resource == "" || slices.Contains(names, c.flags.resource) {
				id := assumedID(s, names[len(names)-1])
				permissions = append(permissions, map[string]any{"resource_id": id, "resource_scopes": c.flags.scopes})
			}
		}
		for i := range c.kept {
			if r := &c.kept[i]; r.ID != "" && (c.flags.resource == "" || c.flags.resource == r.Name) {
				permissions = append(permissions, map[string]any{"resource_id": r.ID, "resource_scopes": c.flags.scopes})
			}
		}
		if permissions == nil {
			return nil, fmt.Errorf("site %s has no resource %q", s.Name, c.flags.resource)
		}
		answer["permissions"] = permissions
	}
	if err := addClaims(answer, c.flags.claims); err != nil {
		return nil, &exitError{code: ExitUsage, err: err}
	}
	return json.Marshal(answer)
}

// assumedFacts makes the site decidable without its AS: resources go by their
// names where the file gives no id.
func assumedFacts(s *site.Site) site.Facts {
	f := site.Facts{
		URI:           s.AuthorizationServer.Issuer,
		Introspection: assumedIssuer + "/introspect",
		Permission:    assumedIssuer + "/permission",
		Token:         assumedIssuer + "/token",
		Claims:        config.ClaimsFromResponse,
		ResourceIDs:   map[string]string{},

		EvaluatesTokens: true,
		Audience:        "assumed",
	}
	for i := range s.Resources {
		f.ResourceIDs[s.Resources[i].Name] = s.Resources[i].Name
	}
	return f
}

func assumedID(s *site.Site, name string) string {
	for i := range s.Resources {
		if s.Resources[i].Name == name && s.Resources[i].ID != "" {
			return s.Resources[i].ID
		}
	}
	return name
}

func siteOfCluster(c config.Config, cluster string) string {
	for i := range c.Sites {
		as, token := &c.Sites[i].AuthorizationServer, c.Sites[i].InternalToken
		if as.Introspection.Cluster == cluster || (as.Permission != nil && as.Permission.Cluster == cluster) || (as.Evaluation != nil && as.Evaluation.Cluster == cluster) ||
			(token != nil && token.Key.Cluster == cluster) {
			return c.Sites[i].Name
		}
	}
	return ""
}

func permissionsOf(body []byte) []config.Permission {
	var list []config.Permission
	if err := json.Unmarshal(body, &list); err != nil {
		return nil // shown as none; the core wrote it, and its tests read it
	}
	return list
}
