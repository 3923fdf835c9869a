package runner

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"safemode/engine/record"
	"safemode/engine/sweep"
	"safemode/engine/sweep/sweeptest"
	"safemode/servicerequests"
)

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
			w.wantMarks()
			// The end takes no more orders, and holds nobody up.
			if err := orderOf(s, record.OrderPause); !errors.Is(err, errEnded) {
				t.Errorf("pause after the end: %v", err)
			}
			for range 2000 {
				w.deliver(s, w.Devices[0].Respond(time.Now(), servicerequests.ReadSupplyStatus, servicerequests.RequestID{}, true))
			}
			s.Disbelieve(sweep.Disbelieved{})
		})
	}
}

func TestPauseAndResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := town(t, 20, 0.2)
		posts := 0
		post := w.OnPost
		w.OnPost = func(p piece) fate { posts++; return post(p) }
		s := w.open()
		ended := make(chan error)
		go func() { ended <- w.run(t.Context(), s) }()
		for range 5 {
			time.Sleep(500 * time.Millisecond)
			if err := orderOf(s, record.OrderPause); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second) // the status is a fifth of a second old
			if st := s.Status().State; st != "paused" {
				t.Errorf("state %s", st)
			}
			w.Mu.Lock()
			before := posts
			w.Mu.Unlock()
			time.Sleep(10 * time.Minute)
			w.Mu.Lock()
			if posts != before {
				t.Errorf("%d POSTs while paused", posts-before)
			}
			w.Mu.Unlock()
			if err := orderOf(s, record.OrderResume); err != nil {
				t.Fatal(err)
			}
		}
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		wantEmpty(t, s)
	})
}

// A run may end for any cause: the next one with the same journal finishes the plan.
func TestEndsOfARun(t *testing.T) {
	for name, c := range map[string]struct {
		cause func(w *world, s *opened, cancel func())
		mend  func(w *world)
		want  func(error) bool
	}{
		"stop": {
			cause: func(_ *world, s *opened, _ func()) { orderOf(s, record.OrderStop) },
			want:  func(err error) bool { return errors.Is(err, sweep.ErrStopped) },
		},
		"stop while paused": {
			cause: func(_ *world, s *opened, _ func()) {
				orderOf(s, record.OrderPause)
				orderOf(s, record.OrderStop)
			},
			want: func(err error) bool { return errors.Is(err, sweep.ErrStopped) },
		},
		"interrupt": {
			cause: func(_ *world, _ *opened, cancel func()) { cancel() },
			want:  func(err error) bool { return errors.Is(err, sweep.ErrStopped) },
		},
		"gate": {
			cause: func(w *world, _ *opened, _ func()) {
				w.closed.Store(true)
			},
			mend: func(w *world) { w.closed.Store(false) },
			want: func(err error) bool { return halted(err) && errors.Is(err, sweeptest.ErrGarbled) },
		},
		"journal": {
			cause: func(w *world, _ *opened, _ func()) {
				w.Disk.Fail(1, false)
			},
			want: halted,
		},
		"counters": {
			cause: func(w *world, _ *opened, _ func()) {
				w.Mu.Lock()
				defer w.Mu.Unlock()
				w.Last = 1001 // none is left
			},
			mend: func(w *world) { w.Last = 0 },
			want: func(err error) bool { return halted(err) && errors.Is(err, sweeptest.ErrDisk) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				homes := 20
				if name == "counters" { // more requests than were reserved
					homes = 60
				}
				w := town(t, homes, 0.2)
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
				if w.Leaves != 0 {
					t.Errorf("%d leaves of the breaker are not reported", w.Leaves)
				}
				if c.mend != nil {
					c.mend(w)
				}
				w.Disk.Close()
				s = w.open()
				if err := w.steer(t, s, func(give func(record.OrderBody) error) {
					time.Sleep(time.Second)
					if s.Status().State == "paused" { // a pause outlives the process
						if err := give(record.OrderBody{Action: record.OrderResume}); err != nil {
							t.Error(err)
						}
					}
				}); err != nil {
					t.Fatal(err)
				}
				w.Disk.Close()
				w.wantMarks()
				w.wantAlike()
				wantEmpty(t, s)
			})
		})
	}
}

// A worker that panics ends its request, not the sweep.
func TestPanicInAWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := town(t, 5, 0)
		n := 0
		w.OnSign = func(piece) error {
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
		w.Policy.Permits = func(servicerequests.Service, servicerequests.DeviceType) bool { return true }
		s := w.open()
		if err := w.run(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		st := s.Status()
		if st.Done != 60 || st.Verdicts[record.VerdictUnknown] != 0 || st.Verdicts[record.VerdictOnSupply]+st.Verdicts[record.VerdictArmed] == 0 {
			t.Errorf("verdicts %v", st.Verdicts)
		}
		if told := st.Services["4.13"]; told[record.ClassSuccess.String()] != 60 || len(told) != 1 {
			t.Errorf("settings: %v", told)
		}
	})
}
