package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"math"
	"os"
	"slices"
	"time"

	"go.uber.org/zap"

	"safemode/engine/authority"
	"safemode/engine/custody"
	"safemode/engine/direction"
	"safemode/engine/journal"
	"safemode/engine/plan"
	"safemode/engine/record"
	"safemode/servicerequests"
	"safemode/servicerequests/smki"
)

// checkRehearsal refuses options of a rehearsal in any other sweep.
func checkRehearsal(o Options) error {
	switch {
	case o.Rehearsal && o.Plan.Environment != Simulator:
		return fmt.Errorf("%w: a rehearsal in environment %s", ErrRefused, o.Plan.Environment)
	case o.Policy.PlanOrder && !o.Rehearsal:
		return fmt.Errorf("%w: only a rehearsal may leave the order of hours at risk", ErrRefused)
	}
	return nil
}

// foretell checks people and environment before an address is bound or the DCC is asked.
// Revocation lists are not read yet: [Engine.decide] checks all of it again.
func foretell(o *Options) error {
	if o.Rehearsal {
		return nil
	}
	if o.Plan.Environment != Simulator && o.Gates == nil {
		return fmt.Errorf("%w: environment %s needs evidence for its gates (gates)", ErrRefused, o.Plan.Environment)
	}
	if o.Plan.Environment != Simulator {
		if err := o.Gates.CheckComplete(); err != nil {
			return fmt.Errorf("%w: environment %s: %w", ErrRefused, o.Plan.Environment, err)
		}
	}
	c := caseOf(o)
	if err := c.People(); err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return nil
}

// caseOf is the evidence for this start, without that of journal and custody.
func caseOf(o *Options) authority.Case {
	trusted := smki.Trust(o.DCC.Authorities)
	return authority.Case{
		Plan: o.Plan, Roster: o.Roster, Approvals: o.Approvals, MaxValidity: o.ApprovalsAtMost, BeyondPlan: o.Wider, Now: time.Now(),
		Trust: direction.Trust{Chained: trusted.Verify, Revoked: o.Revoked}, Freeze: o.Gates.Freeze(),
	}
}

// decide asks whether this start may act, and keeps the grant. The error wraps
// [ErrRefused].
func (e *Engine) decide(ctx context.Context) error {
	if e.o.Rehearsal {
		return nil
	}
	c := caseOf(&e.o)
	c.Gates = e.o.Gates.Check(e.clock.Wall())
	var err error
	if c.Journal, err = e.claims(ctx); err != nil {
		return err
	}
	if e.book, err = custody.OpenBook(e.files); err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	c.Custody = custodyOf(e.book)
	if e.grant, err = c.Decide(); err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	e.freeze, e.claimed = c.Freeze, c.Journal
	return nil
}

// claims returns what the journal says of itself, or will say if it is not made yet.
func (e *Engine) claims(ctx context.Context) (j authority.Journal, err error) {
	if e.journal == nil {
		return authority.Journal{ID: e.o.Plan.Journal}, nil
	}
	if j, err = History(ctx, e.journal); err != nil {
		return j, err
	}
	if j.Content = e.content; e.unread > 0 {
		j.Content = e.o.Plan.Content // it is checked before anything is sent, or during the sweep: see replay
	}
	return j, nil
}

func custodyOf(b *custody.Book) *authority.Custody {
	return &authority.Custody{ID: b.ID(), Copied: b.Copied(), Entries: b.Entries()}
}

// counting says how counters are taken: a new sweep takes them over from the journals that
// its plan names.
func (e *Engine) counting(originator servicerequests.EUI) custody.Options {
	o := custody.Options{Floor: e.o.Floor}
	if c := e.o.Plan.Custody; c != nil && e.begins && !e.o.Rehearsal {
		o.From = c.Follows[originator]
	}
	return o
}

// spend has the custody record this start, before the journal says that it has begun.
func (e *Engine) spend() error {
	if e.o.Rehearsal || e.grant.Entry > 0 {
		return nil
	}
	entry, err := e.remember(custody.Started, "", e.grant.Spent)
	e.grant.Entry = entry.N
	return err
}

