package revoke

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"log/slog"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/umagate/umagate/controlplane/audit"
	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/controlplane/store"
	"github.com/umagate/umagate/plugin/config"
	"github.com/umagate/umagate/plugin/uma"
)

// pruneAfter is how long what has expired may stay in Envoys' configuration, where
// it has no effect: its end alone is no reason for a push.
const pruneAfter = time.Minute

// standardKeep is for sites that say nothing.
const standardKeep = 24 * time.Hour

// Most bounds how many revocations are in force: each is 63 bytes in the
// configuration of every Envoy.
const Most = 50_000

// reserved are kept of those for the API: a person can make an AS send a logout as
// often as they like.
const reserved = 1_000

// Kind is what names the tokens.
type Kind string

// The kinds.
const (
	Token   Kind = "token"
	Subject Kind = "subject"
	Client  Kind = "client"
	Session Kind = "session"
	// Issued is every token issued before a time.
	Issued Kind = "issued_before"
)

// Source is who revoked.
type Source string

// The sources.
const (
	FromAPI      Source = "api"
	FromLogout   Source = "backchannel_logout"
	FromKeycloak Source = "keycloak"
)

// Spec is what is to be revoked.
type Spec struct {
	// Site is empty for every site.
	Site string
	Kind Kind
	// Token is for that kind, Value for the others.
	Token secret.Text
	Value string
	// IssuedBefore, to the second: only tokens issued before. Zero is now for a
	// subject and a client, so that who logs in again gets in.
	IssuedBefore time.Time
	Source       Source
}

// Store keeps revocations, for every replica; [store.SQL] is one.
type Store interface {
	Revocations(ctx context.Context) ([]store.Revocation, error)
	AddRevocation(ctx context.Context, r store.Revocation, now time.Time, most int) error
	DeleteRevocation(ctx context.Context, id string) error
	TakeMessage(ctx context.Context, id string, expires, now time.Time) (first bool, err error)
	ForgetMessage(ctx context.Context, id string) error
}

// Options is what [New] needs.
type Options struct {
	Store Store
	// Changes returns a number that grows when another replica writes.
	Changes  func(ctx context.Context) (int64, error)
	Sites    Sites
	Recorder audit.Recorder
	Logger   *slog.Logger
	// Changed is called when there is something new to publish.
	Changed func()
	// Leads reports whether this replica asks an AS for its not-before.
	Leads func() bool
	// Acknowledged gives, for each connected Envoy, the filter configuration it has.
	Acknowledged func() []string
	// Every is how often the store is looked at for what other replicas wrote (1 s).
	Every time.Duration
	// Now is time.Now when nil. Uptime is how long ago [New] was called, by a clock that
	// nobody puts ahead or back; Go's own when nil.
	Now    func() time.Time
	Uptime func() time.Duration
}

// List is what is revoked. It is safe for concurrent use.
type List struct {
	options Options
	clock   clock
	keys    keyring

	store *store.Follower[[]store.Revocation]

	mu sync.Mutex
	// kept are those that the store has, revocations those of them that are in force.
	kept        []store.Revocation
	revocations []store.Revocation
	// generation counts the lists that differed; since has, for each revocation, the
	// first generation that had it as it is.
	generation   int64
	since        map[string]int64
	published    []published
	notBeforeDue map[string]time.Time // when it is next asked for, by site
}

// published is a configuration that was pushed, and the generation in it.
type published struct {
	version    string
	generation int64
}

// New makes a list. It does no I/O.
func New(o Options) *List {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Every <= 0 {
		o.Every = time.Second
	}
	if o.Recorder == nil {
		o.Recorder = audit.Discard{}
	}
	l := &List{
		options: o, clock: newClock(o.Now, o.Uptime),
		keys: keyring{now: o.Now, bySite: map[string]*siteKeys{}}, since: map[string]int64{}, notBeforeDue: map[string]time.Time{},
	}
	l.store = store.Follow(o.Changes, o.Store.Revocations, l.take)
	return l
}

// Load reads the store. It must be called before the first [List.Compiled].
func (l *List) Load(ctx context.Context) error { return l.store.Load(ctx) }

// take makes of what the store has what is in force, and has it published if it is
// another.
func (l *List) take(kept []store.Revocation) {
	ends := l.clock.ends(l.options.Sites())
	l.mu.Lock()
	l.kept = kept
	changed := l.replace(ends)
	l.mu.Unlock()
	if changed {
		l.options.Changed()
	}
}

// settle has what is in force follow the clocks: what ended goes, and what a clock that
// was ahead made end comes back. An end alone is no reason for a push within a minute.
func (l *List) settle() {
	l.mu.Lock()
	none := len(l.kept) == 0
	l.mu.Unlock()
	if none {
		return
	}
	ends := l.clock.ends(l.options.Sites())
	l.mu.Lock()
	changed := slices.ContainsFunc(l.kept, func(r store.Revocation) bool {
		_, inForce := l.since[r.ID]
		return inForce && ends.ended(&r, pruneAfter) || !inForce && !ends.ended(&r, 0)
	}) && l.replace(ends)
	l.mu.Unlock()
	if changed {
		l.options.Changed()
	}
}

