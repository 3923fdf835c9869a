package direction

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Gate is one of the things without which nothing may be sent.
type Gate string

// The gates, in the order in which they are asked.
const (
	InForce      Gate = "direction"    // the Authority's direction stands
	Certificates Gate = "certificates" // the supplier's certificates are neither revoked nor, if asked for, run out
	MPIDs        Gate = "mpids"        // the supplier's market participant IDs have not moved
	Frozen       Gate = "adapter"      // the supplier's everyday adapter sends nothing under the same identities
)

// AllGates lists the gates.
var AllGates = [...]Gate{InForce, Certificates, MPIDs, Frozen}

// GateError says which gate is closed and why.
type GateError struct {
	Gate Gate
	Err  error
}

func (e *GateError) Error() string { return fmt.Sprintf("gate %s is closed: %v", e.Gate, e.Err) }
func (e *GateError) Unwrap() error { return e.Err }

// Evidence is what a gate other than the direction's rests on. It is read repeatedly, by one
// goroutine at a time. Each list of [Revocations] is read by itself, so that one that hangs
// does not delay the others.
type Evidence interface {
	// Read reads the source. Its result is valid until the next Read; after an error there is
	// none. If a Read does not end with ctx, no other begins until it does.
	Read(ctx context.Context) error
	// Check judges what was learnt last, at an instant of the sweep's clock. Many goroutines
	// may call it, also while Read runs.
	Check(now time.Time) error
}

// reader is one piece of evidence.
type reader interface {
	Read(ctx context.Context) error
}

// GateOptions configures the gates. A gate without evidence is closed by [Gates.Trip] alone.
// A live sweep needs all evidence, see [Gates.CheckComplete].
type GateOptions struct {
	Direction    *Direction
	Certificates Evidence
	MPIDs        Evidence
	Frozen       Evidence
	MaxAge       time.Duration    // real time; evidence that could not be read for longer closes its gate
	Poll         time.Duration    // real time between two reads of a source
	Limit        time.Duration    // real time that one read may take; 0: half a minute
	Now          func() time.Time // real time; nil is time.Now
}

// Gates are the gates of one sweep. Make them with [NewGates]. The methods may
// be called from many goroutines.
type Gates struct {
	o       GateOptions
	sources []*source // in the order of the gates

	mu      sync.Mutex
	tripped map[Gate]error
}

// source is one source of a gate's evidence.
type source struct {
	gate Gate
	from reader

	turn    sync.Mutex // one looks at a time
	reading chan error // takes the outcome of the Read under way; nil: none is
	begun   time.Time  // that Read

	mu      sync.Mutex
	read    time.Time // when what is known was read
	failure error     // of the last look
}

// NewGates makes gates. Those with evidence are closed until [Gates.Look] has read it.
func NewGates(o GateOptions) *Gates {
	if o.Now == nil {
		o.Now = time.Now
	}
	o.Limit = cmp.Or(o.Limit, 30*time.Second)
	g := &Gates{o: o, tripped: map[Gate]error{}}
	for _, gate := range AllGates {
		switch evidence := g.evidence(gate).(type) {
		case nil:
		case *Revocations:
			for _, list := range evidence.lists {
				g.sources = append(g.sources, &source{gate: gate, from: list})
			}
		default:
			g.sources = append(g.sources, &source{gate: gate, from: evidence})
		}
	}
	return g
}

// Check says whether anything may be signed and sent at an instant of the sweep's
// clock. The error is a [*GateError].
func (g *Gates) Check(now time.Time) error {
	for _, gate := range AllGates {
		if err := g.CheckGate(gate, now); err != nil {
			return err
		}
	}
	return nil
}

// CheckGate checks one gate. The error is a [*GateError].
func (g *Gates) CheckGate(gate Gate, now time.Time) error {
	var err error
	if gate == InForce {
		err = g.o.Direction.InForce(now)
	} else if evidence := g.evidence(gate); evidence != nil {
		if err = g.checkAge(gate); err == nil {
			err = evidence.Check(now)
		}
	}
	if err == nil {
		g.mu.Lock()
		err = g.tripped[gate]
		g.mu.Unlock()
	}
	if err != nil {
		return &GateError{gate, err}
	}
	return nil
}

