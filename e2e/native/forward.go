package native

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/umagate/umagate/plugin/decision"
)

// ServeHTTP has the request judged, and does what was decided.
func (g *Gateway) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	authority, target := aim(r)
	w := g.workerOf(r)
	r, end := withEnd(r)
	defer end(nil)
	p := w.start(&decision.Request{Headers: headersOf(r, authority, target)}, r.RemoteAddr, end)
	defer w.abandon(p)
	if t := p.taken; t != nil {
		target = take(r, target, t)
	}
	d, ok := g.await(rw, r, p)
	if ok && d.step.Kind == decision.KindRead {
		body, err := io.ReadAll(io.LimitReader(r.Body, int64(p.exchange.MaxBody())+1))
		if err != nil {
			return // the client hung up
		}
		w.read(p, r.RemoteAddr, body, len(body) > p.exchange.MaxBody())
		r.Body = rejoined{io.MultiReader(bytes.NewReader(body), r.Body), r.Body}
		if d, ok = g.await(rw, r, p); ok && d.step.Kind == decision.KindFetch {
			w.fetch(p, &d.step, headersOf(r, authority, target), body)
			d, ok = g.await(rw, r, p)
		}
	}
	if !ok {
		return
	}
	if g.decided != nil {
		g.decided(Entry{Method: r.Method, Authority: authority, Path: target, report: d.report})
	}
	if d.step.Kind != decision.KindAllow {
		answer(rw, &d.step.Deny)
		return
	}
	if d.step.Allow.Authority != "" {
		authority = d.step.Allow.Authority
	}
	if d.step.Allow.Path != "" {
		target = d.step.Allow.Path
	}
	defer func() {
		if e := endOf(r); e != nil && g.decided != nil {
			g.decided(Entry{Method: r.Method, Authority: authority, Path: target, report: e.report})
		}
	}()
	var answered struct {
		status    int
		locations []string
	}
	g.forward(rw, r, authority, target, &d.step.Allow, d.answering, func(response *http.Response) error {
		answered.status, answered.locations = response.StatusCode, response.Header.Values("Location")
		amend(response.Header, response.StatusCode, d.answering)
		return nil
	})
	if answered.status != 0 {
		w.ended(p, answered.status, answered.locations)
	}
}

// withEnd is a request that can be ended before its time.
func withEnd(r *http.Request) (*http.Request, context.CancelCauseFunc) {
	ctx, end := context.WithCancelCause(r.Context())
	return r.WithContext(ctx), end
}

// endOf is why a stream was ended by its token, nil while it was not.
func endOf(r *http.Request) *ended {
	var e *ended
	_ = errors.As(context.Cause(r.Context()), &e)
	return e
}

// await waits for the next step that is no call, and reports whether it came.
func (g *Gateway) await(rw http.ResponseWriter, r *http.Request, p *pending) (d decided, ok bool) {
	select {
	case d = <-p.done:
		return d, true
	case <-r.Context().Done():
	case <-g.calling.Done():
		rw.WriteHeader(http.StatusServiceUnavailable)
	}
	return d, false
}

// rejoined is a body whose beginning was read before.
type rejoined struct {
	io.Reader
	io.Closer
}

// take takes a token out of the request, and returns the target without.
func take(r *http.Request, target string, t *decision.Taken) string {
	for _, name := range t.Remove {
		r.Header.Del(name)
	}
	for _, h := range t.Set {
		r.Header.Add(h.Name, h.Value)
	}
	if t.Path != "" {
		return t.Path
	}
	return target
}

// amend changes an answer as the core says.
func amend(header http.Header, status int, a *decision.Answering) {
	if a == nil {
		return
	}
	headers := append(appendHeaders(nil, header), decision.Header{Name: ":status", Value: strconv.Itoa(status)})
	remove, add := a.Amend(headers)
	for _, name := range remove {
		header.Del(name)
	}
	for _, h := range add {
		header.Add(h.Name, h.Value)
	}
}

// aim is the host and the target of a request, byte for byte; an absolute form
// (RFC 9112 section 3.2.2) is taken apart.
func aim(r *http.Request) (authority, target string) {
	authority, target = r.Host, r.RequestURI
	scheme, rest, ok := strings.Cut(target, "://")
	if r.Method == http.MethodConnect || !ok || !strings.EqualFold(scheme, "http") && !strings.EqualFold(scheme, "https") {
		return authority, target
	}
	i := strings.IndexAny(rest, "/?#")
	switch {
	case i < 0:
		return rest, "/"
	case rest[i] != '/':
		return rest[:i], "/" + rest[i:]
	}
	return rest[:i], rest[i:]
}

