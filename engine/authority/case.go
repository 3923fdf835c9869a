package authority

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"safemode/engine/custody"
	"safemode/engine/direction"
	"safemode/engine/plan"
	"safemode/engine/record"
)

// ErrNoAuthority is the error of a start that may not act. If only approvals are missing the
// error wraps [direction.ErrNotApproved] instead.
var ErrNoAuthority = errors.New("no authority")

// LongestSetting is the plan's name for how long an approval may be valid, in seconds.
const LongestSetting = "roster.approvals_at_most"

// Case is the evidence by which a start may act or may not. [Case.Decide] uses nothing else.
type Case struct {
	Plan        *plan.Plan        // its header, its hash and its preparer's signature; the lines are not needed
	Roster      *direction.Roster // at the time of the start, with its signature
	Trust       direction.Trust
	Approvals   []*direction.Approval // from the plan's folder; those of earlier starts are in the journal
	Journal     Journal
	Custody     *Custody          // nil: not given, as in an audit of a journal alone
	MaxValidity time.Duration     // how long an approval may be valid; 0: what the plan says
	BeyondPlan  error             // what the configuration allows beyond the plan; nil: nothing
	Gates       error             // why a gate is closed; nil: all pass
	Freeze      *direction.Freeze // the statement that nobody else sends under the identities; live needs one
	Now         time.Time         // real time of the start
}

// Journal is what a journal says of itself. All of it is unproven.
type Journal struct {
	ID      string
	Planned string // code of the plan's record; empty: it has none yet
	Content string // hash of its targets and rejected rows ([plan.Content]); empty: it has not all of them yet
	Starts  []Start
	Stop    Stop   // how the last start ended
	Records uint64 // that are durable
	// HashAt is the hash of one durable record. It is needed with a custody.
	HashAt func(seq uint64) ([32]byte, error)
}

// Start is an Opened record.
type Start struct {
	Seq     uint64
	Opening record.Opening
	Before  Stop // how the start before it ended; zero for the first
}

// Stop is how a start ended.
type Stop struct {
	Seq      uint64 // of the record that says how, or of the start if it was cut off
	Halted   bool   // it halted, whatever came after that
	Accepted string // what two people have accepted since, after a restore; empty: nothing
	Ceased   bool   // a notice has ended the sweep for good
	Reason   string
}

// Custody is what a custody folder says.
type Custody struct {
	ID      string
	Copied  error // why the folder is a copy; nil: it is the original
	Entries []custody.Entry
}

// Grant is the approvals by which a start may act.
type Grant struct {
	Approvals []record.Approved
	Spent     []string  // SHA-256 of their texts, hexadecimal, sorted
	Resumes   int       // how many further starts they still allow after this one
	Until     time.Time // when the first of them expires
	Entry     uint64    // the custody entry of this start, if it was written there and the journal has no start yet; 0: none
}

// Occasion is what approvals must name for the next start.
func (c *Case) Occasion() direction.Occasion {
	return c.occasion(len(c.Journal.Starts), c.Journal.Stop)
}

func (c *Case) occasion(starts int, stop Stop) direction.Occasion {
	p := c.Plan
	o := direction.Occasion{
		PlanSHA256: p.SHA256, Header: p.Digest(), SweepID: p.SweepID(), Environment: p.Environment, Journal: p.Journal,
		Purpose: direction.Start, Trust: c.Trust, MaxValidity: c.maxValidity(), Others: []direction.Signatory{p.PreparedBy},
	}
	if p.Custody != nil {
		o.Custody = p.Custody.ID
	}
	if p.Record != nil {
		o.Others = append(o.Others, p.Record.RecordedBy)
	}
	switch {
	case stop.Accepted != "":
		o.Purpose, o.Subject = direction.Accept, stop.Accepted
	case starts > 0:
		o.Purpose, o.Subject = direction.Resume, strconv.FormatUint(stop.Seq, 10)
	}
	return o
}

// maxValidity is how long an approval may be valid: the least that plan and configuration say.
func (c *Case) maxValidity() time.Duration {
	longest := direction.LongestValid
	if bound, said := c.Plan.Bounds.Settings[LongestSetting]; said {
		longest = time.Duration(bound * float64(time.Second))
	}
	if c.MaxValidity > 0 {
		longest = min(longest, c.MaxValidity)
	}
	return longest
}

