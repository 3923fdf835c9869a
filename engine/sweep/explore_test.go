package sweep

import (
	"encoding/binary"
	"flag"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"safemode/engine/gateway"
	"safemode/engine/record"
	"safemode/servicerequests"
	"safemode/servicerequests/gbcs"
)

var (
	explored = flag.Int("explore", share(60_000), "states of the policy that TestExplore visits; 0: every one there is")
	each     = flag.Int("each", 300, "states that TestExplore visits from one found state; 0: every one there is")
	mishaps  = flag.Int("mishaps", 1, "faults, crashes and touches of a hand on one way that TestExplore walks")
)

// home is one meter and the ledger the sweep keeps of it, with everything on the way
// between them: a state of the exploration.
type home struct {
	x *explorer
	d device
	m *meter

	flights []carried       // what the DCC has taken and the meter has not done, or nobody has heard of
	records []record.Record // what the journal holds
	counter uint64
	now     time.Time

	mishaps      int  // that are left: faults, crashes and touches of a hand
	touched, ran bool // a hand was there; the stored switch has run
	again        bool // it is the day after, and the reads were asked for again

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
	m.open = make([]*request, len(h.m.open))
	for i, r := range h.m.open {
		copied := *r
		copied.meter = &m
		m.open[i] = &copied
	}
	m.ended = slices.Clone(h.m.ended)
	c.flights = slices.Clone(h.flights)
	c.records = slices.Clip(h.records)
	c.path = &trace{step, h.path}
	return &c
}

func (h *home) record(r record.Record) {
	r.At, r.Device, r.Seq = h.now, h.d.eui, uint64(len(h.records))+1
	h.records = append(h.records, r)
}

func (h *home) fail(format string, args ...any) {
	h.x.t.Fatalf("%s\nfound %v and %v, balance %d, emergency credit %d, locked %t, claimed %v, %v, %+v, %s\n  %v",
		fmt.Sprintf(format, args...), h.d.found.mode, h.d.found.supply, h.d.balance, h.d.emergency, h.d.locked, h.d.claimed, h.d.history,
		h.x.w.questions, h.x.p.Strategy, h.path)
}

// decide lets the policy ask for what it wants now.
func (h *home) decide() step {
	s := h.x.p.decide(h.m, h.now)
	h.ask(s.ask)
	return s
}

func (h *home) ask(services []servicerequests.Service) {
	for _, service := range services {
		if _, ok := service.Variant(); !ok {
			h.fail("a service outside the permitted set: %v", service)
		}
		if service.Critical() && h.m.openCommand() != nil {
			h.fail("a second command: %v", service)
		}
		h.counter++
		r := &request{meter: h.m, service: service, attempt: int(h.m.tally(service).tries) + 1, queued: true}
		r.id = servicerequests.RequestID{Originator: ourEUI, Target: h.d.eui, Counter: h.counter}
		switch {
		case service == servicerequests.ReadInventory:
			r.id.Target = dccEUI
		case service == servicerequests.ReadMeterBalance && h.m.gpf != 0 && !h.m.foundBalance.known() && h.m.firstSwitch == 0:
			r.id.Target = h.m.gpf
		}
		h.m.begin(r, h.now)
		r.askedAt, r.postedAt, r.body = h.now, h.now, []byte{}
		h.record(record.Record{Kind: record.Request, Service: service, ID: r.id})
	}
}

// end ends a request as the dispatcher does.
func (h *home) end(service servicerequests.Service, id servicerequests.RequestID, class Class, code string, o *record.Observation, proxy servicerequests.EUI) {
	r := h.m.openAs(id)
	body := record.OutcomeBody{Class: class.String(), Code: code, SentAt: h.now, AnsweredAt: h.now, Observed: o, Proxy: proxy, After: r != nil && r.after}
	h.record(record.Record{Kind: record.Outcome, Service: service, ID: id, Code: body.Class, Body: record.Encode(body)})
	h.m.end(&h.x.p, service, id, body, class)
}

