// Command fleet measures whether the simulator can carry a nation's meters: how long a
// large fleet takes to start, how much memory it needs, what it costs while it is idle, and
// whether a Service Request on a random meter takes longer than in a small fleet.
//
//	go run ./benchmarks/fleet [--meters N] [--against M] [--exchanges X] [--living] [--json]
//
// It builds the command, starts `safemode sim` once with each fleet, without
// latency, and speaks to both as a User does: signed XML over HTTP, with an inbox
// of its own. Half the exchanges are 7.4, one Service Request each; half are 1.6 to
// Credit, two each (Transform, Send Command). Each is with another electricity
// meter, chosen at random, so that no cache of keys helps the small fleet.
//
// The fleets take turns in short rounds, so that other load on the machine affects both. Both
// simulators run all the while. The large fleet's idle work slows the rounds of the small one
// too; it is reported apart, as its share of a processor while idle.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"safemode/servicerequests/smki"
)

type options struct {
	meters, against int
	seed            uint64
	exchanges       int
	living          bool
	idle            time.Duration
}

// result is the object that --json prints.
type result struct {
	Meters  int  `json:"meters"`
	Against int  `json:"against"`
	Living  bool `json:"living"`

	ReadySeconds float64 `json:"ready_seconds"` // from the start of the process until it serves
	ReadyCPU     float64 `json:"ready_cpu_seconds"`
	RSS          float64 `json:"rss_mb"`         // the most it ever was, when all is done
	IdleCPU      float64 `json:"idle_cpu_share"` // of one processor, the large fleet
	Behind       float64 `json:"behind_seconds"` // the large fleet, after the rounds

	PerSecond pair    `json:"service_requests_per_second"`
	CPU       pair    `json:"cpu_us_per_service_request"` // the simulator's
	Ratio     float64 `json:"ratio"`                      // of the rates, the large fleet's over the small one's

	Load string `json:"load"` // of the machine, before: its averages of 1, 5 and 15 minutes
}

type pair struct {
	Meters  float64 `json:"meters"`
	Against float64 `json:"against"`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "fleet:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) (err error) {
	var o options
	var asJSON bool
	flags := flag.NewFlagSet("fleet", flag.ContinueOnError)
	flags.IntVar(&o.meters, "meters", 30_000_000, "meters of the large fleet")
	flags.IntVar(&o.against, "against", 10_000, "meters of the small fleet")
	flags.Uint64Var(&o.seed, "seed", 1, "seed of both")
	flags.IntVar(&o.exchanges, "exchanges", 4000, "with each fleet; the small one needs twice as many meters")
	flags.BoolVar(&o.living, "living", true, "the large fleet's meters use energy and send alerts")
	flags.DurationVar(&o.idle, "idle", 20*time.Second, "how long the idle fleet is watched")
	flags.BoolVar(&asJSON, "json", false, "print one line of JSON")
	if err := flags.Parse(args); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "safemode-fleet-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	r, err := measure(ctx, o, dir)
	if err != nil {
		return err
	}
	if asJSON {
		return json.NewEncoder(out).Encode(r)
	}
	fmt.Fprintf(out, "%d meters: ready in %.1f s (%.1f s of processor time), %.0f MB at most, %.1f %% of a processor while idle\n",
		r.Meters, r.ReadySeconds, r.ReadyCPU, r.RSS, 100*r.IdleCPU)
	fmt.Fprintf(out, "Service Requests a second: %.0f, with %d meters %.0f, ratio %.2f\n",
		r.PerSecond.Meters, r.Against, r.PerSecond.Against, r.Ratio)
	fmt.Fprintf(out, "processor time of the simulator for each: %.0f us, %.0f us; load before %s\n", r.CPU.Meters, r.CPU.Against, r.Load)
	return nil
}

func measure(ctx context.Context, o options, dir string) (r result, err error) {
	r = result{Meters: o.meters, Against: o.against, Living: o.living}
	load, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return r, err
	}
	r.Load = strings.Join(strings.Fields(string(load))[:3], " ")
	binary, err := prepare(ctx, dir)
	if err != nil {
		return r, err
	}
	small, err := startSim(ctx, binary, dir, o.against, o.seed, false)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, small.stop()) }()
	large, err := startSim(ctx, binary, dir, o.meters, o.seed, o.living)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, large.stop()) }()
	r.ReadySeconds = large.ready.Seconds()
	if r.ReadyCPU, err = large.cpu(); err != nil {
		return r, err
	}

	const rounds = 20
	for _, s := range []*sim{large, small} { // connections, first pages
		if err := s.round(ctx, o.exchanges/rounds); err != nil {
			return r, err
		}
		s.spent = spent{}
	}
	for range rounds {
		for _, s := range []*sim{large, small} {
			if err := s.round(ctx, o.exchanges/rounds); err != nil {
				return r, err
			}
		}
	}
	r.PerSecond = pair{large.spent.rate(), small.spent.rate()}
	r.CPU = pair{large.spent.each(), small.spent.each()}
	r.Ratio = r.PerSecond.Meters / r.PerSecond.Against

	before, err := large.cpu()
	if err != nil {
		return r, err
	}
	select {
	case <-ctx.Done():
		return r, ctx.Err()
	case <-time.After(o.idle):
	}
	after, err := large.cpu()
	if err != nil {
		return r, err
	}
	r.IdleCPU = (after - before) / o.idle.Seconds()
	if r.Behind, err = large.behind(ctx); err != nil {
		return r, err
	}
	r.RSS, err = large.peak()
	return r, err
}

// prepare builds the command and writes the PKI and a world without latency.
func prepare(ctx context.Context, dir string) (binary string, err error) {
	binary = filepath.Join(dir, "safemode")
	build := exec.CommandContext(ctx, "go", "build", "-o", binary, "safemode/cmd/safemode")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return "", fmt.Errorf("build the command (run this inside the module): %w", err)
	}
	files, err := smki.TestFolder{Seed: []byte("fleet")}.Files()
	if err != nil {
		return "", err
	}
	for name, text := range files {
		path := filepath.Join(dir, "pki", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return "", err
		}
		if err := os.WriteFile(path, text, 0o600); err != nil {
			return "", err
		}
	}
	return binary, os.WriteFile(filepath.Join(dir, "faults.yaml"), []byte("name: none\nlatency: {median: 0s, tail: 0s}\n"), 0o600)
}
