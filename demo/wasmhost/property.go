package wasmhost

import "context"

// upstreamCluster is what the cluster is called that requests go to.
const upstreamCluster = "wasmhost_upstream"

// statePrefix is what Envoy puts before the filter's own properties.
const statePrefix = "wasm."

func abiGetProperty(ctx context.Context, v *vm, a []uint64) status {
	path, ok := v.bytes(a[0], a[1])
	if !ok {
		return statusInvalidMemory
	}
	value, ok := v.property(string(path))
	if !ok {
		return statusNotFound
	}
	return v.give(ctx, value, a[2], a[3])
}

func abiSetProperty(_ context.Context, v *vm, a []uint64) status {
	path, ok1 := v.text(a[0], a[1])
	value, ok2 := v.bytes(a[2], a[3])
	if !ok1 || !ok2 {
		return statusInvalidMemory
	}
	s := v.stream()
	if s == nil {
		return statusNotFound
	}
	if s.filterState == nil {
		s.filterState = map[string][]byte{}
	}
	s.filterState[statePrefix+path] = value
	return statusOK
}

// property looks up what the filter reads: how its plugin is called, where the client is,
// and what it has set.
func (v *vm) property(path string) ([]byte, bool) {
	s := v.stream()
	switch path {
	case "plugin_root_id":
		return []byte(v.host.rootID), true
	case "plugin_name":
		return []byte("umagate"), true
	case "plugin_vm_id":
		return nil, true
	}
	if s == nil {
		return nil, false
	}
	switch path {
	case "xds\x00cluster_name":
		return []byte(upstreamCluster), true
	case "source\x00address":
		return []byte(s.facts.remoteAddr), true
	}
	value, ok := s.filterState[statePrefix+path]
	return value, ok
}
