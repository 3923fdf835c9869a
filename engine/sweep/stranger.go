package sweep

import (
	"fmt"

	"go.uber.org/zap"

	"safemode/engine/record"
	"safemode/servicerequests"
	"safemode/servicerequests/duis"
)

// given has the originator counters of one originator that the journal has given out.
type given struct {
	givenState
	begun uint64 // the first that this run has reserved; 0: none yet
}

// givenState is the part that the state keeps.
type givenState struct {
	Originator servicerequests.EUI `json:"originator"`
	First      uint64              `json:"first"` // 0: none yet
	Highest    uint64              `json:"highest"`
	Strange    uint64              `json:"strange,omitempty"` // the highest that another system was seen to use; 0: none
}

// gaveOut notes that the counter of a request is in the journal.
func (s *Machine) gaveOut(rec *record.Record) {
	g := s.given[rec.ID.Originator]
	if g == nil || rec.Kind != record.Request {
		return
	}
	if g.First == 0 || rec.ID.Counter < g.First {
		g.First = rec.ID.Counter
	}
	g.Highest = max(g.Highest, rec.ID.Counter)
}

// applyStranger notes that another system's counter was seen.
func (s *Machine) applyStranger(o record.OrderBody) {
	if id, err := servicerequests.ParseRequestID(o.Reference); err == nil && s.given[id.Originator] != nil {
		g := s.given[id.Originator]
		g.Strange = max(g.Strange, id.Counter)
	}
}

// watchStranger checks whether a proven message names a counter of ours that the journal has
// not given out. If so, another system sends under this identity. The two would use the same
// counters, and meters refuse commands with a counter that is not above the last.
//
// A device's alert of a future dated command names the counter of that command, which the
// failed supplier may have left there long before. It counts only if it is as new as this
// journal.
func (s *Machine) watchStranger(h Heard) {
	switch {
	case h.Alert != nil:
		if f := h.Alert.FutureDated; f != nil && h.Message != nil {
			id := servicerequests.RequestID{Originator: h.Message.Target, Target: h.Device, Counter: f.Counter}
			if g := s.given[id.Originator]; g != nil && g.First != 0 && id.Counter >= g.First {
				s.judgeCounter(id)
			}
		}
	case h.DCCAlert != nil:
		s.judgeCounter(requestOf(h.DCCAlert.Event))
	case h.Signed:
		s.judgeCounter(h.ID)
	}
}

// requestOf is the request that a DCC Alert names; zero: none.
func requestOf(e duis.Event) servicerequests.RequestID {
	switch e := e.(type) {
	case duis.CommandFailure:
		return e.Request
	case duis.QuarantinedRequest:
		return e.Request
	case duis.ChangeOfSupplier:
		return e.Request
	case duis.VersionMismatch:
		return e.Request
	}
	return servicerequests.RequestID{}
}

// judgeCounter pauses the sweep if a counter of ours is not from this journal. A person who
// resumes it has judged that: only a higher counter pauses it again.
func (s *Machine) judgeCounter(id servicerequests.RequestID) {
	g := s.given[id.Originator]
	if g == nil || id.Counter == 0 {
		return
	}
	if m := s.asker(id); m != nil && (m.PendingWith(id) != nil || m.PastWith(id) != nil) {
		return
	}
	switch within := g.First != 0 && id.Counter >= g.First && id.Counter <= g.Highest; {
	case id.Target == s.o.DCC && within: // a request for the inventory
		return
	case s.run.lost && (g.begun == 0 || id.Counter < g.begun): // the journal is an older copy: nobody knows what the newer one gave out
		return
	}
	s.metrics.strangers.Inc()
	if id.Counter <= g.Strange {
		return
	}
	floor := floorAbove(max(id.Counter, g.Highest))
	reason := fmt.Sprintf("another system sends under %v: a message of the DCC names counter %d (request %v), which this journal did not give out: freeze that system, then resume; for a new journal a counter_floor of %d would be safe",
		id.Originator, id.Counter, id, floor)
	s.log.Error("a stranger uses our originator", zap.Stringer("originator", id.Originator), zap.Uint64("counter", id.Counter),
		zap.Stringer("request_id", id), zap.Uint64("safe_counter_floor", floor))
	s.pauseWith(record.OrderBody{Cause: record.CauseStranger, Reason: reason, Reference: id.String()})
}

// floorAbove is a counter far enough above one that was used, for another system that will be
// frozen soon: a million above, a quarter of an hour of counters in milliseconds.
func floorAbove(counter uint64) uint64 {
	const room = 1_000_000
	return min(counter+room, servicerequests.MaxCounter)
}
