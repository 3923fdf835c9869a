package authority_test

import (
	"crypto/sha256"
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"safemode/engine/authority"
	"safemode/engine/authority/authoritytest"
	"safemode/engine/custody"
	"safemode/engine/direction"
	"safemode/engine/record"
)

var walkDepth = flag.Int("walk.depth", 2, "how many acts in a row the walk of authority tries from each beginning, every one after every other; .ci/run takes 3")

// walkResumes is how many starts the walk's approvals give ahead.
const walkResumes = 2

// world is one authoritytest.Night: what lies on the disk, and what truly happened, which nobody on the
// machine can change. It is copied for every branch.
type world struct {
	// On the disk. One person may put any of it back, alter it, or move it away.
	starts    []authority.Start
	stop      authority.Stop
	records   []string // of the journal, in order; a record's hash covers all before it
	book      []custody.Entry
	mark      uint64   // records of the journal when counters were last reserved, as the counters' own file has it
	markHash  [32]byte // of the last of them
	copied    bool
	approvals []*direction.Approval
	roster    *direction.Roster

	kept *world // a backup of journal and book, of an earlier time

	// The truth.
	uses          map[string]int // of each pair of approvals, by their digests
	halts         int            // so far
	signedAt      map[string]int // halts before an approval was signed, by its digest
	ceased        bool
	begun         int  // starts that were granted
	rolledJournal bool // the journal is older than the truth
	rolledBook    bool
}

func (w *world) branch() *world {
	b := *w
	b.starts, b.records, b.book = slices.Clone(w.starts), slices.Clone(w.records), slices.Clone(w.book)
	b.approvals = slices.Clone(w.approvals)
	b.uses, b.signedAt = map[string]int{}, map[string]int{}
	for k, v := range w.uses {
		b.uses[k] = v
	}
	for k, v := range w.signedAt {
		b.signedAt[k] = v
	}
	return &b
}

// forged says whether the journal has a start that nobody granted.
func (w *world) forged() bool {
	return slices.ContainsFunc(w.starts, func(s authority.Start) bool { return s.Opening.ResumesLeft == 1000 })
}

// key tells worlds apart that differ in what can come of them.
func (w *world) key() string {
	var s strings.Builder
	fmt.Fprintf(&s, "%v|%+v|%v|%v|%d|%d|%v|%d", w.records, w.stop, w.copied, w.ceased, w.halts, len(w.roster.People), w.uses, len(w.starts))
	for _, e := range w.book {
		fmt.Fprintf(&s, "|%s %d %v %s", e.Act, e.Records, e.Approvals, e.Subject)
	}
	for _, a := range w.approvals {
		fmt.Fprintf(&s, "|%s %s %s", a.Approver.Name, a.Purpose, a.Subject)
	}
	if w.kept != nil {
		fmt.Fprintf(&s, "|kept %v %d", w.kept.records, len(w.kept.book))
	}
	return s.String()
}

func (w *world) hashAt(seq uint64) ([32]byte, error) {
	return sha256.Sum256([]byte(strings.Join(w.records[:seq], "\n"))), nil
}

// walk tries every act after every other.
type walk struct {
	office *authoritytest.Office
	t      *testing.T
	first  *authority.Case
	left   *direction.Roster // without alice
	order  []string          // of the acts
	seen   map[string]int    // depth left when a world was seen
	worlds int
	grants int
	found  map[string]int // refusals and findings, by what they are of
}

func newWalk(t *testing.T, o *authoritytest.Office, first *authority.Case) *walk {
	k := &walk{office: o, t: t, first: first, left: o.Without(t, "alice"), seen: map[string]int{}, found: map[string]int{}}
	k.order = slices.Sorted(maps.Keys(k.acts()))
	return k
}

