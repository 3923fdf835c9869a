package authority_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"safemode/engine/authority"
	"safemode/engine/authority/authoritytest"
	"safemode/engine/custody"
	"safemode/engine/direction"
	"safemode/engine/record"
	"safemode/servicerequests/smki"
)

// refused wants a case refused with some words.
func refused(t *testing.T, c *authority.Case, words string) {
	t.Helper()
	if g, err := c.Decide(); err == nil || !strings.Contains(err.Error(), words) {
		t.Errorf("granted %+v, %v; want %q", g.Spent, err, words)
	}
}

// begun is the case of a start after one that was approved by alice and bob, who gave one
// more ahead.
func begun(t testing.TB, o *authoritytest.Office) *authority.Case { return begunBy(t, o, 1) }

func begunBy(t testing.TB, o *authoritytest.Office, resumes int) *authority.Case {
	t.Helper()
	c := o.First(t)
	for i, a := range c.Approvals {
		c.Approvals[i] = o.Approve(t, c.Plan, c.Occasion(), a.Approver.Name, authoritytest.Night, func(tt *direction.Terms) { tt.Resumes = resumes })
	}
	g, err := c.Decide()
	if err != nil {
		t.Fatal(err)
	}
	g.Entry = 2
	c.Custody.Entries = append(c.Custody.Entries, custody.Entry{N: 2, Act: custody.Started, Plan: c.Plan.SHA256, Journal: authoritytest.JournalID, Approvals: g.Spent})
	c.Journal = authority.Journal{
		ID: authoritytest.JournalID, Planned: c.Plan.SHA256, Content: c.Plan.Content, Records: 42, Stop: authority.Stop{Seq: 42},
		Starts: []authority.Start{{Seq: 42, Opening: authoritytest.OpeningOf(c, g)}},
		HashAt: func(uint64) (h [32]byte, _ error) { return h, nil },
	}
	return c
}

func TestFirstStartAndOneGivenAhead(t *testing.T) {
	o := authoritytest.New(t)
	if g, err := o.First(t).Decide(); err != nil || g.Resumes != 1 || len(g.Spent) != 2 || g.Entry != 0 {
		t.Errorf("%+v, %v", g, err)
	}
	if g, err := begun(t, o).Decide(); err != nil || g.Resumes != 0 {
		t.Errorf("%+v, %v", g, err)
	}
}

// A journal's claim of authority that cannot be proven is refused.
func TestAttackJournalSaysItWasApproved(t *testing.T) {
	o := authoritytest.New(t)
	start := func(c *authority.Case) *record.Opening { return &c.Journal.Starts[0].Opening }
	for name, attack := range map[string]struct {
		change func(*authority.Case)
		words  string
	}{
		"no approvals, and 1,000 resumes": {func(c *authority.Case) {
			start(c).Approvals, start(c).ResumesLeft, start(c).ApprovedUntil = nil, 1000, authoritytest.Night.AddDate(9, 0, 0)
			c.Custody.Entries[1].Approvals = nil
		}, "nobody has signed"},
		"resumes that nobody gave": {func(c *authority.Case) {
			start(c).ResumesLeft = 1000
			c.Journal.Starts = append(c.Journal.Starts, authority.Start{Seq: 50, Opening: c.Journal.Starts[0].Opening, Before: authority.Stop{Seq: 42}})
			c.Journal.Starts[1].Opening.CustodyEntry, c.Journal.Stop.Seq, c.Journal.Records = 3, 50, 50
			c.Custody.Entries = append(c.Custody.Entries, custody.Entry{N: 3, Act: custody.Started, Plan: c.Plan.SHA256, Journal: authoritytest.JournalID, Approvals: c.Custody.Entries[1].Approvals})
		}, "resume 50 of sweep"},
		"meters that are not in the plan": {func(c *authority.Case) { c.Journal.Content = "forty other meters" }, "are not those of the plan"},
		"another plan's hash":             {func(c *authority.Case) { c.Journal.Planned = strings.Repeat("ab", 32) }, "begun with another plan"},
		"a start before the plan":         {func(c *authority.Case) { c.Journal.Content = "" }, "before it had the plan"},
		"a start of a rehearsal":          {func(c *authority.Case) { start(c).SweepID = "rehearsal-" + c.Plan.SweepID() }, "is a start of sweep"},
		"altered approvals": {func(c *authority.Case) {
			start(c).Approvals[0].Text = strings.Replace(start(c).Approvals[0].Text, "resumes 1\n", "resumes 900\n", 1)
		}, "other approvals than the custody knows"},
		"a start that the custody does not know": {func(c *authority.Case) { start(c).CustodyEntry = 7 }, "a start that the custody does not know"},
		"a halt, and a start after it by old approvals": {func(c *authority.Case) {
			*c = *begunBy(t, o, 5)
			c.Journal.Starts = append(c.Journal.Starts, authority.Start{Seq: 50, Opening: c.Journal.Starts[0].Opening, Before: authority.Stop{Seq: 45, Halted: true}})
			c.Journal.Starts[1].Opening.CustodyEntry, c.Journal.Stop.Seq, c.Journal.Records = 3, 50, 50
			c.Custody.Entries = append(c.Custody.Entries, custody.Entry{N: 3, Act: custody.Started, Plan: c.Plan.SHA256, Journal: authoritytest.JournalID, Approvals: c.Custody.Entries[1].Approvals})
		}, "resume 50 of sweep"},
	} {
		t.Run(name, func(t *testing.T) {
			c := begun(t, o)
			attack.change(c)
			refused(t, c, attack.words)
		})
	}
}

