package runner

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"safemode/engine/exchange"
	"safemode/engine/proof"
	"safemode/engine/record"
	"safemode/engine/sweep"
	"safemode/engine/sweep/sweeptest"
	"safemode/servicerequests"
)

// The world of package sweeptest by short names.
type (
	device = sweeptest.Device
	fate   = sweeptest.Fate
	piece  = sweeptest.Piece
	flight = sweeptest.Flight
)

const (
	ourEUI   = sweeptest.OurEUI
	otherEUI = sweeptest.OtherEUI

	taken      = sweeptest.Taken
	notWritten = sweeptest.NotWritten
	throttled  = sweeptest.Throttled
	lostBefore = sweeptest.LostBefore
	lostAfter  = sweeptest.LostAfter
	badReply   = sweeptest.BadReply

	answered   = sweeptest.Answered
	twice      = sweeptest.Twice
	undeliv    = sweeptest.Undeliv
	noAnswer   = sweeptest.NoAnswer
	doneSilent = sweeptest.DoneSilent
	doneE21    = sweeptest.DoneE21
	doneLate   = sweeptest.DoneLate
	lost       = sweeptest.Lost
	refused    = sweeptest.Refused
	garbled    = sweeptest.Garbled
	noValue    = sweeptest.NoValue

	to      = servicerequests.SwitchToCredit
	arm     = servicerequests.ArmSupply
	supply  = servicerequests.ReadSupplyStatus
	balance = servicerequests.ReadMeterBalance
	credit  = servicerequests.Credit
	prepay  = servicerequests.Prepayment
	on      = servicerequests.Enabled
	off     = servicerequests.Disabled
)

var healthy, cutOff, heldBack = sweeptest.Healthy, sweeptest.CutOff, sweeptest.HeldBack

// world is package sweeptest's with a runner in it, by the bubble's time.
type world struct {
	*sweeptest.World
	t       testing.TB
	gate    func(time.Time) error // of the direction; nil: open
	closed  atomic.Bool           // it is closed
	options func(*Options)
	limits  exchange.Limits // at the socket; nil: none
	moved   error
}

func newWorld(t testing.TB, devices ...*device) *world {
	w := &world{World: sweeptest.New(time.Now, devices...), t: t}
	t.Cleanup(func() {
		for i, fault := range w.Faults() {
			if i == 10 {
				t.Fatal("and more")
			}
			t.Error(fault)
		}
	})
	return w
}

func (w *world) make() *Runner {
	o := Options{
		Sweep: sweep.Options{
			Policy: w.Policy, Pacer: sweeptest.Pacer{World: w.World}, Originators: []servicerequests.EUI{ourEUI, otherEUI}, DCC: sweeptest.DCCEUI,
			Suppressed: w.Suppressed, Workers: 2, InFlight: 100, PerHub: w.PerHub, Resend: time.Second, Resends: 3,
			Log: zap.NewNop(), Registerer: prometheus.NewRegistry(),
		},
		Exchange: exchange.Options{
			Signer: sweeptest.Signer{World: w.World}, Gateway: sweeptest.Gateway{World: w.World}, Verifier: sweeptest.Verifier{World: w.World},
			Limits: w.limits, Breakers: sweeptest.Breakers{World: w.World}, Log: zap.NewNop(),
		},
		Journal: w.Disk, Messages: sweeptest.Messages{World: w.World},
		Counters: map[servicerequests.EUI]Counters{
			ourEUI: sweeptest.Counters{World: w.World, Originator: ourEUI}, otherEUI: sweeptest.Counters{World: w.World, Originator: otherEUI},
		},
		Gate: func(now time.Time) error {
			switch {
			case w.closed.Load():
				return sweeptest.ErrGarbled
			case w.gate == nil:
				return nil
			}
			return w.gate(now)
		},
		Moved: func(reason error) { w.moved = reason },
		State: w.Disk, StateEvery: time.Second, Log: zap.NewNop(),
	}
	if w.options != nil {
		w.options(&o)
	}
	return New(o)
}

