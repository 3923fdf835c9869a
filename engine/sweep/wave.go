package sweep

import (
	"fmt"
	"time"

	"go.uber.org/zap"

	"safemode/engine/ledger"
	"safemode/engine/record"
)

// Wave is a run of meters, in the plan's order, that is given commands as one. Reads wait
// for no wave.
type Wave struct {
	Name    string
	Meters  int           // how many, from where the wave before ends
	Settled float64       // the share of its meters that must be settled; 0: all, of both fuels
	Soak    time.Duration // from when they are to when the next wave opens
	Abort   []record.AbortRule
}

// waves are the plan's waves; fixed once [Machine.Replay] has returned.
type waves struct {
	all    []*wave
	opened int     // number of the one that opened last; 0: none yet
	held   []int32 // urgent homes that the cap on early ones has held back, by their places in the plan
}

// wave is how far a wave has come.
type wave struct {
	Wave
	number    int
	meters    [2]int // that belong to it, by fuel
	unsettled [2]int // meters without a verdict that are not in long retries either
	early     int    // meters that may be given commands though it has not opened: see cap
	state     string
	since     time.Time
	waived    bool                // an operator has judged what it has shown
	counts    [record.Classes]int // requests that show something of it, by class
	waiting   []int32             // places in the plan of those that may be given commands when it opens
}

// waive has the abort rules judge only what comes from now on.
func (w *wave) waive() {
	w.waived = true
	clear(w.counts[:])
}

