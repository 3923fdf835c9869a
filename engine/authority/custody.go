package authority

import (
	"fmt"
	"slices"

	"safemode/engine/custody"
)

// CheckCustody compares the journal with the custody: both have the same starts, in the same
// order, and the journal has every record that it had when the custody's last entry was
// made. Otherwise one of the two is an older copy.
func (c *Case) CheckCustody() error {
	if c.Custody == nil {
		return nil
	}
	if err := c.Custody.Copied; err != nil {
		return c.older("%v", err)
	}
	mine := c.ownEntries()
	taken := -1 // the last acceptance: a restored journal may lack starts before it
	for i, e := range mine {
		if e.Act == custody.Accepted {
			taken = i
		}
	}
	named := map[uint64]bool{}
	last := uint64(0)
	for k := range c.Journal.Starts {
		s := &c.Journal.Starts[k]
		if taken >= 0 && s.Seq <= mine[taken].Records {
			continue
		}
		n := s.Opening.CustodyEntry
		i := slices.IndexFunc(mine, func(e custody.Entry) bool { return e.N == n })
		switch {
		case s.Opening.Custody != c.Custody.ID || i < 0 || n <= last || mine[i].Act != custody.Started:
			return c.older("record %d of the journal is a start that the custody does not know", s.Seq)
		case !slices.Equal(mine[i].Approvals, spentBy(s.Opening)):
			return c.older("record %d of the journal is a start by other approvals than the custody knows", s.Seq)
		}
		named[n], last = true, n
		s.Before.apply(before(mine[:i], named))
	}
	for i, e := range mine {
		if e.Act != custody.Started || named[e.N] || i < taken {
			continue
		}
		next := c.Journal.Records // a start that did not begin has written no record
		if i+1 < len(mine) {
			next = mine[i+1].Records
		}
		if next != e.Records {
			return c.older("the journal does not know the start of %s", e.At.Format("2006-01-02 15:04:05 UTC"))
		}
	}
	if len(mine) == 0 {
		return nil
	}
	e := mine[len(mine)-1]
	if e.Records > c.Journal.Records {
		return c.older("the journal ends at record %d, and had %d on %s", c.Journal.Records, e.Records, e.At.Format("2006-01-02 15:04:05 UTC"))
	}
	if e.Records > 0 {
		hash, err := c.Journal.HashAt(e.Records)
		if err != nil {
			return err
		}
		if hash != e.Hash {
			return c.older("record %d of the journal is not the one it had on %s", e.Records, e.At.Format("2006-01-02 15:04:05 UTC"))
		}
	}
	// The custody's last stop counts as if the journal said it.
	c.Journal.Stop.apply(before(mine, named))
	return nil
}

// before is the last entry, leaving out starts that did not begin.
func before(mine []custody.Entry, named map[uint64]bool) custody.Entry {
	for _, e := range slices.Backward(mine) {
		if e.Act != custody.Started || named[e.N] {
			return e
		}
	}
	return custody.Entry{}
}

// apply takes in what the custody says of a stop.
func (s *Stop) apply(e custody.Entry) {
	switch e.Act {
	case custody.Halted:
		if !s.Halted {
			s.Halted, s.Accepted, s.Reason = true, "", e.Reason
		}
	case custody.Accepted:
		s.Accepted, s.Reason = e.Subject, e.Reason
	}
}

// older is the error for a journal or a custody that is an older copy.
func (c *Case) older(format string, args ...any) error {
	return fmt.Errorf("%w: %s: the journal or the folder of counters was restored or copied; go on with the newest of both, or, if that is lost,"+
		" have two approve this very one (safemode approve --accept) and take it (safemode custody accept)", ErrNoAuthority, fmt.Sprintf(format, args...))
}

// ownEntries lists the custody's entries of this journal.
func (c *Case) ownEntries() (mine []custody.Entry) {
	if c.Custody == nil {
		return nil
	}
	for _, e := range c.Custody.Entries {
		if e.Journal == c.Journal.ID {
			mine = append(mine, e)
		}
	}
	return mine
}

// startsUsed is how many starts by these approvals the custody has.
func (c *Case) startsUsed(spent []string) (n int) {
	for _, e := range c.ownEntries() {
		if e.Act == custody.Started && slices.Equal(e.Approvals, spent) {
			n++
		}
	}
	return n
}

// notBegun says whether the journal lacks the start of a custody entry.
func (c *Case) notBegun(e custody.Entry) bool {
	return !slices.ContainsFunc(c.Journal.Starts, func(s Start) bool { return s.Opening.CustodyEntry == e.N })
}

// unfinishedEntry is the custody's entry of a start by these approvals that the journal
// lacks; 0: there is none.
func (c *Case) unfinishedEntry(spent []string) uint64 {
	mine := c.ownEntries()
	if len(mine) == 0 {
		return 0
	}
	if e := mine[len(mine)-1]; e.Act == custody.Started && slices.Equal(e.Approvals, spent) && c.notBegun(e) {
		return e.N
	}
	return 0
}