// post POSTs the leg of a request that is to go. fate is one of taken, lostBefore
// and lostAfter, or a code with which the DCC refuses it.
func (h *home) post(id servicerequests.RequestID, how fate) {
	r := h.m.openAs(id)
	if h.m.excluded != "" || r.service == servicerequests.ArmSupply && !h.x.p.mayArm(h.m, signedCounter(r), h.now) {
		h.end(r.service, id, withdrawal(r), "", nil, 0)
		return
	}
	switch how {
	case lostBefore:
		r.reached = true
	case taken, lostAfter:
		r.reached = true
		h.take(r, how == taken)
	case "uncorrelated":
		h.end(r.service, id, Unverified, record.RefusedUncorrelated, nil, 0)
	default:
		h.end(r.service, id, classOf(servicerequests.ResponseCode(how)), string(how), nil, 0)
	}
}

// signedCounter is the counter of a command that is signed, else 0.
func signedCounter(r *request) uint64 {
	if r.leg == commandLeg && r.body != nil {
		return r.id.Counter
	}
	return 0
}

// take lets the DCC take a leg; heard says whether the sweep hears of it.
func (h *home) take(r *request, heard bool) {
	switch r.endpoint() {
	case gateway.Transform: // it has no effect; unheard, the same bytes ask again
		if !heard {
			return
		}
		if r.service == servicerequests.ArmSupply && !h.x.p.mayArm(h.m, 0, h.now) {
			h.end(r.service, r.id, Withdrawn, "", nil, 0)
			return
		}
		r.leg, r.body, r.reached = commandLeg, []byte{}, false
		h.m.commit(r.service, r.id.Counter)
		h.record(record.Record{Kind: record.SignedCommand, Service: r.service, ID: r.id})
		if r.service == servicerequests.ArmSupply {
			h.checkArm()
		}
	case gateway.NonDevice:
		if heard {
			h.end(r.service, r.id, Succeeded, "I0", nil, h.d.gpf)
		}
	default:
		if !slices.ContainsFunc(h.flights, func(f carried) bool { return f.id == r.id }) {
			h.flights = append(h.flights, carried{service: r.service, id: r.id})
		}
		if heard {
			r.queued, r.acknowledged, r.body = false, true, nil
			h.record(record.Record{Kind: record.Reply, Service: r.service, ID: r.id, Code: "I99"})
		}
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
	f.ok = h.d.carryOut(h.x.w, f.service, f.id)
	f.done, f.seen, f.balance = true, h.d.state, h.d.balance
	return false
}

// deliver takes the answer of a flight in.
func (h *home) deliver(f carried, class Class, code string) {
	var o *record.Observation
	if class == Succeeded {
		switch f.service {
		case servicerequests.ReadSupplyStatus:
			o = &record.Observation{Supply: f.seen.supply}
		case servicerequests.ReadPaymentMode:
			o = &record.Observation{Mode: f.seen.mode}
		case servicerequests.ReadMeterBalance:
			o = &record.Observation{Balance: &f.balance}
		}
	}
	if h.m.openAs(f.id) == nil {
		if i := h.m.endedAs(f.id); i < 0 || !h.m.ended[i].class.unanswered() {
			return // a repetition
		}
	}
	h.m.verdict = record.VerdictBody{}
	h.end(f.service, f.id, class, code, o, 0)
}

func (f carried) answer() (Class, string) {
	if f.ok {
		return Succeeded, ""
	}
	return Negative, "250"
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
	for _, r := range h.m.open {
		if !r.queued {
			continue
		}
		name := fmt.Sprintf("%v %v of %d", r.service, r.endpoint(), r.id.Counter)
		branch(name, func(c *home) { c.post(r.id, taken) })
		// What waits behind it goes after it, as in a lane.
		for _, how := range []fate{lostBefore, lostAfter, "E5", "E49", "E20"} {
			fault(name+" "+string(how), func(c *home) { c.post(r.id, how) })
		}
		if r.endpoint() == gateway.Transform {
			fault(name+" uncorrelated", func(c *home) { c.post(r.id, "uncorrelated") })
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
		if f.late || h.m.openAs(f.id) == nil {
			continue
		}
		giveUp := func(c *home, class Class, code string) {
			if c.m.openAs(f.id) != nil {
				c.end(f.service, f.id, class, code, nil, 0)
			}
		}
		fault("E20: "+name, func(c *home) { remove(c); giveUp(c, NoResponse, "E20") })
		fault("not done, E21: "+name, func(c *home) { remove(c); giveUp(c, NoResponse, "E21") })
		fault("not done, silence: "+name, func(c *home) { remove(c); giveUp(c, NoResponse, "") })
		fault("given up, still on its way: "+name, func(c *home) { c.flights[i].late = true; giveUp(c, NoResponse, "E21") })
		fault("done, E21: "+name, func(c *home) { c.execute(&c.flights[i]); remove(c); giveUp(c, NoResponse, "E21") })
		fault("done, E21, answer late: "+name, func(c *home) { c.execute(&c.flights[i]); giveUp(c, NoResponse, "E21") })
		fault("done, not proven: "+name, func(c *home) { c.execute(&c.flights[i]); remove(c); giveUp(c, Unverified, "") })
		fault("refused, not done: "+name, func(c *home) { remove(c); c.deliver(f, Negative, "250") })
		fault("done, called refused: "+name, func(c *home) { c.execute(&c.flights[i]); remove(c); c.deliver(f, Negative, "250") })
		if !f.service.Critical() {
			fault("no value: "+name, func(c *home) { remove(c); c.deliver(f, Negative, codeNoValue) })
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
			c.m.verdict = record.VerdictBody{}
			c.record(record.Record{Kind: record.Alert, Code: "8F66"})
			c.m.alerted(&gbcs.Alert{Code: alertFutureDated, FutureDated: &gbcs.FutureDated{Code: codeECS03}})
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
	if off {
		c.d.supply, c.d.found.supply, c.d.person = servicerequests.Disabled, servicerequests.Disabled, true
	}
	c.ask(h.x.p.rereads(c.m, due))
	for _, r := range c.m.open {
		r.after = true
	}
	return c
}

// refold makes the ledger anew from the journal, as a start does.
func (h *home) refold() {
	s := New(Options{
		Policy: h.x.p, Counters: map[servicerequests.EUI]Counters{ourEUI: h.x.w}, Pacer: h.x.w,
		Log: zap.NewNop(), Registerer: prometheus.NewRegistry(),
	})
	unused := map[servicerequests.RequestID][]record.Record{}
	for _, r := range h.records {
		if r.Kind == record.Alert {
			s.ledger(0).alerted(&gbcs.Alert{Code: alertFutureDated, FutureDated: &gbcs.FutureDated{Code: codeECS03}})
			continue
		}
		if err := s.foldRecord(r, unused); err != nil {
			h.fail("replay: record %d: %v", r.Seq, err)
		}
	}
	was := h.m
	h.m = s.ledger(0)
	for _, r := range h.m.open {
		r.queued = !r.acknowledged
		if r.body == nil && !r.acknowledged {
			r.body = []byte{}
		}
		r.askedAt = h.now
		r.after = was.openAs(r.id).after
	}
	if show(was.mode) != show(h.m.mode) || show(was.supply) != show(h.m.supply) || show(was.foundSupply) != show(h.m.foundSupply) ||
		was.staleMode != h.m.staleMode || was.staleSupply != h.m.staleSupply || len(was.open) != len(h.m.open) || was.pending != h.m.pending ||
		was.tallies != h.m.tallies {
		h.fail("the journal tells another story:\n%+v\n%+v", was, h.m)
	}
}

// conclude holds a verdict against the truth.
func (h *home) conclude() {
	h.x.ends++
	v := h.x.p.conclude(h.m)
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
	if v.End.Mode != h.d.mode || order(v.End.Supply) > order(h.d.supply) || !h.touched && v.End.Supply != h.d.supply {
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
	var order [32]uint64
	used := append(order[:0], 0, m.mode.counter, m.supply.counter, m.balance.counter, m.firstSwitch, m.firstCommand, m.lastCommand,
		m.staleMode, m.staleSupply, m.issued, d.lastCommand)
	for _, r := range m.open {
		used = append(used, r.id.Counter)
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
	flag(d.stored, h.touched, h.ran, m.started.IsZero(), m.creditAccepted, m.pending, m.excluded != "", m.gpf != 0, m.person != "")
	rank(m.mode.counter, m.supply.counter, m.balance.counter, m.firstSwitch, m.firstCommand, m.lastCommand, m.staleMode, m.staleSupply, m.issued, d.lastCommand)
	num(int64(m.mode.value), int64(m.supply.value), int64(m.balance.value), int64(m.foundMode.value), int64(m.foundSupply.value), int64(m.foundBalance.value))
	flag(m.foundMode.known(), m.foundSupply.known(), m.foundBalance.known())
	num(int64(min(h.now.Sub(m.supply.at), h.x.p.ArmFresh.of(m)+1)))
	for i := range m.tallies {
		t := &m.tallies[i]
		num(int64(t.tries), int64(t.answers), int64(t.failures), int64(t.last), until(t.next))
		flag(t.undelivered, t.barred)
		b = append(append(b, t.code...), 0)
	}
	for _, r := range m.open {
		num(int64(r.service), int64(r.leg), int64(min(h.now.Sub(r.askedAt), h.x.p.ReadWait+1)))
		rank(r.id.Counter)
		flag(r.queued, r.acknowledged, r.reached, r.after)
	}
	b = append(b, 0xFF)
	for _, f := range h.flights {
		num(int64(f.service), int64(f.seen.mode), int64(f.seen.supply), int64(f.balance))
		rank(f.id.Counter)
		flag(f.late, f.done, f.ok)
		if i := m.endedAs(f.id); i >= 0 { // a late answer finds it
			num(int64(m.ended[i].class))
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
		key := h.sum()
		if _, ok := x.visited[key]; ok {
			continue
		}
		x.visited[key] = struct{}{}
		x.states++
		if !s.waiting {
			h.conclude()
		}
		all := h.next()
		if due := x.p.rereadAt(h.m); !s.waiting && !h.again && !due.IsZero() {
			all = append(all, h.dayLater(due, false), h.dayLater(due, true))
		}
		if s.waiting && !s.wake.IsZero() && s.wake.After(h.now) {
			c := h.clone("time passes")
			c.now = s.wake
			all = append(all, c)
		}
		if s.waiting && len(all) == 0 {
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
func (x *explorer) roots(visit func(questions, Strategy, device)) {
	type marks struct {
		claimed servicerequests.PaymentMode
		history string
	}
	for _, strategy := range []Strategy{CreditMode, Full, EmergencyCredit} {
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
									{servicerequests.Credit, historyPendingMode},
									{servicerequests.Prepayment, historyDisabled},
								} {
									for _, locked := range []bool{false, true} {
										if locked && supply != servicerequests.Disabled || mode == servicerequests.Credit && credit != unavailable {
											continue // there is no such meter
										}
										d := device{
											eui: 0x00DB123456780001, kind: kind, state: state{mode, supply}, balance: balance,
											emergency: credit, locked: locked, claimed: mark.claimed, person: mark.history == historyDisabled,
										}
										if kind == servicerequests.GSME {
											d.gpf = 0x00DB123456780003
										}
										if mark.history != "" {
											d.history, d.stored = []string{mark.history}, mark.history == historyPendingMode
										}
										d.found, d.answered = d.state, map[uint64]state{}
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

// TestExplore visits every state of one meter under the policy: from every found
// state, with every answer to the open questions, and at each step one fault in both
// forms, a button press, a top-up or a crash, and the stored switch running at any
// step beside; and the day after, when it is read again, a supply that is off. With -mishaps=2 any two of them befall the same meter. Without
// -explore=0 it takes a part of the found states, spread over all of them, and without
// -each=0 a part of what may follow each.
func TestExplore(t *testing.T) {
	x := &explorer{t: t, w: &world{t: t}, seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}, random: rand.New(rand.NewPCG(1, 3))}
	var roots []func()
	x.roots(func(open questions, strategy Strategy, d device) {
		roots = append(roots, func() {
			x.p = testPolicy()
			x.p.Strategy, x.p.GasBalanceFromProxy = strategy, d.kind == servicerequests.GSME
			x.p.RereadAfter, x.p.RereadShare = 24*time.Hour, 1
			x.w.questions = open
			x.visited = map[[2]uint64]struct{}{}
			h := &home{x: x, d: d, counter: 1000, now: time.Date(2026, 11, 1, 9, 0, 0, 0, time.UTC), mishaps: *mishaps}
			h.record(record.Record{Kind: record.Target, Body: record.Encode(record.TargetBody{
				Type: d.kind, Hub: 0x00DB123456789000, Region: servicerequests.North, Claimed: d.claimed, History: d.history, Originator: ourEUI,
			})})
			h.m = newMeter(d.eui, record.TargetBody{Type: d.kind, Region: servicerequests.North, Claimed: d.claimed, History: d.history, Originator: ourEUI})
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
