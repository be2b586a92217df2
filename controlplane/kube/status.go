package kube

import (
	"cmp"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gateway "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/umagate/umagate/controlplane/kube/desired"
	"github.com/umagate/umagate/controlplane/kube/v1alpha1"
	"github.com/umagate/umagate/controlplane/registration"
	"github.com/umagate/umagate/controlplane/server"
)

// view is what the control plane says of its sites, of one moment.
type view struct {
	sites map[string]*server.SiteStatus
	// envoys are those of each site.
	envoys map[string]envoys
	// behind is why what is known is not given to Envoys; empty where it is.
	behind string
}

// envoys counts those that are to have a site.
type envoys struct{ connected, current, refusing int }

func newView(status server.Status) *view {
	v := &view{sites: map[string]*server.SiteStatus{}, envoys: map[string]envoys{}}
	for i := range status.Sites {
		v.sites[status.Sites[i].Name] = &status.Sites[i]
	}
	for _, g := range status.Groups {
		for _, name := range g.Sites {
			e := v.envoys[name]
			v.envoys[name] = envoys{e.connected + g.Connected, e.current + g.Current, e.refusing + g.Refusing}
		}
	}
	for _, c := range status.Conditions {
		if c.Site == "" && slices.Contains([]string{"ConfigurationNotPublished", "PublicationPending"}, c.Name) {
			v.behind = c.Message
		}
	}
	return v
}

// serves reports whether a site is in force.
func (v *view) serves(name string) bool { return v.sites[name] != nil }

// describe fills in an object's status.
func (v *view) describe(api *v1alpha1.ProtectedAPI, verdict *desired.Verdict) {
	status := &api.Status
	status.ObservedGeneration, status.Hosts = api.Generation, verdict.Claims
	status.Site, status.Issuer, status.Resources, status.Envoys = desired.SiteName(api.Namespace, api.Name), "", "", ""
	accepted := acceptedOf(verdict)
	setCondition(&status.Conditions, api.Generation, accepted)
	site := v.sites[status.Site]
	if verdict.Site == nil {
		site = nil
	} else {
		status.Issuer = verdict.Site.AuthorizationServer.Issuer
	}
	if site != nil {
		status.Resources = fmt.Sprintf("%d/%d", site.Resources.Registered, site.Resources.Declared)
		e := v.envoys[status.Site]
		status.Envoys = fmt.Sprintf("%d/%d", e.current, e.connected)
	}
	setCondition(&status.Conditions, api.Generation, registered(site))
	setCondition(&status.Conditions, api.Generation, synced(site))
	v.programmed(api, site)
	status.Ancestors = ancestors(status.Ancestors, verdict.Ancestors, accepted, api.Generation)
}

// setCondition notes a condition; when it began is when its status has changed.
func setCondition(list *[]metav1.Condition, generation int64, c metav1.Condition) {
	c.ObservedGeneration = generation
	meta.SetStatusCondition(list, c)
}

func acceptedOf(v *desired.Verdict) metav1.Condition {
	c := metav1.Condition{Type: v1alpha1.Accepted, Status: metav1.ConditionTrue, Reason: v.Reason, Message: v.Message}
	if !v.Accepted() {
		c.Status = metav1.ConditionFalse
		if v.Kept {
			c.Message += " | until then, what was accepted before stays in force"
		}
	}
	return c
}

func condition(kind string, status metav1.ConditionStatus, reason, message string) metav1.Condition {
	return metav1.Condition{Type: kind, Status: status, Reason: reason, Message: message}
}

const notServed = "it is not served: see Accepted"

// failed is a condition that a site's failure keeps from being true; without one, it is
// on its way.
func failed(kind string, site *server.SiteStatus, way string) metav1.Condition {
	if f := site.Failure; f != nil {
		message := f.Message
		if f.Remedy != "" {
			message += "; " + f.Remedy
		}
		return condition(kind, metav1.ConditionFalse, v1alpha1.ReasonFailed, message)
	}
	return condition(kind, metav1.ConditionFalse, v1alpha1.ReasonPending, way)
}

func registered(site *server.SiteStatus) metav1.Condition {
	switch {
	case site == nil:
		return condition(v1alpha1.Registered, metav1.ConditionFalse, v1alpha1.ReasonPending, notServed)
	case site.Phase == registration.Syncing, site.Phase == registration.Serving:
		return condition(v1alpha1.Registered, metav1.ConditionTrue, v1alpha1.ReasonDone, "client "+site.ClientID)
	case site.Phase == registration.Deregistered:
		return condition(v1alpha1.Registered, metav1.ConditionFalse, v1alpha1.ReasonFailed, "somebody has deregistered the site; umagate apply registers it again")
	default:
		return failed(v1alpha1.Registered, site, "the authorization server is being asked")
	}
}

