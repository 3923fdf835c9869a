package sweep

import (
	"fmt"
	"slices"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"safemode/engine/record"
	"safemode/engine/sweep/sweeptest"
	"safemode/servicerequests"
)

// The world of package sweeptest by short names.
type (
	device = sweeptest.Device
	fate   = sweeptest.Fate
	piece  = sweeptest.Piece
	flight = sweeptest.Flight
	state  = sweeptest.State
)

const (
	ourEUI   = sweeptest.OurEUI
	otherEUI = sweeptest.OtherEUI

	taken      = sweeptest.Taken
	notWritten = sweeptest.NotWritten
	throttled  = sweeptest.Throttled
	lostBefore = sweeptest.LostBefore
	lostAfter  = sweeptest.LostAfter
	badStatus  = sweeptest.BadStatus
	badReply   = sweeptest.BadReply

	answered   = sweeptest.Answered
	twice      = sweeptest.Twice
	undeliv    = sweeptest.Undeliv
	noAnswer   = sweeptest.NoAnswer
	doneSilent = sweeptest.DoneSilent
	doneE21    = sweeptest.DoneE21
	doneLate   = sweeptest.DoneLate
	lost       = sweeptest.Lost
	refused    = sweeptest.Refused
	garbled    = sweeptest.Garbled

	to      = servicerequests.SwitchToCredit
	arm     = servicerequests.ArmSupply
	supply  = servicerequests.ReadSupplyStatus
	mode    = servicerequests.ReadPaymentMode
	balance = servicerequests.ReadMeterBalance
	credit  = servicerequests.Credit
	prepay  = servicerequests.Prepayment
)

var healthy, cutOff = sweeptest.Healthy, sweeptest.CutOff

// epoch is when the time of a driver begins.
var epoch = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)

// machineOf makes a machine for a world. alter may change its options.
func machineOf(w *sweeptest.World, alter func(*Options)) *Machine {
	o := Options{
		Policy: w.Policy, Pacer: sweeptest.Pacer{World: w}, Originators: []servicerequests.EUI{ourEUI, otherEUI}, DCC: sweeptest.DCCEUI,
		Suppressed: w.Suppressed, Workers: 2, InFlight: 100, PerHub: w.PerHub, Resend: time.Second, Resends: 3,
		Log: zap.NewNop(), Registerer: nowhereAtAll{},
	}
	if alter != nil {
		alter(&o)
	}
	return New(o)
}

// nowhereAtAll registers metrics nowhere: a registry of its own for each of a million
// machines would be most of the work.
type nowhereAtAll struct{}

func (nowhereAtAll) Register(prometheus.Collector) error  { return nil }
func (nowhereAtAll) MustRegister(...prometheus.Collector) {}
func (nowhereAtAll) Unregister(prometheus.Collector) bool { return true }

// replayOf gives a machine a world's journal, from a state on if rows are given.
func replayOf(w *sweeptest.World, rows []record.StateRow, alter func(*Options)) (s *Machine, unjudged []uint64, err error) {
	s = machineOf(w, alter)
	from := uint64(1)
	if rows != nil {
		if from, err = s.Restore(rows); err != nil {
			return s, nil, err
		}
	}
	unjudged, err = s.Replay(w.Disk.Records(from), w.Read)
	return s, unjudged, err
}

// tellAlike says where the state of a world's journal tells another story than its records;
// nil where it has none.
func tellAlike(w *sweeptest.World, alter func(*Options)) error {
	rows := w.Disk.Rows()
	if rows == nil {
		return nil
	}
	replayed, waiting, err := replayOf(w, nil, alter)
	if err != nil {
		return err
	}
	restored, also, err := replayOf(w, rows, alter)
	if err != nil {
		return err
	}
	if !slices.Equal(waiting, also) {
		return fmt.Errorf("by the records %v are not judged, by the state %v", waiting, also)
	}
	a, err := tell(replayed, nil)
	if err != nil {
		return err
	}
	b, err := tell(restored, rows)
	if err != nil {
		return err
	}
	sweeptest.Level(a, b)
	if diff := cmp.Diff(a, b); diff != "" {
		return fmt.Errorf("the state tells another story than the records (-records +state):\n%s", diff)
	}
	return nil
}

// tell reads a machine's story. before are the rows that it was restored from.
func tell(s *Machine, before []record.StateRow) (sweeptest.Story, error) {
	rows, err := s.Keep(0, 0, nil)
	if err != nil {
		return sweeptest.Story{}, err
	}
	return sweeptest.Tell(sweeptest.Merge(before, rows))
}

// ledger wakes the meter at a place in the plan.
func (s *Machine) ledger(head int) *meter { return s.meter(int32(head)) }

// ledgers wakes all.
func (s *Machine) ledgers() []*meter {
	var all []*meter
	for head := range s.store.size() {
		all = append(all, s.ledger(head))
	}
	return all
}

// openOf is the open request of a service, nil if there is none.
func (m *meter) openOf(service servicerequests.Service) *request {
	if r := m.PendingOf(service); r != nil {
		return of(r)
	}
	return nil
}
