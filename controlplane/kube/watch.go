package kube

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/cluster"
	gateway "sigs.k8s.io/gateway-api/apis/v1"
	gatewaybeta "sigs.k8s.io/gateway-api/apis/v1beta1"

	"github.com/umagate/umagate/controlplane/kube/desired"
	"github.com/umagate/umagate/controlplane/kube/v1alpha1"
)

const (
	// callsPerSecond and callsAtOnce bound what is asked of the API server.
	callsPerSecond, callsAtOnce = 100, 200
	// syncWithin is how long all that is there may take to be read.
	syncWithin = 2 * time.Minute
)

var (
	errNoDefinitions = errors.New("the API server does not know ProtectedAPI and AuthorizationServer of umagate.io/v1alpha1: apply controlplane/kube/deploy/crds first")
	errNotRead       = errors.New("what is there was not read in time: look whether the service account may list and watch it")
)

// kinds are what may be watched beside umagate's own: what the cluster has.
type kinds struct{ gateway bool }

// connect makes what reads and writes objects. It asks the API server which kinds there are.
func connect(config *rest.Config, namespaces []string) (cluster.Cluster, kinds, error) {
	config = rest.CopyConfig(config)
	config.QPS, config.Burst = callsPerSecond, callsAtOnce
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, v1alpha1.AddToScheme, gateway.Install, gatewaybeta.Install} {
		if err := add(scheme); err != nil {
			return nil, kinds{}, err
		}
	}
	made, err := cluster.New(config, func(o *cluster.Options) {
		o.Scheme = scheme
		o.Cache.DefaultTransform = slim
		o.Cache.ReaderFailOnMissingInformer = true
		if len(namespaces) > 0 {
			o.Cache.DefaultNamespaces = map[string]cache.Config{}
			for _, n := range namespaces {
				o.Cache.DefaultNamespaces[n] = cache.Config{}
			}
		}
	})
	if err != nil {
		return nil, kinds{}, err
	}
	for _, kind := range []string{v1alpha1.ProtectedAPIKind, v1alpha1.AuthorizationServerKind} {
		_, err := made.GetRESTMapper().RESTMapping(v1alpha1.GroupVersion.WithKind(kind).GroupKind(), v1alpha1.GroupVersion.Version)
		if meta.IsNoMatchError(err) {
			return nil, kinds{}, errNoDefinitions
		}
		if err != nil {
			return nil, kinds{}, err
		}
	}
	var out kinds
	_, err = made.GetRESTMapper().RESTMapping(schema.GroupKind{Group: gateway.GroupName, Kind: "ReferenceGrant"}, gatewaybeta.GroupVersion.Version)
	switch {
	case err == nil:
		out.gateway = true
	case !meta.IsNoMatchError(err):
		return nil, kinds{}, err
	}
	return made, out, nil
}

// slim drops what nobody looks at, for memory.
func slim(o any) (any, error) {
	if object, ok := o.(client.Object); ok {
		object.SetManagedFields(nil)
		annotations := object.GetAnnotations()
		delete(annotations, corev1.LastAppliedConfigAnnotation)
		object.SetAnnotations(annotations)
	}
	return o, nil
}

// service is a Service's name, and nothing else of it.
func service() *metav1.PartialObjectMetadata {
	out := &metav1.PartialObjectMetadata{}
	out.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Service"))
	return out
}

// watch begins to watch, and waits until what is there has been read.
func (s *source) watch(ctx context.Context) error {
	objects := []client.Object{&v1alpha1.ProtectedAPI{}, &v1alpha1.AuthorizationServer{}, service()}
	if s.kinds.gateway {
		objects = append(objects, &gateway.Gateway{}, &gateway.HTTPRoute{}, &gatewaybeta.ReferenceGrant{})
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop = stop
	failed := make(chan error, 1)
	go func() {
		defer close(s.watching)
		failed <- s.cluster.Start(running)
	}()
	syncing, cancel := context.WithTimeout(ctx, syncWithin)
	defer cancel()
	for _, o := range objects {
		informer, err := s.cluster.GetCache().GetInformer(syncing, o)
		if err == nil {
			_, err = informer.AddEventHandler(s.handler())
		}
		if err != nil {
			return errors.Join(fmt.Errorf("watch %T: %w", o, err), context.Cause(syncing))
		}
	}
	if !s.cluster.GetCache().WaitForCacheSync(syncing) {
		select {
		case err := <-failed:
			return errors.Join(errNotRead, err)
		default:
			return errNotRead
		}
	}
	s.changed()
	return nil
}

// handler notes changes, but for those of status: they are written by who reads this.
func (s *source) handler() toolscache.ResourceEventHandler {
	return toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { s.changed() },
		DeleteFunc: func(any) { s.changed() },
		UpdateFunc: func(before, after any) {
			a, okA := before.(client.Object)
			b, okB := after.(client.Object)
			if okA && okB && a.GetGeneration() == b.GetGeneration() && a.GetUID() == b.GetUID() &&
				a.GetDeletionTimestamp().IsZero() == b.GetDeletionTimestamp().IsZero() && slices.Equal(a.GetFinalizers(), b.GetFinalizers()) {
				return
			}
			s.changed()
		},
	}
}

// read lists what may be watched beside umagate's own.
func (k kinds) read(ctx context.Context, reader client.Reader, out *desired.Objects) error {
	services := &metav1.PartialObjectMetadataList{}
	services.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("ServiceList"))
	if err := reader.List(ctx, services, client.UnsafeDisableDeepCopy); err != nil {
		return err
	}
	out.Services = map[desired.Name]bool{}
	for i := range services.Items {
		out.Services[client.ObjectKeyFromObject(&services.Items[i])] = true
	}
	if !k.gateway {
		return nil
	}
	var gateways gateway.GatewayList
	var routes gateway.HTTPRouteList
	var grants gatewaybeta.ReferenceGrantList
	for _, list := range []client.ObjectList{&gateways, &routes, &grants} {
		if err := reader.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
			return err
		}
	}
	out.Gateways, out.Routes = map[desired.Name]*gateway.Gateway{}, map[desired.Name]*gateway.HTTPRoute{}
	for i := range gateways.Items {
		out.Gateways[client.ObjectKeyFromObject(&gateways.Items[i])] = &gateways.Items[i]
	}
	for i := range routes.Items {
		out.Routes[client.ObjectKeyFromObject(&routes.Items[i])] = &routes.Items[i]
	}
	for i := range grants.Items {
		out.Grants = append(out.Grants, &grants.Items[i])
	}
	return nil
}
