package engine

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"safemode/engine/custody"
	"safemode/engine/journal"
	"safemode/engine/record"
	"safemode/servicerequests"
)

// Accepted is what became of one originator's counters in [AcceptJournal].
type Accepted struct {
	Originator servicerequests.EUI `json:"originator"`
	Missing    uint64              `json:"missing_records"` // at least, at the end of the journal
	HighWater  uint64              `json:"high_water"`      // counting goes on over it
}

// AcceptJournal takes a journal that was restored from a backup for the owner of its
// counters. What was signed since the backup is not known: a critical request of
// which the journal has the first leg alone may have been signed to its end, so it is
// given up as in doubt and never signed under its counter again; and a record says that
// all readings so far prove nothing any more. It touches only the counters of this
// journal. by is who says so. Errors are those of [custody.Accept] and [journal.Open].
func AcceptJournal(ctx context.Context, custodyDir, path, by string) (accepted []Accepted, err error) {
	marks, err := custody.Read(custodyDir)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(path); err != nil { // a typing error makes no journal
		return nil, err
	}
	j, err := journal.Open(path, journal.Options{})
	if err != nil {
		return nil, err
	}
	defer func() {
		if e := j.Close(); err == nil {
			err = e
		}
	}()
	ours := slices.DeleteFunc(marks, func(m custody.Mark) bool { return m.Owner != j.ID() || m.Released })
	if len(ours) == 0 {
		return nil, fmt.Errorf("custody %s: %w: no counters of journal %s are there", custodyDir, custody.ErrOtherOwner, j.ID())
	}
	records, err := halfSigned(ctx, j)
	if err != nil {
		return nil, err
	}
	order := record.OrderBody{Action: record.OrderAccept, By: by, Reason: "the journal was restored from a backup; the newer one is lost"}
	at := records.last // by the sweep's clock, which this process does not have
	for i := range records.outcomes {
		records.outcomes[i].At = at
	}
	records.outcomes = append(records.outcomes, record.Record{At: at, Kind: record.Operator, Code: order.Action, Body: record.Encode(order)})
	if err := j.Commit(ctx, records.outcomes...); err != nil {
		return nil, err
	}
	// Last, so that what was begun and cut off is refused as before.
	for _, m := range ours {
		missing, err := custody.Accept(custodyDir, m.Originator, owner{j})
		if err != nil {
			return accepted, err
		}
		accepted = append(accepted, Accepted{m.Originator, missing, m.HighWater})
	}
	return accepted, nil
}

// half is what a restored journal knows only half of.
type half struct {
	outcomes []record.Record
	last     time.Time
}

// halfSigned finds the open critical requests without a signed command, and gives
// them up.
func halfSigned(ctx context.Context, j *journal.Journal) (h half, err error) {
	open := map[servicerequests.RequestID]record.Record{}
	for r, err := range j.Records(ctx, 1) {
		if err != nil {
			return h, err
		}
		if r.At.After(h.last) {
			h.last = r.At
		}
		switch r.Kind {
		case record.Request:
			if r.Service.Critical() {
				r.Body = nil
				open[r.ID] = r
			}
		case record.SignedCommand, record.Outcome:
			delete(open, r.ID)
		}
	}
	for _, r := range open {
		o := record.OutcomeBody{Class: record.ClassInDoubt, SentAt: r.At, AnsweredAt: h.last}
		r.Kind, r.Code, r.Body = record.Outcome, o.Class.String(), record.Encode(o)
		h.outcomes = append(h.outcomes, r)
	}
	slices.SortFunc(h.outcomes, func(a, b record.Record) int { return cmp.Compare(a.Seq, b.Seq) })
	return h, nil
}