// checkFreeze checks that the everyday adapter is stated to be frozen for the plan's
// identities. A rehearsal needs no statement.
func (c *Case) checkFreeze() error {
	if c.Freeze == nil && c.Plan.Environment == "simulator" {
		return nil
	}
	if err := c.Freeze.Check(c.Roster, c.Trust, c.Plan.Originators, c.Now, c.Now); err != nil {
		return fmt.Errorf("%w: %w", ErrNoAuthority, err)
	}
	return nil
}

// Decide returns the approvals by which a start may act now, or why it may not. The error
// wraps [ErrNoAuthority] or [direction.ErrNotApproved], or comes from the certificates, the
// roster or the gates.
func (c *Case) Decide() (Grant, error) {
	for _, check := range []func() error{c.People, c.checkBinding, c.checkContent, c.checkCeased, c.CheckCustody, c.checkFreeze, c.checkGates} {
		if err := check(); err != nil {
			return Grant{}, err
		}
	}
	grant, why := c.approvedAhead()
	if why != nil {
		var err error
		if grant, err = c.approvedNow(); err != nil {
			if stop := c.Journal.Stop; stop.Halted {
				return Grant{}, fmt.Errorf("it was halted (%s): %w", stop.Reason, err)
			}
			return Grant{}, err
		}
	}
	grant.Entry = c.unfinishedEntry(grant.Spent)
	return grant, nil
}

// Prove checks the record of a start. c is the evidence of before that start. The error says why
// the record is wrong.
func (c *Case) Prove(o record.Opening) error {
	for _, check := range []func() error{c.People, c.checkBinding, c.checkContent, c.checkCeased, c.CheckCustody, c.checkFreeze} {
		if err := check(); err != nil {
			return err
		}
	}
	var faults []error
	for _, decide := range []func() (Grant, error){c.approvedAhead, c.approvedNow} {
		g, err := decide()
		switch {
		case err != nil:
			faults = append(faults, err)
		case !slices.Equal(g.Spent, spentBy(o)):
			faults = append(faults, errors.New("it names other approvals than those that allowed it"))
		case g.Resumes != o.ResumesLeft || !g.Until.Equal(o.ApprovedUntil):
			faults = append(faults, fmt.Errorf("it says that %d stops more were given ahead until %s; signed are %d until %s",
				o.ResumesLeft, o.ApprovedUntil.Format(time.RFC3339), g.Resumes, g.Until.Format(time.RFC3339)))
		default:
			return nil
		}
	}
	return errors.Join(faults...)
}

// DecideAcceptance returns the approvals by which a restored journal or a copied folder may
// replace the original: two people have approved exactly that, and it was not accepted
// before.
func (c *Case) DecideAcceptance(subject string) (Grant, error) {
	for _, check := range []func() error{c.People, c.checkBinding, c.checkContent, c.checkCeased} {
		if err := check(); err != nil {
			return Grant{}, err
		}
	}
	for _, e := range c.ownEntries() {
		if e.Act == custody.Accepted && e.Subject == subject {
			return Grant{}, fmt.Errorf("%w: this very state was accepted on %s: what came after it is lost again", direction.ErrNotApproved, e.At.Format(time.RFC3339))
		}
	}
	return c.findApprovals(c.occasion(len(c.Journal.Starts), Stop{Accepted: subject}))
}

// AcceptanceSubject names what is accepted: the journal up to its last record, and the file of
// the custody's book.
func AcceptanceSubject(records uint64, hash [32]byte, inode uint64) string {
	return fmt.Sprintf("journal at record %d %x, custody file %d", records, hash[:16], inode)
}

