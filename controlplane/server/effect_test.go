package server

import (
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/envoyconf"
	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/controlplane/site"
)

// What makes a field take effect, by words of docs/operations.md.
const (
	byXDS       = "at once, by xDS"
	byServe     = "at once, in `umagate serve`"
	byBootstrap = "when Envoy starts"
	byRestart   = "when `umagate serve` starts"
)

// effects reads the table of docs/operations.md: what each path of the file takes.
func effects(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("../../docs/operations.md")
	require.NoError(t, err)
	out := map[string]string{}
	for _, effect := range []string{byXDS, byServe, byBootstrap, byRestart} {
		rows := regexp.MustCompile(`(?m)^\| (.*) \| `+regexp.QuoteMeta(effect)).FindAllSubmatch(text, -1)
		require.NotEmpty(t, rows, effect)
		for _, row := range rows {
			for path := range strings.SplitSeq(string(row[1]), ", ") {
				out[strings.Trim(path, "`")] = effect
			}
		}
	}
	return out
}

// leaf is a value of the file that is no struct.
type leaf struct {
	path string
	at   func(*site.File) reflect.Value
}

// leaves walks the fields that the file is decoded into. One below a list or a map
// cannot be reached.
func leaves(path string, kind reflect.Type, at func(*site.File) reflect.Value) []leaf {
	var out []leaf
	for i := range kind.NumField() {
		f := kind.Field(i)
		name := f.Tag.Get("yaml")
		below := func(file *site.File) reflect.Value {
			v := at(file)
			if v.Kind() == reflect.Pointer {
				if v.IsNil() {
					v.Set(reflect.New(v.Type().Elem()))
				}
				v = v.Elem()
			}
			return v.Field(i)
		}
		child := strings.TrimPrefix(path+"."+strings.Split(name, ",")[0], ".")
		if f.Anonymous && name == "" {
			child = path
		} else if name == "" || name == "-" {
			continue
		}
		inner := f.Type
		for inner.Kind() == reflect.Pointer || inner.Kind() == reflect.Slice {
			if inner.Kind() == reflect.Slice {
				below = nil
			}
			inner = inner.Elem()
		}
		isText := inner.Implements(reflect.TypeFor[interface{ Reveal() string }]()) || reflect.PointerTo(inner).Implements(reflect.TypeFor[interface{ Reveal() string }]())
		if inner.Kind() == reflect.Struct && !isText && inner != reflect.TypeFor[secret.Text]() && inner.NumField() > 0 && inner.Field(0).Tag.Get("yaml") != "" {
			if below == nil {
				below = func(*site.File) reflect.Value { return reflect.Value{} }
				out = append(out, leaves(child, inner, below)...)
				continue
			}
			out = append(out, leaves(child, inner, below)...)
			continue
		}
		out = append(out, leaf{child, below})
	}
	return out
}

// TestEveryFieldTakesEffect: each field of the file stands in docs/operations.md, and
// a change of it does what is said there. So nothing is without effect and unsaid.
func TestEveryFieldTakesEffect(t *testing.T) {
	t.Parallel()
	table := effects(t)
	used := map[string]bool{}
	tried := 0
	for _, l := range leaves("", reflect.TypeFor[site.File](), func(f *site.File) reflect.Value { return reflect.ValueOf(f).Elem() }) {
		effect, said := "", ""
		for path := l.path; path != ""; {
			if e, ok := table[path]; ok {
				effect, said = e, path
				break
			}
			i := strings.LastIndex(path, ".")
			path = path[:max(i, 0)]
		}
		require.NotEmpty(t, effect, "%s is not in the table of docs/operations.md: what makes it take effect?", l.path)
		used[said] = true
		if strings.HasPrefix(l.path, "sites.") || strings.HasPrefix(l.path, "groups.") || strings.HasPrefix(l.path, "oxd") || effect == byServe || l.at == nil {
			continue
		}
		before, after := parsed(t), parsed(t)
		if !change(l.at(after)) {
			continue
		}
		tried++
		var have []string
		if unchangeable(before, after) != nil {
			have = append(have, byRestart)
		}
		if digest(t, before) != digest(t, after) {
			have = append(have, byBootstrap)
		}
		if !slices.Equal(pushed(t, before), pushed(t, after)) {
			have = append(have, byXDS)
		}
		require.Contains(t, have, effect, l.path)
	}
	require.Greater(t, tried, 25)
	for path := range table {
		require.True(t, used[path], "%s is in the table of docs/operations.md, and not in the file", path)
	}
}

