package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"safemode/engine/checkpoint"
	"safemode/engine/custody"
	"safemode/engine/journal"
	"safemode/servicerequests"
)

// Foreseen is what [Open] would say of what lies on this machine, part by part; nil is
// nothing.
type Foreseen struct {
	Keys        error // with their certificates, and the environment
	Authority   error // the roster and the recorded direction
	Journal     error // who writes it, the plan that it was begun with, its clock, a cease notice
	Checkpoints error
	Approvals   error
	Resumes     int       // that the approvals still give ahead
	Until       time.Time // and how long
	Counters    []Counter // of each identity
	Now         time.Time // to which the gates are held
}

// Counter is what would be said of one identity's counters.
type Counter struct {
	Originator servicerequests.EUI
	Over       uint64 // where counting goes on
	Err        error
}

// Foresee says what [Open] would, by the same code, and takes, writes and sends
// nothing. It looks at no gate and no address. Of a plan without a hash it says nothing.
func Foresee(ctx context.Context, o Options) Foreseen {
	if o.Clock.Speed == 0 {
		o.Clock.Speed = 1
	}
	e := &Engine{o: o}
	f := Foreseen{Keys: checkKeys(o), Authority: errors.Join(checkRehearsal(o), foretell(&o)), Now: time.Now().UTC()}
	var counted custody.Owner = unborn{}
	there, err := journalThere(o.Journal)
	if err == nil && there { // an empty file is one that was never begun
		e.journal, err = journal.OpenReadOnly(o.Journal)
	}
	if err != nil && (there || journal.IsAddress(o.Journal)) {
		f.Journal, f.Checkpoints, f.Approvals = err, err, err
		for _, id := range o.Identities {
			f.Counters = append(f.Counters, Counter{Originator: id.EUI, Err: err})
		}
		return f
	}
	if e.journal != nil {
		defer e.journal.Close()
		counted = owner{e.journal}
	}
	f.Journal = journal.CheckPlace(o.Journal)
	if o.Plan.SHA256 != "" {
		f.Journal = errors.Join(f.Journal, e.holdPlan(ctx))
		f.Now = e.clock.Wall()
		if f.Authority == nil { // else it says why, and f.Journal may
			f.Approvals = e.decide(ctx)
		}
		f.Resumes, f.Until = e.grant.Resumes, e.grant.Until
	}
	if c := o.Checkpoints; c.Path != "" {
		last, err := checkpoint.Check(c.Path, counted.ID(), c.Verifier)
		if err != nil {
			f.Checkpoints = fmt.Errorf("%w: %w", ErrRefused, err)
		} else {
			f.Checkpoints = e.holdPins(last)
		}
	}
	f.Counters = e.foreseeCounters(counted)
	return f
}

// foreseeCounters asks for the counters of each identity, and takes none.
func (e *Engine) foreseeCounters(owner custody.Owner) (all []Counter) {
	for _, id := range e.o.Identities {
		over, err := custody.Check(e.o.CustodyDir, id.EUI, owner, e.counting(id.EUI))
		all = append(all, Counter{id.EUI, over, err})
	}
	return all
}

// unborn is a journal that does not exist yet, as its counters would know it.
type unborn struct{}

func (unborn) ID() string { return "a new journal" }

func (unborn) Position() (seq uint64, hash [32]byte) { return 0, hash }

func (unborn) HashAt(uint64) (hash [32]byte, err error) {
	return hash, errors.New("it holds no record yet")
}
