package sweep

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"safemode/engine/record"
	"safemode/servicerequests"
)

// town plans homes with an electricity and a gas meter each.
func town(t testing.TB, homes int, faults float64) *world {
	w := newWorld(t)
	r := rand.New(rand.NewPCG(7, 7))
	w.random = r
	for i := range servicerequests.EUI(homes) {
		supply := pick(r, servicerequests.Enabled, servicerequests.Enabled, servicerequests.Disabled)
		e, g := healthy(), healthy()
		e.eui, e.supply, e.balance = 0x00DB123400000000+i*16, supply, pick(r, 0, 10*servicerequests.Pound)
		g.eui, g.gpf, g.kind = e.eui+1, e.eui+2, servicerequests.GSME
		region := pick(r, servicerequests.Regions[:]...)
		w.add(e, pick(r, ourEUI, otherEUI), region)
		w.add(g, ourEUI, region)
	}
	w.perHub = 1000 // one hub key for all of them
	// A bubble is worked through second by second: no hours between tries.
	ladder := []time.Duration{time.Minute, 10 * time.Minute}
	w.policy.Retry = PerFuel[[]time.Duration]{ladder, ladder}
	w.post = func(piece) fate {
		if r.Float64() >= faults {
			return taken
		}
		return pick(r, notWritten, throttled, lostBefore, lostAfter, badReply)
	}
	w.flight = func(*flight) fate {
		if r.Float64() >= faults {
			return answered
		}
		return pick(r, twice, undeliv, noAnswer, doneSilent, doneE21, doneLate)
	}
	return w
}

// serve is the DCC delivering, until ctx ends.
func (w *world) serve(ctx context.Context, s *Sweep) {
	for ctx.Err() == nil {
		time.Sleep(500 * time.Millisecond)
		for w.step(s) {
		}
	}
}

func (w *world) step(s *Sweep) bool {
	w.mu.Lock()
	flights := len(w.flights)
	w.mu.Unlock()
	if flights > 0 {
		w.arrive(0)
		return true
	}
	w.mu.Lock()
	if len(w.inbox) == 0 {
		w.mu.Unlock()
		return false
	}
	d := w.inbox[0]
	w.inbox = w.inbox[1:]
	w.mu.Unlock()
	if !w.deliver(d, s.Receive) {
		w.mu.Lock()
		w.inbox = append(w.inbox, d)
		w.mu.Unlock()
		return false
	}
	return true
}

// carryOut runs a sweep with a DCC beside it.
func (w *world) run(ctx context.Context, s *Sweep) error {
	beside, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.serve(beside, s)
	}()
	err := s.Run(ctx)
	cancel()
	<-done
	return err
}

// order has a person order something of the whole sweep.
func order(ctx context.Context, s *Sweep, action string) error {
	return s.Order(ctx, record.OrderBody{Action: action, By: "Ada"})
}

// wantEmpty checks that nothing is left open.
func wantEmpty(t testing.TB, s *Sweep) {
	t.Helper()
	for _, h := range s.hubs {
		if h.open != 0 || len(h.waiting) != 0 {
			t.Errorf("hub: %d open, %d waiting", h.open, len(h.waiting))
		}
	}
	for _, l := range s.lanes {
		if l.inFlight != 0 || l.len() != 0 {
			t.Errorf("%v: %d in flight, %d queued", l.region, l.inFlight, l.len())
		}
	}
}

// checkFlow holds what passed a finished sweep against what it knows of its requests.
func checkFlow(t *testing.T, s *Sweep, calm bool) {
	t.Helper()
	f, posts, answered := s.flow, 0, 0
	for service, classes := range s.services {
		for class, n := range classes {
			if Class(class) == Withdrawn {
				continue
			}
			posts += n
			if service.Critical() {
				posts += n
			}
			if service != servicerequests.ReadInventory { // answered in the reply itself
				answered += n
			}
		}
	}
	if f.requested < f.sent || f.sent < f.acknowledged || calm && (f.requested != f.sent || f.sent != f.acknowledged || f.sent != posts || f.answered != answered) {
		t.Errorf("%+v of %d POSTs and %d answers", f, posts, answered)
	}
	course, sent := s.Course(), 0.0
	for i, r := range course {
		span := s.status.flows[i+1].at.Sub(s.status.flows[i].at).Seconds()
		sent += r.Sent * span
	}
	if len(course) == 0 || int(sent+0.5) > f.sent || calm && sent == 0 { // it is of ten minutes; retries may take longer
		t.Errorf("%d points of the course are %g POSTs of %d", len(course), sent, f.sent)
	}
}

