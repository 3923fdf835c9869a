package sweep

import (
	"fmt"
	"time"

	"go.uber.org/zap"

	"safemode/engine/ledger"
	"safemode/engine/record"
)

// Wave is a number of meters, next to each other in the plan, that are given commands together.
// Reads do not wait for waves.
type Wave struct {
	Name    string
	Meters  int           // how many, after those of the wave before
	Settled float64       // the share of its meters that must be settled; 0: all, of both fuels
	Soak    time.Duration // time from then until the next wave begins
	Abort   []record.AbortRule
}

// waves are the plan's waves; fixed once [Machine.Replay] has returned.
type waves struct {
	all    []*wave
	begun  int     // number of the wave that began last; 0: none yet
	capped []int32 // urgent homes that wait because of the cap on early homes, by their places in the plan
}

// wave is the state of one wave.
type wave struct {
	Wave
	waveState
	number  int
	early   int     // meters that may be given commands although it has not begun: see cap
	waiting []int32 // places in the plan of the meters that may be given commands when it begins
}

// waveState is the part of a wave that the state keeps.
type waveState struct {
	State     string              `json:"state"`
	Since     time.Time           `json:"since"`
	Sizes     [2]int              `json:"meters"`           // that belong to it, by fuel
	Unsettled [2]int              `json:"unsettled"`        // meters without a verdict that are not in long retries either
	Waived    bool                `json:"waived,omitempty"` // an operator has judged its outcomes
	Sample    [record.Classes]int `json:"sample"`           // requests that count for its abort rules, by class
}

// waive has the abort rules count only outcomes from now on.
func (w *wave) waive() {
	w.Waived = true
	clear(w.Sample[:])
}

// broken returns the first abort rule that is broken, and how. At the end of a wave a sample
// that is too small breaks a rule, too.
func (w *wave) broken(end bool) (record.AbortRule, string) {
	total := 0
	for _, n := range w.Sample {
		total += n
	}
	for _, rule := range w.Abort {
		class, _ := record.ParseClass(rule.Class)
		n := w.Sample[class]
		switch {
		case total >= rule.MinSample && float64(n) > rule.Ratio*float64(total):
			return rule, fmt.Sprintf("%s: %d of %d requests ended %s, more than %.0f %%", w.Name, n, total, rule.Class, 100*rule.Ratio)
		case end && total < rule.MinSample && !w.Waived:
			return rule, fmt.Sprintf("%s: %d requests have ended, too few to tell: want %d", w.Name, total, rule.MinSample)
		}
	}
	return record.AbortRule{}, ""
}

// newWaves makes the plan's waves, empty.
func newWaves(plan []Wave) (w waves) {
	for i, one := range plan {
		w.all = append(w.all, &wave{Wave: one, number: i + 1})
	}
	if len(w.all) == 0 {
		w.all = []*wave{{Wave: Wave{Name: "all"}, number: 1}}
	}
	return w
}

// of returns a meter's wave.
func (w *waves) of(m *meter) *wave { return w.all[m.wave-1] }

// join adds a meter to a wave.
func (w *waves) join(m *meter, into *wave) {
	m.wave = into.number
	into.Sizes[m.fuel()]++
	into.Unsettled[m.fuel()]++
}

// size is how many meters a wave has, of both fuels.
func (w *wave) size() int { return w.Sizes[0] + w.Sizes[1] }

// left is how many of its meters are not settled.
func (w *wave) left() int { return w.Unsettled[0] + w.Unsettled[1] }

// hasBegun says whether a meter's wave has begun.
func (w *waves) hasBegun(m *meter) bool { return w.of(m).State != "" }

// gates says whether the next wave waits for this meter's wave.
func (w *waves) gates(m *meter) bool {
	of := w.of(m)
	return of.State == record.WaveOpened && of.number < len(w.all)
}

// whole says whether a meter goes through all stages as soon as it begins: one of the first of
// several waves, from which the others learn.
func (w *waves) whole(m *meter) bool { return m.wave == 1 && len(w.all) > 1 && w.hasBegun(m) }

// early is how many meters may be given commands although their waves have not begun.
func (w *waves) early() (n int) {
	for _, one := range w.all[w.begun:] {
		n += one.early
	}
	return n
}

// cap is how many early meters there may be: as many as the wave that begins next has. So the
// meters with commands are never more than the begun waves, and one more, contain.
func (w *waves) cap() int { return record.EarlyCapOf(len(w.all), w.begun, w.sizeAt) }

// commandable is how many meters may have got a command by now.
func (w *waves) commandable() int { return record.CapOf(len(w.all), w.begun, w.sizeAt) }

func (w *waves) sizeAt(i int) int { return w.all[i].size() }

// current is the wave that began last, nil before the first.
func (w *waves) current() *wave {
	if w.begun == 0 {
		return nil
	}
	return w.all[w.begun-1]
}

// settled says whether the current wave is settled, and another waits for it.
func (w *waves) settled() bool {
	one := w.current()
	return one != nil && one.State == record.WaveOpened && one.number < len(w.all) && one.settled()
}

