package custody_test

import (
	"fmt"
	"os"
	"sync/atomic"
	"testing"

	"safemode/engine/custody"
	"safemode/engine/durable"
	"safemode/engine/journal/store"
	"safemode/engine/journal/store/pgtest"
	"safemode/servicerequests/safefile"
)

// TestMain has all custodies in databases lie in one.
func TestMain(m *testing.M) { os.Exit(pgtest.M{M: m}.Run()) }

// place is where custodies lie, for tests.
type place struct {
	make func(t testing.TB) durable.Files // a new one, as the engine that uses it has it
	// abandoned is a copy of one as it is now: what a process finds after one that never closed
	// its counters.
	abandoned func(t testing.TB, files durable.Files) durable.Files
}

// folders are custodies in folders.
var folders = place{
	make: func(t testing.TB) durable.Files { return durable.Folder(t.TempDir()) },
	abandoned: func(t testing.TB, files durable.Files) durable.Files {
		return durable.Folder(abandoned(t, string(files.(durable.Folder))))
	},
}

// database are custodies in a database, each of an engine of its own.
func database(t *testing.T) place {
	c := pgtest.Fresh(t)
	var made atomic.Int64
	var p place
	p.make = func(t testing.TB) durable.Files {
		n := made.Add(1)
		at := fmt.Sprintf("%s&custody=c%d", c.Database(), n)
		if err := store.MakeFiles(t.Context(), at); err != nil {
			t.Fatal(err)
		}
		j, err := store.Open(t.Context(), c.Address(fmt.Sprintf("s%d", n)), store.Options{Write: true})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = j.Close() })
		files, err := j.Files(at)
		if err != nil {
			t.Fatal(err)
		}
		return files
	}
	p.abandoned = func(t testing.TB, files durable.Files) durable.Files {
		dead := p.make(t)
		for _, name := range names(t, files) {
			text, err := files.Read(name, safefile.Small, safefile.Own)
			if err != nil {
				t.Fatal(err)
			}
			if err := dead.Replace(name, nil, text); err != nil {
				t.Fatal(err)
			}
		}
		return dead
	}
	return p
}

// names are the files that are there, but for locks.
func names(t testing.TB, files durable.Files) (all []string) {
	t.Helper()
	found, err := files.Names()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range found {
		if custody.Holds(name) {
			all = append(all, name)
		}
	}
	return all
}

// abandoned returns a copy of a folder.
func abandoned(t testing.TB, directory string) string {
	t.Helper()
	dead := t.TempDir()
	if err := os.CopyFS(dead, os.DirFS(directory)); err != nil {
		t.Fatal(err)
	}
	return dead
}

// TestPromises checks the promises of a custody for each place.
func TestPromises(t *testing.T) {
	t.Parallel()
	suite := []struct {
		name string
		test func(t *testing.T, p place)
	}{
		{"counters go on after a close", goOnAfterClose},
		{"a crash repeats nothing", crashRepeatsNothing},
		{"a restored backup repeats nothing", restoredBackupRepeatsNothing},
		{"many ask at once", concurrentNext},
		{"the floor", floor},
		{"one user", oneUser},
		{"a check takes nothing", checkTakesNothing},
		{"what is discarded is given back", discardGivesBack},
		{"the book is kept", bookIsKept},
		{"a copy is refused", copyIsRefused},
		{"a book of two processes", bookOfTwoProcesses},
		{"taken over from the named journal", takenOverFromTheNamedJournal},
		{"an older journal is refused", olderJournalIsRefused},
		{"a copy within a block is skipped past", copyWithinABlockIsSkippedPast},
		{"an older journal is accepted", accept},
		{"handed back", release},
	}
	for _, where := range [...]struct {
		name string
		at   func(t *testing.T) place
	}{{"folder", func(*testing.T) place { return folders }}, {"PostgreSQL", database}} {
		t.Run(where.name, func(t *testing.T) {
			t.Parallel()
			p := where.at(t)
			for _, c := range suite {
				t.Run(c.name, func(t *testing.T) { c.test(t, p) })
			}
		})
	}
}
