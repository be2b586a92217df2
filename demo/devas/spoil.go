package devas

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"strconv"
)

// spoil lets the endpoint answer into a buffer and changes what it said.
func (f Fault) spoil(_ *http.Request, serve func(http.ResponseWriter)) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		b := &bufferedWriter{header: http.Header{}, status: http.StatusOK}
		serve(b)
		maps.Copy(w.Header(), b.header)
		if f.Kind == FaultTruncated {
			w.Header().Set("Content-Length", strconv.Itoa(b.body.Len()))
			w.WriteHeader(b.status)
			_, _ = w.Write(b.body.Bytes()[:b.body.Len()/2])
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler) // Closes the connection in the middle of the body.
		}
		w.WriteHeader(b.status)
		_, _ = w.Write(f.change(b.body.Bytes()))
	}
}

// change applies a fault to a JSON body. What is not JSON stays as it is.
func (f Fault) change(body []byte) []byte {
	var v any
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	if dec.Decode(&v) != nil {
		return body
	}
	object, isObject := v.(map[string]any)
	switch f.Kind { // The other kinds answer in the endpoint's place, or are lies.
	case FaultWrongTypes:
		if isObject {
			for k := range object {
				object[k] = otherType(object[k])
			}
		} else {
			v = otherType(v)
		}
	case FaultAlwaysActive:
		v = map[string]any{"active": true}
	case FaultOversized:
		size := f.Size
		if size == 0 {
			size = 16 << 20
		}
		if isObject {
			object["padding"] = string(bytes.Repeat([]byte("x"), size))
		}
	default:
		walk(v, f.lie)
	}
	out, err := json.Marshal(v)
	if err != nil {
		return body
	}
	return out
}

// lie changes the members of one object.
func (f Fault) lie(m map[string]any) {
	set := func(value any, keys ...string) {
		for _, k := range keys {
			if _, ok := m[k]; ok {
				m[k] = value
			}
		}
	}
	switch f.Kind { // change has done the others.
	case FaultActiveString:
		if active, ok := m["active"].(bool); ok && active {
			m["active"] = "true"
		}
	case FaultOtherResource:
		set("another-resource", "resource_id", "rsid")
	case FaultNoScopes:
		set([]string{}, "resource_scopes", "scopes")
	case FaultOtherIssuer:
		set("https://another.example", "iss", "issuer")
	case FaultOtherAudience:
		set("another-client", "aud", "client_id")
	case FaultExpired:
		set(1, "exp")
	default:
	}
}

func walk(v any, visit func(map[string]any)) {
	switch t := v.(type) {
	case map[string]any:
		visit(t)
		for _, child := range t {
			walk(child, visit)
		}
	case []any:
		for _, child := range t {
			walk(child, visit)
		}
	}
}

func otherType(v any) any {
	switch t := v.(type) {
	case bool:
		return strconv.FormatBool(t)
	case json.Number:
		return t.String()
	case string:
		return 12345
	case []any:
		return map[string]any{}
	case map[string]any:
		return []any{}
	default:
		return "null"
	}
}
