package custody_test

import (
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"safemode/engine/custody"
	"safemode/engine/durable"
	"safemode/servicerequests"
	"safemode/servicerequests/safefile"
)

const originator servicerequests.EUI = 0x90B3D51F30010000

// log is a journal as its counters see it: a list of hashes.
type log struct {
	id     string
	hashes [][32]byte
}

// owner is an empty journal.
var owner = &log{id: "5f0c1d"}

func (l *log) ID() string { return l.id }

func (l *log) Position() (seq uint64, hash [32]byte) {
	if n := len(l.hashes); n > 0 {
		return uint64(n), l.hashes[n-1]
	}
	return 0, hash
}

func (l *log) HashAt(seq uint64) ([32]byte, error) { return l.hashes[seq-1], nil }

// write adds records that depend on all before.
func (l *log) write(records ...string) {
	for _, r := range records {
		_, before := l.Position()
		l.hashes = append(l.hashes, sha256.Sum256(append(before[:], r...)))
	}
}

// copyOf is a backup of a journal.
func (l *log) copyOf() *log { return &log{l.id, slices.Clone(l.hashes)} }

var now = time.Date(2026, 11, 23, 2, 0, 0, 0, time.UTC)

func options() custody.Options {
	return custody.Options{Block: 16, Now: func() time.Time { return now }}
}

func open(t *testing.T, files durable.Files, o custody.Options) *custody.Counters {
	t.Helper()
	c, err := custody.Open(files, originator, owner, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func next(t *testing.T, c *custody.Counters) uint64 {
	t.Helper()
	n, err := c.Next()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func goOnAfterClose(t *testing.T, p place) {
	directory := p.make(t)
	c := open(t, directory, options())
	first := next(t, c)
	if want := uint64(now.UnixMilli()) + 1; first != want {
		t.Errorf("first %d, want %d", first, want)
	}
	for i := range uint64(40) {
		if n := next(t, c); n != first+i+1 {
			t.Fatalf("%d after %d", n, first+i)
		}
	}
	last := c.Last()
	if err := errors.Join(c.Close(), c.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Next(); !errors.Is(err, custody.ErrClosed) {
		t.Errorf("Next after Close: %v", err)
	}
	c = open(t, directory, options())
	if c.Last() != last || next(t, c) != last+1 {
		t.Errorf("goes on from %d, want %d", c.Last(), last)
	}
}

// The machine might stop after each counter. Every counter of the next process is
// new.
func crashRepeatsNothing(t *testing.T, p place) {
	directory := p.make(t)
	c := open(t, directory, options())
	for range 50 {
		given := next(t, c)
		d := open(t, p.abandoned(t, directory), options())
		if again := next(t, d); again <= given {
			t.Fatalf("%d after a crash, %d was given out", again, given)
		}
	}
}

func restoredBackupRepeatsNothing(t *testing.T, p place) {
	directory := p.make(t)
	c := open(t, directory, options())
	backup := p.abandoned(t, directory)
	for range 500 {
		next(t, c)
	}
	later := options()
	later.Now = func() time.Time { return now.Add(time.Second) } // fewer than 1,000 were used in it
	if again := next(t, open(t, backup, later)); again <= c.Last() {
		t.Errorf("%d was given out before", again)
	}
}

func concurrentNext(t *testing.T, p place) {
	const workers, each = 8, 200
	c := open(t, p.make(t), options())
	given := make([][]uint64, workers)
	var group sync.WaitGroup
	for w := range workers {
		group.Go(func() {
			for range each {
				n, err := c.Next()
				if err != nil {
					t.Error(err)
				}
				given[w] = append(given[w], n)
			}
		})
	}
	group.Wait()
	var all []uint64
	for _, g := range given {
		if !slices.IsSorted(g) {
			t.Error("one worker's counters do not rise")
		}
		all = append(all, g...)
	}
	slices.Sort(all)
	if n := len(slices.Compact(all)); n != workers*each {
		t.Errorf("%d different counters of %d", n, workers*each)
	}
}

func TestRefusals(t *testing.T) {
	day := uint64(24 * 60 * 60 * 1000)
	ms := uint64(now.UnixMilli())
	const eui = "90-B3-D5-1F-30-01-00-00"
	for name, c := range map[string]struct {
		file  string // empty: none
		floor uint64
		want  error
	}{
		"another journal":     {`{"originator":"` + eui + `","owner":"other","high_water":7}`, 0, custody.ErrOtherOwner},
		"another originator":  {`{"originator":"90-B3-D5-1F-30-02-00-00","owner":"` + owner.id + `","high_water":7}`, 0, custody.ErrDamaged},
		"empty":               {" ", 0, custody.ErrDamaged},
		"cut off":             {`{"originator":"` + eui + `","owner":"` + owner.id, 0, custody.ErrDamaged},
		"no owner":            {`{"originator":"` + eui + `","high_water":7}`, 0, custody.ErrDamaged},
		"no high water":       {`{"originator":"` + eui + `","owner":"` + owner.id + `"}`, 0, custody.ErrDamaged},
		"no originator":       {`{"owner":"` + owner.id + `","high_water":7}`, 0, custody.ErrDamaged},
		"over 63 bits":        {`{"originator":"` + eui + `","owner":"` + owner.id + `","high_water":9223372036854775808}`, 0, custody.ErrDamaged},
		"unknown key":         {`{"originator":"` + eui + `","owner":"` + owner.id + `","high_water":7,"low":1}`, 0, custody.ErrDamaged},
		"two objects":         {`{"originator":"` + eui + `","owner":"` + owner.id + `","high_water":7}{}`, 0, custody.ErrDamaged},
		"floor too high":      {"", ms + day + 1, custody.ErrFloor},
		"floor near 2^63":     {"", servicerequests.MaxCounter, custody.ErrFloor},
		"high water too high": {`{"originator":"` + eui + `","owner":"` + owner.id + `","high_water":9223372036854775000}`, 0, custody.ErrFloor},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), eui+".json")
			if c.file != "" {
				if err := os.WriteFile(path, []byte(c.file), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			o := options()
			o.Floor = c.floor
			_, foreseen := custody.Check(durable.Folder(filepath.Dir(path)), originator, owner, o)
			_, err := custody.Open(durable.Folder(filepath.Dir(path)), originator, owner, o)
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("%v, want %v", err, c.want)
			}
			if foreseen == nil || foreseen.Error() != err.Error() {
				t.Errorf("Check said %v, Open says %v", foreseen, err)
			}
			if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) > 1 {
				t.Errorf("left behind: %v, %v", left, err)
			}
			if after, _ := os.ReadFile(path); string(after) != c.file {
				t.Errorf("the file was changed to %s", after)
			}
		})
	}
}