// broken is the first abort rule that does not hold, and why. At the end of a wave the
// sample must be there, too.
func (w *wave) broken(end bool) (record.AbortRule, string) {
	total := 0
	for _, n := range w.counts {
		total += n
	}
	for _, rule := range w.Abort {
		class, _ := record.ParseClass(rule.Class)
		n := w.counts[class]
		switch {
		case total >= rule.MinSample && float64(n) > rule.Ratio*float64(total):
			return rule, fmt.Sprintf("%s: %d of %d requests ended %s, more than %.0f %%", w.Name, n, total, rule.Class, 100*rule.Ratio)
		case end && total < rule.MinSample && !w.waived:
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

// of is a meter's wave.
func (w *waves) of(m *meter) *wave { return w.all[m.wave-1] }

// join makes a meter a wave's.
func (w *waves) join(m *meter, into *wave) {
	m.wave = into.number
	into.meters[m.fuel()]++
	into.unsettled[m.fuel()]++
}

// size is how many meters a wave has, of both fuels.
func (w *wave) size() int { return w.meters[0] + w.meters[1] }

// left is how many of its meters are not settled.
func (w *wave) left() int { return w.unsettled[0] + w.unsettled[1] }

// open says whether a meter's wave has opened.
func (w *waves) open(m *meter) bool { return w.of(m).state != "" }

// gates says whether the next wave waits for a meter's.
func (w *waves) gates(m *meter) bool {
	of := w.of(m)
	return of.state == record.WaveOpened && of.number < len(w.all)
}

// whole says whether a meter goes the whole way as soon as it begins: one of the first of
// several waves, from which the others are to learn.
func (w *waves) whole(m *meter) bool { return m.wave == 1 && len(w.all) > 1 && w.open(m) }

// early is how many homes' meters may be given commands though their waves have not opened.
func (w *waves) early() (n int) {
	for _, one := range w.all[w.opened:] {
		n += one.early
	}
	return n
}

// cap is how many those may be: as many as the wave that opens next has. So no more meters
// are ever given commands than the waves that are open and one more have.
func (w *waves) cap() int { return record.EarlyCapOf(len(w.all), w.opened, w.sizeAt) }

// commandable is how many meters may have been given a command by now.
func (w *waves) commandable() int { return record.CapOf(len(w.all), w.opened, w.sizeAt) }

func (w *waves) sizeAt(i int) int { return w.all[i].size() }

// current is the wave that opened last, nil before the first.
func (w *waves) current() *wave {
	if w.opened == 0 {
		return nil
	}
	return w.all[w.opened-1]
}

// settled says whether the open wave is, and another waits for it.
func (w *waves) settled() bool {
	one := w.current()
	return one != nil && one.state == record.WaveOpened && one.number < len(w.all) && one.settled()
}

// settled says whether enough of its meters are. Electricity does not wait for gas, which
// sleeps.
func (w *wave) settled() bool {
	if w.Settled == 0 {
		return w.left() == 0
	}
	fuel := 0
	if w.meters[fuel] == 0 {
		fuel = 1
	}
	return float64(w.unsettled[fuel]) <= (1-w.Settled)*float64(w.meters[fuel])
}

// is folds how far a wave has come.
func (w *waves) is(number int, state string, at time.Time) {
	one := w.all[number-1]
	one.state, one.since = state, at
	w.opened = max(w.opened, number)
}

// sample counts a request that shows something of its wave. A late answer takes back what
// was counted as silence.
func (w *waves) sample(m *meter, was, is record.Class) {
	of := w.of(m)
	if was != record.ClassOpen && of.counts[was] > 0 {
		of.counts[was]--
	}
	if is != record.ClassWithdrawn {
		of.counts[is]++
	}
}

// sort gives every meter its wave, in the plan's order. What the waves leave over belongs
// to the last.
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
		s.openWave(s.waves.all[0])
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
	switch w.state {
	case record.WavePassed: // a start found that nothing more of it was durable
		s.openWave(s.waves.all[w.number])
		return
	case record.WaveSoaking:
	default:
		return
	}
	if soaked := w.since.Add(w.Soak); s.now.Before(soaked) {
		s.diary.wakeAt(soaked)
		return
	}
	if rule, reason := w.broken(true); reason != "" {
		s.abort(rule, reason)
		return
	}
	s.turnWave(w, record.WavePassed)
	s.openWave(s.waves.all[w.number])
}

// abort does what a rule that does not hold is there for.
func (s *Machine) abort(rule record.AbortRule, reason string) {
	if rule.Action == record.AbortHalt {
		s.stop(record.HaltWave, reason, nil)
		return
	}
	s.pauseBy(record.CauseWave, scope{}, reason)
}

// openWave lets a wave's meters be given commands.
func (s *Machine) openWave(w *wave) {
	s.turnWave(w, record.WaveOpened)
	s.pace.from = pace{at: s.now, done: s.counts.done}
	for _, number := range w.waiting {
		if s.waitsFor(number, ledger.Commanding) {
			s.lineUpToAct(s.meter(number))
		}
		s.sleepSome()
	}
	w.waiting = nil
	held := s.waves.held
	s.waves.held = nil
	for _, number := range held {
		m := s.meter(number)
		m.held = false
		s.schedule(m, s.now)
	}
}

// turnWave journals how far a wave has come.
func (s *Machine) turnWave(w *wave, state string) {
	s.waves.is(w.number, state, s.now)
	body := record.WaveBody{Wave: w.number, Name: w.Name, Meters: w.size()}
	s.write(record.Record{At: s.now, Kind: record.Wave, Code: state, Body: record.Encode(body)})
	s.log.Info("wave", zap.String("wave", w.Name), zap.String("state", state))
}

// noteWait notes why a meter waits, and settles it for its wave where it does or has its
// verdict. It returns when to look again.
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
		s.waves.of(m).unsettled[m.fuel()]--
	}
	return until
}

// sayStuck puts into the journal, and so into reports, where a meter stands that nothing
// has been learnt of for too long. It goes on being tried.
func (s *Machine) sayStuck(m *meter) {
	v := s.o.Policy.Conclude(m.Meter)
	if v.Verdict != record.VerdictUnknown && v.Verdict != record.VerdictNotSafe {
		return
	}
	v.Reason = record.ReasonStuck + v.Reason
	s.writeVerdict(m, v)
}

// spendRetry counts a signed request, if it is a retry. When the budget is used up no more
// is retried: what has no answer then ends without one.
func (s *Machine) spendRetry(r *ledger.Request) {
	if !r.Retry {
		return
	}
	s.counts.retries++
	s.o.Policy.RetriesSpent = s.o.RetryBudget > 0 && s.counts.retries >= s.o.RetryBudget
}
