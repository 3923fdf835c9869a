package sweep

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"safemode/engine/record"
	"safemode/servicerequests"
)

// reasons counts the meters that are not safe or unknown, by reason.
type reasons map[reasonOf]int

type reasonOf struct{ verdict, reason string }

// mostReasons bounds how many reasons are counted apart, because the DCC or a device may put
// any code into one. The others are counted together.
const mostReasons = 64

const otherReasons = "other reasons"

// count adds to the meters with a verdict.
func (r reasons) count(v *record.VerdictBody, n int) {
	if v.Verdict != record.VerdictNotSafe && v.Verdict != record.VerdictUnknown {
		return
	}
	key := reasonOf{v.Verdict, v.Reason}
	if _, known := r[key]; !known && len(r) >= mostReasons {
		key.reason = otherReasons
	}
	r[key] += n
}

// list returns the reasons, the one with most meters first.
func (r reasons) list() (all []record.ReasonCount) {
	for key, n := range r {
		if n > 0 {
			all = append(all, record.ReasonCount{Verdict: key.verdict, Reason: key.reason, Meters: n})
		}
	}
	slices.SortFunc(all, func(a, b record.ReasonCount) int {
		return cmp.Or(cmp.Compare(b.Meters, a.Meters), cmp.Compare(a.Verdict, b.Verdict), cmp.Compare(a.Reason, b.Reason))
	})
	return all
}

// heardOf says when the meters of one region last answered.
type heardOf struct {
	at    time.Time    // a meter's last answer in this run; zero: none
	quiet [2]time.Time // by fuel: since when requests are open and no meter of the region has answered
	miss  int          // requests that ended without an answer since
}

// mostMisses is how many requests in a row may end without an answer until a region counts as
// silent: one meter in fifty is out of reach (ASSUMPTION).
const mostMisses = 20

// ended notes how a request of the region has ended.
func (h *heardOf) ended(class record.Class, now time.Time) {
	switch class {
	case record.ClassSuccess, record.ClassNegative: // the device answered
		*h = heardOf{at: now, quiet: [2]time.Time{now, now}}
	case record.ClassNoResponse:
		h.miss++
	}
}

// showHeard sets how long each region with meters has been silent. A region is silent if no
// answer has come while a request was open for longer than its answer may take, or while many
// ended without an answer.
func (s *Machine) showHeard() (all []record.RegionHeard) {
	wait := [...]time.Duration{s.o.Policy.ResponseWait.Electricity, s.o.Policy.ResponseWait.Gas}
	for _, region := range servicerequests.Regions {
		if !s.counts.planned(region) {
			continue
		}
		h, open := &s.counts.heard[region], s.queues.regions[region].inFlight
		is := record.RegionHeard{Region: region.String(), Open: open[0] + open[1], OpenElectricity: open[0], Silent: h.miss >= mostMisses}
		for fuel, n := range open {
			switch {
			case n == 0:
				h.quiet[fuel] = time.Time{}
			case h.quiet[fuel].IsZero():
				h.quiet[fuel] = s.now
			case s.now.Sub(h.quiet[fuel]) > wait[fuel]:
				is.Silent = true
			}
		}
		if !h.at.IsZero() {
			ago := s.now.Sub(h.at).Seconds()
			is.Seconds = &ago
		}
		all = append(all, is)
	}
	return all
}

// waitsBefore says what a wave waits for before it begins; empty: it has begun, or it waits for
// nothing.
func (s *Machine) waitsBefore(w *wave) string {
	if !s.run.begun || w.state != "" || w.number == 1 || s.run.halt != nil || s.run.ceased != "" {
		return ""
	}
	before := s.waves.all[w.number-2]
	switch {
	case w.number != s.waves.begun+1:
		return fmt.Sprintf("wave %d", before.number)
	case s.pauses.whole():
		return "the sweep is held"
	case before.state == record.WaveSoaking:
		return fmt.Sprintf("the soak of wave %d, until %s by the sweep's clock", before.number, before.since.Add(before.Soak).UTC().Format("2 Jan 15:04:05"))
	case before.Settled == 0:
		return fmt.Sprintf("%d meters of wave %d without a verdict", before.left(), before.number)
	}
	fuel, name := 0, "electricity"
	if before.meters[0] == 0 {
		fuel, name = 1, "gas"
	}
	may := int((1 - before.Settled) * float64(before.meters[fuel]))
	return fmt.Sprintf("verdicts in wave %d: %d of its %d %s meters are without, %d may be", before.number, before.unsettled[fuel], before.meters[fuel], name, may)
}