// replace puts in force what has not ended. mu is held.
func (l *List) replace(ends ends) (changed bool) {
	list := slices.DeleteFunc(slices.Clone(l.kept), func(r store.Revocation) bool { return ends.ended(&r, 0) })
	if slices.EqualFunc(list, l.revocations, same) {
		return false
	}
	before := make(map[string]store.Revocation, len(l.revocations))
	for _, r := range l.revocations {
		before[r.ID] = r
	}
	l.generation++
	since := make(map[string]int64, len(list))
	for _, r := range list {
		since[r.ID] = l.generation
		if old, ok := before[r.ID]; ok && same(old, r) {
			since[r.ID] = l.since[r.ID]
		}
	}
	l.revocations, l.since = list, since
	return true
}

func same(a, b store.Revocation) bool {
	return a.ID == b.ID && a.IssuedBefore.Equal(b.IssuedBefore) && a.ExpiresAt.Equal(b.ExpiresAt)
}

// Revoke puts a revocation into the store and has it published. It is in force at
// an Envoy when that has acknowledged the configuration.
func (l *List) Revoke(ctx context.Context, spec Spec) (store.Revocation, error) {
	r, err := l.revocation(spec)
	if err != nil {
		return r, err
	}
	r, err = l.add(ctx, r)
	l.record(ctx, audit.RevocationCreate, r, err)
	return r, err
}

func (l *List) record(ctx context.Context, action audit.Action, r store.Revocation, err error) {
	e := audit.Event{Action: action, Site: r.Site, Target: r.ID, Detail: map[string]string{"kind": r.Kind, "source": r.Source}}
	if r.Value != "" {
		e.Detail["value"] = r.Value
	}
	if err != nil {
		e.Outcome, e.Detail["error"] = audit.Failed, err.Error()
	}
	l.options.Recorder.Record(ctx, e)
}

