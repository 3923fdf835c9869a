package sweep

import (
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"time"

	"go.uber.org/zap"

	"safemode/engine/exchange"
	"safemode/engine/ledger"
	"safemode/engine/proof"
	"safemode/engine/record"
	"safemode/servicerequests"
	"safemode/servicerequests/duis"
)

// ErrReplay marks a journal whose records do not make a sweep.
var ErrReplay = errors.New("the journal's records do not make a sweep")

// replay is what a start keeps while it reads records.
type replay struct {
	through    uint64 // records up to this one were in the state that was restored
	storeFirst bool   // messages are written before they are judged
	waiting    []uint64
	unjudged   map[uint64]message                           // stored messages that no record marks yet
	posted     map[servicerequests.RequestID]exchange.Place // halves that were signed, without a later record of their request
	read       func(raw []byte) (proof.Delivery, error)
}

// message is a stored message that is not judged yet.
type message struct {
	id   servicerequests.RequestID
	code string
}

// Replay reads the journal's records into the meters' ledgers: of a new sweep, only the
// targets; of one that goes on, everything that was asked and learnt, or what came after the
// state that [Machine.Restore] has taken up. It needs neither keys nor network. A request that
// was signed and has no outcome is POSTed again as the same bytes, or the meter is read. Replay
// returns the numbers of the stored messages that no record marks as judged: they must be
// judged again. read reads the content of an alert that was proven before it was written, as
// in journals before store-first. Replay is called once, before Begin.
func (s *Machine) Replay(records iter.Seq2[record.Record, error], read func(raw []byte) (proof.Delivery, error)) (unjudged []uint64, err error) {
	s.replay.read, s.replay.posted = read, map[servicerequests.RequestID]exchange.Place{}
	for _, seq := range s.replay.waiting {
		s.replay.unjudged[seq] = message{}
	}
	for rec, err := range records {
		if err != nil {
			return nil, err
		}
		s.replayMark(&rec)
		s.gaveOut(&rec)
		if rec.Seq > s.replay.through || !s.known(&rec) {
			if err := s.replayRecord(&rec); err != nil {
				return nil, fmt.Errorf("%w: record %d (%v): %w", ErrReplay, rec.Seq, rec.Kind, err)
			}
		}
		s.sleepSome()
	}
	if err := s.store.seal(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrReplay, err)
	}
	s.sort()
	s.sleepIdle()
	unjudged = slices.Sorted(maps.Keys(s.replay.unjudged))
	s.run.backlog = map[uint64]struct{}{}
	for _, seq := range unjudged {
		s.run.backlog[seq] = struct{}{}
	}
	s.replay = replay{}
	s.out = nil // a replay makes no actions
	return unjudged, nil
}

// replayMark takes in which stored messages a record marks as judged. A record marks a message
// by the number of its record. Records before store-first name only a request: there an outcome
// without an answer marks no message.
func (s *Machine) replayMark(rec *record.Record) {
	unjudged := s.replay.unjudged
	if len(unjudged) == 0 {
		return
	}
	var of uint64
	var old func(message) bool // nil: it marks messages by number only
	switch rec.Kind {
	default:
		return
	case record.Outcome:
		if body, err := record.Decode[record.OutcomeBody](*rec); err == nil {
			of = body.Of
			if !s.replay.storeFirst {
				old = func(m message) bool {
					return !body.Class.Unanswered() || body.Code != "" && m.code == body.Code
				}
			}
		}
	case record.Unmatched, record.Repeated:
		body, err := record.Decode[record.JudgedBody](*rec)
		of = body.Of
		if err != nil {
			old = func(message) bool { return true }
		}
	case record.Refused:
		if body, err := record.Decode[record.RefusedBody](*rec); err == nil {
			of = body.Of
		}
	case record.Proven:
		if body, err := record.Decode[record.ProvenBody](*rec); err == nil {
			of = body.Of
		}
	}
	if of != 0 {
		delete(unjudged, of)
		return
	}
	if old != nil && rec.ID.Counter != 0 {
		maps.DeleteFunc(unjudged, func(_ uint64, m message) bool { return m.id == rec.ID && old(m) })
	}
}

