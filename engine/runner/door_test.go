package runner

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"safemode/engine/exchange"
	"safemode/engine/gateway"
	"safemode/engine/pacer"
	"safemode/engine/record"
	"safemode/engine/sweep"
	"safemode/servicerequests"
)

// stall has every commit wait from one instant to another.
func (w *world) stall(from, until time.Duration) {
	go func() {
		time.Sleep(from)
		released := make(chan struct{})
		w.Disk.Hold(released)
		time.Sleep(until - from)
		w.Disk.Hold(nil)
		close(released)
	}()
}

// oneASecond is a User's limit of one POST a second, without a burst.
type oneASecond struct {
	mu sync.Mutex
	p  *pacer.Pacer
}

func newOneASecond(t *testing.T) *oneASecond {
	unlimited := pacer.Limit{PerSecond: math.Inf(1)}
	limits := pacer.Limits{
		User:    pacer.Limit{PerSecond: 1, Burst: 1},
		Region:  map[servicerequests.Region]pacer.Limit{},
		Service: map[string]pacer.Limit{},
	}
	for _, r := range servicerequests.Regions {
		limits.Region[r] = unlimited
	}
	for _, e := range record.Endpoints {
		limits.Service[e.String()] = unlimited
	}
	p, err := pacer.New(limits)
	if err != nil {
		t.Fatal(err)
	}
	return &oneASecond{p: p}
}

func (l *oneASecond) Grant(now time.Time, p exchange.Place) (bool, time.Duration, string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ok, wait := l.p.Take(now, pacer.User(p.Originator), pacer.Region(p.Region), pacer.Service(p.Endpoint.String()))
	return ok, wait, "user"
}

func (l *oneASecond) Hold(e record.Endpoint, until time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.p.Hold(pacer.Service(e.String()), until)
}

// The journal stalls for half a minute with the workers' halves in it. Whatever leaves then
// keeps to the limit in every window: no two POSTs are closer than the limit lets them be.
func TestAStalledJournalAndTheRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := street(t, 300, nil)
		planned, door := newOneASecond(t), newOneASecond(t)
		w.OnTake, w.limits = planned.Grant, door
		w.options = func(o *Options) { o.Sweep.Workers = 32 }
		var posts []time.Time
		w.OnPost = func(piece) fate { posts = append(posts, time.Now()); return taken }
		s := w.open()
		w.stall(20*time.Second, 50*time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Second)
		defer cancel()
		if err := w.run(ctx, s); !errors.Is(err, sweep.ErrStopped) {
			t.Fatal(err)
		}
		for i := 1; i < len(posts); i++ {
			if gap := posts[i].Sub(posts[i-1]); gap < time.Second {
				t.Errorf("POST %d comes %v after the one before", i, gap)
			}
		}
		if len(posts) < 60 {
			t.Errorf("only %d POSTs", len(posts))
		}
	})
}

// A Retry-After holds an endpoint at the door at once, for what is on its way already, and
// the longest one stands.
func TestARetryAfterAtTheDoor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := street(t, 40, nil)
		w.limits = &held{until: map[record.Endpoint]time.Time{}}
		w.options = func(o *Options) {
			o.Sweep.Workers = 16
			o.Exchange.Gateway = putOff{o.Exchange.Gateway, &sync.Mutex{}, new(int)}
		}
		began, last := time.Now(), time.Duration(0)
		w.OnPost = func(p piece) fate {
			if at := time.Since(began); at < time.Hour && !p.Service.Critical() && p.Service != servicerequests.ReadInventory {
				last = max(last, at)
			}
			return taken
		}
		s := w.open()
		if err := w.run(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		if last > time.Second || time.Since(began) < time.Hour {
			t.Errorf("a read left after %v, the run took %v", last, time.Since(began))
		}
	})
}

// putOff is a DCC that puts the first two POSTs of an endpoint off, by an hour and by
// nothing.
type putOff struct {
	exchange.Gateway
	mu *sync.Mutex
	n  *int
}

func (p putOff) Post(ctx context.Context, post gateway.Post) ([]byte, error) {
	p.mu.Lock()
	*p.n++
	n := *p.n
	p.mu.Unlock()
	if n > 2 {
		return p.Gateway.Post(ctx, post)
	}
	if err := post.Admit(ctx); err != nil {
		return nil, errors.Join(gateway.ErrNotAdmitted, err)
	}
	if n == 1 {
		return nil, &gateway.ThrottledError{Status: 429, RetryAfter: time.Hour}
	}
	return nil, &gateway.ThrottledError{Status: 429}
}