// caseOf is what a start would go by.
func (k *walk) caseOf(w *world) *authority.Case {
	c := *k.first
	c.Roster, c.Approvals, c.Trust = w.roster, w.approvals, direction.Trust{}
	c.Journal = authority.Journal{ID: authoritytest.JournalID, Starts: slices.Clone(w.starts), Stop: w.stop, Records: uint64(len(w.records)), HashAt: w.hashAt}
	if len(w.records) > 0 {
		c.Journal.Planned, c.Journal.Content = c.Plan.SHA256, c.Plan.Content
	}
	c.Custody = &authority.Custody{ID: authoritytest.CustodyID, Entries: slices.Clone(w.book)}
	if w.copied {
		c.Custody.Copied = custody.ErrCopied
	}
	return &c
}

func (k *walk) remember(w *world, act custody.Act, approvals []string) uint64 {
	e := custody.Entry{N: uint64(len(w.book)) + 1, Act: act, Plan: k.first.Plan.SHA256, Journal: authoritytest.JournalID, Records: uint64(len(w.records)), Approvals: approvals, Reason: "walked"}
	hash, _ := w.hashAt(e.Records)
	e.Hash = hash
	w.book = append(w.book, e)
	return e.N
}

func (w *world) write(what string) uint64 {
	w.records = append(w.records, fmt.Sprintf("%s %d", what, len(w.records)))
	return uint64(len(w.records))
}

// approve has a person sign what the command would show them.
func (k *walk) approve(w *world, name string, on direction.Occasion) {
	if w.roster.Named(name) == nil {
		return
	}
	for _, a := range w.approvals {
		if a.Approver.Name == name && a.Purpose == on.Purpose && a.Subject == on.Subject {
			return // the same again
		}
	}
	a := k.office.Approve(k.t, k.first.Plan, on, name, authoritytest.Night, func(tt *direction.Terms) { tt.Resumes = walkResumes })
	w.approvals = append(w.approvals, a)
	text, _ := a.Text()
	w.signedAt[fmt.Sprintf("%x", sha256.Sum256(text))] = w.halts
}

// begin starts, if it is granted, and compares the grant with the truth.
func (k *walk) begin(w *world, die bool) {
	c := k.caseOf(w)
	g, err := c.Decide()
	if err != nil || !w.counts() {
		return
	}
	k.grants++
	wrong := func(format string, args ...any) {
		k.t.Fatalf("%s\n%+v", fmt.Sprintf(format, args...), w.key())
	}
	names := map[string]bool{}
	for _, a := range g.Approvals {
		if p := w.roster.WithKey(a.Key); p == nil || !p.May(direction.Approver) {
			wrong("%s is no approver", a.Name)
		}
		names[a.Name] = true
	}
	pair := strings.Join(g.Spent, " ")
	since := w.halts
	for _, digest := range g.Spent {
		since = min(since, w.signedAt[digest])
	}
	finishes := g.Entry > 0
	switch {
	case len(names) != 2:
		wrong("started by %v", names)
	case w.rolledJournal && w.rolledBook:
		k.found["both put back: only a process of its own can tell"]++ // see the engine's threat model
		return
	case w.ceased:
		wrong("started after it has ceased")
	case since < w.halts:
		wrong("started after a halt, by approvals of before it")
	case !finishes && w.uses[pair] > walkResumes:
		wrong("started for the %d. time by the same approvals", w.uses[pair]+1)
	}
	if len(w.records) == 0 {
		w.write("plan")
	}
	if g.Entry == 0 {
		g.Entry = k.remember(w, custody.Started, g.Spent)
		w.uses[pair]++
	}
	w.rolledJournal, w.rolledBook = false, false // it goes on from here, by two
	if die {
		return // spent, and not begun
	}
	o := authoritytest.OpeningOf(c, g)
	w.starts = append(w.starts, authority.Start{Seq: w.write("opened"), Opening: o, Before: w.stop})
	w.stop = authority.Stop{Seq: uint64(len(w.records))}
	w.begun++
	w.reserve()
}

// reserve notes in the counters' file how far the journal has come.
func (w *world) reserve() {
	w.mark = uint64(len(w.records))
	w.markHash, _ = w.hashAt(w.mark)
}

