// Package command is the command line of umagate-controller.
package command

import (
	"context"
	"log/slog"

	"github.com/go-logr/logr"
	"github.com/spf13/pflag"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/umagate/umagate/controlplane/cli"
	"github.com/umagate/umagate/controlplane/kube"
	"github.com/umagate/umagate/controlplane/server"
	"github.com/umagate/umagate/controlplane/site"
)

// flags are those beside serve's.
type flags struct {
	kubeconfig string
	settings   kube.Settings
}

// Controller is the program.
func Controller() cli.Server {
	f := &flags{}
	return cli.Server{
		Use:   "umagate-controller",
		Short: "Run the control plane with sites from Kubernetes objects",
		Long: `Run the control plane, as "umagate serve" does, with a site for each ProtectedAPI of a
Kubernetes cluster beside those of umagate.yaml, which may have none.

It watches ProtectedAPI, AuthorizationServer and Service objects and, where the cluster
has Gateway API, Gateway, HTTPRoute and ReferenceGrant objects: of all namespaces, or of
those that --namespace names. It writes what comes of each into its status, and events.
Secrets are read by name, and only those that an AuthorizationServer names.

Replicas share a PostgreSQL: who leads there writes to the objects, too.

Exit codes: 0 stopped by SIGTERM or SIGINT, 1 failed, 64 wrong usage.`,
		Example: `  umagate-controller -c umagate.yaml
  umagate-controller -c umagate.yaml --namespace photos --namespace albums`,
		Flags:  f.register,
		Source: f.open,
	}
}

func (f *flags) register(set *pflag.FlagSet) {
	set.StringVar(&f.kubeconfig, "kubeconfig", "", "`FILE` that says where the API server is; default: $KUBECONFIG, the pod's own account, or ~/.kube/config")
	set.StringArrayVar(&f.settings.Namespaces, "namespace", nil, "watch this `NAMESPACE` only; may be given several times (default all)")
	set.StringVar(&f.settings.Options.ClusterDomain, "cluster-domain", "cluster.local", "the `DOMAIN` that services' names end with")
	set.BoolVar(&f.settings.Options.AnyUpstream, "insecure-any-upstream", false, "let an upstream be more than a service of the object's own namespace: whoever may create objects can have Envoy call it")
	set.DurationVar(&f.settings.SecretsEvery, "secrets-every", 0, "how often Secrets are read anew (default 10s)")
}

// open opens the source as the flags say.
func (f *flags) open(ctx context.Context, host server.SourceHost, file *site.File) (server.Source, error) {
	f.settings.Config = f.config
	return kube.Open(f.settings)(ctx, host, file)
}

// config says how the API server is reached.
func (f *flags) config() (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = f.kubeconfig
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig()
	if err != nil {
		return nil, err
	}
	config.UserAgent = "umagate-controller"
	return config, nil
}

// CaptureLogs has the libraries log to a logger.
func CaptureLogs(logger *slog.Logger) {
	cli.CaptureLogs(logger)
	to := logr.FromSlogHandler(logger.Handler())
	klog.SetLogger(to)
	ctrl.SetLogger(to)
}
