package devas

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// listResources lists the ids of the PAT's resources, in the order they were
// registered. The filters are those of the dialect.
func (s *Server) listResources(w http.ResponseWriter, r *http.Request, pat *token) error {
	q := r.URL.Query()
	ids := []string{}
	full := []map[string]any{}
	for _, res := range s.Resources() {
		if res.ResourceServer != pat.clientID || (pat.user != "" && res.Owner != pat.user) {
			continue
		}
		if s.options.Dialect.PageSize > 0 && !matchesFilters(&res, q.Get) {
			continue
		}
		ids = append(ids, res.ID)
		if q.Get("deep") == "true" {
			full = append(full, s.describeResource(&res, false))
		}
	}
	from, to := 0, len(ids)
	if size := s.options.Dialect.PageSize; size > 0 {
		if n, err := strconv.Atoi(q.Get("max")); err == nil && n >= 0 {
			size = n
		}
		first, err := strconv.Atoi(q.Get("first"))
		if err != nil || first < 0 {
			first = 0
		}
		from = min(first, len(ids))
		to = min(from+size, len(ids))
	}
	if s.options.Dialect.ResourceObjects && q.Get("deep") == "true" {
		writeJSON(w, http.StatusOK, full[from:to])
		return nil
	}
	writeJSON(w, http.StatusOK, ids[from:to])
	return nil
}

func matchesFilters(res *Resource, get func(string) string) bool {
	if name := strings.ToLower(get("name")); name != "" {
		have := strings.ToLower(res.Name)
		if have != name && (get("exactName") == "true" || !strings.Contains(have, name)) {
			return false
		}
	}
	switch {
	case get("uri") != "" && !slices.Contains(res.product.URIs, get("uri")):
		return false
	case get("type") != "" && res.Type != get("type"):
		return false
	case get("scope") != "" && !slices.Contains(res.Scopes, get("scope")):
		return false
	case get("owner") != "" && res.Owner != get("owner") && res.ResourceServer != get("owner"):
		return false
	}
	return true
}
