package report

import (
	"cmp"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"time"

	"safemode/engine/record"
	"safemode/servicerequests"
	"safemode/servicerequests/duis"
	"safemode/servicerequests/gbcs"
)

// Report is what a journal tells.
type Report struct {
	Summary    Summary
	Authority  Authority
	First      time.Time // the time of the first record, by the sweep's clock
	Last       time.Time // and of the last
	Ended      string    // the code of the last Closed record; empty if the sweep did not end in order
	Meters     []Meter
	NotCovered []record.RejectedBody
	Events     []Event              // in the journal's order
	Counters   []OriginatorCounters // in the order of the originators' EUIs
	Notices    []Notice             // of the next supplier, in the journal's order
}

// Meter is one planned meter.
type Meter struct {
	Device         servicerequests.EUI
	Target         record.TargetBody
	Verdict        record.VerdictBody
	Changes        []Change  // every verdict with its time, in order; the last is Verdict
	Requests       []Request // in the order of sending, without those never signed
	LastResponseAt time.Time // zero: none

	// SwitchedAt is when the meter answered its first successful 1.6; zero: never.
	SwitchedAt time.Time
	// Before and After are the first balance that was asked for before the first
	// signed 1.6, and the last one after it.
	Before, After Money
	// Settings are what prepayment needs to be set up again, as read before the
	// switch.
	Settings Settings
	// Leaving is what is known of its home where that leaves the supplier.
	Leaving Leaving

	seen []sighting // of the supply; in order when all records are read
}

// Change is one verdict on a meter.
type Change struct {
	At      time.Time
	Verdict string
	Reason  string
}

// Money is what one read of a meter's balance showed.
type Money struct {
	At            time.Time                   // zero: not read
	Balance       *servicerequests.Millipence // positive: credit. Of a gas meter its prepayment balance
	CreditModeDue *servicerequests.Millipence // gas: the credit mode balance, positive: money due
}

// Settings are a meter's prepayment settings; nil where they were not read.
type Settings struct {
	Configuration *gbcs.PrepaymentConfiguration // 4.13
	SuspendDebt   *SuspendDebt                  // 6.2.9 of a gas meter in Prepayment
}

// SuspendDebt says when debt is not collected.
type SuspendDebt struct{ Disabled, Emergency bool }

// Authority is what the sweep acted on, as its plan has it.
type Authority struct {
	Reference string              `json:"direction"`
	SRP       string              `json:"srp"`
	Supplier  servicerequests.EUI `json:"supplier"`
	MPIDs     []string            `json:"mpids"`
	NotAfter  time.Time           `json:"not_after"`
	Delay     *Delay              `json:"revocation_delay,omitempty"`
}

// Delay is the PMA's decision to delay the revocation of the failed supplier's
// certificates, as the direction has it.
type Delay struct {
	Reference string    `json:"reference"`
	Date      time.Time `json:"date"`
	End       time.Time `json:"end"`
}

// OriginatorCounters are the originator counters that the journal holds of one
// originator.
type OriginatorCounters struct {
	Originator servicerequests.EUI `json:"originator"`
	Counters
}

// Request is one Service Request that was sent.
type Request struct {
	ID      servicerequests.RequestID
	Service servicerequests.Service
	SentAt  time.Time
	Class   record.Class
	Code    string
}

// quarantineAlert is the DCC Alert that says that anomaly detection holds a
// request back (DUIS 5.4, QuarantinedRequest).
const quarantineAlert = "AD1"

// NoVerdict is the reason of a meter that the sweep never came to judge.
const NoVerdict = "the journal holds no verdict"

// Read reads a journal's records, from the first on. It fails with the first
// error of the iteration, and on a record that contradicts the format.
func Read(records iter.Seq2[record.Record, error]) (*Report, error) {
	f := reading{
		meters:   map[servicerequests.EUI]*meter{},
		proxied:  map[servicerequests.RequestID]*meter{},
		counters: map[servicerequests.EUI][]uint64{},
	}
	f.report.Summary.OtherMessages = map[record.OtherKind]int{}
	for r, err := range records {
		if err != nil {
			return nil, fmt.Errorf("report: %w", err)
		}
		if err := f.take(r); err != nil {
			return nil, fmt.Errorf("report: %w", err)
		}
	}
	return f.finish(), nil
}

