package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"safemode/engine/journal"
	"safemode/engine/sweep"
)

// statusLine is a status in one line, each number with its denominator.
func statusLine(s sweep.Status) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %d of %d meters done (%d on supply, %d armed, %d not safe, %d unknown, %d excluded)",
		s.State, s.Done, s.Meters,
		s.Verdicts[journal.VerdictOnSupply], s.Verdicts[journal.VerdictArmed], s.Verdicts[journal.VerdictNotSafe],
		s.Verdicts[journal.VerdictUnknown], s.Verdicts[journal.VerdictExcluded])
	open := 0
	for _, n := range s.InFlight {
		open += n
	}
	fmt.Fprintf(&b, ", %d requests open", open)
	if s.ETA != nil {
		fmt.Fprintf(&b, ", about %v to go", time.Duration(*s.ETA*float64(time.Second)).Round(time.Second))
	}
	if s.Reason != "" {
		fmt.Fprintf(&b, " [%s]", s.Reason)
	}
	return b.String()
}

// showProgress writes the status to w until ctx ends: on a terminal one line
// that is drawn again, elsewhere a plain line now and then.
func showProgress(ctx context.Context, w io.Writer, status func() sweep.Status) {
	terminal := false
	if f, ok := w.(*os.File); ok {
		terminal = term.IsTerminal(int(f.Fd()))
	}
	every := 10 * time.Second
	if terminal {
		every = 200 * time.Millisecond
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			if terminal {
				fmt.Fprint(w, "\r\x1b[K")
			}
			return
		case <-ticker.C:
			s := status()
			if s.State == "" {
				continue
			}
			if terminal {
				fmt.Fprintf(w, "\r\x1b[K%s", statusLine(s))
			} else {
				fmt.Fprintln(w, statusLine(s))
			}
		}
	}
}