func TestRun(t *testing.T) {
	for _, faults := range []float64{0, 0.3} {
		synctest.Test(t, func(t *testing.T) {
			w := town(t, 30, faults)
			s := w.open()
			if err := w.run(t.Context(), s); err != nil {
				t.Fatal(err)
			}
			wantEmpty(t, s)
			st := s.Status()
			if st.State != "finished" || st.Done != 60 || st.Started != 60 || st.Queued != 0 {
				t.Errorf("status %+v", st)
			}
			if faults == 0 && (st.Verdicts[record.VerdictUnknown] != 0 || st.Verdicts[record.VerdictOnSupply] == 0 || st.Verdicts[record.VerdictArmed] == 0) {
				t.Errorf("verdicts %v", st.Verdicts)
			}
			checkFlow(t, s, faults == 0)
			// The end takes no more orders, and holds nobody up.
			if err := order(t.Context(), s, record.OrderPause); !errors.Is(err, ErrEnded) {
				t.Errorf("pause after the end: %v", err)
			}
			for range 2000 {
				w.deliver(w.devices[0].respond(servicerequests.ReadSupplyStatus, servicerequests.RequestID{}, true), s.Receive)
			}
			if err := s.Disbelieve(t.Context(), record.Record{At: time.Now(), Kind: record.Refused}, servicerequests.RequestID{}); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestPauseAndResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := town(t, 20, 0.2)
		posts := 0
		post := w.post
		w.post = func(p piece) fate { posts++; return post(p) }
		s := w.open()
		ended := make(chan error)
		go func() { ended <- w.run(t.Context(), s) }()
		for range 5 {
			time.Sleep(500 * time.Millisecond)
			if err := order(t.Context(), s, record.OrderPause); err != nil {
				t.Fatal(err)
			}
			if st := s.Status().State; st != "paused" {
				t.Errorf("state %s", st)
			}
			time.Sleep(time.Second) // what workers have in hand
			w.mu.Lock()
			before := posts
			w.mu.Unlock()
			time.Sleep(10 * time.Minute)
			w.mu.Lock()
			if posts != before {
				t.Errorf("%d POSTs while paused", posts-before)
			}
			w.mu.Unlock()
			if err := order(t.Context(), s, record.OrderResume); err != nil {
				t.Fatal(err)
			}
		}
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		wantEmpty(t, s)
	})
}

// Whatever ends a run, the next one with the same journal finishes the plan.
func TestEndsOfARun(t *testing.T) {
	for name, c := range map[string]struct {
		cause func(w *world, s *Sweep, cancel func())
		mend  func(w *world)
		want  func(error) bool
	}{
		"stop": {
			cause: func(_ *world, s *Sweep, _ func()) { order(context.Background(), s, record.OrderStop) },
			want:  func(err error) bool { return errors.Is(err, ErrStopped) },
		},
		"stop while paused": {
			cause: func(_ *world, s *Sweep, _ func()) {
				order(context.Background(), s, record.OrderPause)
				order(context.Background(), s, record.OrderStop)
			},
			want: func(err error) bool { return errors.Is(err, ErrStopped) },
		},
		"interrupt": {
			cause: func(_ *world, _ *Sweep, cancel func()) { cancel() },
			want:  func(err error) bool { return errors.Is(err, ErrStopped) },
		},
		"gate": {
			cause: func(w *world, s *Sweep, _ func()) {
				s.do(context.Background(), func() { w.gate = errGarbled })
			},
			mend: func(w *world) { w.gate = nil },
			want: func(err error) bool { return halted(err) && errors.Is(err, errGarbled) },
		},
		"journal": {
			cause: func(w *world, _ *Sweep, _ func()) {
				w.disk.mu.Lock()
				defer w.disk.mu.Unlock()
				w.disk.failAt = w.disk.commits + 1
			},
			want: halted,
		},
		"counters": {
			cause: func(w *world, _ *Sweep, _ func()) {
				w.mu.Lock()
				defer w.mu.Unlock()
				w.last = w.counter
			},
			mend: func(w *world) { w.last = 0 },
			want: func(err error) bool { return halted(err) && errors.Is(err, errDisk) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := town(t, 20, 0.2)
				s := w.open()
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				go func() {
					time.Sleep(1200 * time.Millisecond)
					c.cause(w, s, cancel)
				}()
				if err := w.run(ctx, s); !c.want(err) {
					t.Fatalf("ended with %v", err)
				}
				if w.leaves != 0 {
					t.Errorf("%d leaves of the breaker are not reported", w.leaves)
				}
				if c.mend != nil {
					c.mend(w)
				}
				w.disk.crash(len(w.disk.queued))
				s = w.open()
				if s.paused { // a pause outlives the process
					s.apply(record.OrderBody{Action: record.OrderResume}, s.now())
				}
				if err := w.run(t.Context(), s); err != nil {
					t.Fatal(err)
				}
				wantEmpty(t, s)
			})
		})
	}
}

func halted(err error) bool {
	var halt *HaltError
	return errors.As(err, &halt)
}

// A worker that panics ends its request, not the sweep.
func TestPanicInAWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := town(t, 5, 0)
		n := 0
		w.sign = func(piece) error {
			if n++; n%10 == 0 {
				panic("defect")
			}
			return nil
		}
		s := w.open()
		if err := w.run(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		wantEmpty(t, s)
	})
}

// Where the direction has the prepayment settings read, every meter that could be asked
// has told them once, and every verdict is what it is without.
func TestRunReadsConfigurations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := town(t, 30, 0)
		w.policy.Permits = func(servicerequests.Service, servicerequests.DeviceType) bool { return true }
		s := w.open()
		if err := w.run(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		st := s.Status()
		if st.Done != 60 || st.Verdicts[record.VerdictUnknown] != 0 || st.Verdicts[record.VerdictOnSupply]+st.Verdicts[record.VerdictArmed] == 0 {
			t.Errorf("verdicts %v", st.Verdicts)
		}
		if told := st.Services["4.13"]; told[record.ClassSuccess] != 60 || len(told) != 1 {
			t.Errorf("settings: %v", told)
		}
	})
}
