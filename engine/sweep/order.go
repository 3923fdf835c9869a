package sweep

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"safemode/engine/ledger"
	"safemode/engine/record"
	"safemode/servicerequests"
)

// ErrOrder marks an order that cannot be carried out.
var ErrOrder = errors.New("order refused")

// atOnce is how many devices of an order one step takes. The next step takes the following
// ones, so that neither answers nor other orders wait for a list of all meters.
const atOnce = 1000

// order checks an order and gives it, in parts if it names many devices. Each part is
// an order of its own in the journal; the answer comes when all parts are journalled.
func (s *Machine) order(e Order) {
	o := e.Body
	o.Devices = append(slices.Clone(o.Devices), s.judged(o.Verdict)...)
	switch err := s.checkOrder(o); {
	case err != nil:
		s.emit(Answer{e.Ticket, fmt.Errorf("%w: %w", ErrOrder, err)})
	case len(o.Devices) > atOnce:
		s.run.parts = append(s.run.parts, Order{e.Ticket, o})
	default:
		s.give(o)
		s.emit(Answer{e.Ticket, nil})
	}
}

// givePart gives the next part of the first order that is not given as a whole.
func (s *Machine) givePart() {
	if len(s.run.parts) == 0 {
		return
	}
	first := &s.run.parts[0]
	part := first.Body
	n := min(atOnce, len(part.Devices))
	part.Devices, first.Body.Devices = part.Devices[:n:n], part.Devices[n:]
	s.give(part)
	if len(first.Body.Devices) == 0 {
		s.emit(Answer{first.Ticket, nil})
		s.run.parts = slices.Delete(s.run.parts, 0, 1)
	}
}

// give journals an order that was checked, and applies it.
func (s *Machine) give(o record.OrderBody) {
	s.record(o)
	s.run.renewed = s.real
	s.apply(o, s.now)
	at := scopeOf(o)
	switch o.Action {
	case record.OrderPause:
		s.recall(func(r *request) bool { return at.covers(r.m.Plan.Region, r.m.wave, r.Service) })
	case record.OrderStop:
		s.giveStop(o, at)
	case record.OrderHandover:
		s.run.stopping, s.run.handsOver = true, true
	case record.OrderResume, record.OrderRenew:
		s.goOn()
	case record.OrderExclude, record.OrderSuppress:
		s.leaveAlone(o.Devices)
	case record.OrderRerun:
		s.unpark()
		s.lookAt(o.Devices)
	case record.OrderDeleted:
		if s.quarantine.requests[o.Reference] != nil {
			s.deleted(o.Reference)
		}
	case record.OrderCease:
		s.recall(func(*request) bool { return true })
	}
}

// giveStop has the sweep begin nothing more in a scope.
func (s *Machine) giveStop(o record.OrderBody, at scope) {
	switch {
	case at == scope{}:
		s.run.stopping = true
		if o.Now {
			s.recall(func(*request) bool { return true })
			s.emit(Cut{})
		}
	case o.Now:
		s.withdraw(at)
	}
}

// leaveAlone has nothing more sent to meters: it withdraws requests that wait, and recalls
// those that workers have.
func (s *Machine) leaveAlone(devices []servicerequests.EUI) {
	for _, eui := range devices {
		m := s.find(eui)
		if m == nil {
			continue
		}
		for _, open := range slices.Clone(m.Open) {
			switch r := of(open); {
			case r.Phase.Working():
				s.emit(Recall{r.permit})
			case r.Phase.Waits() || r.Phase == ledger.Behind || r.Phase == ledger.Resting:
				s.end(r, withdrawal(r), "", nil)
			}
		}
		if !m.Started.IsZero() {
			s.look(m)
		}
		s.sleepSome()
	}
}

// lookAt looks at meters that have begun.
func (s *Machine) lookAt(devices []servicerequests.EUI) {
	for _, eui := range devices {
		if m := s.find(eui); m != nil && !m.Started.IsZero() {
			s.look(m)
		}
		s.sleepSome()
	}
}

// judged lists the meters with a verdict.
func (s *Machine) judged(verdict string) (devices []servicerequests.EUI) {
	if verdict == "" {
		return nil
	}
	for number := range int32(s.store.size()) {
		if h := s.store.head(number); h.done && verdicts[h.verdict] == verdict {
			devices = append(devices, h.device)
		}
	}
	return devices
}

// record journals an order.
func (s *Machine) record(o record.OrderBody) {
	s.write(record.Record{At: s.now, Kind: record.Operator, Code: o.Action, Body: record.Encode(o)})
	s.log.Info("order", zap.String("action", o.Action), zap.Stringer("scope", scopeOf(o)), zap.String("by", o.By), zap.String("reason", o.Reason))
}