// People checks everybody whose signature counts: that they are on the roster in their
// roles, that their certificates were and are valid (time, chain, revocation), and that they
// are different people.
func (c *Case) People() error {
	p, r := c.Plan, c.Roster
	switch {
	case r == nil:
		return fmt.Errorf("%w: there is no roster, so no approval counts: name it in the configuration (roster)", ErrNoAuthority)
	case r.SignedBy == nil:
		return fmt.Errorf("%w: nobody has signed the roster", ErrNoAuthority)
	case p.Record == nil:
		return fmt.Errorf("%w: the direction of this plan was not signed: have its recorder sign it, and make a new plan", ErrNoAuthority)
	}
	if err := r.CheckEnvironment(p.Environment); err != nil {
		return err
	}
	if err := c.Trust.Check(r.SignedBy, c.Now); err != nil {
		return fmt.Errorf("%w: the roster's signer: %w", ErrNoAuthority, err)
	}
	if err := errors.Join(p.Record.Check(r), p.Record.CheckText(&p.Direction)); err != nil {
		return err
	}
	by, recorded := p.PreparedBy, p.Record.RecordedBy
	preparer := r.WithKey(by.Key)
	switch {
	case preparer == nil || preparer.Name != by.Name:
		return fmt.Errorf("%w: nobody on the roster has the name and key of %q, who prepared the plan: make a new plan with --cert and --key", ErrNoAuthority, by.Name)
	case !preparer.May(direction.Operator):
		return fmt.Errorf("%w: %q, who prepared the plan, is no operator on the roster", ErrNoAuthority, by.Name)
	case by.Same(recorded):
		return fmt.Errorf("%w: %q prepared the plan and recorded its direction: these are two people", ErrNoAuthority, by.Name)
	}
	if err := plan.CheckPreparer(p.SHA256, by, p.Signature, preparer.Certificate); err != nil {
		return fmt.Errorf("%w: %w", ErrNoAuthority, err)
	}
	if err := c.Trust.Check(preparer.Certificate, p.CreatedAt, c.Now); err != nil {
		return fmt.Errorf("%w: who prepared the plan: %w", ErrNoAuthority, err)
	}
	if err := c.Trust.Check(r.WithKey(recorded.Key).Certificate, p.CreatedAt, c.Now); err != nil {
		return fmt.Errorf("%w: who recorded its direction: %w", ErrNoAuthority, err)
	}
	return nil
}

// checkBinding checks that journal and custody are those that the plan names.
func (c *Case) checkBinding() error {
	p := c.Plan
	switch {
	case p.Custody == nil:
		return fmt.Errorf("%w: the plan binds no custody: it can only be rehearsed", ErrNoAuthority)
	case c.Journal.ID != p.Journal:
		return fmt.Errorf("%w: the plan is for journal %s, and this one is %s: go on with that journal; if it is lost, make a new plan and have it approved", ErrNoAuthority, p.Journal, c.Journal.ID)
	case c.Custody != nil && c.Custody.ID != p.Custody.ID:
		return fmt.Errorf("%w: the plan is for custody %s, and this folder is %s: name that folder; if it is lost, make a new plan with this one and have it approved", ErrNoAuthority, p.Custody.ID, c.Custody.ID)
	}
	return nil
}

// checkContent checks that the lines of a plan in the journal are of this plan.
func (c *Case) checkContent() error {
	j, p := &c.Journal, c.Plan
	switch {
	case j.Planned != "" && j.Planned != p.SHA256:
		return fmt.Errorf("%w: journal %s was begun with another plan (%.12s...), this one is %.12s...", ErrNoAuthority, j.ID, j.Planned, p.SHA256)
	case j.Content != "" && j.Content != p.Content:
		return fmt.Errorf("%w: the meters in journal %s are not those of the plan that was approved (%.12s..., not %.12s...)", ErrNoAuthority, j.ID, j.Content, p.Content)
	case len(j.Starts) > 0 && j.Content == "":
		return fmt.Errorf("%w: journal %s says that it was started before it had the plan", ErrNoAuthority, j.ID)
	}
	for _, s := range j.Starts {
		if o := s.Opening; o.PlanSHA256 != p.SHA256 || o.SweepID != p.SweepID() || o.Environment != p.Environment {
			return fmt.Errorf("%w: record %d of journal %s is a start of sweep %q of plan %.12s... in environment %s", ErrNoAuthority, s.Seq, j.ID, o.SweepID, o.PlanSHA256, o.Environment)
		}
	}
	return nil
}

