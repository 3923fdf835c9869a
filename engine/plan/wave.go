package plan

import (
	"fmt"
	"math"
	"slices"
	"time"

	"safemode/engine/record"
	"safemode/servicerequests"
)

// Wave is a run of targets that are given commands together. The next wave begins when the
// configured share of its targets has verdicts or is in long retries, the soak has passed
// since, and every abort rule has its sample and does not apply.
type Wave struct {
	Name        string             `json:"name"`              // canary, wave 2, wave 3 ...; all, where there is only one
	First       int                `json:"first"`             // order of its first target
	Count       int                `json:"count"`             // of targets; waves end where a home ends
	Settled     float64            `json:"settled,omitempty"` // share of its electricity meters, or of its gas meters where it has no others; 0: all of both
	SoakSeconds float64            `json:"soak_seconds"`      // on the sweep's clock; 0 after the last wave
	Abort       []record.AbortRule `json:"abort,omitempty"`
}

// Soak is SoakSeconds as a duration.
func (w Wave) Soak() time.Duration { return time.Duration(w.SoakSeconds * float64(time.Second)) }

// WaveOptions says how targets are divided into waves.
type WaveOptions struct {
	Canary  int                // targets of the first wave, at least; 0: one wave of all
	Settled float64            // of each wave; see [Wave]
	Growth  float64            // each wave is so many times the one before; under 1 counts as 1
	Soak    time.Duration      // after the canary
	Settle  time.Duration      // after each further wave but the last
	Abort   []record.AbortRule // of every wave
}

// arrange puts targets in order, divides them into waves and numbers them.
func (p *Plan) arrange(o WaveOptions) {
	all := homes(p.Targets)
	if o.Canary > 0 && len(p.Targets) > 2*o.Canary {
		all = canaryFirst(all, o.Canary)
	} else {
		o.Canary = 0
	}
	next := p.Targets[:0]
	wave, full := Wave{Name: "canary", First: 1, Settled: o.Settled, SoakSeconds: o.Soak.Seconds(), Abort: slices.Clone(o.Abort)}, float64(o.Canary)
	if o.Canary == 0 {
		wave.Name, full = "all", math.Inf(1)
	}
	for _, h := range all {
		if float64(wave.Count) >= full {
			p.Waves = append(p.Waves, wave)
			full *= max(o.Growth, 1)
			wave = Wave{
				Name: fmt.Sprintf("wave %d", len(p.Waves)+1), First: len(next) + 1,
				Settled: o.Settled, SoakSeconds: o.Settle.Seconds(), Abort: slices.Clone(o.Abort),
			}
		}
		next = append(next, h.targets...)
		wave.Count += len(h.targets)
	}
	if wave.SoakSeconds = 0; wave.Count > 0 {
		p.Waves = append(p.Waves, wave)
	}
	for i := range p.Targets {
		p.Targets[i].Order = i + 1
	}
}

// canaryFirst moves homes with so many targets to the front: the most urgent ones
// such that regions and fuels take turns, and that as many claims, sources, models
// and identities as can be are among them.
func canaryFirst(all []home, size int) []home {
	const choice = 64 // homes of a group among which the one that shows most is chosen
	type group struct {
		region servicerequests.Region
		fuels  string
	}
	groups, keys := map[group][]int{}, []group(nil) // indexes into all, in order
	for i := range all {
		g := group{all[i].region, fuels(&all[i])}
		if groups[g] == nil {
			keys = append(keys, g)
		}
		groups[g] = append(groups[g], i)
	}
	chosen, seen := map[int]bool{}, map[string]bool{}
	for count := 0; count < size; {
		for _, g := range keys {
			best, most := -1, -1
			for at, i := range groups[g][:min(len(groups[g]), choice)] {
				if n := news(&all[i], seen); n > most {
					best, most = at, n
				}
			}
			if best < 0 || count >= size {
				continue
			}
			i := groups[g][best]
			groups[g] = slices.Delete(groups[g], best, best+1)
			chosen[i] = true
			count += len(all[i].targets)
			for _, trait := range traits(&all[i]) {
				seen[trait] = true
			}
		}
	}
	front, rest := make([]home, 0, len(all)), make([]home, 0, len(all))
	for i := range all {
		if chosen[i] {
			front = append(front, all[i])
		} else {
			rest = append(rest, all[i])
		}
	}
	return append(front, rest...)
}

func fuels(h *home) (text string) {
	for i := range h.targets {
		text += h.targets[i].Type.String() + " "
	}
	return text
}

// traits are what a canary should show: claims, sources, identities, models.
func traits(h *home) (list []string) {
	for i := range h.targets {
		t := &h.targets[i]
		list = append(list, "claimed "+t.Claimed.String(), "source "+t.Source, "identity "+t.Originator.String(), "model "+t.Carried[ColumnModel])
	}
	return list
}

// news counts the traits of a home that are not seen yet.
func news(h *home, seen map[string]bool) (n int) {
	for _, trait := range traits(h) {
		if !seen[trait] {
			n++
		}
	}
	return n
}

// checkWaves checks that the waves cover so many targets, each once and in order.
func (h *Header) checkWaves(targets int) error {
	next := 1
	for _, w := range h.Waves {
		if !(w.Settled >= 0 && w.Settled <= 1) {
			return fmt.Errorf("wave %q: settled: %v: want 0 to 1", w.Name, w.Settled)
		}
		if w.First != next || w.Count < 1 || w.Name == "" || !(w.SoakSeconds >= 0) || w.SoakSeconds > longestSoak.Seconds() {
			return fmt.Errorf("wave %q: not a whole wave that begins at target %d", w.Name, next)
		}
		for _, rule := range w.Abort {
			if err := check(rule); err != nil {
				return fmt.Errorf("wave %q: %w", w.Name, err)
			}
		}
		next += w.Count
	}
	if next != targets+1 {
		return fmt.Errorf("the waves end at target %d of %d", next-1, targets)
	}
	return nil
}

const longestSoak = 7 * 24 * time.Hour

func check(r record.AbortRule) error {
	switch {
	case !slices.Contains(record.AbortClasses, r.Class):
		return fmt.Errorf("abort: class %q: want one of %q", r.Class, record.AbortClasses)
	case !(r.Ratio > 0 && r.Ratio <= 1):
		return fmt.Errorf("abort: ratio of %s: %v: want over 0 to 1", r.Class, r.Ratio)
	case r.MinSample < 1:
		return fmt.Errorf("abort: min_sample of %s: %d: want 1 or more", r.Class, r.MinSample)
	case r.Action != record.AbortPause && r.Action != record.AbortHalt:
		return fmt.Errorf("abort: action of %s: %q: want pause or halt", r.Class, r.Action)
	}
	return nil
}
