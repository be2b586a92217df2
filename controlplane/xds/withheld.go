package xds

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/umagate/umagate/controlplane/printable"
	"github.com/umagate/umagate/plugin/decision"
)

// WithheldFor is how long messages that an Envoy withheld are told after they were reported:
// the next one may come later.
const WithheldFor = 5 * time.Minute

// Withheld are messages to the MCP server of a site that an Envoy had, and that its filter
// could not judge.
type Withheld struct {
	Site string `json:"site"`
	// Reason is not_shown (Envoy shows the filter no body), or too_long (it keeps none that is
	// so long, though the site takes it).
	Reason string    `json:"reason"`
	Since  time.Time `json:"since"`
	Last   time.Time `json:"last"`
	// Messages is how many there were since then.
	Messages uint64 `json:"messages"`
}

const (
	withheldInfix  = ".reason."
	withheldSuffix = ".mcp_messages_withheld_total"
)

// withheldMessages is the operation of a count of them. No call has it.
const withheldMessages = "withheld_messages"

// withheldOf takes the name of such a counter apart.
func withheldOf(name string) (key countKey, ok bool) {
	rest, begins := strings.CutPrefix(name, countsPrefix)
	rest, ends := strings.CutSuffix(rest, withheldSuffix)
	site, reason, cut := strings.Cut(rest, withheldInfix)
	for c := range decision.Withhelds {
		if begins && ends && cut && reason == c.String() && site == printable.Line(site, maxSite) {
			return countKey{site: site, operation: withheldMessages, outcome: reason}, true
		}
	}
	return countKey{}, false
}

// judgeWithheld notes what was reported of them since the last time.
func (r *reports) judgeWithheld(now time.Time) {
	for key, n := range r.grown {
		if key.operation != withheldMessages || n == 0 {
			continue
		}
		w, ok := r.withheld[key]
		if !ok || now.Sub(w.Last) > WithheldFor {
			w = Withheld{Site: key.site, Reason: key.outcome, Since: now}
		}
		w.Messages, w.Last = w.Messages+n, now
		r.withheld[key] = w
	}
}

// withholds lists what there is to tell of them.
func (r *reports) withholds(now time.Time) []Withheld {
	var out []Withheld
	for w := range maps.Values(r.withheld) {
		if now.Sub(w.Last) <= WithheldFor {
			out = append(out, w)
		}
	}
	slices.SortFunc(out, func(a, b Withheld) int { return cmp.Or(cmp.Compare(a.Site, b.Site), cmp.Compare(a.Reason, b.Reason)) })
	return out
}
