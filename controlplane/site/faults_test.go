package site_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/e2e/pki"
)

// oxdSite serves oxd with entries of oxd.sites.
func oxdSite(entries string) string {
	return around("oxd: {http: 127.0.0.1:0, op_hosts: [{url: https://op.example.com}], sites: ["+entries+"]}", "", conditions)
}

// around is a valid document with a hole in line 3 and one in the resource.
func around(top, server, resource string) string {
	lines := []string{
		"# line 1",
		top,
		"sites:",
		"- name: photos",
		"  hosts: [photos.example.com]",
		"  authorization_server:",
		"    issuer: https://as.example.com",
		"    client: {register: {}}",
		server,
		"  resources:",
		"  - name: albums",
		resource,
	}
	return strings.Join(lines, "\n") + "\n"
}

const conditions = `    conditions: [{paths: ["/a"], scopes: [view]}]`

func TestFaults(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		text    string
		line    int
		column  int
		path    string
		problem string
		remedy  string
	}{
		{"empty", "", 0, 0, "", "the file is empty", "envoy/umagate.yaml"},
		{"only a comment", "# nothing\n", 0, 0, "", "the file is empty", "envoy/umagate.yaml"},
		{"not yaml", "sites: [\n", 2, 1, "", "not YAML", "indentation"},
		{"a list", "- a\n", 1, 1, "", "is a list, not a mapping", "listen, api, telemetry"},
		{"unknown key", around("sitess: []", "", conditions), 2, 1, "sitess", `unknown key "sitess"`, `did you mean "sites"?`},
		{"unknown nested key", around("", "  unmached: deny", conditions), 9, 3, "sites[0].unmached", `unknown key "unmached"`, `did you mean "unmatched"?`},
		{"unlike any key", around("zzzzzzzz: 1", "", conditions), 2, 1, "zzzzzzzz", `unknown key`, `known here: listen`},
		{"key twice", around("sites: []", "", conditions), 3, 1, "sites", "is written twice, first in line 2", "keep one"},
		{"merge key", around("cache: {<<: {bytes: 1}}", "", conditions), 2, 9, "cache.<<", "merge keys are not supported", "write the keys out"},
		{"enumeration", around("", "  mode: enforced", conditions), 9, 9, "sites[0].mode", `"enforced" is not known here`, `did you mean "enforce"?`},
		{"oxd served nowhere", around("oxd: {op_hosts: [{url: https://op.example.com}]}", "", conditions), 2, 6, "oxd", "is served nowhere", "socket: 127.0.0.1:8099"},
		{"oxd without a provider", around("oxd: {socket: 127.0.0.1:0}", "", conditions), 2, 6, "oxd.op_hosts", "names no OpenID provider", "no other is asked"},
		{"oxd beyond loopback", around("oxd: {socket: 0.0.0.0:8099, op_hosts: [{url: https://op.example.com}]}", "", conditions), 2, 15, "oxd.socket", "is not loopback", "insecure_plaintext"},
		{"oxd with half a certificate", around("oxd: {http: 127.0.0.1:0, tls: {cert_file: a}, op_hosts: [{url: https://op.example.com}]}", "", conditions), 2, 31, "oxd.tls", "lacks one of", "write both"},
		{"oxd with an http provider", around("oxd: {http: 127.0.0.1:0, op_hosts: [{url: http://op.example.com}]}", "", conditions), 2, 43, "oxd.op_hosts[0].url", "is http", "insecure_http"},
		{"oxd with a provider twice", around("oxd: {http: 127.0.0.1:0, op_hosts: [{url: https://op.example.com}, {url: https://OP.example.com/}]}", "", conditions), 2, 74, "oxd.op_hosts[1].url", "stands there twice", "keep one"},
		{"oxd with another default", around("oxd: {http: 127.0.0.1:0, default_op_host: https://x.example.com, op_hosts: [{url: https://op.example.com}]}", "", conditions), 2, 43, "oxd.default_op_host", "is not one of op_hosts", "one of them"},
		{"oxd login lifetime", around("oxd: {http: 127.0.0.1:0, login_lifetime: 2h, op_hosts: [{url: https://op.example.com}]}", "", conditions), 2, 42, "oxd.login_lifetime", "out of range", "5m"},
		{"oxd site for nobody", oxdSite("{hosts: [a.example.com]}"), 2, 77, "oxd.sites[0]", "does not say which application", "exactly one of"},
		{"oxd site for two", oxdSite("{oxd_id: a, client_name: b, hosts: [a.example.com]}"), 2, 77, "oxd.sites[0]", "does not say which application", "exactly one of"},
		{"oxd site without hosts", oxdSite("{oxd_id: a}"), 2, 77, "oxd.sites[0].hosts", "there is no host", "the application answers on"},
		{"oxd site with the host of another", oxdSite("{oxd_id: a, hosts: [Photos.example.com]}"), 2, 97, "oxd.sites[0].hosts[0]", "belongs to site photos", "one only"},
		{"oxd site with a bad host", oxdSite("{oxd_id: a, hosts: [\"a:80\"]}"), 2, 97, "oxd.sites[0].hosts[0]", "", "without port"},
		{"oxd site twice", oxdSite("{oxd_id: a, hosts: [a.example.com]}, {oxd_id: a, hosts: [b.example.com]}"), 2, 114, "oxd.sites[1]", "same application", "into one"},
		{"oxd site with a path upstream", oxdSite("{oxd_id: a, hosts: [a.example.com], upstream: \"http://a/b\"}"), 2, 123, "oxd.sites[0].upstream", "has a path", "scheme, host and port"},
		{"oxd site verdict", oxdSite("{oxd_id: a, hosts: [a.example.com], unmatched: perhaps}"), 2, 124, "oxd.sites[0].unmatched", "", "deny"},
		{"oxd provider unknown key", around("oxd: {http: 127.0.0.1:0, op_hosts: [{ulr: https://op.example.com}]}", "", conditions), 2, 38, "oxd.op_hosts[0].ulr", "unknown key", `did you mean "url"?`},
		{"PostgreSQL without a key", around("store: postgres://u@h/d", "", conditions), 2, 1, "store_key", "is missing", "openssl rand"},
		{"API token too short", around("api: {tokens: [{name: ci, token: short, role: read}]}", "", conditions), 2, 34, "api.tokens[0].token", "shorter than 16", "openssl rand"},
		{"API token of no bearer's letters", around("api: {tokens: [{name: ci, token: 0123456789 abcdef, role: read}]}", "", conditions), 2, 34, "api.tokens[0].token", "cannot have", "RFC 6750"},
		{"API token without role", around("api: {tokens: [{name: ci, token: 0123456789abcdef}]}", "", conditions), 2, 16, "api.tokens[0].role", "is missing", "read or write"},
		{"API role", around("api: {tokens: [{name: ci, token: 0123456789abcdef, role: wirte}]}", "", conditions), 2, 58, "api.tokens[0].role", "not known", `"write"`},
		{"API token twice", around("api: {tokens: [{name: a, token: 0123456789abcdef, role: read}, {name: b, token: 0123456789abcdef, role: read}]}", "", conditions), 2, 81, "api.tokens[1].token", "token of a too", "each caller"},
		{"API name twice", around("api: {tokens: [{name: a, token: 0123456789abcdef, role: read}, {name: a, token: 0123456789abcdeg, role: read}]}", "", conditions), 2, 71, "api.tokens[1].name", "another caller", "audit log"},
		{"API certificate without CA", around("api: {certificates: [{name: a, subject: \"cn:a\", role: read}]}", "", conditions), 2, 21, "api.certificates", "nothing checks", "client_ca"},
		{"API certificate of no kind", around("api: {certificates: [{name: a, subject: ann, role: read}]}", "", conditions), 2, 41, "api.certificates[0].subject", "what of the certificate", "email:"},
		{"API beyond loopback, encrypted, for anybody", around("listen: {api: \"0.0.0.0:8090\", api_tls: {certificate: c, key: k}}", "", conditions), 2, 15, "listen.api", "nobody who may call", "api.tokens"},
		{"API TLS without key", around("listen: {api_tls: {certificate: c}}", "", conditions), 2, 19, "listen.api_tls.key", "is missing", "PEM"},
		{"audit log of an hour", around("api: {audit_retention: 1h}", "", conditions), 2, 24, "api.audit_retention", "out of range", "2160h"},
		{"traces to nowhere", around("telemetry: {otlp: {sample_percent: 5}}", "", conditions), 2, 19, "telemetry.otlp.endpoint", "is missing", "4318"},
		{"traces to a path", around("telemetry: {otlp: {endpoint: http://127.0.0.1:4318/v1/traces}}", "", conditions), 2, 30, "telemetry.otlp.endpoint", "has a path", "is added"},
		{"traces with a token in the clear", around("telemetry: {otlp: {endpoint: http://192.0.2.1:4318, token: a}}", "", conditions), 2, 30, "telemetry.otlp.endpoint", "in the clear", "https"},
		{"traces out of range", around("telemetry: {otlp: {endpoint: http://127.0.0.1:4318, sample_percent: 101}}", "", conditions), 2, 69, "telemetry.otlp.sample_percent", "out of range", "1 to 100"},
		{"duration without unit", around("", "  token: {max_ttl: 60}", conditions), 9, 20, "sites[0].token.max_ttl", `"60" is not a duration`, "30s"},
		{"duration out of range", around("", "  token: {leeway: 1h}", conditions), 9, 19, "sites[0].token.leeway", "out of range", "5m"},
		{"stale for days", around("", "  token: {stale: 48h}", conditions), 9, 18, "sites[0].token.stale", "out of range", "24h"},
		{"last good beside nothing", around("envoy: {last_good: last_good}", "", conditions), 2, 20, "envoy.last_good", "no absolute path", "/var/lib"},
		{"last good of a long name", around("envoy: {last_good: /"+strings.Repeat("x", 80)+"}", "", conditions), 2, 20, "envoy.last_good", "81 bytes", "shorter"},
		{"last good in a folder", around("envoy: {last_good: /var/lib/}", "", conditions), 2, 20, "envoy.last_good", "is a folder", "/var/lib/last_good"},
		{"authenticated for nobody", around("", "", `    conditions: [{paths: ["/a"], public: true, acr: [gold]}]`), 12, 18, "sites[0].resources[0].conditions[0]", "looks at no token", "acr"},
		{"authenticated as nothing", around("", "", `    conditions: [{paths: ["/a"], scopes: [a], acr: []}]`), 12, 52, "sites[0].resources[0].conditions[0].acr", "is empty, which is as if it were left out", "or leave acr out"},
		{"authenticated as no value", around("", "", `    conditions: [{paths: ["/a"], scopes: [a], acr: }]`), 12, 52, "sites[0].resources[0].conditions[0].acr", "is empty, which is as if it were left out", "or leave acr out"},
		{"authenticated as an alias", around("envoy: {}", "  revocation: {client_ids: &none []}", `    conditions: [{paths: ["/a"], scopes: [a], acr: *none}]`), 12, 52, "sites[0].resources[0].conditions[0].acr", "is empty, which is as if it were left out", "or leave acr out"},
		{"claims of nobody", around("", "", `    conditions: [{paths: ["/a"], public: true, groups: [a]}]`), 12, 18, "sites[0].resources[0].conditions[0]", "looks at no token", "claims"},
		{"no claim", around("", "", `    conditions: [{paths: ["/a"], scopes: [a], claims: {}}]`), 12, 55, "sites[0].resources[0].conditions[0].claims", "is empty", "or leave claims out"},
		{"a claim of no value", around("", "", `    conditions: [{paths: ["/a"], scopes: [a], claims: {b: []}}]`), 12, 59, "sites[0].resources[0].conditions[0].claims.b", "nothing would do", "at least one"},
		{"a claim of nothing", around("", "", `    conditions: [{paths: ["/a"], scopes: [a], claims: {b: }}]`), 12, 59, "sites[0].resources[0].conditions[0].claims.b", "nothing would do", "at least one"},
		{"a claim of one value", around("", "", `    conditions: [{paths: ["/a"], scopes: [a], claims: {b: c}}]`), 12, 59, "sites[0].resources[0].conditions[0].claims.b", "not a list", "[a, b]"},
		{"a claim of an empty value", around("", "", `    conditions: [{paths: ["/a"], scopes: [a], claims: {b: [c, ""]}}]`), 12, 63, "sites[0].resources[0].conditions[0].claims.b[1]", "is empty", "take the entry out"},
		{"a claim that is a fraction", around("", "", `    conditions: [{paths: ["/a"], scopes: [a], claims: {b: [3.0]}}]`), 12, 60, "sites[0].resources[0].conditions[0].claims.b[0]", "whole number", `"3.0" in quotes`},
		{"a claim that is octal", around("", "", `    conditions: [{paths: ["/a"], scopes: [a], claims: {b: [017]}}]`), 12, 60, "sites[0].resources[0].conditions[0].claims.b[0]", "whole number", `"017" in quotes`},
		{"a claim of minus nothing", around("", "", `    conditions: [{paths: ["/a"], scopes: [a], claims: {b: [-0]}}]`), 12, 60, "sites[0].resources[0].conditions[0].claims.b[0]", "whole number", `"-0" in quotes`},
		{"a claim with an exponent", around("", "", `    conditions: [{paths: ["/a"], scopes: [a], claims: {b: [1e3]}}]`), 12, 60, "sites[0].resources[0].conditions[0].claims.b[0]", "whole number", `"1e3" in quotes`},
		{"a claim that is True", around("", "", `    conditions: [{paths: ["/a"], scopes: [a], claims: {b: [True]}}]`), 12, 60, "sites[0].resources[0].conditions[0].claims.b[0]", "is no text", "quotes"},
		{"a claim twice", around("", "", `    conditions: [{paths: ["/a"], scopes: [a], claims: {b: [c], b: [d]}}]`), 12, 64, "sites[0].resources[0].conditions[0].claims.b", "twice", "keep one"},
		{"a claim without a name", around("", "", `    conditions: [{paths: ["/a"], scopes: [a], claims: {b..c: [d]}}]`), 12, 62, "sites[0].resources[0].conditions[0].claims.b..c", "no name of a claim", "realm_access.roles"},
		{"a claim of a URL", around("", "", `    conditions: [{paths: ["/a"], scopes: [a], claims: {"https://a.b/c": [d]}}]`), 12, 73, "sites[0].resources[0].conditions[0].claims.https://a.b/c", "looks for", "a backslash before each dot"},
		{"a claim of a template", around("", "", `    conditions: [{paths: ["/a/{b}"], scopes: [a], claims: {sub: ["x-{b}"]}}]`), 12, 66, "sites[0].resources[0].conditions[0].claims.sub[0]", "neither a variable nor a text", "for a brace"},
		{"a claim of no variable", around("", "", `    conditions: [{paths: ["/a/{b}"], scopes: [a], claims: {sub: ["{c}"]}}]`), 12, 27, "sites[0].resources[0].conditions[0].paths[0]", "must have {c}", ""},
		{"a path of a site that the AS evaluates", around("", "  token: {evaluate: at_as}", `    conditions: [{paths: ["/a**b"], scopes: [a]}]`), 12, 27, "sites[0].resources[0].conditions[0].paths[0]", "literal text between them", ""},
		{"claims pushed, and nobody is asked", around("", "", `    conditions: [{paths: ["/a"], scopes: [a], pushed_claims: {m: method}}]`), 12, 62, "sites[0].resources[0].conditions[0].pushed_claims", "does not say for which request", "at_as"},
		{"claims pushed at another AS", around("", "    dialect: generic\n  token: {evaluate: at_as}", `    conditions: [{paths: ["/a"], scopes: [a], pushed_claims: {m: method}}]`), 13, 62, "sites[0].resources[0].conditions[0].pushed_claims", "only Keycloak", "take pushed_claims out"},
		{"claims pushed, and the owner is asked", around("", "  token: {evaluate: at_as, ask_owner: true}", `    conditions: [{paths: ["/a"], scopes: [a], pushed_claims: {m: method}}]`), 12, 62, "sites[0].resources[0].conditions[0].pushed_claims", "have the owner asked", "or ask_owner"},
		{"claims pushed from nowhere", around("", "  token: {evaluate: at_as}", `    conditions: [{paths: ["/a"], scopes: [a], pushed_claims: {m: time}}]`), 12, 62, "sites[0].resources[0].conditions[0].pushed_claims", "method, client_address, header or variable", ""},
		{"a role without a name", around("", "", `    conditions: [{paths: ["/a"], scopes: [a], roles: [""]}]`), 12, 55, "sites[0].resources[0].conditions[0].roles[0]", "is empty", "take the entry out"},
		{"no role", around("", "", `    conditions: [{paths: ["/a"], scopes: [a], roles: []}]`), 12, 54, "sites[0].resources[0].conditions[0].roles", "is empty", "or leave roles out"},
		{"a header of the client's", around("", "  claim_headers: {x-user: sub}", conditions), 9, 18, "sites[0].claim_headers", "x-uma-", ""},
		{"a header of no claim", around("", "  claim_headers: {x-uma-user: a..b}", conditions), 9, 18, "sites[0].claim_headers", "1 to 8 names", ""},
		{"no header", around("", "  claim_headers: {}", conditions), 9, 18, "sites[0].claim_headers", "is empty", "or leave claim_headers out"},
		{"a name in a report that no expression has", around("", "  reported_claims: {a.b: sub}", conditions), 9, 20, "sites[0].reported_claims", "letters, digits", ""},
		{"a variable of every token", around("", "  token: {claims: {sub: [\"{a}\"]}}", conditions), 9, 19, "sites[0].token.claims", "cannot depend on a path", ""},
		{"no method", around("", "", `    conditions: [{paths: ["/a"], scopes: [a], methods: []}]`), 12, 56, "sites[0].resources[0].conditions[0].methods", "is empty", "or leave methods out"},
		{"none of no scopes", around("", "", `    conditions: [{paths: ["/a"], scopes: []}]`), 12, 42, "sites[0].resources[0].conditions[0].scopes", "is empty", "at least one"},
		{"a ticket for no scope", around("", "", `    conditions: [{paths: ["/a"], scopes: [a], ticket_scopes: []}]`), 12, 62, "sites[0].resources[0].conditions[0].ticket_scopes", "is empty", "or leave ticket_scopes out"},
		{"another ticket for no scope", around("", "", `    conditions: [{paths: ["/a"], scopes: [a], ticket: [{resource: albums, scopes: []}]}]`), 12, 83, "sites[0].resources[0].conditions[0].ticket[0].scopes", "asks for no scope", "one of a"},
		{"another ticket without scopes", around("", "", `    conditions: [{paths: ["/a"], scopes: [a], ticket: [{resource: albums}]}]`), 12, 56, "sites[0].resources[0].conditions[0].ticket[0].scopes", "asks for no scope", "one of a"},
		{"a resource of no scope", around("", "", "    scopes: []\n"+conditions), 12, 13, "sites[0].resources[0].scopes", "is empty", "or leave scopes out"},
		{"of no issuer", around("", "  token: {issuers: []}", conditions), 9, 20, "sites[0].token.issuers", "is empty", "or leave issuers out"},
		{"for no audience", around("", "  token: {audiences: []}", conditions), 9, 22, "sites[0].token.audiences", "is empty", "or leave audiences out"},
		{"of an issuer without a name", around("", "  token: {issuers: [\"${NONE:-}\"]}", conditions), 9, 21, "sites[0].token.issuers[0]", "is empty", "take the line away"},
		{"for an audience without a name", around("", "  token: {audiences: [a, '']}", conditions), 9, 26, "sites[0].token.audiences[1]", "is empty", "take the line away"},
		{"of a client without a name", around("", "  token: {client_ids: ['']}", conditions), 9, 24, "sites[0].token.client_ids[0]", "is empty", "take the line away"},
		{"of no client", around("", "  token: {client_ids: []}", conditions), 9, 23, "sites[0].token.client_ids", "is empty", "or leave client_ids out"},
		{"a PAT for no scope", strings.Replace(around("", "", conditions), "    client: {register: {}}", "    client: {register: {}}\n    pat: {scopes: []}", 1), 9, 19, "sites[0].authorization_server.pat.scopes", "is empty", "or leave scopes out"},
		{"no group", around("groups: []", "", conditions), 2, 9, "groups", "is empty", "or leave groups out"},
		{"a group of no certificate", around("groups: [{name: a, sites: [photos], match: {san: []}}]", "", conditions), 2, 50, "groups[0].match.san", "is empty", "or leave san out"},
		{"a group of no metadata", around("groups: [{name: a, sites: [photos], match: {metadata: {}}}]", "", conditions), 2, 55, "groups[0].match.metadata", "is empty", "or leave metadata out"},
		{"authenticated in no time", around("", "", `    conditions: [{paths: ["/a"], scopes: [a], max_auth_age: 10000h}]`), 12, 61, "sites[0].resources[0].conditions[0].max_auth_age", "out of range", "8760h"},
		{"owner asked by nobody", around("", "  token: {ask_owner: true}", conditions), 9, 22, "sites[0].token.ask_owner", "is not asked what tokens may", "at_as"},
		{"owner asked by the AS itself", around("", "    dialect: generic\n  token: {evaluate: at_as, ask_owner: true}", conditions), 10, 39, "sites[0].token.ask_owner", "itself says", "take it out"},
		{"claim without evaluation", around("", "    claim_token_format: 'urn:x:y'", conditions), 9, 25, "sites[0].authorization_server.claim_token_format", "is not asked what tokens may", "at_as"},
		{"claim of no format", around("", "    claim_token_format: jwt\n  token: {evaluate: at_as}", conditions), 9, 25, "sites[0].authorization_server.claim_token_format", "is no URI", "urn:ietf"},
		{"evaluated without permissions", around("", "  require: oauth_scopes\n  token: {evaluate: at_as, audiences: [a]}", conditions), 10, 21, "sites[0].token.evaluate", "no permissions", "require: uma"},
		{"evaluated somewhere", around("", "  token: {evaluate: here}", conditions), 9, 21, "sites[0].token.evaluate", "not known here", "at_as"},
		{"evaluated too often", around("", "  limits: {evaluations_per_second: -1}", conditions), 9, 36, "sites[0].limits.evaluations_per_second", "out of range", "from 1"},
		{"a challenge of no kind", around("", "  challenge: basic", conditions), 9, 14, "sites[0].challenge", "not known here", "bearer"},
		{"silent for no time", around("envoy: {stream_idle_timeout: 10ms}", "", conditions), 2, 30, "envoy.stream_idle_timeout", "out of range", "90s"},
		{"no room to wait", around("", "  limits: {waiting_bytes: 1000}", conditions), 9, 27, "sites[0].limits.waiting_bytes", "out of range", "65536"},
		{"less than nobody waits", around("", "  limits: {waiting_requests: -1}", conditions), 9, 30, "sites[0].limits.waiting_requests", "out of range", "from 1"},
		{"a revocation kept for no time", around("", "  revocation: {keep: 0s}", conditions), 9, 22, "sites[0].revocation.keep", "out of range", "longest life"},
		{"not-before asked for too often", around("", "  revocation: {not_before_every: 10ms}", conditions), 9, 34, "sites[0].revocation.not_before_every", "out of range", "0s for never"},
		{"a client without id", around("", "  revocation: {client_ids: ['']}", conditions), 9, 29, "sites[0].revocation.client_ids[0]", "is empty", "take the line away"},
		{"negative duration", around("", "  token: {max_ttl: -1s}", conditions), 9, 20, "sites[0].token.max_ttl", "out of range", "0s"},
		{"not a number", around("cache: {entries: many}", "", conditions), 2, 18, "cache.entries", `"many" is not a whole number`, "digits"},
		{"negative number", around("cache: {entries: -1}", "", conditions), 2, 18, "cache.entries", "out of range", "1 to"},
		{"not a boolean", around("", "  token: {insecure_any_audience: maybe}", conditions), 9, 34, "sites[0].token.insecure_any_audience", `"maybe" is not true or false`, "true or false"},
		{"a list where a text is", around("", "  realm: [a]", conditions), 9, 10, "sites[0].realm", "is a list, not a text", "one value"},
		{"a text where a list is", around("", "", "    conditions: [{paths: /a, scopes: [view]}]"), 12, 26, "sites[0].resources[0].conditions[0].paths", "is a single value, not a list", "[a, b]"},
		{"empty entry", around("", "", "    conditions: [{paths: [~], scopes: [view]}]"), 12, 27, "sites[0].resources[0].conditions[0].paths[0]", "is empty", "take the entry out"},
		{"unset variable", around("", `  realm: "${REALM}"`, conditions), 9, 10, "sites[0].realm", "environment variable REALM is not set", "${NAME:-default}"},
		{"no sites", "listen: {api: 127.0.0.1:1}\n", 1, 1, "sites", "there is no site", "envoy/umagate.yaml"},
		{"address", around("listen: {api: 8090}", "", conditions), 2, 15, "listen.api", `"8090" is not HOST:PORT`, "127.0.0.1:8090"},
		{"plain text for everybody", around("listen: {xds: \":18000\"}", "", conditions), 2, 15, "listen.xds", "not encrypted", "insecure_plaintext: true"},
		{"store", around("store: mysql://x", "", conditions), 2, 8, "store", "neither SQLite nor PostgreSQL", "sqlite:PATH"},
		{"store key before", around("store_key_previous: ${SHORT}", "", conditions), 2, 21, "store_key_previous", "is there without store_key", "new key"},
		{"store key", around("store_key: ${SHORT}", "", conditions), 2, 12, "store_key", "not 32 bytes in base64", "openssl rand"},
		{"module without sum", around("plugin: {wasm: https://example.com/a.wasm}", "", conditions), 2, 16, "plugin.wasm", "plugin.sha256 is missing", "sha256sum"},
		{"bad sum", around("plugin: {sha256: abc}", "", conditions), 2, 18, "plugin.sha256", "not a SHA-256", "64 digits"},
		{"host with port", around("", "  require: uma", conditions+"\n- name: b\n  hosts: [\"a:80\"]\n  authorization_server: {issuer: \"https://as\", client: {register: {}}}\n  resources: [{name: r, conditions: [{paths: [\"/\"], public: true}]}]"), 14, 11, "sites[1].hosts[0]", "without port", ""},
		{"host twice", around("", "", conditions+"\n- name: b\n  hosts: [PHOTOS.example.com]\n  authorization_server: {issuer: \"https://as\", client: {register: {}}}\n  resources: [{name: r, conditions: [{paths: [\"/\"], public: true}]}]"), 14, 11, "sites[1].hosts[0]", "", ""},
		{"upstream with path", around("", "  upstream: http://127.0.0.1/api", conditions), 9, 13, "sites[0].upstream", "has a path", "scheme, host and port"},
		{"oauth scopes without audience", around("", "  require: oauth_scopes", conditions), 4, 3, "sites[0].token.audiences", "issued for any other API", "insecure_any_audience: true"},
		{"instances without a variable of the path", around("", "", conditions+"\n"+`  - {name: "box-{id}", conditions: [{paths: ["/b/{n}"], scopes: [view]}]}`), 13, 46, "sites[0].resources[1].conditions[0].paths[0]", "the path must have {id}", ""},
		{"variables that run together", around("", "", conditions+"\n"+`  - {name: "a-{x}-{y}", conditions: [{paths: ["/{x}/{y}"], scopes: [view]}]}`), 13, 12, "sites[0].resources[1].name", "two instances could have one name", `write a "/" or ":"`},
		{"a brace that is no variable", around("", "", conditions+"\n"+`  - {name: "a{b", conditions: [{paths: ["/b"], scopes: [view]}]}`), 13, 12, "sites[0].resources[1].name", "braces that are no variable", "{id}"},
		{"an instance with a declared one's name", around("", "", conditions+"\n"+`  - {name: "album{id}", conditions: [{paths: ["/b/{id}"], scopes: [view]}]}`), 13, 12, "sites[0].resources[1].name", `"albums" and "album{id}" can be the same name`, "different words"},
		{"two kinds of instance with one name", around("", "", conditions+"\n"+`  - {name: "x-{id}", conditions: [{paths: ["/b/{id}"], scopes: [view]}]}`+"\n"+`  - {name: "x-y-{n}", conditions: [{paths: ["/c/{n}"], scopes: [view]}]}`), 14, 12, "sites[0].resources[2].name", "can be the same name", "different words"},
		{"instances with an id", around("", "", conditions+"\n"+`  - {name: "x-{id}", id: one, conditions: [{paths: ["/b/{id}"], scopes: [view]}]}`), 13, 26, "sites[0].resources[1].id", "an id of its own", "take id out"},
		{"instances that are adopted", around("", "", conditions+"\n"+`  - {name: "x-{id}", adopt: true, conditions: [{paths: ["/b/{id}"], scopes: [view]}]}`), 13, 29, "sites[0].resources[1].adopt", "found at the authorization server by their names", "take adopt out"},
		{"instances that everybody may see", around("", "", conditions+"\n"+`  - {name: "x-{id}", conditions: [{paths: ["/b/{id}"], public: true}]}`), 13, 12, "sites[0].resources[1].name", "every condition is public", "take the variable out"},
		{"on_create without instances", around("", "", conditions+"\n"+`    on_create: register`), 13, 16, "sites[0].resources[0].on_create", "one registration", "album-{id}"},
		{"on_create", around("", "", conditions+"\n"+`    on_create: registre`), 13, 16, "sites[0].resources[0].on_create", `"registre" is not known here`, `did you mean "register"?`},
		{"a ticket for any instance", around("", "", `    conditions: [{paths: ["/a"], scopes: [view], ticket: [{resource: "x-{id}", scopes: [view]}]}]`+"\n"+`  - {name: "x-{id}", conditions: [{paths: ["/b/{id}"], scopes: [view]}]}`), 12, 70, "sites[0].resources[0].conditions[0].ticket[0].resource", "which is meant is not said", "one registration"},
		{"instances kept too long", around("", "  instances: {ttl: 25h}", conditions), 9, 20, "sites[0].instances.ttl", "out of range", "24h"},
		{"a negative number of instances", around("", "  instances: {entries: -1}", conditions), 9, 24, "sites[0].instances.entries", "out of range", "1 to"},
		{"instances for everybody", around("listen: {instances: \":18001\"}", "", conditions), 2, 21, "listen.instances", "not encrypted", "insecure_plaintext: true"},
		{"where Envoy asks for instances", around("envoy: {instances: here}", "", conditions), 2, 20, "envoy.instances", "is not HOST:PORT", "127.0.0.1"},
		{"no condition", around("", "", "    type: urn:a"), 11, 5, "sites[0].resources[0].conditions", "no condition", "paths"},
		{"no requirement", around("", "", `    conditions: [{paths: ["/a"]}]`), 12, 18, "sites[0].resources[0].conditions[0]", "exactly one of public, deny, scopes and scope_expression", ""},
		{"denied and public", around("", "", `    conditions: [{paths: ["/a"], public: true, deny: true}]`), 12, 18, "sites[0].resources[0].conditions[0]", "exactly one of", ""},
		{"ticket of denied", around("", "", `    conditions: [{paths: ["/a"], deny: true, ticket_scopes: [v]}]`), 12, 18, "sites[0].resources[0].conditions[0]", "looks at no token", "take ticket_scopes"},
		{"authenticated where it means nothing", around("unknown_hosts: authenticated", "", conditions), 2, 16, "unknown_hosts", `"authenticated" is not known here`, "deny, allow"},
		{"two requirements", around("", "", `    conditions: [{paths: ["/a"], public: true, scopes: [a]}]`), 12, 18, "sites[0].resources[0].conditions[0]", "exactly one of", ""},
		{"template", around("", "", `    conditions: [{paths: ["/a/**/b"], public: true}]`), 12, 27, "sites[0].resources[0].conditions[0].paths[0]", `"**" stands for the rest`, ""},
		{"method in lower case", around("", "", `    conditions: [{paths: ["/a"], methods: [get], public: true}]`), 12, 44, "sites[0].resources[0].conditions[0].methods[0]", "upper case", "write GET"},
		{"method twice", around("", "", `    conditions: [{paths: ["/a"], methods: [GET], public: true}, {paths: ["/a"], methods: [GET], scopes: [v]}]`), 12, 74, "sites[0].resources[0].conditions[1].paths[0]", "another condition covers GET", ""},
		{"operator", around("", "", `    conditions: [{paths: ["/a"], scope_expression: {rule: {xor: [{var: 0}]}, data: [v]}}]`), 12, 52, "sites[0].resources[0].conditions[0].scope_expression", "operators of a rule", ""},
		{"index", around("", "", `    conditions: [{paths: ["/a"], scope_expression: {rule: {var: 1}, data: [v]}}]`), 12, 52, "sites[0].resources[0].conditions[0].scope_expression", "index into data", ""},
		{"rule that is false", around("", "", `    conditions: [{paths: ["/a"], scope_expression: {rule: false, data: [v]}}]`), 12, 59, "sites[0].resources[0].conditions[0].scope_expression.rule", "no token can satisfy", "what a token must have"},
		{"rule that is 0", around("", "", `    conditions: [{paths: ["/a"], scope_expression: {rule: 0, data: [v]}}]`), 12, 59, "sites[0].resources[0].conditions[0].scope_expression.rule", "no token can satisfy", "what a token must have"},
		{"rule that is null", around("", "", `    conditions: [{paths: ["/a"], scope_expression: {rule: null, data: [v]}}]`), 12, 59, "sites[0].resources[0].conditions[0].scope_expression.rule", "no token can satisfy", "what a token must have"},
		{"rule that contradicts itself", around("", "", `    conditions: [{paths: ["/a"], scope_expression: {rule: {and: [{var: 0}, {"!": [{var: 0}]}]}, data: [v]}}]`), 12, 59, "sites[0].resources[0].conditions[0].scope_expression.rule", "no token can satisfy", "what a token must have"},
		{"scope with a space", around("", "", `    conditions: [{paths: ["/a"], scopes: ["a b"]}]`), 12, 42, "sites[0].resources[0].conditions[0].scopes", "must not be empty", ""},
		{"scope not registered", around("", "", "    scopes: [view]\n    conditions: [{paths: [\"/a\"], scopes: [vew]}]"), 13, 43, "sites[0].resources[0].conditions[0].scopes[0]", `scope "vew" is not one of the resource's`, `did you mean "view"?`},
		{"ticket of public", around("", "", `    conditions: [{paths: ["/a"], public: true, ticket_scopes: [v]}]`), 12, 18, "sites[0].resources[0].conditions[0]", "looks at no token", "take ticket_scopes"},
		{"ticket of another site", around("", "", `    conditions: [{paths: ["/a"], scopes: [v], ticket: [{resource: album, scopes: [v]}]}]`), 12, 67, "sites[0].resources[0].conditions[0].ticket[0].resource", `no resource "album"`, `did you mean "albums"?`},
		{"ticket scope", around("", "", `    conditions: [{paths: ["/a"], scopes: [v], ticket: [{resource: albums, scopes: [w]}]}]`), 12, 84, "sites[0].resources[0].conditions[0].ticket[0].scopes[0]", `has no scope "w"`, "one of v"},
		{"empty key of a mapping", strings.Replace(around("", "", conditions), "{register: {}}", "{register: }", 1), 8, 24, "sites[0].authorization_server.client.register", "has no value", "{}"},
		{"no client", strings.Replace(around("", "", conditions), "{register: {}}", "{}", 1), 8, 13, "sites[0].authorization_server.client", "there is no client", "register: {}"},
		{"client twice", strings.Replace(around("", "", conditions), "{register: {}}", "{register: {}, id: a}", 1), 8, 13, "sites[0].authorization_server.client", "is registered, and given too", "keep either"},
		{"no secret", strings.Replace(around("", "", conditions), "{register: {}}", "{id: a}", 1), 8, 13, "sites[0].authorization_server.client.secret", "is missing", "{env: NAME}"},
		{"no key", strings.Replace(around("", "", conditions), "{register: {}}", "{id: a, token_endpoint_auth_method: private_key_jwt}", 1), 8, 13, "sites[0].authorization_server.client.private_key", "is missing", "{file: PATH}"},
		{"secret file", strings.Replace(around("", "", conditions), "{register: {}}", "{id: a, secret: {file: /nowhere}}", 1), 8, 36, "sites[0].authorization_server.client.secret.file", "cannot be read", "beside the configuration"},
		{"secret source", strings.Replace(around("", "", conditions), "{register: {}}", "{id: a, secret: {vault: x}}", 1), 8, 30, "sites[0].authorization_server.client.secret.vault", "unknown key", "env, file"},
		{"empty secret", strings.Replace(around("", "", conditions), "{register: {}}", "{id: a, secret: {env: EMPTY}}", 1), 8, 29, "sites[0].authorization_server.client.secret", "the secret is empty", "put a value there"},
		{"http issuer", strings.Replace(around("", "", conditions), "https://", "http://", 1), 7, 13, "sites[0].authorization_server.issuer", "in the clear", "insecure_http: true"},
		{"issuer with query", strings.Replace(around("", "", conditions), "as.example.com", "as.example.com?a", 1), 7, 13, "sites[0].authorization_server.issuer", "has a query", "RFC 8414"},
		{"http endpoint", around("", "    endpoints: {token: \"http://as.example.com/t\"}", conditions), 9, 24, "sites[0].authorization_server.endpoints.token", "is http: credentials would go in the clear", "insecure_http: true"},
		{"sync too often", around("", "  sync: {interval: 1s}", conditions), 9, 20, "sites[0].sync.interval", "out of range", "10s to 24h"},
		{"sync deletions", around("", "  sync: {max_deletions: -1}", conditions), 9, 25, "sites[0].sync.max_deletions", "out of range", "0 for none"},
		{"sync concurrency", around("", "  sync: {concurrency: 0}", conditions), 9, 23, "sites[0].sync.concurrency", "out of range", "1 to 64"},
		{"no discovery", around("", "    discovery: off\n    dialect: generic", conditions), 9, 16, "sites[0].authorization_server.discovery", "lacks token, introspection, permission, resource_registration, registration", "discovery: on"},
		{"auto without discovery", around("", "    discovery: off", conditions), 7, 5, "sites[0].authorization_server.dialect", "auto needs discovery", "generic"},
		{"timeout", around("", "    timeout: 1h", conditions), 9, 14, "sites[0].authorization_server.timeout", "out of range", "5s"},
		{"group of no site", around("groups: [{name: edge, sites: [photo]}]", "", conditions), 2, 31, "groups[0].sites[0]", `there is no site "photo"`, `did you mean "photos"?`},
		{"group without sites", around("groups: [{name: edge}]", "", conditions), 2, 10, "groups[0].sites", "has no site", "photos"},
		{"name of a group", around("groups: [{name: Edge, sites: [photos]}]", "", conditions), 2, 17, "groups[0].name", "is no name", "lower-case"},
		{"group twice", around("groups: [{name: a, match: {id: x}, sites: [photos]}, {name: a, sites: [photos]}]", "", conditions), 2, 61, "groups[1].name", `another group is called "a"`, "name of its own"},
		{"group behind one that takes all", around("groups: [{name: a, sites: [photos]}, {name: b, sites: [photos]}]", "", conditions), 2, 38, "groups[1]", `group "a" before it takes all`, "last"},
		{"metadata", around("groups: [{name: a, match: {metadata: zone}, sites: [photos]}]", "", conditions), 2, 38, "groups[0].match.metadata", "not a mapping", "zone"},
		{"metadata that is no text", around("groups: [{name: a, match: {metadata: {zone: [a]}}, sites: [photos]}]", "", conditions), 2, 45, "groups[0].match.metadata.zone", "is a list", "one value"},
		{"certificate where there is none", around("groups: [{name: a, match: {san: [x]}, sites: [photos]}]", "", conditions), 2, 33, "groups[0].match.san", "no certificate without listen.xds_tls", "xds_tls"},
		{"group by its word alone", around("listen: {xds_tls: {certificate: crt, key: key, client_ca: ca}}\ngroups: [{name: a, match: {id: x}, sites: [photos]}]", "", conditions), 3, 27, "groups[0].match", "says nothing of the Envoy's certificate", "san:"},
		{"TLS without authority", around("listen: {xds_tls: {certificate: crt, key: key}}", "", conditions), 2, 19, "listen.xds_tls.client_ca", "is missing", "PEM"},
		{"TLS file is not there", around("listen: {xds_tls: {certificate: nowhere, key: key, client_ca: ca}}", "", conditions), 2, 33, "listen.xds_tls.certificate", "cannot be read", "beside the configuration"},
		{"TLS pair", around("listen: {xds_tls: {certificate: crt, key: certificates.pem, client_ca: ca}}", "", conditions), 2, 33, "listen.xds_tls.certificate", "does not belong to the key", "one pair"},
		{"TLS authority", around("listen: {xds_tls: {certificate: crt, key: key, client_ca: certificates.pem}}", "", conditions), 2, 59, "listen.xds_tls.client_ca", "has no certificate in it", "PEM"},
		{"certificates", around("", "    tls: {ca_file: certificates.pem}", conditions), 9, 20, "sites[0].authorization_server.tls.ca_file", "has no certificate in it", "PEM"},
	}
	env := environment(map[string]string{"SHORT": "YWJj", "EMPTY": ""})
	ca := pki.New(t, "test")
	pair := ca.Issue(t, pki.Leaf{Names: []string{"xds"}})
	env.ReadFile = func(path string) ([]byte, error) {
		if content, ok := map[string][]byte{"certificates.pem": []byte("none"), "crt": pair.Certificate, "key": pair.Key, "ca": ca.PEM}[path]; ok {
			return content, nil
		}
		return nil, fmt.Errorf("open %s: %w", path, os.ErrNotExist)
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := site.Parse("umagate.yaml", []byte(tt.text), env)
			require.ErrorIs(t, err, site.ErrInvalid)
			for _, f := range site.Faults(err) {
				if f.Path == tt.path && strings.Contains(f.Problem, tt.problem) {
					require.Equal(t, "umagate.yaml", f.File)
					require.Contains(t, f.Remedy, tt.remedy)
					require.Equal(t, [2]int{tt.line, tt.column}, [2]int{f.Line, f.Column}, f.Error())
					return
				}
			}
			require.Fail(t, "the fault is not there", "got:\n%v", err)
		})
	}
}