func synced(site *server.SiteStatus) metav1.Condition {
	switch {
	case site == nil:
		return condition(v1alpha1.Synced, metav1.ConditionFalse, v1alpha1.ReasonPending, notServed)
	case site.Resources.Withheld > 0:
		return condition(v1alpha1.Synced, metav1.ConditionFalse, v1alpha1.ReasonPending,
			fmt.Sprintf("%d resources are no longer declared, and more than are deleted unasked; raise sync.max_deletions, or put them back", site.Resources.Withheld))
	case site.Phase == registration.Serving && site.Failure == nil:
		return condition(v1alpha1.Synced, metav1.ConditionTrue, v1alpha1.ReasonDone, fmt.Sprintf("%d of %d resources are registered", site.Resources.Registered, site.Resources.Declared))
	default:
		return failed(v1alpha1.Synced, site, "the authorization server is being asked")
	}
}

// programmed says how many Envoys have the site. What they are given because of others
// does not take away what was: each would have to be written anew at every push.
func (v *view) programmed(api *v1alpha1.ProtectedAPI, site *server.SiteStatus) {
	const kind = v1alpha1.Programmed
	e := v.envoys[api.Status.Site]
	before := meta.FindStatusCondition(api.Status.Conditions, kind)
	var next metav1.Condition
	switch {
	case site == nil:
		next = condition(kind, metav1.ConditionFalse, v1alpha1.ReasonPending, notServed)
	case v.behind != "":
		next = condition(kind, metav1.ConditionFalse, v1alpha1.ReasonPending, v.behind)
	case e.connected == 0:
		next = condition(kind, metav1.ConditionFalse, v1alpha1.ReasonNoEnvoys, "no Envoy is connected that is to have it")
	case e.refusing > 0:
		next = condition(kind, metav1.ConditionFalse, v1alpha1.ReasonRefused, fmt.Sprintf("%d of %d Envoys refuse the configuration; see umagate status", e.refusing, e.connected))
	case e.current < e.connected:
		next = condition(kind, metav1.ConditionFalse, v1alpha1.ReasonPending, fmt.Sprintf("acknowledged by %d of %d Envoys", e.current, e.connected))
	default:
		next = condition(kind, metav1.ConditionTrue, v1alpha1.ReasonDone, fmt.Sprintf("acknowledged by %d of %d Envoys", e.current, e.connected))
	}
	if next.Reason == v1alpha1.ReasonPending && site != nil && before != nil && before.Status == metav1.ConditionTrue && before.ObservedGeneration == api.Generation {
		api.Status.Envoys = cmp.Or(envoysOf(before), api.Status.Envoys)
		return
	}
	setCondition(&api.Status.Conditions, api.Generation, next)
}

// envoysOf is what a condition that is true says of Envoys.
func envoysOf(c *metav1.Condition) string {
	var current, connected int
	if n, err := fmt.Sscanf(c.Message, "acknowledged by %d of %d", &current, &connected); err != nil || n != 2 {
		return ""
	}
	return fmt.Sprintf("%d/%d", current, connected)
}

// ancestors are what the policy is attached to, each with whether it holds there.
func ancestors(before []gateway.PolicyAncestorStatus, refs []gateway.ParentReference, accepted metav1.Condition, generation int64) []gateway.PolicyAncestorStatus {
	var out []gateway.PolicyAncestorStatus
	for _, ref := range refs {
		one := gateway.PolicyAncestorStatus{AncestorRef: ref, ControllerName: v1alpha1.ControllerName}
		for i := range before {
			if key(before[i].AncestorRef) == key(ref) {
				one.Conditions = slices.Clone(before[i].Conditions)
			}
		}
		setCondition(&one.Conditions, generation, accepted)
		out = append(out, one)
	}
	return out
}

func key(r gateway.ParentReference) string {
	text := func(s *string) string {
		if s == nil {
			return ""
		}
		return *s
	}
	return fmt.Sprint(text((*string)(r.Group)), "/", text((*string)(r.Kind)), "/", text((*string)(r.Namespace)), "/", r.Name, "/", text((*string)(r.SectionName)))
}
