package kube

import (
	"context"
	"log/slog"
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/umagate/umagate/controlplane/kube/desired"
	"github.com/umagate/umagate/controlplane/kube/v1alpha1"
)

// reporter writes what has come of objects into them, while this replica leads.
type reporter struct {
	*source

	removals *removals
	events   events.EventRecorder
}

func newReporter(s *source) *reporter {
	r := &reporter{source: s, events: s.cluster.GetEventRecorder("umagate")}
	r.removals = newRemovals(s)
	return r
}

// lists reads umagate's own objects. They are shared with the cache, and not changed.
func (r *reporter) lists(ctx context.Context) (apis v1alpha1.ProtectedAPIList, servers v1alpha1.AuthorizationServerList, ok bool) {
	for _, list := range []client.ObjectList{&apis, &servers} {
		if err := r.cluster.GetCache().List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
			r.logger.Error("Kubernetes objects are not read", slog.Any("error", err))
			return apis, servers, false
		}
	}
	return apis, servers, true
}

// finalize has each new object wait, when it is deleted, until what it has at its AS is
// removed. Before that it is not served, so that there is nothing at the AS that nobody
// would remove.
func (r *reporter) finalize(ctx context.Context) {
	if !r.host.Leads() {
		return
	}
	apis, servers, ok := r.lists(ctx)
	if !ok {
		return
	}
	for i := range apis.Items {
		r.hold(ctx, &apis.Items[i])
	}
	for i := range servers.Items {
		r.hold(ctx, &servers.Items[i])
	}
}

// hold adds the finalizer.
func (r *reporter) hold(ctx context.Context, object client.Object) {
	if !object.GetDeletionTimestamp().IsZero() || controllerutil.ContainsFinalizer(object, v1alpha1.Finalizer) {
		return
	}
	r.patchFinalizers(ctx, object, append(slices.Clone(object.GetFinalizers()), v1alpha1.Finalizer))
}

// release lets an object go.
func (r *reporter) release(ctx context.Context, object client.Object) {
	if controllerutil.ContainsFinalizer(object, v1alpha1.Finalizer) {
		r.patchFinalizers(ctx, object, slices.DeleteFunc(slices.Clone(object.GetFinalizers()), func(f string) bool { return f == v1alpha1.Finalizer }))
	}
}

// patchFinalizers writes them, unless the object has changed meanwhile.
func (r *reporter) patchFinalizers(ctx context.Context, object client.Object, finalizers []string) {
	changed, ok := object.DeepCopyObject().(client.Object)
	if !ok {
		return // it is one
	}
	changed.SetFinalizers(finalizers)
	r.patched(r.cluster.GetClient().Patch(ctx, changed, client.MergeFromWithOptions(object, client.MergeFromWithOptimisticLock{})), "finalizer", object)
}

// patched logs what could not be written; it is tried again with what is there then.
func (r *reporter) patched(err error, what string, object client.Object) {
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		r.logger.Warn("Kubernetes object not written", slog.String("what", what), slog.String("namespace", object.GetNamespace()), slog.String("name", object.GetName()), slog.Any("error", err))
	}
}

// all brings the status of every object up to date, and removes at ASs what objects have
// there that are deleted.
func (r *reporter) all(ctx context.Context) {
	result, built := r.now()
	if !built || !r.host.Leads() {
		return
	}
	apis, servers, ok := r.lists(ctx)
	if !ok {
		return
	}
	see := newView(r.host.Status())
	named := map[desired.Name]bool{}
	for i := range apis.Items {
		api := &apis.Items[i]
		name := client.ObjectKeyFromObject(api)
		named[serverOf(api)] = true
		if !api.DeletionTimestamp.IsZero() {
			if controllerutil.ContainsFinalizer(api, v1alpha1.Finalizer) && !see.serves(desired.SiteName(name.Namespace, name.Name)) {
				r.remove(ctx, api, result.Leaving[name])
			}
			continue
		}
		if verdict := result.APIs[name]; verdict != nil && verdict.Generation == api.Generation {
			r.writeAPI(ctx, api, verdict, see)
		}
	}
	for i := range servers.Items {
		s := &servers.Items[i]
		name := client.ObjectKeyFromObject(s)
		if !s.DeletionTimestamp.IsZero() {
			if !named[name] {
				r.release(ctx, s)
			}
			continue
		}
		if verdict := result.Servers[name]; verdict != nil && verdict.Generation == s.Generation {
			r.writeServer(ctx, s, verdict, result.Users[name])
		}
	}
}

// serverOf names an object's AS.
func serverOf(api *v1alpha1.ProtectedAPI) desired.Name {
	ref := api.Spec.AuthorizationServerRef
	if ref.Namespace == "" {
		ref.Namespace = api.Namespace
	}
	return desired.Name{Namespace: ref.Namespace, Name: ref.Name}
}

func (r *reporter) writeAPI(ctx context.Context, api *v1alpha1.ProtectedAPI, verdict *desired.Verdict, see *view) {
	next := api.DeepCopy()
	see.describe(next, verdict)
	if equality.Semantic.DeepEqual(api.Status, next.Status) {
		return
	}
	r.patched(r.cluster.GetClient().Status().Patch(ctx, next, client.MergeFrom(api)), "status", api)
	r.tell(api, api.Status.Conditions, next.Status.Conditions)
}

func (r *reporter) writeServer(ctx context.Context, s *v1alpha1.AuthorizationServer, verdict *desired.Verdict, users int) {
	next := s.DeepCopy()
	next.Status.ObservedGeneration, next.Status.APIs = s.Generation, users
	setCondition(&next.Status.Conditions, s.Generation, acceptedOf(verdict))
	if equality.Semantic.DeepEqual(s.Status, next.Status) {
		return
	}
	r.patched(r.cluster.GetClient().Status().Patch(ctx, next, client.MergeFrom(s)), "status", s)
	r.tell(s, s.Status.Conditions, next.Status.Conditions)
}

// tell makes an event of each condition that has come to be true, or false for a reason
// that somebody has to do something about.
func (r *reporter) tell(object client.Object, before, after []metav1.Condition) {
	for _, c := range after {
		was := meta.FindStatusCondition(before, c.Type)
		if was != nil && was.Status == c.Status && (c.Status == metav1.ConditionTrue || was.Message == c.Message) {
			continue
		}
		switch {
		case c.Status == metav1.ConditionTrue:
			r.event(object, "Normal", c.Type, c.Message)
		case c.Reason != v1alpha1.ReasonPending && c.Reason != v1alpha1.ReasonNoEnvoys:
			r.event(object, "Warning", c.Reason, c.Message)
		}
	}
}

// noteBytes is how long an event's note may be.
const noteBytes = 1024

func (r *reporter) event(object client.Object, kind, reason, message string) {
	r.events.Eventf(object, nil, kind, reason, "Reconcile", "%s", message[:min(len(message), noteBytes)])
}
