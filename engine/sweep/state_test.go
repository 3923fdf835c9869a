package sweep

import (
	"fmt"
	"slices"
	"strings"
)

// standings are two sweeps of one journal for comparison, the first folded from the
// records alone, the second from a state and the records since. An answer that came
// while a worker was signing may count as found only in the journal's order of events;
// so the records may know more of what was found, never less.
func standings(folded, restored *Sweep) (a, b map[string]standingOf) {
	a, b = standingsOf(folded), standingsOf(restored)
	for device, l := range b {
		for i, found := range l.Ledger.Found {
			if found == show(reading[int]{}) {
				a[device].Ledger.Found[i] = found
			}
		}
	}
	return a, b
}

type standingOf struct {
	Ledger      ledger
	Open, Ended []string
}

func standingsOf(s *Sweep) map[string]standingOf {
	all := map[string]standingOf{}
	for _, m := range s.ledgers() {
		l := standingOf{}
		for _, r := range m.open {
			l.Open = append(l.Open, fmt.Sprint(r.service, r.id, r.leg, r.acknowledged, len(r.body), r.attempt, r.quarantine))
		}
		for _, e := range m.ended {
			l.Ended = append(l.Ended, fmt.Sprint(e))
		}
		slices.Sort(l.Open)
		slices.Sort(l.Ended)
		all[m.device.String()] = l
	}
	for device, l := range ledgers(s) {
		for i, text := range l.Tallies {
			// Of what was withdrawn before it had a counter the journal knows nothing, and
			// nothing follows from it.
			l.Tallies[i] = strings.Replace(text, " withdrawn ", " open ", 1)
		}
		of := all[device]
		of.Ledger = l
		all[device] = of
	}
	return all
}
