package ledger

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"safemode/engine/record"
	"safemode/servicerequests"
)

// home is one meter and the ledger the sweep keeps of it, with everything on the way
// between them: a state of the exploration.
type home struct {
	x *explorer
	d device
	m *Meter

	flights []carried       // what the DCC has taken and the meter has not done, or nobody has heard of
	records []record.Record // what the journal holds
	counter uint64
	now     time.Time

	mishaps      int  // that are left: faults, crashes and touches of a hand
	touched, ran bool // a hand was there; the stored switch has run
	again        bool // it is the day after, and the reads were asked for again

	// The day before: the last counter of then, and what the supply was.
	lastCounter uint64
	lastSupply  servicerequests.SupplyState

	path *trace
}

// carried is a request that the DCC has taken. Late ones the sweep has given up.
type carried struct {
	service servicerequests.Service
	id      servicerequests.RequestID
	late    bool
	done    bool // carried out, and the answer is on its way
	ok      bool // what it says
	seen    state
	balance servicerequests.Millipence
}

// trace is how a state was reached.
type trace struct {
	step   string
	before *trace
}

func (p *trace) String() string {
	var steps []string
	for ; p != nil; p = p.before {
		steps = append(steps, p.step)
	}
	slices.Reverse(steps)
	return strings.Join(steps, "\n  ")
}

// clone copies a state for a next step.
func (h *home) clone(step string) *home {
	c := *h
	m := *h.m
	c.m = &m
	m.Open = make([]*Request, len(h.m.Open))
	for i, r := range h.m.Open {
		copied := *r
		m.Open[i] = &copied
	}
	m.Past = slices.Clone(h.m.Past)
	c.flights = slices.Clone(h.flights)
	c.records = slices.Clip(h.records)
	c.path = &trace{step, h.path}
	return &c
}

func (h *home) record(r record.Record) *record.Record {
	r.At, r.Device, r.Seq = h.now, h.d.eui, uint64(len(h.records))+1
	h.records = append(h.records, r)
	return &h.records[len(h.records)-1]
}

// apply records what is durable, and takes it in.
func (h *home) apply(r record.Record) {
	if _, err := h.m.Apply(&h.x.p, h.record(r)); err != nil {
		h.fail("%v", err)
	}
}

// move takes a request through events that must be possible.
func (h *home) move(r *Request, events ...Event) {
	for _, e := range events {
		if err := r.Move(e); err != nil {
			h.fail("%v", err)
		}
	}
}

func (h *home) fail(format string, args ...any) {
	h.x.t.Fatalf("%s\nfound %v and %v, balance %d, emergency credit %d, locked %t, claimed %v, %v, %+v, %s\n  %v",
		fmt.Sprintf(format, args...), h.d.found.mode, h.d.found.supply, h.d.balance, h.d.emergency, h.d.locked, h.d.claimed, h.d.history,
		h.x.w.questions, h.x.p.Strategy, h.path)
}

// decide lets the policy ask for what it wants now.
func (h *home) decide() Step {
	s := h.x.p.Decide(h.m, h.now, Commanding)
	h.ask(s.Ask, false)
	return s
}

func (h *home) ask(services []servicerequests.Service, after bool) {
	for _, service := range services {
		if _, ok := service.Variant(); !ok {
			h.fail("a service outside the permitted set: %v", service)
		}
		if service.Critical() && h.m.openCommand() != nil {
			h.fail("a second command: %v", service)
		}
		if h.m.PendingOf(service) != nil {
			h.fail("asked for twice at once: %v", service)
		}
		h.counter++
		r := h.m.Ask(&h.x.p, service, dccEUI, after, h.now)
		h.move(r, Room)
		r.ID.Counter, r.AskedAt = h.counter, h.now
		h.move(r, Sign)
		h.apply(record.Record{Kind: record.Request, Service: service, ID: r.ID, Body: []byte{1}})
		h.move(r, Denied) // it waits for its turn to be POSTed
	}
}

// end ends a request as the dispatcher does.
func (h *home) end(service servicerequests.Service, id servicerequests.RequestID, class record.Class, code string, o *record.Observation, proxy servicerequests.EUI) {
	body := record.OutcomeBody{Class: class, Code: code, SentAt: h.now, AnsweredAt: h.now, Observed: o, Proxy: proxy}
	if r := h.m.PendingWith(id); r != nil {
		h.move(r, End)
		body.After = r.After
	}
	h.record(record.Record{Kind: record.Outcome, Service: service, ID: id, Code: class.String(), Body: record.Encode(body)})
	h.m.End(&h.x.p, service, id, &body, h.now)
}

