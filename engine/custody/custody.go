package custody

import (
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"safemode/engine/durable"
	"safemode/servicerequests"
	"safemode/servicerequests/safefile"
)

// Reasons why [Open] refuses, and why Next can give no counter. The text of the error names the
// file.
var (
	ErrInUse      = durable.ErrLocked
	ErrOtherOwner = errors.New("belongs to another journal")
	ErrDamaged    = errors.New("not a custody file")
	ErrFloor      = errors.New("counter floor is refused")
	errExhausted  = errors.New("no counter is left")
	ErrClosed     = errors.New("closed")
	ErrReleased   = errors.New("handed back to the supplier's everyday system")
	ErrOldJournal = errors.New("the journal is an older copy")
)

// Owner is the journal that the counters belong to. Its methods may be called from
// the goroutine of every Next.
type Owner interface {
	ID() string
	// Position is the number of records that are durable, and the hash of the last.
	Position() (seq uint64, hash [32]byte)
	// HashAt is the hash of one durable record.
	HashAt(seq uint64) ([32]byte, error)
}

// Options of a custody. The zero value serves a sweep.
type Options struct {
	// Floor is a lower bound for counters: the next one is over it, and over
	// all in the file. 0 is the milliseconds since 1970 of Now: that is over
	// the counters of a system that counted milliseconds, and over those that
	// were given out since a backup, if the file was restored from it. A floor
	// over Now plus one day is refused with ErrFloor.
	Floor uint64
	// Block is how many counters one write of the file reserves, and the most
	// that a crash skips. 0 is 1024.
	Block uint64
	// Now is the time; nil is time.Now.
	Now func() time.Time
	// From is the journal from which the owner takes the counters over, as two people have
	// approved; empty: from none. The high-water mark stays. Counters that were handed back
	// need a Floor, over the last one that the everyday system has used.
	From string
}

// Counters gives out the counters of one originator. Its methods may be called
// concurrently.
type Counters struct {
	files durable.Files
	name  string // of their file
	lock  durable.Locked
	made  bool   // by this Open
	was   []byte // the file's text before this Open, where it took the counters over
	owner Owner

	mu       sync.Mutex
	state    state
	text     []byte // of the file, as it is durable; nil: there is none
	block    uint64
	last     uint64 // given out last, by this Counters or before
	used     bool   // one was given out, or reserved to be
	reserved uint64 // durable: counters up to this one may be given out
	err      error  // why no counter is given out any more; nil: they are given out
}

// Open takes the custody of an originator's counters for one owner. Without a file
// it makes one. Errors wrap [ErrInUse], [ErrOtherOwner], [ErrOldJournal],
// [ErrReleased], [ErrDamaged] or [ErrFloor], or come from the file system or the
// owner.
func Open(files durable.Files, originator servicerequests.EUI, owner Owner, o Options) (_ *Counters, err error) {
	c := newCounters(files, originator, owner, &o)
	defer func() {
		if err != nil {
			if c.lock != nil {
				err = errors.Join(err, c.lock.Discard())
			}
			err = c.named(err)
		}
	}()
	if c.lock, err = files.Lock(c.name); err != nil {
		return nil, err
	}
	if c.made, err = c.examine(originator, o); err != nil {
		return nil, err
	}
	if c.made || c.was != nil { // the owner is on the disk before the first counter is used
		if err := c.save(c.state); err != nil {
			return nil, errors.Join(err, c.unmake())
		}
	}
	return c, nil
}

// Check returns the error that [Open] would return, and changes nothing. It returns the counter
// over which counting would go on.
func Check(files durable.Files, originator servicerequests.EUI, owner Owner, o Options) (over uint64, err error) {
	c := newCounters(files, originator, owner, &o)
	if err := files.Free(c.name); err != nil {
		return 0, c.named(err)
	}
	_, err = c.examine(originator, o)
	return c.last, c.named(err)
}

