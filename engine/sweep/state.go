package sweep

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"safemode/engine/record"
	"safemode/servicerequests"
)

// stateVersion is the version of the rows: after another program version the records are
// replayed.
const stateVersion = 8

// snapshot is the first row of the state: everything that does not belong to one meter. The
// other rows are the store's blocks.
//
// The state follows from the records up to Through, without those that workers and the inbox
// had written and the machine did not know yet: these come after From, or are among the
// messages that are not judged.
type snapshot struct {
	Version     int                   `json:"version"`
	Settings    string                `json:"settings"` // digest of what records are replayed by
	Through     uint64                `json:"through"`
	From        uint64                `json:"from"`
	Unjudged    []uint64              `json:"unjudged,omitempty"`
	At          time.Time             `json:"at"`
	Meters      int                   `json:"meters"`
	Originators []servicerequests.EUI `json:"originators"`

	Wave     int            `json:"wave"`
	Waves    []waveState    `json:"waves"`
	Holds    []pause        `json:"holds,omitempty"`
	Ceased   string         `json:"ceased,omitempty"`
	Overdue  []overdueState `json:"overdue,omitempty"`
	Retries  int            `json:"retries"`
	Services []classState   `json:"services"`

	Contact [2]record.Contact  `json:"first_contact"` // by fuel
	Radius  record.BlastRadius `json:"blast_radius"`

	Headroom []windowState `json:"headroom,omitempty"`
	Spent    []windowState `json:"spent,omitempty"`

	Given     []givenState          `json:"given,omitempty"`
	Lost      bool                  `json:"lost,omitempty"`
	Homes     []record.Transfer     `json:"transfers,omitempty"`
	Told      []servicerequests.EUI `json:"told,omitempty"`
	Transfers record.TransferCounts `json:"transfer_counts,omitzero"`
}

type (
	overdueState struct {
		Reference string                    `json:"reference"`
		ID        servicerequests.RequestID `json:"request_id"`
	}
	classState struct {
		Service servicerequests.Service `json:"service"`
		Classes [record.Classes]int     `json:"classes"`
	}
)

// Keep returns the rows of the state that have changed since the last call, so that a start
// need not read all records. through is the number of the last record that was queued. Up to
// record from the machine knows everything that workers and the inbox have written. unjudged
// are stored messages that no record marks as judged.
func (s *Machine) Keep(through, from uint64, unjudged []uint64) ([]record.StateRow, error) {
	s.sleepIdle()
	st := snapshot{
		Version: stateVersion, Settings: s.settings(), Through: through, From: min(from, through), Unjudged: unjudged, At: s.now,
		Meters: s.store.size(), Originators: s.store.originators,
		Wave: s.waves.begun, Ceased: s.run.ceased, Retries: s.counts.retries,
		Contact: s.counts.contact, Radius: s.counts.radius.Most, Holds: s.pauses.all,
	}
	for _, w := range s.waves.all {
		st.Waves = append(st.Waves, w.waveState)
	}
	for _, ref := range slices.Sorted(maps.Keys(s.quarantine.overdue)) {
		st.Overdue = append(st.Overdue, overdueState{ref, s.quarantine.overdue[ref]})
	}
	for _, service := range slices.Sorted(maps.Keys(s.counts.services)) {
		st.Services = append(st.Services, classState{service, *s.counts.services[service]})
	}
	st.Headroom, st.Spent = s.budgets.states()
	for _, o := range s.o.Originators {
		if g := s.given[o]; g.First != 0 || g.Strange != 0 {
			st.Given = append(st.Given, g.givenState)
		}
	}
	t := &s.transfers
	st.Lost, st.Told, st.Transfers = s.run.lost, slices.Sorted(maps.Keys(t.told)), t.TransferCounts
	for _, device := range slices.Sorted(maps.Keys(t.listed)) {
		st.Homes = append(st.Homes, t.listed[device])
	}
	first, err := json.Marshal(st)
	if err != nil {
		return nil, err
	}
	rows := []record.StateRow{{Row: 0, Value: first}}
	for _, block := range s.store.takeChanged() {
		rows = append(rows, record.StateRow{Row: int(block) + 1, Value: s.store.block(block)})
	}
	return rows, nil
}