// held are limits that hold endpoints alone.
type held struct {
	mu    sync.Mutex
	until map[record.Endpoint]time.Time
}

func (h *held) Grant(now time.Time, p exchange.Place) (bool, time.Duration, string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if until := h.until[p.Endpoint]; now.Before(until) {
		return false, until.Sub(now), sweep.LimitService
	}
	return true, 0, ""
}

func (h *held) Hold(e record.Endpoint, until time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if until.After(h.until[e]) {
		h.until[e] = until
	}
}

// A gate closes while the journal is slow: what was signed before it closed does not leave
// after it either.
func TestAGateThatClosesBetweenSignatureAndPOST(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := street(t, 30, nil)
		w.options = func(o *Options) { o.Sweep.Workers, o.Sweep.Drain = 32, time.Minute }
		closes := time.Now().Add(time.Minute)
		closed := errors.New("closed")
		w.gate = func(now time.Time) error {
			if now.Before(closes) {
				return nil
			}
			return closed
		}
		late, signedLate := 0, 0
		w.OnPost = func(piece) fate {
			if time.Now().After(closes) {
				late++
			}
			return taken
		}
		w.OnSign = func(piece) error {
			if time.Now().After(closes) {
				signedLate++
			}
			return nil
		}
		w.OnTake = rated(time.Second)
		s := w.open()
		w.stall(50*time.Second, 90*time.Second)
		if err := w.run(t.Context(), s); !halted(err) || !errors.Is(err, closed) {
			t.Fatalf("ended with %v", err)
		}
		if late > 0 || signedLate > 0 {
			t.Errorf("%d POSTs and %d signatures after the gate closed", late, signedLate)
		}
		// The bytes that were made durable meanwhile are sent unchanged once the gate is open.
		w.Disk.Close()
		w.gate = nil
		if err := w.run(t.Context(), w.open()); err != nil {
			t.Fatal(err)
		}
		w.Disk.Close()
		w.wantMarks()
	})
}

// The journal is slow with a 7.3: once the read that it rests on has grown old it does not
// leave, though it is signed and durable.
func TestASlowJournalDoesNotLetAnOldArmOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, cutOff())
		slow := true
		w.OnSign = func(p piece) error {
			if p.Service == arm && p.Command && slow {
				slow = false
				released := make(chan struct{})
				w.Disk.Hold(released)
				time.AfterFunc(2*time.Minute, func() {
					w.Disk.Hold(nil)
					close(released)
				})
			}
			return nil
		}
		w.command()
		if got := w.Outcomes(arm); !slices.Equal(got, []string{record.ClassWithdrawn.String()}) {
			t.Errorf("7.3 ended as %v", got)
		}
		if v := w.Disk.Verdict(w.Devices[0].EUI); v.Verdict != record.VerdictArmed {
			t.Errorf("verdict %s (%s)", v.Verdict, v.Reason)
		}
	})
}

// That a sweep has halted is a record at once, long before it has drained; a process that is
// killed meanwhile leaves it behind.
func TestAHaltIsARecordBeforeTheDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := street(t, 30, nil)
		w.Policy.ResponseWait.Electricity = 2 * time.Hour
		w.OnFlight = func(*flight) fate { return lost }
		w.options = func(o *Options) { o.Sweep.Drain = time.Hour }
		began := time.Now()
		s := w.open()
		go func() {
			time.Sleep(10 * time.Second)
			w.closed.Store(true)
			time.Sleep(2 * time.Second)
			w.deliver(s, w.Devices[0].Alert(time.Now(), 0x8F32, 1)) // anything at all: what was queued is durable with it
			if n := len(w.Disk.Durable()); !slices.ContainsFunc(w.Disk.Durable(), func(r record.Record) bool { return r.Kind == record.Halted }) {
				t.Errorf("none of %d durable records says that it has halted", n)
			}
			if err := orderOf(s, record.OrderRenew); err != nil {
				t.Errorf("an order while it drains: %v", err)
			}
		}()
		if err := w.run(t.Context(), s); !halted(err) {
			t.Fatalf("ended with %v", err)
		}
		if took := time.Since(began); took < time.Hour {
			t.Errorf("it drained for %v", took)
		}
	})
}

// bookkept is a journal in which an order takes its time to be queued, as one does that the
// custody's book is to have first, in a database that is slow.
type bookkept struct {
	Journal
	begun *atomic.Bool // the first one was
}

func (b bookkept) Append(records ...record.Record) {
	if records[0].Kind == record.Operator && !b.begun.Swap(true) {
		time.Sleep(10 * time.Second)
	}
	b.Journal.Append(records...)
}

