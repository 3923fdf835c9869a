package audit_test

import (
	"bytes"
	"database/sql"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"safemode/engine/audit"
	"safemode/engine/journal"
	"safemode/engine/record"
	"safemode/servicerequests"
)

// every is 1 for .ci/run. A step of 5 meets every page of the file and every column.
var every = flag.Int("every", 5, "of the bytes that are changed one at a time each so-manieth is; .ci/run takes 1")

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

// smallSegments is how many segments the records make, beside the one that makes the journal;
// their first records are 1, 4 and 7.
const (
	smallSegments = 3
	segmentSize   = 3
)

// bench is a small journal's bytes, to be changed again and again.
type bench struct {
	path  string
	whole []byte
	rows  []string // of the segments, as they were written
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{path: filepath.Join(t.TempDir(), "journal.db")}
	j, err := journal.Open(b.path, journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for batch := range slices.Chunk(smallRecords(), segmentSize) {
		if err := j.Commit(t.Context(), batch...); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if b.whole, err = os.ReadFile(b.path); err != nil {
		t.Fatal(err)
	}
	if b.rows, err = b.read(t); err != nil || len(b.rows) != smallSegments+1 {
		t.Fatalf("%d segments, %v", len(b.rows), err)
	}
	return b
}

// first is the first record of a segment.
func first(number int) int {
	if number == 0 {
		return 0
	}
	return (number-1)*segmentSize + 1
}

func (b *bench) open(t *testing.T) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+b.path+"?_pragma=synchronous(off)&_pragma=journal_mode(off)")
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// read gives the segments as text, in order. What cannot be read is an error.
func (b *bench) read(t *testing.T) (rows []string, err error) {
	t.Helper()
	db := b.open(t)
	defer db.Close()
	all, err := db.Query(`SELECT first || '|' || last || '|' || number || '|' || earliest || '|' || latest || '|' || kinds || '|' || quote(before)
		|| '|' || quote(after) || '|' || packing || '|' || quote(sum) || '|' || quote(body) FROM segment ORDER BY first`)
	if err != nil {
		return nil, err
	}
	defer all.Close()
	for all.Next() {
		var text string
		if err := all.Scan(&text); err != nil {
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

// wantNamed wants a record of a segment named.
func (b *bench) wantNamed(t *testing.T, what string, number int) {
	t.Helper()
	if named, r := b.names(t); named < first(number) || named >= first(number+1) || r.Proven {
		t.Errorf("%s: record %d is named, want one of segment %d", what, named, number)
	}
}

// Every single byte of every column of every segment, changed in one bit, is found, and
// the audit names that segment by its first record, or by the first that is not as it was.
func TestEveryByteOfEverySegment(t *testing.T) {
	b := newBench(t)
	if named, _ := b.names(t); named != -1 {
		t.Fatalf("the journal is to be whole, record %d is named", named)
	}
	changed := 0
	for number := 0; number <= smallSegments; number++ {
		for _, column := range []string{"first", "last", "number", "earliest", "latest", "kinds", "packing"} {
			for shift := 0; shift < 64; shift += 8 {
				flip := int64(uint64(1) << (shift + number%8))
				// SQLite has no exclusive or of its own.
				if err := b.change(t, "UPDATE segment SET "+column+" = ("+column+" | ?1) - ("+column+" & ?1) WHERE first = ?2", flip, first(number)); err != nil {
					if column != "first" {
						t.Fatal(err)
					}
					continue // that number is taken
				}
				b.wantNamed(t, fmt.Sprintf("segment %d, %s, byte %d", number, column, shift/8), number)
				changed++
			}
		}
		for _, column := range []string{"before", "after", "sum", "body"} {
			was := b.cell(t, number, column)
			for i := number % *every; i < len(was); i += *every {
				is := bytes.Clone(was)
				is[i] ^= 1 << ((i + number) % 8)
				if err := b.change(t, "UPDATE segment SET "+column+" = ?1 WHERE first = ?2", is, first(number)); err != nil {
					t.Fatal(err)
				}
				b.wantNamed(t, fmt.Sprintf("segment %d, %s, byte %d", number, column, i), number)
				changed++
			}
			for _, is := range [][]byte{nil, was[:len(was)-1], was[1:], append(bytes.Clone(was), 0)} { // cut, and added to
				if err := b.change(t, "UPDATE segment SET "+column+" = coalesce(?1, x'') WHERE first = ?2", is, first(number)); err != nil {
					t.Fatal(err)
				}
				b.wantNamed(t, fmt.Sprintf("segment %d, %s of %d bytes", number, column, len(is)), number)
			}
		}
	}
	t.Logf("%d bytes of %d segments were changed, one at a time", changed, smallSegments+1)
}

func (b *bench) cell(t *testing.T, number int, column string) (value []byte) {
	t.Helper()
	if err := b.change(t, "SELECT 1"); err != nil {
		t.Fatal(err)
	}
	db := b.open(t)
	defer db.Close()
	if err := db.QueryRow("SELECT "+column+" FROM segment WHERE first = ?", first(number)).Scan(&value); err != nil {
		t.Fatal(err)
	}
	return value
}

// Every segment removed, each also with the gap closed, every two swapped, and every
// number changed in one bit: the audit names the first record that is not what it was.
func TestEverySegmentRemovedOrSwapped(t *testing.T) {
	b := newBench(t)
	for number := 1; number <= smallSegments; number++ {
		if err := b.change(t, "DELETE FROM segment WHERE first = ?", first(number)); err != nil {
			t.Fatal(err)
		}
		b.wantNamed(t, fmt.Sprintf("segment %d removed", number), number)

		closeUp := fmt.Sprintf("DELETE FROM segment WHERE first = %d;", first(number))
		for later := number + 1; later <= smallSegments; later++ {
			closeUp += fmt.Sprintf("UPDATE segment SET first = first - 3, last = last - 3, number = number - 1 WHERE first = %d;", first(later))
		}
		want := number
		if number == smallSegments {
			want = number - 1 // nothing follows; the tip knows that it was not the last
		}
		if err := b.change(t, closeUp+"UPDATE tip SET seq = seq - 3, number = number - 1"); err != nil {
			t.Fatal(err)
		}
		b.wantNamed(t, fmt.Sprintf("segment %d removed and closed up", number), want)

		for other := number + 1; other <= smallSegments; other++ {
			swap := fmt.Sprintf("UPDATE segment SET first = -1 WHERE first = %[1]d; UPDATE segment SET first = %[1]d WHERE first = %[2]d; UPDATE segment SET first = %[2]d WHERE first = -1", first(number), first(other))
			if err := b.change(t, swap); err != nil {
				t.Fatal(err)
			}
			b.wantNamed(t, fmt.Sprintf("segments %d and %d swapped", number, other), number)
		}
		for bit := range 63 {
			moved := first(number) ^ 1<<bit
			if b.change(t, "UPDATE segment SET first = ? WHERE first = ?", moved, first(number)) != nil {
				continue // that number is taken
			}
			// One that is moved to before another is named where it stands.
			b.wantNamed(t, fmt.Sprintf("segment %d moved to record %d", number, moved), min(number, (moved-1)/segmentSize+2))
		}
	}
	if err := b.change(t, "DELETE FROM segment WHERE first = 0"); err != nil {
		t.Fatal(err)
	}
	b.wantNamed(t, "segment 0 removed", 0)
}

// Every byte of the file that is not 0, changed in one bit: what the records say is as
// it was, or the audit does not call the journal whole. Where a record reads otherwise
// than it was written, it is the one that is named.
func TestEveryByteOfTheFile(t *testing.T) {
	if testing.Short() {
		t.Skip("some thousand audits: left out by -short")
	}
	b := newBench(t)
	set, changed, harmless, refused := 0, 0, 0, 0
	for i, was := range b.whole {
		if was == 0 {
			continue
		}
		if set++; set%*every != 0 {
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
		number := 0
		for number < len(rows) && number < len(b.rows) && rows[number] == b.rows[number] {
			number++
		}
		same := unreadable == nil && len(rows) == len(b.rows) && number == len(rows)
		sound := true
		for _, c := range r.Claims[:3] {
			sound = sound && c.Status == audit.Proven
		}
		switch {
		case same && sound:
			harmless++
		case sound:
			t.Errorf("byte %d: segment %d is not what it was, and the audit finds the journal whole", i, number)
		case !same && unreadable == nil:
			if named, _ := b.names(t); named < first(number) || named >= first(number+1) {
				t.Errorf("byte %d: record %d is named, segment %d is the first that is not what it was", i, named, number)
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
			fmt.Sprintf("DELETE FROM segment WHERE first > %d", kept),
			fmt.Sprintf("UPDATE tip SET (number, seq, hash) = (SELECT number, last, after FROM segment WHERE last = %d)", kept))
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
