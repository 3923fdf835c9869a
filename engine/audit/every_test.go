package audit_test

import (
	"bytes"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"safemode/engine/audit"
	"safemode/engine/journal"
	"safemode/engine/record"
	"safemode/servicerequests"
)

// smallRecords are records in which no column is always empty.
func smallRecords() (records []record.Record) {
	const meter, ours = 0x00DB12E000000001, 0x90B3D51F30010000
	for i := range 4 {
		id := servicerequests.RequestID{Originator: ours, Target: meter, Counter: uint64(1000 + i)}
		at := time.Date(2026, 11, 25, 16, 0, i, 123456789, time.UTC)
		records = append(records,
			record.Record{At: at, Kind: record.Request, Device: meter, Service: servicerequests.ReadSupplyStatus, ID: id, Body: fmt.Appendf(nil, "<Request n='%d'/>", i)},
			record.Record{At: at.Add(time.Second), Kind: record.Reply, Device: meter, Service: servicerequests.ReadSupplyStatus, ID: id, Code: "I99", Body: []byte("<Acknowledgement/>")},
		)
	}
	return append(records, record.Record{At: time.Date(2026, 11, 25, 17, 0, 0, 0, time.UTC), Kind: record.Alert, Device: meter, Code: "8F0F"})
}

const smallJournal = 9 // records, beside the one that makes the journal

// bench is a small journal's bytes, to be changed again and again.
type bench struct {
	path  string
	whole []byte
	rows  []string // by seq, as they were written
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{path: filepath.Join(t.TempDir(), "journal.db")}
	j, err := journal.Open(b.path, journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Commit(t.Context(), smallRecords()...); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if b.whole, err = os.ReadFile(b.path); err != nil {
		t.Fatal(err)
	}
	if b.rows, err = b.read(t); err != nil || len(b.rows) != smallJournal+1 {
		t.Fatalf("%d rows, %v", len(b.rows), err)
	}
	return b
}

func (b *bench) open(t *testing.T) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+b.path+"?_pragma=synchronous(off)&_pragma=journal_mode(off)")
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// read gives the rows as text, by their seq. What cannot be read is an error.
func (b *bench) read(t *testing.T) (rows []string, err error) {
	t.Helper()
	db := b.open(t)
	defer db.Close()
	all, err := db.Query(`SELECT seq, seq || '|' || at || '|' || quote(kind) || '|' || device || '|' || quote(srv) || '|' || originator
		|| '|' || target || '|' || counter || '|' || quote(code) || '|' || quote(body) || '|' || quote(hash) FROM record ORDER BY seq`)
	if err != nil {
		return nil, err
	}
	defer all.Close()
	for all.Next() {
		var seq int
		var text string
		if err := all.Scan(&seq, &text); err != nil {
			return rows, err
		}
		rows = append(rows, text)
	}
	return rows, all.Err()
}

// change puts the whole journal back and runs a statement on it.
func (b *bench) change(t *testing.T, statement string, args ...any) error {
	t.Helper()
	if err := os.WriteFile(b.path, b.whole, 0o600); err != nil {
		t.Fatal(err)
	}
	db := b.open(t)
	defer db.Close()
	_, err := db.Exec(statement, args...)
	return err
}

// names is the record that the audit names first, -1 if it finds the chain whole.
func (b *bench) names(t *testing.T) (record int, report *audit.Report) {
	t.Helper()
	r, err := audit.Run(t.Context(), audit.Options{Journal: b.path})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range r.Claims {
		if c.Name != "chain" || c.Status == audit.Proven {
			continue
		}
		number, _, _ := strings.Cut(strings.TrimPrefix(c.Faults[0], "record "), ":")
		if record, err = strconv.Atoi(number); err != nil {
			t.Fatalf("no record is named: %q", c.Faults)
		}
		return record, r
	}
	return -1, r
}

func (b *bench) wantNamed(t *testing.T, what string, record int) {
	t.Helper()
	if named, r := b.names(t); named != record || r.Proven {
		t.Errorf("%s: record %d is named, want %d", what, named, record)
	}
}

// Every single byte of every column of every record, changed in one bit, is found, and
// the audit names that record.
func TestEveryByteOfEveryRecord(t *testing.T) {
	b := newBench(t)
	if named, _ := b.names(t); named != -1 {
		t.Fatalf("the journal is to be whole, record %d is named", named)
	}
	changed := 0
	for seq := 0; seq <= smallJournal; seq++ {
		for _, column := range []string{"at", "device", "originator", "target", "counter"} {
			for shift := 0; shift < 64; shift += 8 {
				flip := int64(uint64(1) << (shift + seq%8))
				// SQLite has no exclusive or of its own.
				if err := b.change(t, "UPDATE record SET "+column+" = ("+column+" | ?1) - ("+column+" & ?1) WHERE seq = ?2", flip, seq); err != nil {
					t.Fatal(err)
				}
				b.wantNamed(t, fmt.Sprintf("record %d, %s, byte %d", seq, column, shift/8), seq)
				changed++
			}
		}
		for _, column := range []string{"kind", "srv", "code", "body", "hash"} {
			was := b.cell(t, seq, column)
			for i := range was {
				is := bytes.Clone(was)
				is[i] ^= 1 << ((i + seq) % 8)
				cast := "?1"
				if column != "body" && column != "hash" {
					cast = "CAST(?1 AS TEXT)"
				}
				if err := b.change(t, "UPDATE record SET "+column+" = "+cast+" WHERE seq = ?2", is, seq); err != nil {
					t.Fatal(err)
				}
				b.wantNamed(t, fmt.Sprintf("record %d, %s, byte %d", seq, column, i), seq)
				changed++
			}
		}
	}
	t.Logf("%d bytes of %d records were changed, one at a time", changed, smallJournal+1)
}

