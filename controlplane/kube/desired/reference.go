package desired

import (
	"crypto/sha256"
	"encoding/json"
	"errors"

	gatewaybeta "sigs.k8s.io/gateway-api/apis/v1beta1"

	"github.com/umagate/umagate/controlplane/kube/v1alpha1"
	"github.com/umagate/umagate/controlplane/site"
)

// secretKey is a key of a Secret, in the namespace of who names it.
type secretKey struct{ name, key string }

// filePrefix marks the names of files that are keys of Secrets: there are no others.
const filePrefix = "secretKeyRef:"

// file is the name that package site is given for it.
func (k secretKey) file() string { return filePrefix + k.name + "/" + k.key }

// secretKeyOf reads {secretKeyRef: {name, key}}.
func secretKeyOf(v map[string]any) (secretKey, bool) {
	reference, ok := v["secretKeyRef"].(map[string]any)
	if !ok || len(v) != 1 {
		return secretKey{}, false
	}
	name, _ := reference["name"].(string)
	key, _ := reference["key"].(string)
	return secretKey{name, key}, true
}

// server is an AS that objects may name, with what its Secrets have.
type server struct {
	name     Name
	document json.RawMessage
	// references are the keys of Secrets in it, values what they have, by file.
	references []secretKey
	values     map[string][]byte
	// reason and problem say what is wrong with it.
	reason, problem string
	// sum is of all that.
	sum [sha256.Size]byte
}

var errNoFile = errors.New("there are no files here, write secretKeyRef: {name, key}")

// read gives what package site takes for a file.
func (s *server) read(file string) ([]byte, error) {
	if value, ok := s.values[file]; ok {
		return value, nil
	}
	return nil, errNoFile
}

// digest tells apart what gives different sites.
func (s *server) digest() [sha256.Size]byte {
	h := sha256.New()
	write := func(b []byte) {
		part := sha256.Sum256(b)
		_, _ = h.Write(part[:]) // never fails
	}
	write(s.document)
	for _, k := range s.references {
		write(s.values[k.file()])
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// verdict is what its own status says.
func (s server) verdict() *Verdict {
	if s.problem != "" {
		return &Verdict{Reason: s.reason, Message: s.problem}
	}
	return &Verdict{Reason: v1alpha1.ReasonAccepted}
}

// resolve reads an AS's Secrets and judges it alone.
func (r *round) resolve(name Name, from *v1alpha1.AuthorizationServer) server {
	out := server{name: name, values: map[string][]byte{}}
	document, references, err := serverDocument(from.Spec)
	if err != nil {
		out.reason, out.problem = v1alpha1.ReasonInvalid, "spec: "+err.Error()
		return out
	}
	out.document, out.references = document, references
	for _, k := range references {
		secret := Name{Namespace: name.Namespace, Name: k.name}
		r.result.Secrets[secret] = true
		value, err := r.objects.Secret(secret, k.key)
		if err != nil {
			out.reason, out.problem = v1alpha1.ReasonSecretNotFound, err.Error()
			return out
		}
		out.values[k.file()] = value
	}
	out.sum = out.digest()
	if before, ok := r.Builder.servers[name]; ok && before.sum == out.sum {
		return before // judged last time
	}
	// Its site has nothing of its own that could be wrong.
	text := encode(map[string]any{"sites": []map[string]any{{
		"name": "x", "hosts": []string{"x.invalid"}, "unmatched": "authenticated", "authorization_server": out.document,
	}}})
	if _, err := site.Parse("", text, site.Environment{ReadFile: out.read}); err != nil {
		if problem, ofServer := problemOf(err); ofServer {
			out.reason, out.problem = v1alpha1.ReasonInvalid, problem
		}
	}
	return out
}

// reference finds the AS that an object names, and may.
func (r *round) reference(c *candidate) server {
	ref := c.api.Spec.AuthorizationServerRef
	name := Name{Namespace: ref.Namespace, Name: ref.Name}
	if name.Namespace == "" {
		name.Namespace = c.api.Namespace
	}
	// Whether it is there is told to those only who may name it.
	if name.Namespace != c.api.Namespace && !r.granted(c.api.Namespace, name) {
		c.refuse(v1alpha1.ReasonRefNotPermitted,
			"spec.authorizationServerRef: namespace %s does not let %s name AuthorizationServer %s; ask for a ReferenceGrant there, from ProtectedAPI of %s to AuthorizationServer",
			name.Namespace, c.api.Namespace, name.Name, c.api.Namespace)
		return server{}
	}
	at, ok := r.servers[name]
	if !ok {
		c.refuse(v1alpha1.ReasonRefNotFound, "spec.authorizationServerRef: there is no AuthorizationServer %s; create it, or write the name of one that is there", name)
		return server{}
	}
	r.result.Users[name]++
	if at.problem != "" && c.verdict.Reason == "" {
		c.refuse(v1alpha1.ReasonRefInvalid, "AuthorizationServer %s: %s", name, at.problem)
		r.keep(c)
	}
	return at
}

// keep has what was good before stay in force, as with umagate.yaml, if the object may
// still name that AS.
func (r *round) keep(c *candidate) {
	before, ok := r.Builder.good[c.api.UID]
	if !ok || before.server.Namespace != c.api.Namespace && !r.granted(c.api.Namespace, before.server) {
		return
	}
	c.verdict.Site, c.verdict.Kept = before.site, true
	c.server, c.claims = before.server, claimsOfSite(before.site)
}

// granted reports whether a namespace lets the objects of another name an AS of its own.
func (r *round) granted(from string, to Name) bool {
	for _, g := range r.objects.Grants {
		if g.Namespace == to.Namespace && grantsFrom(g, from) && grantsTo(g, to.Name) {
			return true
		}
	}
	return false
}

func grantsFrom(g *gatewaybeta.ReferenceGrant, namespace string) bool {
	for _, f := range g.Spec.From {
		if string(f.Group) == v1alpha1.GroupVersion.Group && f.Kind == v1alpha1.ProtectedAPIKind && string(f.Namespace) == namespace {
			return true
		}
	}
	return false
}

func grantsTo(g *gatewaybeta.ReferenceGrant, name string) bool {
	for _, t := range g.Spec.To {
		if string(t.Group) == v1alpha1.GroupVersion.Group && t.Kind == v1alpha1.AuthorizationServerKind && (t.Name == nil || string(*t.Name) == name) {
			return true
		}
	}
	return false
}