// checkCeased refuses a sweep that was ended for good, by journal or custody.
func (c *Case) checkCeased() error {
	if c.Journal.Stop.Ceased {
		return fmt.Errorf("%w: %s: for good", ErrNoAuthority, c.Journal.Stop.Reason)
	}
	if c.Custody == nil {
		return nil
	}
	for _, e := range c.Custody.Entries {
		if e.Act == custody.Ceased && (e.Plan == c.Plan.SHA256 || e.Journal == c.Journal.ID) {
			return fmt.Errorf("%w: custody %s remembers that it has ceased on %s (%s): for good", ErrNoAuthority, c.Custody.ID, e.At.Format(time.RFC3339), e.Reason)
		}
	}
	return nil
}

// checkGates refuses a configuration that allows more than the plan, and a closed gate.
func (c *Case) checkGates() error {
	if c.BeyondPlan != nil {
		return fmt.Errorf("%w: %w", ErrNoAuthority, c.BeyondPlan)
	}
	return c.Gates
}

// approvedAhead is the grant of approvals that were given for further starts as well: those
// of the last start, proven again. Every start by them counts, and none may have followed a
// halt. The error says why there is no such grant.
func (c *Case) approvedAhead() (Grant, error) {
	starts, stop := c.Journal.Starts, c.Journal.Stop
	if len(starts) == 0 || stop.Halted || stop.Accepted != "" {
		return Grant{}, fmt.Errorf("%w: nothing was given ahead", direction.ErrNotApproved)
	}
	spent := spentBy(starts[len(starts)-1].Opening)
	first := len(starts) - 1
	for first > 0 && slices.Equal(spentBy(starts[first-1].Opening), spent) {
		if before := starts[first].Before; before.Halted || before.Accepted != "" {
			return Grant{}, fmt.Errorf("%w: record %d went on after a halt, by approvals of before it", direction.ErrNotApproved, starts[first].Seq)
		}
		first--
	}
	given, err := ApprovalsOf(starts[first].Opening)
	if err != nil {
		return Grant{}, err
	}
	o := c.occasion(first, starts[first].Before)
	two, err := o.Find(given, c.Roster, c.Now)
	if err != nil {
		return Grant{}, err
	}
	used := max(len(starts)-first, c.startsUsed(spent)) // this start not among them
	if c.unfinishedEntry(spent) > 0 {
		used--
	}
	g, err := newGrant(two)
	if g.Resumes -= used; err == nil && g.Resumes < 0 {
		err = fmt.Errorf("%w: the resumes that were given ahead are used up", direction.ErrNotApproved)
	}
	return g, err
}

// approvedNow is the grant of approvals that name this very start.
func (c *Case) approvedNow() (Grant, error) { return c.findApprovals(c.Occasion()) }

// findApprovals finds two approvals for an occasion. None serves twice, because each
// occasion comes once: the first start of a journal, or what follows one stop of it.
func (c *Case) findApprovals(o direction.Occasion) (Grant, error) {
	two, err := o.Find(c.Approvals, c.Roster, c.Now)
	if err != nil {
		return Grant{}, err
	}
	return newGrant(two)
}

func newGrant(two []*direction.Approval) (g Grant, _ error) {
	g.Resumes = direction.ResumesOf(two)
	for _, a := range two {
		text, err := a.Text()
		if err != nil {
			return g, err
		}
		g.Approvals = append(g.Approvals, record.Approved{Name: a.Approver.Name, Key: a.Approver.Key, Text: string(text), Signature: a.Signature})
		g.Spent = append(g.Spent, digestOf(text))
		if g.Until.IsZero() || a.ExpiresAt.Before(g.Until) {
			g.Until = a.ExpiresAt
		}
	}
	slices.Sort(g.Spent)
	return g, nil
}

func digestOf(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// spentBy lists the digests of the approvals that a start names.
func spentBy(o record.Opening) (all []string) {
	for _, a := range o.Approvals {
		all = append(all, digestOf([]byte(a.Text)))
	}
	slices.Sort(all)
	return all
}

// ApprovalsOf reads the approvals in the record of a start. [direction.Occasion.Find] proves
// them.
func ApprovalsOf(o record.Opening) (all []*direction.Approval, _ error) {
	for _, a := range o.Approvals {
		terms, err := direction.ParseTerms(a.Text)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", a.Name, err)
		}
		all = append(all, &direction.Approval{Terms: terms, Signature: a.Signature})
	}
	return all, nil
}
