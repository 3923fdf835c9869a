package custody_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"pgregory.net/rapid"

	"safemode/engine/custody"
	"safemode/engine/durable"
	"safemode/servicerequests/safefile"
)

func openFor(t *testing.T, files durable.Files, journal *log) (*custody.Counters, error) {
	t.Helper()
	c, err := custody.Open(files, originator, journal, options())
	if err == nil {
		t.Cleanup(func() { c.Close() })
	}
	return c, err
}

// The newer journal is there: the older copy is refused, however the sweep ended,
// and so is a copy that went on by itself. The journal that was left behind is
// not harmed.
func olderJournalIsRefused(t *testing.T, p place) {
	for name, crash := range map[string]bool{"after a clean end": false, "after a kill": true} {
		t.Run(name, func(t *testing.T) {
			directory := p.make(t)
			journal := &log{id: "j"}
			journal.write("plan")
			backup := journal.copyOf() // a day old
			c, err := openFor(t, directory, journal)
			if err != nil {
				t.Fatal(err)
			}
			for i := range 100 {
				journal.write(fmt.Sprint("sent under ", next(t, c)), fmt.Sprint("answered ", i))
			}
			after := p.abandoned(t, directory)
			if !crash {
				c.Close()
				after = directory
			}
			if _, err := openFor(t, after, backup); !errors.Is(err, custody.ErrOldJournal) {
				t.Errorf("the backup: %v", err)
			}
			for len(backup.hashes) < len(journal.hashes) {
				backup.write("something else")
			}
			if _, err := openFor(t, after, backup); !errors.Is(err, custody.ErrOldJournal) {
				t.Errorf("a copy that went on by itself: %v", err)
			}
			if _, err := openFor(t, after, journal); err != nil {
				t.Errorf("the newer journal: %v", err)
			}
		})
	}
}

// After a kill, a copy that is younger than the last reservation passes, and counting
// goes on over all that was given out.
func copyWithinABlockIsSkippedPast(t *testing.T, p place) {
	directory := p.make(t)
	journal := &log{id: "j"}
	c, err := openFor(t, directory, journal)
	if err != nil {
		t.Fatal(err)
	}
	journal.write(fmt.Sprint(next(t, c)))
	backup := journal.copyOf()
	last := uint64(0)
	for range 10 { // of a block of 16
		last = next(t, c)
		journal.write(fmt.Sprint(last))
	}
	d, err := openFor(t, p.abandoned(t, directory), backup)
	if err != nil {
		t.Fatal(err)
	}
	if n := next(t, d); n <= last {
		t.Errorf("%d was given out before", n)
	}
}

func accept(t *testing.T, p place) {
	directory := p.make(t)
	journal := &log{id: "j"}
	journal.write("plan")
	backup := journal.copyOf()
	c, err := openFor(t, directory, journal)
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		journal.write(fmt.Sprint(next(t, c)))
	}
	last := c.Last()
	if _, err := custody.Accept(directory, originator, backup); !errors.Is(err, custody.ErrInUse) {
		t.Errorf("while they are in use: %v", err)
	}
	c.Close()
	if _, err := custody.Accept(directory, originator, &log{id: "other"}); !errors.Is(err, custody.ErrOtherOwner) {
		t.Errorf("another journal: %v", err)
	}
	missing, err := custody.Accept(directory, originator, backup)
	if err != nil || missing != 100 {
		t.Errorf("%d records are missing, %v", missing, err)
	}
	d, err := openFor(t, directory, backup)
	if err != nil {
		t.Fatal(err)
	}
	if n := next(t, d); n != last+1 {
		t.Errorf("goes on with %d after %d", n, last)
	}
}

func release(t *testing.T, p place) {
	directory := p.make(t)
	c := open(t, directory, options())
	last := next(t, c)
	if _, err := custody.Release(directory, originator, now); !errors.Is(err, custody.ErrInUse) {
		t.Errorf("while they are in use: %v", err)
	}
	c.Close()
	h, err := custody.Release(directory, originator, now)
	if want := (custody.Handback{Originator: originator, LastCounter: last, Journal: owner.id, Released: now}); err != nil || h != want {
		t.Errorf("%+v, %v; want %+v", h, err, want)
	}
	if again, err := custody.Release(directory, originator, now.Add(time.Hour)); err != nil || again != h {
		t.Errorf("a second time: %+v, %v", again, err)
	}
	if _, err := openFor(t, directory, owner); !errors.Is(err, custody.ErrReleased) {
		t.Errorf("open: %v", err)
	}
	if _, err := custody.Accept(directory, originator, owner); !errors.Is(err, custody.ErrReleased) {
		t.Errorf("accept: %v", err)
	}
	if _, err := custody.Release(directory, originator+1, now); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an originator without a file: %v", err)
	}
	marks, err := custody.Read(directory)
	if err != nil || len(marks) != 1 || !marks[0].Released || marks[0].HighWater != last {
		t.Errorf("%+v, %v", marks, err)
	}
}

