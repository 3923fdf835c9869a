package engine

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"safemode/engine/authority"
	"safemode/engine/custody"
	"safemode/engine/journal"
	"safemode/engine/record"
	"safemode/servicerequests"
)

// Accepted says what [AcceptJournal] did with one originator's counters.
type Accepted struct {
	Originator servicerequests.EUI `json:"originator"`
	Missing    uint64              `json:"missing_records"` // at least, at the end of the journal
	HighWater  uint64              `json:"high_water"`      // counting goes on above it
}

// Acceptance is the evidence for [AcceptJournal]. These fields of [Options] are enough: Plan,
// Roster, Approvals, ApprovalsAtMost, CustodyDir, Journal, Revoked and DCC.Authorities.
type Acceptance struct {
	Options
	By string // who accepts it; the journal records the name
}

// Acceptable names what would be accepted, as two people must approve it: the journal up to
// its last record, and the file of the custody's book. It changes nothing.
func Acceptable(custodyDir string, j *journal.Journal) (subject string, _ error) {
	files, err := j.Files(custodyDir)
	if err != nil {
		return "", err
	}
	book, err := custody.OpenBook(files)
	if err != nil {
		return "", err
	}
	return authority.AcceptanceSubject(j.Tip().Seq, j.Tip().Hash, book.Inode()), nil
}

// AcceptJournal accepts a journal that was restored from a backup as the owner of its
// counters, and a folder of counters that was copied or restored as the original. Two people
// must have approved exactly that. The next start uses their approvals, too. Nobody knows what
// was signed since the backup. If the journal has only the first half of a critical request,
// the second may have been signed: so the request is given up as in doubt, and nothing is
// signed under its counter again. A record says that all readings so far prove nothing any
// more. AcceptJournal changes only the counters of this journal. Errors wrap [ErrRefused], or are those of [custody.Accept] and [journal.Open].
func AcceptJournal(ctx context.Context, a Acceptance) (accepted []Accepted, err error) {
	if err := record.CheckName(a.By); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	if there, err := journalThere(a.Journal); err != nil || !there { // a typing error makes no journal
		return nil, fmt.Errorf("%s: %w", a.Journal, cmp.Or(err, os.ErrNotExist))
	}
	j, err := journal.Open(a.Journal, journal.Options{})
	if err != nil {
		return nil, err
	}
	defer func() {
		if e := j.Close(); err == nil {
			err = e
		}
	}()
	files, err := j.Files(a.CustodyDir)
	if err != nil {
		return nil, err
	}
	book, err := custody.OpenBook(files)
	if err != nil {
		return nil, err
	}
	marks, err := custody.Read(files)
	if err != nil {
		return nil, err
	}
	ours := slices.DeleteFunc(marks, func(m custody.Mark) bool { return m.Owner != j.ID() || m.Released })
	if len(ours) == 0 {
		return nil, fmt.Errorf("custody %s: %w: no counters of journal %s are there", a.CustodyDir, custody.ErrOtherOwner, j.ID())
	}
	e := &Engine{o: a.Options, journal: j}
	if _, err := e.readBeginning(ctx); err != nil {
		return nil, err
	}
	c := caseOf(&a.Options)
	if c.Journal, err = e.claims(ctx); err != nil {
		return nil, err
	}
	c.Custody = custodyOf(book)
	subject := authority.AcceptanceSubject(j.Tip().Seq, j.Tip().Hash, book.Inode())
	grant, err := c.DecideAcceptance(subject)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	records, err := halfSigned(ctx, j)
	if err != nil {
		return nil, err
	}
	order := record.OrderBody{Action: record.OrderAccept, By: a.By, Reason: "a restored journal or a copied custody is gone on with; the newer one is lost", Reference: subject}
	at := records.last // by the sweep's clock, which this process does not have
	for i := range records.outcomes {
		records.outcomes[i].At = at
	}
	records.outcomes = append(records.outcomes, record.Record{At: at, Kind: record.Operator, Code: order.Action, Body: record.Encode(order)})
	if err := j.Commit(ctx, records.outcomes...); err != nil {
		return nil, err
	}
	for _, m := range ours {
		missing, err := custody.Accept(files, m.Originator, owner{j})
		if err != nil {
			return accepted, err
		}
		accepted = append(accepted, Accepted{m.Originator, missing, m.HighWater})
	}
	// This comes last, so that an acceptance that was cut off leaves the journal refused as before.
	seq, hash := owner{j}.Position()
	_, err = book.Append(custody.Entry{
		Act: custody.Accepted, Plan: a.Plan.SHA256, Journal: j.ID(), Records: seq, Hash: hash, Inode: book.Inode(),
		Approvals: grant.Spent, Subject: subject, Reason: "by " + a.By,
	})
	return accepted, err
}

// half is a critical request of which a restored journal has only the first half.
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
