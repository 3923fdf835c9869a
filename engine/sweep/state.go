package sweep

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"safemode/engine/journal"
	"safemode/engine/proof"
	"safemode/engine/record"
	"safemode/servicerequests"
)

// Keeper keeps, in the journal, what follows from its records, so that a start need
// not read them all again. Only the dispatcher calls Keep; Last is the number of the
// last record that was queued.
type Keeper interface {
	Last() uint64
	Keep(at time.Time, rows []journal.StateRow)
}

// stateVersion is of the rows: another program's are folded anew.
const stateVersion = 3

// standing is the first row of the state: all that is not one meter's. The other rows
// are the roll's blocks.
//
// The state is what follows from the records up to Through, but for those that workers
// and the inbox had written and the dispatcher had not heard of: they come after From.
type standing struct {
	Version     int                   `json:"version"`
	Settings    string                `json:"settings"` // digest of what records are folded by
	Through     uint64                `json:"through"`
	From        uint64                `json:"from"`
	At          time.Time             `json:"at"`
	Meters      int                   `json:"meters"`
	Originators []servicerequests.EUI `json:"originators"`

	Wave     int            `json:"wave"`
	Waves    []waveState    `json:"waves"`
	Holds    []holdState    `json:"holds,omitempty"`
	Ceased   string         `json:"ceased,omitempty"`
	Overdue  []overdueState `json:"overdue,omitempty"`
	Retries  int            `json:"retries"`
	Services []classState   `json:"services"`
	Headroom []windowState  `json:"headroom,omitempty"`
	Spent    []windowState  `json:"spent,omitempty"`
}

type (
	waveState struct {
		State     string             `json:"state"`
		Since     time.Time          `json:"since"`
		Meters    int                `json:"meters"`
		Unsettled int                `json:"unsettled"`
		Waived    bool               `json:"waived,omitempty"`
		Sample    [Withdrawn + 1]int `json:"sample"`
	}
	holdState struct {
		Order record.OrderBody `json:"order"`
		At    time.Time        `json:"at"`
	}
	overdueState struct {
		Reference string                    `json:"reference"`
		ID        servicerequests.RequestID `json:"request_id"`
	}
	classState struct {
		Service servicerequests.Service `json:"service"`
		Classes [Withdrawn + 1]int      `json:"classes"`
	}
	// windowState is what was sent of a service in the trailing period of its threshold.
	windowState struct {
		Originator servicerequests.EUI     `json:"originator,omitempty"`
		Service    servicerequests.Service `json:"service"`
		Signed     bool                    `json:"signed,omitempty"`
		Newest     int64                   `json:"newest"`
		Slots      [61]int                 `json:"slots"`
	}
)

// arrivals are the messages that the inbox has in hand: their records may be durable
// before the dispatcher hears of them.
type arrivals struct {
	mu   sync.Mutex
	from map[uint64]uint64 // by arrival: the last record that was queued before it
	next uint64
}

// arrival is a message for the dispatcher. When it has been acted on, done is called.
type arrival struct {
	proof.Delivery
	done func()
}

func (s *Sweep) arrive() (done func()) {
	if s.o.State == nil {
		return func() {}
	}
	a := &s.arrivals
	a.mu.Lock()
	defer a.mu.Unlock()
	a.next++
	number := a.next
	a.from[number] = s.o.State.Last()
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.from, number)
	}
}

// Receive takes in an answer or alert that is proven: it makes its record durable, and
// hands it to the dispatcher. It may be called from many goroutines, and waits while the
// dispatcher is behind. After Run has ended the journal has the message, and the next
// run takes it from there. After an error the DCC has to send it again.
func (s *Sweep) Receive(ctx context.Context, r record.Record, d proof.Delivery) error {
	done := s.arrive()
	if err := s.o.Journal.Commit(ctx, r); err != nil {
		done()
		return err
	}
	select {
	case s.deliveries <- arrival{d, done}:
	case <-s.ended:
	}
	return nil
}