// replayRecord takes one record in.
func (s *Machine) replayRecord(rec *record.Record) error {
	switch rec.Kind {
	case record.Opened:
		body, err := record.Decode[record.Opening](*rec)
		if err != nil {
			return err
		}
		s.replay.storeFirst = s.replay.storeFirst || body.StoreFirst
		s.sort()
	case record.Operator:
		body, err := record.Decode[record.OrderBody](*rec)
		if err != nil {
			return err
		}
		s.sort()
		s.apply(body, rec.At)
	case record.Wave:
		body, err := record.Decode[record.WaveBody](*rec)
		if err != nil {
			return err
		}
		if s.sort(); body.Wave < 1 || body.Wave > len(s.waves.all) {
			return fmt.Errorf("wave %d of %d", body.Wave, len(s.waves.all))
		}
		s.waves.is(body.Wave, rec.Code, rec.At)
	case record.Tripwire:
		body, err := record.Decode[record.TripwireBody](*rec)
		if err != nil {
			return err
		}
		for _, eui := range body.Devices {
			s.clear(s.find(eui))
		}
	case record.Target:
		return s.replayTarget(rec)
	case record.Response, record.Received:
		s.replay.unjudged[rec.Seq] = message{rec.ID, rec.Code}
	case record.Alert:
		if s.replay.storeFirst {
			s.replay.unjudged[rec.Seq] = message{}
			return nil
		}
		return s.replayOldAlert(rec)
	case record.Proven:
		return s.replayAlert(rec)
	case record.Refused:
		s.replayPosted(rec)
		if rec.Code == record.RefusedUnverified {
			s.replayDoubt(rec)
		}
	case record.PreCommand:
		s.replayPosted(rec)
	case record.Request, record.SignedCommand, record.Reply, record.Outcome, record.Verdict:
		s.replayPosted(rec)
		return s.replayMeter(rec)
	}
	return nil
}

func (s *Machine) replayTarget(rec *record.Record) error {
	body, err := record.Decode[record.TargetBody](*rec)
	if err != nil {
		return err
	}
	if s.counters[body.Originator] == nil {
		return fmt.Errorf("%v: no identity is configured for its originator %v", rec.Device, body.Originator)
	}
	if !s.o.Policy.GasBalanceFromProxy {
		body.Proxy = 0 // no proxy is asked
	}
	m := ledger.New(rec.Device, body)
	if _, ok := s.o.Suppressed[rec.Device]; ok {
		m.Exclude("suppressed")
	}
	return s.store.add(m)
}

// replayMeter takes in a record of one meter.
func (s *Machine) replayMeter(rec *record.Record) error {
	m := s.find(rec.Device)
	if m == nil || m.Device != rec.Device {
		return fmt.Errorf("%v is not planned", rec.Device)
	}
	s.sort()
	first := !m.Begun()
	e, err := m.Apply(&s.o.Policy, rec)
	if err != nil {
		return err
	}
	s.exposes(m, rec, first)
	if rec.Kind == record.Verdict && record.InPassing(m.Verdict.Reason) {
		m.Verdict = record.VerdictBody{}
	}
	if e.Ended && e.Is == record.ClassRejected && !e.OtherDevice {
		if body, err := record.Decode[record.OutcomeBody](*rec); err == nil && servicerequests.ResponseCode(body.Code).Class() == servicerequests.CodeUnregistered {
			s.transfers.refusedAs(body.Expected)
		}
	}
	if e.Opened && rec.Kind == record.Request {
		m.tag(e.Request)
		s.spendRetry(e.Request)
		s.budgets.headroom.count(rec.Service, rec.At)
	}
	if e.Opened {
		s.replay.posted[rec.ID] = of(e.Request).needs()
	}
	if e.Ended {
		s.takeEnd(m, e, rec.Service, rec.ID)
	}
	return nil
}

