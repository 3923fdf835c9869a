package sweep

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"safemode/engine/gateway"
	"safemode/engine/proof"
	"safemode/engine/record"
	"safemode/servicerequests"
	"safemode/servicerequests/gbcs"
)

var walks = flag.Int("walks", share(400), "random walks through found states, answers to the open questions and faults")

// share is a count of walks, and a fifth of it under the race detector: it makes them
// many times as slow and has nothing to see in one goroutine. CI walks them all without.
func share(n int) int {
	if info, ok := debug.ReadBuildInfo(); ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		return n / 5
	}
	return n
}

// walker is the dispatcher's loop with everything in one goroutine, one step at a
// time, so that all that can come between two steps does.
type walker struct {
	*world
	s       *Sweep
	jobs    []job
	results []result
	crashAt int // the step before which the process dies; 0: never
	lives   int // crashes, stops and failing disks that are left
	days    int // after the verdicts on which the same command is given again
	faults  float64
	steps   int
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

// newWalker draws a home: an electricity meter and a gas meter behind one hub.
func newWalker(t testing.TB, seed uint64, crashAt int) *walker {
	r := rand.New(rand.NewPCG(seed, 2))
	draw := func(eui, gpf servicerequests.EUI, kind servicerequests.DeviceType) *device {
		d := &device{
			eui: eui, gpf: gpf, kind: kind,
			state: state{
				pick(r, servicerequests.Prepayment, servicerequests.Prepayment, servicerequests.Credit),
				pick(r, servicerequests.Disabled, servicerequests.Disabled, servicerequests.Armed, servicerequests.Enabled),
			},
			balance:   pick(r, 10*servicerequests.Pound, servicerequests.Pound, 0, -5*servicerequests.Pound),
			emergency: pick(r, unavailable, available, active, spent),
			claimed:   pick(r, servicerequests.Prepayment, servicerequests.Prepayment, servicerequests.Credit),
		}
		d.locked = d.supply == servicerequests.Disabled && r.IntN(6) == 0
		switch r.IntN(8) {
		case 0:
			d.stored, d.history = true, []string{historyPendingMode}
		case 1:
			d.history = []string{historyDisabled}
		}
		return d
	}
	w := &walker{world: newWorld(t), crashAt: crashAt, lives: 3}
	w.random = r
	w.add(draw(0x00DB123456780001, 0, servicerequests.ESME), ourEUI, servicerequests.North)
	w.add(draw(0x00DB123456780002, 0x00DB123456780003, servicerequests.GSME), otherEUI, servicerequests.North)
	w.questions = questions{r.IntN(2) == 0, r.IntN(3), r.IntN(2) == 0, r.IntN(2) == 0}
	w.policy.Strategy = pick(r, CreditMode, CreditMode, Full, EmergencyCredit)
	w.policy.GasBalanceFromProxy = r.IntN(2) == 0
	w.perHub = pick(r, 1, 4)
	w.faults = pick(r, 0, 0.1, 0.3, 0.6)
	w.post = func(p piece) fate {
		if r.Float64() >= w.faults {
			return taken
		}
		return pick(r, notWritten, throttled, lostBefore, lostAfter, lostAfter, badReply, badStatus, "I99", "E20", "E21", "E5", "E49", "E1")
	}
	w.world.flight = func(f *flight) fate {
		if r.Float64() >= w.faults {
			return answered
		}
		return pick(r, twice, undeliv, noAnswer, doneSilent, doneE21, doneLate, lost, refused, garbled, noValue)
	}
	w.limit = func() bool { return r.IntN(10) > 0 }
	if r.IntN(3) == 0 {
		w.policy.RereadAfter, w.policy.RereadShare, w.days = 24*time.Hour, pick(r, 0, 1.0), 2
	}
	w.policy.BalanceAfter = r.IntN(2) == 0
	w.start()
	return w
}

// start begins a process: the first one or the next.
func (w *walker) start() {
	w.jobs, w.results, w.leaves = nil, nil, 0
	w.s = w.open()
	for _, e := range gateway.Services {
		w.s.submit[e] = func(j job) error { w.jobs = append(w.jobs, j); return nil }
	}
	w.s.started = time.Now()
	w.s.begin()
}

// die ends the process without a word, or with the last of it still written.
func (w *walker) die() {
	w.disk.crash(w.random.IntN(3) * w.random.IntN(20))
	w.start()
}

// run walks until every meter has its verdict and nothing is under way.
func (w *walker) run() {
	for ; ; w.steps++ {
		if w.steps > 20_000 || w.t.Failed() {
			w.t.Fatal("no good end")
		}
		if w.crashAt > 0 && w.steps == w.crashAt {
			w.die()
		}
		if w.lives > 0 && w.random.Float64() < w.faults/200 {
			w.lives--
			w.disk.failAt, w.disk.applied = w.disk.commits+1+w.random.IntN(5), w.random.IntN(2) == 0
		}
		if w.disk.err != nil {
			w.s.stop(journalFailed, nil)
		}
		w.s.pump()
		w.check()
		if w.random.IntN(20) == 0 {
			w.s.keepState(true)
		}
		if w.s.halt != nil {
			w.die()
			continue
		}
		if w.s.paused && w.random.IntN(10) == 0 {
			w.s.resume()
			continue
		}
		var steps []func()
		if n := len(w.jobs); n > 0 {
			steps = append(steps, w.work)
		}
		if len(w.results) > 0 {
			steps = append(steps, w.finish)
		}
		if n := len(w.flights); n > 0 {
			steps = append(steps, func() { w.arrive(w.random.IntN(n)) })
		}
		if len(w.world.inbox) > 0 {
			steps = append(steps, w.take)
		}
		switch n := w.random.Float64(); {
		case len(steps) == 0 || n < w.faults/5:
			if !w.wait() && len(steps) == 0 {
				if w.settle() {
					return
				}
			}
		case n > 1-w.faults/50:
			w.s.paused = true
		default:
			pick(w.random, steps...)()
		}
	}
}

func remove[T any](r *rand.Rand, from *[]T) T {
	i := r.IntN(len(*from))
	x := (*from)[i]
	*from = slices.Delete(*from, i, i+1)
	return x
}

// work lets a worker do a leg; its result is taken in later.
func (w *walker) work() {
	j := remove(w.random, &w.jobs)
	w.results = append(w.results, w.s.exchange.run(w.t.Context(), j))
}

func (w *walker) finish() { w.s.finishLeg(remove(w.random, &w.results)) }

// take lets the inbox take a delivery in.
func (w *walker) take() {
	d := remove(w.random, &w.world.inbox)
	if !w.deliver(d, w.hand) {
		w.world.inbox = append(w.world.inbox, d)
	}
}

// hand gives the dispatcher a delivery.
func (w *walker) hand(ctx context.Context, r record.Record, d proof.Delivery) error {
	if err := w.disk.Commit(ctx, r); err != nil {
		return err
	}
	w.s.deliver(d)
	return nil
}

// wait lets time pass until the dispatcher has something to do, and says whether
// there is such a time.
func (w *walker) wait() bool {
	next := w.s.next()
	if next.IsZero() {
		return false
	}
	time.Sleep(max(time.Until(next), time.Millisecond))
	return true
}

// settle is asked when nothing is under way and no time is awaited. It says
// whether that is the end.
func (w *walker) settle() bool {
	switch {
	case w.s.paused:
		w.s.resume()
		return false
	case w.s.done < w.s.roll.size:
		w.t.Fatalf("nobody looks again at %d meters", w.s.roll.size-w.s.done)
	}
	for _, d := range w.devices {
		if d.stored { // at last the switch that somebody stored runs, and tells of it
			d.stored, d.mode = false, servicerequests.Prepayment
			w.world.inbox = append(w.world.inbox, proof.Delivery{Device: d.eui, Signed: true, Alert: &gbcs.Alert{
				Code: alertFutureDated, FutureDated: &gbcs.FutureDated{Code: codeECS03},
			}})
			return false
		}
	}
	if w.days == 0 {
		return true
	}
	w.days--
	for _, d := range w.devices {
		if d.supply == servicerequests.Armed && w.random.IntN(2) == 0 {
			d.supply, d.pressed = servicerequests.Enabled, true
		}
	}
	time.Sleep(w.policy.RereadAfter)
	w.die()
	return false
}

// check holds the dispatcher's state against its rules.
func (w *walker) check() {
	s, t := w.s, w.t
	hubs, regions := map[hubKey]int{}, map[servicerequests.Region]int{}
	done := 0
	for _, m := range s.ledgers() {
		commands, attended := 0, !m.due.IsZero()
		for _, r := range m.open {
			if r.service.Critical() {
				commands++
			}
			if r.id.Counter != 0 {
				regions[m.target.Region]++
			}
			if h := s.hub(m); !slices.Contains(h.waiting, r) {
				hubs[hubKey{m.target.Hub, m.gas()}]++
			}
			if !r.queued && r.deadline.IsZero() && r.retryAt.IsZero() && s.halt == nil {
				t.Fatalf("%v: open %v has no end", m.device, r.service)
			}
			attended = attended || r.queued
		}
		if commands > 1 {
			t.Fatalf("%v: %d commands open", m.device, commands)
		}
		if m.done {
			done++
			if slices.ContainsFunc(m.open, func(r *request) bool { return !r.after }) {
				t.Fatalf("%v: a verdict with %d requests open", m.device, len(m.open))
			}
		} else if !m.started.IsZero() && !attended && s.open() {
			t.Fatalf("%v: nobody looks again", m.device)
		}
	}
	sum := 0
	for _, n := range s.verdicts {
		sum += n
	}
	if done != s.done || sum != done {
		t.Fatalf("%d meters are done, counted %d, by verdict %d", done, s.done, sum)
	}
	for key, h := range s.hubs {
		if h.open != hubs[key] {
			t.Fatalf("hub counts %d open, has %d", h.open, hubs[key])
		}
	}
	for _, l := range s.lanes {
		if l.inFlight != regions[l.region] {
			t.Fatalf("%v counts %d in flight, has %d", l.region, l.inFlight, regions[l.region])
		}
	}
	if working := len(w.jobs); w.leaves != working {
		t.Fatalf("%d leaves of the breaker for %d legs under way", w.leaves, working)
	}
}

// conclude holds the end against the truth.
func (w *walker) conclude() {
	s, t := w.s, w.t
	for i, m := range s.ledgers() {
		d := w.devices[i]
		v := w.disk.verdict(t, m.device)
		if v.ModeCounter != 0 {
			if got := d.answered[v.ModeCounter].mode; got != v.End.Mode || got != d.mode {
				t.Fatalf("%v: claimed %v, read %v, is %v", d.eui, v.End.Mode, got, d.mode)
			}
			if got := d.answered[v.SupplyCounter].supply; got != v.End.Supply || got != d.supply && !d.pressed {
				t.Fatalf("%v: claimed %v, read %v, is %v", d.eui, v.End.Supply, got, d.supply)
			}
		}
		is := d.supply
		if d.pressed && v.SupplyCounter != 0 { // nobody may have heard of it
			is = d.answered[v.SupplyCounter].supply
		}
		var want string
		switch {
		case m.excluded != "":
			want = record.VerdictExcluded
		case v.ModeCounter == 0:
			want = record.VerdictUnknown
		case d.mode != servicerequests.Credit || is == servicerequests.Disabled:
			want = record.VerdictNotSafe
		case is == servicerequests.Armed:
			want = record.VerdictArmed
		default:
			want = record.VerdictOnSupply
		}
		if v.Verdict != want {
			t.Fatalf("%v: verdict %s, want %s", d.eui, v.Verdict, want)
		}
		if w.faults == 0 && w.crashAt == 0 && want == record.VerdictUnknown {
			t.Fatalf("%v: unknown, though nothing went wrong: %s", d.eui, v.Reason)
		}
	}
	ends := map[servicerequests.RequestID]bool{}
	verdicts := map[servicerequests.EUI]string{}
	for _, r := range w.disk.all() {
		switch r.Kind {
		case record.Request:
			if _, ok := ends[r.ID]; ok {
				t.Fatalf("counter %d is used twice", r.ID.Counter)
			}
			ends[r.ID] = false
		case record.Outcome:
			if class, ok := parseClass(r.Code); !ok || class == Open {
				t.Fatalf("outcome of class %q", r.Code)
			}
			ends[r.ID] = true
		case record.Verdict:
			verdicts[r.Device] = r.Code
		}
	}
	for id, ended := range ends {
		if !ended {
			t.Fatalf("%v has no outcome", id)
		}
	}
	for _, m := range s.ledgers() {
		if verdicts[m.device] != m.verdict.Verdict {
			t.Fatalf("%v: the journal says %q, the sweep %q", m.device, verdicts[m.device], m.verdict.Verdict)
		}
	}
	w.disk.crash(len(w.disk.queued))
	again := w.open()
	swept, folded := ledgers(s), ledgers(again)
	more := false
	for device, l := range swept {
		// An answer that came while a worker was signing may count as found only in
		// the journal's order of events; so the fold may know more, never less.
		for i, found := range l.Found {
			if found == show(reading[int]{}) {
				more = more || folded[device].Found[i] != found
				folded[device].Found[i] = found
			}
		}
	}
	if diff := cmp.Diff(swept, folded); diff != "" {
		t.Fatalf("the journal tells another story (-swept +folded):\n%s", diff)
	}
	if more {
		return
	}
	again.begin()
	again.pump()
	if again.done != again.roll.size {
		t.Fatalf("going on with a finished sweep opens %d meters", again.roll.size-again.done)
	}
}

// ledger is what a fold must give as it was.
type ledger struct {
	Mode, Supply, Balance, Excluded, Person string
	Found, Tallies                          []string
	Pending, Accepted                       bool
}

func ledgers(s *Sweep) map[string]ledger {
	all := map[string]ledger{}
	for _, m := range s.ledgers() {
		l := ledger{
			Mode: show(m.mode), Supply: show(m.supply), Balance: show(m.balance),
			Found:    []string{show(m.foundMode), show(m.foundSupply), show(m.foundBalance)},
			Excluded: m.excluded, Person: m.person, Pending: m.pending, Accepted: m.creditAccepted,
		}
		for service, t := range m.tallies {
			l.Tallies = append(l.Tallies, fmt.Sprintln(service, t.tries, t.answers, t.failures, t.last, t.barred, t.code, t.next.UnixNano()))
		}
		all[m.device.String()] = l
	}
	return all
}

func show[T any](r reading[T]) string {
	if !r.known() {
		return "not known"
	}
	return fmt.Sprint(r.value, " ", r.counter, " ", r.at.UnixNano())
}

// TestWalks walks through found states, answers to the open questions, faults of
// each kind at each step in both forms, and the process dying at any of them.
func TestWalks(t *testing.T) {
	steps := 0
	for seed := range uint64(*walks) {
		steps += walk(t, seed, 0)
	}
	t.Logf("%d walks, %d states", *walks, steps)
}

// TestWalksWithADeathAtEachStep repeats some walks as often as they have steps.
func TestWalksWithADeathAtEachStep(t *testing.T) {
	steps, n := 0, 0
	for seed := range uint64(*walks / 40) {
		for at := range walk(t, seed, 0) {
			steps += walk(t, seed, at+1)
			n++
		}
	}
	if restores.Load() < int64(n)/4 {
		t.Errorf("%d sweeps went on with a state, of %d that died", restores.Load(), n)
	}
	t.Logf("%d walks, %d states; %d sweeps went on with a state", n, steps, restores.Load())
}

func walk(t *testing.T, seed uint64, crashAt int) (steps int) {
	ok := t.Run(fmt.Sprintf("seed %d death %d", seed, crashAt), func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWalker(t, seed, crashAt)
			w.run()
			w.conclude()
			steps = w.steps
		})
	})
	if !ok {
		t.FailNow()
	}
	return steps
}
