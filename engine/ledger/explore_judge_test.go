package ledger

import (
	"slices"

	"safemode/engine/record"
	"safemode/servicerequests"
)

// checkArm compares a signed 7.3 with the truth.
func (h *home) checkArm() {
	if h.d.person || h.d.found.supply == servicerequests.Disabled && h.d.balance > 0 && !h.touched || h.d.found.supply != servicerequests.Disabled || h.d.found.mode != servicerequests.Prepayment && !h.ran {
		h.fail("a supply is armed that is a person's matter")
	}
}

// replayAgain makes the ledger again from the journal, as a start does, and from its packed form.
// Both must tell what the ledger told.
func (h *home) replayAgain() {
	was := h.m
	packed := &Meter{Device: was.Device, Plan: was.Plan, Proxy: was.Proxy, ProxyClaimed: was.ProxyClaimed}
	if err := packed.Unpack(was.Pack(nil)); err != nil {
		h.fail("%v", err)
	}
	h.m = h.replay()
	for _, m := range [...]*Meter{h.m, packed} { // whoever takes them up knows it by the verdict
		for _, r := range m.Open {
			r.After = was.PendingWith(r.ID).After
		}
	}
	for _, r := range h.m.Open {
		r.AskedAt = h.now
	}
	if diff := different(was, h.m); diff != "" {
		h.fail("the journal tells another story of %s:\n%+v\n%+v", diff, was, h.m)
	}
	if diff := different(was, packed); diff != "" {
		h.fail("the packed form tells another story of %s:\n%+v\n%+v", diff, was, packed)
	}
}

// replay makes a ledger of the records.
func (h *home) replay() *Meter {
	var m *Meter
	for i := range h.records {
		rec := &h.records[i]
		switch rec.Kind {
		case record.Target:
			body, err := record.Decode[record.TargetBody](*rec)
			if err != nil {
				h.fail("%v", err)
			}
			m = New(h.d.eui, body)
		case record.Proven:
			body, err := record.Decode[record.ProvenBody](*rec)
			if err != nil {
				h.fail("%v", err)
			}
			m.ApplyAlert(Alert{Code: AlertFutureDated, Counter: body.Counter, At: body.At, FutureDated: body.FutureDated})
		default:
			if _, err := m.Apply(&h.x.p, rec); err != nil {
				h.fail("replay: record %d: %v", rec.Seq, err)
			}
		}
	}
	return m
}

// different says in what two ledgers of one meter differ; empty: in nothing that matters.
func different(a, b *Meter) string {
	switch {
	case a.Started != b.Started || a.Heard != b.Heard || a.Reread != b.Reread:
		return "times"
	case a.Found != b.Found:
		return "what it was found as"
	case a.Now != b.Now:
		return "the latest readings"
	case a.Counters != b.Counters:
		return "counters"
	case a.Tallies != b.Tallies:
		return "tallies"
	case a.CreditAccepted != b.CreditAccepted || a.Pending != b.Pending || a.Sampled != b.Sampled || a.Proxy != b.Proxy || a.ProxyClaimed != b.ProxyClaimed || a.Estimate != b.Estimate:
		return "marks"
	case a.Alarm != b.Alarm || a.Taken != b.Taken:
		return "alerts"
	case a.Bars != b.Bars:
		return "bars"
	case !slices.Equal(a.Past, b.Past):
		return "the past"
	case !slices.EqualFunc(a.Open, b.Open, func(a, b *Request) bool {
		return a.Service == b.Service && a.ID == b.ID && a.Attempt == b.Attempt && a.Phase == b.Phase && a.Half == b.Half &&
			a.Retry == b.Retry && a.After == b.After && a.Unproven == b.Unproven && a.Event == b.Event &&
			a.PostedAt.Equal(b.PostedAt) && a.Deadline.Equal(b.Deadline) && slices.Equal(a.Body, b.Body)
	}):
		return "open requests"
	}
	return ""
}

// rate compares what the home is taken to use up with what balances can show.
func (h *home) rate() {
	s, p := h.x.p.Spend(h.m), &h.x.p
	switch {
	case s == nil:
	case s.PerDay <= 0, s.By != record.ByReads && (s.By != record.ByPortfolio || h.m.Estimate.At.IsZero()):
		h.fail("it uses up %+v", *s)
	case !h.touched && h.m.Estimate.Balance-h.m.Now.Balance.Value <= 0 && s.By == record.ByPortfolio && h.m.Counters.FirstSwitch == 0:
		h.fail("it uses up %+v, and its balance has not fallen", *s)
	}
	if r := p.RiskOf(h.m, h.now); r.Need == Ending && !h.m.Alarm.Raised() && (r.Ends.Sub(h.now) > p.AtRiskWithin || h.m.CreditAccepted) {
		h.fail("%+v ends soon", r)
	}
}

// conclude compares a verdict with the truth.
func (h *home) conclude() {
	h.x.ends++
	v := h.x.p.Conclude(h.m)
	order := func(s servicerequests.SupplyState) int { return int(s) } // Disabled, Armed, Enabled
	if h.d.supply < h.d.found.supply {
		h.fail("worse off: %v, was found %v", h.d.supply, h.d.found.supply)
	}
	if h.d.mode == servicerequests.Prepayment && h.d.found.mode == servicerequests.Credit && !h.ran {
		h.fail("worse off: in prepayment, was found in credit")
	}
	if v.ModeCounter == 0 {
		return
	}
	supply := h.d.supply
	if h.again && v.SupplyCounter <= h.lastCounter {
		// The read that was made again has got no answer: the verdict is of the day before.
		if supply = h.lastSupply; !v.AsOf.Before(h.now) {
			h.fail("a verdict of the day before, as of now")
		}
	}
	if v.End.Mode != h.d.mode || order(v.End.Supply) > order(supply) || !h.touched && v.End.Supply != supply {
		h.fail("verdict %s rests on %v and %v, it is %v and %v", v.Verdict, v.End.Mode, v.End.Supply, h.d.mode, h.d.supply)
	}
	safe := v.End.Mode == servicerequests.Credit
	switch {
	case v.Verdict == record.VerdictOnSupply && !(safe && v.End.Supply == servicerequests.Enabled),
		v.Verdict == record.VerdictArmed && !(safe && v.End.Supply == servicerequests.Armed):
		h.fail("verdict %s with %v and %v", v.Verdict, v.End.Mode, v.End.Supply)
	}
}
