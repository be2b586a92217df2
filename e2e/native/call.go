package native

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"

	"github.com/umagate/umagate/plugin/decision"
)

// send starts a call to the authorization server, and tells whether it could. The
// caller holds the worker's lock.
func (g *Gateway) send(w *worker, call *decision.Call) bool {
	cluster, ok := g.cluster(call.Cluster)
	if call.Fetches() {
		cluster, ok = Cluster{URL: g.upstream, Transport: g.transport}, true
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if !ok || g.closed {
		return false
	}
	c := *call
	g.running.Go(func() {
		ctx, cancel := context.WithTimeout(g.calling, c.Timeout)
		defer cancel()
		w.reply(c.ID, cluster.do(ctx, &c))
	})
	return true
}

// do makes the call. Whatever goes wrong is no answer: the core fails closed.
func (c Cluster) do(ctx context.Context, call *decision.Call) decision.Response {
	target := url.URL{Scheme: "http", Host: "cluster.invalid"}
	if c.URL != nil {
		target = url.URL{Scheme: c.URL.Scheme, Host: c.URL.Host}
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, target.String(), bytes.NewReader(call.Body))
	if err != nil {
		return decision.Response{}
	}
	for _, h := range call.Headers {
		switch h.Name {
		case ":method":
			request.Method = h.Value
		case ":authority":
			request.Host = h.Value
		case ":path":
			request.URL.Opaque = h.Value
		case ":scheme":
		default:
			request.Header.Add(h.Name, h.Value)
		}
	}
	if _, has := request.Header["User-Agent"]; !has {
		request.Header["User-Agent"] = nil // or net/http adds its own
	}
	if !c.Credential.IsZero() {
		request.Header.Set("Authorization", c.Credential.Reveal())
	}
	response, err := c.Transport.RoundTrip(request)
	if err != nil && ctx.Err() == nil { // once more, as the filter asks Envoy to
		request.Body = io.NopCloser(bytes.NewReader(call.Body))
		response, err = c.Transport.RoundTrip(request)
	}
	if err != nil {
		return decision.Response{}
	}
	defer response.Body.Close() //nolint:errcheck // only read from
	body, err := io.ReadAll(io.LimitReader(response.Body, decision.MaxResponse+1))
	switch {
	case err != nil:
		return decision.Response{}
	case len(body) > decision.MaxResponse:
		return decision.Response{Status: response.StatusCode, TooLarge: true}
	}
	r := decision.Response{Status: response.StatusCode, RetryAfter: response.Header.Get("Retry-After"), Body: body}
	if call.Fetches() {
		r.Headers = appendHeaders(nil, response.Header)
	}
	return r
}