func floor(t *testing.T, p place) {
	ms := uint64(now.UnixMilli())
	for name, floor := range map[string]uint64{"low": 5, "a day ahead": ms + 24*60*60*1000} {
		o := options()
		o.Floor = floor
		if n := next(t, open(t, p.make(t), o)); n != floor+1 {
			t.Errorf("%s: first %d, want %d", name, n, floor+1)
		}
	}
	o := options()
	o.Now = func() time.Time { return time.Time{} }
	if _, err := custody.Open(p.make(t), originator, owner, o); !errors.Is(err, custody.ErrFloor) {
		t.Errorf("a clock before 1970: %v", err)
	}
}

func oneUser(t *testing.T, p place) {
	directory := p.make(t)
	c := open(t, directory, options())
	for _, who := range []*log{owner, {id: "other"}} {
		if _, err := custody.Open(directory, originator, who, options()); !errors.Is(err, custody.ErrInUse) {
			t.Errorf("%s: %v", who.id, err)
		}
	}
	other, err := custody.Open(directory, originator+1, owner, options())
	if err != nil {
		t.Fatal("another originator has a custody of its own:", err)
	}
	other.Close()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := custody.Open(directory, originator, &log{id: "other"}, options()); !errors.Is(err, custody.ErrOtherOwner) {
		t.Errorf("the owner stays after Close: %v", err)
	}
	open(t, directory, options())
}

// Check says what Open would, and leaves no trace.
func checkTakesNothing(t *testing.T, p place) {
	directory := p.make(t)
	over, err := custody.Check(directory, originator, owner, options())
	if left := names(t, directory); err != nil || len(left) > 0 || over != uint64(now.UnixMilli()) {
		t.Fatalf("over %d, %v; left %v", over, err, left)
	}
	c := open(t, directory, options())
	last := next(t, c)
	if _, err := custody.Check(directory, originator, owner, options()); !errors.Is(err, custody.ErrInUse) {
		t.Errorf("while they are used: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if over, err := custody.Check(directory, originator, owner, options()); err != nil || over != last {
		t.Errorf("goes on over %d, want %d: %v", over, last, err)
	}
	if _, err := custody.Check(directory, originator, &log{id: "other"}, options()); !errors.Is(err, custody.ErrOtherOwner) {
		t.Errorf("another journal: %v", err)
	}
	if _, err := custody.Release(directory, originator, now); err != nil {
		t.Fatal(err)
	}
	if _, err := custody.Check(directory, originator, owner, options()); !errors.Is(err, custody.ErrReleased) {
		t.Errorf("handed back: %v", err)
	}
}

// A claim that is given back leaves the folder as it was.
func discardGivesBack(t *testing.T, p place) {
	directory := p.make(t)
	first := open(t, directory, options())
	if err := errors.Join(first.Discard(), first.Close()); err != nil {
		t.Error(err)
	}
	if left := names(t, directory); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	used, err := custody.Open(directory, originator, &log{id: "other"}, options()) // nobody owns them
	if err != nil {
		t.Fatal(err)
	}
	next(t, used)
	if err := used.Discard(); err == nil {
		t.Error("counters that were used were given back")
	}
	if err := used.Close(); err != nil {
		t.Error(err)
	}
	name := originator.String() + ".json"
	before, err := directory.Read(name, safefile.Small, safefile.Own)
	if err != nil {
		t.Fatal(err)
	}
	o := options()
	o.Floor = uint64(now.Add(time.Hour).UnixMilli())
	again, err := custody.Open(directory, originator, &log{id: "other"}, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Discard(); err != nil {
		t.Error(err)
	}
	if after, err := directory.Read(name, safefile.Small, safefile.Own); err != nil || string(after) != string(before) {
		t.Errorf("the file was changed from %s to %s: %v", before, after, err)
	}
	if folder, ok := directory.(durable.Folder); ok {
		if _, err := os.Stat(folder.Path(name) + ".lock"); err != nil {
			t.Error("somebody else's lock file was removed")
		}
	}
}

// A block that cannot be made durable is not given out, then or later.
func TestFailedReservation(t *testing.T) {
	directory := t.TempDir()
	c := open(t, durable.Folder(directory), options())
	given := next(t, c)
	for range 15 {
		given = next(t, c)
	}
	if err := os.RemoveAll(directory); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Next(); err == nil {
		t.Errorf("%d was given out after %d without a reservation", n, given)
	}
	if err := os.Mkdir(directory, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Next(); err == nil {
		t.Error("a failure is not final")
	}
}