// reading is the state while records are read.
type reading struct {
	report   Report
	plan     []*meter                             // in the order of the plan
	meters   map[servicerequests.EUI]*meter       // by planned meter; also meters that requests name and the plan does not
	proxied  map[servicerequests.RequestID]*meter // of requests to gas proxies: who they were made for
	counters map[servicerequests.EUI][]uint64

	opened      bool
	waves       []int // sizes of the plan's
	wavesOpened int
	radius      record.Radius
	runs        runs
	quarantined tally // AD1 by coming
}

type meter struct {
	Meter
	requests []*request
	proxy    servicerequests.EUI // that an inventory named
	exposed  bool                // was given a command, and has had no verdict since
	balances []balanceRead
	heard    tally // answers by coming
}

type request struct {
	Request
	transformed  bool // a Pre-Command came
	signed       bool // a Signed Pre-Command was made
	acknowledged bool // the DCC took what goes to the device
	answers      []answer
}

func (f *reading) take(r record.Record) error {
	if f.report.First.IsZero() {
		f.report.First = r.At
	}
	if r.At.After(f.report.Last) {
		f.report.Last = r.At
	}
	switch r.Kind {
	case record.Opened:
		return f.open(r)
	case record.Planned:
		return f.planned(r)
	case record.Target:
		return f.target(r)
	case record.Rejected:
		body, err := record.Decode[record.RejectedBody](r)
		f.report.NotCovered = append(f.report.NotCovered, body)
		return err
	case record.Request, record.SignedCommand:
		f.sent(r)
	case record.PreCommand, record.Reply:
		f.replied(r)
	case record.Response:
		f.answered(r)
	case record.Outcome:
		return f.outcome(r)
	case record.Refused:
		return f.refused(r)
	case record.Alert:
		if r.Code == quarantineAlert {
			f.quarantined.add(r.At, &f.runs)
		}
	case record.Proven:
		body, err := record.Decode[record.ProvenBody](r)
		f.runs.rests(body.Of)
		f.alerted(r, body)
		if body.Code == quarantineAlert {
			f.report.Summary.Quarantined++
		}
		return err
	case record.Unmatched:
		return f.hearOther(r)
	case record.Verdict:
		body, err := record.Decode[record.VerdictBody](r)
		m := f.meter(r.Device)
		m.Verdict = body
		m.Changes = append(m.Changes, Change{r.At, body.Verdict, body.Reason})
		if m.exposed && !record.InPassing(body.Reason) {
			m.exposed = false
			f.radius.Leave(m.Target.Hub)
		}
		return err
	case record.Operator:
		return f.ordered(r)
	case record.Wave:
		return f.turned(r)
	case record.Tripwire:
		return f.tripped(r)
	case record.Closed:
		body, err := record.Decode[record.ClosedBody](r)
		f.report.Ended = r.Code
		f.report.Summary.Throttled += body.Throttled
		return err
	}
	return nil
}

// open takes the sweep's identity from its first start. Every start takes the
// end of the run before back.
func (f *reading) open(r record.Record) error {
	f.report.Ended = ""
	f.runs.now++
	if f.opened {
		return nil
	}
	f.opened = true
	body, err := record.Decode[record.Opening](r)
	f.report.Summary.SweepID, f.report.Summary.PlanSHA256 = body.SweepID, body.PlanSHA256
	f.in(body.Environment)
	return err
}

// in notes the environment of the plan or the first start. If the two differ both are named,
// and the sweep counts as real: see [record.Identity.Banner].
func (f *reading) in(environment string) {
	switch is := &f.report.Summary.Environment; {
	case environment == "" || environment == *is:
	case *is == "":
		*is = environment
	default:
		*is += " and " + environment
	}
}

// planned takes the authority from the plan's header.
func (f *reading) planned(r record.Record) error {
	var header struct {
		Environment string `json:"environment"`
		Waves       []struct {
			Count int `json:"count"`
		} `json:"waves"`
		Direction struct {
			Reference string    `json:"reference"`
			SRP       string    `json:"srp"`
			NotAfter  time.Time `json:"not_after"`
			Delay     *Delay    `json:"revocation_delay"`
			Supplier  struct {
				EUI   servicerequests.EUI `json:"eui"`
				MPIDs []string            `json:"mpids"`
			} `json:"supplier"`
		} `json:"direction"`
	}
	if err := json.Unmarshal(r.Body, &header); err != nil {
		return fmt.Errorf("record %d: header of the plan: %w", r.Seq, err)
	}
	f.in(header.Environment)
	for _, w := range header.Waves {
		f.waves = append(f.waves, w.Count)
	}
	d := header.Direction
	f.report.Authority = Authority{
		Reference: d.Reference, SRP: d.SRP, Supplier: d.Supplier.EUI, MPIDs: d.Supplier.MPIDs, NotAfter: d.NotAfter, Delay: d.Delay,
	}
	return nil
}

