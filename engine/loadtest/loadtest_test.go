package loadtest

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"safemode/engine/gateway"
	"safemode/engine/proof"
	"safemode/engine/signer"
	"safemode/servicerequests"
	"safemode/servicerequests/duis"
	"safemode/servicerequests/gbcs"
)

// system is a DCC-like system in synthetic time: what a POST takes and says is
// decided by how many came before it.
type system struct {
	posts   atomic.Int64
	takes   func(n int64) time.Duration
	says    func(n int64) error
	refuses func(servicerequests.RequestID) bool // by E4; nil: none
	deliver func(proof.Delivery)                 // after the acknowledgement; nil: nothing is answered
	counter atomic.Uint64
}

func (s *system) Next() (uint64, error) { return s.counter.Add(1), nil }

func (s *system) SignRequest(_ context.Context, _ servicerequests.EUI, r duis.Request) ([]byte, error) {
	return []byte("<signed/>"), nil
}

func (s *system) Prepare(gbcs.Expected, []byte) (*signer.Token, error) {
	return nil, errors.New("nothing to prepare")
}

func (s *system) Sign(_ context.Context, _ servicerequests.EUI, _ *signer.Token) ([]byte, error) {
	return nil, errors.New("nothing to sign")
}

func (s *system) Post(_ context.Context, p gateway.Post) ([]byte, error) {
	n := s.posts.Add(1) - 1
	time.Sleep(s.takes(n))
	if s.says != nil {
		if err := s.says(n); err != nil {
			return nil, err
		}
	}
	if s.deliver != nil {
		go s.deliver(proof.Delivery{ID: p.ID, Code: servicerequests.NoResponse})
	}
	return nil, nil
}

func (s *system) Reply(_ []byte, id servicerequests.RequestID) (duis.Response, error) {
	if s.refuses != nil && s.refuses(id) {
		return duis.Response{Code: servicerequests.NotRegistered}, nil
	}
	return duis.Response{Code: servicerequests.Acknowledged}, nil
}

func newTester(t *testing.T, s *system, change func(*Options)) *Tester {
	t.Helper()
	o := Options{
		Services: []servicerequests.Service{servicerequests.ReadSupplyStatus}, Originator: 1,
		Targets:  []Target{{2, servicerequests.ESME}, {3, servicerequests.ESME}},
		Counters: s, Signer: s, Gateway: s, Verifier: s, Log: zap.NewNop(), Wait: 5 * time.Second,
	}
	if change != nil {
		change(&o)
	}
	tester, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return tester
}

func run(t *testing.T, tester *Tester, rate float64, span time.Duration) Step {
	t.Helper()
	step, err := tester.Run(t.Context(), Stage{rate, span})
	if err != nil {
		t.Fatal(err)
	}
	return step
}

func always(d time.Duration) func(int64) time.Duration {
	return func(int64) time.Duration { return d }
}

func wantMS(t *testing.T, what string, got *float64, want float64) {
	t.Helper()
	if got == nil || *got < want*0.99 || *got > want*1.01 {
		t.Errorf("%s: got %s, want %v ms", what, figure(got), want)
	}
}

func TestSteadySystem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &system{takes: always(20 * time.Millisecond)}
		step := run(t, newTester(t, s, nil), 100, 10*time.Second)
		if step.Requested != 1000 || step.Sent != 1000 || step.Accepted != 1000 || step.Late+step.Dropped != 0 {
			t.Errorf("%+v", step)
		}
		wantMS(t, "ack p50", step.Ack.P50, 20)
		wantMS(t, "ack max", step.Ack.Max, 20)
		if step.Answer.P50 != nil || step.Answer.Censored != 1000 || step.Unanswered != 1000 {
			t.Errorf("nothing was answered: %+v", step.Answer)
		}
	})
}

// A system that stands still for two seconds of ten: what arrived meanwhile waited,
// though only the workers' worth of requests was sent into the stall.
func TestStallIsNotLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		s := &system{}
		s.takes = func(int64) time.Duration {
			if at := time.Since(began); at >= 4*time.Second && at < 6*time.Second {
				return 6*time.Second - at
			}
			return time.Millisecond
		}
		step := run(t, newTester(t, s, func(o *Options) { o.Workers = 150 }), 100, 10*time.Second)
		if step.Requested != 1000 || step.Dropped != 0 || step.Late < 40 {
			t.Errorf("%+v", step)
		}
		// 200 of 1000 arrived in the stall and waited for up to two seconds.
		wantMS(t, "ack p50", step.Ack.P50, 1)
		wantMS(t, "ack p90", step.Ack.P90, 1000)
		wantMS(t, "ack max", step.Ack.Max, 2000)
		if step.AcceptedRate < 99 || step.AcceptedRate > 101 {
			t.Errorf("accepted %v a second", step.AcceptedRate)
		}
	})
}

func TestDroppedWhereNoWorkerIsFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &system{takes: always(time.Second)}
		step := run(t, newTester(t, s, func(o *Options) { o.Workers = 10 }), 100, 10*time.Second)
		// Ten a second get through, and as many wait.
		if step.Sent+step.Dropped != 1000 || step.Sent < 100 || step.Sent > 125 {
			t.Errorf("%d sent, %d dropped", step.Sent, step.Dropped)
		}
		if step.Ack.P50 != nil || step.Ack.Samples != 1000 {
			t.Errorf("the median is among those without end: %+v", step.Ack)
		}
	})
}