// post POSTs the half of a request that is to go. fate is one of taken, lostBefore
// and lostAfter, or a code with which the DCC refuses it.
func (h *home) post(id servicerequests.RequestID, how fate) {
	r := h.m.PendingWith(id)
	if h.m.Bars.Excluded != "" || r.Service == servicerequests.ArmSupply && !h.x.p.MayArm(h.m, signedCounter(r), h.now) {
		class := record.ClassWithdrawn
		if r.Reached {
			class = record.ClassInDoubt
		}
		h.end(r.Service, id, class, "", nil, 0)
		return
	}
	h.move(r, Post)
	if r.ID.Target == nowhereEUI && (how == taken || how == lostAfter) {
		how = "E19" // the DCC knows no such device
	}
	switch how {
	case lostBefore:
		h.onceMore(r)
	case taken, lostAfter:
		h.take(r, how == taken)
	case "uncorrelated":
		h.end(r.Service, id, record.ClassUnverified, record.RefusedUncorrelated, nil, 0)
	default:
		h.end(r.Service, id, record.ClassOf(servicerequests.ResponseCode(how)), string(how), nil, 0)
	}
}

// onceMore has the same bytes go once more.
func (h *home) onceMore(r *Request) {
	r.Reached = true
	h.move(r, Doubtful, Due)
}

// signedCounter is the counter of a command that is signed, else 0.
func signedCounter(r *Request) uint64 {
	if r.Command() && r.Body != nil {
		return r.ID.Counter
	}
	return 0
}

// take lets the DCC take a half; heard says whether the sweep learns of it.
func (h *home) take(r *Request, heard bool) {
	switch r.Endpoint() {
	case record.Transform: // it has no effect; unheard, the same bytes ask again
		if !heard {
			h.onceMore(r)
			return
		}
		h.move(r, Correlated)
		r.Half, r.Asked, r.Body, r.Reached = SecondHalf, r.Body, nil, false
		if r.Service == servicerequests.ArmSupply && !h.x.p.MayArm(h.m, 0, h.now) {
			h.end(r.Service, r.ID, record.ClassWithdrawn, "", nil, 0)
			return
		}
		h.move(r, Sign)
		h.apply(record.Record{Kind: record.SignedCommand, Service: r.Service, ID: r.ID, Body: []byte{2}})
		h.move(r, Denied)
		if r.Service == servicerequests.ArmSupply {
			h.checkArm()
		}
	case record.NonDevice:
		if !heard {
			h.onceMore(r)
			return
		}
		h.end(r.Service, r.ID, record.ClassSuccess, "I0", nil, h.d.gpf)
	default:
		if !slices.ContainsFunc(h.flights, func(f carried) bool { return f.id == r.ID }) {
			h.flights = append(h.flights, carried{service: r.Service, id: r.ID})
		}
		if !heard {
			h.onceMore(r)
			return
		}
		r.Reached = true
		h.move(r, Acknowledged)
		h.x.p.Wait(h.m, r, true, h.now)
		h.record(record.Record{Kind: record.Reply, Service: r.Service, ID: r.ID, Code: "I99"})
	}
}

// execute lets the device do what a flight asks for, if it is not a replay.
func (h *home) execute(f *carried) (replayed bool) {
	if f.service.Critical() && f.id.Counter <= h.d.lastCommand {
		return true
	}
	if f.id.Target == h.d.claim && h.d.claim != h.d.gpf { // another home's: that one is dark
		f.ok, f.done, f.seen, f.balance = true, true, state{servicerequests.Prepayment, servicerequests.Disabled}, -5*servicerequests.Pound
		return false
	}
	f.ok = h.d.carryOut(h.x.w, f.service, f.id)
	f.done, f.seen, f.balance = true, h.d.state, h.d.balance
	return false
}

// deliver takes the answer of a flight in.
func (h *home) deliver(f carried, class record.Class, code string) {
	var o *record.Observation
	if class == record.ClassSuccess {
		switch f.service {
		case servicerequests.ReadSupplyStatus:
			o = &record.Observation{Supply: f.seen.supply}
		case servicerequests.ReadPaymentMode:
			o = &record.Observation{Mode: f.seen.mode}
		case servicerequests.ReadMeterBalance:
			o = &record.Observation{Balance: &f.balance}
		}
	}
	if r := h.m.PendingWith(f.id); r == nil {
		if past := h.m.PastWith(f.id); past == nil || !past.Class.Unanswered() {
			return // a repetition
		}
	} else if !r.Answerable() {
		h.fail("%v is answered and not answerable: %v", f.service, r.Phase)
	}
	h.m.Verdict = record.VerdictBody{}
	h.end(f.service, f.id, class, code, o, 0)
}

func (f carried) answer() (record.Class, string) {
	if f.ok {
		return record.ClassSuccess, ""
	}
	return record.ClassNegative, "250"
}

