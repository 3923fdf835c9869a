package sweeptest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/google/go-cmp/cmp"

	"safemode/engine/ledger"
	"safemode/engine/record"
	"safemode/servicerequests"
)

// merge puts rows over those before them.
func merge(before, changed []record.StateRow) []record.StateRow {
	rows := slices.Clone(before)
	for _, row := range changed {
		rows = put(rows, row)
	}
	return rows
}

// Story is what kept rows tell, for comparison.
type Story struct {
	Sweep  map[string]string
	Meters map[string]Snapshot
}

// Snapshot is what the rows tell of one meter.
type Snapshot struct {
	Mode, Supply, Balance, Excluded, Person, Alarm, Verdict string
	Found, Tallies, Past                                    []string
	Last                                                    []string          // how the last request of each service ended
	Open                                                    map[string]string // half, phase, bytes and event by request
	Pending, Accepted                                       bool
}

// notKnown is how a reading is shown that is not there.
const notKnown = "not known"

// block is how many meters are in one row.
const block = 16

// tell reads a story out of rows. It is of a machine that has been given records and does
// not run.
func tell(rows []record.StateRow) (Story, error) {
	story := Story{map[string]string{}, map[string]Snapshot{}}
	var first map[string]json.RawMessage
	if err := json.Unmarshal(rows[0].Value, &first); err != nil {
		return story, err
	}
	for _, name := range [...]string{"settings", "meters", "originators", "wave", "holds", "ceased", "overdue"} {
		story.Sweep[name] = string(first[name])
	}
	// Retries are left out: a half that a worker had when a late answer came may count as one or
	// not, by the order of its record and the answer's outcome. Long retries are left out, too:
	// only a running machine knows them.
	var waves []map[string]any
	if err := json.Unmarshal(first["waves"], &waves); err != nil {
		return story, err
	}
	for i := range waves {
		delete(waves[i], "unsettled")
	}
	story.Sweep["waves"] = fmt.Sprint(waves)
	// The journal has no record of a request that was withdrawn before it had a counter.
	var services []struct {
		Service servicerequests.Service
		Classes [record.Classes]int
	}
	if err := json.Unmarshal(first["services"], &services); err != nil {
		return story, err
	}
	for _, s := range services {
		s.Classes[record.ClassWithdrawn] = 0
		if s.Classes != ([record.Classes]int{}) {
			story.Sweep["services"] += fmt.Sprint(s.Service, s.Classes, " ")
		}
	}
	var meters int
	if err := json.Unmarshal(first["meters"], &meters); err != nil {
		return story, err
	}
	for i, row := range rows[1:] {
		c := ledger.Reader(row.Value)
		for range min(block, meters-i*block) {
			m, err := readMeter(c)
			if err != nil {
				return story, fmt.Errorf("row %d: %w", row.Row, err)
			}
			story.Meters[m.Device.String()] = stand(m)
		}
		if err := c.End(); err != nil {
			return story, fmt.Errorf("row %d: %w", row.Row, err)
		}
	}
	return story, nil
}

// readMeter reads a head and the ledger behind it.
func readMeter(c *ledger.Coder) (*ledger.Meter, error) {
	var euis [3]uint64
	for i := range euis {
		c.Fixed(&euis[i])
	}
	var of [7]byte
	for i := range of {
		c.Byte(&of[i])
	}
	var wave uint64
	c.Uint(&wave)
	var flags [8]bool
	c.Flags(&flags[0], &flags[1], &flags[2], &flags[3], &flags[4], &flags[5], &flags[6], &flags[7])
	var exposed, claimed, former bool
	if c.Flags(&exposed, &claimed, &former); former {
		c.Fixed(new(uint64))
	}
	var due int64
	c.Int(&due)
	var packed []byte
	c.Raw(&packed)
	m := &ledger.Meter{Device: servicerequests.EUI(euis[0]), Proxy: servicerequests.EUI(euis[2]), ProxyClaimed: claimed, Plan: ledger.Plan{Type: servicerequests.DeviceType(of[0])}}
	return m, m.Unpack(packed)
}

