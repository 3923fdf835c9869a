package engine

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"safemode/engine/checkpoint"
	"safemode/engine/direction"
	"safemode/engine/journal"
	"safemode/engine/journal/store/pgtest"
	"safemode/engine/plan"
	"safemode/engine/record"
)

// A start that takes back what it has written notes nothing: the next begins the same journal
// again. One that runs does, and a database that lacks the record, or has another in its place,
// is refused then; another journal is not.
func TestSeenOfAJournal(t *testing.T) {
	t.Parallel()
	at, folder := pgtest.Start(t, "fsync=off").Address("winter"), t.TempDir()
	id := strings.Repeat("ab", 16)
	begin := func(id string, codes ...string) *Engine {
		t.Helper()
		e := newEngine(Options{Plan: &plan.Plan{Header: plan.Header{Journal: id}}, Journal: at, CustodyDir: folder, Log: zap.NewNop(), Gates: &direction.Gates{}})
		var err error
		if err = e.openSeen(); err != nil {
			t.Fatal(err)
		}
		if e.journal, err = journal.Open(at, journal.Options{ID: id}); err != nil {
			t.Fatal(err)
		}
		for _, code := range codes {
			if err := e.journal.Commit(t.Context(), record.Record{At: time.Now(), Kind: record.Planned, Code: code}); err != nil {
				t.Fatal(err)
			}
		}
		return e
	}
	takenBack := func(e *Engine) {
		t.Helper()
		if err := errors.Join(e.undo(), e.Close()); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(folder, "winter.tip")
	takenBack(begin(id, "one", "two"))
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a start that came to nothing has left %s: %v", path, err)
	}

	e := begin(id, "one", "two")
	e.seeNow()
	if err := e.holdSeen(); err != nil || e.seen.Last().Seq != 2 {
		t.Errorf("record %d, %v", e.seen.Last().Seq, err)
	}
	takenBack(e)
	for _, c := range []struct {
		id    string
		codes []string
		want  error
	}{
		{id, nil, journal.ErrLacking},
		{id, []string{"one"}, journal.ErrLacking},
		{id, []string{"one", "another"}, journal.ErrLacking},
		{strings.Repeat("cd", 16), []string{"one"}, nil},
	} {
		e := begin(c.id, c.codes...)
		if err := e.holdSeen(); !errors.Is(err, c.want) || (c.want != nil) != errors.Is(err, ErrRefused) {
			t.Errorf("%v: %v", c.codes, err)
		}
		takenBack(e)
	}
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := newEngine(Options{Plan: &plan.Plan{}, Journal: at, CustodyDir: folder, Gates: &direction.Gates{}}).openSeen(); !errors.Is(err, ErrRefused) {
		t.Errorf("a file that cannot be read: %v", err)
	}
}

// A journal that cannot be read now lacks nothing: nobody is told to go on without what was sent.
func TestSeenOfAJournalThatCannotBeRead(t *testing.T) {
	folder := t.TempDir()
	j, err := journal.Open(filepath.Join(folder, "journal.db"), journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Commit(t.Context(), record.Record{At: time.Now(), Kind: record.Planned}); err != nil {
		t.Fatal(err)
	}
	e := newEngine(Options{Plan: &plan.Plan{}, Log: zap.NewNop(), Gates: &direction.Gates{}})
	e.journal = j
	if e.seen, err = checkpoint.OpenSeen(filepath.Join(folder, "winter.tip")); err != nil {
		t.Fatal(err)
	}
	e.seeNow()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if err := e.holdSeen(); err == nil || errors.Is(err, journal.ErrLacking) || strings.Contains(err.Error(), "approve") {
		t.Errorf("it says %v", err)
	}
}