// remember adds an entry about this sweep to the custody's book.
func (e *Engine) remember(act custody.Act, reason string, approvals []string) (custody.Entry, error) {
	records, hash := owner{e.journal}.Position()
	return e.book.Append(custody.Entry{
		Act: act, Plan: e.o.Plan.SHA256, Journal: e.journal.ID(), Records: records, Hash: hash, Approvals: approvals, Reason: reason,
	})
}

// heed has the custody record a halt or an order to cease before the journal does.
func (e *Engine) heed(r *record.Record) {
	act, reason := custody.Halted, ""
	switch {
	case r.Kind == record.Halted:
		if body, err := record.Decode[record.HaltedBody](*r); err == nil {
			reason = body.Reason
		}
	case r.Kind == record.Operator && r.Code == record.OrderCease:
		act = custody.Ceased
		if body, err := record.Decode[record.OrderBody](*r); err == nil {
			reason = body.Reference
		}
	default:
		return
	}
	if e.book == nil || record.Fenced(e.journal.Held()) {
		return // a rehearsal; or no halt, because another engine has gone on with the sweep
	}
	if _, err := e.remember(act, reason, nil); err != nil {
		e.o.Log.Error("the custody does not remember this: the journal alone does", zap.String("act", string(act)), zap.Error(err))
	}
}

// readPlanned hashes the journal's records of the plan, up to number whole, and adds the
// meters that the plan suppresses to those that are not touched.
func (e *Engine) readPlanned(ctx context.Context, whole int) error {
	content, n := plan.NewContent(), 0
	var suppressed []servicerequests.EUI
	for r, err := range e.journal.Records(ctx, 2) {
		if err != nil {
			return err
		}
		if n = int(r.Seq); n > whole {
			break
		}
		switch r.Kind {
		case record.Target:
			content.Target(r.Device, r.Body)
			body, err := record.Decode[record.TargetBody](r)
			if err != nil {
				return err
			}
			if body.Suppressed {
				suppressed = append(suppressed, r.Device)
			}
		case record.Rejected:
			content.Rejected(r.Body)
		default:
			return fmt.Errorf("%w: %s: record %d is a %v among the plan's", journal.ErrDamaged, e.o.Journal, r.Seq, r.Kind)
		}
	}
	e.content = content.String()
	if e.content != e.o.Plan.Content { // a rehearsal sweeps only its plan, too
		return fmt.Errorf("%w: the meters in %s are not those of the plan (%.12s..., not %.12s...)", ErrRefused, e.o.Journal, e.content, e.o.Plan.Content)
	}
	for _, device := range suppressed {
		e.suppress(device)
	}
	return nil
}

// fits compares the meters of a state that the journal keeps with the plan's.
func (e *Engine) fits(kept iter.Seq[record.PlannedMeter]) error {
	places := sha256.New()
	var b [26]byte
	for s := range kept {
		places.Write(s.Append(b[:0]))
	}
	if hex.EncodeToString(places.Sum(nil)) != e.o.Plan.Places {
		return errors.New("its meters are not those of the plan")
	}
	return nil
}

// suppress has the sweep leave a meter alone.
func (e *Engine) suppress(device servicerequests.EUI) {
	if e.suppressed == nil {
		e.suppressed = map[servicerequests.EUI]struct{}{}
		for d := range e.o.Suppressed {
			e.suppressed[d] = struct{}{}
		}
		e.o.Suppressed = e.suppressed
	}
	e.suppressed[device] = struct{}{}
}