func stand(m *ledger.Meter) Snapshot {
	s := Snapshot{
		Mode: show(m.Now.Mode), Supply: show(m.Now.Supply), Balance: show(m.Now.Balance),
		Found:    []string{show(m.Found.Mode), show(m.Found.Supply), show(m.Found.Balance)},
		Excluded: m.Bars.Excluded, Person: m.Bars.Person, Pending: m.Pending, Accepted: m.CreditAccepted,
		Open:  map[string]string{},
		Alarm: fmt.Sprint(m.Alarm.Below, m.Alarm.Suspended, m.Taken), Verdict: m.Verdict.Verdict + ": " + m.Verdict.Reason,
	}
	for service, t := range m.Tallies {
		s.Tallies = append(s.Tallies, fmt.Sprint(servicerequests.Service(service), t.Tries, t.Answers, t.Failures, t.Barred, t.Next.UnixNano()))
		s.Last = append(s.Last, fmt.Sprint(t.Last, " ", t.Code))
	}
	for _, r := range m.Open {
		s.Open[fmt.Sprintf("%v %v try %d half %d", r.Service, r.ID, r.Attempt, r.Half)] = fmt.Sprint(r.Phase, " ", r.Event, " ", string(r.Body))
	}
	for _, p := range m.Past {
		s.Past = append(s.Past, fmt.Sprint(p))
	}
	slices.Sort(s.Past)
	return s
}

func show[T any](r ledger.Reading[T]) string {
	if !r.Known() {
		return notKnown
	}
	return fmt.Sprint(r.Value, " ", r.Counter, " ", r.At.UnixNano())
}

// Keeper is a machine that keeps its state.
type Keeper interface {
	Keep(through, from uint64, unjudged []uint64) ([]record.StateRow, error)
}

// StoryOf reads a machine's story. before are the rows that it was restored from.
func StoryOf(s Keeper, before []record.StateRow) (Story, error) {
	changed, err := s.Keep(0, 0, nil)
	if err != nil {
		return Story{}, err
	}
	return tell(merge(before, changed))
}

// Alike says where the state of the journal tells another story than its records; nil if
// there is none. replay gives the journal to a new machine, from a state on if rows are given,
// and returns the messages that are not judged.
func (w *World) Alike(replay func(rows []record.StateRow) (Keeper, []uint64, error)) error {
	rows := w.Disk.Rows()
	if rows == nil {
		return nil
	}
	var stories [2]Story
	var waiting [2][]uint64
	for i, from := range [][]record.StateRow{nil, rows} {
		s, unjudged, err := replay(from)
		if err != nil {
			return err
		}
		waiting[i] = unjudged
		if stories[i], err = StoryOf(s, from); err != nil {
			return err
		}
	}
	if !slices.Equal(waiting[0], waiting[1]) {
		return fmt.Errorf("by the records %v are not judged, by the state %v", waiting[0], waiting[1])
	}
	Level(stories[0], stories[1])
	if diff := cmp.Diff(stories[0], stories[1]); diff != "" {
		return fmt.Errorf("the state tells another story than the records (-records +state):\n%s", diff)
	}
	return nil
}

// Level removes from two stories what one may know and the other need not. replayed comes from
// the records alone, other from a machine that ran, or from a state and the records since. An
// answer that came while a worker was signing may count as found only in the journal's order of
// events; so the records may know more of what was found, never less. For a request that the
// DCC may have, and has not acknowledged, the records say that the same bytes are sent again;
// a machine that has given up sending them waits.
func Level(replayed, other Story) {
	for device, l := range other.Meters {
		for i, found := range l.Found {
			if found == notKnown && len(replayed.Meters[device].Found) > i {
				replayed.Meters[device].Found[i] = found
			}
		}
		for i, last := range l.Last {
			// The journal has no record of a request that was withdrawn before it had a counter.
			if also := replayed.Meters[device].Last; strings.HasPrefix(last, record.ClassWithdrawn.String()) && len(also) > i {
				also[i] = last
			}
		}
		for id, phase := range l.Open {
			if also := replayed.Meters[device].Open; strings.HasPrefix(also[id], "ready ") && strings.HasPrefix(phase, "sent ") {
				also[id] = phase
			}
		}
	}
}
