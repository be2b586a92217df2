package wasmhost

import (
	"encoding/binary"
	"net/http"
	"slices"
	"strings"
)

// field is one header line; name is lower case.
type field struct{ name, value string }

// headerMap is an ordered list of header lines. Equal names stay separate lines.
// It is not safe for concurrent use.
type headerMap struct{ fields []field }

func (m *headerMap) len() int {
	if m == nil {
		return 0
	}
	return len(m.fields)
}

// get returns the first line of that name.
func (m *headerMap) get(name string) (string, bool) {
	if m == nil {
		return "", false
	}
	for i := range m.fields {
		if m.fields[i].name == name {
			return m.fields[i].value, true
		}
	}
	return "", false
}

func (m *headerMap) value(name string) string {
	v, _ := m.get(name)
	return v
}

func (m *headerMap) add(name, value string) {
	m.fields = append(m.fields, field{name, value})
}

// set replaces every line of that name by one. A pseudo header keeps its place,
// so that pseudo headers stay in front.
func (m *headerMap) set(name, value string) {
	for i := range m.fields {
		if m.fields[i].name != name {
			continue
		}
		m.fields[i].value = value
		rest := m.fields[i+1:]
		kept := slices.DeleteFunc(rest, func(f field) bool { return f.name == name })
		m.fields = m.fields[:i+1+len(kept)]
		return
	}
	m.add(name, value)
}

func (m *headerMap) remove(name string) {
	m.fields = slices.DeleteFunc(m.fields, func(f field) bool { return f.name == name })
}

// join makes one line of the lines of each name, as Envoy does for the headers it
// has a place of their own for.
func (m *headerMap) join(names ...string) {
	for _, name := range names {
		var values []string
		for _, f := range m.fields {
			if f.name == name {
				values = append(values, f.value)
			}
		}
		if len(values) > 1 {
			m.set(name, strings.Join(values, ","))
		}
	}
}

// fromHTTP appends the lines of h, names sorted so that runs are comparable.
func (m *headerMap) fromHTTP(h http.Header) {
	names := make([]string, 0, len(h))
	for name := range h {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		lower := strings.ToLower(name)
		for _, v := range h[name] {
			m.add(lower, v)
		}
	}
}

// toHTTP returns the lines that are no pseudo headers.
func (m *headerMap) toHTTP() http.Header {
	h := make(http.Header, len(m.fields))
	for _, f := range m.fields {
		if strings.HasPrefix(f.name, ":") {
			continue
		}
		h.Add(f.name, f.value)
	}
	return h
}

// encode is the ABI's form of a map: a count, the sizes of all names and values,
// then the names and values, each with a NUL after it (little endian).
func (m *headerMap) encode() []byte {
	if m.len() == 0 {
		return nil
	}
	size := 4
	for _, f := range m.fields {
		size += len(f.name) + len(f.value) + 10
	}
	b := make([]byte, 0, size)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(m.fields))) //nolint:gosec // a header count
	for _, f := range m.fields {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(f.name)))  //nolint:gosec // bounded by net/http
		b = binary.LittleEndian.AppendUint32(b, uint32(len(f.value))) //nolint:gosec // bounded by net/http
	}
	for _, f := range m.fields {
		b = append(append(b, f.name...), 0)
		b = append(append(b, f.value...), 0)
	}
	return b
}

// decodeHeaders reads the ABI's form of a map. Names become lower case. A map
// that is cut short is no map at all.
func decodeHeaders(b []byte) (*headerMap, bool) {
	if len(b) < 4 {
		return &headerMap{}, len(b) == 0
	}
	n := int(binary.LittleEndian.Uint32(b))
	if n < 0 || n > (len(b)-4)/10 {
		return nil, false
	}
	m := &headerMap{fields: make([]field, 0, n)}
	sizes, data := b[4:4+8*n], b[4+8*n:]
	take := func(size uint32) (string, bool) {
		if uint64(size)+1 > uint64(len(data)) {
			return "", false
		}
		s := string(data[:size])
		data = data[size+1:]
		return s, true
	}
	for i := range n {
		name, ok := take(binary.LittleEndian.Uint32(sizes[8*i:]))
		if !ok {
			return nil, false
		}
		value, ok := take(binary.LittleEndian.Uint32(sizes[8*i+4:]))
		if !ok {
			return nil, false
		}
		m.add(strings.ToLower(name), value)
	}
	return m, true
}