func (g *Gates) evidence(gate Gate) Evidence {
	switch gate {
	case Certificates:
		return g.o.Certificates
	case MPIDs:
		return g.o.MPIDs
	case Frozen:
		return g.o.Frozen
	}
	return nil
}

// CheckComplete says which gates have no evidence, which only a rehearsal may lack.
func (g *Gates) CheckComplete() error {
	var faults []error
	for _, gate := range AllGates {
		if gate != InForce && g.evidence(gate) == nil {
			faults = append(faults, fmt.Errorf("gate %s has no evidence", gate))
		}
	}
	return errors.Join(faults...)
}

// Freeze is the statement that the adapter's gate rests on, as it was read last; nil: none.
func (g *Gates) Freeze() *Freeze {
	if g == nil {
		return nil
	}
	if f, ok := g.o.Frozen.(*FreezeFile); ok {
		return f.Freeze()
	}
	return nil
}

// checkAge checks that all of a gate's evidence is recent enough.
func (g *Gates) checkAge(gate Gate) error {
	for _, w := range g.sources {
		if w.gate != gate {
			continue
		}
		w.mu.Lock()
		read, failure := w.read, w.failure
		w.mu.Unlock()
		switch {
		case read.IsZero() && failure != nil:
			return failure
		case read.IsZero():
			return errors.New("its evidence was not looked at yet")
		case g.o.Now().Sub(read) > g.o.MaxAge && failure != nil:
			return fmt.Errorf("its evidence is of %s, older than %v: %w", read.UTC().Format(time.RFC3339), g.o.MaxAge, failure)
		case g.o.Now().Sub(read) > g.o.MaxAge:
			return fmt.Errorf("its evidence is of %s, older than %v", read.UTC().Format(time.RFC3339), g.o.MaxAge)
		}
	}
	return nil
}

// Trip closes a gate until the process ends, for a reason that its evidence does not show:
// a run of answers that means the MPIDs have moved, say. The first reason stays.
func (g *Gates) Trip(gate Gate, reason error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.tripped[gate] == nil {
		g.tripped[gate] = reason
	}
}

// Look reads all evidence once. The errors say what could not be read; whether that
// closes a gate is for Check.
func (g *Gates) Look(ctx context.Context) error {
	faults := make([]error, len(g.sources))
	var looking sync.WaitGroup
	for i, w := range g.sources {
		looking.Go(func() { faults[i] = g.readSource(ctx, w) })
	}
	looking.Wait()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return errors.Join(faults...)
}

// readSource reads one source, for no longer than the limit.
func (g *Gates) readSource(ctx context.Context, w *source) error {
	w.turn.Lock()
	defer w.turn.Unlock()
	limited, cancel := context.WithTimeout(ctx, g.o.Limit)
	defer cancel()
	select {
	case late := <-w.reading: // the last look has given it up meanwhile
		_ = late // nobody asks for its result any more
		w.reading = nil
	default:
	}
	if w.reading == nil {
		outcome := make(chan error, 1) // the Read may end when nobody waits for it
		w.reading, w.begun = outcome, g.o.Now()
		go func() { outcome <- w.from.Read(limited) }() // ends with limited, or when the system call returns
	}
	var err error
	select {
	case err = <-w.reading:
		w.reading = nil
	case <-limited.Done():
		err = fmt.Errorf("no answer within %v", g.o.Limit)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failure = err; err != nil {
		return fmt.Errorf("gate %s: %w", w.gate, err)
	}
	w.read = w.begun
	return nil
}

// Watch looks at the evidence until ctx ends, at each source by itself. Looked is called
// after each look at one, with why it could not be read; it may be called from many
// goroutines, and may be nil.
func (g *Gates) Watch(ctx context.Context, looked func(error)) {
	var watching sync.WaitGroup
	for _, w := range g.sources {
		watching.Go(func() {
			ticker := time.NewTicker(g.o.Poll)
			defer ticker.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-ticker.C:
				}
				if err := g.readSource(ctx, w); looked != nil && ctx.Err() == nil {
					looked(err)
				}
			}
		})
	}
	watching.Wait()
}
