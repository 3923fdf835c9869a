package sweep

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"safemode/engine/record"
	"safemode/servicerequests"
)

// ErrOrder marks an order that cannot be carried out as it stands.
var ErrOrder = errors.New("order refused")

// ErrCeased says that a cease notice has ended the sweep for good.
var ErrCeased = errors.New("the sweep has ceased")

// Order carries out what a person orders. When it returns without an error the order
// holds, and is journalled with the person's name. An order that makes no sense
// wraps [ErrOrder]; after the end it is [ErrEnded].
func (s *Sweep) Order(ctx context.Context, o record.OrderBody) error {
	var refusal error
	if err := s.do(ctx, func() { refusal = s.give(o) }); err != nil {
		return err
	}
	if refusal != nil {
		return refusal
	}
	return s.o.Journal.Commit(ctx) // what was queued before is durable
}

// give checks an order, journals it and applies it.
func (s *Sweep) give(o record.OrderBody) error {
	o.Devices = append(slices.Clone(o.Devices), s.judged(o.Verdict)...)
	if err := s.checkOrder(o); err != nil {
		return fmt.Errorf("%w: %w", ErrOrder, err)
	}
	now := s.now()
	s.record(o, now)
	s.renewed = time.Now()
	s.apply(o, now)
	switch {
	case o.Action == record.OrderStop && scopeOf(o) == (scope{}):
		s.stopping = true
		if o.Now {
			s.cut()
		}
	case o.Action == record.OrderStop && o.Now:
		s.withdraw(scopeOf(o), now)
	case o.Action == record.OrderResume, o.Action == record.OrderRenew:
		s.goOn(now)
	case o.Action == record.OrderRerun, o.Action == record.OrderExclude, o.Action == record.OrderSuppress:
		s.unpark() // what became unwanted ends
		for _, eui := range o.Devices {
			if m := s.find(eui); m != nil && !m.started.IsZero() {
				s.look(m, now)
			}
			s.settleSome()
		}
	case o.Action == record.OrderDeleted && s.quarantined[o.Reference] != nil:
		s.deleted(o.Reference, now)
	}
	return nil
}

// judged lists the meters with a verdict.
func (s *Sweep) judged(verdict string) (devices []servicerequests.EUI) {
	for seat := range int32(s.roll.size) {
		if h := s.roll.head(seat); verdict != "" && h.done && h.verdict == verdict {
			devices = append(devices, h.device)
		}
	}
	return devices
}

// record journals an order.
func (s *Sweep) record(o record.OrderBody, now time.Time) {
	s.o.Journal.Append(record.Record{At: now, Kind: record.Operator, Code: o.Action, Body: record.Encode(o)})
	s.log.Info("order", zap.String("action", o.Action), zap.Stringer("scope", scopeOf(o)), zap.String("by", o.By), zap.String("reason", o.Reason))
}

// checkOrder says what is wrong with an order.
func (s *Sweep) checkOrder(o record.OrderBody) error {
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
	case o.Wave < 0 || o.Wave > len(s.waves):
		return fmt.Errorf("wave %d: the plan has %d", o.Wave, len(s.waves))
	}
	switch o.Action {
	case record.OrderPause, record.OrderStop, record.OrderRenew:
	case record.OrderResume:
		if !slices.ContainsFunc(s.holds, func(h hold) bool { return scopeOf(h.order) == at }) && !(at == scope{} && s.paused) {
			return errors.New(s.nothingToResume(at))
		}
		if refs := s.toDelete(s.now()); len(refs) > 0 && at.service == servicerequests.ArmSupply {
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
		if _, late := s.overdue[o.Reference]; !late && s.quarantined[o.Reference] == nil {
			return fmt.Errorf("no request is in quarantine under event reference %q", o.Reference)
		}
	case record.OrderCease:
		if o.Reference == "" {
			return errors.New("a cease notice has a reference")
		}
	default:
		return fmt.Errorf("action %q is not known", o.Action)
	}
	return nil
}

func (s *Sweep) nothingToResume(at scope) string {
	text := at.String() + " is not paused"
	for _, h := range s.holds {
		text += fmt.Sprintf("; %v is: %s", scopeOf(h.order), h.order.Reason)
	}
	return text
}

func (s *Sweep) checkPlanned(devices []servicerequests.EUI) error {
	for _, eui := range devices {
		if len(s.roll.at.of(eui)) == 0 {
			return fmt.Errorf("%v is not planned", eui)
		}
	}
	return nil
}