// settings is a digest of the options on which a replay depends. If another run has other
// ones, the records are replayed.
func (s *Machine) settings() string {
	p := s.o.Policy
	p.Permits, p.RetriesSpent = nil, false
	suppressed := slices.Sorted(maps.Keys(s.o.Suppressed))
	sum := sha256.Sum256(fmt.Appendf(nil, "%+v\n%v\n%+v\n%+v", p, suppressed, s.o.Waves, s.o.Thresholds))
	return hex.EncodeToString(sum[:])
}

// ErrState says that a kept state cannot be used. The records can.
var ErrState = errors.New("the kept state does not fit")

// planned lists the meters in order.
func (r *store) planned() iter.Seq[record.PlannedMeter] {
	return func(yield func(record.PlannedMeter) bool) {
		for i := range r.heads {
			h := &r.heads[i]
			if !yield(record.PlannedMeter{Device: h.device, Hub: h.hub, Originator: r.originators[h.originator], Type: h.kind, Region: h.region}) {
				return
			}
		}
	}
}

// Restore takes up the state that a journal keeps, in place of the records from which it
// follows. [Machine.Replay] then needs the records from the number that Restore returns. It is
// called before Replay or not at all. After an error, which wraps [ErrState], the machine is
// unchanged.
func (s *Machine) Restore(rows []record.StateRow) (from uint64, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("%w: %w", ErrState, err)
			s.store = newStore()
		}
	}()
	if len(rows) == 0 {
		return 0, errors.New("it is empty")
	}
	var st snapshot
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
		if s.counters[o] == nil {
			return 0, fmt.Errorf("no identity is configured for originator %v", o)
		}
	}
	waves := newWaves(s.o.Waves)
	if len(waves.all) != len(st.Waves) || st.Wave < 0 || st.Wave > len(waves.all) || st.From > st.Through {
		return 0, fmt.Errorf("wave %d of %d, the plan has %d", st.Wave, len(st.Waves), len(waves.all))
	}
	if err := s.store.restore(st.Originators, st.Meters, rows[1:]); err != nil {
		return 0, err
	}
	if s.o.Fits != nil {
		if err := s.o.Fits(s.store.planned()); err != nil {
			return 0, err
		}
	}
	s.waves, s.waves.begun = waves, st.Wave
	for i, w := range st.Waves {
		s.waves.all[i].waveState = w
	}
	s.replay.through, s.replay.waiting, s.replay.storeFirst = st.Through, st.Unjudged, true
	s.run.ceased, s.counts.retries = st.Ceased, st.Retries
	s.o.Policy.RetriesSpent = s.o.RetryBudget > 0 && s.counts.retries >= s.o.RetryBudget
	s.run.lost = st.Lost
	for i := range s.store.heads {
		if h := &s.store.heads[i]; h.exposed {
			s.counts.radius.Enter(h.hub, st.At, s.waves.commandable())
		}
	}
	s.counts.contact, s.counts.radius.Most = st.Contact, st.Radius
	for _, g := range st.Given {
		if into := s.given[g.Originator]; into != nil {
			into.givenState = g
		}
	}
	s.applyTransfers(record.OrderBody{Transfers: st.Homes})
	for _, device := range st.Told {
		s.transfers.told[device] = struct{}{}
	}
	s.transfers.TransferCounts = st.Transfers
	s.pauses.all = st.Holds
	for _, late := range st.Overdue {
		s.quarantine.overdue[late.Reference] = late.ID
	}
	for _, c := range st.Services {
		s.counts.services[c.Service] = &c.Classes
		for class, n := range c.Classes {
			s.counts.classes[class] += n
		}
	}
	for _, w := range st.Headroom {
		if into := s.budgets.headroom[w.Service]; into != nil {
			into.slots = w.slots
		}
	}
	for _, w := range st.Spent {
		s.respend(w, st.At)
	}
	return st.From + 1, nil
}
