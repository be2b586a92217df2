package wasmhost

import (
	"bytes"
	"context"
	"encoding/binary"
	"net"
	"strconv"
	"strings"
	"time"
)

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
	return v.setState(statePrefix+path, value)
}

// setState keeps a value with the stream.
func (v *vm) setState(key string, value []byte) status {
	s := v.stream()
	if s == nil {
		return statusNotFound
	}
	if s.filterState == nil {
		s.filterState = map[string][]byte{}
	}
	s.filterState[key] = bytes.Clone(value)
	return statusOK
}

// property looks up an attribute; parts of path are separated by NUL.
func (v *vm) property(path string) ([]byte, bool) {
	s := v.stream()
	first, rest, _ := strings.Cut(path, "\x00")
	switch first {
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
	if value, ok := s.filterState[statePrefix+path]; ok {
		return value, true
	}
	switch first {
	case "request":
		return s.requestAttribute(rest)
	case "response":
		return s.responseAttribute(rest)
	case "connection":
		return s.connectionAttribute(rest)
	case "connection_id":
		return number(s.facts.connectionID), true
	case "source":
		return addressAttribute(s.facts.remoteAddr, rest)
	case "destination":
		return addressAttribute(s.facts.localAddr, rest)
	case "cluster_name":
		return []byte("upstream"), true
	case "route_name":
		return nil, true
	case "listener_direction":
		return number(1), true // INBOUND
	case "filter_state":
		value, ok := s.filterState[rest]
		return value, ok
	}
	return nil, false
}

func (s *stream) requestAttribute(name string) ([]byte, bool) {
	m := s.requestMap
	name, header, _ := strings.Cut(name, "\x00")
	path := m.value(":path")
	bare, query, _ := cutQuery(path)
	switch name {
	case "path":
		return present(m, ":path")
	case "url_path":
		return []byte(bare), true
	case "query":
		return []byte(query), true
	case "host":
		return present(m, ":authority")
	case "scheme":
		return present(m, ":scheme")
	case "method":
		return present(m, ":method")
	case "referer":
		return present(m, "referer")
	case "useragent":
		return present(m, "user-agent")
	case "id":
		return present(m, "x-request-id")
	case "headers":
		if header == "" {
			return m.encode(), true
		}
		return present(m, header)
	case "protocol":
		return []byte(s.facts.protocol), true
	case "time":
		return number(uint64(s.facts.start.UnixNano())), true
	case "duration":
		return number(uint64(time.Since(s.facts.start))), true //nolint:gosec // not negative
	}
	return nil, false
}

func (s *stream) responseAttribute(name string) ([]byte, bool) {
	name, header, _ := strings.Cut(name, "\x00")
	switch name {
	case "code":
		code, err := strconv.ParseUint(s.responseMap.value(":status"), 10, 32)
		return number(code), err == nil
	case "code_details":
		return []byte(s.details), s.details != ""
	case "headers":
		return present(s.responseMap, header)
	}
	return nil, false
}

func (s *stream) connectionAttribute(name string) ([]byte, bool) {
	switch name {
	case "id":
		return number(s.facts.connectionID), true
	case "mtls":
		return []byte{0}, true
	}
	return nil, false
}

func addressAttribute(address, name string) ([]byte, bool) {
	switch name {
	case "address":
		return []byte(address), address != ""
	case "port":
		_, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, false
		}
		n, err := strconv.ParseUint(port, 10, 16)
		return number(n), err == nil
	}
	return nil, false
}

// present is the value of a header that is there.
func present(m *headerMap, name string) ([]byte, bool) {
	value, ok := m.get(lower(name))
	return []byte(value), ok
}

// number is the ABI's form of an integer attribute.
func number(n uint64) []byte { return binary.LittleEndian.AppendUint64(nil, n) }

// cutQuery separates a request target at the first "?".
func cutQuery(target string) (path, query string, found bool) {
	return strings.Cut(target, "?")
}