func TestFates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fates := []error{
			nil, &gateway.ThrottledError{Status: 503}, gateway.ErrNotWritten, gateway.ErrRejected, gateway.ErrInDoubt, gateway.ErrNotPermitted,
		}
		s := &system{takes: always(0), says: func(n int64) error { return fates[n%int64(len(fates))] }}
		step := run(t, newTester(t, s, nil), 60, time.Second)
		want := fmt.Sprint([]int{60, 10, 10, 10, 10, 20})
		if got := fmt.Sprint([]int{step.Sent, step.Accepted, step.Throttled, step.Rejected, step.InDoubt, step.Unavailable}); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if step.Ack.Censored != 50 || step.Unanswered != 10 {
			t.Errorf("%+v", step)
		}
	})
}

// A refusal by response code is the request's acknowledgement and its answer, with a
// count of its own.
func TestRefusedByCode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &system{takes: always(20 * time.Millisecond), refuses: func(id servicerequests.RequestID) bool { return id.Target == 2 }}
		tester := newTester(t, s, nil)
		step := run(t, tester, 50, 2*time.Second)
		if step.Refused != 50 || step.Accepted != 50 || step.Unanswered != 50 || step.Answered+step.Rejected+step.Unavailable != 0 {
			t.Errorf("%+v", step)
		}
		if step.AcceptedRate != 25 || step.AnsweredRate != 0 || step.SentRate != 50 {
			t.Errorf("sent %v, accepted %v, answered %v a second", step.SentRate, step.AcceptedRate, step.AnsweredRate)
		}
		wantMS(t, "ack p99", step.Ack.P99, 20)
		wantMS(t, "answer p50", step.Answer.P50, 20)
		if step.Ack.Censored != 0 || step.Answer.Censored != 50 {
			t.Errorf("without an end: %d and %d", step.Ack.Censored, step.Answer.Censored)
		}
		ack, err := ParseThreshold("ack_p99<100ms")
		if err != nil {
			t.Fatal(err)
		}
		if c := ack.Check(&step); !c.Pass {
			t.Errorf("%+v", c)
		}
		s.refuses = func(servicerequests.RequestID) bool { return true }
		all := run(t, tester, 50, 2*time.Second)
		if c := ack.Check(&all); c.Pass || all.Refused != 100 {
			t.Errorf("nothing was accepted of %d refused: %+v", all.Refused, c)
		}
	})
}

// The DCC's word that a device did not answer ends the waiting, and is no answer.
func TestNoResponseIsNoAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &system{takes: always(time.Millisecond)}
		tester := newTester(t, s, func(o *Options) { o.Wait = time.Hour })
		s.deliver = tester.Deliver
		began := time.Now()
		step := run(t, tester, 50, 2*time.Second)
		if step.NoResponse != 100 || step.Unanswered != 100 || step.Answered != 0 {
			t.Errorf("%+v", step)
		}
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("waited %v for answers that had come", took)
		}
	})
}

func TestInterrupt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &system{takes: always(time.Millisecond)}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		step, err := newTester(t, s, nil).Run(ctx, Stage{10, time.Minute})
		if !errors.Is(err, context.DeadlineExceeded) || step.Requested < 19 || step.Requested > 21 {
			t.Errorf("%v, %d requested", err, step.Requested)
		}
	})
}

// Critical commands of one meter go one at a time: with nothing answered, each
// meter gets one.
func TestOneCriticalCommandForEachMeter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &system{takes: always(0), says: func(int64) error { return gateway.ErrInDoubt }}
		tester := newTester(t, s, func(o *Options) {
			o.Services = []servicerequests.Service{servicerequests.SwitchToCredit}
			o.Wait = time.Second
		})
		tester.busy[3] = true
		step := run(t, tester, 10, time.Second)
		if step.Requested != 10 || step.InDoubt+step.Dropped != 10 || step.InDoubt == 0 {
			t.Errorf("%+v", step)
		}
		for key := range tester.busy {
			if key != 3 {
				t.Errorf("%v is left busy", key)
			}
		}
	})
}

func TestNewRefuses(t *testing.T) {
	s := &system{}
	for name, change := range map[string]func(*Options){
		"nobody to ask": func(o *Options) { o.Targets = nil },
		"arming":        func(o *Options) { o.Services = append(o.Services, servicerequests.ArmSupply) },
		"an inventory":  func(o *Options) { o.Services = append(o.Services, servicerequests.ReadInventory) },
		"no signer":     func(o *Options) { o.Signer = nil },
		"no workers":    func(o *Options) { o.Workers = -1 },
	} {
		o := Options{
			Services: []servicerequests.Service{servicerequests.ReadSupplyStatus}, Originator: 1, Targets: []Target{{2, servicerequests.ESME}},
			Counters: s, Signer: s, Gateway: s, Verifier: s, Log: zap.NewNop(),
		}
		change(&o)
		if _, err := New(o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	tester := newTester(t, s, nil)
	for _, stage := range []Stage{{0, time.Second}, {1, 0}, {1e9, time.Hour}} {
		if _, err := tester.Run(t.Context(), stage); err == nil {
			t.Errorf("%+v: accepted", stage)
		}
	}
}