func (b *bench) cell(t *testing.T, seq int, column string) (value []byte) {
	t.Helper()
	if err := b.change(t, "SELECT 1"); err != nil {
		t.Fatal(err)
	}
	db := b.open(t)
	defer db.Close()
	if err := db.QueryRow("SELECT CAST("+column+" AS BLOB) FROM record WHERE seq = ?", seq).Scan(&value); err != nil {
		t.Fatal(err)
	}
	return value
}

// Every record removed, each also with the gap closed, every two swapped, and every
// number changed in one bit: the audit names the first record that is not what it was.
func TestEveryRecordRemovedOrSwapped(t *testing.T) {
	b := newBench(t)
	for seq := 1; seq <= smallJournal; seq++ {
		if err := b.change(t, "DELETE FROM record WHERE seq = ?", seq); err != nil {
			t.Fatal(err)
		}
		b.wantNamed(t, fmt.Sprintf("record %d removed", seq), seq)

		closeUp := fmt.Sprintf("DELETE FROM record WHERE seq = %d;", seq)
		for later := seq + 1; later <= smallJournal; later++ {
			closeUp += fmt.Sprintf("UPDATE record SET seq = %d WHERE seq = %d;", later-1, later)
		}
		want := seq
		if seq == smallJournal {
			want = seq - 1 // nothing follows; the tip knows that it was not the last
		}
		if err := b.change(t, closeUp+"UPDATE tip SET seq = seq - 1"); err != nil {
			t.Fatal(err)
		}
		b.wantNamed(t, fmt.Sprintf("record %d removed and closed up", seq), want)

		for other := seq + 1; other <= smallJournal; other++ {
			swap := fmt.Sprintf("UPDATE record SET seq = -1 WHERE seq = %d; UPDATE record SET seq = %d WHERE seq = %d; UPDATE record SET seq = %d WHERE seq = -1", seq, seq, other, other)
			if err := b.change(t, swap); err != nil {
				t.Fatal(err)
			}
			b.wantNamed(t, fmt.Sprintf("records %d and %d swapped", seq, other), seq)
		}
		for bit := range 63 {
			moved := seq ^ 1<<bit
			if b.change(t, "UPDATE record SET seq = ? WHERE seq = ?", moved, seq) != nil {
				continue // that number is taken
			}
			b.wantNamed(t, fmt.Sprintf("record %d renumbered %d", seq, moved), seq)
		}
	}
	if err := b.change(t, "DELETE FROM record WHERE seq = 0"); err != nil {
		t.Fatal(err)
	}
	b.wantNamed(t, "record 0 removed", 0)
}

// Every byte of the file that is not 0, changed in one bit: what the records say is as
// it was, or the audit does not call the journal whole. Where a record reads otherwise
// than it was written, it is the one that is named.
func TestEveryByteOfTheFile(t *testing.T) {
	if testing.Short() {
		t.Skip("some thousand audits: left out by -short")
	}
	b := newBench(t)
	changed, harmless, refused := 0, 0, 0
	for i, was := range b.whole {
		if was == 0 {
			continue
		}
		changed++
		file := bytes.Clone(b.whole)
		file[i] ^= 1 << (i % 8)
		if err := os.WriteFile(b.path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := audit.Run(t.Context(), audit.Options{Journal: b.path})
		if err != nil {
			refused++ // no journal any more, or not one of this version
			continue
		}
		rows, unreadable := b.read(t)
		first := 0
		for first < len(rows) && first < len(b.rows) && rows[first] == b.rows[first] {
			first++
		}
		same := unreadable == nil && len(rows) == len(b.rows) && first == len(rows)
		sound := true
		for _, c := range r.Claims[:3] {
			sound = sound && c.Status == audit.Proven
		}
		switch {
		case same && sound:
			harmless++
		case sound:
			t.Errorf("byte %d: record %d is not what it was, and the audit finds the journal whole", i, first)
		case !same && unreadable == nil:
			if named, _ := b.names(t); named != first {
				t.Errorf("byte %d: record %d is named, %d is the first that is not what it was", i, named, first)
			}
		}
	}
	if harmless*5 > changed { // file change counter, schema cookie and the like
		t.Errorf("%d of %d changes touch nothing that a record says", harmless, changed)
	}
	t.Logf("%d bytes were changed, one at a time: %d make it no journal, %d change nothing that it says", changed, refused, harmless)
}

// A journal cut back to any older state has a chain that holds; a note of a later state
// says that it was cut.
func TestEveryOlderStateIsCaught(t *testing.T) {
	for kept := range 20 {
		o := pinnedJournal(t)
		exec(t, o.Journal,
			fmt.Sprintf("DELETE FROM record WHERE seq > %d", kept),
			fmt.Sprintf("UPDATE tip SET seq = %d, hash = (SELECT hash FROM record WHERE seq = %d)", kept, kept))
		c := pinsClaim(t, o)
		faults := uint64(1)
		if kept < 10 {
			faults = 2
		}
		if c.Status != audit.Disproven || c.Faulty != faults || !strings.Contains(c.Faults[faults-1], "it was cut back, or is damaged") {
			t.Errorf("cut back to %d records: %+v", kept, c)
		}
	}
}