// next returns every state that may follow.
func (h *home) next() (all []*home) {
	branch := func(step string, do func(*home)) {
		c := h.clone(step)
		do(c)
		all = append(all, c)
	}
	fault := func(step string, do func(*home)) {
		if h.mishaps > 0 {
			branch("fault: "+step, func(c *home) { c.mishaps--; do(c) })
		}
	}
	for _, r := range h.m.Open {
		if r.Phase != Ready {
			continue
		}
		name := fmt.Sprintf("%v %v of %d", r.Service, r.Endpoint(), r.ID.Counter)
		branch(name, func(c *home) { c.post(r.ID, taken) })
		// A request that waits behind it goes after it, as in a queue.
		for _, how := range []fate{lostBefore, lostAfter, "E5", "E49", "E20"} {
			fault(name+" "+string(how), func(c *home) { c.post(r.ID, how) })
		}
		if h.m.ProxyClaimed && r.ID.Target == h.m.Proxy {
			branch(name+" E4", func(c *home) { // another supplier's
				if c.post(r.ID, "E4"); c.m.Bars.Excluded != "" {
					c.fail("a home is excluded for a proxy that only the portfolio names")
				}
			})
		}
		if r.Endpoint() == record.Transform {
			fault(name+" uncorrelated", func(c *home) { c.post(r.ID, "uncorrelated") })
		}
		break
	}
	for i, f := range h.flights {
		name := fmt.Sprintf("%v under %d", f.service, f.id.Counter)
		remove := func(c *home) { c.flights = slices.Delete(c.flights, i, i+1) }
		if f.done {
			branch("late answer: "+name, func(c *home) { remove(c); class, code := f.answer(); c.deliver(f, class, code) })
			continue
		}
		branch("done: "+name, func(c *home) {
			g := c.flights[i]
			replayed := c.execute(&g)
			remove(c)
			if !replayed {
				class, code := g.answer()
				c.deliver(g, class, code)
			}
		})
		if f.late || h.m.PendingWith(f.id) == nil {
			continue
		}
		giveUp := func(c *home, class record.Class, code string) {
			if c.m.PendingWith(f.id) != nil {
				c.end(f.service, f.id, class, code, nil, 0)
			}
		}
		fault("E20: "+name, func(c *home) { remove(c); giveUp(c, record.ClassNoResponse, "E20") })
		fault("not done, E21: "+name, func(c *home) { remove(c); giveUp(c, record.ClassNoResponse, "E21") })
		fault("not done, silence: "+name, func(c *home) { remove(c); giveUp(c, record.ClassNoResponse, "") })
		fault("given up, still on its way: "+name, func(c *home) { c.flights[i].late = true; giveUp(c, record.ClassNoResponse, "E21") })
		fault("done, E21: "+name, func(c *home) { c.execute(&c.flights[i]); remove(c); giveUp(c, record.ClassNoResponse, "E21") })
		fault("done, E21, answer late: "+name, func(c *home) { c.execute(&c.flights[i]); giveUp(c, record.ClassNoResponse, "E21") })
		fault("done, not proven: "+name, func(c *home) { c.execute(&c.flights[i]); remove(c); giveUp(c, record.ClassUnverified, "") })
		fault("refused, not done: "+name, func(c *home) { remove(c); c.deliver(f, record.ClassNegative, "250") })
		fault("done, called refused: "+name, func(c *home) { c.execute(&c.flights[i]); remove(c); c.deliver(f, record.ClassNegative, "250") })
		if !f.service.Critical() {
			fault("no value: "+name, func(c *home) { remove(c); c.deliver(f, record.ClassNegative, record.CodeNoValue) })
		}
	}
	if h.mishaps > 0 {
		if h.d.supply == servicerequests.Armed {
			branch("press", func(c *home) { c.mishaps--; c.touched = true; c.d.supply = servicerequests.Enabled })
		}
		branch("top-up", func(c *home) {
			c.mishaps--
			c.touched = true
			c.d.balance += 10 * servicerequests.Pound
			if c.d.mode == servicerequests.Prepayment && c.d.supply == servicerequests.Disabled && !c.d.locked && !c.d.person {
				c.d.supply = servicerequests.Armed
			}
		})
	}
	if h.d.stored {
		branch("the stored switch runs", func(c *home) {
			c.d.stored, c.d.mode, c.ran = false, servicerequests.Prepayment, true
			c.m.Verdict = record.VerdictBody{}
			a := Alert{Code: AlertFutureDated, Counter: 1, At: c.now, FutureDated: CodeECS03}
			c.record(record.Record{Kind: record.Proven, Code: "8F66", Body: record.Encode(record.ProvenBody{
				At: a.At, Code: "8F66", Counter: a.Counter, FutureDated: a.FutureDated,
			})})
			if !c.m.ApplyAlert(a) {
				c.fail("an alert is passed over")
			}
		})
	}
	if h.mishaps > 0 {
		branch("crash", func(c *home) { c.mishaps--; c.replayAgain() })
	}
	return all
}

// dayLater is the day after a verdict, when the meter is read again: it is as it was, or
// its supply has been turned off for whatever reason, and then only a person may arm it.
func (h *home) dayLater(due time.Time, off bool) *home {
	c := h.clone(fmt.Sprintf("a day later, turned off: %t", off))
	c.again, c.now = true, due
	c.lastCounter, c.lastSupply = c.counter, c.d.supply
	if off {
		c.d.supply, c.d.found.supply, c.d.person = servicerequests.Disabled, servicerequests.Disabled, true
	}
	c.ask(h.x.p.Rereads(c.m, due), true)
	return c
}