func TestEveryFaultAtOnce(t *testing.T) {
	t.Parallel()
	text := around("listen: {api: nowhere}", "  mode: on\n  token: {leeway: x}", `    conditions: [{paths: ["a"], scopes: [view], methds: [GET]}]`)
	_, err := site.Parse("umagate.yaml", []byte(text), environment(nil))
	faults := site.Faults(fmt.Errorf("load: %w", err))
	var paths []string
	for _, f := range faults {
		paths = append(paths, f.Path)
	}
	require.Equal(t, []string{
		"listen.api", "sites[0].mode", "sites[0].token.leeway",
		"sites[0].resources[0].conditions[0].paths[0]", "sites[0].resources[0].conditions[0].methds",
	}, paths, "in the order of the file, one for each mistake")
	require.Equal(t, "umagate.yaml:2:15: listen.api: \"nowhere\" is not HOST:PORT; write an address and a port, such as 127.0.0.1:8090", faults[0].Error())
}

func TestFaultsOfOtherErrors(t *testing.T) {
	t.Parallel()
	require.Empty(t, site.Faults(nil))
	require.Empty(t, site.Faults(errors.New("other")))
	_, err := site.Load("testdata/does-not-exist.yaml")
	require.ErrorIs(t, err, os.ErrNotExist)
	require.Empty(t, site.Faults(err))
}