func TestSitesTakeEffect(t *testing.T) {
	t.Parallel()
	for name, alter := range map[string]func(*site.Site){
		"hosts":    func(s *site.Site) { s.Hosts = []string{"other.test"} },
		"upstream": func(s *site.Site) { s.Upstream = "http://127.0.0.1:2" },
		"name":     func(s *site.Site) { s.Name = "other" },
		"token":    func(s *site.Site) { s.Token.Leeway = time.Second },
		"mode":     func(s *site.Site) { s.Unmatched = "allow" },
	} {
		before, after := parsed(t), parsed(t)
		alter(&after.Sites[0])
		require.NotEqual(t, pushed(t, before), pushed(t, after), name)
		require.Equal(t, digest(t, before), digest(t, after), name)
		require.NoError(t, unchangeable(before, after), name)
	}
}

// parsed is a file in which every field counts.
func parsed(t *testing.T) *site.File {
	t.Helper()
	f, err := site.Parse("umagate.yaml", []byte(`
listen: {xds_tls: {certificate: a, key: b, client_ca: c}}
plugin: {wasm: "https://example.com/umagate.wasm", sha256: `+strings.Repeat("ab", 32)+`}
sites:
- name: photos
  hosts: [photos.example.com]
  upstream: https://127.0.0.1:1
  authorization_server: {issuer: https://as.example.com, client: {id: x, secret: y}}
  resources: [{name: "album-{id}", conditions: [{paths: ["/albums/{id}"], scopes: [view]}]}]
`), site.Environment{})
	require.NoError(t, err)
	return f
}

// change gives a value another one that is as good, if it knows how.
func change(v reflect.Value) bool {
	switch {
	case v.Type() == reflect.TypeFor[time.Duration]():
		v.SetInt(v.Int() + int64(time.Second))
	case v.Kind() == reflect.Bool:
		v.SetBool(!v.Bool())
	case v.Kind() == reflect.Int:
		v.SetInt(v.Int() + 1)
	case v.Kind() == reflect.Uint64:
		v.SetUint(v.Uint() + 1)
	case v.Kind() == reflect.String && v.String() == "deny":
		v.SetString("allow")
	case v.Kind() == reflect.String:
		v.SetString("127.0.0.1:4321")
	default:
		return false
	}
	return true
}

func digest(t *testing.T, f *site.File) string {
	t.Helper()
	out, err := envoyconf.Digest(f)
	require.NoError(t, err)
	return out
}

// pushed is all that an Envoy gets of a file.
func pushed(t *testing.T, f *site.File) []string {
	t.Helper()
	in := envoyconf.Input{File: f, Facts: map[string]site.Facts{}}
	for i := range f.Sites {
		issuer := f.Sites[i].AuthorizationServer.Issuer
		in.Facts[f.Sites[i].Name] = site.Facts{
			Token: issuer + "/token", Introspection: issuer + "/introspect", Permission: issuer + "/permission", IntrospectionCredential: as.CredentialClient,
		}
	}
	var err error
	in.Config, err = site.Compile(f, in.Facts)
	require.NoError(t, err)
	r, err := resourcesOf(in, nil, secret.New("x"))
	require.NoError(t, err)
	out := []string{text(t, r.Filter), text(t, r.Listener), text(t, r.Routes)}
	for _, c := range r.Clusters {
		out = append(out, text(t, c))
	}
	return out
}

func text(t *testing.T, m proto.Message) string {
	t.Helper()
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	require.NoError(t, err)
	return fmt.Sprintf("%x", data)
}
