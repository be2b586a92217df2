package xds

import (
	"context"
	"slices"

	resourcev3 "github.com/envoyproxy/go-control-plane/pkg/resource/v3"
)

// maxHistory bounds the versions of one group that are remembered: one before them
// counts as older than all of them.
const maxHistory = 256

// numbered is a version of the filter's configuration, with the number of the push
// that brought it.
type numbered struct {
	push    uint64
	version string
}

// Awaited is who stood where when [Server.Await] returned.
type Awaited struct {
	// Acknowledged counts the Envoys that have it in force.
	Acknowledged int
	// Refused and Silent are the node ids of those that said no, and of those that have
	// not said anything yet.
	Refused, Silent []string
}

// remember notes the versions of a push. Its caller holds s.mu.
func (s *Server) remember(contents map[string]*given) {
	s.pushes++
	next := make(map[string][]numbered, len(contents))
	for name, p := range contents {
		list, version := s.history[name], p.filter.Version
		if n := len(list); n == 0 || list[n-1].version != version {
			list = append(slices.Clone(list[max(0, n-maxHistory+1):]), numbered{s.pushes, version})
		}
		next[name] = list
	}
	s.history = next
}

// since gives, for each group, the versions in force at a push and after it.
func (s *Server) since(push uint64) map[string][]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make(map[string][]string, len(s.history))
	for name, list := range s.history {
		first := 0
		for i, v := range list {
			if v.push <= push {
				first = i
			}
		}
		for _, v := range list[first:] {
			out[name] = append(out[name], v.version)
		}
	}
	return out
}

// Await returns when every Envoy that is connected has answered for the filter
// configuration that was pushed last before the call, or a later one, or when ctx
// ends. An Envoy that has none yet lets nothing pass, and is not waited for, as long
// as its first one takes; one that leaves is not waited for any longer.
func (s *Server) Await(ctx context.Context) Awaited {
	s.mu.Lock()
	push := s.pushes
	s.mu.Unlock()
	for {
		// Taken before who stands where is looked at, so that no answer is missed.
		news := s.fleet.listen()
		got := s.fleet.standing(s.since(push))
		if len(got.Silent) == 0 {
			return got
		}
		select {
		case <-news:
		case <-ctx.Done():
			return got
		}
	}
}

// standing tells how far connected Envoys are, where wanted lists the versions that
// do for each group.
func (f *fleet) standing(wanted map[string][]string) Awaited {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out Awaited
	seen := map[*member]bool{}
	for key, s := range f.streams {
		versions, ok := wanted[s.group]
		if s.member == nil || !ok || seen[s.member] {
			continue
		}
		state := s.member.Types[ECDS]
		// An Envoy says at once which version it has, but for incremental xDS.
		if state.Acknowledged == "" && (state.Sent == "" || !key.delta) {
			continue
		}
		seen[s.member] = true
		// What was sent on this stream last may be older, while the version
		// acknowledged is one that came back.
		sent := s.sent[resourcev3.ExtensionConfigType].version
		switch {
		case state.Refused != "" && slices.Contains(versions, state.Refused):
			out.Refused = append(out.Refused, s.member.NodeID)
		case slices.Contains(versions, state.Acknowledged) && (sent == "" || slices.Contains(versions, sent)):
			out.Acknowledged++
		default:
			out.Silent = append(out.Silent, s.member.NodeID)
		}
	}
	slices.Sort(out.Refused)
	slices.Sort(out.Silent)
	return out
}

// listen returns a channel that is closed with the next answer of an Envoy, or when
// one leaves.
func (f *fleet) listen() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.news == nil {
		f.news = make(chan struct{})
	}
	return f.news
}

// tell wakes those that listen. Its caller holds f.mu.
func (f *fleet) tell() {
	if f.news != nil {
		close(f.news)
		f.news = nil
	}
}
