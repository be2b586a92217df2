package decision

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/umagate/umagate/plugin/config"
	"github.com/umagate/umagate/plugin/route"
	"github.com/umagate/umagate/plugin/uma"
)

// sharing is how sites have a host together: each has the paths below some prefixes, and
// of sites with one prefix the token's issuer chooses.
type sharing struct {
	sites     []int       // by index of the policy's sites
	strictest config.Mode // of all of them: whose a request is, nobody knows at first
	normalize bool
	areas     []area
	paths     *route.Table // areas, by prefix
	folded    *route.Table // the same without case; nil where paths has none
	documents []located    // metadata of its sites
}

// area is the paths of one prefix, and the sites that have them.
type area struct {
	byPath   int   // the site of requests that no token chooses for; -1 for none
	byIssuer []int // those that a token chooses
}

// maxByIssuer bounds the sites that one prefix has by issuer: each request looks at them.
const maxByIssuer = 16

// host enters a host of the last of n sites that there will be. One that a site does not
// have alone, or not wholly, leads to how it is shared, which is numbered behind the sites.
func (b *builder) host(at place, host string, n int) {
	sites := b.policy.sites
	i := len(sites) - 1
	present, err := b.policy.hosts.Add(host, i)
	if err == nil {
		if len(sites[i].prefixes) > 0 || sites[i].byIssuer {
			b.policy.hosts.Replace(host, n+len(b.policy.shared))
			b.policy.shared = append(b.policy.shared, &sharing{sites: []int{i}})
		}
		return
	}
	if !errors.Is(err, route.ErrHostDuplicate) {
		b.fault(at, err.Error())
		return
	}
	s := &sharing{sites: []int{present}}
	if present >= n {
		s = b.policy.shared[present-n]
	}
	for _, other := range s.sites {
		switch o := sites[other]; {
		case other == i:
			b.fault(at, "the site has this host already")
			return
		case len(o.prefixes) == 0 && len(sites[i].prefixes) == 0 && !o.byIssuer && !sites[i].byIssuer:
			b.fault(at, err.Error()+"; sites share one by path_prefixes, or by chosen_by: issuer")
			return
		}
	}
	if s.sites = append(s.sites, i); present < n {
		b.policy.hosts.Replace(host, n+len(b.policy.shared))
		b.policy.shared = append(b.policy.shared, s)
	}
}

// share prepares how sites share a host, and refuses what would leave open whose a
// request is.
func (b *builder) share(s *sharing) {
	first := b.policy.sites[s.sites[0]]
	s.strictest, s.normalize, s.paths = config.ModeOff, first.normalize, route.NewTable(first.fold)
	if !first.fold {
		s.folded = route.NewTable(true)
	}
	for _, i := range s.sites {
		site, at := b.policy.sites[i], (&place{}).element("sites", i)
		switch {
		case site.strictest == config.ModeEnforce, s.strictest == config.ModeOff:
			s.strictest = site.strictest
		}
		for _, d := range [...]struct {
			name   string
			differ bool
		}{
			{"ambiguous_paths", site.normalize != first.normalize},
			{"case", site.fold != first.fold},
			{"override_headers", site.keepOverrides != first.keepOverrides},
			{"token.from", !sameSources(site.sources, first.sources)},
			{"cors", first.sources != nil && first.sources.Cookie != "" && !site.cors.same(first.cors)},
		} {
			if d.differ {
				b.fault(at.member(d.name), "must be that of site "+first.name+", which has a host in common: whose a request is may not depend on who reads it")
			}
		}
		if len(site.prefixes) == 0 {
			b.area(s, at.member("path_prefixes"), "", i)
		}
		for j, prefix := range site.prefixes {
			b.area(s, at.element("path_prefixes", j), prefix, i)
		}
	}
	b.shareDocuments(s)
	for i := range s.areas {
		b.issuers(&s.areas[i])
	}
}

// area enters a prefix of the ith site; "" is every path.
func (b *builder) area(s *sharing, at place, prefix string, i int) {
	template, err := route.ParsePrefix(prefix)
	if prefix == "" {
		template, err = route.ParseTemplate("/**")
	}
	if err != nil {
		return // told at the site
	}
	index, added := s.paths.Add(template, len(s.areas))
	if added {
		s.areas = append(s.areas, area{byPath: -1})
		if s.folded != nil {
			if _, added := s.folded.Add(template, index); !added {
				b.fault(at, "another site of the host has this prefix in other letters; one of both may be reached by the other's name, so write case: insensitive, or another prefix")
			}
		}
	}
	a, site := &s.areas[index], b.policy.sites[i]
	switch {
	case site.byIssuer:
		a.byIssuer = append(a.byIssuer, i)
	case a.byPath >= 0: // without a prefix, it is told at the host
		b.fault(at, "site "+b.policy.sites[a.byPath].name+" has this prefix of the same host already; write another, or chosen_by: issuer")
	default:
		a.byPath = i
	}
}

