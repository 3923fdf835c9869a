package sweep

import (
	"errors"
	"time"

	"go.uber.org/zap"

	"safemode/engine/exchange"
	"safemode/engine/gateway"
	"safemode/engine/ledger"
	"safemode/engine/record"
	"safemode/servicerequests"
	"safemode/servicerequests/duis"
)

// halfDone takes in the result of a half.
func (s *Machine) halfDone(d Done) {
	r := s.workers.halves[d.Ticket]
	if r == nil {
		return
	}
	res := &d.Result
	delete(s.workers.halves, d.Ticket)
	s.workers.busy[r.Endpoint()]--
	r.permit = nil
	m := r.m
	s.store.markDirty(m)
	if res.Took > 0 {
		s.budgets.spend(r.needs(), s.now)
		s.metrics.ack(r.Service, res.Took)
		if res.Err == nil {
			s.pace.flow.acknowledged++
		}
	}
	if res.Signed != nil {
		first := !m.Begun()
		if _, err := m.Apply(&s.o.Policy, res.Signed); err != nil {
			s.defect(err)
			return
		}
		s.exposes(m, res.Signed, first)
		r.token = nil
		s.gaveOut(res.Signed)
		if r.Half == ledger.FirstHalf {
			s.spendRetry(r.Request)
		}
	}
	s.judgeResult(r, res)
	s.takeEarly(r)
	s.look(m)
}

// takeEarly takes in the answer or the quarantine that came while a worker had the request.
func (s *Machine) takeEarly(r *request) {
	if h := r.quarantined; h != nil {
		r.quarantined = nil
		s.quarantineRequest(r, *h)
	}
	if early := r.early; early != nil {
		r.early = nil
		s.heard(*early)
	}
}

// judgeResult acts on the result of a half.
func (s *Machine) judgeResult(r *request, res *exchange.Result) {
	err := res.Err
	if unproven := errors.Is(err, exchange.ErrUnproven) || errors.Is(err, exchange.ErrUncorrelated); unproven || res.Token != nil {
		s.watchProof(!unproven)
	}
	if res.Took > 0 && !errors.Is(err, gateway.ErrRejected) && !exchange.Denied(err) {
		s.tripwires.rejected = 0
	}
	again := r.Reached // the DCC may have had the bytes before
	r.Reached = r.Reached || res.Written()
	var throttled *gateway.ThrottledError
	switch {
	case err == nil:
		s.takeReply(r, res, again)
	case errors.Is(err, exchange.ErrJournal):
		s.stop(journalHalt(err), journalFault(err), err)
		r.token = nil // it is used, and what it signed may be durable
		s.unsigned(r)
	case errors.Is(err, exchange.ErrKey):
		s.stop(record.HaltKey, "a signing key cannot be used", err)
		s.unsigned(r)
	case errors.Is(err, exchange.ErrRefused):
		s.log.Error("request not signed", zap.Stringer("request_id", r.ID), zap.Error(err))
		s.end(r, record.ClassWithdrawn, record.RefusedUnpermitted, nil)
	case errors.Is(err, exchange.ErrPanic) && r.Body == nil:
		// Nobody knows whether the journal has the bytes: they are not made a second time.
		s.end(r, record.ClassWithdrawn, record.RefusedUnpermitted, nil)
	case errors.Is(err, gateway.ErrNotPermitted):
		s.stop(record.HaltDefect, "the gateway held back a body that is not permitted", err)
		s.move(r, ledger.Denied)
	case s.denied(r, err):
	case errors.Is(err, exchange.ErrUncorrelated):
		s.end(r, record.ClassUnverified, record.RefusedUncorrelated, nil)
	case errors.Is(err, exchange.ErrUnproven) && r.Endpoint() != record.SendCommand:
		s.end(r, record.ClassUnverified, "", nil)
	case errors.Is(err, exchange.ErrUnproven):
		// The bytes have arrived; only the DCC's reply is not proven.
		r.Unproven = true
		s.await(r, false, s.now)
	case errors.As(err, &throttled):
		s.counts.throttled++
		s.metrics.throttle()
		until := s.now.Add(s.o.Resend)
		if res.Until.After(until) {
			until = res.Until
		}
		s.o.Pacer.Hold(r.needs(), LimitService, until)
		s.pace.flow.requested++
		s.move(r, ledger.Denied)
	case errors.Is(err, gateway.ErrNotWritten):
		s.rest(r, s.o.Resend)
	case errors.Is(err, gateway.ErrRejected):
		s.end(r, record.ClassRejected, record.CodeHTTP, nil)
		if s.tripwires.rejected++; s.tripwires.rejected >= rejectedRun {
			s.stop(record.HaltDCC, "the DCC refuses every POST: check dcc.url, the client certificate and the User's access", err)
		}
	default: // in doubt: the same bytes again
		s.log.Warn("no usable reply", zap.Stringer("request_id", r.ID), zap.Stringer("service", r.Endpoint()), zap.Error(err))
		s.resend(r)
	}
}

