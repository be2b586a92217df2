package site

import (
	"fmt"
	"math"
	"math/big"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"go.yaml.in/yaml/v4"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/clientauth"
	"github.com/umagate/umagate/plugin/config"
)

// text is a scalar with its variables replaced.
func (d *decoder) text(n *yaml.Node, path string) (string, bool) {
	if n.Kind != yaml.ScalarNode {
		d.fault(n, path, "is "+kindOf(n)+", not a text", "write one value")
		return "", false
	}
	s, missing, _ := d.env.expand(n.Value)
	if len(missing) > 0 {
		d.fault(n, path, "environment variable "+strings.Join(missing, ", ")+" is not set", "set it, or write ${NAME:-default}")
		return "", false
	}
	return s, true
}

// texts is a mapping of the user's own keys to texts.
func (d *decoder) texts(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.MappingNode {
		d.fault(n, path, "is "+kindOf(n)+", not a mapping", "write keys and values, such as {zone: a}")
		return
	}
	out := map[string]string{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, val := n.Content[i], n.Content[i+1]
		at := join(path, key.Value)
		d.positions[at] = position{val.Line, val.Column}
		if _, twice := out[key.Value]; twice {
			d.fault(key, at, "is written twice", "keep one of them")
			continue
		}
		if s, ok := d.text(val, at); ok {
			out[key.Value] = s
		}
	}
	v.Set(reflect.ValueOf(out))
}

// lists is a mapping of the user's own keys to lists of texts, which are compared with
// what claims have: a text, true, false or a whole number. What YAML takes for something
// else never equals one.
func (d *decoder) lists(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.MappingNode {
		d.fault(n, path, "is "+kindOf(n)+", not a mapping", "write keys and lists, such as {department: [sales]}")
		return
	}
	out := reflect.MakeMap(v.Type())
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, val := n.Content[i], n.Content[i+1]
		at := join(path, key.Value)
		if key.Value == "<<" {
			d.unknown(key, at, nil)
			continue
		}
		if out.MapIndex(reflect.ValueOf(key.Value)).IsValid() {
			d.fault(key, at, "is written twice", "keep one of them")
			continue
		}
		list := reflect.New(v.Type().Elem()).Elem()
		d.value(val, list, at)
		if list.Len() == 0 && !d.refused[at] {
			d.fault(val, at, "has no value, and nothing would do", "write at least one, or take the key out")
		}
		out.SetMapIndex(reflect.ValueOf(key.Value), list)
		if val.Kind == yaml.AliasNode {
			val = val.Alias
		}
		for i, item := range val.Content {
			if item.Kind == yaml.ScalarNode && !comparedAsWritten(item) {
				d.fault(item, at+"["+strconv.Itoa(i)+"]", "is no text, true, false or whole number, and nothing else of a token is compared",
					fmt.Sprintf("write %q in quotes, if the token has it as a text; write whole numbers as 42 or -7", item.Value))
			}
		}
	}
	v.Set(out)
}

// comparedAsWritten reports whether a scalar is written as the filter writes what it compares.
func comparedAsWritten(n *yaml.Node) bool {
	switch n.ShortTag() {
	case "!!str", "!!null":
		return true
	case "!!bool":
		return n.Value == "true" || n.Value == "false"
	case "!!int", "!!float": // it takes a whole number of many digits for a float
		whole, ok := new(big.Int).SetString(n.Value, 10)
		return ok && whole.String() == n.Value
	}
	return false
}

func (d *decoder) boolean(n *yaml.Node, v reflect.Value, path string) {
	s, ok := d.text(n, path)
	if !ok {
		return
	}
	switch strings.ToLower(s) {
	case "true":
		v.SetBool(true)
	case "false":
		v.SetBool(false)
	default:
		d.fault(n, path, fmt.Sprintf("%q is not true or false", s), "write true or false")
	}
}

// number decodes a whole number or a duration.
func (d *decoder) number(n *yaml.Node, v reflect.Value, path string) {
	s, ok := d.text(n, path)
	if !ok {
		return
	}
	i, err := parseNumber(v.Type(), s)
	switch {
	case err == nil:
		v.SetInt(i)
	case isDuration(v.Type()):
		d.fault(n, path, fmt.Sprintf("%q is not a duration", s), "write a number with its unit: 500ms, 30s, 5m, 1h")
	default:
		d.fault(n, path, fmt.Sprintf("%q is not a whole number", s), "write digits only")
	}
}

func isDuration(t reflect.Type) bool { return t == reflect.TypeFor[time.Duration]() }

func parseNumber(t reflect.Type, s string) (int64, error) {
	if isDuration(t) {
		d, err := time.ParseDuration(s)
		return int64(d), err
	}
	i, err := strconv.Atoi(strings.ReplaceAll(s, "_", ""))
	return int64(i), err
}

