package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"safemode/engine/advice"
	"safemode/engine/custody"
	"safemode/engine/journal"
	"safemode/engine/plan"
	"safemode/engine/record"
	"safemode/engine/report"
)

// StatusOf reads a sweep's status from its journal alone: how its last start ended, and what
// people have to do. p is the plan for a journal that has none yet; it may be nil. The folder of
// counters has a halt that the journal could not record; it may be empty. StatusOf counts
// nothing: [Tally] does.
//
// The state is planned if nothing has begun. It is open if the last start has no end: the
// sweep runs, or was cut off.
func StatusOf(ctx context.Context, path, custodyDir string, p *plan.Plan, place advice.Place) (st record.Status, err error) {
	there, err := journalThere(path)
	if err != nil {
		return st, err
	}
	if !there && p == nil {
		return st, fmt.Errorf("%s: %w", path, os.ErrNotExist)
	}
	header := plan.Header{}
	if p != nil {
		header = p.Header
		st.Identity = identityOf(p.Environment, p.SweepID(), &p.Direction)
	}
	st.State = "planned"
	if there {
		j, err := journal.OpenReadOnly(path)
		if err != nil {
			return st, err
		}
		defer j.Close()
		if err := statusOf(ctx, j, &header, &st); err != nil {
			return st, err
		}
		if st.State == "open" && custodyDir != "" {
			haltUnwritten(custodyDir, j.ID(), &st)
		}
		if st.Holder, err = j.Holder(ctx); err != nil {
			return st, err
		}
		if st.Standby, err = j.Standby(ctx); err != nil {
			return st, err
		}
	}
	st.Meters = header.Counts.Targets
	st.Calls = new(calledHomes).look(path, st.SweepID)
	st.RealTime = time.Now().UTC()
	judge(&st, place)
	return st, nil
}

// judge judges a status by the later of the two clocks: the sweep's may run fast.
func judge(st *record.Status, place advice.Place) {
	now := st.RealTime
	if st.Time.After(now) {
		now = st.Time
	}
	advice.Judge(st, place, now)
}

// statusOf reads how a journal ends.
func statusOf(ctx context.Context, j *journal.Journal, header *plan.Header, st *record.Status) error {
	h, err := History(ctx, j)
	if err != nil || h.Records == 0 {
		return err
	}
	planned, err := j.At(ctx, 1)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(planned.Body, header); err != nil {
		return fmt.Errorf("journal %s: header of the plan: %w", j.ID(), err)
	}
	st.Identity = identityOf(header.Environment, h.Planned[:min(len(h.Planned), 12)], &header.Direction)
	last, err := j.At(ctx, h.Records)
	if err != nil {
		return err
	}
	st.Time = last.At
	if len(h.Starts) == 0 {
		return nil
	}
	o := h.Starts[len(h.Starts)-1].Opening
	st.SweepID, st.ClockSpeed, st.ResumesLeft, st.ApprovedUntil = o.SweepID, o.ClockSpeed, o.ResumesLeft, o.ApprovedUntil
	closed, err := j.Latest(ctx, record.Closed)
	if err != nil {
		return err
	}
	st.Reason = h.Stop.Reason
	switch opened := h.Starts[len(h.Starts)-1].Seq; {
	case h.Stop.Ceased:
		st.State = "ceased"
	case h.Stop.Halted:
		st.State = "halted"
		says, err := j.At(ctx, h.Stop.Seq)
		if err != nil {
			return err
		}
		st.Since = says.At
		switch says.Kind {
		case record.Halted:
			body, err := record.Decode[record.HaltedBody](says)
			st.Cause = body.Cause
			return err
		case record.Tripwire: // of an older journal
			st.Cause = record.HaltTripwire
		}
	case h.Stop.Accepted != "":
		st.State, st.ResumesLeft = "interrupted", 0
	case closed.Seq < opened:
		st.State = "open"
	default:
		st.State = closed.Code
	}
	return nil
}

// haltUnwritten sets the status to halted if the folder of counters has a halt of the last
// start that the journal could not record.
func haltUnwritten(custodyDir, journalID string, st *record.Status) {
	files, err := journal.OpenFiles(custodyDir)
	if err != nil {
		return // the start says so
	}
	book, err := custody.OpenBook(files)
	if err != nil {
		return
	}
	for _, e := range slices.Backward(book.Entries()) {
		if e.Journal != journalID {
			continue
		}
		if e.Act == custody.Halted {
			st.State, st.Cause, st.Reason = "halted", record.HaltJournal, e.Reason
		}
		return
	}
}

// Tally adds to a status what a report of its journal counts, and judges it again.
func Tally(st *record.Status, r *report.Report, place advice.Place) {
	s := &r.Summary
	v := s.Verdicts
	st.Verdicts = map[string]int{
		record.VerdictOnSupply: v.OnSupply, record.VerdictArmed: v.Armed, record.VerdictNotSafe: v.NotSafe,
		record.VerdictUnknown: v.Unknown, record.VerdictExcluded: v.Excluded,
	}
	st.Meters, st.Elapsed, st.Holds = s.Meters, s.DurationSeconds, r.Holds()
	if t := s.Transfers; t != nil {
		st.Transfers = &record.TransferCounts{Listed: t.Listed, Left: t.LeftAlone, Confirmed: t.Told, Expected: t.Refused - t.Unexpected, Unexpected: t.Unexpected}
	}
	for i := range r.Meters {
		if len(r.Meters[i].Requests) > 0 {
			st.Started++
		}
		if len(r.Meters[i].Changes) > 0 {
			st.Done++
		} else { // a report calls it unknown; for a sweep it is still to come
			st.Verdicts[record.VerdictUnknown]--
		}
	}
	st.Classes, st.Services = map[string]int{}, map[string]map[string]int{}
	for srv, c := range s.Requests {
		of := map[string]int{
			"success": c.Success, "negative": c.Negative, "no_response": c.NoResponse, "rejected": c.Rejected, "in_doubt": c.InDoubt, "unverified": c.Unverified,
		}
		maps.DeleteFunc(of, func(_ string, n int) bool { return n == 0 })
		st.Services[srv] = of
		for class, n := range of {
			st.Classes[class] += n
		}
	}
	for _, reason := range r.Weekly(r.Last, nil).GoingOn {
		if reason.Verdict == record.VerdictNotSafe || reason.Verdict == record.VerdictUnknown && reason.Reason != report.NoVerdict {
			st.Reasons = append(st.Reasons, record.ReasonCount{Verdict: reason.Verdict, Reason: reason.Reason, Meters: reason.Meters})
		}
	}
	judge(st, place)
}