// counts says whether the counters' file takes the journal for the one that they were
// given to, as the engine's custody does beside the authority.
func (w *world) counts() bool {
	if w.mark > uint64(len(w.records)) {
		return false
	}
	hash, _ := w.hashAt(w.mark)
	return w.mark == 0 || hash == w.markHash
}

// acts are all that may happen: to the sweep, by honest people, and by one who is not.
func (k *walk) acts() map[string]func(*world) {
	running := func(w *world, act func()) {
		if len(w.starts) > 0 && !w.stop.Halted {
			act()
		}
	}
	return map[string]func(*world){
		"alice approves": func(w *world) { c := k.caseOf(w); k.approve(w, "alice", c.Occasion()) },
		"bob approves":   func(w *world) { c := k.caseOf(w); k.approve(w, "bob", c.Occasion()) },
		"start":          func(w *world) { k.begin(w, false) },
		"start and die":  func(w *world) { k.begin(w, true) },
		"halt": func(w *world) {
			running(w, func() {
				k.remember(w, custody.Halted, nil)
				w.stop = authority.Stop{Seq: w.write("halted"), Halted: true, Reason: "walked"}
				w.halts++
			})
		},
		"halt and die before the journal has it": func(w *world) {
			running(w, func() { k.remember(w, custody.Halted, nil); w.halts++ })
		},
		"cease": func(w *world) {
			running(w, func() {
				k.remember(w, custody.Ceased, nil)
				w.stop.Seq, w.stop.Ceased, w.ceased = w.write("ceased"), true, true
			})
		},
		"back up": func(w *world) { w.kept = w.branch(); w.kept.kept = nil },
		"put the journal back": func(w *world) {
			if b := w.kept; b != nil && len(b.records) < len(w.records) {
				w.starts, w.stop, w.records, w.rolledJournal = slices.Clone(b.starts), b.stop, slices.Clone(b.records), true
			}
		},
		"move the journal away": func(w *world) {
			if len(w.records) > 0 {
				w.starts, w.stop, w.records, w.rolledJournal = nil, authority.Stop{}, nil, true
			}
		},
		"put the book back in place": func(w *world) {
			if b := w.kept; b != nil && len(b.book) < len(w.book) {
				w.book, w.mark, w.markHash, w.rolledBook = slices.Clone(b.book), b.mark, b.markHash, true
			}
		},
		"copy the folder": func(w *world) { w.copied = true },
		"two accept": func(w *world) {
			hash, _ := w.hashAt(uint64(len(w.records)))
			on := direction.Occasion{Purpose: direction.Accept, Subject: authority.AcceptanceSubject(uint64(len(w.records)), hash, 7)}
			if len(w.records) == 0 {
				return
			}
			k.approve(w, "alice", on)
			k.approve(w, "bob", on)
			k.accept(w)
		},
		"one accepts":  func(w *world) { k.accept(w) },
		"alice leaves": func(w *world) { w.roster = k.left },
		"forge a start": func(w *world) {
			if n := len(w.starts); n > 0 {
				o := w.starts[n-1].Opening
				o.ResumesLeft = 1000
				o.CustodyEntry = k.remember(w, custody.Started, k.digests(o))
				w.starts = append(w.starts, authority.Start{Seq: w.write("opened"), Opening: o, Before: w.stop})
				w.stop = authority.Stop{Seq: uint64(len(w.records)), Ceased: w.stop.Ceased}
			}
		},
		"forge a first start": func(w *world) {
			if len(w.starts) == 0 && len(w.records) == 0 {
				w.write("plan")
				o := authoritytest.OpeningOf(k.caseOf(w), authority.Grant{Resumes: 1000, Until: authoritytest.Night.AddDate(9, 0, 0)})
				o.CustodyEntry = k.remember(w, custody.Started, nil)
				w.starts = []authority.Start{{Seq: w.write("opened"), Opening: o}}
				w.stop = authority.Stop{Seq: 2}
			}
		},
	}
}

