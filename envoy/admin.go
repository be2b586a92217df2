package envoy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// maxAdminBytes bounds an answer of the admin API: a config_dump of many
// thousand resources has some ten MB.
const maxAdminBytes = 256 << 20

// pollInterval is how often readiness is asked for.
const pollInterval = 20 * time.Millisecond

// AdminURL is the base of the admin API, "http://127.0.0.1:9901".
func (p *Process) AdminURL() string { return "http://" + p.admin }

// Admin does GET on a path of the admin API, such as "/config_dump" or
// "/stats?usedonly", and returns the body of a 200.
func (p *Process) Admin(ctx context.Context, path string) ([]byte, error) {
	return p.adminCall(ctx, http.MethodGet, path)
}

// AdminPost does POST on a path of the admin API that changes something, such as
// "/logging?wasm=trace".
func (p *Process) AdminPost(ctx context.Context, path string) ([]byte, error) {
	return p.adminCall(ctx, http.MethodPost, path)
}

func (p *Process) adminCall(ctx context.Context, method, path string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, p.AdminURL()+path, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("asking Envoy's admin API: %w", err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("asking Envoy's admin API: %w", err)
	}
	defer response.Body.Close() //nolint:errcheck // only read from
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAdminBytes))
	if err != nil {
		return nil, fmt.Errorf("reading the answer of Envoy's admin API to %s: %w", path, err)
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("envoy's admin API answered %s %s with %s: %.200s", method, path, response.Status, body)
	}
	return body, nil
}

// ConfigDump returns the whole configuration, endpoints included.
func (p *Process) ConfigDump(ctx context.Context) (string, error) {
	body, err := p.Admin(ctx, "/config_dump?include_eds")
	return string(body), err
}

// Prometheus returns the metrics as Prometheus would scrape them.
func (p *Process) Prometheus(ctx context.Context) (string, error) {
	body, err := p.Admin(ctx, "/stats/prometheus")
	return string(body), err
}

// Stats returns counters and gauges by name. The filter is a regular expression
// over names; empty is all.
func (p *Process) Stats(ctx context.Context, filter string) (map[string]uint64, error) {
	query := url.Values{"format": {"json"}}
	if filter != "" {
		query.Set("filter", filter)
	}
	body, err := p.Admin(ctx, "/stats?"+query.Encode())
	if err != nil {
		return nil, err
	}
	var answer struct {
		Stats []struct {
			Name  string          `json:"name"`
			Value json.RawMessage `json:"value"`
		} `json:"stats"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, fmt.Errorf("reading Envoy's stats: %w", err)
	}
	stats := make(map[string]uint64, len(answer.Stats))
	for _, stat := range answer.Stats {
		// Text readouts and histograms, which are not numbers, are left out.
		if n, err := strconv.ParseUint(string(stat.Value), 10, 64); err == nil {
			stats[stat.Name] = n
		}
	}
	return stats, nil
}

// ErrNoListener says that Envoy has no listener of a name.
var ErrNoListener = errors.New("no such listener")

// ListenerAddress returns where the listener with this name accepts
// connections, "127.0.0.1:34567".
func (p *Process) ListenerAddress(ctx context.Context, name string) (string, error) {
	body, err := p.Admin(ctx, "/listeners?format=json")
	if err != nil {
		return "", err
	}
	var answer struct {
		Listeners []struct {
			Name    string `json:"name"`
			Address struct {
				Socket struct {
					Address string `json:"address"`
					Port    uint16 `json:"port_value"`
				} `json:"socket_address"`
			} `json:"local_address"`
		} `json:"listener_statuses"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return "", fmt.Errorf("reading Envoy's listeners: %w", err)
	}
	var names []string
	for _, listener := range answer.Listeners {
		if listener.Name == name && listener.Address.Socket.Port != 0 {
			return fmt.Sprintf("%s:%d", listener.Address.Socket.Address, listener.Address.Socket.Port), nil
		}
		names = append(names, listener.Name)
	}
	return "", fmt.Errorf("%w: %q; Envoy has %q", ErrNoListener, name, names)
}

// waitUntilReady polls until /ready says LIVE.
func (p *Process) waitUntilReady(ctx context.Context, timeout time.Duration) error {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("not ready after %s", timeout))
	defer cancel()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		if p.admin == "" {
			// Envoy writes the file in one go, once the admin listener is open.
			if address, err := os.ReadFile(filepath.Join(p.folder, "admin-address")); err == nil {
				p.admin = strings.TrimSpace(string(address))
			}
		}
		if p.admin != "" {
			if _, err := p.Admin(ctx, "/ready"); err == nil {
				return nil
			}
		}
		select {
		case <-tick.C:
		case <-p.done:
			return p.err
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
