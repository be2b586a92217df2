package desired

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/umagate/umagate/controlplane/kube/v1alpha1"
	"github.com/umagate/umagate/controlplane/site"
)

// object is a JSON object whose values are left as they are.
type object = map[string]json.RawMessage

// parsed is a site that was decoded, and of what.
type parsed struct {
	// generation, server and sum are of what was decoded: the object, its AS, both with
	// what comes of its targets. claims are what the object asks for.
	generation  int64
	server, sum [sha256.Size]byte
	claims      []claim

	site  *site.Site
	notes string
	// problem is why it is not accepted; serverProblem is one of its AS.
	problem       string
	serverProblem bool
}

// document is an object's site as umagate.yaml would have it, without its AS.
func (r *round) document(c *candidate, targets target) object {
	out := object{}
	if err := json.Unmarshal(c.api.Spec.Site, &out); err != nil {
		c.refuse(v1alpha1.ReasonInvalid, "spec: %v; write the keys of a site", err)
	}
	set := func(key string, values []string) {
		if out[key] == nil && len(values) > 0 {
			out[key] = encode(values)
		}
	}
	set("hosts", targets.hosts)
	set("path_prefixes", targets.prefixes)
	out["name"] = encode(SiteName(c.api.Namespace, c.api.Name))
	return out
}

// encode writes what always can be.
func encode(v any) json.RawMessage {
	text, err := json.Marshal(v)
	if err != nil {
		return json.RawMessage("null")
	}
	return text
}

// parse decodes an object's site with its AS, or takes what the same gave last time.
func (r *round) parse(c *candidate, document object, at server) parsed {
	document["authorization_server"] = at.document
	text := encode(map[string][]object{"sites": {document}})
	out := parsed{sum: sha256.Sum256(append(text, at.sum[:]...))}
	if before, ok := r.Builder.parsed[c.api.UID]; ok && before.sum == out.sum {
		out = before
	} else {
		out.decode(text, at)
		if out.problem == "" {
			out.problem = r.upstream(c.api.Namespace, out.site)
		}
	}
	out.generation, out.server, out.claims = c.api.Generation, at.sum, c.claims
	r.reuse(c, out, at.name)
	return out
}

// reuse takes what was decoded, and tells what is wrong with it.
func (r *round) reuse(c *candidate, out parsed, at Name) {
	r.parsed[c.api.UID] = out
	switch {
	case out.problem == "":
	case out.serverProblem:
		c.refuse(v1alpha1.ReasonRefInvalid, "AuthorizationServer %s: %s", at, out.problem)
	default:
		c.refuse(v1alpha1.ReasonInvalid, "%s", out.problem)
	}
}

// decode has package site read and judge the text of a file with one site.
func (p *parsed) decode(text []byte, at server) {
	file, err := site.Parse("", text, site.Environment{ReadFile: at.read})
	if err != nil {
		p.problem, p.serverProblem = problemOf(err)
		return
	}
	p.site = &file.Sites[0]
	var notes []string
	for _, w := range file.Warnings {
		if place, ofServer := placeOf(w.Path); !ofServer && strings.HasPrefix(w.Path, "sites[0]") {
			notes = append(notes, sentence(place, w))
		}
	}
	p.notes = strings.Join(notes, " | ")
}

// problemOf tells the first fault, and how many there are.
func problemOf(err error) (text string, ofServer bool) {
	faults := site.Faults(err)
	if len(faults) == 0 {
		return err.Error(), false
	}
	// Those of the object itself first: its author can do something about them.
	slices.SortStableFunc(faults, func(a, b site.Fault) int {
		_, first := placeOf(a.Path)
		_, second := placeOf(b.Path)
		switch {
		case first == second:
			return 0
		case second:
			return -1
		default:
			return 1
		}
	})
	place, ofServer := placeOf(faults[0].Path)
	text = sentence(place, faults[0])
	if more := len(faults) - 1; more > 0 {
		text += fmt.Sprintf(" (and %d more)", more)
	}
	return text, ofServer
}

func sentence(place string, f site.Fault) string {
	text := place + ": " + f.Problem
	if f.Remedy != "" {
		text += "; " + f.Remedy
	}
	return text
}

// placeOf is where something stands in the object that it came from.
func placeOf(path string) (place string, ofServer bool) {
	rest := strings.TrimPrefix(path, "sites[0]")
	if inServer, ok := strings.CutPrefix(rest, ".authorization_server"); ok {
		return "spec" + inServer, true
	}
	return "spec" + rest, false
}

// upstream says what is wrong with an upstream that is no service of the namespace.
func (r *round) upstream(namespace string, s *site.Site) string {
	if s.Upstream == "" || r.options.AnyUpstream {
		return ""
	}
	at, err := url.Parse(s.Upstream)
	if err != nil {
		return "spec.upstream: " + err.Error() // told by package site
	}
	name, rest, _ := strings.Cut(strings.TrimSuffix(at.Hostname(), "."), ".")
	if name != "" && slices.Contains([]string{namespace, namespace + ".svc", namespace + ".svc." + r.options.ClusterDomain}, rest) {
		return ""
	}
	return fmt.Sprintf("spec.upstream: is no service of namespace %s, as only those may be; write http://NAME.%s.svc:PORT", namespace, namespace)
}

// serverDocument decodes an AS's spec, and puts a file's name in place of each reference to a
// Secret. References are listed, each once.
func serverDocument(spec []byte) (document json.RawMessage, references []secretKey, err error) {
	decoder := json.NewDecoder(bytes.NewReader(spec))
	decoder.UseNumber()
	var values any
	if err := decoder.Decode(&values); err != nil {
		return nil, nil, err
	}
	if _, ok := values.(map[string]any); !ok {
		return nil, nil, errNoObject
	}
	values = referred("", values, func(k secretKey) {
		if !slices.Contains(references, k) {
			references = append(references, k)
		}
	})
	return encode(values), references, nil
}

var errNoObject = errors.New("is no object")

// referred replaces references in a value, which stands at a key.
func referred(at string, value any, found func(secretKey)) any {
	switch v := value.(type) {
	case []any:
		for i := range v {
			v[i] = referred("", v[i], found)
		}
	case map[string]any:
		if key, ok := secretKeyOf(v); ok {
			found(key)
			if strings.HasSuffix(at, "_file") {
				return key.file()
			}
			return map[string]any{"file": key.file()}
		}
		for name := range v {
			if name != "metadata" { // what is in there is the client's
				v[name] = referred(name, v[name], found)
			}
		}
	}
	return value
}
