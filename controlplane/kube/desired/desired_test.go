package desired

import (
	"errors"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/umagate/umagate/controlplane/kube/v1alpha1"
)

func TestClaims(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, older, younger string
		prefixes             []string // of the younger
		takes                bool
	}{
		{"the same", "a.example.com", "a.example.com", nil, true},
		{"another", "a.example.com", "b.example.com", nil, false},
		{"in capitals", "a.example.com", "A.Example.COM", nil, true},
		{"with a dot at its end", "a.example.com", "a.example.com.", nil, true},
		{"a path of it", "a.example.com", "a.example.com", []string{"/x"}, true},
		{"below a wildcard", "*.example.com", "a.example.com", nil, true},
		{"far below a wildcard", "*.example.com", "a.b.example.com", nil, true},
		{"a wildcard below one", "*.example.com", "*.b.example.com", nil, true},
		{"beside a wildcard", "*.example.com", "example.com", nil, false},
		{"above: a wildcard takes nothing that is had", "a.example.com", "*.example.com", nil, false},
		{"every host: takes nothing that is had", "a.example.com", "*", nil, false},
		{"what nobody has", "*", "a.example.com", nil, false},
		{"every host, twice", "*", "*", nil, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			taken := owned{}
			for _, c := range claims([]string{tt.older}, nil) {
				taken.add(c, "older", "older/x")
			}
			found := false
			for _, c := range claims([]string{tt.younger}, tt.prefixes) {
				_, one := taken.against(c, "younger")
				found = found || one
				_, own := taken.against(c, "older")
				require.False(t, own, "objects of one namespace may share")
			}
			require.Equal(t, tt.takes, found)
		})
	}
}

func TestPrefixes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		older, younger string
		takes          bool
	}{
		{"/a", "/a", true}, {"/a", "/A/", true}, {"/a", "/a/b", true}, {"/a/b", "/a", true}, {"/a", "/ab", false}, {"/a", "/b", false}, {"", "/b", true},
	} {
		c, older := claims([]string{"h"}, []string{tt.younger})[0], claims([]string{"h"}, []string{tt.older})[0]
		require.Equal(t, tt.takes, c.takes(older), "%+v", tt)
	}
}

// api makes a ProtectedAPI that is as old as its number is small.
func api(namespace string, number int, spec string) *v1alpha1.ProtectedAPI {
	name := fmt.Sprintf("api-%d", number)
	p := &v1alpha1.ProtectedAPI{ObjectMeta: metav1.ObjectMeta{
		Namespace: namespace, Name: name, UID: types.UID(namespace + "/" + name), Generation: 1,
		CreationTimestamp: metav1.NewTime(time.Unix(int64(number), 0)),
	}}
	p.Spec.AuthorizationServerRef.Name = "as"
	p.Spec.Site = v1alpha1.Document(spec)
	return p
}

func objects(namespaces, each int) *Objects {
	out := &Objects{Servers: map[Name]*v1alpha1.AuthorizationServer{}, Secret: func(Name, string) ([]byte, error) { return []byte("s3cret"), nil }}
	for n := range namespaces {
		ns := fmt.Sprintf("team-%d", n)
		out.Servers[Name{Namespace: ns, Name: "as"}] = &v1alpha1.AuthorizationServer{
			ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "as"},
			Spec:       v1alpha1.Document(`{"issuer":"https://as.example.com","client":{"id":"c","secret":{"secretKeyRef":{"name":"c","key":"s"}}}}`),
		}
		for i := range each {
			out.APIs = append(out.APIs, api(ns, n*each+i, fmt.Sprintf(
				`{"hosts":["api-%d.%s.example.com"],"resources":[{"name":"albums","conditions":[{"paths":["/albums/**"],"methods":["GET"],"scopes":["view"]},{"paths":["/healthz"],"public":true}]}]}`, i, ns)))
		}
	}
	return out
}

// TestNoFilesNorVariables: an object that got past the API server's rules reaches nothing of
// the controller's.
func TestNoFilesNorVariables(t *testing.T) {
	t.Setenv("UMAGATE_TEST_SECRET", "of-the-controller")
	for _, secret := range []string{`{"file":"/etc/passwd"}`, `{"env":"UMAGATE_TEST_SECRET"}`, `"${UMAGATE_TEST_SECRET}"`, `{"file":"secretKeyRef:other/key"}`} {
		o := objects(1, 1)
		o.Servers[Name{Namespace: "team-0", Name: "as"}].Spec = v1alpha1.Document(`{"issuer":"https://as.example.com","client":{"id":"c","secret":` + secret + `}}`)
		result := NewBuilder(Options{}).Build(o)
		require.Empty(t, result.Sites, secret)
		require.Equal(t, v1alpha1.ReasonRefInvalid, result.APIs[Name{Namespace: "team-0", Name: "api-0"}].Reason)
	}
	for _, file := range []string{`"tls":{"ca_file":"/etc/passwd"}`} {
		o := objects(1, 1)
		o.Servers[Name{Namespace: "team-0", Name: "as"}].Spec = v1alpha1.Document(`{"issuer":"https://as.example.com","client":{"register":{}},` + file + `}`)
		require.Empty(t, NewBuilder(Options{}).Build(o).Sites, file)
	}
}

// TestOneFaultIsOneObjects: what is wrong with one object is told to it, and others are
// served.
func TestOneFaultIsOneObjects(t *testing.T) {
	t.Parallel()
	o := objects(3, 2)
	o.APIs[0].Spec.Site = v1alpha1.Document(`{"hosts":"a`)
	o.APIs[2].Spec.Site = v1alpha1.Document(`{"hosts":["b.example.com"],"resources":[{"name":"x","conditions":[{"paths":["x"],"public":true}]}]}`)
	o.Secret = func(name Name, _ string) ([]byte, error) {
		if name.Namespace == "team-2" {
			return nil, errors.New("spec: there is no Secret")
		}
		return []byte("s3cret"), nil
	}
	b := NewBuilder(Options{})
	result := b.Build(o)
	require.Len(t, result.Sites, 2)
	require.Equal(t, v1alpha1.ReasonInvalid, result.APIs[Name{Namespace: "team-0", Name: "api-0"}].Reason)
	require.Contains(t, result.APIs[Name{Namespace: "team-1", Name: "api-2"}].Message, "spec.resources[0].conditions[0].paths[0]")
	require.Equal(t, v1alpha1.ReasonRefInvalid, result.APIs[Name{Namespace: "team-2", Name: "api-4"}].Reason)
	again := b.Build(o)
	require.Equal(t, result.Sites, again.Sites, "the same objects give the same sites")
}

// BenchmarkBuild is what 10,000 objects of 1,000 namespaces cost the controller: at its
// start, and when one of them has changed.
func BenchmarkBuild(b *testing.B) {
	const namespaces, each = 1000, 10
	o := objects(namespaces, each)
	b.Run("start", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			require.Len(b, NewBuilder(Options{}).Build(o).Sites, namespaces*each)
		}
	})
	b.Run("one changed", func(b *testing.B) {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		builder := NewBuilder(Options{})
		result := builder.Build(o)
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportAllocs()
		n := 0
		for b.Loop() {
			n++
			o.APIs[0].Generation++
			o.APIs[0].Spec.Site = v1alpha1.Document(fmt.Sprintf(`{"hosts":["h%d.example.com"],"resources":[{"name":"a","conditions":[{"paths":["/"],"public":true}]}]}`, n))
			result = builder.Build(o)
		}
		require.Len(b, result.Sites, namespaces*each)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/namespaces/each, "heap-bytes/object")
	})
}