// denied says whether a check refused a half before a byte was written, and acts on it:
// the half waits again where it waited before.
func (s *Machine) denied(r *request, err error) bool {
	var limit *exchange.LimitError
	switch {
	case errors.Is(err, exchange.ErrGate):
		s.closeGate(err)
	case errors.As(err, &limit):
		s.metrics.paced(limit.Limit, limit.Wait)
		if until := s.now.Add(limit.Wait); limit.Limit == LimitAnomaly {
			s.budgets.dry[r.budget()] = until
		} else {
			s.o.Pacer.Hold(r.needs(), limit.Limit, until)
		}
	case errors.Is(err, exchange.ErrCircuit):
		s.queues.regionQueue(r.m).shut[r.Endpoint()] = s.now.Add(s.o.Resend)
	case errors.Is(err, exchange.ErrRecalled), errors.Is(err, exchange.ErrStale):
	case exchange.Denied(err): // the POST was ended while it waited
	default:
		return false
	}
	if r.Body == nil {
		s.unsigned(r)
		return true
	}
	s.move(r, ledger.Denied)
	return true
}

// unsigned has a half wait to be signed, because nothing was signed. The counter of a first
// half is not used again.
func (s *Machine) unsigned(r *request) {
	if r.Half == ledger.FirstHalf {
		r.ID.Counter = 0
	}
	s.move(r, ledger.Unsigned)
}

// rejectedRun is how many POSTs in a row the DCC may refuse by HTTP status. More of them point
// to the User or the address, not to the requests.
const rejectedRun = 20

// rest has the same bytes sent again after a while.
func (s *Machine) rest(r *request, d time.Duration) {
	r.RetryAt = s.now.Add(d)
	s.move(r, ledger.Doubtful)
}

// resend schedules another POST of the same bytes, or gives up waiting for a reply.
func (s *Machine) resend(r *request) {
	if r.resends < s.o.Resends {
		s.rest(r, s.o.Resend<<r.resends)
		r.resends++
		return
	}
	if r.Endpoint() != record.SendCommand {
		s.end(r, record.ClassInDoubt, "", nil)
		return
	}
	s.await(r, false, s.now)
}

// await starts the wait for a device's answer.
func (s *Machine) await(r *request, acknowledged bool, at time.Time) {
	if s.move(r, ledger.Acknowledged) {
		r.token = nil
		s.o.Policy.Wait(r.m.Meter, r.Request, acknowledged, at)
	}
}

// takeReply acts on a synchronous reply, after the proof that its kind needs.
func (s *Machine) takeReply(r *request, res *exchange.Result, again bool) {
	code := res.Reply.Code
	class := code.Class()
	if class == servicerequests.CodeSuccess || class == servicerequests.CodeAcknowledged {
		s.watchRegistration(r.m, false)
	}
	switch e := r.Endpoint(); {
	case res.Token != nil:
		r.token, r.Asked, r.Body, r.resends, r.Reached = res.Token, r.Body, nil, 0, false
		r.Half = ledger.SecondHalf
		s.pace.flow.requested++
		s.move(r, ledger.Correlated)
	case e == record.NonDevice && code == servicerequests.Success:
		f := &finding{at: s.now, proxy: proxyOf(res.Reply.Content, r.m.Device)}
		s.end(r, record.ClassSuccess, string(code), f)
	case e == record.SendCommand && (class == servicerequests.CodeAcknowledged || code == servicerequests.DuplicateID && again):
		s.await(r, true, res.At)
	case class == servicerequests.CodeAcknowledged: // the device's answer is still to come
		s.resend(r)
	case code == servicerequests.DuplicateID && again:
		s.end(r, record.ClassInDoubt, string(code), nil)
	case class == servicerequests.CodeHalt:
		s.end(r, record.ClassRejected, string(code), nil)
		s.userRefused(code)
	default:
		s.end(r, record.ClassOf(code), string(code), nil)
	}
}

// userRefused halts: the DCC says that the User itself may not send.
func (s *Machine) userRefused(code servicerequests.ResponseCode) {
	s.stop(record.HaltDCC, "the DCC refuses the User ("+string(code)+")", nil)
}

// proxyOf finds the gas proxy in the inventory of a meter's home; zero if the answer does
// not list both.
func proxyOf(content duis.Content, meter servicerequests.EUI) servicerequests.EUI {
	var proxy servicerequests.EUI
	listed := false
	inventory, _ := content.(duis.Inventory)
	for _, d := range inventory {
		listed = listed || d.ID == meter
		if d.DeviceType() == servicerequests.GPF {
			proxy = d.ID
		}
	}
	if !listed {
		return 0
	}
	return proxy
}
