package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/umagate/umagate/controlplane/envoyconf"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/plugin/config"
)

func newRender(env Environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "render",
		Short: "Print configuration made from umagate.yaml",
		Example: `  umagate render envoy -c umagate.yaml --out envoy.yaml
  umagate render bootstrap -c umagate.yaml > bootstrap.yaml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newRenderEnvoy(env), newRenderBootstrap(env), newRenderXDSSecrets(env), newRenderPluginConfig(env), newRenderIstio(env), newRenderEnvoyGateway(env), newRenderSchema(env))
	return cmd
}

// renderFlags are what "render envoy" and "render plugin-config" share.
type renderFlags struct {
	fileFlags
	outFlags

	wasm    string
	offline bool
	// static: there will be no control plane.
	static bool
}

func (f *renderFlags) register(cmd *cobra.Command, forms ...output) {
	f.fileFlags.register(cmd, forms...)
	f.outFlags.register(cmd)
	cmd.Flags().StringVar(&f.wasm, "wasm", "", "the filter's module as Envoy finds it, a `PATH` or URL, instead of plugin.wasm")
	cmd.Flags().BoolVar(&f.offline, "offline", false, "do not ask the authorization server for its endpoints and resource ids")
}

// compile reads the file, asks each AS what is not in it, and compiles.
func (f *renderFlags) compile(ctx context.Context, env Environment) (envoyconf.Input, error) {
	file, err := f.load(env)
	if err != nil {
		return envoyconf.Input{}, err
	}
	if f.wasm != "" {
		file.Plugin.Wasm = f.wasm
	}
	if f.static {
		if err := envoyconf.CheckStatic(file); err != nil {
			return envoyconf.Input{}, err
		}
	}
	in := envoyconf.Input{File: file, Facts: map[string]site.Facts{}}
	for i := range file.Sites {
		s := &file.Sites[i]
		facts, err := factsOf(ctx, env, s, f.offline)
		if err != nil {
			return in, fmt.Errorf("site %s: %w", s.Name, err)
		}
		in.Facts[s.Name] = facts
		warnUnregistered(env, s, facts)
	}
	in.Config, err = site.Compile(file, in.Facts)
	return in, err
}

func warnUnregistered(env Environment, s *site.Site, facts site.Facts) {
	if s.Require == config.RequireOAuthScopes {
		return
	}
	for i := range s.Resources {
		r := &s.Resources[i]
		if r.NeedsPermission() && !r.HasInstances() && r.ID == "" && facts.ResourceIDs[r.Name] == "" {
			_, _ = fmt.Fprintf(env.Stderr, "warning: site %s: resource %s has no id, and so everything it protects is denied; register it at the authorization server and write its id into the file, as id: …\n", s.Name, r.Name)
		}
	}
}

func newRenderEnvoy(env Environment) *cobra.Command {
	var flags renderFlags
	cmd := &cobra.Command{
		Use:   "envoy",
		Short: "Print a bootstrap with everything in it, for an Envoy without control plane",
		Long: `Print an Envoy bootstrap with everything static: listener, routes, filter, clusters and
credentials. Envoy needs no control plane then, and renews the PAT itself with the
client's credential. Each site needs client {id, secret} and an upstream.

Resource ids that are not in the file are looked up by name at the authorization
server, unless --offline.

client_secret_basic needs Envoy 1.40: only its auth_type TLS_CLIENT_AUTH keeps the secret
out of the body. For an older Envoy write token_endpoint_auth_method: client_secret_post,
if the authorization server accepts it.

The output contains the client secrets: protect it as you protect them. With --out the file
is readable by you alone; it is warned of where standard output is a file that others can
read.

Exit codes: 0 printed, 1 failed, 64 wrong usage.`,
		Example: `  umagate render envoy -c umagate.yaml --wasm ./umagate.wasm --out envoy.yaml
  envoy -c envoy.yaml`,
		Args: cobra.NoArgs,
		RunE: run(func(ctx context.Context, _ []string) error {
			flags.static = true
			in, err := flags.compile(ctx, env)
			if err != nil {
				return err
			}
			bootstrap, err := envoyconf.Static(in)
			if err != nil {
				return err
			}
			if flags.out == "" {
				warnReadable(env, "client secrets", ", or write it with --out FILE")
			}
			return writeMessage(env, flags.out, flags.form, bootstrap)
		}),
	}
	flags.register(cmd, outputYAML, outputJSON)
	return cmd
}

func newRenderBootstrap(env Environment) *cobra.Command {
	var (
		flags fileFlags
		to    outFlags
	)
	cmd := &cobra.Command{
		Use:   "bootstrap",
		Short: "Print a bootstrap for an Envoy that \"umagate serve\" controls",
		Long: `Print an Envoy bootstrap that says where "umagate serve" is. Everything else comes from
there by xDS, and follows the file: listener, routes, upstreams, the filter, the
authorization server's clusters and their credentials. With listen.xds_tls, Envoy shows
the certificate that envoy.xds_tls names.

It is the same for every group; node.id and node.cluster stay yours to set. "umagate
status" names an Envoy that started with an older one. There is no secret in it.

Exit codes: 0 printed, 1 failed, 64 wrong usage.`,
		Example: `  umagate render bootstrap -c umagate.yaml > bootstrap.yaml
  umagate serve -c umagate.yaml & envoy -c bootstrap.yaml`,
		Args: cobra.NoArgs,
		RunE: flags.withFile(env, func(_ context.Context, file *site.File, _ []string) error {
			bootstrap, err := envoyconf.Dynamic(file)
			if err != nil {
				return err
			}
			return writeMessage(env, to.out, flags.form, bootstrap)
		}),
	}
	flags.register(cmd, outputYAML, outputJSON)
	to.register(cmd)
	cmd.Flags().StringVar(new(string), "group", "", "is without effect")
	_ = cmd.Flags().MarkDeprecated("group", "the bootstrap is the same for every group") // fails for a flag that is not there
	return cmd
}

func newRenderXDSSecrets(env Environment) *cobra.Command {
	var (
		flags fileFlags
		out   string
	)
	cmd := &cobra.Command{
		Use:   "xds-secrets",
		Short: "Write the files of envoy.xds_tls.sds_folder",
		Long: `Write the two files that tell Envoy where its certificate for the control plane is, and
the CA that verifies the control plane. They name files and hold no secret: put them where
envoy.xds_tls.sds_folder says. Envoy notices a file that is renamed into the certificate's
folder, as Kubernetes does with a mounted secret.

Exit codes: 0 written, 1 failed, 64 wrong usage.`,
		Example: `  umagate render xds-secrets -c umagate.yaml --out /etc/envoy/sds`,
		Args:    cobra.NoArgs,
		RunE: flags.withFile(env, func(_ context.Context, file *site.File, _ []string) error {
			if file.Listen.XDSTLS == nil {
				return errors.New("listen.xds_tls is not in the file: Envoy needs no certificate")
			}
			files, err := envoyconf.XDSSecrets(file)
			if err != nil {
				return err
			}
			for _, name := range slices.Sorted(maps.Keys(files)) {
				if err := writeMessage(env, filepath.Join(out, name), outputYAML, files[name]); err != nil {
					return err
				}
			}
			return nil
		}),
	}
	flags.register(cmd)
	cmd.Flags().StringVar(&out, "out", ".", "write into this `FOLDER`")
	_ = cmd.MarkFlagDirname("out")
	return cmd
}

func newRenderPluginConfig(env Environment) *cobra.Command {
	var flags renderFlags
	cmd := &cobra.Command{
		Use:   "plugin-config",
		Short: "Print the filter's own configuration",
		Long: `Print the document that the filter is configured with, to put into an Envoy, Istio or
Envoy Gateway configuration of your own. There is no secret in it.

Exit codes: 0 printed, 1 failed, 64 wrong usage.`,
		Example: `  umagate render plugin-config -c umagate.yaml | jq .sites[].name`,
		Args:    cobra.NoArgs,
		RunE: run(func(ctx context.Context, _ []string) error {
			in, err := flags.compile(ctx, env)
			if err != nil {
				return err
			}
			var text bytes.Buffer
			if err := printJSON(&text, in.Config); err != nil {
				return err
			}
			return writeTo(env, flags.out, text.Bytes())
		}),
	}
	flags.register(cmd)
	return cmd
}

func newRenderSchema(env Environment) *cobra.Command {
	return &cobra.Command{
		Use:   "json-schema",
		Short: "Print the JSON Schema of umagate.yaml, for editors",
		Long: `Print the JSON Schema of umagate.yaml. Editors complete and check with it, for example
by a first line "# yaml-language-server: $schema=umagate.schema.json".

Exit codes: 0 printed, 1 failed, 64 wrong usage.`,
		Example: `  umagate render json-schema > umagate.schema.json`,
		Args:    cobra.NoArgs,
		RunE: run(func(context.Context, []string) error {
			_, err := env.Stdout.Write(site.JSONSchema())
			return err
		}),
	}
}
