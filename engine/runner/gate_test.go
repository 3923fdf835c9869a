package runner

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"safemode/engine/direction"
	"safemode/engine/exchange"
	"safemode/engine/record"
	"safemode/engine/sweep"
)

// word is evidence that says what a test wants.
type word struct {
	mu  sync.Mutex
	err error
}

func (w *word) say(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.err = err
}

func (w *word) Read(context.Context) error { return nil }

func (w *word) Check(time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// Each gate closes in the middle of a sweep of 5,000 meters: nothing is signed later
// than a second after, answers still come in, the end says which gate and why. Once
// it is open again the same journal goes on to the end.
func TestGateClosesMidSweep(t *testing.T) {
	reason := errors.New("the reason")
	for _, gate := range direction.AllGates {
		t.Run(string(gate), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { gateCloses(t, gate, reason) })
		})
	}
}

func gateCloses(t *testing.T, gate direction.Gate, reason error) {
	const perSecond = 100
	w := town(t, 2500, 0)
	const after = time.Minute + 230*time.Millisecond // what was sent at 200 ms is delivered at 500
	closesAt := time.Now().Add(after)
	directed := &direction.Direction{Reference: "DIR-1", NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0)}
	certificates, mpids, frozen := &word{}, &word{}, &word{}
	if gate == direction.InForce {
		directed.NotAfter, reason = closesAt, direction.ErrNotInForce
	}
	gates := direction.NewGates(direction.GateOptions{
		Direction: directed, Certificates: certificates, MPIDs: mpids, Frozen: frozen, MaxAge: time.Hour, Poll: 400 * time.Millisecond, // not at the same time as a delivery
	})
	if err := gates.Look(t.Context()); err != nil {
		t.Fatal(err)
	}
	watching, unwatch := context.WithCancel(t.Context())
	defer unwatch()
	go gates.Watch(watching, nil)
	evidence := map[direction.Gate]*word{direction.Certificates: certificates, direction.MPIDs: mpids, direction.Frozen: frozen}[gate]
	if evidence != nil {
		time.AfterFunc(after, func() { evidence.say(reason) })
	}

	var last time.Time
	signatures := 0
	w.OnSign = func(piece) error {
		last = time.Now()
		signatures++
		return nil
	}
	begun, sent := time.Now(), 0
	w.OnTake = func(time.Time, exchange.Place) (bool, time.Duration, string) { // the machine alone asks
		if sent >= int(time.Since(begun).Seconds()*perSecond) {
			return false, 10 * time.Millisecond, "user"
		}
		sent++
		return true, 0, ""
	}
	w.gate, w.options = gates.Check, func(o *Options) { o.Sweep.Drain = time.Minute }
	s := w.open()
	err := w.run(t.Context(), s)

	var halt *sweep.HaltError
	closed, ok := errors.AsType[*direction.GateError](err)
	if !errors.As(err, &halt) || !ok || closed.Gate != gate || !errors.Is(err, reason) {
		t.Fatalf("ended with %v", err)
	}
	if late := last.Sub(closesAt); late > time.Second || signatures < 30*perSecond || last.Before(closesAt.Add(-5*time.Second)) {
		t.Errorf("%d signatures, the last %v after the gate closed", signatures, late)
	}
	if err := w.Disk.Commit(t.Context()); err != nil { // what was appended
		t.Fatal(err)
	}
	answered := 0
	for r := range w.Disk.Records(1) {
		if r.Kind == record.Outcome && r.At.After(last) {
			answered++
		}
	}
	if st := s.Status(); answered == 0 || st.Started == 5000 || st.Done == 0 {
		t.Errorf("%d answers taken in after it closed; status %+v", answered, st)
	}

	// The gate is open again.
	begun, sent, signatures = time.Now(), 0, 0
	w.gate = nil
	s = w.open()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := w.run(ctx, s); !errors.Is(err, sweep.ErrStopped) {
		t.Fatal(err)
	}
	if started := s.Status().Started; signatures == 0 || started <= 700 {
		t.Errorf("after it opened: %d signatures, %d started", signatures, started)
	}
}

// A gate that closes while a half waits for its worker lets nothing be signed.
func TestGateBeforeEachSignature(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := town(t, 10, 0)
		closed := &direction.GateError{Gate: direction.MPIDs, Err: errors.New("moved")}
		w.gate = func(time.Time) error { return closed }
		s := w.open()
		w.OnSign = func(p piece) error {
			t.Errorf("signed %v", p.ID)
			return nil
		}
		if err := w.run(t.Context(), s); !errors.Is(err, closed) {
			t.Errorf("ended with %v", err)
		}
	})
}
