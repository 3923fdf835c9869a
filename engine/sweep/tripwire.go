package sweep

import (
	"errors"
	"fmt"

	"safemode/engine/record"
	"safemode/servicerequests"
	"safemode/servicerequests/ring"
)

// Tripwires stop the sweep at a run of bad answers. Only proven messages of the DCC count. The
// zero value is off.
type Tripwires struct {
	// Unregistered halts if the DCC says of unrelated homes that the supplier is
	// not registered (E4): its market participant IDs have moved.
	Unregistered Tripwire
	// Unverified halts if messages that the DCC has signed cannot be proven.
	Unverified Tripwire
}

// Tripwire trips when, of the last Window answers, at least Minimum are of its kind,
// and they are Ratio of them or more. Window 0 is off.
type Tripwire struct {
	Window  int
	Minimum int // of E4: different homes
	Ratio   float64
}

// tripwires are the windows of the tripwires, and which has tripped.
type tripwires struct {
	unregistered, unverified recentAnswers
	tripped                  string // which; empty: none has
	rejected                 int    // POSTs in a row that the DCC refused by HTTP status
}

// Codes of [record.Tripwire] records.
const (
	tripUnregistered = "unregistered"
	tripUnverified   = "unverified"
)

// recentAnswers is the sliding window of one tripwire.
type recentAnswers struct {
	Tripwire
	seen ring.Ring[answer]
}

func recentAnswersOf(t Tripwire) recentAnswers {
	return recentAnswers{t, ring.Ring[answer]{Most: t.Window}}
}

// answer is one that a tripwire has seen.
type answer struct {
	bad         bool
	device, hub servicerequests.EUI // that it is about; 0: none
}

// tripped takes in an answer and says whether it trips, with the bad ones, of how
// many there are.
func (w *recentAnswers) tripped(a answer) (bad []answer, yes bool) {
	if w.Window <= 0 {
		return nil, false
	}
	if w.seen.Add(a); !a.bad {
		return nil, false
	}
	for _, a := range w.seen.All() {
		if a.bad {
			bad = append(bad, a)
		}
	}
	return bad, len(bad) >= w.Minimum && float64(len(bad)) >= w.Ratio*float64(w.seen.Len())
}

// watchRegistration takes in whether the DCC accepted a request, or said that the
// supplier is not registered. A run of E4 halts the sweep: no retry is spent on it,
// and the meters that got one are asked again.
func (s *Machine) watchRegistration(m *meter, unregistered bool) {
	bad, yes := s.tripwires.unregistered.tripped(answer{unregistered, m.Device, m.Plan.Hub})
	homes, named := map[servicerequests.EUI]bool{}, map[servicerequests.EUI]bool{}
	var devices []servicerequests.EUI
	for _, a := range bad {
		homes[a.hub] = true
		if !named[a.device] {
			named[a.device] = true
			devices = append(devices, a.device)
		}
	}
	if !yes || len(homes) < s.tripwires.unregistered.Minimum || s.tripwires.tripped != "" {
		return
	}
	s.trip(tripUnregistered, record.TripwireBody{Devices: devices, Reason: fmt.Sprintf(
		"%d of the last %d answers, of %d homes, say that the supplier is not registered (E4): its market participant IDs have moved",
		len(bad), s.tripwires.unregistered.seen.Len(), len(homes))})
}

// watchProof takes in whether a message of the DCC was proven.
func (s *Machine) watchProof(proven bool) {
	if bad, yes := s.tripwires.unverified.tripped(answer{bad: !proven}); yes && s.tripwires.tripped == "" {
		s.trip(tripUnverified, record.TripwireBody{Reason: fmt.Sprintf(
			"%d of the last %d messages of the DCC cannot be proven", len(bad), s.tripwires.unverified.seen.Len())})
	}
}

// trip halts the sweep.
func (s *Machine) trip(which string, body record.TripwireBody) {
	s.write(record.Record{At: s.now, Kind: record.Tripwire, Code: which, Body: record.Encode(body)})
	s.tripwires.tripped = which
	for _, eui := range body.Devices {
		s.clear(s.find(eui))
	}
	s.stop(record.HaltTripwire, "tripwire: "+body.Reason, nil)
	if which == tripUnregistered {
		s.emit(Moved{errors.New(body.Reason)})
	}
}

// clear takes back that a meter is another supplier's, if the E4 that said so was one of a run.
func (s *Machine) clear(m *meter) {
	if m == nil || !m.Bars.Moved {
		return
	}
	s.reopen(m)
	m.LiftExclusion()
}
