package ledger

import (
	"cmp"
	"slices"
	"time"

	"safemode/engine/record"
	"safemode/servicerequests"
)

// Pack writes what is known of a meter beyond its plan, or nothing if nothing is known. It
// leaves out requests without a durable record, because a replay of the records would not have
// them.
func (m *Meter) Pack() []byte {
	packed := *m
	packed.Open = slices.DeleteFunc(slices.Clone(m.Open), func(r *Request) bool {
		if r.journalled() {
			return false
		}
		t := packed.Tally(r.Service)
		t.Tries = max(0, t.Tries-1) // a rerun may have taken it back already
		return true
	})
	slices.SortFunc(packed.Open, byCounter)
	if !m.Begun() {
		packed.Started = time.Time{}
		if len(m.Open) == 0 || m.Heard.Equal(m.Started) { // otherwise one of them may be durable, and the meter begins with it
			packed.Heard = time.Time{}
		}
	}
	if packed.blank() {
		return nil
	}
	c := Writer(nil)
	packed.code(c)
	return c.Bytes()
}

// Begun says whether a request of the meter is in the journal, so that a start finds that
// the meter has begun.
func (m *Meter) Begun() bool {
	return !m.Started.IsZero() && (len(m.Past) > 0 || slices.ContainsFunc(m.Open, (*Request).journalled))
}

// Unpack is the inverse of [Meter.Pack], for a meter of which only the plan is known. It
// refuses what Pack does not write, with [ErrPacked].
func (m *Meter) Unpack(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	c := Reader(b)
	m.code(c)
	if err := c.End(); err != nil {
		return err
	}
	idle := len(m.Past)+len(m.Open) == 0
	if m.blank() || idle && !m.Started.IsZero() || !slices.IsSortedFunc(m.Open, byCounter) {
		return ErrPacked
	}
	return nil
}

func byCounter(a, b *Request) int { return cmp.Compare(a.ID.Counter, b.ID.Counter) }

// blank says whether nothing is known beyond the plan.
func (m *Meter) blank() bool {
	return m.Started.IsZero() && m.Heard.IsZero() && m.Counters == (Counters{}) && m.Bars == (Bars{}) && !m.Pending &&
		m.Estimate == (Estimate{}) && m.Alarm == (Alarm{}) && m.Taken == (Taken{}) && len(m.Open) == 0 && len(m.Past) == 0 && m.Verdict == (record.VerdictBody{})
}

// journalled says whether the request is known to be in the journal.
func (r *Request) journalled() bool {
	return r.Phase.signed() || r.Phase == Prepared || r.Phase == Signing && r.Half == SecondHalf
}

// code writes or reads the packed form.
func (m *Meter) code(c *Coder) {
	c.latest = m.journalled()
	c.Uint(&c.latest)
	c.time(&m.Started)
	if !m.Started.IsZero() {
		c.base = m.Started.UnixNano()
	}
	c.time(&m.Heard)
	c.time(&m.Reread)
	c.Flags(&m.CreditAccepted, &m.Pending, &m.Sampled, &m.Bars.Moved, &m.Alarm.Below, &m.Alarm.Suspended)
	for _, counter := range [...]*uint64{
		&m.Counters.FirstSwitch, &m.Counters.FirstCommand, &m.Counters.LastCommand, &m.Counters.StaleMode, &m.Counters.StaleSupply, &m.Alarm.After,
	} {
		c.counter(counter)
	}
	c.time(&m.Counters.FirstSwitchAt)
	c.time(&m.Counters.FirstCommandAt)
	c.time(&m.Alarm.At)
	c.time(&m.Alarm.Switched)
	for i := range m.Taken {
		c.Uint(&m.Taken[i])
	}
	for _, text := range [...]*string{&m.Bars.HeldForPerson, &m.Bars.Person, &m.Bars.Excluded, &m.Verdict.Verdict, &m.Verdict.Reason} {
		c.text(text)
	}
	m.Found.code(c)
	m.Now.code(c)
	if c.time(&m.Estimate.At); !m.Estimate.At.IsZero() {
		number(c, &m.Estimate.Balance)
	}
	m.codeTallies(c)
	n := c.count(len(m.Past))
	if c.reading && n > 0 {
		m.Past = make([]Past, n)
	}
	for i := range m.Past {
		m.Past[i].code(c)
	}
	n = c.count(len(m.Open))
	for i := range n {
		if c.bad {
			return
		}
		if c.reading {
			m.Open = append(m.Open, &Request{})
		}
		m.Open[i].code(c, m)
	}
}