// distant is a DCC to which a connection takes three seconds.
type distant struct{ exchange.Gateway }

func (d distant) Post(ctx context.Context, post gateway.Post) ([]byte, error) {
	time.Sleep(3 * time.Second)
	return d.Gateway.Post(ctx, post)
}

// Once an order to cease is given, no POST leaves while the order is being written, however
// long that takes.
func TestNothingLeavesWhileAnOrderIsWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := street(t, 300, nil)
		var given atomic.Bool
		w.options = func(o *Options) {
			o.Sweep.Workers, o.Exchange.Gateway, o.Journal = 32, distant{o.Exchange.Gateway}, bookkept{o.Journal, &given}
		}
		w.OnTake = rated(200 * time.Millisecond)
		before, late := 0, 0
		w.OnPost = func(piece) fate {
			if given.Load() {
				late++
			} else {
				before++
			}
			return taken
		}
		s := w.open()
		err := w.steer(t, s, func(give func(record.OrderBody) error) {
			time.Sleep(10 * time.Second)
			if err := give(record.OrderBody{Action: record.OrderCease, Reference: "SoLR 12"}); err != nil {
				t.Error(err)
			}
		})
		if !errors.Is(err, sweep.ErrCeased) || before == 0 || late > 0 {
			t.Errorf("ended with %v: %d POSTs, and %d after the order", err, before, late)
		}
	})
}

// An order is durable when it is answered.
func TestAnOrderIsDurableWhenItIsAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := street(t, 30, nil)
		w.OnTake = rated(time.Second)
		s := w.open()
		w.stall(5*time.Second, 15*time.Second)
		began := time.Now()
		if err := w.steer(t, s, func(give func(record.OrderBody) error) {
			time.Sleep(6 * time.Second)
			if err := give(record.OrderBody{Action: record.OrderPause, SRV: "1.6"}); err != nil {
				t.Error(err)
			}
			durable := slices.ContainsFunc(w.Disk.Durable(), func(r record.Record) bool { return r.Kind == record.Operator })
			if took := time.Since(began); !durable || took < 15*time.Second {
				t.Errorf("answered after %v, durable %t", took, durable)
			}
			if err := give(record.OrderBody{Action: record.OrderResume, SRV: "1.6"}); err != nil {
				t.Error(err)
			}
		}); err != nil {
			t.Fatal(err)
		}
	})
}

// slowly are counters that take their time.
type slowly struct {
	Counters
	until time.Time
	jump  uint64 // at each call from the third on
	calls *uint64
}

func (s slowly) Next() (uint64, error) {
	time.Sleep(time.Until(s.until))
	n, err := s.Counters.Next()
	*s.calls++
	if *s.calls == 3 {
		for range s.jump {
			n, err = s.Counters.Next()
		}
	}
	return n, err
}

// While counters are being reserved nothing is signed, and orders and answers are taken in.
// Counters that nobody reserved for this sweep are not given out, where there is a gap.
func TestASlowReservationHoldsUpNothingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := street(t, 10, nil)
		began := time.Now()
		w.options = func(o *Options) {
			o.Counters[ourEUI] = slowly{o.Counters[ourEUI], began.Add(time.Minute), 100, new(uint64)}
		}
		s := w.open()
		if err := w.steer(t, s, func(give func(record.OrderBody) error) {
			time.Sleep(30 * time.Second)
			for _, o := range []record.OrderBody{
				{Action: record.OrderPause}, {Action: record.OrderResume}, {Action: record.OrderExclude, Devices: []servicerequests.EUI{w.Devices[9].EUI}},
			} {
				if err := give(o); err != nil {
					t.Error(err)
				}
			}
			if took := time.Since(began); took > 31*time.Second {
				t.Errorf("orders took until %v", took)
			}
			w.deliver(s, w.Devices[0].Alert(time.Now(), 0x8F32, 1))
			time.Sleep(time.Second)
			if n := len(w.SentIn(record.Proven)); n != 1 || w.requests() != 0 {
				t.Errorf("%d alerts taken in, %d requests", n, w.requests())
			}
		}); err != nil {
			t.Fatal(err)
		}
		for _, r := range w.SentIn(record.Request) {
			if c := r.ID.Counter; c > 1002 && c <= 1102 {
				t.Errorf("counter %d is given out", c)
			}
		}
		if st := s.Status(); st.Verdicts[record.VerdictOnSupply] != 9 || st.Verdicts[record.VerdictExcluded] != 1 {
			t.Errorf("verdicts %v", st.Verdicts)
		}
	})
}