func (f *reading) target(r record.Record) error {
	body, err := record.Decode[record.TargetBody](r)
	if err != nil {
		return err
	}
	m := f.meter(r.Device)
	if m.Target.Type != servicerequests.UnknownDevice {
		return fmt.Errorf("record %d: %v is planned twice", r.Seq, r.Device)
	}
	m.Target = body
	f.plan = append(f.plan, m)
	return nil
}

// meter finds or makes the state of a device.
func (f *reading) meter(device servicerequests.EUI) *meter {
	m := f.meters[device]
	if m == nil {
		m = &meter{Meter: Meter{Device: device}}
		f.meters[device] = m
	}
	return m
}

// find returns the request of an ID, nil if the journal has none. A meter has
// few; the latest is the likeliest.
func (m *meter) find(id servicerequests.RequestID) *request {
	for _, r := range slices.Backward(m.requests) {
		if r.ID == id {
			return r
		}
	}
	return nil
}

// sent takes in a signed request or signed command.
func (f *reading) sent(rec record.Record) {
	if err := inspect(rec); err != nil {
		f.report.Summary.ForbiddenCommands++
	}
	m := f.meter(rec.Device)
	r := m.find(rec.ID)
	switch {
	case r == nil, rec.Kind == record.Request, r.signed:
		// Its own counter, or one that is used a second time.
		f.counters[rec.ID.Originator] = append(f.counters[rec.ID.Originator], rec.ID.Counter)
	}
	if planned := m.Target.Type != servicerequests.UnknownDevice; planned && len(m.requests) == 0 {
		f.report.Summary.FirstContact.of(m.Target.Type).First(rec.At)
	}
	if r == nil {
		r = &request{Request: Request{ID: rec.ID, Service: rec.Service, SentAt: rec.At}}
		m.requests = append(m.requests, r)
		if rec.ID.Target != rec.Device {
			f.proxied[rec.ID] = m
		}
	}
	if rec.Kind == record.SignedCommand {
		r.signed, r.acknowledged = true, false
		if !m.exposed {
			m.exposed = true
			f.radius.Enter(m.Target.Hub, rec.At, record.CapOf(len(f.waves), f.wavesOpened, func(i int) int { return f.waves[i] }))
		}
	}
}

// replied takes in what the DCC said at once.
func (f *reading) replied(rec record.Record) {
	r := f.meter(rec.Device).find(rec.ID)
	if r == nil {
		return
	}
	if rec.Kind == record.PreCommand {
		r.transformed = true
		return
	}
	r.acknowledged = servicerequests.ResponseCode(rec.Code).Class() == servicerequests.CodeAcknowledged
}

// answered keeps an answer for the outcome that rests on it. A gas proxy's answer names
// the proxy.
func (f *reading) answered(rec record.Record) {
	m := f.meters[rec.Device]
	if m == nil {
		m = f.proxied[rec.ID]
	}
	if m == nil {
		return
	}
	m.heard.add(rec.At, &f.runs)
	if r := m.find(rec.ID); r != nil {
		a := answer{seq: rec.Seq, at: rec.At}
		if tells(r.Service) {
			a.raw = rec.Body
		}
		r.answers = append(r.answers, a)
	}
}

// outcome ends a request; a late answer ends it once more.
func (f *reading) outcome(rec record.Record) error {
	body, err := record.Decode[record.OutcomeBody](rec)
	if err != nil {
		return err
	}
	f.runs.rests(body.Of)
	m := f.meter(rec.Device)
	m.sees(rec, body)
	m.refusedAs(rec.At, body)
	if r := m.find(rec.ID); r != nil {
		r.Class, r.Code = body.Class, body.Code
		answered := body.Class == record.ClassSuccess || body.Class == record.ClassNegative || body.Code != ""
		rests, ok := r.rest(body.Of, answered)
		if ok && body.Of != 0 && rests.at.After(m.LastResponseAt) {
			m.LastResponseAt = rests.at
		}
		m.learn(r, body, rests.raw)
	}
	return nil
}

