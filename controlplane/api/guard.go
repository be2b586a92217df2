package api

import (
	"crypto/rand"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/umagate/umagate/controlplane/loopback"
)

// requestIDHeader is Envoy's own name for it.
const requestIDHeader = "X-Request-Id"

// guard sets what every answer has. There is no CORS: no page is to read it.
func guard(h http.Header) {
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Referrer-Policy", "no-referrer")
}

// requestID is the caller's own id where it is one, so that it joins what both
// sides log.
func requestID(r *http.Request) string {
	const longest = 128
	id := r.Header.Get(requestIDHeader)
	if id == "" || len(id) > longest {
		return rand.Text()
	}
	for _, c := range []byte(id) {
		if !strings.ContainsRune("-_.:/+=", rune(c)) && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return rand.Text()
		}
	}
	return id
}

// LoopbackNames answers only to names of loopback when at is loopback: a web page
// may have its own name lead there (DNS rebinding), and read what stands here. Any
// other name is for misdirected, which answers 421; a problem when nil.
func LoopbackNames(at net.Addr, next, misdirected http.Handler) http.Handler {
	if tcp, ok := at.(*net.TCPAddr); !ok || !tcp.IP.IsLoopback() {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case loopbackName(r.Host):
			next.ServeHTTP(w, r)
		case misdirected != nil:
			misdirected.ServeHTTP(w, r)
		default:
			guard(w.Header())
			NewProblem(CodeMisdirected, "this name is not one of a loopback address: ask by 127.0.0.1 or localhost").write(w, requestID(r))
		}
	})
}

// loopbackName judges a Host header, with or without a port.
func loopbackName(host string) bool {
	u, err := url.Parse("//" + host)
	return err == nil && loopback.IsHost(strings.ToLower(u.Hostname()))
}
