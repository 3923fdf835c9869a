package breaker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"safemode/servicerequests"
)

var (
	key = Key{Service: "transform", Region: servicerequests.North}

	errDown      = errors.New("connection refused")
	errThrottled = errors.New("throttled")
)

func newBreaker(t *testing.T) *Breaker {
	t.Helper()
	b, err := New(Options{
		MinSample: 10,
		Excluded:  func(err error) bool { return errors.Is(err, errThrottled) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// report makes n calls that end with err.
func report(t *testing.T, b *Breaker, n int, err error) {
	t.Helper()
	for range n {
		done, refused := b.Allow(key)
		if refused != nil {
			t.Fatal(refused)
		}
		done(err)
	}
}

func wantState(t *testing.T, b *Breaker, want circuitState) {
	t.Helper()
	if got := b.stateOf(key); got != want {
		t.Fatalf("state is %v, want %v", got, want)
	}
}

func TestTripAndRecover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t)
		report(t, b, 5, nil)
		report(t, b, 4, errDown)
		wantState(t, b, stateClosed) // nine calls are no sample
		report(t, b, 1, errDown)
		wantState(t, b, stateOpen)
		if _, err := b.Allow(key); !errors.Is(err, errOpen) {
			t.Errorf("got %v, want errOpen", err)
		}
		if got := b.stateOf(Key{Service: "transform", Region: servicerequests.South}); got != stateClosed {
			t.Errorf("the other region is %v", got)
		}

		time.Sleep(16 * time.Second)
		wantState(t, b, stateProbing)
		probe, err := b.Allow(key)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.Allow(key); !errors.Is(err, errOpen) {
			t.Errorf("a second call during the probe: got %v, want errOpen", err)
		}
		probe(errDown)
		wantState(t, b, stateOpen)

		time.Sleep(16 * time.Second)
		report(t, b, 1, nil)
		wantState(t, b, stateClosed)
	})
}

func TestWindowRolls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t)
		report(t, b, 9, errDown)
		time.Sleep(31 * time.Second)
		report(t, b, 9, errDown)
		wantState(t, b, stateClosed)
		report(t, b, 1, errDown)
		wantState(t, b, stateOpen)
	})
}

func TestExcludedErrorsMoveNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t)
		report(t, b, 50, fmt.Errorf("post: %w", errThrottled))
		report(t, b, 50, fmt.Errorf("post: %w", context.Canceled))
		wantState(t, b, stateClosed)
		report(t, b, 10, fmt.Errorf("post: %w", context.DeadlineExceeded))
		wantState(t, b, stateOpen)

		// An excluded probe gives its place back.
		time.Sleep(16 * time.Second)
		report(t, b, 3, errThrottled)
		wantState(t, b, stateProbing)
		report(t, b, 1, nil)
		wantState(t, b, stateClosed)
	})
}

func TestProbeThatIsNeverReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t)
		report(t, b, 10, errDown)
		time.Sleep(16 * time.Second)
		lost, err := b.Allow(key)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(59 * time.Second)
		if _, err := b.Allow(key); !errors.Is(err, errOpen) {
			t.Errorf("got %v, want errOpen while the probe's lease lasts", err)
		}
		time.Sleep(2 * time.Second)
		wantState(t, b, stateOpen)
		time.Sleep(16 * time.Second)
		report(t, b, 1, nil)
		wantState(t, b, stateClosed)

		// The report that came too late counts for nothing.
		lost(errDown)
		lost(errDown)
		wantState(t, b, stateClosed)
		report(t, b, 9, nil)
		wantState(t, b, stateClosed)
	})
}

func TestDoneCountsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t)
		done, err := b.Allow(key)
		if err != nil {
			t.Fatal(err)
		}
		for range 100 {
			done(errDown)
		}
		wantState(t, b, stateClosed)
	})
}

func TestCallsUnderWayAreNoSample(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t)
		for range 100 {
			if _, err := b.Allow(key); err != nil {
				t.Fatal(err)
			}
		}
		report(t, b, 9, errDown)
		wantState(t, b, stateClosed)
	})
}

func TestOptionsValidate(t *testing.T) {
	for _, o := range []Options{{Ratio: 1.1}, {Ratio: -0.1}, {Window: -1}, {MinSample: -1}, {Lease: -1}} {
		if _, err := New(o); err == nil {
			t.Errorf("accepted %+v", o)
		}
	}
}

func TestMetrics(t *testing.T) {
	b := newBreaker(t)
	report(t, b, 10, errDown)
	b.stateOf(Key{Service: "send_command", Region: servicerequests.South4G})
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(b)
	const want = `# HELP safemode_breaker_state State of the circuit: 0 closed, 1 probing, 2 open.
# TYPE safemode_breaker_state gauge
safemode_breaker_state{region="4G South",service="send_command"} 0
safemode_breaker_state{region="North",service="transform"} 2
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}
