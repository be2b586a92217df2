package site

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/umagate/umagate/plugin/config"
)

// InternalToken is what an API is told by in a signed token who asks.
type InternalToken struct {
	// The request header that has it, which begins with x-uma-. Default x-uma-token.
	Header string `yaml:"header"`
	// Its iss. Default umagate/ and the name of the site.
	Issuer string `yaml:"issuer"`
	// Its aud: what the API knows itself by.
	Audience []string `yaml:"audience" jsonschema:"required,minItems=1"`
	// How long it lives; the API has at least half of that. Default 60s.
	TTL time.Duration `yaml:"ttl" range:"10s to 5m"`
	// Claims that it has beside sub and client_id: the name there, and that of the claim of
	// the token (roles: realm_access.roles). Each is a list of texts.
	Claims map[string]string `yaml:"claims" jsonschema:"minProperties=1"`
	// Another number withdraws every key so far, at once: one of them has leaked. Default 0.
	KeyVersion int `yaml:"key_version" range:"0"`
}

func (t *InternalToken) setDefaults() { t.Header, t.TTL = "x-uma-token", time.Minute }

// SigningKeyPath is the path where filters ask for the key of internal tokens, beside
// [InstancesPath].
const SigningKeyPath = "/v1/internal-token/key"

// SigningKeyCluster names the Envoy cluster in which a site's filter asks for that key, with
// a credential of the site's.
func SigningKeyCluster(site string) string { return "umagate/" + site + "/signing-key" }

// SigningKeySecret names the SDS secret with that credential.
func SigningKeySecret(site string) string { return "umagate/" + site + "/signing-key" }

// AsksControlPlane reports whether a filter has to reach the control plane, for instances or
// for keys.
func (f *File) AsksControlPlane() bool {
	return f.HasInstances() || slices.ContainsFunc(f.Sites, func(s Site) bool { return s.InternalToken != nil })
}

// compileInternalToken is nil for a site whose API is told nothing in a token.
func compileInternalToken(s *Site) *config.InternalToken {
	t := s.InternalToken
	if t == nil {
		return nil
	}
	out := &config.InternalToken{
		Header: t.Header, Issuer: cmp.Or(t.Issuer, "umagate/"+s.Name), Audience: t.Audience, TTLS: int(t.TTL / time.Second), KeyVersion: t.KeyVersion,
		Key: config.Endpoint{
			Cluster: SigningKeyCluster(s.Name), Scheme: "http", Authority: instancesAuthority, Path: SigningKeyPath,
			TimeoutMS: int(s.AuthorizationServer.Timeout / time.Millisecond),
		},
	}
	out.Claims = compileTokenClaims(t.Claims)
	return out
}

// compileTokenClaims translates which claims are told, and by which names.
func compileTokenClaims(claims map[string]string) []config.TokenClaim {
	var out []config.TokenClaim
	for _, name := range slices.Sorted(maps.Keys(claims)) {
		path, err := ParseClaim(claims[name])
		if err != nil {
			path = []string{}
		}
		out = append(out, config.TokenClaim{Name: name, Path: path})
	}
	return out
}
