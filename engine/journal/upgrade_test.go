package journal_test

import (
	"bytes"
	"compress/gzip"
	"database/sql"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"safemode/engine/journal"
)

// olderJournal is a journal of version 2: an interrupted rehearsal of 16 meters.
func olderJournal(t *testing.T) string {
	t.Helper()
	packed, err := os.Open("../testdata/older/journal.db.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer packed.Close()
	unpacked, err := gzip.NewReader(packed)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(unpacked)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "older.db")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A journal of version 2 is refused with the remedy, and is converted to one of this version
// with the same ID, records, hashes and state.
func TestUpgrade(t *testing.T) {
	older, path := olderJournal(t), filepath.Join(t.TempDir(), "journal.db")
	for _, open := range []func() (*journal.Journal, error){
		func() (*journal.Journal, error) { return journal.OpenReadOnly(older) },
		func() (*journal.Journal, error) { return journal.Open(older, journal.Options{}) },
	} {
		if _, err := open(); !errors.Is(err, journal.ErrVersion) || !strings.Contains(err.Error(), "safemode journal upgrade") {
			t.Errorf("%v", err)
		}
	}
	before, err := os.ReadFile(older)
	if err != nil {
		t.Fatal(err)
	}
	tip, err := journal.Upgrade(t.Context(), older, path)
	if err != nil {
		t.Fatal(err)
	}
	if after, err := os.ReadFile(older); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the older file was changed (%v)", err)
	}
	j := open(t, path)
	if j.Tip() != tip {
		t.Errorf("%v, said was %v", j.Tip(), tip)
	}
	if err := j.Verify(t.Context()); err != nil {
		t.Error(err)
	}
	db, err := sql.Open("sqlite", older)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.Query("SELECT seq, at, kind, device, originator, target, counter, code, body, hash FROM record ORDER BY seq")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	n := uint64(0)
	for ; rows.Next(); n++ {
		var seq, at, device, originator, target, counter int64
		var kind, code string
		var body, hash []byte
		if err := rows.Scan(&seq, &at, &kind, &device, &originator, &target, &counter, &code, &body, &hash); err != nil {
			t.Fatal(err)
		}
		if is, err := j.HashAt(uint64(seq)); err != nil || !bytes.Equal(is[:], hash) {
			t.Fatalf("record %d: hash %x, was %x, %v", seq, is, hash, err)
		}
		if seq == 0 {
			if string(body) != j.ID() {
				t.Errorf("ID %s, was %s", j.ID(), body)
			}
			continue
		}
		r, err := j.At(t.Context(), uint64(seq))
		if err != nil || r.At.UnixNano() != at || r.Kind.String() != kind || int64(r.Device) != device || int64(r.ID.Originator) != originator ||
			int64(r.ID.Target) != target || int64(r.ID.Counter) != counter || r.Code != code || !bytes.Equal(r.Body, body) {
			t.Fatalf("record %d: %+v, %v", seq, r, err)
		}
	}
	if err := rows.Err(); err != nil || n != tip.Seq+1 || n < 400 {
		t.Errorf("%d records, %v", n, err)
	}
	if rows, _, err := j.State(t.Context()); err != nil || len(rows) == 0 {
		t.Errorf("%d rows of state, %v", len(rows), err)
	}
	commit(t, j, sent(1)) // it goes on

	if _, err := journal.Upgrade(t.Context(), older, path); !errors.Is(err, os.ErrExist) {
		t.Errorf("over a journal: %v", err)
	}
	if _, err := journal.Upgrade(t.Context(), path, filepath.Join(t.TempDir(), "again.db")); !errors.Is(err, journal.ErrVersion) {
		t.Errorf("of today: %v", err)
	}
}

// A conversion does not hide changes of an older journal: it makes none.
func TestUpgradeRefusesADamagedJournal(t *testing.T) {
	for name, c := range map[string]struct{ sql, says string }{
		"altered":      {"UPDATE record SET body = x'00' WHERE seq = 200", "record 200: altered"},
		"removed":      {"DELETE FROM record WHERE seq = 200", "record 200: missing"},
		"hash":         {"UPDATE record SET hash = zeroblob(32) WHERE seq = 200", "record 200: altered"},
		"unknown kind": {"UPDATE record SET kind = 'rumour' WHERE seq = 200", `record 200: kind "rumour"`},
		"cut":          {"DELETE FROM record WHERE seq > 200", "record 200: not the last"},
		"cut, tip too": {"DELETE FROM record WHERE seq > 200; UPDATE tip SET seq = 200", "record 200: not the last"},
		"tip back":     {"UPDATE tip SET seq = 200", "record 201: added"},
		"tip gone":     {"DELETE FROM tip", "the tip is missing"},
		"ID":           {"UPDATE record SET body = x'00' WHERE seq = 0", "record 0: altered"},
		"a table more": {"CREATE TABLE more (x)", "more is not in the schema"},
	} {
		t.Run(name, func(t *testing.T) {
			older := olderJournal(t)
			execute(t, older, c.sql)
			to := filepath.Join(t.TempDir(), "journal.db")
			_, err := journal.Upgrade(t.Context(), older, to)
			if !errors.Is(err, journal.ErrDamaged) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, want %q", err, c.says)
			}
			if left := folderOf(t, to); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// A copy is of one moment, in the same segments, with the kept state, and goes on.
func TestCopy(t *testing.T) {
	path := inSegments(t, 100, 7)
	j := open(t, path)
	j.Keep(kept, rowsOf("first", "second"))
	commit(t, j, sent(101))
	to := filepath.Join(t.TempDir(), "copy.db")
	tip, err := journal.Copy(t.Context(), path, to)
	if err != nil {
		t.Fatal(err)
	}
	c := open(t, to)
	if c.ID() != j.ID() || c.Tip() != j.Tip() || c.Tip() != tip {
		t.Errorf("%s %v, said was %v", c.ID(), c.Tip(), tip)
	}
	if diff := cmp.Diff(read(t, j, 1), read(t, c, 1)); diff != "" {
		t.Error(diff)
	}
	if got, _, err := c.State(t.Context()); err != nil || len(got) != 2 {
		t.Errorf("state %v, %v", got, err)
	}
	if err := c.Verify(t.Context()); err != nil {
		t.Error(err)
	}
	before, _, err := journal.Segments(path)
	if err != nil {
		t.Fatal(err)
	}
	after, _, err := journal.Segments(to)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, after); diff != "" {
		t.Error("other segments:", diff)
	}
	commit(t, c, sent(102))
	if _, err := journal.Copy(t.Context(), path, to); !errors.Is(err, os.ErrExist) {
		t.Errorf("over a journal: %v", err)
	}
	execute(t, path, "UPDATE segment SET sum = zeroblob(32) WHERE first = 50")
	to = filepath.Join(t.TempDir(), "copy.db")
	if _, err := journal.Copy(t.Context(), path, to); !errors.Is(err, journal.ErrDamaged) || len(folderOf(t, to)) > 0 {
		t.Errorf("of a damaged one: %v, left are %v", err, folderOf(t, to))
	}
}