// checkOrder returns what is wrong with an order.
func (s *Machine) checkOrder(o record.OrderBody) error {
	scopes := 0
	for _, set := range [...]bool{o.Region != servicerequests.UnknownRegion, o.Wave != 0, o.SRV != ""} {
		if set {
			scopes++
		}
	}
	at := scopeOf(o)
	switch {
	case o.By == "":
		return errors.New("nobody gives it")
	case scopes > 1:
		return errors.New("want one of region, wave and SRV")
	case o.SRV != "" && at.service == 0:
		return fmt.Errorf("SRV %q is not in the permitted set", o.SRV)
	case o.Wave < 0 || o.Wave > len(s.waves.all):
		return fmt.Errorf("wave %d: the plan has %d", o.Wave, len(s.waves.all))
	}
	switch o.Action {
	case record.OrderPause, record.OrderStop, record.OrderRenew:
	case record.OrderHandover:
		if at != (scope{}) {
			return errors.New("a handover is of the whole sweep")
		}
	case record.OrderResume:
		if !slices.ContainsFunc(s.pauses.all, func(h pause) bool { return scopeOf(h.order) == at }) {
			return errors.New(s.nothingToResume(at))
		}
		if refs := s.toDelete(); len(refs) > 0 && at.service == servicerequests.ArmSupply {
			return fmt.Errorf("the DCC still holds back arming that rests on old reads: have it deleted and say so, deleted --reference %s", strings.Join(refs[:min(len(refs), 20)], ", "))
		}
	case record.OrderRerun:
		if o.Reason == "" || len(o.Devices) == 0 {
			return errors.New("a rerun needs a reason, and meters of this plan")
		}
		return s.checkPlanned(o.Devices)
	case record.OrderExclude, record.OrderSuppress:
		if len(o.Devices) == 0 {
			return errors.New("it names no device")
		}
	case record.OrderDeleted:
		if _, late := s.quarantine.overdue[o.Reference]; !late && s.quarantine.requests[o.Reference] == nil {
			return fmt.Errorf("no request is in quarantine under event reference %q", o.Reference)
		}
	case record.OrderCease:
		if o.Reference == "" {
			return errors.New("a cease notice has a reference")
		}
	case record.OrderGoOn:
		if o.Reference == "" || o.Reason == "" || at != (scope{}) {
			return errors.New("the next supplier's wish to go on has a reference and a reason, and is of the whole sweep")
		}
	default:
		return fmt.Errorf("action %q is not known", o.Action)
	}
	return nil
}

func (s *Machine) nothingToResume(at scope) string {
	text := at.String() + " is not paused"
	for _, h := range s.pauses.all {
		text += fmt.Sprintf("; %v is: %s", scopeOf(h.order), h.order.Reason)
	}
	return text
}

func (s *Machine) checkPlanned(devices []servicerequests.EUI) error {
	for _, eui := range devices {
		if len(s.store.at.of(eui)) == 0 {
			return fmt.Errorf("%v is not planned", eui)
		}
	}
	return nil
}

// apply changes the sweep's state by an order, when it is given and when the journal
// is replayed.
func (s *Machine) apply(o record.OrderBody, at time.Time) {
	scoped := scopeOf(o)
	switch o.Action {
	case record.OrderPause:
		s.pauses.add(o, at)
		if o.Cause == record.CauseStranger {
			s.applyStranger(o)
		}
	case record.OrderStop:
		if scoped != (scope{}) { // a stop of the whole sweep ends the run it was given to
			s.pauses.add(o, at)
		}
	case record.OrderResume:
		s.lift(at, func(h pause) bool { return scopeOf(h.order) == scoped })
	case record.OrderRenew:
		s.lift(at, func(h pause) bool { return h.order.Cause == record.CauseRenewal })
	case record.OrderRerun:
		for _, eui := range o.Devices {
			if m := s.find(eui); m != nil && (m.Bars.Excluded == "" || m.Bars.Moved) {
				s.reopen(m)
				m.Rerun(at)
			}
			s.sleepSome()
		}
	case record.OrderTransfers:
		s.applyTransfers(o)
	case record.OrderExclude, record.OrderSuppress:
		reason := "suppressed"
		if o.Action == record.OrderExclude {
			reason = record.ReasonTransferred + " (" + o.By + ")"
		}
		if o.Cause == record.CauseTransfer {
			reason = o.Reason
			s.applyLeave(o)
		}
		for _, eui := range o.Devices {
			if m := s.find(eui); m != nil {
				m.Exclude(reason)
			}
			s.sleepSome()
		}
	case record.OrderDeleted:
		delete(s.quarantine.overdue, o.Reference)
	case record.OrderCease:
		s.run.ceased = o.Reference
	case record.OrderAccept: // given while no sweep runs
		s.run.lost = true
		s.forget()
	}
}

