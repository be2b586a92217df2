package as

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// maxPages bounds a list that never ends.
const maxPages = 10_000

// Listing is what one look at the AS's list of resources shows.
type Listing struct {
	// Resources are those that the PAT sees, each once.
	Resources []Resource
	// Described says that the list had the descriptions; otherwise Resources have
	// their ids only.
	Described bool
}

// ListAll lists the resources, page after page, with their descriptions where the
// AS lists them. One that is missing is not proof that the AS has lost it: pages
// shift while others write, and there are ASs that answer an empty list when
// their database fails. [Protection.Read] tells.
func (p *Protection) ListAll(ctx context.Context) (Listing, error) {
	entries, err := p.list(ctx, p.server.dialect.DeepList)
	if err != nil {
		return Listing{}, err
	}
	out := Listing{Described: p.server.dialect.DeepList}
	for _, e := range entries {
		out.Described = out.Described && e.describes()
		out.Resources = append(out.Resources, e.resource(p.server.dialect))
	}
	return out, nil
}

// List returns the ids of all registrations that the PAT sees, page after page.
func (p *Protection) List(ctx context.Context) ([]string, error) {
	entries, err := p.list(ctx, false)
	if err != nil {
		return nil, err
	}
	ids := make([]string, len(entries))
	for i, e := range entries {
		ids[i] = e.id()
	}
	return ids, nil
}

// list follows the pages: those the dialect asks for by number, and those that
// the AS names in a Link header (RFC 8288), within its own origin. A page with
// nothing new is the last: an AS may not heed what it is asked for.
func (p *Protection) list(ctx context.Context, deep bool) ([]wireEntry, error) {
	return p.listMost(ctx, deep, math.MaxInt)
}

// listMost is list of that many at most; [ErrTooMany].
func (p *Protection) listMost(ctx context.Context, deep bool, most int) ([]wireEntry, error) {
	size := p.server.dialect.PageSize
	base := p.server.metadata.ResourceRegistrationEndpoint
	query := url.Values{}
	if deep {
		query.Set("deep", "true")
	} else {
		size = p.server.dialect.IDPageSize
	}
	var all []wireEntry
	seen := map[string]bool{}
	address := ""
	for page := range maxPages {
		if size > 0 {
			query.Set("first", strconv.Itoa(page*size))
			query.Set("max", strconv.Itoa(size))
		}
		if address == "" {
			address = withQuery(base, query)
		}
		entries, next, err := p.page(ctx, address)
		if err != nil {
			return nil, err
		}
		fresh := 0
		for _, e := range entries {
			if id := e.id(); id != "" && !seen[id] {
				seen[id] = true
				fresh++
				all = append(all, e)
			}
		}
		address = ""
		switch {
		case len(all) > most:
			return nil, fmt.Errorf("%w: more than %d", ErrTooMany, most)
		case fresh == 0:
			return all, nil
		case next != "":
			address = next
		case size == 0 || len(entries) < size:
			return all, nil
		}
	}
	return all, nil
}

// FindByName returns the registrations that have exactly that name. With a dialect
// that searches each, it reads every one: for many names, build an index from
// [Protection.ListAll] instead.
func (p *Protection) FindByName(ctx context.Context, name string) ([]Resource, error) {
	var entries []wireEntry
	var err error
	switch p.server.dialect.Names {
	case SearchExactName:
		query := url.Values{"name": {name}, "exactName": {"true"}}
		if p.server.dialect.DeepList {
			query.Set("deep", "true")
		}
		entries, _, err = p.page(ctx, withQuery(p.server.metadata.ResourceRegistrationEndpoint, query))
	case SearchEach:
		entries, err = p.list(ctx, false)
	}
	if err != nil {
		return nil, err
	}
	var out []Resource
	for _, e := range entries {
		if e.id() == "" {
			continue
		}
		r := e.resource(p.server.dialect)
		if !e.describes() {
			r, err = p.Read(ctx, e.id())
		}
		switch {
		case errors.Is(err, ErrNotFound):
			continue // removed since the list was made
		case err != nil:
			return nil, err
		}
		// The search may compare without case.
		if r.Name == name {
			out = append(out, r)
		}
	}
	return out, nil
}

// FindsByName says whether [Protection.FindByName] is one query.
func (p *Protection) FindsByName() bool { return p.server.dialect.Names == SearchExactName }

// page reads one page and the address of the next, empty where none is named.
func (p *Protection) page(ctx context.Context, address string) (entries []wireEntry, next string, err error) {
	answered, err := p.do(ctx, call{operation: OperationResource, op: "list the resources", method: http.MethodGet, url: address}, &entries)
	if err != nil {
		return nil, "", err
	}
	next = nextLink(answered.header, address)
	return entries, next, nil
}

// nextLink is the target of rel="next", empty where there is none or it leaves
// the AS: the PAT goes nowhere else.
func nextLink(header http.Header, address string) string {
	base, err := url.Parse(address)
	if err != nil {
		return ""
	}
	for _, line := range header.Values("Link") {
		for line != "" {
			// Not split at commas: an address may have some.
			_, after, ok := strings.Cut(line, "<")
			target, rest, closed := strings.Cut(after, ">")
			if !ok || !closed {
				break
			}
			parameters := rest
			if i := strings.Index(rest, "<"); i >= 0 {
				parameters, rest = rest[:i], rest[i:]
			} else {
				rest = ""
			}
			line = rest
			u, err := base.Parse(target)
			if err == nil && isNext(parameters) && u.Scheme == base.Scheme && u.Host == base.Host {
				return u.String()
			}
		}
	}
	return ""
}

func isNext(parameters string) bool {
	for parameter := range strings.SplitSeq(parameters, ";") {
		name, value, _ := strings.Cut(strings.Trim(parameter, " \t,"), "=")
		if strings.EqualFold(name, "rel") && slices.Contains(strings.Fields(strings.Trim(value, `"`)), "next") {
			return true
		}
	}
	return false
}

// withQuery adds to the query that the address has already.
func withQuery(address string, query url.Values) string {
	u, err := url.Parse(address)
	if err != nil || len(query) == 0 {
		return address
	}
	merged := u.Query()
	maps.Copy(merged, query)
	u.RawQuery = merged.Encode()
	return u.String()
}

// KeepsPaths says whether resources of this AS may have paths, in their member "uris".
func (s *Server) KeepsPaths() bool { return s.dialect.URIs }

// ErrTooMany says that the AS has more resources than are read.
var ErrTooMany = errors.New("the authorization server has more resources than umagate reads")

// ListDescribed lists the resources with their descriptions, in order of their ids.
// [ErrTooMany]: there are more than most; [ErrMalformed]: one is not described.
func (p *Protection) ListDescribed(ctx context.Context, most int) ([]Resource, error) {
	entries, err := p.listMost(ctx, true, most)
	if err != nil {
		return nil, err
	}
	out := make([]Resource, 0, len(entries))
	for _, e := range entries {
		if !e.describes() {
			return nil, fmt.Errorf("%w: resource %q of the list has no description", ErrMalformed, e.id())
		}
		out = append(out, e.resource(p.server.dialect))
	}
	slices.SortFunc(out, func(a, b Resource) int { return strings.Compare(a.ID, b.ID) })
	return out, nil
}
