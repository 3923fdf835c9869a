package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"safemode/engine/plan"

	"safemode/servicerequests/table"
)

// The files beside a plan that follow from it.
const (
	lateFile       = "late.csv"       // homes that a deadline finds without their switch
	thresholdsFile = "thresholds.txt" // the notification of thresholds that the sweep needs
)

// printWaves says when each wave begins, and what the deadlines find.
func printWaves(w io.Writer, p *plan.Plan, s *plan.Schedule) {
	at := func(seconds float64) string {
		return p.StartsAt.Add(time.Duration(seconds * float64(time.Second))).UTC().Format("2006-01-02 15:04:05")
	}
	for i, wave := range p.Waves {
		fmt.Fprintf(w, "  %s: commands to %d meters from %s", wave.Name, wave.Count, at(s.Starts[i]))
		if s.Latest[i] > s.Starts[i] {
			fmt.Fprintf(w, " to %s", at(s.Latest[i]))
		}
		if wave.SoakSeconds > 0 {
			fmt.Fprintf(w, ", then %v of soak", wave.Soak())
		}
		fmt.Fprintln(w)
	}
	for i, d := range p.Estimate.Deadlines {
		which := "earliest"
		if i > 0 {
			which = "latest"
		}
		fmt.Fprintf(w, "  window ends (ASSUMPTION, %s) %s: %d of %d homes to be switched are reached too late",
			which, d.At.Format("2006-01-02 15:04 MST"), d.Late, d.Homes)
		if d.Late > 0 {
			fmt.Fprintf(w, " (%s)", lateFile)
		}
		fmt.Fprintln(w)
		if len(s.Starts) > 1 && !p.StartsAt.Add(time.Duration(s.Starts[1]*float64(time.Second))).Before(d.At) {
			fmt.Fprintf(w, "  the canary and its soak do NOT fit before it: only the canary is reached in time; make waves.canary or waves.soak smaller, or start sooner\n")
		}
	}
}

// printCurves draws each SRV that has a threshold against it: a row each, the
// requests in the trailing period at ten instants.
func printCurves(w io.Writer, p *plan.Plan, s *plan.Schedule) {
	const instants = 10
	if len(p.Estimate.Forecasts) == 0 {
		return
	}
	step := time.Duration(p.Estimate.Seconds / instants * float64(time.Second))
	fmt.Fprintf(w, "  anomaly detection thresholds; requests in the trailing period, every %v, retries left out\n", step.Round(time.Second))
	fmt.Fprintf(w, "  %6s %20s %8s %9s  %s\n", "SRV", "threshold", "budget", "peak", "curve")
	for _, f := range p.Estimate.Forecasts {
		cells := make([]string, instants)
		for i, n := range s.Curve(f.SRV, f.PerSeconds, instants) {
			cells[i] = strconv.Itoa(n)
		}
		per := time.Duration(f.PerSeconds * float64(time.Second))
		word := fmt.Sprintf("%.0f %%", 100*float64(f.Peak)/float64(max(f.Count, 1)))
		if f.Exceeded {
			word = "OVER"
		}
		fmt.Fprintf(w, "  %6s %20s %8d %4d %4s  %s\n", f.SRV, fmt.Sprintf("%d in %v", f.Count, per), f.Budget, f.Peak, word, strings.Join(cells, " "))
	}
	if p.Limits.OverThreshold == plan.Pace {
		fmt.Fprintln(w, "  the pace is cut to fit under them")
	}
}

// writeForecasts writes the files beside a plan.
func writeForecasts(p *plan.Plan, s *plan.Schedule, dir string) error {
	if err := writeFile(filepath.Join(dir, thresholdsFile), 0o600, func(w io.Writer) error { return draftThresholds(w, p, s) }); err != nil {
		return err
	}
	if !slices.ContainsFunc(p.Estimate.Deadlines, func(d plan.Deadline) bool { return d.Late > 0 }) {
		return nil
	}
	return writeFile(filepath.Join(dir, lateFile), 0o600, func(w io.Writer) error { return writeLate(w, p, s) })
}

// writeLate lists the homes that the earliest deadline finds without their switch.
func writeLate(w io.Writer, p *plan.Plan, s *plan.Schedule) error {
	out := table.NewWriter(w)
	out.Write("chf_id", "mpxn", "priority", "window_ends", "switch_sent")
	for _, d := range p.Estimate.Deadlines[:min(1, len(p.Estimate.Deadlines))] {
		late, _ := s.LateAt(d.At)
		for _, l := range late {
			sent := "never"
			if !l.Sent.IsZero() {
				sent = l.Sent.UTC().Format(time.RFC3339)
			}
			out.Write(l.Hub.String(), l.MPxN, strconv.Itoa(l.Priority), d.At.UTC().Format(time.RFC3339), sent)
		}
	}
	return out.End()
}

// retryAllowance is what a drafted threshold allows for retries, and 7.3 for the
// share of meters found off, over what the schedule shows. ASSUMPTION
const retryAllowance, armShare = 1.25, 0.1

// draftThresholds drafts what the User would notify to the DCC, so that the sweep
// crosses no anomaly detection threshold.
func draftThresholds(w io.Writer, p *plan.Plan, s *plan.Schedule) error {
	var b strings.Builder
	fmt.Fprintf(&b, `DRAFT notification of Anomaly Detection Thresholds

User           %s, identities %v
Authority      direction %s of %s, %s to %s
Sweep          %s (plan %s)
From           %s, for about %v

The sweep needs these thresholds at least. A period is the one configured
(limits.anomaly_thresholds), else an hour. Each is the peak of the schedule and
%.0f %% on top for retries (ASSUMPTION). SRV 7.3 is for at most %.0f %% of the meters
(ASSUMPTION): it is sent only where a supply is proven to be off for lack of credit.

%8s %10s %12s %10s %10s
`, p.Direction.Supplier.EUI, p.Originators, p.Direction.Reference, p.Direction.IssuingBody,
		p.Direction.NotBefore.Format(time.RFC3339), p.Direction.NotAfter.Format(time.RFC3339),
		p.SweepID(), p.SHA256, p.StartsAt.Format(time.RFC3339), p.Estimate.Duration(),
		100*(retryAllowance-1), 100*armShare, "SRV", "period", "in force", "peak", "needed")
	srvs := slices.Sorted(maps.Keys(p.Estimate.Requests))
	if slices.Contains(p.Direction.PermittedSRVs, "7.3") {
		srvs = append(srvs, "7.3")
	}
	for _, srv := range srvs {
		t, known := p.Limits.Thresholds[srv]
		period := cmp.Or(t.PerSeconds, 3600)
		peak, _ := s.Peak(srv, period)
		if srv == "7.3" {
			peak = int(math.Ceil(armShare * float64(p.Counts.Targets)))
		}
		inForce := "not known"
		if known {
			inForce = strconv.Itoa(t.Count)
		}
		fmt.Fprintf(&b, "%8s %10v %12s %10d %10d\n", srv, time.Duration(period*float64(time.Second)), inForce, peak, int(math.Ceil(retryAllowance*float64(peak))))
	}
	_, err := io.WriteString(w, b.String())
	return err
}
