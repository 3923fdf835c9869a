package audit

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/note"

	"safemode/engine/journal"
	"safemode/engine/plan"
	"safemode/engine/record"
	"safemode/servicerequests"
	"safemode/servicerequests/smki"
)

// Options is the evidence for an audit beside the journal.
type Options struct {
	Journal    string   // path or address of the journal
	Backups    []string // copies of it, of any age; may be nil
	CustodyDir string   // folder of the custody files; empty: none are looked at
	SignerLog  string   // of the signer that signed for it; empty: it had the keys itself, or that is not asked

	// Checkpoints is a file of signed notes that pin the journal, best a copy that was
	// kept elsewhere; empty: none are looked at. Verifier has the key that signed them.
	Checkpoints string
	Verifier    note.Verifier

	// RosterSignedBy is the certificate that a configuration pins for rosters, and Chained
	// says whether a person's certificate leads to its authorities. Nil: not asked.
	RosterSignedBy *smki.Certificate
	Chained        func(*smki.Certificate) error
}

// Status is what became of a claim.
type Status string

// The states of a claim.
const (
	Proven    Status = "proven"
	Disproven Status = "disproven"
	Unproven  Status = "unproven" // there was nothing to compare with, or not for all of it
)

// Claim is one statement, and how many things it was checked for.
type Claim struct {
	Name    string   `json:"claim"`
	Status  Status   `json:"status"`
	Checked uint64   `json:"checked"` // how many
	Of      string   `json:"of"`      // of what
	Note    string   `json:"note,omitempty"`
	Faults  []string `json:"faults,omitempty"` // the first of them
	Faulty  uint64   `json:"faulty"`           // how many there are
}

// mostFaults bounds the faults that a claim lists.
const mostFaults = 10

func (c *Claim) fault(format string, args ...any) {
	c.Status = Disproven
	if c.Faulty++; len(c.Faults) < mostFaults {
		c.Faults = append(c.Faults, fmt.Sprintf(format, args...))
	}
}

// Report is the outcome of an audit.
type Report struct {
	Journal string `json:"journal"` // path
	ID      string `json:"journal_id"`
	SweepID string `json:"sweep_id"`
	// Environment is what plan and start say; empty where they do not say one thing.
	Environment string `json:"environment"`

	Records uint64  `json:"records"` // before the first break of the chain
	Hash    string  `json:"hash"`    // of the last record, as the file has it
	Claims  []Claim `json:"claims"`
	Proven  bool    `json:"proven"` // every claim is
}

// Run audits a journal. The error says that a file cannot be read, or is no journal.
func Run(ctx context.Context, o Options) (*Report, error) {
	a := newAuditor(o)
	if err := a.signer.read(ctx); err != nil {
		return nil, err
	}
	x, err := journal.Examine(ctx, o.Journal, a.take)
	if err != nil {
		return nil, err
	}
	a.examined(x)
	whole := len(x.Chain) == 0 && len(x.File) == 0
	a.plan.end(x.Sound)
	a.approved.journal.ID, a.approved.journal.Records = x.ID, x.Sound
	a.approved.end(&a.plan)
	a.endAnswers()
	main, err := journal.OpenReadOnly(o.Journal)
	switch {
	case isDamage(err):
	case err != nil:
		return nil, err
	default:
		defer main.Close()
		a.approved.journal.HashAt = main.HashAt
	}
	if err := a.compareBackups(ctx, o, main, x); err != nil {
		return nil, err
	}
	if err := a.compareCustody(o, main, x); err != nil {
		return nil, err
	}
	if err := a.comparePins(o, main, x); err != nil {
		return nil, err
	}
	if err := a.signer.end(ctx); err != nil {
		return nil, err
	}
	a.counters.judge(&a.once)
	r := &Report{
		Journal: o.Journal, ID: x.ID, SweepID: a.plan.sweepID, Environment: a.plan.environment(), Records: x.Sound, Hash: hex.EncodeToString(x.Tip.Hash[:]),
		Claims: a.claims(o, whole), Proven: true,
	}
	for _, c := range r.Claims {
		r.Proven = r.Proven && c.Status == Proven
	}
	return r, nil
}

// auditor checks the claims while it reads one journal.
type auditor struct {
	file, chain, tip, state                  Claim
	first, bytes, direction, arm, once, rise Claim
	backups, custody, pins                   Claim

	plan     planned
	approved approved
	requests requests
	counters counters
	signer   signerLog
}