func newCounters(files durable.Files, originator servicerequests.EUI, owner Owner, o *Options) *Counters {
	if o.Block == 0 {
		o.Block = 1024
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Counters{files: files, name: nameOf(originator), block: o.Block, owner: owner}
}

// named has an error name the file.
func (c *Counters) named(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("custody %s: %w", c.files.Path(c.name), err)
}

// save replaces the file. After an error it is the old or the new one, whole.
func (c *Counters) save(s state) error {
	text, err := s.encode()
	if err != nil {
		return err
	}
	if err := c.files.Replace(c.name, c.text, text); err != nil {
		return err
	}
	c.text = text
	return nil
}

// examine reads the file, or begins if there is none, and refuses a file from which these
// counters must not go on.
func (c *Counters) examine(originator servicerequests.EUI, o Options) (begins bool, err error) {
	if originator == 0 || c.owner.ID() == "" {
		return false, errors.New("needs an originator and an owner")
	}
	floor, err := chooseFloor(o.Floor, o.Now())
	if err != nil {
		return false, err
	}
	c.state, c.text, err = load(c.files, c.name)
	switch begins = errors.Is(err, fs.ErrNotExist); {
	case begins:
		c.state = state{Originator: originator, Owner: c.owner.ID(), HighWater: floor}
		c.state.note(c.owner)
	case err != nil:
		return false, err
	case c.state.Originator != originator:
		return false, fmt.Errorf("%w: it has the counters of %v", ErrDamaged, c.state.Originator)
	case c.state.Owner != c.owner.ID() && c.state.Owner == o.From && (c.state.Released == nil || o.Floor > c.state.HighWater):
		c.was = c.text
		c.state.Owner, c.state.Released = c.owner.ID(), nil
		c.state.note(c.owner)
	case c.state.Released != nil:
		return false, fmt.Errorf("%w on %s with %d as the last counter; to take them over again, set counter_floor over the last that the"+
			" everyday system has used, make a new plan and have it approved",
			ErrReleased, c.state.Released.Format(time.RFC3339), c.state.HighWater)
	case c.state.Owner != c.owner.ID():
		return false, fmt.Errorf("%w: %s, not %s; go on with that journal, or make a new plan: a sweep that two approve takes the counters over",
			ErrOtherOwner, c.state.Owner, c.owner.ID())
	}
	if err := c.state.compareOwner(c.owner); err != nil {
		return false, err
	}
	if limit := highest(o.Now()); c.state.HighWater > limit {
		return false, fmt.Errorf("%w: high_water %d is more than a day ahead of the clock", ErrFloor, c.state.HighWater)
	}
	c.last = max(c.state.HighWater, floor)
	c.reserved = c.last
	return begins, nil
}

// chooseFloor applies the default and the limit of a floor.
func chooseFloor(floor uint64, now time.Time) (uint64, error) {
	ms := now.UnixMilli()
	switch {
	case ms <= 0:
		return 0, fmt.Errorf("%w: the clock says %v", ErrFloor, now)
	case floor == 0:
		return uint64(ms), nil
	case floor > highest(now):
		return 0, fmt.Errorf("%w: %d is more than a day ahead of the clock (at most %d now)", ErrFloor, floor, highest(now))
	}
	return floor, nil
}

// highest is the highest counter from which counting may go on: a day ahead of the
// clock in milliseconds. Higher ones are a typo or a wrong clock, and would
// use up what the originator has left.
func highest(now time.Time) uint64 {
	return uint64(now.Add(24 * time.Hour).UnixMilli())
}

// Next gives out a counter: over all that were given out before, and never
// again. A failure to reserve is final.
func (c *Counters) Next() (uint64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return 0, c.err
	}
	if c.last == c.reserved {
		c.used = true
		if c.err = c.reserve(); c.err != nil {
			c.err = c.named(c.err)
			return 0, c.err
		}
	}
	c.last++
	return c.last, nil
}

// reserve makes the next block durable.
func (c *Counters) reserve() error {
	if c.last >= servicerequests.MaxCounter {
		return errExhausted
	}
	next := c.state
	next.HighWater = c.last + min(c.block, servicerequests.MaxCounter-c.last)
	next.note(c.owner)
	if err := c.save(next); err != nil {
		return err
	}
	c.state, c.reserved = next, next.HighWater
	return nil
}

// Last returns the counter given out last or, before the first Next, the one
// over which counting goes on.
func (c *Counters) Last() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last
}

// Discard gives the counters back if none was used: the file is again as Open found it, and is
// removed if Open made it. After Next or Close it is refused.
func (c *Counters) Discard() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil || c.used {
		return c.named(errors.New("counters were used, or it is closed"))
	}
	c.err = c.named(ErrClosed)
	return errors.Join(c.unmake(), c.lock.Discard())
}

// unmake restores the file as it was before Open.
func (c *Counters) unmake() error {
	if !c.made && c.was == nil {
		return nil
	}
	is, err := c.files.Read(c.name, safefile.Small, safefile.Own)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return c.files.Replace(c.name, is, c.was)
}

// Close writes the last counter given out and releases the file. Without it
// the rest of the block is skipped. A second Close does nothing.
func (c *Counters) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if errors.Is(c.err, ErrClosed) {
		return nil
	}
	reserveFailed := c.err != nil
	c.err = c.named(ErrClosed)
	var saved error
	if !reserveFailed { // after a failure the file's own content is safe, and all that is known
		final := c.state
		final.HighWater = c.last
		final.note(c.owner)
		saved = c.save(final)
	}
	return errors.Join(saved, c.lock.Release())
}
