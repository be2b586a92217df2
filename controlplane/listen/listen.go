// Package listen opens the addresses that umagate serves on, and serves HTTP there.
package listen

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// ErrPlaintext means that an address is not loopback, and that what is served there is
// not encrypted.
var ErrPlaintext = errors.New("the address is not loopback, and what is served there is not encrypted: write a loopback address, or listen.insecure_plaintext: true")

// TCP opens an address. It refuses plain text beyond this machine unless plaintext is
// set. setting is where the file has the address, for the error.
func TCP(ctx context.Context, setting, address string, plaintext bool) (net.Listener, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", setting, err)
	}
	if tcp, ok := listener.Addr().(*net.TCPAddr); !plaintext && (!ok || !tcp.IP.IsLoopback()) {
		return nil, errors.Join(fmt.Errorf("%s %s: %w", setting, address, ErrPlaintext), listener.Close())
	}
	return listener, nil
}

const (
	idleTimeout   = 90 * time.Second
	headerTimeout = 5 * time.Second
	readTimeout   = 10 * time.Second
	maxHeader     = 16 << 10
	writeTimeout  = 30 * time.Second
	stopTimeout   = 5 * time.Second
)

// HTTP answers until ctx ends, and returns when the last answer is given.
func HTTP(ctx context.Context, listener net.Listener, handler http.Handler) error {
	server := &http.Server{
		Handler: handler, MaxHeaderBytes: maxHeader,
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
