package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
)

const (
	introspectionPath = "/introspect"
	permissionPath    = "/permission"
)

// backend is everything Envoy talks to: the API and the authorization server on
// one port, the ext_authz server on another. It answers without thinking: what it
// costs is not measured, but it competes for the same cores.
type backend struct {
	api, authz string // host:port
	issued     tokens
	stop       func()
}

func startBackend(ctx context.Context) (*backend, error) {
	issued, err := newTokens()
	if err != nil {
		return nil, err
	}
	var lc net.ListenConfig
	api, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("the API: %w", err)
	}
	authz, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, errors.Join(fmt.Errorf("the ext_authz server: %w", err), api.Close())
	}
	server := &http.Server{Handler: apiHandler(time.Now().Add(time.Hour)), ReadHeaderTimeout: 10 * time.Second}
	checker := grpc.NewServer()
	authv3.RegisterAuthorizationServer(checker, allowAll{})
	var joined sync.WaitGroup
	joined.Go(func() { _ = server.Serve(api) })
	joined.Go(func() { _ = checker.Serve(authz) })
	return &backend{
		api: api.Addr().String(), authz: authz.Addr().String(), issued: issued,
		stop: func() {
			_ = server.Close()
			checker.Stop()
			joined.Wait()
		},
	}, nil
}

// apiHandler is the API and the AS. Both answer with what was made before.
func apiHandler(expires time.Time) http.Handler {
	active := `{"active":true,"iss":"` + issuer + `","sub":"alice","client_id":"app","exp":` + strconv.FormatInt(expires.Unix(), 10) +
		`,"permissions":[{"resource_id":"` + resourceID + `","resource_scopes":["view"],"exp":` + strconv.FormatInt(expires.Unix(), 10) + `}]}`
	const ticket = `{"ticket":"016f84e8-f9b9-11e0-bd6f-0021cc6004de"}`
	answer := func(status int, body string) http.HandlerFunc {
		length := strconv.Itoa(len(body))
		return func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, io.LimitReader(r.Body, 1<<20))
			w.Header()["Content-Type"] = []string{"application/json"}
			w.Header()["Content-Length"] = []string{length}
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/", answer(http.StatusOK, `{"id":"1","owner":"alice","title":"Lofoten in March"}`))
	mux.HandleFunc("POST "+introspectionPath, answer(http.StatusOK, active))
	mux.HandleFunc("POST "+permissionPath, answer(http.StatusCreated, ticket))
	return mux
}
