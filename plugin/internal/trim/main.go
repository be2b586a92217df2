// Command trim copies a WebAssembly module without some of its exports, and writes into it
// what tells the build from others. `make wasm` runs it.
//
// The SDK exports every callback of proxy-wasm, and Envoy calls each one that is
// there, for every request. The filter has nothing to do for the bodies of responses,
// for TCP and for queues, so their callbacks are taken out; the code behind them stays.
// The callbacks of the request's body and trailers must stay: without them
// Envoy, where it is configured to, forwards a request that has only been stopped
// at its headers.
package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/umagate/umagate/plugin/config"
)

// unused are the callbacks that the filter does not implement.
var unused = []string{
	"proxy_on_response_body",
	"proxy_on_response_trailers",
	"proxy_on_new_connection",
	"proxy_on_downstream_data",
	"proxy_on_downstream_connection_close",
	"proxy_on_upstream_data",
	"proxy_on_upstream_connection_close",
	"proxy_on_queue_ready",
}

const (
	preambleSize  = 8 // magic and version
	exportSection = 7
)

var errModule = errors.New("not a WebAssembly module that can be read")

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: trim FROM TO")
		os.Exit(64)
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "trim:", err)
		os.Exit(1)
	}
}

func run(from, to string) error {
	module, err := os.ReadFile(from) //nolint:gosec // a build step reads what it is told to
	if err != nil {
		return err
	}
	trimmed, err := trim(module, unused)
	if err != nil {
		return fmt.Errorf("%s: %w", from, err)
	}
	if err := stamp(trimmed); err != nil {
		return fmt.Errorf("%s: %w", from, err)
	}
	return replace(to, trimmed)
}

// replace writes a file whole or not at all: whoever reads the one before meanwhile has it to
// its end.
func replace(path string, content []byte) error {
	next, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = next.Write(content)
	if err == nil {
		err = next.Chmod(0o644) // the module is no secret
	}
	if err = errors.Join(err, next.Close()); err == nil {
		err = os.Rename(next.Name(), path)
	}
	if err != nil {
		_ = os.Remove(next.Name())
	}
	return err
}

// trim returns the module without the exports named. One that is not there is an
// error: the list has become wrong.
func trim(module []byte, names []string) ([]byte, error) {
	if len(module) < preambleSize || string(module[:4]) != "\x00asm" {
		return nil, errModule
	}
	out := slices.Clone(module[:preambleSize])
	for rest := module[preambleSize:]; len(rest) > 0; {
		id := rest[0]
		body, next, ok := counted(rest[1:])
		if !ok {
			return nil, errModule
		}
		rest = next
		if id == exportSection {
			var err error
			if body, err = trimExports(body, names); err != nil {
				return nil, err
			}
		}
		out = append(out, id)
		out = binary.AppendUvarint(out, uint64(len(body)))
		out = append(out, body...)
	}
	return out, nil
}

// stamp puts a part of the module's digest, as it was before, where the mark is.
func stamp(module []byte) error {
	mark := append([]byte(config.BuildMark), bytes.Repeat([]byte{'0'}, config.BuildSize)...)
	if n := bytes.Count(module, mark); n != 1 {
		return fmt.Errorf("the module has %q %d times, and not once", mark, n)
	}
	sum := sha256.Sum256(module)
	at := bytes.Index(module, mark) + len(config.BuildMark)
	hex.Encode(module[at:at+config.BuildSize], sum[:config.BuildSize/2])
	return nil
}

func trimExports(body []byte, names []string) ([]byte, error) {
	count, n := binary.Uvarint(body)
	if n <= 0 {
		return nil, errModule
	}
	body = body[n:]
	var kept []byte
	var keptCount uint64
	missing := slices.Clone(names)
	for range count {
		name, after, ok := counted(body)
		if !ok || len(after) == 0 {
			return nil, errModule
		}
		_, n := binary.Uvarint(after[1:]) // kind, index
		if n <= 0 {
			return nil, errModule
		}
		size := len(body) - len(after) + 1 + n
		if i := slices.Index(missing, string(name)); i >= 0 {
			missing = slices.Delete(missing, i, i+1)
		} else {
			kept = append(kept, body[:size]...)
			keptCount++
		}
		body = body[size:]
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("the module does not export %v", missing)
	}
	return append(binary.AppendUvarint(nil, keptCount), kept...), nil
}

// counted reads a byte string with its length before it.
func counted(b []byte) (value, rest []byte, ok bool) {
	size, n := binary.Uvarint(b)
	if n <= 0 || size > uint64(len(b)-n) { //nolint:gosec // n is not more than len(b)
		return nil, nil, false
	}
	end := n + int(size) //nolint:gosec // not more than len(b)
	return b[n:end], b[end:], true
}