// settled says whether enough of the wave's meters are settled. Electricity does not wait for
// gas, because gas meters sleep.
func (w *wave) settled() bool {
	if w.Settled == 0 {
		return w.left() == 0
	}
	fuel := 0
	if w.Sizes[fuel] == 0 {
		fuel = 1
	}
	return float64(w.Unsettled[fuel]) <= (1-w.Settled)*float64(w.Sizes[fuel])
}

// is sets the state of a wave.
func (w *waves) is(number int, state string, at time.Time) {
	one := w.all[number-1]
	one.State, one.Since = state, at
	w.begun = max(w.begun, number)
}

// sample counts a request for the abort rules of its wave. A late answer takes back a request
// that was counted as silent.
func (w *waves) sample(m *meter, was, is record.Class) {
	of := w.of(m)
	if was != record.ClassOpen && of.Sample[was] > 0 {
		of.Sample[was]--
	}
	if is != record.ClassWithdrawn {
		of.Sample[is]++
	}
}

// sort gives every meter its wave, in the plan's order. Meters beyond all waves belong to the
// last.
func (s *Machine) sort() {
	if len(s.waves.all) > 0 {
		return
	}
	s.waves = newWaves(s.o.Waves)
	all := s.waves.all
	at, left := 0, all[0].Meters
	for number := range int32(s.store.size()) {
		for left <= 0 && at < len(all)-1 {
			at++
			left = all[at].Meters
		}
		left--
		s.waves.join(s.meter(number), all[at])
		s.sleepSome()
	}
}

// advanceWave begins the next wave when the one before has passed.
func (s *Machine) advanceWave() {
	w := s.waves.current()
	if w == nil {
		s.beginWave(s.waves.all[0])
		return
	}
	if rule, reason := w.broken(false); reason != "" {
		s.abort(rule, reason)
		return
	}
	if w.number == len(s.waves.all) {
		return
	}
	if s.waves.settled() {
		s.turnWave(w, record.WaveSoaking)
	}
	switch w.State {
	case record.WavePassed: // a start found that nothing more of it was durable
		s.beginWave(s.waves.all[w.number])
		return
	case record.WaveSoaking:
	default:
		return
	}
	if soaked := w.Since.Add(w.Soak); s.now.Before(soaked) {
		s.diary.wakeAt(soaked)
		return
	}
	if rule, reason := w.broken(true); reason != "" {
		s.abort(rule, reason)
		return
	}
	s.turnWave(w, record.WavePassed)
	s.beginWave(s.waves.all[w.number])
}

// abort pauses or halts the sweep, as the broken rule says.
func (s *Machine) abort(rule record.AbortRule, reason string) {
	if rule.Action == record.AbortHalt {
		s.stop(record.HaltWave, reason, nil)
		return
	}
	s.pauseBy(record.CauseWave, scope{}, reason)
}

// beginWave allows commands to the meters of a wave.
func (s *Machine) beginWave(w *wave) {
	s.turnWave(w, record.WaveOpened)
	s.pace.from = pace{at: s.now, done: s.counts.done}
	for _, number := range w.waiting {
		if s.waitsFor(number, ledger.Commanding) {
			s.lineUpToAct(s.meter(number))
		}
		s.sleepSome()
	}
	w.waiting = nil
	capped := s.waves.capped
	s.waves.capped = nil
	for _, number := range capped {
		m := s.meter(number)
		m.capped = false
		s.schedule(m, s.now)
	}
}

// turnWave journals a new state of a wave.
func (s *Machine) turnWave(w *wave, state string) {
	s.waves.is(w.number, state, s.now)
	body := record.WaveBody{Wave: w.number, Name: w.Name, Meters: w.size()}
	s.write(record.Record{At: s.now, Kind: record.Wave, Code: state, Body: record.Encode(body)})
	s.log.Info("wave", zap.String("wave", w.Name), zap.String("state", state))
}

// noteWait notes why a meter waits. A meter that waits, or has its verdict, is settled for its
// wave. noteWait returns when to look again.
func (s *Machine) noteWait(m *meter) time.Time {
	is, until := s.o.Policy.WaitOf(m.Meter, s.now)
	if is != m.wait {
		s.counts.waiting[m.wait]--
		s.counts.waiting[is]++
		m.wait = is
		for _, r := range m.Open {
			s.reckon(of(r))
		}
		if is == ledger.WaitStuck {
			s.sayStuck(m)
		}
	}
	if !m.settled && (m.Done || is != ledger.NotWaiting) {
		m.settled = true
		s.waves.of(m).Unsettled[m.fuel()]--
	}
	return until
}

// sayStuck writes a verdict, for the journal and reports, of a meter that has told nothing new
// for too long. The sweep goes on trying it.
func (s *Machine) sayStuck(m *meter) {
	v := s.o.Policy.Conclude(m.Meter)
	if v.Verdict != record.VerdictUnknown && v.Verdict != record.VerdictNotSafe {
		return
	}
	v.Reason = record.ReasonStuck + v.Reason
	s.writeVerdict(m, v)
}

// spendRetry counts a signed request, if it is a retry. When the budget is used up nothing is
// retried any more: a request without an answer then ends without one.
func (s *Machine) spendRetry(r *ledger.Request) {
	if !r.Retry {
		return
	}
	s.counts.retries++
	s.o.Policy.RetriesSpent = s.o.RetryBudget > 0 && s.counts.retries >= s.o.RetryBudget
}