func newAuditor(o Options) *auditor {
	claim := func(name, of string) Claim { return Claim{Name: name, Status: Proven, Of: of} }
	a := &auditor{
		file: claim("file", "pages"), chain: claim("chain", "records"), tip: claim("tip", "table"),
		state:     claim("state", "rows"),
		first:     claim("journalled_first", "replies, Pre-Commands, responses and outcomes"),
		bytes:     claim("signed_bytes", "signed bodies"),
		direction: claim("within_direction", "signed bodies"),
		arm:       claim("arm_on_evidence", "signed 7.3"),
		once:      claim("counters_once", "signed messages"),
		rise:      claim("counters_rise", "signed commands"),
		backups:   claim("backups", "backups"),
		custody:   claim("custody", "custody files"),
		pins:      claim("checkpoints", "checkpoints"),
	}
	a.plan = planned{claim: claim("plan", "targets"), targets: map[servicerequests.EUI]*target{}}
	a.approved = approved{
		o: o, content: plan.NewContent(),
		plan: claim("plan_approved", "targets and rejected rows"), starts: claim("starts_approved", "starts"),
	}
	a.requests = requests{
		answers: map[uint64]servicerequests.RequestID{}, known: map[servicerequests.RequestID]servicerequests.Service{},
		unmatched: map[servicerequests.RequestID]uint64{}, commands: map[servicerequests.EUI]uint64{},
	}
	a.counters = counters{uses: map[servicerequests.EUI][]use{}, files: []string{"the journal"}}
	a.signer = signerLog{path: o.SignerLog, claim: claim("signer", "signatures, of the journal and of the signer's log")}
	return a
}

// claims puts the claims in the order of the package comment. If the journal is not whole, they
// were checked only for the records before the break.
func (a *auditor) claims(o Options, whole bool) []Claim {
	all := []Claim{a.file, a.chain, a.tip, a.state}
	for _, c := range []Claim{a.plan.claim, a.approved.plan, a.approved.starts, a.first, a.bytes, a.direction, a.arm, a.once, a.rise} {
		if !whole && c.Status == Proven {
			c.Status = Unproven
			c.Note = "holds as far as the records are sound"
		}
		all = append(all, c)
	}
	if len(o.Backups) > 0 {
		all = append(all, a.backups)
	}
	if o.CustodyDir != "" {
		all = append(all, a.custody)
	}
	if o.Checkpoints != "" {
		all = append(all, a.pins)
	}
	if o.SignerLog != "" {
		all = append(all, a.signer.claim)
	}
	return all
}

// examined takes in what the file itself is like.
func (a *auditor) examined(x journal.Examined) {
	a.file.Checked = uint64(x.Pages)
	for _, line := range x.File {
		a.file.fault("%s", line)
	}
	a.chain.Checked = x.Sound
	a.tip.Checked = 1
	a.state.Checked = uint64(x.Rows)
	switch {
	case x.State != nil:
		a.state.fault("%v: a start replays the records", x.State)
	case x.Rows == 0:
		a.state.Note = "none was kept"
	}
	for _, err := range x.Chain {
		if chain, ok := errors.AsType[*journal.ChainError](err); ok {
			a.chain.fault("%v", chain)
		} else {
			a.tip.fault("%v", err)
		}
	}
	if a.tip.Status == Proven && x.Sound != x.Tip.Seq {
		a.tip.Status, a.tip.Note = Unproven, fmt.Sprintf("it names record %d; the chain holds up to %d", x.Tip.Seq, x.Sound)
	}
}

// take takes one record in.
func (a *auditor) take(r record.Record) {
	a.approved.take(r)
	switch r.Kind {
	case record.Opened, record.Planned, record.Target, record.Rejected:
		a.plan.take(r)
		if r.Kind == record.Opened {
			if body, err := record.Decode[record.Opening](r); err == nil { // else the plan's claim says so
				a.approved.start(r.Seq, body)
			}
		}
	case record.Request, record.SignedCommand:
		a.signed(r)
		a.signer.take(r)
	case record.Reply, record.PreCommand, record.Response:
		a.answered(r)
	case record.Outcome:
		a.outcome(r)
	case record.Proven, record.Refused, record.Unmatched:
		a.judged(r)
	}
}