func headersOf(r *http.Request, authority, target string) []decision.Header {
	headers := make([]decision.Header, 0, len(r.Header)+4)
	headers = append(headers, decision.Header{Name: ":authority", Value: authority}, decision.Header{Name: ":method", Value: r.Method})
	if r.Method != http.MethodConnect {
		headers = append(headers, decision.Header{Name: ":path", Value: target})
	}
	return appendHeaders(headers, r.Header)
}

func appendHeaders(headers []decision.Header, more http.Header) []decision.Header {
	for name, values := range more {
		name = strings.ToLower(name)
		for _, v := range values {
			headers = append(headers, decision.Header{Name: name, Value: v})
		}
	}
	return headers
}

// answer writes a denial. A zero one is a fault of the core and denies.
func answer(rw http.ResponseWriter, d *decision.Deny) {
	h := rw.Header()
	h["Content-Type"] = nil // net/http would guess one
	for _, f := range d.Headers {
		h.Add(f.Name, f.Value)
	}
	switch {
	case d.Status == 0:
		rw.WriteHeader(http.StatusServiceUnavailable)
	case d.GRPCStatus >= 0:
		h.Set("Content-Type", "application/grpc")
		h.Set("Grpc-Status", strconv.Itoa(int(d.GRPCStatus)))
		h.Set("Grpc-Message", d.Body)
		rw.WriteHeader(http.StatusOK)
	default:
		rw.WriteHeader(d.Status)
		// A client that has gone is all that can fail here.
		_, _ = io.WriteString(rw, d.Body)
	}
}

// forward sends the request on, its target byte for byte or not at all.
func (g *Gateway) forward(rw http.ResponseWriter, r *http.Request, authority, target string, allow *decision.Allow, answering *decision.Answering, answered func(*http.Response) error) {
	to, err := rawURL(g.upstream, target)
	if r.Method == http.MethodConnect {
		err = errRawTarget // no tunnels here
	}
	if err != nil {
		http.Error(rw, "the request target cannot be forwarded as it is", http.StatusBadGateway)
		return
	}
	if r.ProtoMajor == 1 {
		// An upstream may answer before it has read the body.
		_ = http.NewResponseController(rw).EnableFullDuplex()
	}
	proxy := httputil.ReverseProxy{
		Transport: g.transport, FlushInterval: -1, ErrorLog: log.New(io.Discard, "", 0),
		Rewrite: func(pr *httputil.ProxyRequest) {
			pr.Out.Host, pr.Out.URL = authority, to
			for name := range pr.Out.Header {
				if slices.Contains(allow.Remove, strings.ToLower(name)) {
					pr.Out.Header.Del(name)
				}
			}
			for _, h := range allow.Set {
				pr.Out.Header.Add(h.Name, h.Value)
			}
		},
		ModifyResponse: answered,
		ErrorHandler: func(rw http.ResponseWriter, _ *http.Request, _ error) {
			if e := endOf(r); e != nil {
				answer(rw, &e.answer)
				return
			}
			// As Envoy shows the filter its own answers in place of the API's.
			amend(rw.Header(), http.StatusServiceUnavailable, answering)
			rw.WriteHeader(http.StatusServiceUnavailable)
		},
	}
	proxy.ServeHTTP(rw, r)
}

var errRawTarget = errors.New("the request target cannot be written as it is")

// rawURL is a URL that net/http writes as exactly this target.
func rawURL(base *url.URL, target string) (*url.URL, error) {
	u := &url.URL{Scheme: base.Scheme, Host: base.Host}
	if strings.HasPrefix(target, "//") { // as Opaque it would become an absolute form
		path, query, asked := strings.Cut(target, "?")
		unescaped, err := url.PathUnescape(path)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errRawTarget, err)
		}
		u.Path, u.RawPath, u.RawQuery, u.ForceQuery = unescaped, path, query, asked && query == ""
	} else {
		u.Opaque = target
	}
	if u.RequestURI() != target {
		return nil, fmt.Errorf("%w: %q", errRawTarget, target)
	}
	return u, nil
}
