package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime"
	"strconv"
	"time"

	"github.com/umagate/umagate/controlplane/envoyconf"
	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/controlplane/xds"
	"github.com/umagate/umagate/plugin/config"
)

// report is what the child answers to each line that it is sent.
type report struct {
	Address string `json:"address,omitempty"`
	// Took is from the push until the last of the Envoys had acknowledged it all.
	Took time.Duration `json:"took,omitempty"`
	// Memory is what the Go runtime has in use, after a collection.
	Memory uint64 `json:"memory,omitempty"`
	// Document is the size of the filter's configuration.
	Document int `json:"document,omitempty"`
}

// pushWait is how long a push may take.
const pushWait = 2 * time.Minute

// serve is the child: it pushes or tells its memory when it is told to, until in
// ends.
func serve(ctx context.Context, envoys, sites int, in io.Reader, out io.Writer) (err error) {
	server, err := xds.New(slog.New(slog.DiscardHandler), nil)
	if err != nil {
		return err
	}
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx, listener, nil) }()
	defer func() { cancel(); err = errors.Join(err, <-served) }()
	answer := json.NewEncoder(out)
	if err := answer.Encode(report{Address: listener.Addr().String()}); err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	lines := bufio.NewScanner(in)
	for n := 0; lines.Scan(); {
		var r report
		switch lines.Text() {
		case "push":
			n++
			r, err = push(ctx, server, envoys, sites, n)
		default:
			r.Memory = inUse()
		}
		if err == nil {
			err = answer.Encode(r)
		}
		if err != nil {
			return err
		}
	}
	return lines.Err()
}

// push gives the nth configuration and waits until every Envoy has it.
func push(ctx context.Context, server *xds.Server, envoys, sites, n int) (report, error) {
	resources, size, err := configuration(sites, n)
	if err != nil {
		return report{}, err
	}
	began := time.Now()
	versions, err := server.Push(ctx, resources)
	if err != nil {
		return report{}, err
	}
	for deadline := began.Add(pushWait); ; time.Sleep(2 * time.Millisecond) {
		have := 0
		for _, e := range server.Envoys() {
			if e.Connected && acknowledged(e, versions) {
				have++
			}
		}
		if have == envoys {
			return report{Took: time.Since(began), Document: size}, nil
		}
		if time.Now().After(deadline) {
			return report{}, fmt.Errorf("%d of %d Envoys have acknowledged push %d after %s", have, envoys, n, pushWait)
		}
	}
}

// acknowledged reports whether an Envoy has all that it subscribes to.
func acknowledged(e xds.Envoy, versions map[xds.Type]string) bool {
	kinds := []xds.Type{xds.CDS, xds.ECDS, xds.SDS}
	if _, ok := e.Types[xds.LDS]; ok {
		kinds = xds.Types()
	}
	for _, kind := range kinds {
		if e.Types[kind].Acknowledged != versions[kind] {
			return false
		}
	}
	return true
}

// inUse is the memory of heap and stacks.
func inUse() uint64 {
	runtime.GC()
	runtime.GC() // what finalizers let go
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

// configuration is that of so many sites, another one for each n, in everything.
func configuration(sites, n int) (xds.Resources, int, error) {
	file := &site.File{Plugin: site.Plugin{Wasm: "umagate.wasm", VMID: "umagate"}, UnknownHosts: config.VerdictDeny}
	file.Envoy = site.Envoy{Listener: "0.0.0.0:10000", AccessLog: "/var/log/envoy/" + strconv.Itoa(n)}
	facts, credentials := map[string]site.Facts{}, map[string]envoyconf.Credentials{}
	for i := range sites {
		s := site.New()
		s.Name = "site-" + strconv.Itoa(i)
		s.Hosts = []string{s.Name + ".example.com"}
		s.Upstream = fmt.Sprintf("http://127.0.0.1:%d", 10_000+n)
		s.AuthorizationServer.Issuer = "https://as.example.com/realms/" + strconv.Itoa(n)
		ids := map[string]string{}
		for j := range 20 {
			name := "resource-" + strconv.Itoa(j)
			s.Resources = append(s.Resources, site.Resource{Name: name, Conditions: []site.Condition{
				{Condition: config.Condition{Paths: []string{"/" + name + "/{id}", "/" + name + "/{id}/**"}, Methods: []string{"GET"}, Scopes: []string{"view"}}},
				{Condition: config.Condition{Paths: []string{"/" + name + "/{id}"}, Methods: []string{"PUT", "DELETE"}, Scopes: []string{"edit"}}},
			}})
			ids[name] = fmt.Sprintf("d0f1-%d-%d", i, j)
		}
		file.Sites = append(file.Sites, s)
		facts[s.Name] = site.Facts{
			Introspection: s.AuthorizationServer.Issuer + "/introspect", Permission: s.AuthorizationServer.Issuer + "/permission", ResourceIDs: ids,
		}
		credentials[s.Name] = envoyconf.Credentials{
			Introspection: envoyconf.Basic("umagate", secret.New("secret")), PAT: envoyconf.Bearer(secret.New(fmt.Sprintf("pat-%d-%d", i, n))),
		}
	}
	in := envoyconf.Input{File: file, Facts: facts}
	var err error
	if in.Config, err = site.Compile(file, facts); err != nil {
		return xds.Resources{}, 0, err
	}
	// Clusters differ too: the CA file is no part of what a site says.
	file.Envoy.CAFile = "/etc/ssl/" + strconv.Itoa(n)
	filter, err := envoyconf.Filter(in)
	if err != nil {
		return xds.Resources{}, 0, err
	}
	clusters, err := envoyconf.Clusters(in)
	if err != nil {
		return xds.Resources{}, 0, err
	}
	upstreams, err := envoyconf.Upstreams(file)
	if err != nil {
		return xds.Resources{}, 0, err
	}
	listener, err := envoyconf.Listener(file)
	if err != nil {
		return xds.Resources{}, 0, err
	}
	return xds.Resources{
		Filter: filter, Clusters: append(clusters, upstreams...), Secrets: envoyconf.Secrets(credentials), Listener: listener, Routes: envoyconf.Routes(file),
	}, len(filter.GetTypedConfig().GetValue()), nil
}