// The approvers of further starts must be on the roster when a start uses their approvals.
func TestAttackApproversThatHaveLeft(t *testing.T) {
	o := authoritytest.New(t)
	c := begun(t, o)
	c.Roster = o.Without(t, "alice", "bob")
	refused(t, c, "nobody has signed")
	c = o.First(t)
	c.Roster = o.Without(t, "alice")
	refused(t, c, "alice: nobody on the roster has this name and key")
	c = o.First(t)
	c.Roster = o.Without(t, "olga")
	refused(t, c, "nobody on the roster has the name and key of \"olga\"")
}

// Approvals are spent, and bind plan, journal and custody.
func TestAttackSpentApprovals(t *testing.T) {
	o := authoritytest.New(t)
	old := authority.Journal{ID: authoritytest.JournalID}
	for name, attack := range map[string]struct {
		change func(*authority.Case)
		words  string
	}{
		"another journal":          {func(c *authority.Case) { c.Journal = authority.Journal{ID: strings.Repeat("ff", 16)} }, "the plan is for journal"},
		"another custody":          {func(c *authority.Case) { c.Custody = &authority.Custody{ID: strings.Repeat("dd", 16)}; c.Journal = old }, "the plan is for custody"},
		"a copied custody":         {func(c *authority.Case) { c.Custody.Copied = custody.ErrCopied }, "is a copy"},
		"the journal moved away":   {func(c *authority.Case) { c.Custody.Entries[1].Records = 1; c.Journal = old }, "does not know the start of"},
		"the custody moved back":   {func(c *authority.Case) { c.Custody.Entries = c.Custody.Entries[:1] }, "a start that the custody does not know"},
		"after a halt":             {func(c *authority.Case) { c.Journal.Stop = authority.Stop{Seq: 45, Halted: true, Reason: "a gate"} }, "it was halted (a gate): not approved: resume 45"},
		"after a halt of custody":  {func(c *authority.Case) { remember(c, custody.Halted) }, "it was halted"},
		"after a cease":            {func(c *authority.Case) { c.Journal.Stop.Ceased = true }, "for good"},
		"after a cease of custody": {func(c *authority.Case) { remember(c, custody.Ceased) }, "remembers that it has ceased"},
	} {
		t.Run(name, func(t *testing.T) {
			c := begun(t, o)
			attack.change(c)
			refused(t, c, attack.words)
		})
	}
}