func (r *Readings) code(c *Coder) {
	codeReading(c, &r.Mode)
	codeReading(c, &r.Supply)
	codeReading(c, &r.Balance)
}

func codeReading[T ~uint8 | ~int64](c *Coder, r *Reading[T]) {
	if c.counter(&r.Counter); r.Known() {
		number(c, &r.Value)
		c.time(&r.At)
	}
}

// codeTallies codes the tallies that are not empty.
func (m *Meter) codeTallies(c *Coder) {
	var services []byte
	for service, t := range m.Tallies {
		if t != (Tally{}) {
			services = append(services, byte(service))
		}
	}
	c.Raw(&services)
	for _, service := range services {
		if int(service) >= len(m.Tallies) {
			c.fail()
			return
		}
		t := &m.Tallies[service]
		bounded(c, &t.Last, record.Classes)
		c.Flags(&t.Undelivered, &t.Barred)
		number(c, &t.Tries)
		number(c, &t.Answers)
		number(c, &t.Failures)
		c.text(&t.Code)
		c.time(&t.Next)
	}
}

func (p *Past) code(c *Coder) {
	c.counter(&p.Counter)
	codeService(c, &p.Service)
	bounded(c, &p.Class, record.Classes)
	c.Flags(&p.Proxied, &p.Sampled)
}

func codeService(c *Coder, s *servicerequests.Service) {
	bounded(c, s, len(servicerequests.Services)+1)
	if _, ok := s.Variant(); !ok {
		c.fail()
	}
}

// code codes a request as a start would find it in the journal: ready to be POSTed again, with
// its bytes; sent; or quarantined. A request without a signed Pre-Command asks Transform again,
// with the same bytes.
func (r *Request) code(c *Coder, m *Meter) {
	w := *r
	if !c.reading {
		switch {
		case w.Phase == Prepared, w.Phase == Signing:
			w.Half, w.Body, w.Phase = FirstHalf, w.Asked, Ready
		case w.Phase == Posting, w.Phase == Resting, w.Phase == Sent && w.Body != nil:
			w.Phase, w.SentAt, w.Deadline = Ready, time.Time{}, time.Time{}
		}
	}
	codeService(c, &w.Service)
	bounded(c, &w.Phase, PhaseCount)
	bounded(c, &w.Half, 2)
	c.Flags(&w.Unproven)
	target := uint64(w.ID.Target)
	c.Fixed(&target)
	c.counter(&w.ID.Counter)
	c.time(&w.AskedAt)
	c.time(&w.PostedAt)
	c.time(&w.SentAt)
	c.time(&w.Deadline)
	c.text(&w.Event)
	c.Raw(&w.Body)
	if !c.reading {
		return
	}
	t := m.Tally(w.Service)
	w.Attempt, w.Retry = max(1, int(t.Tries)), t.Failures > 0
	w.ID.Originator, w.ID.Target, w.Reached = m.Plan.Originator, servicerequests.EUI(target), true
	if (w.Phase != Ready || w.Body == nil) && w.Phase != Sent && w.Phase != Quarantined || w.ID.Counter == 0 ||
		w.Half == SecondHalf && !w.Service.Critical() {
		c.fail()
		return
	}
	*r = w
}
