package engine

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"go.uber.org/zap"

	"safemode/engine/advice"
	"safemode/engine/direction"
	"safemode/engine/record"
)

// PerMeter is how much of the disk the journal needs for one meter, in bytes: some ten requests with
// their answers, and retries. ASSUMPTION, from rehearsals.
const PerMeter = 32 << 10

// Status returns the status of the sweep, with its gates and circuits, and what people have to
// do.
func (e *Engine) Status() record.Status {
	st := e.runner.Status()
	if e.ended.Load() && st.State == "stopping" {
		st.State = "interrupted"
	}
	e.identify(&st)
	st.Gates = map[string]string{}
	for _, gate := range direction.AllGates {
		st.Gates[string(gate)] = "open"
		if err := e.o.Gates.CheckGate(gate, e.clock.Wall()); err != nil {
			st.Gates[string(gate)] = errors.Unwrap(err).Error()
		}
	}
	st.Breakers = e.circuits.Troubled()
	if st.State == "halted" {
		e.haltedAt.CompareAndSwap(0, e.clock.Now().UnixNano())
		st.Since = time.Unix(0, e.haltedAt.Load()).UTC()
	}
	st.BreakersSince = e.troubledSince(len(st.Breakers) > 0)
	st.UnknownSigner, st.UnknownSince = e.prover.UnknownSigner()
	st.Signer = e.signerTrouble()
	if limit := e.limit(); !math.IsInf(limit, 1) {
		st.Limit = &limit
	}
	if all := e.standby.Load(); all != nil {
		st.Standby = *all
	}
	st.ResumesLeft, st.ApprovedUntil = e.grant.Resumes, e.grant.Until
	if at := e.lastHeard.Load(); at != 0 {
		ago := time.Since(time.Unix(0, at)).Seconds()
		st.InboxHeard = &ago
	}
	e.weighDisk(&st)
	st.Calls = e.called.look(e.o.Journal, e.sweepID)
	advice.Judge(&st, e.place(), e.clock.Wall())
	return st
}

// troubledSince is since when a circuit has not been closed, as this engine has seen it.
func (e *Engine) troubledSince(now bool) time.Time {
	if !now {
		e.troubled.Store(0)
		return time.Time{}
	}
	e.troubled.CompareAndSwap(0, time.Now().UnixNano())
	return time.Unix(0, e.troubled.Load()).UTC()
}

// identify says which sweep it is, and whether it is real.
func (e *Engine) identify(st *record.Status) {
	p := e.o.Plan
	at := st.Time
	st.Identity = identityOf(p.Environment, e.sweepID, &p.Direction)
	st.Time, st.RealTime, st.ClockSpeed = at, time.Now().UTC(), e.clock.Speed
}

// identityOf names a sweep.
func identityOf(environment, sweepID string, d *direction.Direction) record.Identity {
	return record.Identity{
		Environment: environment, SweepID: sweepID, Direction: d.Reference, Deadline: d.NotAfter,
		Supplier: fmt.Sprintf("%v (%s)", d.Supplier.EUI, strings.Join(d.Supplier.MPIDs, ", ")),
	}
}

// place has the paths and addresses for advised commands.
func (e *Engine) place() advice.Place {
	p := e.o.Place
	p.Rehearsal, p.Ending = e.o.Rehearsal, !e.ended.Load()
	p.Operations = strings.TrimPrefix(e.OperationsURL(), "http://")
	p.Guarded = e.o.Operations.Token != "" || len(e.o.Operations.People) > 0
	return p
}

// weighDisk sets how much room the journal's disk has left, and how much the rest of the sweep
// may need.
func (e *Engine) weighDisk(st *record.Status) {
	var s syscall.Statfs_t
	if strings.Contains(e.o.Journal, "://") || syscall.Statfs(filepath.Dir(e.o.Journal), &s) != nil {
		return
	}
	free := s.Bavail * uint64(s.Bsize)
	st.DiskFree, st.DiskNeeded = &free, 64<<20+uint64(max(0, st.Meters-st.Done))*PerMeter
}

// limit is how many POSTs a second the limits of User and regions allow together.
func (e *Engine) limit() float64 {
	regions := 0.0
	for _, l := range e.o.Limits.Region {
		regions += l.PerSecond
	}
	return min(regions, e.o.Limits.User.PerSecond*float64(len(e.o.Identities)))
}

// logEnd logs how the sweep has ended, and what people have to do.
func (e *Engine) logEnd() {
	st := e.Status()
	var todo []string
	for _, t := range st.ToDo {
		todo = append(todo, t.Lines()...)
	}
	say := e.o.Log.Warn
	if st.State == "finished" { // the good end
		say = e.o.Log.Info
	}
	say("ended", zap.String("state", st.State), zap.String("environment", st.Environment), zap.String("sweep_id", st.SweepID),
		zap.String("reason", st.Reason), zap.Strings("to_do", todo))
}