// Everybody's certificate is in its time, chained and not revoked, when they sign and at
// each start, and no approval is valid for ever.
func TestAttackPeopleOutOfTheirTime(t *testing.T) {
	o := authoritytest.New(t)
	ended, future := time.Date(2011, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2049, 1, 1, 0, 0, 0, 0, time.UTC)
	key, err := smki.DeriveTestKey([]byte("authority"), "unknown issuer")
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := smki.NewRoot(smki.Template{Role: smki.Root, CommonName: smki.TestMarker + " other", NotBefore: ended, NotAfter: future}, key)
	if err != nil {
		t.Fatal(err)
	}
	for _, person := range []struct {
		name string
		role direction.Role
	}{{"alice", direction.Approver}, {"olga", direction.Operator}, {"rita", direction.Recorder}} {
		for how, change := range map[string]func(c *authority.Case){
			"ended in 2020": func(c *authority.Case) {
				c.Roster = o.With(t, o.HireFrom(t, person.name, person.role, ended, o.Authority))
			},
			"begins in 2049": func(c *authority.Case) {
				c.Roster = o.With(t, o.HireFrom(t, person.name, person.role, future, o.Authority))
			},
			"of another issuer": func(c *authority.Case) {
				c.Roster = o.With(t, o.HireFrom(t, person.name, person.role, authoritytest.Night.AddDate(-1, 0, 0), stranger))
			},
			"on the gate's list": func(c *authority.Case) {
				c.Trust.Revoked = func(x *smki.Certificate) bool { return x.CommonName == person.name }
			},
		} {
			c := o.First(t)
			change(c)
			if _, err := c.Decide(); err == nil || !strings.Contains(err.Error(), person.name) {
				t.Errorf("%s, whose certificate is %s: %v", person.name, how, err)
			}
		}
	}
	c := o.First(t)
	c.Approvals[0] = o.Approve(t, c.Plan, c.Occasion(), "alice", authoritytest.Night, func(tt *direction.Terms) { tt.ExpiresAt = authoritytest.Night.AddDate(9, 0, 0) })
	refused(t, c, "at most 72h0m0s")
	c = o.First(t)
	c.MaxValidity = time.Hour // narrower than the plan
	refused(t, c, "at most 1h0m0s")
	c.MaxValidity = 9000 * time.Hour // wider is the plan's
	if _, err := c.Decide(); err != nil {
		t.Error(err)
	}
	none := o.First(t)
	none.Roster = nil
	if _, err := none.Decide(); !errors.Is(err, authority.ErrNoAuthority) {
		t.Errorf("no roster: %v", err)
	}
}

// The person who signed a plan is its preparer: an operator, and neither an approver nor the
// recorder of it.
func TestAttackPreparerSaysWhoPrepared(t *testing.T) {
	o := authoritytest.New(t)
	for name, attack := range map[string]struct {
		change func(*authority.Case)
		words  string
	}{
		"nobody has signed": {func(c *authority.Case) { c.Plan.Signature = nil }, "not signed by who prepared it"},
		"any name":          {func(c *authority.Case) { c.Plan.PreparedBy = direction.Signatory{Name: "anybody"} }, "nobody on the roster"},
		"another's name":    {func(c *authority.Case) { c.Plan.PreparedBy.Name = "carol" }, "nobody on the roster"},
		"an approver":       {func(c *authority.Case) { prepare(t, o, c, "alice") }, "no operator"},
		"hashed again":      {func(c *authority.Case) { c.Plan.SHA256 = strings.Repeat("12", 32) }, "the signature is not valid"},
		"the recorder":      {func(c *authority.Case) { everything(t, o, c, "rita"); prepare(t, o, c, "rita") }, "these are two people"},
		"approves all the same": {func(c *authority.Case) {
			everything(t, o, c, "olga")
			c.Approvals[0] = o.Approve(t, c.Plan, c.Occasion(), "olga", authoritytest.Night, nil)
		}, "who has prepared a plan or recorded its direction may not approve it"},
		"the recorder approves": {func(c *authority.Case) {
			everything(t, o, c, "rita")
			c.Approvals[0] = o.Approve(t, c.Plan, c.Occasion(), "rita", authoritytest.Night, nil)
		}, "who has prepared a plan or recorded its direction may not approve it"},
	} {
		t.Run(name, func(t *testing.T) {
			c := o.First(t)
			attack.change(c)
			refused(t, c, attack.words)
		})
	}
}

// prepare has somebody else prepare and sign the plan of a case.
func prepare(t testing.TB, o *authoritytest.Office, c *authority.Case, name string) {
	t.Helper()
	c.Plan.PreparedBy = o.Roster.Named(name).Signatory()
	if err := c.Plan.Sign(o.Keys[name]); err != nil {
		t.Fatal(err)
	}
}

// everything gives somebody on a case's roster every role.
func everything(t testing.TB, o *authoritytest.Office, c *authority.Case, name string) {
	t.Helper()
	p := *o.Roster.Named(name)
	p.Roles = []direction.Role{direction.Approver, direction.Operator, direction.Recorder}
	c.Roster = o.With(t, p)
}

// A start is refused if the configuration allows more than the plan, or if a gate is closed.
func TestWiderAndClosedRefuse(t *testing.T) {
	o := authoritytest.New(t)
	c := o.First(t)
	c.BeyondPlan = errors.New("limits.user is wider")
	refused(t, c, "limits.user is wider")
	c = o.First(t)
	c.Gates = errors.New("gate mpids is closed")
	refused(t, c, "gate mpids is closed")
}

// remember adds an entry on a case's journal to its custody.
func remember(c *authority.Case, act custody.Act) {
	c.Custody.Entries = append(c.Custody.Entries, custody.Entry{
		N: uint64(len(c.Custody.Entries)) + 1, Act: act, Plan: c.Plan.SHA256, Journal: authoritytest.JournalID, Reason: "it says so",
	})
}