// Disbelieve takes in that the DCC signed a message about a request that is not
// believed all the same: it makes the record durable. The request goes on waiting for a
// better one, a while. It may be called from many goroutines.
func (s *Sweep) Disbelieve(ctx context.Context, r record.Record, id servicerequests.RequestID) error {
	done := s.arrive()
	if err := s.o.Journal.Commit(ctx, r); err != nil {
		done()
		return err
	}
	select {
	case s.control <- func() { s.unproven(id, s.now()); done() }:
	case <-s.ended:
	}
	return nil
}

// keepState keeps the state now and then, and at the end of a run.
func (s *Sweep) keepState(last bool) {
	if s.o.State == nil || s.o.Journal.Err() != nil || !last && time.Since(s.kept) < s.o.StateEvery {
		return
	}
	s.settle()
	through := s.o.State.Last()
	if through == s.keptThrough {
		return
	}
	first, err := json.Marshal(s.standing(through))
	if err != nil { // no value of it is one that JSON cannot hold
		s.log.Error("the state cannot be kept: the next start reads all records", zap.Error(err))
		return
	}
	rows := []journal.StateRow{{Row: 0, Value: first}}
	changed := s.roll.takeChanged()
	for _, block := range changed {
		rows = append(rows, journal.StateRow{Row: int(block) + 1, Value: s.roll.block(block)})
	}
	s.o.State.Keep(s.now(), rows)
	s.kept = time.Now()
	s.keptThrough = s.o.State.Last()
}

// standing is the first row, as of now.
func (s *Sweep) standing(through uint64) standing {
	st := standing{
		Version: stateVersion, Settings: s.settings(), Through: through, From: s.heard(through), At: s.now(),
		Meters: s.roll.size, Originators: s.roll.originators,
		Wave: s.wave, Ceased: s.ceased, Retries: s.retries,
	}
	for _, w := range s.waves {
		st.Waves = append(st.Waves, waveState{w.state, w.since, w.meters, w.unsettled, w.waived, w.sample})
	}
	for _, h := range s.holds {
		st.Holds = append(st.Holds, holdState{h.order, h.at})
	}
	for _, ref := range slices.Sorted(maps.Keys(s.overdue)) {
		st.Overdue = append(st.Overdue, overdueState{ref, s.overdue[ref]})
	}
	for service, classes := range s.services {
		st.Services = append(st.Services, classState{service, *classes})
	}
	for service, w := range s.headroom {
		st.Headroom = append(st.Headroom, windowState{Service: service, Newest: w.newest, Slots: w.slots})
	}
	for b, w := range s.spent {
		st.Spent = append(st.Spent, windowState{b.originator, b.service, b.signed, w.newest, w.slots})
	}
	slices.SortFunc(st.Services, func(a, b classState) int { return cmp.Compare(a.Service, b.Service) })
	return st
}

// heard is the number of the record up to which the dispatcher has heard of all.
func (s *Sweep) heard(through uint64) uint64 {
	for _, m := range s.roll.awake {
		for _, r := range m.open {
			if r.working {
				through = min(through, r.from)
			}
		}
	}
	s.arrivals.mu.Lock()
	defer s.arrivals.mu.Unlock()
	for _, from := range s.arrivals.from {
		through = min(through, from)
	}
	return through
}

// settings is a digest of all that records are folded by and that another run may
// have otherwise: then they are folded anew.
func (s *Sweep) settings() string {
	p := s.o.Policy
	p.Permits, p.retriesSpent = nil, false
	suppressed := make([]servicerequests.EUI, 0, len(s.o.Suppressed))
	for eui := range s.o.Suppressed {
		suppressed = append(suppressed, eui)
	}
	slices.Sort(suppressed)
	sum := sha256.Sum256(fmt.Appendf(nil, "%+v\n%v\n%+v\n%+v", p, suppressed, s.o.Waves, s.o.Thresholds))
	return hex.EncodeToString(sum[:])
}

// ErrState says that a kept state cannot be gone on with. The records can.
var ErrState = errors.New("the kept state does not fit")