// replay makes a runner of the journal, with or without a state.
func (w *world) replay(rows []record.StateRow) (r *Runner, unjudged []uint64) {
	w.t.Helper()
	r = w.make()
	from := uint64(1)
	var err error
	if rows != nil {
		if from, err = r.Restore(rows); err != nil {
			w.t.Fatal(err)
		}
	}
	if unjudged, err = r.Replay(w.Disk.Records(from), w.Read); err != nil {
		w.t.Fatalf("replay: %v", err)
	}
	return r, unjudged
}

// wantAlike checks that the state that is kept tells the same story as the records.
func (w *world) wantAlike() {
	w.t.Helper()
	if err := w.Alike(func(rows []record.StateRow) (sweeptest.Keeper, []uint64, error) {
		r, unjudged := w.replay(rows)
		return r.machine, unjudged, nil
	}); err != nil {
		w.t.Error(err)
	}
}

// opened is a runner that goes on with the journal, and the messages that it is to hear
// again.
type opened struct {
	*Runner
	again []uint64
}

// open makes a runner that goes on with the journal.
func (w *world) open() *opened {
	w.t.Helper()
	w.wantAlike()
	w.Begin()
	r, unjudged := w.replay(w.Disk.Rows())
	w.Reopen(unjudged)
	return &opened{r, unjudged}
}

// run runs a sweep with a DCC beside it.
func (w *world) run(ctx context.Context, r *opened) error {
	w.t.Helper()
	beside, cancel := context.WithCancel(context.Background())
	var wait sync.WaitGroup
	wait.Go(func() { w.serve(beside, r) })
	err := r.Run(ctx)
	cancel()
	wait.Wait()
	w.Mu.Lock()
	leaves := w.Leaves
	w.Mu.Unlock()
	if leaves != 0 {
		w.t.Errorf("%d leaves of the breaker are not reported", leaves)
	}
	return err
}

// serve is the DCC and the inbox delivering, until ctx ends.
func (w *world) serve(ctx context.Context, r *opened) {
	for _, seq := range r.again {
		at, d, err := w.Stored(seq)
		if err != nil {
			w.t.Errorf("message %d: %v", seq, err)
			continue
		}
		r.Deliver(seq, at, d)
	}
	for ctx.Err() == nil {
		time.Sleep(500 * time.Millisecond)
		for w.step(r) {
		}
	}
}

func (w *world) step(r *opened) bool {
	if w.InFlight() {
		w.Arrive(0)
		return true
	}
	d, ok := w.Next()
	if !ok {
		return false
	}
	if !w.deliver(r, d) {
		w.World.Deliver(d)
		return false
	}
	return true
}

// deliver is the inbox: durable first, then to the runner. It says whether the DCC need not
// send it again.
func (w *world) deliver(r *opened, d proof.Delivery) bool {
	seq, at, err := w.Store(d)
	if err != nil {
		return false
	}
	r.Deliver(seq, at, d)
	return true
}

// steer runs a sweep and gives orders to it meanwhile.
func (w *world) steer(t *testing.T, r *opened, orders func(give func(record.OrderBody) error)) error {
	t.Helper()
	var wait sync.WaitGroup
	wait.Go(func() {
		orders(func(o record.OrderBody) error {
			o.By = "Ada"
			return r.Order(context.Background(), o)
		})
	})
	err := w.run(t.Context(), r)
	wait.Wait()
	return err
}

// orderOf has a person order something of the whole sweep.
func orderOf(r *opened, action string) error {
	return r.Order(context.Background(), record.OrderBody{Action: action, By: "Ada"})
}

// command gives the same command until it ends, and checks the end by the rules.
func (w *world) command() *opened {
	w.t.Helper()
	r := w.open()
	began := time.Now()
	if err := w.run(w.t.Context(), r); err != nil {
		w.t.Fatal(err)
	}
	if took := time.Since(began); took > 2*time.Hour {
		w.t.Errorf("a run took %v", took)
	}
	wantEmpty(w.t, r)
	w.Disk.Close()
	w.wantMarks()
	return r
}

