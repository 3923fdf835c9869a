package ledger

import (
	"encoding/binary"
	"flag"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"safemode/engine/record"
	"safemode/servicerequests"
)

var (
	explored = flag.Int("explore", share(60_000), "states of the policy that TestExplore visits; 0: every one there is")
	each     = flag.Int("each", 300, "states that TestExplore visits from one found state; 0: every one there is")
	mishaps  = flag.Int("mishaps", 1, "faults, crashes and touches of a hand on one way that TestExplore walks")
)

// share is a count of walks, and a fifth of it under the race detector: it makes them
// many times as slow and has nothing to see in one goroutine. CI walks them all without.
func share(n int) int {
	if info, ok := debug.ReadBuildInfo(); ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		return n / 5
	}
	return n
}

// Gas proxies that a portfolio may name wrongly: another home's, and one that is not there.
const (
	othersEUI  = servicerequests.EUI(0x00DB123456780013)
	nowhereEUI = servicerequests.EUI(0x00DB123456780023)
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

// explorer visits every state that can be reached from a found state, once.
type explorer struct {
	t       *testing.T
	p       Policy
	w       *world // judges what devices do
	visited map[[2]uint64]struct{}
	seeds   [2]maphash.Seed
	key     []byte
	states  int
	ends    int
	limit   int // of states; 0: none
	random  *rand.Rand
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
	s := h.x.p.Decide(h.m, h.now, Acting)
	h.ask(s.Ask, false)
	return s
}

func (h *home) ask(services []servicerequests.Service, after bool) {
	for _, service := range services {
		if _, ok := service.Variant(); !ok {
			h.fail("a service outside the permitted set: %v", service)
		}
		if service.Critical() && h.m.OpenCommand() != nil {
			h.fail("a second command: %v", service)
		}
		if h.m.OpenOf(service) != nil {
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
	if r := h.m.OpenAs(id); r != nil {
		h.move(r, End)
		body.After = r.After
	}
	h.record(record.Record{Kind: record.Outcome, Service: service, ID: id, Code: class.String(), Body: record.Encode(body)})
	h.m.End(&h.x.p, service, id, &body, h.now)
}

// post POSTs the leg of a request that is to go. fate is one of taken, lostBefore
// and lostAfter, or a code with which the DCC refuses it.
func (h *home) post(id servicerequests.RequestID, how fate) {
	r := h.m.OpenAs(id)
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

// take lets the DCC take a leg; heard says whether the sweep hears of it.
func (h *home) take(r *Request, heard bool) {
	switch r.Endpoint() {
	case record.Transform: // it has no effect; unheard, the same bytes ask again
		if !heard {
			h.onceMore(r)
			return
		}
		h.move(r, Correlated)
		r.Leg, r.Asked, r.Body, r.Reached = CommandLeg, r.Body, nil, false
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

// checkArm holds a 7.3 that is signed against the truth.
func (h *home) checkArm() {
	if h.d.person || h.d.found.supply == servicerequests.Disabled && h.d.balance > 0 && !h.touched || h.d.found.supply != servicerequests.Disabled || h.d.found.mode != servicerequests.Prepayment && !h.ran {
		h.fail("a supply is armed that is a person's matter")
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
	if r := h.m.OpenAs(f.id); r == nil {
		if past := h.m.PastAs(f.id); past == nil || !past.Class.Unanswered() {
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
		// What waits behind it goes after it, as in a lane.
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
		if f.late || h.m.OpenAs(f.id) == nil {
			continue
		}
		giveUp := func(c *home, class record.Class, code string) {
			if c.m.OpenAs(f.id) != nil {
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
			if !c.m.TakeAlert(a) {
				c.fail("an alert is passed over")
			}
		})
	}
	if h.mishaps > 0 {
		branch("crash", func(c *home) { c.mishaps--; c.refold() })
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

// refold makes the ledger again from the journal, as a start does, and from its packed form.
// Both must tell what the ledger told.
func (h *home) refold() {
	was := h.m
	packed := &Meter{Device: was.Device, Plan: was.Plan, Proxy: was.Proxy, ProxyClaimed: was.ProxyClaimed}
	if err := packed.Unpack(was.Pack(nil)); err != nil {
		h.fail("%v", err)
	}
	h.m = h.fold()
	for _, m := range [...]*Meter{h.m, packed} { // whoever takes them up knows it by the verdict
		for _, r := range m.Open {
			r.After = was.OpenAs(r.ID).After
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

// fold makes a ledger of the records.
func (h *home) fold() *Meter {
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
			m.TakeAlert(Alert{Code: AlertFutureDated, Counter: body.Counter, At: body.At, FutureDated: body.FutureDated})
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
		return a.Service == b.Service && a.ID == b.ID && a.Attempt == b.Attempt && a.Phase == b.Phase && a.Leg == b.Leg &&
			a.Retry == b.Retry && a.After == b.After && a.Unproven == b.Unproven && a.Event == b.Event &&
			a.PostedAt.Equal(b.PostedAt) && a.Deadline.Equal(b.Deadline) && slices.Equal(a.Body, b.Body)
	}):
		return "open requests"
	}
	return ""
}

// rate holds what the home is taken to use up against what balances can tell.
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

// conclude holds a verdict against the truth.
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

// sum is the state's name: all that can make a difference to what follows. Counters
// matter by their order alone, times by what is left of them.
func (h *home) sum() [2]uint64 {
	d, m := &h.d, h.m
	n := &m.Counters
	var order [32]uint64
	used := append(order[:0], 0, m.Now.Mode.Counter, m.Now.Supply.Counter, m.Now.Balance.Counter, m.Found.Balance.Counter,
		n.FirstSwitch, n.FirstCommand, n.LastCommand, n.StaleMode, n.StaleSupply, m.Issued(), d.lastCommand)
	for _, r := range m.Open {
		used = append(used, r.ID.Counter)
	}
	for _, f := range h.flights {
		used = append(used, f.id.Counter)
	}
	slices.Sort(used)
	used = slices.Compact(used)
	b := h.x.key[:0]
	num := func(values ...int64) {
		for _, v := range values {
			b = binary.AppendVarint(b, v)
		}
	}
	rank := func(counters ...uint64) {
		for _, c := range counters {
			i, _ := slices.BinarySearch(used, c)
			b = append(b, byte(i))
		}
	}
	flag := func(values ...bool) {
		for _, v := range values {
			if v {
				b = append(b, 1)
			} else {
				b = append(b, 0)
			}
		}
	}
	until := func(t time.Time) int64 { return int64(max(0, t.Sub(h.now))) }
	num(int64(d.mode), int64(d.supply), int64(d.balance), int64(d.emergency), int64(h.mishaps))
	flag(h.again, d.person)
	flag(d.stored, h.touched, h.ran, m.Started.IsZero(), m.CreditAccepted, m.Pending, m.Bars.Excluded != "", m.Proxy != 0, m.Bars.Person != "",
		m.ProxyClaimed, m.hearsay(m.Found.Mode.Counter), m.hearsay(m.Found.Balance.Counter), m.hearsay(m.Now.Mode.Counter), m.hearsay(m.Now.Balance.Counter))
	rank(m.Now.Mode.Counter, m.Now.Supply.Counter, m.Now.Balance.Counter, m.Found.Balance.Counter,
		n.FirstSwitch, n.FirstCommand, n.LastCommand, n.StaleMode, n.StaleSupply, m.Issued(), d.lastCommand)
	num(int64(m.Now.Mode.Value), int64(m.Now.Supply.Value), int64(m.Now.Balance.Value), int64(m.Found.Mode.Value), int64(m.Found.Supply.Value), int64(m.Found.Balance.Value))
	flag(m.Found.Mode.Known(), m.Found.Supply.Known(), m.Found.Balance.Known())
	num(int64(min(h.now.Sub(m.Now.Supply.At), h.x.p.ArmFresh.Of(m)+1)))
	for i := range m.Tallies {
		t := &m.Tallies[i]
		num(int64(t.Tries), int64(t.Answers), int64(t.Failures), int64(t.Last), until(t.Next))
		flag(t.Undelivered, t.Barred)
		b = append(append(b, t.Code...), 0)
	}
	for _, r := range m.Open {
		num(int64(r.Service), int64(r.Leg), int64(r.Phase), int64(min(h.now.Sub(r.AskedAt), h.x.p.ReadWait+1)))
		rank(r.ID.Counter)
		flag(r.Reached, r.After)
	}
	b = append(b, 0xFF)
	for _, f := range h.flights {
		num(int64(f.service), int64(f.seen.mode), int64(f.seen.supply), int64(f.balance))
		rank(f.id.Counter)
		flag(f.late, f.done, f.ok)
		if past := m.PastAs(f.id); past != nil { // a late answer finds it
			num(int64(past.Class))
		}
	}
	h.x.key = b
	return [2]uint64{maphash.Bytes(h.x.seeds[0], b), maphash.Bytes(h.x.seeds[1], b)}
}

// explore visits everything that can follow a state.
func (x *explorer) explore(root *home) {
	stack := []*home{root}
	for len(stack) > 0 && (x.limit == 0 || x.states < x.limit) {
		// Where only some are visited, ways are walked to their end, and others begun.
		i := len(stack) - 1
		if x.limit > 0 && x.random.IntN(8) == 0 {
			i = x.random.IntN(len(stack))
		}
		h := stack[i]
		stack[i] = stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		// A first look asks for what is due; a second one shows what it leads to.
		s := h.decide()
		h.rate()
		key := h.sum()
		if _, ok := x.visited[key]; ok {
			continue
		}
		x.visited[key] = struct{}{}
		x.states++
		if !s.Waiting {
			h.conclude()
		}
		all := h.next()
		if due := x.p.RereadAt(h.m); !s.Waiting && !h.again && !due.IsZero() {
			all = append(all, h.dayLater(due, false), h.dayLater(due, true))
		}
		if s.Waiting && !s.Wake.IsZero() && s.Wake.After(h.now) {
			c := h.clone("time passes")
			c.now = s.Wake
			all = append(all, c)
		}
		if s.Waiting && len(all) == 0 {
			h.fail("nobody looks again")
		}
		if len(h.records) > 400 {
			h.fail("no end")
		}
		stack = append(stack, all...)
		if x.t.Failed() {
			h.fail("the last states before it")
		}
	}
}

// roots are all combinations of what a meter may be found as, of the answers to the
// open questions, and of strategies.
func (x *explorer) roots(visit func(questions, record.Strategy, device)) {
	type marks struct {
		claimed servicerequests.PaymentMode
		history string
	}
	for _, strategy := range []record.Strategy{record.CreditMode, record.Full, record.EmergencyCredit} {
		for q := range 24 {
			open := questions{creditArms: q&1 != 0, armRefused: q&2 != 0, spentSuffice: q&4 != 0, armAnyway: q / 8}
			for _, kind := range []servicerequests.DeviceType{servicerequests.ESME, servicerequests.GSME} {
				for _, mode := range []servicerequests.PaymentMode{servicerequests.Prepayment, servicerequests.Credit} {
					for _, supply := range []servicerequests.SupplyState{servicerequests.Disabled, servicerequests.Armed, servicerequests.Enabled} {
						for _, balance := range []servicerequests.Millipence{10 * servicerequests.Pound, servicerequests.Pound, -5 * servicerequests.Pound} {
							for _, credit := range []emergency{unavailable, available, active, spent} {
								for _, mark := range []marks{
									{servicerequests.Prepayment, ""},
									{servicerequests.Credit, ""},
									{servicerequests.UnknownMode, ""},
									{servicerequests.Credit, HistoryPendingMode},
									{servicerequests.Prepayment, HistoryDisabled},
								} {
									for _, locked := range []bool{false, true} {
										if locked && supply != servicerequests.Disabled || mode == servicerequests.Credit && credit != unavailable {
											continue // there is no such meter
										}
										d := device{
											eui: 0x00DB123456780001, kind: kind, state: state{mode, supply}, balance: balance,
											emergency: credit, locked: locked, claimed: mark.claimed, person: mark.history == HistoryDisabled,
										}
										if balance == servicerequests.Pound { // two days ago it was 9 pounds more
											d.estimate = 10 * servicerequests.Pound
										}
										if mark.history != "" {
											d.history, d.stored = []string{mark.history}, mark.history == HistoryPendingMode
										}
										d.found = d.state
										if kind == servicerequests.ESME {
											visit(open, strategy, d)
											continue
										}
										d.gpf = 0x00DB123456780003
										for _, d.claim = range []servicerequests.EUI{0, d.gpf, othersEUI, nowhereEUI} {
											visit(open, strategy, d)
										}
									}
								}
							}
						}
					}
				}
			}
		}
	}
}

// TestExplore visits every state of one meter under the policy: from every found
// state, with every answer to the open questions, and at each step one fault in both
// forms, a button press, a top-up or a crash, and the stored switch running at any
// step beside; and the day after, when it is read again, a supply that is off. With -mishaps=2 any two of them befall the same meter. Without
// -explore=0 it takes a part of the found states, spread over all of them, and without
// -each=0 a part of what may follow each.
func TestExplore(t *testing.T) {
	x := &explorer{t: t, w: &world{t: t}, seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}, random: rand.New(rand.NewPCG(1, 3))}
	var roots []func()
	x.roots(func(open questions, strategy record.Strategy, d device) {
		roots = append(roots, func() {
			x.p = testPolicy()
			x.p.Strategy, x.p.GasBalanceFromProxy = strategy, d.kind == servicerequests.GSME
			x.p.DailySpend, x.p.AtRiskWithin = 5*servicerequests.Pound, 24*time.Hour
			x.p.RereadArmedAfter, x.p.RereadAfter, x.p.RereadShare = 24*time.Hour, 24*time.Hour, 1
			x.w.questions = open
			x.visited = map[[2]uint64]struct{}{}
			h := &home{x: x, d: d, counter: 1000, now: time.Date(2026, 11, 1, 9, 0, 0, 0, time.UTC), mishaps: *mishaps}
			body := record.TargetBody{
				Type: d.kind, Hub: 0x00DB123456789000, Region: servicerequests.North, Claimed: d.claimed, History: d.history, Originator: ourEUI, Proxy: d.claim,
			}
			if d.estimate != 0 {
				body.BalanceEstimate, body.BalanceAt = &d.estimate, h.now.Add(-48*time.Hour)
			}
			h.record(record.Record{Kind: record.Target, Body: record.Encode(body)})
			h.m = New(d.eui, body)
			x.explore(h)
		})
	})
	visited, most := 0, 0
	const stride = 7919 // a prime: it comes by every root, far from the one before
	for i := range roots {
		if *explored > 0 && x.states >= *explored {
			break
		}
		before := x.states
		if *each > 0 {
			x.limit = before + *each
		}
		roots[i*stride%len(roots)]()
		most = max(most, x.states-before)
		visited++
	}
	t.Logf("%d mishaps: %d states of %d of %d found states walked, %d verdicts, at most %d from one, 0 violations", *mishaps, x.states, visited, len(roots), x.ends, most)
}