func (l *List) add(ctx context.Context, r store.Revocation) (store.Revocation, error) {
	most := Most
	switch {
	case Kind(r.Kind) == Issued:
		most = math.MaxInt // one for each site; it takes the place of many
	case Source(r.Source) != FromAPI:
		most -= reserved
	}
	if err := l.options.Store.AddRevocation(ctx, r, l.clock.forgetting(l.options.Sites()), most); err != nil {
		return r, err
	}
	if err := l.Load(ctx); err != nil {
		return r, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, stored := range l.revocations {
		if stored.ID == r.ID {
			return stored, nil
		}
	}
	return r, nil
}

// revocation is what a spec means now.
func (l *List) revocation(spec Spec) (store.Revocation, error) {
	value := spec.Value
	digested := value
	if spec.Kind == Token {
		value = spec.Token.Reveal()
		digested = config.Signed(value)
	}
	if (value == "") != (spec.Kind == Issued) || spec.Kind == Issued && spec.IssuedBefore.IsZero() {
		return store.Revocation{}, ErrSpec
	}
	keep, leeway := time.Duration(0), time.Duration(0)
	found := false
	var now time.Time
	for _, s := range l.options.Sites() {
		if spec.Site != "" && spec.Site != s.Name {
			continue
		}
		keep, leeway, found = max(keep, s.Keep), max(leeway, s.Leeway), true
		if at := l.clock.atLatest(s); at.After(now) {
			now = at
		}
	}
	if !found {
		return store.Revocation{}, ErrNoSite
	}
	keep = cmp.Or(keep, standardKeep)
	r := store.Revocation{
		Site: spec.Site, Kind: string(spec.Kind), Value: spec.Value, Source: string(spec.Source), Digest: sha256.Sum256([]byte(digested)),
		IssuedBefore: spec.IssuedBefore.Truncate(time.Second), CreatedAt: l.options.Now(), ExpiresAt: now.Add(keep),
	}
	switch spec.Kind {
	case Token:
		r.IssuedBefore = time.Time{}
		if own, err := uma.ParseJWT(value); err == nil && own.Expires != 0 {
			// A time that has passed is not believed: who can say what the AS reads.
			if end := time.Unix(own.Expires, 0).Add(leeway); end.After(now) {
				r.ExpiresAt = end
			}
		}
	case Subject, Client:
		if spec.IssuedBefore.IsZero() {
			// A token of this very second may have been issued before, and the AS's clock
			// may be ahead of what it said last.
			r.IssuedBefore = now.Add(leeway).Truncate(time.Second).Add(time.Second)
		}
	case Session, Issued:
	}
	// What was issued last before then has to end as well.
	if end := r.IssuedBefore.Add(keep); end.After(r.ExpiresAt) {
		r.ExpiresAt = end
	}
	r.ExpiresAt = ceil(r.ExpiresAt)
	r.ID = identify(r)
	return r, nil
}

func ceil(t time.Time) time.Time {
	if whole := t.Truncate(time.Second); whole.Before(t) {
		return whole.Add(time.Second)
	}
	return t
}

// identify names a revocation so that the same one, made again, is the same.
func identify(r store.Revocation) string {
	sum := sha256.Sum256([]byte(r.Site + "\x00" + r.Kind + "\x00" + string(r.Digest[:])))
	return base64.RawURLEncoding.EncodeToString(sum[:12])
}

// Withdraw takes a revocation back.
func (l *List) Withdraw(ctx context.Context, id string) error {
	found, _ := l.find(id) // one that another replica has just made is not known yet
	found.ID = id
	err := l.options.Store.DeleteRevocation(ctx, id)
	l.record(ctx, audit.RevocationDelete, found, err)
	if err != nil {
		return err
	}
	return l.Load(ctx)
}

// Compiled is what is revoked, for the filter's configuration, and what to tell
// [List.Put] when that has been pushed.
func (l *List) Compiled() ([]config.Revocations, int64) {
	l.mu.Lock()
	list, generation := l.revocations, l.generation
	l.mu.Unlock()
	type digests struct{ tokens, sessions, subjects, clients []config.Digest }
	bySite := map[string]*digests{}
	lists := map[string]*config.Revocations{}
	for _, r := range list {
		if lists[r.Site] == nil {
			lists[r.Site], bySite[r.Site] = &config.Revocations{Site: r.Site}, &digests{}
		}
		// An Envoy is told when one has ended. By its own clock it ends one only if it is not.
		d := config.Digest{Sum: r.Digest, Ends: r.ExpiresAt.Add(spare).Unix()}
		if !r.IssuedBefore.IsZero() {
			d.IssuedBefore = r.IssuedBefore.Unix()
		}
		of, to := bySite[r.Site], lists[r.Site]
		to.Made = max(to.Made, r.CreatedAt.UTC().Format("2006-01-02T15:04:05.000Z")) // the later one is the greater text
		switch Kind(r.Kind) {
		case Token:
			of.tokens = append(of.tokens, d)
		case Session:
			of.sessions = append(of.sessions, d)
		case Subject:
			of.subjects = append(of.subjects, d)
		case Client:
			of.clients = append(of.clients, d)
		case Issued:
			to.IssuedBefore, to.IssuedBeforeEnds = d.IssuedBefore, d.Ends
		}
	}
	out := make([]config.Revocations, 0, len(lists))
	for name, to := range lists {
		of := bySite[name]
		to.Tokens, to.Sessions = config.NewDigests(of.tokens), config.NewDigests(of.sessions)
		to.Subjects, to.ClientIDs = config.NewDigests(of.subjects), config.NewDigests(of.clients)
		out = append(out, *to)
	}
	slices.SortFunc(out, func(a, b config.Revocations) int { return cmp.Compare(a.Site, b.Site) })
	if len(out) == 0 {
		return nil, generation
	}
	return out, generation
}

// Put tells that a configuration with a generation of [List.Compiled] was pushed
// under a version.
func (l *List) Put(generation int64, version string) {
	const remembered = 256 // pushes, to all groups, that an Envoy may be behind and still be told of
	l.mu.Lock()
	defer l.mu.Unlock()
	l.published = append(l.published, published{version, generation})
	if len(l.published) > remembered {
		l.published = slices.Clone(l.published[len(l.published)-remembered:])
	}
}

// inForce counts the connected Envoys, and those that refuse what r names.
func (l *List) inForce(r store.Revocation) (refusing, connected int) {
	versions := l.options.Acknowledged()
	l.mu.Lock()
	defer l.mu.Unlock()
	since, ok := l.since[r.ID]
	for _, version := range versions {
		for _, p := range slices.Backward(l.published) {
			if p.version == version {
				if ok && p.generation >= since {
					refusing++
				}
				break
			}
		}
	}
	return refusing, len(versions)
}

// current lists what is in force, by id.
func (l *List) current() []store.Revocation {
	ends := l.clock.ends(l.options.Sites())
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(l.revocations), func(r store.Revocation) bool { return ends.ended(&r, 0) })
}

func (l *List) find(id string) (store.Revocation, bool) {
	list := l.current()
	i, ok := slices.BinarySearchFunc(list, id, func(r store.Revocation, id string) int { return strings.Compare(r.ID, id) })
	if !ok {
		return store.Revocation{}, false
	}
	return list[i], true
}

// Run takes over what other replicas wrote, lets go of what has expired, and reads
// what Keycloak says of its not-before, until ctx ends.
func (l *List) Run(ctx context.Context) {
	store.Poll(ctx, l.options.Every, func(ctx context.Context) error {
		return errors.Join(l.refresh(ctx), l.readNotBefore(ctx))
	}, func(err error) {
		l.options.Logger.Warn("revocations are not brought up to date; those known stay in force", slog.Any("error", err))
	})
}

// refresh reads the store if anything was written, and looks at the clocks.
func (l *List) refresh(ctx context.Context) error {
	err := l.store.Refresh(ctx)
	l.settle()
	return err
}
