package importer

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
)

// property is an entry of a Java properties file.
type property struct {
	key, text string
	line      int
}

// readProperties reads a file as java.util.Properties does, in UTF-8: comments, lines that
// go on behind a backslash, escapes, and "=", ":" or blanks behind the key.
func readProperties(data []byte) ([]property, error) {
	var out []property
	text := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(string(withoutMark(data)))
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines); i++ {
		first := i + 1
		line := strings.TrimLeft(lines[i], " \t\f")
		if line == "" || line[0] == '#' || line[0] == '!' {
			continue
		}
		for goesOn(line) {
			line = line[:len(line)-1]
			if i+1 == len(lines) {
				break
			}
			i++
			line += strings.TrimLeft(lines[i], " \t\f")
		}
		at := keyEnd(line)
		key, err := unescapedProperty(line[:at])
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", first, err)
		}
		rest := strings.TrimLeft(line[at:], " \t\f")
		if rest != "" && (rest[0] == '=' || rest[0] == ':') {
			rest = strings.TrimLeft(rest[1:], " \t\f")
		}
		value, err := unescapedProperty(rest)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", first, err)
		}
		out = append(out, property{key: key, text: value, line: first})
	}
	return out, nil
}

// goesOn reports whether a line ends in a backslash that is none of a pair.
func goesOn(line string) bool {
	n := len(line) - len(strings.TrimRight(line, `\`))
	return n%2 == 1
}

// keyEnd is where the key of a line ends.
func keyEnd(line string) int {
	for i := 0; i < len(line); i++ {
		switch line[i] {
		case '\\':
			i++
		case '=', ':', ' ', '\t', '\f':
			return i
		}
	}
	return len(line)
}

func unescapedProperty(text string) (string, error) {
	if !strings.Contains(text, `\`) {
		return text, nil
	}
	var out bytes.Buffer
	var units []uint16
	flush := func() {
		out.WriteString(string(utf16.Decode(units)))
		units = nil
	}
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' || i+1 == len(text) {
			flush()
			out.WriteByte(text[i])
			continue
		}
		i++
		if text[i] == 'u' {
			if i+5 > len(text) {
				return "", fmt.Errorf("%q is no character", text[i-1:])
			}
			n, err := strconv.ParseUint(text[i+1:i+5], 16, 16)
			if err != nil {
				return "", fmt.Errorf("%q is no character", text[i-1:i+5])
			}
			units = append(units, uint16(n))
			i += 4
			continue
		}
		flush()
		switch c := text[i]; c {
		case 't':
			out.WriteByte('\t')
		case 'n':
			out.WriteByte('\n')
		case 'r':
			out.WriteByte('\r')
		case 'f':
			out.WriteByte('\f')
		default:
			out.WriteByte(c)
		}
	}
	flush()
	return out.String(), nil
}

// keySteps splits a key at its dots. Quotes keep a step whole, and "[0]" or "[name]" is a
// step of its own.
func keySteps(key string) (out []string, ok bool) {
	var step strings.Builder
	open := false // a step has begun
	end := func() {
		if open {
			out = append(out, step.String())
			step.Reset()
		}
		open = false
	}
	for i := 0; i < len(key); i++ {
		switch c := key[i]; c {
		case '.':
			if !open && (i == 0 || key[i-1] != ']') {
				return nil, false
			}
			end()
		case '"':
			to := strings.IndexByte(key[i+1:], '"')
			if to < 0 {
				return nil, false
			}
			open = true
			step.WriteString(key[i+1 : i+1+to])
			i += to + 1
		case '[':
			end()
			to := strings.IndexByte(key[i:], ']')
			if to < 0 {
				return nil, false
			}
			out = append(out, key[i:i+to])
			i += to
		default:
			open = true
			step.WriteByte(c)
		}
	}
	end()
	return out, len(out) > 0
}

// settings are an application's settings as a tree, made of keys with dots in them. A
// step of a list is "[0".
type settings struct{ root *value }

// put sets what a key stands for. What is set again holds, as the later file does.
func (s *settings) put(key string, v *value) {
	steps, ok := keySteps(key)
	if !ok || len(steps) > maxDepth {
		return // no key of ours
	}
	s.root = merged(s.root, nested(steps, v))
}

// nested is an object with one member that has one, and so on.
func nested(steps []string, v *value) *value {
	for _, step := range slices.Backward(steps) {
		v = &value{kind: isObject, keys: []string{step}, items: []*value{v}, line: v.line, file: v.file}
	}
	return v
}

// merged puts the members of over into v.
func merged(v, over *value) *value {
	if v == nil || v.kind != isObject || over.kind != isObject {
		return over
	}
	for i, key := range over.keys {
		at := -1
		for k, have := range v.keys {
			if have == key {
				at = k
			}
		}
		if at < 0 {
			v.keys, v.items = append(v.keys, key), append(v.items, over.items[i])
			continue
		}
		v.items[at] = merged(v.items[at], over.items[i])
	}
	return v
}

// spread makes a tree of an object whose keys may have dots in them.
func spread(v *value, depth int) *value {
	if v.kind != isObject || depth > maxDepth {
		return v
	}
	out := &value{kind: isObject, line: v.line, file: v.file}
	for i, key := range v.keys {
		item := spread(v.items[i], depth+1)
		if steps, ok := keySteps(key); ok && !strings.Contains(key, "/") {
			out = merged(out, nested(steps, item))
		} else {
			out = merged(out, nested([]string{key}, item))
		}
	}
	return out
}

// listed gives the items of a list, however it is written: as one, as "[0]", or, where
// they are texts, with commas between them.
func (v *value) listed() []*value {
	switch {
	case v == nil:
		return nil
	case v.kind == isList:
		return v.items
	case v.kind == isText:
		var out []*value
		for _, text := range splitUnescaped(v.text) {
			if text != "" {
				out = append(out, &value{kind: isText, text: text, line: v.line, file: v.file})
			}
		}
		return out
	case v.kind != isObject:
		return nil
	}
	var out []*value
	for n := 0; len(out) < len(v.keys); n++ {
		item := v.get("[" + strconv.Itoa(n))
		if item == nil {
			item = v.get(strconv.Itoa(n))
		}
		if item == nil {
			break
		}
		out = append(out, item)
	}
	return out
}

// splitUnescaped splits at commas that have no backslash before them.
func splitUnescaped(text string) []string {
	var out []string
	var one strings.Builder
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '\\' && i+1 < len(text):
			i++
			one.WriteByte(text[i])
		case text[i] == ',':
			out = append(out, one.String())
			one.Reset()
		default:
			one.WriteByte(text[i])
		}
	}
	return append(out, one.String())
}