// lift ends pauses. If one was an abort rule's, the operator has judged the outcomes that the
// rule counted, and it counts from zero. While the whole sweep was paused no answers could
// come, so that time does not count as silence.
func (s *Machine) lift(at time.Time, which func(pause) bool) {
	was := s.pauses.whole()
	s.pauses.all = slices.DeleteFunc(s.pauses.all, func(h pause) bool {
		if !which(h) {
			return false
		}
		if h.order.Cause == record.CauseWave {
			s.waves.all[min(s.waves.begun, len(s.waves.all))-1].waive()
		}
		return true
	})
	if !was || s.pauses.whole() {
		return
	}
	for number := range int32(s.store.size()) {
		if h := s.store.head(number); h.begun && rankOf(verdicts[h.verdict]) == 0 {
			s.meter(number).Heard = at
			s.sleepSome()
		}
	}
}

// goOn goes on after pauses: all meters that have begun are looked at again.
func (s *Machine) goOn() {
	s.unpark()
	if s.pauses.whole() {
		return
	}
	for number := range int32(s.store.size()) {
		if h := s.store.head(number); h.begun && !h.done {
			s.schedule(s.meter(number), s.now)
		}
	}
}

// pauseBy pauses a scope for a cause of the sweep's own.
func (s *Machine) pauseBy(cause string, at scope, reason string) {
	o := record.OrderBody{Cause: cause, Region: at.region, Wave: at.wave, Reason: reason}
	if at.service != 0 {
		o.SRV = at.service.SRV()
	}
	s.pauseWith(o)
}

// pauseWith is pauseBy with the order as it is to be written.
func (s *Machine) pauseWith(o record.OrderBody) {
	o.Action, o.By = record.OrderPause, record.BySweep
	at := scopeOf(o)
	s.record(o)
	s.apply(o, s.now)
	s.recall(func(r *request) bool { return at.covers(r.m.Plan.Region, r.m.wave, r.Service) })
	if s.o.StandIn == "" {
		return
	}
	o.Action, o.By, o.Cause, o.Reason, o.Reference = record.OrderResume, s.o.StandIn, "", "nobody is there to judge it", ""
	s.record(o)
	s.apply(o, s.now)
	s.goOn()
}

// withdraw ends the requests of a scope that wait and have not reached the DCC, and recalls
// those that workers have. Requests that are still needed are made again later.
func (s *Machine) withdraw(at scope) {
	covered := func(r *request) bool { return at.covers(r.m.Plan.Region, r.m.wave, r.Service) }
	s.recall(covered)
	for _, number := range slices.Sorted(maps.Keys(s.store.awake)) {
		m := s.store.awake[number]
		s.store.markDirty(m)
		for _, open := range slices.Clone(m.Open) {
			r := of(open)
			if !r.Phase.Waits() || r.Reached || !covered(r) {
				continue
			}
			s.end(r, record.ClassWithdrawn, "", nil)
			s.schedule(m, s.now) // it is decided again, and its new requests wait
		}
	}
}

// watchOperator pauses the sweep if no operator has renewed in time.
func (s *Machine) watchOperator() {
	if s.o.DeadMan <= 0 || s.pauses.whole() || s.real.Sub(s.run.renewed) <= s.o.DeadMan || !s.run.begun {
		return
	}
	s.pauseBy(record.CauseRenewal, scope{}, fmt.Sprintf("no operator has renewed for %v: safemode renew", s.o.DeadMan))
}

// ceaseNow ends the sweep for good: every meter without a verdict gets one, by what is known of
// it.
func (s *Machine) ceaseNow() {
	for number := range int32(s.store.size()) {
		if m := s.store.awake[number]; s.store.head(number).done && (m == nil || len(m.Open) == 0) {
			continue
		}
		m := s.meter(number)
		for _, open := range slices.Clone(m.Open) {
			r := of(open)
			class := silence(r)
			if !r.Reached && r.Phase != ledger.Sent && r.Phase != ledger.Quarantined {
				class = record.ClassWithdrawn
			}
			s.end(r, class, "", nil)
		}
		if !m.Done {
			s.conclude(m)
		}
		s.sleepSome()
	}
}
