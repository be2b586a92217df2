package server

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const (
	idleTimeout   = 90 * time.Second
	headerTimeout = 5 * time.Second
	readTimeout   = 10 * time.Second
	maxHeader     = 16 << 10
	writeTimeout  = 30 * time.Second
	stopTimeout   = 5 * time.Second
)

// handler is the control plane's own API.
func (s *serving) handler(registry *prometheus.Registry) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { text(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := s.ready(); err != nil {
			text(w, http.StatusServiceUnavailable, err.Error())
			return
		}
		text(w, http.StatusOK, "ready")
	})
	mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(s.status()); err != nil {
			s.options.Logger.Debug("status not written", slog.Any("error", err))
		}
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	return noStore(mux)
}

// errForeignHost: a page of another site made a browser ask, by a name of its own
// that leads to loopback.
var errForeignHost = errors.New("this name is not one of a loopback address: ask by 127.0.0.1 or localhost")

// loopbackOnly answers only to names of loopback when at is loopback: a web page
// may have its own name lead there (DNS rebinding), and read what stands here.
func loopbackOnly(at net.Addr, next http.Handler) http.Handler {
	if tcp, ok := at.(*net.TCPAddr); !ok || !tcp.IP.IsLoopback() {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !loopbackName(r.Host) {
			text(w, http.StatusMisdirectedRequest, errForeignHost.Error())
			return
		}
		next.ServeHTTP(w, r)
	})
}

// loopbackName judges a Host header, with or without a port.
func loopbackName(host string) bool {
	u, err := url.Parse("//" + host)
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return strings.EqualFold(u.Hostname(), "localhost") || ip != nil && ip.IsLoopback()
}

func noStore(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		next.ServeHTTP(w, r)
	})
}

func text(w http.ResponseWriter, status int, s string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(s + "\n")) // a client that is gone is no concern
}

// serveAPI answers until ctx ends, and returns when the last answer is given.
func serveAPI(ctx context.Context, listener net.Listener, handler http.Handler) error {
	server := &http.Server{
		Handler: loopbackOnly(listener.Addr(), handler), MaxHeaderBytes: maxHeader,
		ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	err := server.Shutdown(stopping)
	if err != nil {
		err = errors.Join(err, server.Close())
	}
	if serveErr := <-served; !errors.Is(serveErr, http.ErrServerClosed) {
		err = errors.Join(err, serveErr)
	}
	return err
}