func (f *reading) refused(rec record.Record) error {
	refused := &f.report.Summary.Refused
	switch rec.Code {
	case record.RefusedUnpermitted:
		refused.Unpermitted++
	case record.RefusedUncorrelated:
		refused.Uncorrelated++
	default:
		refused.Unverified++
	}
	body, err := record.Decode[record.RefusedBody](rec)
	f.runs.rests(body.Of)
	return err
}

// finish draws the sums.
func (f *reading) finish() *Report {
	s := &f.report.Summary
	s.Requests = map[string]Classes{}
	for _, m := range f.meters {
		f.countRequests(m)
	}
	for _, m := range f.plan {
		if m.Verdict.Verdict == "" {
			m.Verdict.Verdict, m.Verdict.Reason = record.VerdictUnknown, NoVerdict
		}
		m.splitBalances()
		m.order(f.report.Last)
		if last, _ := m.heard.sum(&f.runs); last.After(m.LastResponseAt) {
			m.LastResponseAt = last
		}
		s.Verdicts.add(m.Verdict.Verdict)
		s.FirstContact.of(m.Target.Type).Meters++
		f.report.Meters = append(f.report.Meters, m.Meter)
	}
	s.Transfers = f.report.countLeft()
	for _, h := range f.report.homes() {
		s.Homes.add(h.verdicts(func(m *Meter) string { return m.Verdict.Verdict }))
		s.Calls.add(h.need(f.report.Last))
	}
	_, quarantined := f.quarantined.sum(&f.runs)
	s.Quarantined += quarantined
	for _, c := range [...]*FirstContact{&s.FirstContact.Electricity, &s.FirstContact.Gas} {
		if !c.LastAt.IsZero() {
			c.LastSeconds = c.LastAt.Sub(f.report.First).Seconds()
		}
	}
	s.State, s.Direction, s.Deadline = cmp.Or(f.report.Ended, "open"), f.report.Authority.Reference, f.report.Authority.NotAfter
	s.BeganAt, s.AsOf = f.report.First, f.report.Last
	s.BlastRadius = f.radius.Most
	s.Meters, s.NotCovered, s.SMETS1 = len(f.plan), len(f.report.NotCovered), countSMETS1(f.report.NotCovered)
	s.Counters, f.report.Counters = countCounters(f.counters)
	s.DurationSeconds = f.report.Last.Sub(f.report.First).Seconds()
	if s.DurationSeconds > 0 {
		sent := 0
		for _, c := range s.Requests {
			sent += c.Sent
		}
		s.RequestRate = float64(sent) / s.DurationSeconds
	}
	return &f.report
}

// countRequests gives each request of a meter its class, and leaves out what
// was never sent to a device.
func (f *reading) countRequests(m *meter) {
	for _, r := range m.requests {
		switch {
		case r.Class == record.ClassWithdrawn, r.Class == record.ClassOpen && r.transformed && !r.signed:
			continue
		case r.Class == record.ClassOpen && r.acknowledged:
			r.Class = record.ClassNoResponse
		case r.Class == record.ClassOpen:
			r.Class = record.ClassInDoubt
		}
		c := f.report.Summary.Requests[r.Service.SRV()]
		c.add(r.Class)
		f.report.Summary.Requests[r.Service.SRV()] = c
		m.Requests = append(m.Requests, r.Request)
	}
}

// inspect compares the bytes of a signed request or command with the permitted
// set. It trusts neither the record's columns nor the wall at the socket,
// because it checks their work.
func inspect(rec record.Record) error {
	sent, err := duis.Inspect(rec.Body)
	if err != nil {
		return err
	}
	service, err := sent.Service()
	switch {
	case err != nil:
		return err
	case service != rec.Service || sent.ID != rec.ID:
		return fmt.Errorf("the body is SRV %v, %v", service, sent.ID)
	case (rec.Kind == record.SignedCommand) != (sent.CommandVariant == servicerequests.SendSignedCommand):
		return fmt.Errorf("a %v of Command Variant %d", rec.Kind, sent.CommandVariant)
	case sent.SignedPreCommand == nil:
		return nil
	}
	expected := gbcs.Expected{Service: service, Device: servicerequests.ESME, ID: sent.ID}
	return expected.For(sent.SignedPreCommand).MatchSigned(sent.SignedPreCommand)
}
