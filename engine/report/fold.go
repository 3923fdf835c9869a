package report

import (
	"fmt"
	"iter"
	"slices"
	"time"

	"safemode/engine/journal"
	"safemode/servicerequests"
)

// Report is what a journal tells.
type Report struct {
	Summary    Summary
	Ended      string // the code of the last Closed record; empty if the sweep did not end in order
	Meters     []Meter
	NotCovered []journal.RejectedBody
}

// Meter is one line of meters.csv.
type Meter struct {
	Device         servicerequests.EUI
	Target         journal.TargetBody
	Verdict        journal.VerdictBody
	Requests       []Request // in the order of sending, without those never signed
	LastResponseAt time.Time // zero: none
}

// Request is one Service Request that was sent.
type Request struct {
	ID      servicerequests.RequestID
	Service servicerequests.Service
	SentAt  time.Time
	Class   string // of journal's classes
	Code    string
}

// quarantineAlert is the DCC Alert that says that anomaly detection holds a
// request back (DUIS 5.4, QuarantinedRequest).
const quarantineAlert = "AD1"

// noVerdict is the reason of a meter that the sweep never came to judge.
const noVerdict = "the journal holds no verdict"

// Fold reads a journal's records, from the first on. It fails with the first
// error of the iteration, and on a record that contradicts the format.
func Fold(records iter.Seq2[journal.Record, error]) (*Report, error) {
	f := folder{
		meters:   map[servicerequests.EUI]*meter{},
		targets:  map[servicerequests.EUI]*meter{},
		counters: map[servicerequests.EUI][]uint64{},
	}
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

// folder is the state of a fold.
type folder struct {
	report   Report
	plan     []*meter                       // in the order of the plan
	meters   map[servicerequests.EUI]*meter // by planned meter; also meters that requests name and the plan does not
	targets  map[servicerequests.EUI]*meter // by the target of a request: a gas proxy answers for its meter
	counters map[servicerequests.EUI][]uint64

	first, last time.Time
	opened      bool
}

type meter struct {
	Meter
	requests []*request
}

type request struct {
	Request
	transformed  bool // a Pre-Command came
	signed       bool // a Signed Pre-Command was made
	acknowledged bool // the DCC took what goes to the device
}

func (f *folder) take(r journal.Record) error {
	if f.first.IsZero() {
		f.first = r.At
	}
	if r.At.After(f.last) {
		f.last = r.At
	}
	switch r.Kind {
	case journal.Opened:
		return f.open(r)
	case journal.Target:
		return f.target(r)
	case journal.Rejected:
		body, err := journal.Decode[journal.RejectedBody](r)
		f.report.NotCovered = append(f.report.NotCovered, body)
		return err
	case journal.Request, journal.SignedCommand:
		f.sent(r)
	case journal.PreCommand, journal.Reply:
		f.replied(r)
	case journal.Response:
		f.answered(r)
	case journal.Outcome:
		return f.outcome(r)
	case journal.Refused:
		f.refused(r)
	case journal.Alert:
		if r.Code == quarantineAlert {
			f.report.Summary.Quarantined++
		}
	case journal.Verdict:
		body, err := journal.Decode[journal.VerdictBody](r)
		f.meter(r.Device).Verdict = body
		return err
	case journal.Closed:
		body, err := journal.Decode[journal.ClosedBody](r)
		f.report.Ended = r.Code
		f.report.Summary.Throttled += body.Throttled
		return err
	}
	return nil
}

// open takes the sweep's identity from its first start. Every start takes the
// end of the run before back.
func (f *folder) open(r journal.Record) error {
	f.report.Ended = ""
	if f.opened {
		return nil
	}
	f.opened = true
	body, err := journal.Decode[journal.Opening](r)
	f.report.Summary.SweepID, f.report.Summary.PlanSHA256 = body.SweepID, body.PlanSHA256
	return err
}

func (f *folder) target(r journal.Record) error {
	body, err := journal.Decode[journal.TargetBody](r)
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
func (f *folder) meter(device servicerequests.EUI) *meter {
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
func (f *folder) sent(rec journal.Record) {
	if err := inspect(rec); err != nil {
		f.report.Summary.ForbiddenCommands++
	}
	m := f.meter(rec.Device)
	r := m.find(rec.ID)
	switch {
	case r == nil, rec.Kind == journal.Request, r.signed:
		// Its own counter, or one that is used a second time.
		f.counters[rec.ID.Originator] = append(f.counters[rec.ID.Originator], rec.ID.Counter)
	}
	if r == nil {
		r = &request{Request: Request{ID: rec.ID, Service: rec.Service, SentAt: rec.At}}
		m.requests = append(m.requests, r)
		f.targets[rec.ID.Target] = m
	}
	if rec.Kind == journal.SignedCommand {
		r.signed, r.acknowledged = true, false
	}
}

// replied takes in what the DCC said at once.
func (f *folder) replied(rec journal.Record) {
	r := f.meter(rec.Device).find(rec.ID)
	if r == nil {
		return
	}
	if rec.Kind == journal.PreCommand {
		r.transformed = true
		return
	}
	r.acknowledged = servicerequests.ResponseCode(rec.Code).Class() == servicerequests.CodeAcknowledged
}

// answered notes when a meter was last heard. A gas proxy's answer names the
// proxy.
func (f *folder) answered(rec journal.Record) {
	m := f.meters[rec.Device]
	if m == nil {
		m = f.targets[rec.ID.Target]
	}
	if m != nil {
		m.LastResponseAt = rec.At
	}
}

// outcome ends a request; a late answer ends it once more.
func (f *folder) outcome(rec journal.Record) error {
	body, err := journal.Decode[journal.OutcomeBody](rec)
	if err != nil {
		return err
	}
	if r := f.meter(rec.Device).find(rec.ID); r != nil {
		r.Class, r.Code = body.Class, body.Code
	}
	return nil
}

func (f *folder) refused(rec journal.Record) {
	refused := &f.report.Summary.Refused
	switch rec.Code {
	case journal.RefusedUnpermitted:
		refused.Unpermitted++
	case journal.RefusedUncorrelated:
		refused.Uncorrelated++
	default:
		refused.Unverified++
	}
}

// finish draws the sums.
func (f *folder) finish() *Report {
	s := &f.report.Summary
	s.Requests = map[string]Classes{}
	for _, m := range f.meters {
		f.countRequests(m)
	}
	homes := map[servicerequests.EUI]Verdicts{}
	for _, m := range f.plan {
		if m.Verdict.Verdict == "" {
			m.Verdict.Verdict, m.Verdict.Reason = journal.VerdictUnknown, noVerdict
		}
		s.Verdicts.add(m.Verdict.Verdict)
		home := homes[m.Target.Hub]
		home.add(m.Verdict.Verdict)
		homes[m.Target.Hub] = home
		f.report.Meters = append(f.report.Meters, m.Meter)
	}
	for _, home := range homes {
		s.Homes.add(home)
	}
	s.Meters, s.NotCovered = len(f.plan), len(f.report.NotCovered)
	s.Counters = countCounters(f.counters)
	s.DurationSeconds = f.last.Sub(f.first).Seconds()
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
func (f *folder) countRequests(m *meter) {
	for _, r := range m.requests {
		switch {
		case r.Class == journal.ClassWithdrawn, r.Class == "" && r.transformed && !r.signed:
			continue
		case r.Class == "" && r.acknowledged:
			r.Class = journal.ClassNoResponse
		case r.Class == "":
			r.Class = journal.ClassInDoubt
		}
		c := f.report.Summary.Requests[r.Service.SRV()]
		c.add(r.Class)
		f.report.Summary.Requests[r.Service.SRV()] = c
		m.Requests = append(m.Requests, r.Request)
	}
}

func countCounters(byOriginator map[servicerequests.EUI][]uint64) (c Counters) {
	for _, all := range byOriginator {
		slices.Sort(all)
		different := slices.Compact(slices.Clone(all))
		if c.Used == 0 || different[0] < c.First {
			c.First = different[0]
		}
		c.Last = max(c.Last, different[len(different)-1])
		c.Used += len(different)
		c.Reused += len(all) - len(different)
	}
	return c
}

// add counts a meter. A verdict that is not known is unknown, not lost.
func (v *Verdicts) add(verdict string) {
	switch verdict {
	case journal.VerdictOnSupply:
		v.OnSupply++
	case journal.VerdictArmed:
		v.Armed++
	case journal.VerdictNotSafe:
		v.NotSafe++
	case journal.VerdictExcluded:
		v.Excluded++
	default:
		v.Unknown++
	}
}

// add counts a home by the verdicts of its meters.
func (h *Homes) add(meters Verdicts) {
	switch {
	case meters.NotSafe+meters.Unknown+meters.Excluded > 0:
		h.Other++
	case meters.Armed > 0:
		h.Armed++
	default:
		h.AllOnSupply++
	}
}

// add counts a request. A class that is not known is in doubt, not lost.
func (c *Classes) add(class string) {
	c.Sent++
	switch class {
	case journal.ClassSuccess:
		c.Success++
	case journal.ClassNegative:
		c.Negative++
	case journal.ClassNoResponse:
		c.NoResponse++
	case journal.ClassRejected:
		c.Rejected++
	case journal.ClassUnverified:
		c.Unverified++
	default:
		c.InDoubt++
	}
}
