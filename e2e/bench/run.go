package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/umagate/umagate/envoy"
)

// result is what was measured of one variant.
type result struct {
	variant

	ready  time.Duration   // from the start of the process until it serves
	memory int             // resident, after the load, in bytes
	cpu    []time.Duration // of one request, for each round
	took   []time.Duration // each request of all rounds
}

// contestant is a variant with its Envoy.
type contestant struct {
	result

	process *envoy.Process
	load    load
}

// measure runs all variants, round by round.
func measure(ctx context.Context, binary envoy.Binary, b *backend, o options, all []variant, progress io.Writer) ([]result, error) {
	contestants := make([]*contestant, 0, len(all))
	defer func() {
		for _, c := range contestants {
			c.process.Stop()
		}
	}()
	for _, v := range all {
		_, _ = fmt.Fprintf(progress, "starting Envoy: %s\n", v.name)
		c, err := start(ctx, binary, b, v)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", v.name, err)
		}
		contestants = append(contestants, c)
	}
	// The first requests fill caches and connection pools, and V8 compiles its hot
	// functions anew.
	for _, c := range contestants {
		if _, err := c.load.send(ctx, max(o.requests/5, 2*tokenCount), o.connections); err != nil {
			return nil, fmt.Errorf("%s, warming up: %w\n%s", c.name, err, c.process.LastWords())
		}
	}
	for round := range o.rounds {
		_, _ = fmt.Fprintf(progress, "round %d of %d\n", round+1, o.rounds)
		// Every other round goes the other way, so that nobody always follows the
		// same neighbour.
		order := slices.Clone(contestants)
		if round%2 == 1 {
			slices.Reverse(order)
		}
		for _, c := range order {
			if err := c.round(ctx, o); err != nil {
				return nil, fmt.Errorf("%s: %w\n%s", c.name, err, c.process.LastWords())
			}
		}
	}
	results := make([]result, len(contestants))
	for i, c := range contestants {
		var err error
		if c.memory, err = memory(c.process.PID()); err != nil {
			return nil, err
		}
		results[i] = c.result
	}
	return results, nil
}

func start(ctx context.Context, binary envoy.Binary, b *backend, v variant) (*contestant, error) {
	document, err := bootstrap(v, b)
	if err != nil {
		return nil, err
	}
	begin := time.Now()
	process, err := envoy.Start(ctx, envoy.Options{Binary: binary, Bootstrap: []byte(document), LogLevel: "warn"})
	if err != nil {
		return nil, err
	}
	c := &contestant{result: result{variant: v, ready: time.Since(begin)}, process: process}
	listener, err := process.ListenerAddress(ctx, "main")
	if err != nil {
		process.Stop()
		return nil, err
	}
	c.load = newLoad(listener, v, b.issued)
	return c, nil
}

// round sends one round of requests and takes the CPU time that Envoy used.
func (c *contestant) round(ctx context.Context, o options) error {
	before, err := cpuTime(c.process.PID())
	if err != nil {
		return err
	}
	took, err := c.load.send(ctx, o.requests, o.connections)
	if err != nil {
		return err
	}
	after, err := cpuTime(c.process.PID())
	if err != nil {
		return err
	}
	c.cpu = append(c.cpu, (after-before)/time.Duration(o.requests))
	c.took = append(c.took, took...)
	return nil
}
