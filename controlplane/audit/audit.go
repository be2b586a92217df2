// Package audit says what an audit event is, and who records one. Who changes
// something — at an AS, in the store, in what is enforced — records it here, once,
// when it is done or has failed:
//
//	recorder.Record(ctx, audit.Event{Action: audit.ResourceCreate, Site: site, Target: name})
//
// Who did it comes from ctx ([WithActor]), so that a change which an API call
// caused is told under the caller's name, however deep it is made. Package store
// keeps the events; [Discard] keeps none.
package audit

import (
	"context"
	"strings"
	"time"
)

// Action says what was done, as OBJECT.VERB.
type Action string

// The actions.
const (
	ConfigReload       Action = "config.reload"
	ConfigRefused      Action = "config.refused"
	ClientRegister     Action = "client.register"
	ClientUpdate       Action = "client.update"
	ClientRotate       Action = "client.rotate"
	ClientRemove       Action = "client.remove"
	KeyRotate          Action = "key.rotate"
	Login              Action = "login"
	ResourceCreate     Action = "resource.create"
	ResourceUpdate     Action = "resource.update"
	ResourceDelete     Action = "resource.delete"
	ResourceAdopt      Action = "resource.adopt"
	RevocationCreate   Action = "revocation.create"
	RevocationDelete   Action = "revocation.delete"
	SiteSync           Action = "site.sync"
	SiteDeregister     Action = "site.deregister"
	LossAcknowledge    Action = "loss.acknowledge"
	EnvoyForget        Action = "envoy.forget"
	StoreBackup        Action = "store.backup"
	StoreRestore       Action = "store.restore"
	StoreRekey         Action = "store.rekey"
	LeadershipTaken    Action = "leadership.taken"
	LeadershipGivenUp  Action = "leadership.given_up"
	LocalTokenGenerate Action = "local_token.generate"
)

// Outcome says how it ended.
type Outcome string

// The outcomes. The zero value means Done.
const (
	Done   Outcome = "done"
	Failed Outcome = "failed"
)

// Kind is what sort of actor changed something.
type Kind string

// The kinds of actors.
const (
	// KindServe is umagate serve, of its own accord: the file changed, a secret
	// expires, the AS has forgotten something.
	KindServe Kind = "serve"
	// KindCommand is a command of this machine's user, such as umagate apply.
	KindCommand Kind = "command"
	// KindAPI is a caller of the API.
	KindAPI Kind = "api"
	// KindAS is an authorization server, by a back-channel logout.
	KindAS Kind = "as"
	// KindFilter is an Envoy's filter: an instance that a protected API made.
	KindFilter Kind = "filter"
	// KindOxd is an application that speaks oxd.
	KindOxd Kind = "oxd"
)

// Actor is who changed something.
type Actor struct {
	Kind Kind `json:"kind"`
	// Name is the token's or certificate's name, the user's, or the command's.
	Name string `json:"name,omitempty"`
	// Address is where the call came from.
	Address string `json:"address,omitempty"`
}

// Event is one change.
type Event struct {
	// ID orders events; the store gives it.
	ID int64
	// At is when it was done; the recorder sets it where it is zero.
	At     time.Time
	Actor  Actor
	Action Action
	// Site is empty for what is of no site; Target is what was changed: a name, an id.
	Site, Target string
	Outcome      Outcome
	// Detail is for people, and never has a secret in it. An error's words stand
	// under "error".
	Detail map[string]string
	// RequestID joins events with the request that caused them, in logs too.
	RequestID string
}

// Recorder records events. Record fills in what is zero of At, Actor, Outcome and
// RequestID, outlives a ctx that was cancelled, and tells of its own failures by
// itself: what was done is done. Safe for concurrent use.
type Recorder interface {
	Record(ctx context.Context, e Event)
}

// Discard records nothing.
type Discard struct{}

// Record implements [Recorder].
func (Discard) Record(context.Context, Event) {}

type (
	actorKey     struct{}
	requestIDKey struct{}
)

// WithActor says who does what is done with ctx.
func WithActor(ctx context.Context, a Actor) context.Context {
	return context.WithValue(ctx, actorKey{}, a)
}

// ActorOf gives the actor; without one it is umagate serve itself.
func ActorOf(ctx context.Context) Actor {
	if a, ok := ctx.Value(actorKey{}).(Actor); ok {
		return a
	}
	return Actor{Kind: KindServe}
}

// WithRequestID joins what is done with ctx with a request.
func WithRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestIDKey{}, id)
}

// RequestID gives the request's id, or nothing.
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}

// Complete fills in what is zero of e.
func Complete(ctx context.Context, e Event, now time.Time) Event {
	if e.At.IsZero() {
		e.At = now
	}
	if e.Actor == (Actor{}) {
		e.Actor = ActorOf(ctx)
	}
	if e.Outcome == "" {
		e.Outcome = Done
	}
	if e.RequestID == "" {
		e.RequestID = RequestID(ctx)
	}
	return e
}

// Shorten keeps an audit event small when thousands of names differ.
func Shorten(s string) string {
	const limit = 1000
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + "…"
}