// replayPosted tells the Pacer of a POST, at its latest possible time: that of the request's next
// record.
func (s *Machine) replayPosted(rec *record.Record) {
	if p, ok := s.replay.posted[rec.ID]; ok {
		delete(s.replay.posted, rec.ID)
		s.posted(p, rec.At)
	}
}

// posted counts a POST in the thresholds.
func (s *Machine) posted(p exchange.Place, at time.Time) {
	s.o.Pacer.Spent(at, p)
	s.budgets.spend(p, at)
}

func (s *Machine) replayDoubt(rec *record.Record) {
	if m := s.asker(rec.ID); m != nil {
		if r := m.PendingWith(rec.ID); r != nil {
			s.o.Policy.Doubt(r, rec.At)
		}
	}
}

// known says whether the restored state contains a record. Workers and the inbox write records
// before the machine learns of them; those that the machine wrote are in the state.
func (s *Machine) known(rec *record.Record) bool {
	switch rec.Kind {
	case record.Response, record.Alert, record.Received, record.Refused, record.PreCommand:
		return false // a repetition changes nothing, or has a meter read once more
	case record.Proven:
		// A quarantine that came while a worker had the request waits for the worker. No state
		// has it before that.
		body, err := record.Decode[record.ProvenBody](*rec)
		if err != nil || body.Quarantined == nil {
			return true
		}
		m := s.asker(body.Quarantined.Request)
		return m == nil || m.PendingWith(body.Quarantined.Request) == nil
	case record.Request, record.SignedCommand, record.Reply:
	default:
		return true
	}
	m := s.find(rec.Device)
	if m == nil {
		return false
	}
	r := m.PendingWith(rec.ID)
	switch rec.Kind {
	case record.Request:
		return r != nil || m.PastWith(rec.ID) != nil
	case record.SignedCommand:
		return r == nil || r.Half == ledger.SecondHalf
	default:
		return r == nil || r.Phase >= ledger.Sent
	}
}

// forget takes in that the journal is an older copy of one that is lost: every meter that was
// contacted may have been given commands since, or have reported a change.
func (s *Machine) forget() {
	for number := range int32(s.store.size()) {
		s.meter(number).Forget()
		s.sleepSome()
	}
}

// replayAlert takes in an alert that was proven.
func (s *Machine) replayAlert(rec *record.Record) error {
	body, err := record.Decode[record.ProvenBody](*rec)
	if err != nil {
		return err
	}
	if q := body.Quarantined; q != nil {
		return s.replayQuarantine(q.Request, q.EventRef)
	}
	code, ok := alertCode(rec.Code)
	m := s.find(rec.Device)
	switch {
	case !ok:
		return fmt.Errorf("alert %q is none of a device", rec.Code)
	case m == nil:
		return nil
	}
	s.replayTaken(m, ledger.Alert{Code: code, Counter: body.Counter, At: body.At, Heard: rec.At, FutureDated: body.FutureDated, Issued: body.Issued})
	return nil
}

// alertCode reads the code of a device's alert.
func alertCode(text string) (code uint16, ok bool) {
	n, err := strconv.ParseUint(text, 16, 16)
	return uint16(n), err == nil
}

func (s *Machine) replayTaken(m *meter, a ledger.Alert) {
	if m.ApplyAlert(a) && m.Bars.Excluded == "" {
		m.Verdict = record.VerdictBody{}
	}
	s.o.Policy.ShortenWaits(m.Meter, a.Heard)
	s.sort()
	s.moveUp(m)
}

// replayQuarantine takes in that the DCC has quarantined a request.
func (s *Machine) replayQuarantine(id servicerequests.RequestID, event string) error {
	m := s.asker(id)
	if m == nil {
		return nil
	}
	if r := m.PendingWith(id); r == nil {
		s.overdueAs(m, id, event)
	} else if yes, _ := ledger.Possible(r.Phase, ledger.Quarantine); yes || r.Phase == ledger.Quarantined {
		return r.Quarantine(event)
	}
	return nil
}

