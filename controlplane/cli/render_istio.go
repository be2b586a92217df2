package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/umagate/umagate/controlplane/istio"
	"github.com/umagate/umagate/controlplane/manifest"
	"github.com/umagate/umagate/controlplane/site"
)

// meshModule is where a mesh has the module from.
type meshModule struct {
	flags  *renderFlags
	sha256 string
}

func (m *meshModule) register(cmd *cobra.Command, flags *renderFlags) {
	m.flags = flags
	cmd.Flags().StringVar(&m.sha256, "sha256", "", "the `DIGEST` of the module of --wasm, or of the image of an oci:// one, in hexadecimal")
	cmd.Flags().Lookup("wasm").Usage = "the filter's module, an oci:// or https:// `URL`, instead of plugin.wasm"
}

// of returns the module's URL and digest.
func (m *meshModule) of(file *site.File) (url, digest string) {
	if m.flags.wasm == "" {
		return file.Plugin.Wasm, file.Plugin.SHA256
	}
	return m.flags.wasm, strings.TrimPrefix(m.sha256, "sha256:")
}

func newRenderIstio(env Environment) *cobra.Command {
	var flags renderFlags
	options := istio.Options{}
	way := istio.Istiod
	var module meshModule
	cmd := &cobra.Command{
		Use:   "istio",
		Short: "Print Istio's objects: the filter in the proxies of a mesh",
		Long: `Print the objects of Istio that put the filter into proxies, lead it to the authorization
servers, and give it credentials by SDS from "umagate serve". Apply them with kubectl, or
commit them for GitOps: there is no secret in them.

The proxies are named in one of three ways: the labels of pods with sidecars, those of the
pods of Istio's own gateways, or the name of a Gateway of Kubernetes' Gateway API.

By istiod, the filter and its configuration are a WasmPlugin: print and apply it again
after each change of the file or of a resource's id. A token that is revoked counts until
its max_ttl is over. By umagate, the proxies have both from "umagate serve": they follow
the file, and a revocation reaches them within a second.

Where the control plane is: envoy.xds, and envoy.xds_tls for its certificates, as the
proxies have them. Without --wasm, the module is plugin.wasm, an http(s) URL.

Exit codes: 0 printed, 1 failed, 64 wrong usage.`,
		Example: `  umagate render istio -c umagate.yaml -n photos --selector app=photos --wasm oci://registry.example.com/umagate-wasm:v1 | kubectl apply -f -
  umagate render istio -c umagate.yaml -n istio-system --gateway-selector istio=ingressgateway --wasm oci://registry.example.com/umagate-wasm:v1
  umagate render istio -c umagate.yaml -n edge --gateway public --way umagate`,
		Args: cobra.NoArgs,
		RunE: run(func(ctx context.Context, _ []string) error {
			in, err := flags.compile(ctx, env)
			if err != nil {
				return err
			}
			options.Way = way
			options.Module, options.SHA256 = module.of(in.File)
			objects, err := istio.Objects(in, options)
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
	f.StringVarP(&options.Namespace, "namespace", "n", "default", "the `NAMESPACE` of the proxies, and of the objects")
	f.StringVar(&options.Name, "name", "umagate", "the `NAME` of the objects")
	f.StringToStringVar(&options.Sidecars, "selector", nil, "the `LABELS` of pods with sidecars, app=photos")
	f.StringToStringVar(&options.Gateways, "gateway-selector", nil, "the `LABELS` of pods of Istio's gateways, istio=ingressgateway")
	f.StringVar(&options.Gateway, "gateway", "", "the `NAME` of a Gateway of Kubernetes' Gateway API")
	f.StringVar(&options.PullSecret, "pull-secret", "", "the `NAME` of the secret for the registry of an oci:// module")
	f.Var(&choice[istio.Way]{to: &way, kind: "WAY", choices: []istio.Way{istio.Istiod, istio.Umagate}}, "way", "from where proxies have the filter: istiod, umagate")
	_ = cmd.RegisterFlagCompletionFunc("way", cobra.FixedCompletions([]string{string(istio.Istiod), string(istio.Umagate)}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}