// wantMarks checks that every stored message has its one mark.
func (w *world) wantMarks() {
	w.t.Helper()
	for _, wrong := range w.CheckMarks() {
		w.t.Error(wrong)
	}
}

// wantEmpty checks that nothing is left open.
func wantEmpty(t testing.TB, r *opened) {
	t.Helper()
	st := r.Status()
	for region, n := range st.InFlight {
		if n != 0 {
			t.Errorf("%s: %d in flight", region, n)
		}
	}
	if st.Queued != 0 {
		t.Errorf("%d queued", st.Queued)
	}
}

func halted(err error) bool {
	var halt *sweep.HaltError
	return errors.As(err, &halt)
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

// town plans homes with an electricity and a gas meter each.
func town(t testing.TB, homes int, faults float64) *world {
	w := newWorld(t)
	r := rand.New(rand.NewPCG(7, 7))
	w.Random = r
	for i := range servicerequests.EUI(homes) {
		e, g := healthy(), healthy()
		e.EUI, e.Supply, e.Balance = 0x00DB123400000000+i*16, pick(r, on, on, off), pick(r, 0, 10*servicerequests.Pound)
		g.EUI, g.Proxy, g.Kind = e.EUI+1, e.EUI+2, servicerequests.GSME
		region := pick(r, servicerequests.Regions[:]...)
		w.Add(e, pick(r, ourEUI, otherEUI), region)
		w.Add(g, ourEUI, region)
	}
	w.PerHub = 1000 // one hub key for all of them
	// A bubble is worked through second by second: no hours between tries.
	ladder := []time.Duration{time.Minute, 10 * time.Minute}
	w.Policy.Retry.Electricity, w.Policy.Retry.Gas = ladder, ladder
	strike := func(first fate, others ...fate) fate {
		if r.Float64() >= faults {
			return first
		}
		return pick(r, others...)
	}
	w.OnDial = func(piece) fate { return strike(taken, taken, taken, taken, notWritten) }
	w.OnPost = func(piece) fate { return strike(taken, throttled, lostBefore, lostAfter, badReply) }
	w.OnFlight = func(*flight) fate {
		return strike(answered, twice, undeliv, noAnswer, doneSilent, doneE21, doneLate)
	}
	return w
}

// street plans electricity meters, each in a home of its own, that take turns between the
// regions; change may alter the one at i before it is planned.
func street(t testing.TB, meters int, change func(i int, d *device)) *world {
	w := newWorld(t)
	w.PerHub = 1000
	for i := range meters {
		d := healthy()
		d.EUI, d.Balance = 0x00DB123400000000+servicerequests.EUI(i)*16, 20*servicerequests.Pound
		d.Home = d.EUI + 8
		if change != nil {
			change(i, d)
		}
		w.Add(d, ourEUI, servicerequests.Regions[i%3])
	}
	w.Policy.DailySpend = servicerequests.Pound
	w.Policy.AtRiskWithin = 24 * time.Hour
	w.Policy.WindowEnds, w.Policy.WindowBegins = 9*time.Hour, 16*time.Hour
	return w
}

// rated lets one POST go in each interval: the User's limit is what binds.
func rated(interval time.Duration) func(time.Time, exchange.Place) (bool, time.Duration, string) {
	var next time.Time
	return func(now time.Time, _ exchange.Place) (bool, time.Duration, string) {
		if now.Before(next) {
			return false, next.Sub(now), "user"
		}
		next = now.Add(interval)
		return true, 0, ""
	}
}

// requests counts those of the journal.
func (w *world) requests() int { return len(w.SentIn(record.Request)) }

// told lists the verdicts of the journal, in order.
func (w *world) told() (all []string) {
	for _, r := range w.SentIn(record.Verdict) {
		all = append(all, r.Code)
	}
	return all
}