// apply folds an order into the sweep's state, when it is given and when the journal
// is replayed.
func (s *Sweep) apply(o record.OrderBody, at time.Time) {
	scoped := scopeOf(o)
	switch o.Action {
	case record.OrderPause:
		s.holds = append(s.holds, hold{o, at})
		s.paused = s.paused || scoped == scope{}
	case record.OrderStop:
		if scoped != (scope{}) { // a stop of the whole sweep ends the run it was given to
			s.holds = append(s.holds, hold{o, at})
		}
	case record.OrderResume:
		s.lift(func(h hold) bool { return scopeOf(h.order) == scoped })
	case record.OrderRenew:
		s.lift(func(h hold) bool { return h.order.Cause == record.CauseRenewal })
	case record.OrderRerun:
		for _, eui := range o.Devices {
			if m := s.find(eui); m != nil {
				s.reopen(m)
				m.rerun(at)
			}
			s.settleSome()
		}
	case record.OrderExclude, record.OrderSuppress:
		for _, eui := range o.Devices {
			// A verdict that is given stands: what was done for the meter stays known.
			if m := s.find(eui); m != nil && m.excluded == "" && m.verdict.Verdict == "" {
				m.excluded = "suppressed"
				if o.Action == record.OrderExclude {
					m.excluded = record.ReasonTransferred + " (" + o.By + ")"
				}
			}
		}
	case record.OrderDeleted:
		delete(s.overdue, o.Reference)
	case record.OrderCease:
		s.ceased = o.Reference
	case record.OrderAccept: // given while no sweep runs
		s.forget()
	}
}

// lift takes holds back. Where one was an abort rule's, the operator has judged what
// the rule has seen: it counts anew.
func (s *Sweep) lift(which func(hold) bool) {
	s.holds = slices.DeleteFunc(s.holds, func(h hold) bool {
		if !which(h) {
			return false
		}
		if h.order.Cause == record.CauseWave {
			s.waves[min(s.wave, len(s.waves))-1].waive()
		}
		return true
	})
	s.paused = slices.ContainsFunc(s.holds, func(h hold) bool { return h.whole() })
}

// goOn takes up what holds kept waiting.
func (s *Sweep) goOn(now time.Time) {
	s.unpark()
	if !s.paused {
		s.resume()
	}
}

// pauseBy pauses a scope for a cause of the sweep's own.
func (s *Sweep) pauseBy(cause string, at scope, reason string) {
	o := record.OrderBody{
		Action: record.OrderPause, By: record.BySweep, Cause: cause, Region: at.region, Wave: at.wave, Reason: reason,
	}
	if at.service != 0 {
		o.SRV = at.service.SRV()
	}
	now := s.now()
	s.record(o, now)
	s.apply(o, now)
	if s.o.StandIn == "" {
		return
	}
	o.Action, o.By, o.Cause, o.Reason = record.OrderResume, s.o.StandIn, "", "nobody is there to judge it"
	s.record(o, now)
	s.apply(o, now)
	s.goOn(now)
}

// withdraw ends what is queued of a scope and has not reached the DCC. What is still
// needed waits to be asked anew.
func (s *Sweep) withdraw(at scope, now time.Time) {
	for _, m := range s.roll.awake {
		for _, r := range slices.Clone(m.open) {
			if r.queued && !r.working && !r.reached && r.place != nowhere && at.covers(m.target.Region, m.wave, r.service) {
				s.lanes[m.target.Region].remove(r)
				s.end(r, Withdrawn, "", nil, now)
				if r.after {
					s.look(m, now)
				}
			}
		}
	}
}

// watchOperator pauses where no operator has renewed in time.
func (s *Sweep) watchOperator() {
	if s.o.DeadMan <= 0 || s.paused || time.Since(s.renewed) <= s.o.DeadMan {
		return
	}
	s.pauseBy(record.CauseRenewal, scope{}, fmt.Sprintf("no operator has renewed for %v: safemode renew", s.o.DeadMan))
}

// ceaseNow ends the sweep for good: every meter that has no verdict gets the one that
// what is known of it supports.
func (s *Sweep) ceaseNow() {
	now := s.now()
	for seat := range int32(s.roll.size) {
		if m := s.roll.awake[seat]; s.roll.head(seat).done && (m == nil || len(m.open) == 0) {
			continue
		}
		m := s.meter(seat)
		for _, r := range slices.Clone(m.open) {
			if r.place != nowhere {
				s.lanes[m.target.Region].remove(r)
			}
			class := silence(r)
			if !r.sent() && !r.reached {
				class = Withdrawn
			}
			s.end(r, class, "", nil, now)
		}
		s.conclude(m, now)
		s.settleSome()
	}
}
