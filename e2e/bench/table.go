package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/umagate/umagate/envoy"
)

func machine(w io.Writer, binary envoy.Binary) {
	_, _ = fmt.Fprintf(w, "machine: %s, %d cores; Envoy %s (%s), one worker; %s %s/%s\n\n",
		cpuModel(), runtime.NumCPU(), binary.Version, binary.Source, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// printResults prints what was measured. Where a variant was left out, what is
// compared with it is a dash.
func printResults(w io.Writer, o options, results []result) {
	base := find(results, nameNone)
	_, _ = fmt.Fprintf(w, "CPU of the Envoy process for one request, %d rounds of %d requests, above \"%s\" (min %s, median %s)\n\n",
		o.rounds, o.requests, nameNone, micro(slices.Min(base.cpu)), micro(percentile(base.cpu, 50)))
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	row := func(cells ...string) { _, _ = fmt.Fprintln(t, strings.Join(cells, "\t")+"\t") }
	peers := []*result{find(results, nameJWTCached), find(results, nameJWT), find(results, nameExtAuthz)}
	row("", "min", "median", "vs jwt_authn", "vs jwt_authn", "vs ext_authz", "p50", "p99")
	row("", "µs", "µs", "cached", "RS256 each", "", "µs", "µs")
	for i := range results {
		r := &results[i]
		cells := []string{fmt.Sprintf("%-34s", r.name)}
		if r.name == nameNone {
			cells = append(cells, "0", "0", "", "", "")
		} else {
			cells = append(cells, micro(above(r, base, minimum)), micro(above(r, base, median)))
			for _, peer := range peers {
				cells = append(cells, ratio(r, peer, base))
			}
		}
		row(append(cells, micro(percentile(r.took, 50)), micro(percentile(r.took, 99)))...)
	}
	_ = t.Flush()
	_, _ = fmt.Fprintf(w, "\nThe ratios are of the minima. p50 and p99 are of the whole request, with %d connections, on a machine that\nalso runs the load, the API and the servers; they compare variants, and say nothing of a real network.\n\n", o.connections)

	t = tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	row("", "ready after", "memory")
	for i := range results {
		row(fmt.Sprintf("%-34s", results[i].name), fmt.Sprintf("%.2f s", results[i].ready.Seconds()), fmt.Sprintf("%d MB", results[i].memory>>20))
	}
	_ = t.Flush()
	for _, b := range append([]build{{"umagate", o.wasm}}, o.also...) {
		if info, err := os.Stat(b.path); err == nil {
			_, _ = fmt.Fprintf(w, "\n%s: %s, %.2f MB (%d bytes)\n", b.name, b.path, float64(info.Size())/1e6, info.Size())
		}
	}
}

func find(results []result, name string) *result {
	if i := slices.IndexFunc(results, func(r result) bool { return r.name == name }); i >= 0 {
		return &results[i]
	}
	return nil
}

func minimum(d []time.Duration) time.Duration { return slices.Min(d) }

func median(d []time.Duration) time.Duration { return percentile(d, 50) }

// above is what a variant costs more than the baseline.
func above(r, base *result, of func([]time.Duration) time.Duration) time.Duration {
	return of(r.cpu) - of(base.cpu)
}

func ratio(r, peer, base *result) string {
	if peer == nil {
		return "-"
	}
	cost := above(peer, base, minimum)
	if cost <= 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", float64(above(r, base, minimum))/float64(cost))
}

// percentile is the smallest value that p percent are not above.
func percentile(d []time.Duration, p int) time.Duration {
	sorted := slices.Sorted(slices.Values(d))
	return sorted[(len(sorted)*p+99)/100-1]
}

func micro(d time.Duration) string { return fmt.Sprintf("%.1f", float64(d)/float64(time.Microsecond)) }