// TestCustodyMachine walks through all that can happen to counters: they are given
// out, the process ends or dies, the clock steps, backups of the journal or of the
// custody file are restored, a second process tries. No counter is given out twice.
func TestCustodyMachine(t *testing.T) {
	t.Parallel()
	t.Run("folder", func(t *testing.T) {
		t.Parallel()
		walk(t, folders)
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		t.Parallel()
		p := database(t)
		// One engine for all: each walk begins with no file.
		files := p.make(t)
		walk(t, place{make: func(t testing.TB) durable.Files {
			for _, name := range names(t, files) {
				text, err := files.Read(name, safefile.Small, safefile.Own)
				if err := errors.Join(err, files.Replace(name, text, nil)); err != nil {
					t.Fatal(err)
				}
			}
			return files
		}})
	})
}

func walk(whole *testing.T, p place) {
	rapid.Check(whole, func(t *rapid.T) {
		directory := p.make(whole)
		clock := now
		o := custody.Options{Block: rapid.Uint64Range(1, 8).Draw(t, "block"), Now: func() time.Time { return clock }}
		journal := &log{id: "j"}
		copies := []*log{journal.copyOf()}
		var c *custody.Counters
		last := uint64(0)
		name := originator.String() + ".json"
		defer func() {
			if c != nil {
				c.Close()
			}
		}()
		t.Repeat(map[string]func(*rapid.T){
			"open": func(t *rapid.T) {
				opened, err := custody.Open(directory, originator, journal, o)
				switch {
				case c != nil:
					if !errors.Is(err, custody.ErrInUse) {
						t.Fatalf("a second process: %v", err)
					}
				case errors.Is(err, custody.ErrOldJournal):
					if _, err := custody.Accept(directory, originator, journal); err != nil {
						t.Fatal(err)
					}
				case errors.Is(err, custody.ErrFloor): // the clock is far back
				case err != nil:
					t.Fatal(err)
				default:
					c = opened
				}
			},
			"next": func(t *rapid.T) {
				if c == nil {
					t.Skip("closed")
				}
				n, err := c.Next()
				if err != nil {
					t.Fatal(err)
				}
				if n <= last {
					t.Fatalf("%d was given out after %d", n, last)
				}
				last = n
				if rapid.Bool().Draw(t, "durable") {
					journal.write(fmt.Sprint(n))
				}
			},
			"end": func(t *rapid.T) {
				if c == nil {
					t.Skip("closed")
				}
				if err := c.Close(); err != nil {
					t.Fatal(err)
				}
				c = nil
			},
			"die": func(t *rapid.T) {
				if c == nil {
					t.Skip("closed")
				}
				before, err := directory.Read(name, safefile.Small, safefile.Own)
				if err != nil {
					t.Fatal(err)
				}
				c.Close() // gives the lock free; what it writes is taken back
				c = nil
				after, err := directory.Read(name, safefile.Small, safefile.Own)
				if err := errors.Join(err, directory.Replace(name, after, before)); err != nil {
					t.Fatal(err)
				}
			},
			"clock steps": func(t *rapid.T) {
				clock = now.Add(time.Duration(rapid.Int64Range(-90_000, 90_000).Draw(t, "seconds")) * time.Second)
			},
			"back up the journal": func(*rapid.T) { copies = append(copies, journal.copyOf()) },
			"restore the journal": func(t *rapid.T) {
				if c != nil {
					t.Skip("open")
				}
				journal = rapid.SampledFrom(copies).Draw(t, "copy").copyOf()
			},
		})
	})
}

// The file that remembers revocation lists lies beside the custody files and is none. A
// plan and an acceptance after a sweep that had lists read past it.
func TestReadPassesOverRevocationLists(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "revocation-lists.json"), []byte(`{"9d41":{"number":7}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if marks, err := custody.Read(durable.Folder(dir)); err != nil || len(marks) != 0 {
		t.Errorf("%v, %v", marks, err)
	}
}
