package sweep

import (
	"fmt"
	"time"

	"go.uber.org/zap"

	"safemode/engine/record"
	"safemode/servicerequests"
)

// Wave is a run of meters, in the plan's order, that is taken in as one.
type Wave struct {
	Name   string
	Meters int           // how many, from where the wave before ends
	Soak   time.Duration // from when its meters are settled to when the next wave opens
	Abort  []AbortRule
}

// AbortRule holds a wave where, of at least MinSample first tries that have ended,
// more than Ratio are of Class. A wave that ends with fewer has shown nothing, and is
// held too.
type AbortRule struct {
	Class     string // as the journal has it
	Ratio     float64
	MinSample int
	Halt      bool // end the sweep; else pause it
}

// wave is how far a wave has come.
type wave struct {
	Wave
	number    int
	meters    int // that belong to it
	unsettled int // meters without a verdict that are not in long retries either
	state     string
	since     time.Time
	waived    bool               // an operator has judged what it has shown
	sample    [Withdrawn + 1]int // requests that show something of it, by class
	waiting   []int32            // places in the plan of those that begin when it opens
}

// waive has the abort rules judge only what comes from now on.
func (w *wave) waive() {
	w.waived = true
	clear(w.sample[:])
}

// total is the size of the sample.
func (w *wave) total() (n int) {
	for _, in := range w.sample {
		n += in
	}
	return n
}

// broken is the first abort rule that does not hold, and why. At the end of a wave
// the sample must be there, too.
func (w *wave) broken(end bool) (AbortRule, string) {
	total := w.total()
	for _, rule := range w.Abort {
		class, _ := parseClass(rule.Class)
		n := w.sample[class]
		switch {
		case total >= rule.MinSample && float64(n) > rule.Ratio*float64(total):
			return rule, fmt.Sprintf("%s: %d of %d requests ended %s, more than %.0f %%", w.Name, n, total, rule.Class, 100*rule.Ratio)
		case end && total < rule.MinSample && !w.waived:
			return rule, fmt.Sprintf("%s: %d requests have ended, too few to tell: want %d", w.Name, total, rule.MinSample)
		}
	}
	return AbortRule{}, ""
}

// sort gives every meter its wave, in the plan's order. What the waves leave over
// belongs to the last.
func (s *Sweep) sort() {
	if len(s.waves) > 0 {
		return
	}
	s.waves = s.wavesOf()
	at, left := 0, s.waves[0].Meters
	for seat := range int32(s.roll.size) {
		for left <= 0 && at < len(s.waves)-1 {
			at++
			left = s.waves[at].Meters
		}
		left--
		s.join(s.meter(seat), s.waves[at])
		s.settleSome()
	}
}

// wavesOf makes the plan's waves, empty.
func (s *Sweep) wavesOf() (waves []*wave) {
	for i, w := range s.o.Waves {
		waves = append(waves, &wave{Wave: w, number: i + 1})
	}
	if len(waves) == 0 {
		waves = []*wave{{Wave: Wave{Name: "all"}, number: 1}}
	}
	return waves
}

// join makes a meter a wave's.
func (s *Sweep) join(m *meter, w *wave) {
	if m.wave != 0 {
		from := s.waves[m.wave-1]
		from.meters--
		from.unsettled-- // only what has not begun is moved
	}
	m.wave = w.number
	w.meters++
	w.unsettled++
}

// current is the wave that opened last, nil before the first.
func (s *Sweep) current() *wave {
	if s.wave == 0 {
		return nil
	}
	return s.waves[s.wave-1]
}

// tend opens the next wave when the one before has passed.
func (s *Sweep) tend(now time.Time) {
	w := s.current()
	if w == nil {
		s.openWave(s.waves[0], now)
		return
	}
	if rule, reason := w.broken(false); reason != "" {
		s.abort(rule, reason)
		return
	}
	if w.number == len(s.waves) {
		return
	}
	if w.state == record.WaveOpened && w.unsettled == 0 {
		s.turnWave(w, record.WaveSoaking, now)
	}
	if w.state != record.WaveSoaking {
		return
	}
	if soaked := w.since.Add(w.Soak); now.Before(soaked) {
		s.wakeAt(soaked)
		return
	}
	if rule, reason := w.broken(true); reason != "" {
		s.abort(rule, reason)
		return
	}
	s.turnWave(w, record.WavePassed, now)
	s.openWave(s.waves[w.number], now)
}

// abort does what a rule that does not hold is there for.
func (s *Sweep) abort(rule AbortRule, reason string) {
	if rule.Halt {
		s.stop(reason, nil)
		return
	}
	s.pauseBy(record.CauseWave, scope{}, reason)
}

// openWave lets a wave's meters begin.
func (s *Sweep) openWave(w *wave, now time.Time) {
	s.turnWave(w, record.WaveOpened, now)
	s.from = pace{at: now, done: s.done}
	for _, seat := range w.waiting {
		if h := s.roll.head(seat); h.wave == w.number { // it was not moved into another wave
			s.takeOn(seat, h)
		}
	}
	w.waiting = nil
}

// turnWave journals how far a wave has come.
func (s *Sweep) turnWave(w *wave, state string, now time.Time) {
	s.waveIs(w.number, state, now)
	body := record.WaveBody{Wave: w.number, Name: w.Name, Meters: w.meters}
	s.o.Journal.Append(record.Record{At: now, Kind: record.Wave, Code: state, Body: record.Encode(body)})
	s.log.Info("wave", zap.String("wave", w.Name), zap.String("state", state))
}

// waveIs folds how far a wave has come.
func (s *Sweep) waveIs(number int, state string, at time.Time) {
	w := s.waves[number-1]
	w.state, w.since = state, at
	s.wave = max(s.wave, number)
}

// samples says whether how a request ended shows something of its wave: a meter's
// first read to end, and its first command of each service. So no meter counts for
// many. 2.5 does not count, because that it is refused is expected, nor do a balance
// and an inventory, which others than the meter may answer.
func (m *meter) samples(service servicerequests.Service, attempt int, class Class) bool {
	switch service {
	case servicerequests.SwitchToCredit, servicerequests.ArmSupply:
		return attempt == 1
	case servicerequests.ReadSupplyStatus, servicerequests.ReadPaymentMode:
		first := attempt == 1 && !m.sampled && class != Withdrawn
		m.sampled = m.sampled || first
		return first
	}
	return false
}

// sample counts a request that shows something of its wave. A late answer takes back
// what was counted as silence.
func (s *Sweep) sample(m *meter, was, is Class) {
	w := s.waves[m.wave-1]
	if was != Open && w.sample[was] > 0 {
		w.sample[was]--
	}
	if is != Withdrawn {
		w.sample[is]++
	}
}

// hasten moves a home whose alert says that its credit is at an end, and whose wave has
// not opened, into the one that is open or opens next; not into the first, whose
// meters were chosen.
func (s *Sweep) hasten(m *meter) {
	into := max(s.wave, 2)
	if m.wave <= into || into > len(s.waves) || !m.started.IsZero() || m.done {
		return
	}
	s.join(m, s.waves[into-1])
	if !s.begun { // begin puts it where it belongs
		return
	}
	if s.waves[into-1].state == "" {
		s.waves[into-1].waiting = append(s.waves[into-1].waiting, m.seat)
		return
	}
	s.takeOn(m.seat, m.head())
}
