package breaker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sony/gobreaker/v2"

	"safemode/servicerequests"
)

// ErrOpen is the error for a call that was refused: the circuit is open, or its one probe is
// under way. Nothing was sent. Refused calls are not attempts.
var ErrOpen = errors.New("circuit is open")

// errUnreported is the failure of a probe that nobody reported before its lease ended.
var errUnreported = errors.New("the outcome of the probe was never reported")

// Key names a circuit.
type Key struct {
	Service string // as the gateway names it
	Region  servicerequests.Region
}

// Options are the circuits' settings. Durations are real time. All defaults are
// assumptions: the DCC publishes no figures.
type Options struct {
	Window    time.Duration // how far back calls count; 0: 30 s
	Buckets   int           // steps in which the window rolls; 0: 10
	MinSample int           // reported calls in the window before it may trip; 0: 20
	Ratio     float64       // share of failures that trips it, over 0 to 1; 0: 0.5
	Pause     time.Duration // from tripping to the first probe; 0: 15 s
	Lease     time.Duration // how long a probe may go unreported; 0: 60 s

	// Excluded says that an error tells nothing about the service: throttling,
	// a refusal for business reasons. Cancellation never does. Nil: no others.
	Excluded func(error) bool
}

// validate joins all faults.
func (o Options) validate() error {
	var errs []error
	if o.Window < 0 || o.Pause < 0 || o.Lease < 0 {
		errs = append(errs, errors.New("window, pause and lease must not be negative"))
	}
	if o.Buckets < 0 || o.MinSample < 0 {
		errs = append(errs, errors.New("buckets and min_sample must not be negative"))
	}
	if !(o.Ratio >= 0 && o.Ratio <= 1) {
		errs = append(errs, fmt.Errorf("ratio %v: want over 0 to 1", o.Ratio))
	}
	return errors.Join(errs...)
}

// circuitState is what a circuit does. The numbers are those of the metric.
type circuitState int

// The states.
const (
	stateClosed  circuitState = iota // calls pass
	stateProbing                     // one call at a time passes
	stateOpen                        // no call passes
)

func (s circuitState) String() string {
	switch s {
	case stateClosed:
		return "closed"
	case stateProbing:
		return "probing"
	case stateOpen:
		return "open"
	}
	return fmt.Sprintf("invalid(%d)", int(s))
}

// Breaker holds the circuits. It is safe for concurrent use.
type Breaker struct {
	settings gobreaker.Settings
	lease    time.Duration

	mu       sync.Mutex
	circuits map[Key]*circuit
}

type circuit = gobreaker.TwoStepCircuitBreaker[struct{}]

// New makes a Breaker whose circuits are closed.
func New(o Options) (*Breaker, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	window := cmp.Or(o.Window, 30*time.Second)
	sample := uint64(cmp.Or(o.MinSample, 20))
	ratio := cmp.Or(o.Ratio, 0.5)
	return &Breaker{
		lease:    cmp.Or(o.Lease, time.Minute),
		circuits: map[Key]*circuit{},
		settings: gobreaker.Settings{
			MaxRequests:  1,
			Interval:     window,
			BucketPeriod: max(1, window/time.Duration(cmp.Or(o.Buckets, 10))),
			Timeout:      cmp.Or(o.Pause, 15*time.Second),
			ReadyToTrip: func(c gobreaker.Counts) bool {
				// Calls still under way say nothing yet, so Requests is not the sample.
				reported := uint64(c.TotalSuccesses) + uint64(c.TotalFailures)
				return reported >= sample && float64(c.TotalFailures) >= ratio*float64(reported)
			},
			IsExcluded: func(err error) bool {
				return errors.Is(err, context.Canceled) || err != nil && o.Excluded != nil && o.Excluded(err)
			},
		},
	}, nil
}

// Allow asks whether a call may be made now. If so, done must be called once
// with the call's error; further calls of it do nothing. The error is [ErrOpen].
func (b *Breaker) Allow(key Key) (done func(error), err error) {
	c := b.circuit(key)
	report, err := c.Allow()
	if err != nil {
		return nil, fmt.Errorf("%s, %s: %w", key.Service, key.Region, ErrOpen)
	}
	var once sync.Once
	reportOnce := func(err error) { once.Do(func() { report(err) }) }
	if c.State() != gobreaker.StateHalfOpen {
		return reportOnce, nil
	}
	// The call is the probe.
	lease := time.AfterFunc(b.lease, func() { reportOnce(errUnreported) })
	return func(err error) {
		lease.Stop()
		reportOnce(err)
	}, nil
}

// stateOf returns what the circuit does now.
func (b *Breaker) stateOf(key Key) circuitState {
	switch b.circuit(key).State() {
	case gobreaker.StateOpen:
		return stateOpen
	case gobreaker.StateHalfOpen:
		return stateProbing
	}
	return stateClosed
}

func (b *Breaker) circuit(key Key) *circuit {
	b.mu.Lock()
	defer b.mu.Unlock()
	c, ok := b.circuits[key]
	if !ok {
		c = gobreaker.NewTwoStepCircuitBreaker[struct{}](b.settings)
		b.circuits[key] = c
	}
	return c
}

// Troubled lists the circuits through which not every call passes, by service and
// region.
func (b *Breaker) Troubled() map[string]string {
	troubled := map[string]string{}
	for _, key := range b.keys() {
		if state := b.stateOf(key); state != stateClosed {
			troubled[key.Service+" "+key.Region.String()] = state.String()
		}
	}
	return troubled
}