func (k *walk) digests(o record.Opening) (all []string) {
	for _, a := range o.Approvals {
		all = append(all, fmt.Sprintf("%x", sha256.Sum256([]byte(a.Text))))
	}
	slices.Sort(all)
	return all
}

// accept takes what lies on the disk, if two have approved that.
func (k *walk) accept(w *world) {
	hash, _ := w.hashAt(uint64(len(w.records)))
	subject := authority.AcceptanceSubject(uint64(len(w.records)), hash, 7)
	g, err := k.caseOf(w).DecideAcceptance(subject)
	if err != nil {
		return
	}
	if len(g.Approvals) != 2 {
		k.t.Fatalf("accepted by %d: %s", len(g.Approvals), w.key())
	}
	w.stop = authority.Stop{Seq: w.write("accepted"), Accepted: subject}
	w.reserve()
	k.remember(w, custody.Accepted, g.Spent)
	w.book[len(w.book)-1].Subject = subject
	w.copied, w.rolledJournal, w.rolledBook = false, false, false
}

// audit says whether what lies on the disk is proven, as an audit with the custody would.
func (k *walk) audit(w *world) error {
	c := k.caseOf(w)
	for i, s := range w.starts {
		then := k.caseOf(w)
		then.Custody, then.Roster = nil, k.office.Roster // as it was then
		then.Journal.Starts, then.Journal.Stop = w.starts[:i:i], s.Before
		approvals, err := authority.ApprovalsOf(s.Opening)
		if err != nil {
			return err
		}
		if then.Approvals = approvals; then.Prove(s.Opening) != nil {
			return then.Prove(s.Opening)
		}
	}
	c.Custody.Copied = nil // an audit looks at copies
	if !w.counts() {
		return custody.ErrOldJournal
	}
	return c.CheckCustody()
}

func (k *walk) from(w *world, left int, path []string) {
	if before, seen := k.seen[w.key()]; seen && before >= left {
		return
	}
	k.seen[w.key()] = left
	k.worlds++
	if err := k.audit(w); err == nil && w.forged() {
		k.t.Fatalf("the audit finds nothing after %v", path)
	} else if err == nil && w.rolledJournal && !w.rolledBook && len(w.book) > 1 && w.begun > len(w.starts) {
		k.t.Fatalf("the audit finds no lost start after %v", path)
	} else if honest := !w.forged() && !w.rolledJournal && !w.rolledBook; err != nil && honest {
		k.t.Fatalf("the audit finds %v after %v", err, path)
	} else if err != nil {
		k.found["audit finds"]++
	}
	if left == 0 {
		return
	}
	acts := k.acts()
	for _, name := range k.order {
		b := w.branch()
		acts[name](b)
		k.from(b, left-1, append(path[:len(path):len(path)], name))
	}
}

// The walk tries every act after every other: no start without two who are on the roster
// and have approved this very state, none after a halt or a cease by what was before it,
// none more often than was signed; and the audit finds each forged or lost start.
func TestWalkOfAuthority(t *testing.T) {
	o := authoritytest.New(t)
	first := o.First(t)
	first.Approvals = nil
	k := newWalk(t, o, first)
	begun := time.Now()
	for _, path := range [][]string{
		nil,
		{"alice approves", "bob approves", "start"},
		{"alice approves", "bob approves", "start", "back up", "start"},
		{"alice approves", "bob approves", "start", "back up", "halt"},
		{"alice approves", "bob approves", "start", "back up", "halt", "alice approves", "bob approves", "start"},
	} {
		w := &world{
			roster: o.Roster, book: []custody.Entry{{N: 1, Act: custody.Made, Custody: authoritytest.CustodyID}},
			uses: map[string]int{}, signedAt: map[string]int{},
		}
		for _, name := range path {
			k.acts()[name](w)
		}
		k.from(w, *walkDepth, path)
	}
	t.Logf("%d worlds, %d starts granted, %v, %v", k.worlds, k.grants, k.found, time.Since(begun).Round(time.Millisecond))
	if k.grants == 0 || k.found["audit finds"] == 0 {
		t.Error("the walk has reached nothing")
	}
}
