package record

import (
	"fmt"
	"regexp"
	"strings"
	"time"
)

// Span is a time as people say it, in the two units that matter.
func Span(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	two := func(big, small time.Duration, bigName, smallName string) string {
		d = d.Round(small)
		if rest := d % big / small; rest != 0 {
			return fmt.Sprintf("%d %s %d %s", d/big, bigName, rest, smallName)
		}
		return fmt.Sprintf("%d %s", d/big, bigName)
	}
	switch {
	case d.Round(time.Second) < 2*time.Minute:
		return fmt.Sprintf("%d s", d.Round(time.Second)/time.Second)
	case d.Round(time.Minute) < 2*time.Hour:
		return fmt.Sprintf("%d min", d.Round(time.Minute)/time.Minute)
	case d.Round(time.Minute) < 48*time.Hour:
		return two(time.Hour, time.Minute, "h", "min")
	}
	return two(24*time.Hour, time.Hour, "days", "h")
}

// Ago says when something was last, so many seconds ago; nil: never yet.
func Ago(what string, seconds *float64) string {
	if seconds == nil {
		return "no " + what + " yet"
	}
	return "last " + what + " " + Span(*seconds) + " ago"
}

// Answered says when the region was last heard of.
func (r RegionHeard) Answered() string { return Ago("answer", r.Seconds) }

// Says is the same, and first that the region is silent where it is.
func (r RegionHeard) Says() string {
	if r.Silent {
		return "SILENT, " + r.Answered()
	}
	return r.Answered()
}

// Condition is a wave's state, and what it waits for.
func (w WaveStatus) Condition() string {
	switch {
	case w.WaitsFor != "":
		return w.State + " for " + w.WaitsFor
	case !w.Until.IsZero():
		return w.State + " until " + w.Until.UTC().Format("2 Jan 15:04:05") + " by the sweep's clock"
	}
	return w.State
}

// Ending says when the last verdict is due, by the sweep's clock, with its range.
func (s *Status) Ending() string {
	switch {
	case s.Meters > 0 && s.Done == s.Meters:
		return "every meter has a verdict"
	case s.State == "ceased":
		return "the sweep has ended for good"
	case s.State != "starting" && s.State != "running":
		return "nothing moves until it goes on"
	case s.ETA == nil:
		return "not known yet"
	}
	text, latest := "about "+Span(*s.ETA), *s.ETA
	if r := s.ETARange; r != nil {
		if text, latest = Span(r[0]), r[1]; Span(r[1]) != text {
			text += " to " + Span(r[1])
		}
	}
	if s.Time.IsZero() {
		return text
	}
	text += ", at " + s.Time.Add(time.Duration(latest*float64(time.Second))).UTC().Format("2 Jan 15:04 UTC")
	if s.ETARange != nil {
		text += " at the latest"
	}
	if s.OtherClock() {
		text += " by the sweep's clock"
	}
	return text
}

// Why is the reason of the state as people read it: of a halt by a gate which gate, and why,
// and not by which ways that came out.
func (s *Status) Why() string {
	reason := strings.TrimPrefix(s.Reason, "halted: ") // as older journals have it
	if at := gateClosed.FindStringSubmatchIndex(reason); at != nil && s.Cause == HaltGate {
		return reason[at[2]:]
	}
	return reason
}

var gateClosed = regexp.MustCompile(`^.*?(gate [a-z_]+ is closed: )`)

// Unsaid is the reason of the state, where how it is does not say it already.
func (s *Status) Unsaid() string {
	if why := s.Why(); !strings.Contains(s.Health.Says, why) {
		return why
	}
	return ""
}

// OtherClock says whether the sweep's clock is another than that of the wall: in a drill it
// may run faster.
func (i Identity) OtherClock() bool { return i.ClockSpeed != 0 && i.ClockSpeed != 1 }