// replayOldAlert takes in an alert of a journal before store-first, at its place in the
// order: it was proven before it was written. If its content cannot be read any more, the worst
// is assumed, and the meter is read again.
func (s *Machine) replayOldAlert(rec *record.Record) error {
	d, err := s.replay.read(rec.Body)
	if err != nil {
		s.log.Warn("journalled alert cannot be read again", zap.Uint64("seq", rec.Seq), zap.Error(err))
	}
	if rec.Code == alertQuarantine {
		if d.DCCAlert == nil {
			return nil
		}
		if q, ok := d.DCCAlert.Event.(duis.QuarantinedRequest); ok {
			return s.replayQuarantine(q.Request, q.EventRef)
		}
		return nil
	}
	m := s.find(rec.Device)
	code, ok := alertCode(rec.Code)
	if m == nil || !ok { // of another device, or another DCC Alert
		return nil
	}
	a := ledger.Alert{Code: code, At: rec.At, Heard: rec.At}
	switch {
	case d.Alert == nil || d.Alert.Code != a.Code:
		a.FutureDated = ledger.CodeECS03
	case d.Alert.FutureDated != nil:
		a.FutureDated = d.Alert.FutureDated.Code
	}
	if d.Message != nil && d.Alert != nil {
		a.Counter = d.Message.Counter
		if !d.Alert.At.IsZero() {
			a.At = d.Alert.At
		}
	}
	s.replayTaken(m, a)
	return nil
}

// Begin goes on where the journal ends: open requests are POSTed again as the same bytes unless
// they were acknowledged, and every meter gets its place in the queues.
func (s *Machine) Begin(now, real time.Time) []Action {
	s.advance(now)
	s.real, s.run.renewed = real, real
	s.run.begun, s.run.started = true, s.now
	for number := range int32(s.store.size()) {
		h := s.store.head(number)
		s.counts.area(h).meters++
		s.store.waits(number, false, false)
		switch {
		case h.done && !h.owed: // and asleep for good
			s.counted(h, 1)
			if v := verdicts[h.verdict]; v == record.VerdictNotSafe || v == record.VerdictUnknown {
				verdict := s.store.verdict(number)
				s.counts.reasons.count(&verdict, 1)
			}
			s.counts.waiting[h.wait]++
			if w := s.waves.all[h.wave-1]; h.commanded && w.state == "" {
				w.early++
			}
		case !h.begun && !h.done:
			s.counts.notBegun++
			s.takeOn(number, h)
		default:
			s.takeUp(s.meter(number))
		}
		s.sleepSome()
	}
	s.takeTransfers(s.o.Transfers)
	s.leaveDue() // so that nothing of them is queued
	s.pace.from = pace{at: s.run.started, done: s.counts.done}
	s.sleepIdle() // so that the first pump finds the meters that are due
	s.log.Info("sweep begins", zap.Int("meters", s.store.size()), zap.Int("done", s.counts.done))
	return s.emitted()
}

// takeUp gives a meter that has begun its place.
func (s *Machine) takeUp(m *meter) {
	s.counts.waiting[m.wait]++
	m.Done, m.waits = false, false
	s.turnTo(m, m.Stage())
	// Open requests of a meter that is safe by its verdict were made after that.
	after := len(m.Open) > 0 && m.Verdict.Verdict != "" && m.Safe()
	for _, open := range m.Open {
		r := of(open)
		if r.After = after; after {
			s.counts.afters++
		}
		s.queues.hub(m).open++
		r.inHub = true
		if r.Phase == ledger.Quarantined {
			s.quarantine.requests[r.Event] = r
		}
		if r.Phase.Waits() { // it may have been POSTed, without a record
			s.posted(r.needs(), s.now)
			s.queues.push(r, s.risk(r))
			s.pace.flow.requested++
		}
		s.reckon(r)
	}
	if after || m.Verdict.Verdict != "" && len(m.Open) == 0 && !s.o.Policy.Decide(m.Meter, s.now, ledger.Commanding).Waiting {
		s.count(m)
	}
	if !m.Done || after {
		s.schedule(m, s.now)
	}
}
