package direction

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Gate is one of the three things without which nothing may be sent.
type Gate string

// The gates, in the order in which they are asked.
const (
	InForce      Gate = "direction"    // the Authority's direction stands
	Certificates Gate = "certificates" // the supplier's certificates are neither revoked nor, if asked for, run out
	MPIDs        Gate = "mpids"        // the supplier's market participant IDs have not moved
)

// AllGates lists the gates.
var AllGates = [...]Gate{InForce, Certificates, MPIDs}

// GateError says which gate is closed and why.
type GateError struct {
	Gate Gate
	Err  error
}

func (e *GateError) Error() string { return fmt.Sprintf("gate %s is closed: %v", e.Gate, e.Err) }
func (e *GateError) Unwrap() error { return e.Err }

// Evidence is what a gate rests on besides the direction. It is read again and
// again, by one goroutine at a time.
type Evidence interface {
	// Read looks at the source. What it learns holds until the next Read; an error
	// says that nothing was learnt.
	Read(ctx context.Context) error
	// Check judges what was learnt last, at an instant of the sweep's clock. It may be
	// called from many goroutines, also while Read runs.
	Check(now time.Time) error
}

// GateOptions is what the gates rest on. Evidence that is nil leaves its gate to
// what trips it: a live sweep has both.
type GateOptions struct {
	Direction    *Direction
	Certificates Evidence
	MPIDs        Evidence
	MaxAge       time.Duration    // real time; evidence that could not be read for longer closes its gate
	Poll         time.Duration    // real time between two looks at the evidence
	Now          func() time.Time // real time; nil is time.Now
}

// Gates are the three gates of one sweep. Make them with [NewGates]. The methods may
// be called from many goroutines.
type Gates struct {
	o GateOptions

	mu      sync.Mutex
	tripped map[Gate]error
	read    map[Gate]time.Time // when evidence was last read
	failure map[Gate]error     // of the last Read
}

// NewGates makes gates. Those with evidence are closed until [Gates.Look] has read it.
func NewGates(o GateOptions) *Gates {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Gates{o: o, tripped: map[Gate]error{}, read: map[Gate]time.Time{}, failure: map[Gate]error{}}
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

// CheckGate asks one gate. The error is a [*GateError].
func (g *Gates) CheckGate(gate Gate, now time.Time) error {
	var err error
	if gate == InForce {
		err = g.o.Direction.InForce(now)
	} else if evidence := g.evidence(gate); evidence != nil {
		if err = g.fresh(gate); err == nil {
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
	}
	return nil
}

// fresh says whether a gate's evidence is young enough to go by.
func (g *Gates) fresh(gate Gate) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	read, failure := g.read[gate], g.failure[gate]
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
	return nil
}

// Trip closes a gate for the rest of this process, for a reason that no evidence
// shows: a run of answers that means the MPIDs have moved, say. The first reason
// stays.
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
	var faults []error
	for _, gate := range AllGates {
		evidence := g.evidence(gate)
		if evidence == nil {
			continue
		}
		err := evidence.Read(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		g.mu.Lock()
		if g.failure[gate] = err; err == nil {
			g.read[gate] = g.o.Now()
		}
		g.mu.Unlock()
		if err != nil {
			faults = append(faults, fmt.Errorf("gate %s: %w", gate, err))
		}
	}
	return errors.Join(faults...)
}

// Watch looks at the evidence until ctx ends. Changed is called after each look with
// what could not be read, and may be nil.
func (g *Gates) Watch(ctx context.Context, looked func(error)) {
	ticker := time.NewTicker(g.o.Poll)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if err := g.Look(ctx); looked != nil && ctx.Err() == nil {
			looked(err)
		}
	}
}