func TestWarnings(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, text, path, problem string
	}{
		{"unknown hosts", around("unknown_hosts: allow", "", conditions), "unknown_hosts", "passes without a token"},
		{"site of no group", around("groups: [{name: a, sites: [other]}]", "", conditions+"\n- name: other\n  hosts: [b.example.com]\n  authorization_server: {issuer: \"https://as\", client: {register: {}}}\n  resources: [{name: r, conditions: [{paths: [\"/\"], public: true}]}]"), "sites[0]", "no group has this site"},
		{"plain text", around("listen: {xds: \"0.0.0.0:18000\", insecure_plaintext: true}", "", conditions), "listen.xds", "reads credentials"},
		{"unmatched", around("", "  unmatched: allow", conditions), "sites[0].unmatched", "passes without a token"},
		{"unmatched with any token", around("", "  unmatched: authenticated", conditions), "sites[0].unmatched", "any active token"},
		{"monitor", around("", "  mode: monitor", conditions), "sites[0].mode", "nothing is enforced"},
		{"condition off", around("", "", `    conditions: [{paths: ["/a"], scopes: [v], mode: "off"}]`), "sites[0].resources[0].conditions[0].mode", "not enforced"},
		{"override headers", around("", "  override_headers: keep", conditions), "sites[0].override_headers", "X-HTTP-Method-Override"},
		{"any audience", around("", "  require: oauth_scopes\n  token: {insecure_any_audience: true}", conditions), "sites[0].token.insecure_any_audience", "any other API"},
		{"long ttl", around("", "  token: {max_ttl: 2h}", conditions), "sites[0].token.max_ttl", "2h0m0s"},
		{"long stale", around("", "  token: {stale: 2h}", conditions), "sites[0].token.stale", "2h0m0s"},
		{"twins", around("", "", `    conditions: [{paths: ["/a", "/a/"], scopes: [v]}]`), "sites[0].resources[0].conditions[0].paths[1]", "two templates"},
		{"type", around("", "", "    type: album\n"+conditions), "sites[0].resources[0].type", "is not a URI"},
		{"rule for nobody", around("", "", `    conditions: [{paths: ["/a"], scope_expression: {rule: {"!": [{var: 0}]}, data: [v]}}]`), "sites[0].resources[0].conditions[0].scope_expression.rule", "without any of the scopes"},
		{"secret in the file", strings.Replace(around("", "", conditions), "{register: {}}", "{id: a, secret: hunter2}", 1), "sites[0].authorization_server.client.secret", "stands in the file"},
		{"skip verify", around("", "    tls: {insecure_skip_verify: true}", conditions), "sites[0].authorization_server.tls.insecure_skip_verify", "any certificate"},
		{"back channel in clear text", around("", "    insecure_http: true\n    endpoints: {token: \"http://as.example.com/t\"}", conditions), "sites[0].authorization_server.insecure_http", "in the clear wherever"},
		{"clear text", strings.Replace(around("", "    insecure_http: true", conditions), "https://", "http://", 1), "sites[0].authorization_server.insecure_http", "in the clear"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f, err := site.Parse("umagate.yaml", []byte(tt.text), environment(nil))
			require.NoError(t, err)
			require.Len(t, f.Warnings, 1)
			require.Equal(t, tt.path, f.Warnings[0].Path)
			require.Contains(t, f.Warnings[0].Problem, tt.problem)
			require.NotEmpty(t, f.Warnings[0].Remedy)
			require.Positive(t, f.Warnings[0].Line)
			require.NotContains(t, fmt.Sprintf("%+v", f.Warnings), "hunter2")
		})
	}
	t.Run("none", func(t *testing.T) {
		t.Parallel()
		f, err := site.Parse("umagate.yaml", []byte(around("", "", conditions)), environment(nil))
		require.NoError(t, err)
		require.Empty(t, f.Warnings)
	})
}