// issuers checks the sites of an area among which the token's issuer chooses.
func (b *builder) issuers(a *area) {
	if len(a.byIssuer) == 0 {
		return
	}
	if a.byPath < 0 {
		at := (&place{}).element("sites", a.byIssuer[0])
		b.fault(at.member("chosen_by"), "no site of the same hosts and path prefixes has chosen_by: path, so that no site is there for a request without a token; write it for one of them")
		return
	}
	if len(a.byIssuer) > maxByIssuer {
		at := (&place{}).element("sites", a.byIssuer[maxByIssuer])
		b.fault(at.member("chosen_by"), "too many sites are chosen by issuer here; 16 is the most")
	}
	first := b.policy.sites[a.byPath]
	names := map[string]string{}
	for _, i := range append([]int{a.byPath}, a.byIssuer...) {
		s, at := b.policy.sites[i], (&place{}).element("sites", i)
		if len(s.names) == 0 {
			b.fault(at.member("authorization_server.issuers"), "the issuer is needed: the token's chooses among sites")
		}
		for j, name := range s.names {
			if other, taken := names[name]; taken {
				p := at.member("authorization_server")
				b.fault(p.element("issuers", j), "site "+other+" of the same hosts and paths has this issuer already")
			}
			names[name] = s.name
		}
		if member := b.differs(a.byPath, i); member != "" {
			b.fault(at.member(member), "must be as in site "+first.name+", which has the same hosts and paths: which of both judges a request is the client's to say, by the issuer that it writes into a token")
		}
	}
}

// differs compares two sites once, however many hosts they have together: a worker's
// traffic waits.
func (b *builder) differs(i, j int) string {
	pair := [2]int{i, j}
	member, compared := b.compared[pair]
	if !compared {
		member = b.policy.sites[i].differs(b.policy.sites[j])
		if b.compared == nil {
			b.compared = make(map[[2]int]string)
		}
		b.compared[pair] = member
	}
	return member
}

// differs names what a request could get at one of two sites and not at the other without
// a good token; empty where there is nothing.
func (s *site) differs(other *site) string {
	switch {
	case s.mode != other.mode:
		return "mode"
	case s.allowUnmatched != other.allowUnmatched || (s.unmatched == nil) != (other.unmatched == nil):
		return "unmatched"
	case s.allowPreflight != other.allowPreflight:
		return "cors_preflight"
	case !s.cors.same(other.cors):
		return "cors" // a preflight has no token, and so is the other site's
	case !slices.EqualFunc(s.documents, other.documents, (*document).same):
		return "metadata"
	case len(s.rules) != len(other.rules):
		return "resources"
	}
	at := make(map[string]int, len(other.rules)) // there may be tens of thousands
	for i := range other.rules {
		at[other.rules[i].template] = i
	}
	for i := range s.rules {
		r := &s.rules[i]
		if j, ok := at[r.template]; !ok || !r.asOpen(&other.rules[j]) {
			return "resources"
		}
	}
	return ""
}

func sameSources(one, other *config.TokenSources) bool {
	if one == nil || other == nil {
		return one == other
	}
	return *one == *other
}

func (c *cors) same(other *cors) bool {
	if c == nil || other == nil {
		return c == other
	}
	return slices.Equal(c.origins, other.origins) && c.credentials == other.credentials && c.privateNetwork == other.privateNetwork &&
		c.methods == other.methods && c.headers == other.headers && c.maxAge == other.maxAge && c.expose == other.expose
}

// asOpen reports whether the conditions of two rules are for the same methods, and alike
// for a request without a good token.
func (r *rule) asOpen(other *rule) bool {
	if len(r.methods) != len(other.methods) || !r.any.asOpen(other.any) || !r.mcp.asOpen(other.mcp) {
		return false
	}
	for _, m := range r.methods {
		j := slices.IndexFunc(other.methods, func(o methodCondition) bool { return o.method == m.method })
		if j < 0 || !m.condition.asOpen(other.methods[j].condition) {
			return false
		}
	}
	return true
}

func (c *condition) asOpen(other *condition) bool {
	if c == nil || other == nil {
		return c == other
	}
	return c.public == other.public && c.deny == other.deny && c.mode == other.mode
}

// find returns the area of a path, -1 where no site has it.
func (s *sharing) find(p route.Path) int {
	index, _ := s.paths.Match(p, nil)
	return index
}