// Restore takes up the state that a journal keeps, in place of the records that it
// follows from: [Sweep.Replay] then needs those from the one that it returns on. It is
// called before Replay or not at all. After an error, which wraps [ErrState], the sweep
// is as if it had not been called.
func (s *Sweep) Restore(rows []journal.StateRow) (from uint64, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("%w: %w", ErrState, err)
			s.roll = newRoll()
		}
	}()
	if len(rows) == 0 {
		return 0, errors.New("it is empty")
	}
	var st standing
	if err := json.Unmarshal(rows[0].Value, &st); err != nil {
		return 0, err
	}
	switch {
	case st.Version != stateVersion:
		return 0, fmt.Errorf("version %d, this program has %d", st.Version, stateVersion)
	case st.Settings != s.settings():
		return 0, errors.New("the settings have changed since")
	}
	for _, o := range st.Originators {
		if s.o.Counters[o] == nil {
			return 0, fmt.Errorf("no identity is configured for originator %v", o)
		}
	}
	if err := s.roll.restore(st.Originators, st.Meters, rows[1:]); err != nil {
		return 0, err
	}
	waves := s.wavesOf()
	if len(waves) != len(st.Waves) || st.Wave < 0 || st.Wave > len(waves) || st.From > st.Through {
		return 0, fmt.Errorf("wave %d of %d, the plan has %d", st.Wave, len(st.Waves), len(waves))
	}
	s.waves = waves
	for i, w := range st.Waves {
		into := s.waves[i]
		into.state, into.since, into.meters, into.unsettled, into.waived, into.sample = w.State, w.Since, w.Meters, w.Unsettled, w.Waived, w.Sample
	}
	s.wave, s.through, s.ceased, s.retries = st.Wave, st.Through, st.Ceased, st.Retries
	s.o.Policy.retriesSpent = s.o.RetryBudget > 0 && s.retries >= s.o.RetryBudget
	for _, h := range st.Holds {
		s.holds = append(s.holds, hold{h.Order, h.At})
		s.paused = s.paused || scopeOf(h.Order) == scope{}
	}
	for _, late := range st.Overdue {
		s.overdue[late.Reference] = late.ID
	}
	for _, c := range st.Services {
		s.services[c.Service] = &c.Classes
		for class, n := range c.Classes {
			s.classes[class] += n
		}
	}
	for _, w := range st.Headroom {
		if into := s.headroom[w.Service]; into != nil {
			into.newest, into.slots = w.Newest, w.Slots
		}
	}
	for _, w := range st.Spent {
		s.respend(w, st.At)
	}
	return st.From + 1, nil
}

// respend tells the pacer what was sent in the trailing period, as late as it may have
// been: no period then holds more than its threshold.
func (s *Sweep) respend(kept windowState, until time.Time) {
	l := Leave{Originator: kept.Originator, Service: kept.Service, Signed: kept.Signed}
	w := s.spending(l)
	if w == nil {
		return
	}
	w.newest, w.slots = kept.Newest, kept.Slots
	for slot := w.newest - int64(len(w.slots)) + 1; slot <= w.newest; slot++ {
		if slot < 0 {
			continue
		}
		end := w.endOf(slot)
		if end.After(until) {
			end = until
		}
		for range w.slots[slot%int64(len(w.slots))] {
			s.o.Pacer.Spent(end, l)
		}
	}
}

// spendOf notes that a POST takes its place in a threshold.
func (s *Sweep) spendOf(l Leave, at time.Time) {
	if w := s.spending(l); w != nil {
		w.count(at)
	}
}

// spending is the window that a POST is counted in; nil where no threshold counts it.
func (s *Sweep) spending(l Leave) *window {
	t, ok := s.o.Thresholds[l.Service]
	if !ok {
		return nil
	}
	b := budget{l.Originator, l.Service, l.Signed}
	w := s.spent[b]
	if w == nil {
		w = &window{Threshold: t}
		s.spent[b] = w
	}
	return w
}
