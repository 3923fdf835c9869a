package ledger

import (
	"encoding/binary"
	"flag"
	"hash/maphash"
	"math/rand/v2"
	"runtime/debug"
	"slices"
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
		m.ProxyClaimed, m.fromUnprovenProxy(m.Found.Mode.Counter), m.fromUnprovenProxy(m.Found.Balance.Counter), m.fromUnprovenProxy(m.Now.Mode.Counter), m.fromUnprovenProxy(m.Now.Balance.Counter))
	rank(m.Now.Mode.Counter, m.Now.Supply.Counter, m.Now.Balance.Counter, m.Found.Balance.Counter,
		n.FirstSwitch, n.FirstCommand, n.LastCommand, n.StaleMode, n.StaleSupply, m.Issued(), d.lastCommand)
	num(int64(m.Now.Mode.Value), int64(m.Now.Supply.Value), int64(m.Now.Balance.Value), int64(m.Found.Mode.Value), int64(m.Found.Supply.Value), int64(m.Found.Balance.Value))
	flag(m.Found.Mode.Known(), m.Found.Supply.Known(), m.Found.Balance.Known())
	num(int64(min(h.now.Sub(m.Now.Supply.At), h.x.p.ArmFresh.of(m)+1)))
	for i := range m.Tallies {
		t := &m.Tallies[i]
		num(int64(t.Tries), int64(t.Answers), int64(t.Failures), int64(t.Last), until(t.Next))
		flag(t.Undelivered, t.Barred)
		b = append(append(b, t.Code...), 0)
	}
	for _, r := range m.Open {
		num(int64(r.Service), int64(r.Half), int64(r.Phase), int64(min(h.now.Sub(r.AskedAt), h.x.p.ReadWait+1)))
		rank(r.ID.Counter)
		flag(r.Reached, r.After)
	}
	b = append(b, 0xFF)
	for _, f := range h.flights {
		num(int64(f.service), int64(f.seen.mode), int64(f.seen.supply), int64(f.balance))
		rank(f.id.Counter)
		flag(f.late, f.done, f.ok)
		if past := m.PastWith(f.id); past != nil { // a late answer finds it
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
			x.p.DarkWait, x.p.DarkAgain = PerFuel[time.Duration]{30 * time.Second, time.Hour}, 10*time.Second
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