// elsewhere reports whether some server is known to read the path as one of another area
// than found.
func (s *sharing) elsewhere(p route.Path, found int) bool {
	if !s.has(p, found) {
		return true
	}
	if !p.Odd() {
		return false
	}
	for n := range route.Readings {
		if other, _, ok := p.Reading(n, 0, nil); ok && !s.has(other, found) {
			return true
		}
	}
	return false
}

// has reports whether a path is one of the area found, also where the case of letters
// means nothing: a server may cut off a dot and ignore case, both.
func (s *sharing) has(p route.Path, found int) bool {
	if s.folded != nil {
		if index, _ := s.folded.Match(p, nil); index != found {
			return false
		}
	}
	return s.find(p) == found
}

// locateShared finds the site of a request whose host several sites have. done tells that
// none has it.
func (x *Exchange) locateShared() (step *Step, done bool) {
	s := x.shared
	if step := x.parsePath(s.normalize); step != nil {
		return step, true
	}
	found := s.find(x.path)
	if s.elsewhere(x.path, found) {
		x.note("path", "can be read as one of another site of this host")
		return x.ambiguous(route.ProblemSecondReading), true
	}
	if found < 0 {
		x.note("path", "no site of this host has it")
		return x.finish(ReasonUnmatched), true
	}
	x.enter(x.choose(&s.areas[found]))
	if x.site.mode == config.ModeOff {
		return x.finish(ReasonOff), true
	}
	x.findOrigin()
	return nil, false
}

// choose returns the site, of an area's, that judges the request. What chooses is not
// verified: the AS of that site is the only one that is asked about the token.
func (x *Exchange) choose(a *area) int {
	v := x.evaluator
	if len(a.byIssuer) == 0 || x.request.credentials != uma.CredentialBearer || !uma.IsToken(x.request.token) {
		return a.byPath
	}
	if e := v.states[a.byPath].tokens[x.request.token]; e != nil && e.area == a {
		return a.byPath
	}
	for _, i := range a.byIssuer {
		if e := v.states[i].tokens[x.request.token]; e != nil && e.area == a {
			return i
		}
	}
	i := x.chooseByIssuer(a)
	if e := v.states[i].tokens[x.request.token]; e != nil && !x.foreign {
		e.area = a
	}
	return i
}

func (x *Exchange) chooseByIssuer(a *area) int {
	v := x.evaluator
	claims, err := uma.ParseJWT(x.request.token)
	if errors.Is(err, uma.ErrNotJWT) || err == nil && claims.Issuer == "" {
		x.note("issuer", "the token names none")
		x.foreign = !v.policy.sites[a.byPath].withoutIssuer
		return a.byPath
	}
	if err == nil {
		for _, i := range append([]int{a.byPath}, a.byIssuer...) {
			if contains(v.policy.sites[i].names, claims.Issuer) {
				x.note("issuer", "the token names ", strconv.Quote(claims.Issuer), ", of site ", v.policy.sites[i].name)
				return i
			}
		}
	}
	x.note("issuer", "the token names none of a site here, so that no authorization server is shown it")
	x.foreign = true
	return a.byPath
}

// owns reports whether a path of the request's host is the request's site's.
func (x *Exchange) owns(p route.Path) bool {
	s := x.shared
	if s == nil {
		return true
	}
	found := s.find(p)
	if found < 0 || s.elsewhere(p, found) {
		return false
	}
	a := &s.areas[found]
	return slices.ContainsFunc(append([]int{a.byPath}, a.byIssuer...), func(i int) bool { return x.evaluator.policy.sites[i] == x.site })
}

// enter makes the request one of a site.
func (x *Exchange) enter(index int) {
	x.site, x.state = x.evaluator.policy.sites[index], x.evaluator.states[index]
	x.note("site", x.request.authority, " belongs to site ", x.site.name, ", mode ", string(x.site.mode), x.site.stricter())
}

// placed is a site that says where the request's token may be: its own, or the first of
// those of its host, which say the same.
func (x *Exchange) placed() *site {
	if x.shared != nil {
		return x.evaluator.policy.sites[x.shared.sites[0]]
	}
	return x.site
}

// strictest is the strictest mode of what the request may be for, as far as is known.
func (x *Exchange) strictest() config.Mode {
	if x.shared != nil {
		return x.shared.strictest
	}
	return x.site.strictest
}

// chosenBy is what of a site's configuration decides which requests it gets.
func chosenBy(c *config.Site) string {
	return strings.Join([]string{string(c.ChosenBy), string(c.Token.WithoutIssuer), strings.Join(c.AuthorizationServer.Issuers, "\x01")}, "\x01")
}
