package config_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/config"
)

// fill gives every field of a value something, so that one that Parse forgets is
// seen. n makes the values differ.
func fill(t *testing.T, v reflect.Value, n *int) {
	t.Helper()
	*n++
	if v.Type() == reflect.TypeFor[json.RawMessage]() {
		v.SetBytes(fmt.Appendf(nil, `{"and":[{"var":%d},true]}`, *n))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(fmt.Sprintf("té\"x\\\n<%d>", *n))
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(*n))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			fill(t, v.Index(i), n)
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(t, v.Elem(), n)
	case reflect.Struct:
		for _, field := range v.Fields() {
			fill(t, field, n)
		}
	default:
		if texts, ok := reflect.TypeAssert[*map[string]string](v.Addr()); ok {
			*n++
			*texts = map[string]string{"photos": fmt.Sprintf("%d\n", *n)}
			return
		}
		require.Fail(t, "a kind that the document has no form for", "%s", v.Type())
	}
}

func full(t *testing.T) *config.Config {
	t.Helper()
	var c config.Config
	n := 0
	fill(t, reflect.ValueOf(&c).Elem(), &n)
	c.Version = config.Version
	return &c
}

// TestParseReadsWhatEncodeWrites: every field there is, and every field absent.
func TestParseReadsWhatEncodeWrites(t *testing.T) {
	tests := []struct {
		name string
		c    *config.Config
	}{
		{"every field", full(t)},
		{"no field", &config.Config{Version: config.Version}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			document, err := config.Encode(tt.c)
			require.NoError(t, err)
			got, err := config.Parse(document)
			require.NoError(t, err)
			// encoding/json escapes "<" in a rule as well; the rule is the same.
			for i := range got.Sites {
				require.Len(t, got.Sites[i].Resources, len(tt.c.Sites[i].Resources))
			}
			require.Equal(t, tt.c, got)
			again, err := config.Encode(got)
			require.NoError(t, err)
			require.Equal(t, string(document), string(again), "the same configuration, the same bytes")
		})
	}
}

// TestEveryMemberOfTheWrongType turns each value of a full document into each
// wrong type, and asks for a fault at its very path.
func TestEveryMemberOfTheWrongType(t *testing.T) {
	document, err := config.Encode(full(t))
	require.NoError(t, err)
	var tree any
	require.NoError(t, json.Unmarshal(document, &tree))
	seen := 0
	walk(tree, "", func(path string, value any, set func(any)) {
		if strings.HasSuffix(path, "rule") || strings.Contains(path, "rule.") {
			return // any JSON is a rule; compiling it finds its faults
		}
		seen++
		for _, wrong := range []any{nil, "text", 1.5, true, []any{}, map[string]any{}} {
			if reflect.TypeOf(wrong) == reflect.TypeOf(value) && wrong != 1.5 {
				continue
			}
			if _, isNumber := value.(float64); !isNumber && wrong == 1.5 {
				wrong = 1.0
			}
			set(wrong)
			changed, err := json.Marshal(tree)
			require.NoError(t, err)
			_, err = config.Parse(changed)
			var faults config.Faults
			require.ErrorAs(t, err, &faults, "%s = %v", path, wrong)
			require.Len(t, faults, 1, "%s = %v", path, wrong)
			require.Equal(t, path, faults[0].Path)
		}
		set(value)
	})
	require.Greater(t, seen, 100)
}

// TestEveryUnknownMember puts an unknown member into every object.
func TestEveryUnknownMember(t *testing.T) {
	document, err := config.Encode(full(t))
	require.NoError(t, err)
	var tree any
	require.NoError(t, json.Unmarshal(document, &tree))
	objects := 0
	walk(map[string]any{"": tree}, "", func(path string, value any, _ func(any)) {
		object, ok := value.(map[string]any)
		if !ok || strings.Contains(path, "rule") || strings.HasSuffix(path, "removals") { // whose members are sites
			return
		}
		objects++
		path = strings.TrimPrefix(path, ".")
		for _, name := range []string{"surprise", "Name", ""} {
			object[name] = true
			changed, err := json.Marshal(tree)
			require.NoError(t, err)
			_, err = config.Parse(changed)
			var faults config.Faults
			require.ErrorAs(t, err, &faults, path)
			require.Len(t, faults, 1)
			require.Equal(t, strings.TrimPrefix(path+"."+name, "."), faults[0].Path)
			require.Contains(t, faults[0].Problem, "not known")
			delete(object, name)
		}
	})
	require.Greater(t, objects, 20)
}

