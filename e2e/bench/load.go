package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// load sends requests over keep-alive connections, one at a time on each. What it
// sends is made before, so that it takes little of the CPU it shares with Envoy.
type load struct {
	address  string
	requests [][]byte // in turn
	status   int      // what every request must be answered
}

// newLoad makes the requests of a variant. The headers are those of a browser or
// an SDK, since each is something a filter may have to read.
func newLoad(address string, v variant, issued tokens) load {
	l := load{address: address, status: v.status}
	head := "GET " + v.path() + " HTTP/1.1\r\nHost: photos.example.com\r\nAccept: application/json\r\n" +
		"Accept-Encoding: gzip, deflate, br\r\nAccept-Language: en-GB,en;q=0.9\r\n" +
		"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n"
	if !v.tokens {
		l.requests = [][]byte{[]byte(head + "\r\n")}
		return l
	}
	for _, t := range issued.tokens {
		l.requests = append(l.requests, []byte(head+"Authorization: Bearer "+t+"\r\n\r\n"))
	}
	return l
}

var errAnswer = errors.New("not the answer that is measured")

// send sends n requests and returns how long each took.
func (l load) send(ctx context.Context, n, connections int) ([]time.Duration, error) {
	took := make([]time.Duration, n)
	errs := make([]error, connections)
	var next atomic.Int64
	var joined sync.WaitGroup
	for c := range connections {
		joined.Go(func() { errs[c] = l.one(ctx, &next, took) })
	}
	joined.Wait()
	return took, errors.Join(errs...)
}

// one uses one connection until all requests have been sent.
func (l load) one(ctx context.Context, next *atomic.Int64, took []time.Duration) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", l.address)
	if err != nil {
		return fmt.Errorf("the load: %w", err)
	}
	defer conn.Close() //nolint:errcheck // nothing is pending
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	r := bufio.NewReader(conn)
	for {
		i := int(next.Add(1)) - 1
		if i >= len(took) {
			return nil
		}
		start := time.Now()
		if _, err := conn.Write(l.requests[i%len(l.requests)]); err != nil {
			return fmt.Errorf("the load: %w", err)
		}
		status, body, err := answer(r)
		if err != nil {
			return fmt.Errorf("the load: %w", err)
		}
		if status != l.status {
			return fmt.Errorf("%w: %d instead of %d: %.300s", errAnswer, status, l.status, body)
		}
		took[i] = time.Since(start)
	}
}

// answer reads one response. It knows what Envoy sends here: a status line, and a
// body with a length or in chunks.
func answer(r *bufio.Reader) (status int, body []byte, err error) {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return 0, nil, err
	}
	if len(line) < 12 {
		return 0, nil, fmt.Errorf("%w: %q", errAnswer, line)
	}
	if status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return 0, nil, fmt.Errorf("%w: %q", errAnswer, line)
	}
	length := int64(-1)
	for {
		line, err = r.ReadSlice('\n')
		if err != nil {
			return 0, nil, err
		}
		if len(line) <= 2 {
			break
		}
		const name = "content-length: "
		if len(line) > len(name) && string(line[:len(name)]) == name {
			if length, err = strconv.ParseInt(string(line[len(name):len(line)-2]), 10, 32); err != nil {
				return 0, nil, fmt.Errorf("%w: %q", errAnswer, line)
			}
		}
	}
	if length < 0 {
		return 0, nil, fmt.Errorf("%w: %d %s without content-length", errAnswer, status, http.StatusText(status))
	}
	body = make([]byte, length)
	_, err = io.ReadFull(r, body)
	return status, body, err
}