// History is what a journal says of its starts and of how the last one ended. It does not
// say whether its meters are those of a plan.
func History(ctx context.Context, j *journal.Journal) (h authority.Journal, err error) {
	h = authority.Journal{ID: j.ID(), Records: j.Tip().Seq, HashAt: j.HashAt}
	if h.Records > 0 {
		planned, err := j.At(ctx, 1)
		if err != nil {
			return h, err
		}
		h.Planned = planned.Code
	}
	var runs []run // the last first
	last := run{before: math.MaxInt64}
	for r, err := range j.Backward(ctx, 0, math.MaxInt64, record.Opened, record.Closed, record.Halted, record.Tripwire) {
		if err != nil {
			return h, err
		}
		if last.take(r) {
			runs, last = append(runs, last), run{before: r.Seq}
		}
	}
	for _, run := range slices.Backward(runs) {
		opening, err := record.Decode[record.Opening](run.opened)
		if err != nil {
			return h, err
		}
		h.Starts = append(h.Starts, authority.Start{Seq: run.opened.Seq, Opening: opening, Before: h.Stop})
		if h.Stop, err = run.stop(ctx, j, opening.StoreFirst); err != nil {
			return h, err
		}
	}
	return h, nil
}

// run is a start and the last records of some kinds before the next start. Those that are missing
// have number 0.
type run struct {
	opened, closed, halted, tripped record.Record

	before uint64 // number of the next start's record
}

// take adds the record before those that were added, and says whether it is the run's first.
func (n *run) take(r record.Record) (first bool) {
	at := map[record.Kind]*record.Record{record.Opened: &n.opened, record.Closed: &n.closed, record.Halted: &n.halted, record.Tripwire: &n.tripped}[r.Kind]
	if at.Seq == 0 {
		*at = r
	}
	return r.Kind == record.Opened
}

// stop reads how the run ended. A halt counts from its own record on, also if the process was
// killed before it closed the journal. Older journals have no such record: their closing record
// says it, or the tripwire's.
func (n *run) stop(ctx context.Context, j *journal.Journal, storeFirst bool) (authority.Stop, error) {
	s := authority.Stop{Seq: n.opened.Seq}
	accepted, err := j.LatestBetween(ctx, max(n.opened.Seq, n.closed.Seq), n.before, record.Operator)
	if err != nil {
		return s, err
	}
	if accepted.Code != record.OrderAccept {
		accepted = record.Record{}
	}
	// A run that has halted keeps no state. Older journals may have one after a tripwire.
	from := n.opened.Seq
	if storeFirst && max(n.tripped.Seq, n.halted.Seq, accepted.Seq) > 0 {
		kept, err := j.LatestBetween(ctx, n.opened.Seq, n.before, record.State)
		if err != nil {
			return s, err
		}
		from = max(from, kept.Seq)
	}
	if n.tripped.Seq > from {
		trip, err := record.Decode[record.TripwireBody](n.tripped)
		if err != nil {
			return s, err
		}
		s.Seq, s.Halted, s.Reason = n.tripped.Seq, true, trip.Reason
	}
	if n.closed.Seq > 0 {
		end, err := record.Decode[record.ClosedBody](n.closed)
		if err != nil {
			return s, err
		}
		s.Seq, s.Halted, s.Reason = n.closed.Seq, s.Halted || n.closed.Code == record.ClosedHalted, end.Reason
		s.Ceased = n.closed.Code == record.ClosedCeased
	}
	if n.halted.Seq > from {
		halt, err := record.Decode[record.HaltedBody](n.halted)
		if err != nil {
			return s, err
		}
		s.Seq, s.Halted, s.Reason = n.halted.Seq, true, halt.Reason
	}
	if accepted.Seq > from {
		body, err := record.Decode[record.OrderBody](accepted)
		if err != nil {
			return s, err
		}
		s.Seq, s.Accepted, s.Reason = accepted.Seq, body.Reference, body.Reason
	}
	return s, nil
}

// logLook logs evidence of the gates that could not be read.
func (e *Engine) logLook(err error) {
	if err != nil {
		e.o.Log.Named("gates").Warn("evidence could not be read", zap.Error(err))
	}
}

// journalThere says whether a journal was begun at a path or an address.
func journalThere(at string) (bool, error) {
	if !journal.IsAddress(at) {
		info, err := os.Stat(at)
		if errors.Is(err, os.ErrNotExist) || err == nil && info.Size() == 0 {
			return false, nil
		}
		if err != nil {
			return false, err
		}
	}
	j, err := journal.OpenReadOnly(at)
	if errors.Is(err, journal.ErrNone) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, j.Close()
}
