// The module file of the wasm build (make wasm): the versions are go.mod's, and
// tidwall/pretty is replaced by what of it gjson needs to link.
module github.com/umagate/umagate

go 1.26.0

require (
	filippo.io/edwards25519 v1.2.0
	github.com/proxy-wasm/proxy-wasm-go-sdk v0.0.0-20260105142703-44c7d5847745
	github.com/tidwall/gjson v1.20.0
)

require (
	github.com/tidwall/match v1.1.1 // indirect
	github.com/tidwall/pretty v1.2.0 // indirect
)

replace github.com/tidwall/pretty => ./plugin/internal/pretty
