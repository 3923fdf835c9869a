package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"safemode/engine/record"
)

// statusLine is a status in one line, each number with its denominator.
func statusLine(s record.Status) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s: %d of %d meters done (%d on supply, %d armed, %d not safe, %d unknown, %d excluded)",
		strings.ToUpper(cmp.Or(s.Environment, "environment not known")), s.State, s.Done, s.Meters,
		s.Verdicts[record.VerdictOnSupply], s.Verdicts[record.VerdictArmed], s.Verdicts[record.VerdictNotSafe],
		s.Verdicts[record.VerdictUnknown], s.Verdicts[record.VerdictExcluded])
	open := 0
	for _, n := range s.InFlight {
		open += n
	}
	fmt.Fprintf(&b, ", %d requests open", open)
	if wave := presentWave(s.Waves); wave != "" {
		b.WriteString(", " + wave)
	}
	switch {
	case s.ETARange != nil:
		fmt.Fprintf(&b, ", %s to %s to go", record.Span(s.ETARange[0]), record.Span(s.ETARange[1]))
	case s.ETA != nil:
		fmt.Fprintf(&b, ", about %s to go", record.Span(*s.ETA))
	}
	if reason := s.Unsaid(); reason != "" {
		fmt.Fprintf(&b, " [%s]", reason)
	}
	if s.Health.Level != record.HealthOK && s.Health.Says != "" {
		fmt.Fprintf(&b, "; %s: %s", strings.ToUpper(s.Health.Words()), s.Health.Says)
	}
	return b.String()
}

// presentWave says how far the wave is that opened last, unless it is the last of all.
func presentWave(waves []record.WaveStatus) string {
	for i, w := range waves {
		switch {
		case i == len(waves)-1: // no end is waited for
		case w.State == record.WaveOpened:
			return fmt.Sprintf("wave %d of %d (%s) has begun", w.Number, len(waves), w.Name)
		case w.State == record.WaveSoaking:
			return fmt.Sprintf("wave %d of %d (%s) soaks until %s", w.Number, len(waves), w.Name, w.Until.UTC().Format(time.RFC3339))
		}
	}
	return ""
}

// printStatus writes a status for people: where the sweep stands, what is held and
// why, and what waits.
func printStatus(w io.Writer, s record.Status) error {
	printIdentity(w, &s)
	fmt.Fprintf(w, "%s: %s\n", s.Health.Words(), s.Health.Says)
	for _, line := range toDoLines(&s) {
		fmt.Fprintln(w, line)
	}
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, statusLine(s))
	rate := ""
	if s.Gates != nil {
		rate = fmt.Sprintf("%.1f a second; ", s.Rate)
	}
	fmt.Fprintf(out, "requests\t%sended: %s\n", rate, counted(s.Classes))
	if !s.ApprovedUntil.IsZero() {
		fmt.Fprintf(out, "approvals\tgood for %d starts more after stops that are no halts, until %s\n", s.ResumesLeft, s.ApprovedUntil.UTC().Format(time.RFC3339))
	}
	if s.Holder != nil && s.State != "standing_by" {
		fmt.Fprintf(out, "holder\t%v\n", *s.Holder)
	}
	if who := s.StandsBy(); who != "" {
		fmt.Fprintf(out, "stands by\t%s\n", who)
	}
	if s.Gates == nil { // by a journal alone, which has no more
		return failWith(exitFailed, out.Flush())
	}
	fmt.Fprintf(out, "waiting\t%s\n", counted(s.Waiting))
	if s.RetryBudget > 0 {
		fmt.Fprintf(out, "retries\t%d of %d\n", s.Retries, s.RetryBudget)
	}
	for _, wave := range s.Waves {
		fmt.Fprintf(out, "wave %d\t%s: %s, %d meters, %d not settled; sample: %s\n",
			wave.Number, waveName(wave), wave.Condition(), wave.Meters, wave.Unsettled, counted(wave.Sample))
	}
	for _, fuel := range slices.Sorted(maps.Keys(s.FirstContact)) {
		fmt.Fprintf(out, "first contact\t%s\n", firstContact(fuel, s.FirstContact[fuel]))
	}
	fmt.Fprintf(out, "blast radius\t%v\n", s.BlastRadius)
	for _, h := range s.Holds {
		fmt.Fprintf(out, "%s\t%s by %s at %s: %s\n", h.Scope, past[h.Action], h.By, h.Since.UTC().Format(time.RFC3339), cmp.Or(h.Reason, "no reason given"))
	}
	if n := len(s.Quarantine); n > 0 {
		fmt.Fprintf(out, "quarantine\t%d requests, event references %s\n", s.Waiting["quarantined"], strings.Join(s.Quarantine[:min(n, 20)], " "))
	}
	if n := len(s.Delete); n > 0 {
		fmt.Fprintf(out, "to delete\tat the DCC, not to be released: event references %s\n", strings.Join(s.Delete[:min(n, 20)], " "))
	}
	if s.Renewal != nil {
		fmt.Fprintf(out, "renewal\tdue in %s\n", record.Span(max(*s.Renewal, 0)))
	}
	for _, r := range s.Heard {
		fmt.Fprintf(out, "region %s\t%s (the sweep's clock), %d requests open\n", r.Region, r.Says(), r.Open)
	}
	fmt.Fprintf(out, "passes\t%s\n", passes(&s, true))
	fmt.Fprintf(out, "inbox\t%s (real time)\n", record.Ago("message", s.InboxHeard))
	if s.DiskFree != nil {
		fmt.Fprintf(out, "disk\t%.1f GiB free where the journal is\n", float64(*s.DiskFree)/(1<<30))
	}
	return failWith(exitFailed, out.Flush())
}

// firstContact says how many meters of a fuel were contacted, and when the latest was.
func firstContact(fuel string, c record.Contact) string {
	text := fmt.Sprintf("%s: %d of %d meters", fuel, c.Contacted, c.Meters)
	if !c.LastAt.IsZero() {
		text += ", the last at " + c.LastAt.UTC().Format(time.RFC3339)
	}
	return text
}

var past = map[string]string{"pause": "paused", "stop": "stopped"}

// counted lists counts by name, those that are not 0.
func counted(counts map[string]int) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		if counts[name] != 0 {
			parts = append(parts, fmt.Sprintf("%d %s", counts[name], strings.ReplaceAll(name, "_", " ")))
		}
	}
	return cmp.Or(strings.Join(parts, ", "), "none")
}

// allPass is what passes says where nothing is shut.
const allPass = "all gates and circuits"

// passes says which gates and circuits are shut, by the one word for all of them, and why.
func passes(s *record.Status, why bool) string {
	var shut []string
	for _, w := range s.Ways() {
		switch {
		case w.Shut != "" && why:
			shut = append(shut, w.Name+" ("+w.Shut+")")
		case w.Shut != "":
			shut = append(shut, w.Name)
		}
	}
	if len(shut) == 0 {
		return allPass
	}
	return "SHUT: " + strings.Join(shut, "; ")
}

// waveName is a wave's name, where it says more than its number.
func waveName(w record.WaveStatus) string {
	if w.Name == fmt.Sprintf("wave %d", w.Number) {
		return "of the plan"
	}
	return w.Name
}

// showLines writes a status line to w until ctx ends, now and then, and where something
// has changed.
func showLines(ctx context.Context, w io.Writer, status func() record.Status) {
	ticker := time.NewTicker(10 * time.Second)
	defer ticker.Stop()
	said := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if s := status(); s.State != "" && statusLine(s) != said {
				said = statusLine(s)
				fmt.Fprintln(w, said)
			}
		}
	}
}