// inRange judges a number or a duration by the tag "range" of its field, "LOW to HIGH"
// or "LOW", and behind a comma what else the remedy says. A field with the tag "zero"
// takes 0, too, for what that tag says.
func (d *decoder) inRange(n *yaml.Node, v reflect.Value, path string, tag reflect.StructTag) {
	allowed, ok := tag.Lookup("range")
	zero, takesZero := tag.Lookup("zero")
	if !ok || d.refused[path] || takesZero && v.IsZero() {
		return
	}
	bounds, _, _ := strings.Cut(allowed, ",")
	low, high, bounded := strings.Cut(bounds, " to ")
	least, err := parseNumber(v.Type(), low)
	most := int64(math.MaxInt64)
	if err == nil && bounded {
		most, err = parseNumber(v.Type(), high)
	}
	if err != nil {
		panic("site: the model has a range that cannot be read: " + allowed)
	}
	if least <= v.Int() && v.Int() <= most {
		return
	}
	remedy := "write a number from " + allowed
	if takesZero {
		remedy += ", or 0 for " + zero
	}
	if isDuration(v.Type()) {
		remedy = "write a duration from " + allowed
		if takesZero {
			remedy += ", or 0s for " + zero
		}
	}
	d.fault(n, path, fmt.Sprint(v.Interface())+" is out of range", remedy)
}

func (d *decoder) enumeration(n *yaml.Node, t reflect.Type, s, path string) {
	values := enumerations[t]
	if values == nil || slices.Contains(values, s) {
		return
	}
	d.fault(n, path, fmt.Sprintf("%q is not known here", s), withNearest(s, values, "one of "+strings.Join(values, ", ")))
}

// enumerations are the values of the enumerations of the model, the default first where
// there is one.
var enumerations = map[reflect.Type][]string{
	reflect.TypeFor[config.Mode]():             texts(config.ModeEnforce, config.ModeMonitor, config.ModeOff),
	reflect.TypeFor[config.Verdict]():          texts(config.VerdictDeny, config.VerdictAllow),
	reflect.TypeFor[config.Unmatched]():        texts(config.UnmatchedDeny, config.UnmatchedAuthenticated, config.UnmatchedAllow),
	reflect.TypeFor[config.ChosenBy]():         texts(config.ChosenByPath, config.ChosenByIssuer),
	reflect.TypeFor[config.AmbiguousPaths]():   texts(config.PathsReject, config.PathsNormalize),
	reflect.TypeFor[config.Case]():             texts(config.CaseSensitive, config.CaseInsensitive),
	reflect.TypeFor[config.MCPLists]():         texts(config.ListsAll, config.ListsPermitted),
	reflect.TypeFor[config.Keep]():             texts(config.HeaderKeep, config.HeaderStrip),
	reflect.TypeFor[config.Require]():          texts(config.RequireUMA, config.RequireOAuthScopes),
	reflect.TypeFor[config.Refresh]():          texts(config.RefreshAhead, config.RefreshOnDemand),
	reflect.TypeFor[config.Streams]():          texts(config.StreamsOutliveToken, config.StreamsEndWithToken),
	reflect.TypeFor[config.ClaimsSource]():     texts(config.ClaimsFromResponse, config.ClaimsFromToken),
	reflect.TypeFor[config.Challenge]():        texts(config.ChallengeUMA, config.ChallengeBearer, config.ChallengeBoth),
	reflect.TypeFor[Evaluate]():                texts(EvaluateAsIssued, EvaluateAtAS),
	reflect.TypeFor[Validation]():              texts(ValidateIntrospection),
	reflect.TypeFor[as.DialectName]():          texts(as.DialectNames()...),
	reflect.TypeFor[Discovery]():               texts(DiscoveryOn, DiscoveryOff),
	reflect.TypeFor[clientauth.Method]():       texts(clientauth.Methods()...),
	reflect.TypeFor[OnCreate]():                texts(OnCreateIgnore, OnCreateRegister),
	reflect.TypeFor[OnDelete]():                texts(OnDeleteRemove, OnDeleteKeep),
	reflect.TypeFor[jose.SignatureAlgorithm](): texts(append(clientauth.KeyAlgorithms(), clientauth.SecretAlgorithms()...)...),
	reflect.TypeFor[PATGrant]():                texts(PATClientCredentials, PATAuthorizationCode),
	reflect.TypeFor[APIRole]():                 texts(APIRead, APIWrite),
	reflect.TypeFor[as.Credential]():           texts(as.CredentialClient, as.CredentialPAT),
}

func texts[T ~string](values ...T) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = string(v)
	}
	return out
}
