package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/umagate/umagate/controlplane/envoygateway"
	"github.com/umagate/umagate/controlplane/manifest"
)

func newRenderEnvoyGateway(env Environment) *cobra.Command {
	var flags renderFlags
	options := envoygateway.Options{}
	var module meshModule
	cmd := &cobra.Command{
		Use:   "envoy-gateway",
		Short: "Print Envoy Gateway's objects: the filter in the Envoys of a Gateway",
		Long: `Print the objects of Envoy Gateway that put the filter before a Gateway or one route of
it: an EnvoyExtensionPolicy with the filter and its configuration, and an EnvoyPatchPolicy
with the clusters of the authorization servers. Their credentials come by SDS from "umagate
serve": there is no secret in the objects. Envoy Gateway needs
extensionApis.enableEnvoyPatchPolicy.

Print and apply them again after each change of the file or of a resource's id.

Where the control plane is: envoy.xds, and envoy.xds_tls for its certificates, as the
Envoys have them. Without --wasm, the module is plugin.wasm, an http(s) URL.

Exit codes: 0 printed, 1 failed, 64 wrong usage.`,
		Example: `  umagate render envoy-gateway -c umagate.yaml -n edge --gateway public --wasm oci://registry.example.com/umagate-wasm:v1 | kubectl apply -f -
  umagate render envoy-gateway -c umagate.yaml -n edge --gateway public --route photos --wasm oci://registry.example.com/umagate-wasm:v1`,
		Args: cobra.NoArgs,
		RunE: run(func(ctx context.Context, _ []string) error {
			in, err := flags.compile(ctx, env)
			if err != nil {
				return err
			}
			options.Module, options.SHA256 = module.of(in.File)
			objects, err := envoygateway.Objects(in, options)
			if err != nil {
				return err
			}
			text, err := manifest.YAML(objects)
			if err != nil {
				return err
			}
			return writeTo(env, flags.out, text)
		}),
	}
	flags.register(cmd)
	module.register(cmd, &flags)
	f := cmd.Flags()
	f.StringVarP(&options.Namespace, "namespace", "n", "default", "the `NAMESPACE` of the Gateway, and of the objects")
	f.StringVar(&options.Name, "name", "umagate", "the `NAME` of the objects")
	f.StringVar(&options.Gateway, "gateway", "", "the `NAME` of the Gateway")
	f.StringVar(&options.Route, "route", "", "the `NAME` of an HTTPRoute that alone is guarded, instead of the whole Gateway")
	f.StringVar(&options.PullSecret, "pull-secret", "", "the `NAME` of the secret for the registry of an oci:// module")
	_ = cmd.MarkFlagRequired("gateway") // fails for a flag that is not there
	return cmd
}