// walk visits every value below a tree.
func walk(v any, path string, visit func(path string, value any, set func(any))) {
	switch v := v.(type) {
	case map[string]any:
		for name, value := range v {
			at := strings.TrimPrefix(path+"."+name, ".")
			walk(value, at, visit)
			visit(at, value, func(to any) { v[name] = to })
		}
	case []any:
		for i, value := range v {
			at := config.Index(path, i)
			walk(value, at, visit)
			visit(at, value, func(to any) { v[i] = to })
		}
	}
}

func TestParseFaults(t *testing.T) {
	tests := []struct {
		name, document string
		want           []string // paths
	}{
		{"empty", ``, []string{""}},
		{"not JSON", `{`, []string{""}},
		{"YAML", "version: 1", []string{""}},
		{"byte order mark", "\ufeff{}", []string{""}},
		{"nested without end", strings.Repeat("[", 1<<20), []string{""}},
		{"array", `[]`, []string{""}},
		{"null", `null`, []string{""}},
		{"no version", `{}`, []string{"version"}},
		{"another version", `{"version":2,"sites":[]}`, []string{"version"}},
		{"version as text", `{"version":"1"}`, []string{"version"}},
		{"fraction", `{"version":1.5}`, []string{"version"}},
		{"beyond numbers", `{"version":1e400}`, []string{"version"}},
		{"beyond 32 bits", `{"version":1,"cache":{"bytes":4294967296}}`, []string{"cache.bytes"}},
		{"twice", `{"version":1,"version":1}`, []string{"version"}},
		{"twice, once escaped", `{"version":1,"sites":[],"s\u0069tes":[]}`, []string{"sites"}},
		{"the same name in two objects is not twice", `{"version":1,"sites":[{"name":"a"},{"name":"b","x":1}]}`, []string{"sites[1].x"}},
		{"twice behind another object", `{"version":1,"sites":[{"token":{"leeway_ms":1},"name":"a","token":{}}]}`, []string{"sites[0].token"}},
		{
			"all at once", `{"version":1,"x":1,"sites":[{"hosts":["a",1]},2,{"resources":[{"conditions":[{"paths":"/"}]}]}],"cache":[]}`,
			[]string{"x", "sites[0].hosts[1]", "sites[1]", "sites[2].resources[0].conditions[0].paths", "cache"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := config.Parse([]byte(tt.document))
			require.Nil(t, c)
			var faults config.Faults
			require.ErrorAs(t, err, &faults)
			paths := []string{}
			for _, f := range faults {
				paths = append(paths, f.Path)
			}
			require.Equal(t, tt.want, paths)
		})
	}
}

func TestFaults(t *testing.T) {
	var none config.Faults
	require.NoError(t, none.Err())
	var faults config.Faults
	faults.Add("", "is wrong")
	faults.Add("sites[0].name", "is wrong too")
	require.EqualError(t, faults.Err(), "is wrong\nsites[0].name: is wrong too")
	for i := range 100 {
		faults.Add(config.Index("x", i), "is wrong")
	}
	require.Len(t, strings.Split(faults.Error(), "\n"), 21)
	require.True(t, strings.HasSuffix(faults.Error(), "… and 82 more"), faults.Error())
}

// FuzzParse: a document that is accepted is the one that Encode writes of it.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		`{"version":1,"sites":[]}`,
		`{"version":1,"revision":"7","unknown_hosts":"deny","cache":{"entries":1},"sites":[{"name":"a","hosts":["*"],"authorization_server":{"uri":"u","introspection":{"cluster":"c"},
			"permission":{"path":"/"}},"resources":[{"name":"r","id":"1","conditions":[{"paths":["/**"],"scopes":["s"],"ticket":[{"resource_id":"1","resource_scopes":[]}]},
			{"paths":["/x"],"scope_expression":{"rule":{"var":0},"data":["a"]},"mode":"off"},{"paths":[],"public":true}]}]}]}`,
		`{"version":1,"version":1}`, `[[[[`, `{"":{}}`, `{"version":1e0}`, `{"version":1,"sites":[{"token":{"leeway_ms":-0}}]}`, `{"ver\u0073ion":1}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, document []byte) {
		c, err := config.Parse(document)
		if err != nil {
			var faults config.Faults
			require.ErrorAs(t, err, &faults)
			require.Nil(t, c)
			return
		}
		encoded, err := config.Encode(c)
		require.NoError(t, err)
		again, err := config.Parse(encoded)
		require.NoError(t, err, "%s", encoded)
		second, err := config.Encode(again)
		require.NoError(t, err)
		require.Equal(t, string(encoded), string(second))
	})
}
