package site

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

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

func (d *decoder) integer(n *yaml.Node, v reflect.Value, path string) {
	s, ok := d.text(n, path)
	if !ok {
		return
	}
	i, err := strconv.Atoi(strings.ReplaceAll(s, "_", ""))
	if err != nil {
		d.fault(n, path, fmt.Sprintf("%q is not a whole number", s), "write digits only")
		return
	}
	v.SetInt(int64(i))
}

func (d *decoder) duration(n *yaml.Node, v reflect.Value, path string) {
	s, ok := d.text(n, path)
	if !ok {
		return
	}
	dur, err := time.ParseDuration(s)
	if err != nil {
		d.fault(n, path, fmt.Sprintf("%q is not a duration", s), "write a number with its unit: 500ms, 30s, 5m, 1h")
		return
	}
	v.SetInt(int64(dur))
}

func (d *decoder) enumeration(n *yaml.Node, t reflect.Type, s, path string) {
	values := enumOf(t)
	if values == nil || slices.Contains(values, s) {
		return
	}
	remedy := "one of " + strings.Join(values, ", ")
	if near := nearest(s, values); near != "" {
		remedy = fmt.Sprintf("did you mean %q? ", near) + remedy
	}
	d.fault(n, path, fmt.Sprintf("%q is not known here", s), remedy)
}

// enumOf lists the values of an enumeration of the model, or nil.
func enumOf(t reflect.Type) []string {
	switch t {
	case reflect.TypeFor[config.Mode]():
		return []string{string(config.ModeEnforce), string(config.ModeMonitor), string(config.ModeOff)}
	case reflect.TypeFor[config.Verdict]():
		return []string{string(config.VerdictDeny), string(config.VerdictAllow)}
	case reflect.TypeFor[config.Unmatched]():
		return []string{string(config.UnmatchedDeny), string(config.UnmatchedAuthenticated), string(config.UnmatchedAllow)}
	case reflect.TypeFor[config.AmbiguousPaths]():
		return []string{string(config.PathsReject), string(config.PathsNormalize)}
	case reflect.TypeFor[config.Case]():
		return []string{string(config.CaseSensitive), string(config.CaseInsensitive)}
	case reflect.TypeFor[config.Keep]():
		return []string{string(config.HeaderKeep), string(config.HeaderStrip)}
	case reflect.TypeFor[config.Require]():
		return []string{string(config.RequireUMA), string(config.RequireOAuthScopes)}
	case reflect.TypeFor[config.ClaimsSource]():
		return []string{string(config.ClaimsFromResponse), string(config.ClaimsFromToken)}
	case reflect.TypeFor[Validation]():
		return []string{string(ValidateIntrospection)}
	case reflect.TypeFor[Dialect]():
		return []string{string(DialectAuto), string(DialectGeneric), string(DialectKeycloak), string(DialectGluu), string(DialectWSO2)}
	case reflect.TypeFor[Discovery]():
		return []string{string(DiscoveryOn), string(DiscoveryOff)}
	case reflect.TypeFor[AuthMethod]():
		return []string{string(AuthSecretBasic), string(AuthSecretPost), string(AuthSecretJWT), string(AuthPrivateKeyJWT), string(AuthTLS), string(AuthSelfSignedTLS)}
	case reflect.TypeFor[OnCreate]():
		return []string{string(OnCreateIgnore), string(OnCreateRegister)}
	case reflect.TypeFor[OnDelete]():
		return []string{string(OnDeleteRemove), string(OnDeleteKeep)}
	case reflect.TypeFor[SigningAlg]():
		return signingAlgs()
	case reflect.TypeFor[PATGrant]():
		return []string{string(PATClientCredentials), string(PATAuthorizationCode)}
	case reflect.TypeFor[APIRole]():
		return []string{string(APIRead), string(APIWrite)}
	case reflect.TypeFor[Credential]():
		return []string{string(CredentialClient), string(CredentialPAT)}
	}
	return nil
}
