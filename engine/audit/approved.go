package audit

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"safemode/engine/authority"
	"safemode/engine/custody"
	"safemode/engine/direction"
	"safemode/engine/durable"
	"safemode/engine/plan"
	"safemode/engine/record"
	"safemode/servicerequests/smki"
)

// approved collects what a journal says about its authority, and checks each start as at its
// time: by the same function, with the roster that the start carries.
type approved struct {
	plan, starts Claim

	o       Options
	header  string // hash of the header's bytes
	content plan.Content
	journal authority.Journal
	signer  string // of the last roster
}

// take takes in a record that may matter for authority.
func (a *approved) take(r record.Record) {
	stop := &a.journal.Stop
	switch r.Kind {
	case record.Planned:
		sum := sha256.Sum256(r.Body)
		a.header, a.journal.Planned = hex.EncodeToString(sum[:]), r.Code
	case record.Target:
		a.content.Target(r.Device, r.Body)
		a.plan.Checked++
	case record.Rejected:
		a.content.Rejected(r.Body)
		a.plan.Checked++
	case record.Tripwire:
		if body, err := record.Decode[record.TripwireBody](r); err == nil {
			stop.Seq, stop.Halted, stop.Reason = r.Seq, true, body.Reason
		}
	case record.Halted:
		if body, err := record.Decode[record.HaltedBody](r); err == nil {
			stop.Seq, stop.Halted, stop.Reason = r.Seq, true, body.Reason
		}
	case record.Closed:
		stop.Ceased = stop.Ceased || r.Code == record.ClosedCeased
		if !stop.Halted {
			stop.Seq, stop.Halted = r.Seq, r.Code == record.ClosedHalted
		}
	case record.Operator:
		if body, err := record.Decode[record.OrderBody](r); err == nil && r.Code == record.OrderAccept {
			stop.Seq, stop.Accepted, stop.Reason = r.Seq, body.Reference, body.Reason
		}
	}
}

// start takes an Opened record in.
func (a *approved) start(seq uint64, o record.Opening) {
	a.starts.Checked++
	a.journal.Starts = append(a.journal.Starts, authority.Start{Seq: seq, Opening: o, Before: a.journal.Stop})
	a.journal.Stop = authority.Stop{Seq: seq, Ceased: a.journal.Stop.Ceased}
}

// hold holds the start with an index to what it claims.
func (a *approved) hold(i int, p *planned) {
	seq, o := a.journal.Starts[i].Seq, a.journal.Starts[i].Opening
	switch {
	case p.header == nil:
		a.starts.fault("record %d: a start without a plan", seq)
		return
	case o.Environment == "simulator" && strings.HasPrefix(o.SweepID, "rehearsal-"):
		a.starts.Note = "a rehearsal, which reaches no real meter: nobody was asked"
		a.plan.Note = a.starts.Note
		return
	case o.Began.IsZero() && p.header.Version < plan.Version && len(o.Approvals) > 0:
		a.starts.unproven("begun by an older program, whose approvals bind no journal and no custody")
		a.plan.unproven(a.starts.Note)
		return
	}
	if err := a.judge(i, p); err != nil {
		a.starts.fault("record %d: %v", seq, err)
	}
}

// judge decides as the start did, on what it carries.
func (a *approved) judge(i int, p *planned) error {
	o := a.journal.Starts[i].Opening
	c := authority.Case{
		Plan: &plan.Plan{Header: *p.header, SHA256: a.journal.Planned, Signature: o.PlanSignature}, Journal: a.journal,
		Trust: direction.Trust{Chained: a.o.Chained}, Now: o.Began,
	}
	c.Journal.Content, c.Journal.Starts, c.Journal.Stop = a.content.String(), a.journal.Starts[:i], a.journal.Starts[i].Before
	if c.Plan.Digest() != a.header {
		return errors.New("the plan's header is not in its own form")
	}
	if c.Plan.Custody != nil && o.Custody != c.Plan.Custody.ID {
		return fmt.Errorf("it was begun with custody %q, planned for %q", o.Custody, c.Plan.Custody.ID)
	}
	signer, err := smki.ParseCertificatePEM([]byte(o.RosterSignedBy))
	if err != nil {
		return fmt.Errorf("it names nobody who has signed its roster: %w", err)
	}
	a.signer = fmt.Sprintf("%s (key %.12s...)", signer.CommonName, direction.Fingerprint(signer))
	if pin := a.o.RosterSignedBy; pin != nil && direction.Fingerprint(pin) != direction.Fingerprint(signer) {
		return fmt.Errorf("its roster is signed by %s, and not by the key that the configuration pins", a.signer)
	}
	if c.Roster, err = direction.SignedRoster([]byte(o.Roster), o.RosterSignature, signer); err != nil {
		return err
	}
	if c.Approvals, err = authority.ApprovalsOf(o); err != nil {
		return err
	}
	if o.Freeze != "" {
		if c.Freeze, err = direction.ReadFreeze([]byte(o.Freeze), o.FreezeSignature); err != nil {
			return err
		}
	}
	return c.Prove(o)
}

// unproven says why a claim can be neither proven nor disproven.
func (c *Claim) unproven(note string) {
	if c.Status == Proven {
		c.Status = Unproven
	}
	c.Note = note
}

// end holds the journal's lines to the header that the starts' approvals name.
func (a *approved) end(p *planned) {
	for i := range a.journal.Starts {
		a.hold(i, p)
	}
	if p.header == nil || len(a.journal.Starts) == 0 {
		return // the claim plan says so
	}
	if content := a.content.String(); p.header.Content != "" && content != p.header.Content {
		a.plan.fault("the journal's meters hash to %.12s..., those of the plan that was approved to %.12s...", content, p.header.Content)
	}
	if a.starts.Faulty > 0 && a.plan.Faulty == 0 {
		a.plan.unproven("not every start of it is proven to be approved")
	}
	if a.signer != "" && a.o.RosterSignedBy == nil {
		note := "by the roster that the journal carries, signed by " + a.signer + "; --config pins who may"
		if p.header.Environment != "simulator" {
			a.starts.unproven(note)
			a.plan.unproven(note)
		} else if a.starts.Note == "" {
			a.starts.Note = note
		}
	}
}

// remembers holds the book of a custody to the journal's starts.
func (a *approved) remembers(files durable.Files, p *planned, c *Claim) error {
	if p.header == nil || p.header.Custody == nil || len(a.journal.Starts) == 0 || a.journal.HashAt == nil {
		return nil // a rehearsal, or a journal older than the custody's book
	}
	if strings.HasPrefix(p.sweepID, "rehearsal-") {
		return nil
	}
	book, err := custody.OpenBook(files)
	if errors.Is(err, custody.ErrNoBook) {
		c.fault("%v, and the journal's starts were spent in one", err)
		return nil
	}
	if err != nil {
		return err
	}
	held := authority.Case{
		Plan: &plan.Plan{Header: *p.header, SHA256: a.journal.Planned}, Journal: a.journal,
		Custody: &authority.Custody{ID: book.ID(), Entries: book.Entries()},
	}
	if err := held.CheckCustody(); err != nil {
		c.fault("%v", err)
	}
	return nil
}
