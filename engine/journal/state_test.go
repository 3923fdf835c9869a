package journal_test

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"safemode/engine/journal"
	"safemode/engine/record"
)

var kept = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

// A state is what was kept last, with the records before it, however the journal was
// closed and opened meanwhile.
func TestState(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		path := filepath.Join(t.TempDir(), fmt.Sprint(time.Now().UnixNano())+".db")
		j, err := journal.Open(path, journal.Options{})
		if err != nil {
			rt.Fatal(err)
		}
		defer func() { _ = j.Close() }()
		var model [][]byte
		var vouched uint64
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			switch rapid.IntRange(0, 3).Draw(rt, "step") {
			case 0:
				j.Append(sent(1))
			case 1:
				if err := j.Close(); err != nil {
					rt.Fatal(err)
				}
				if j, err = journal.Open(path, journal.Options{}); err != nil {
					rt.Fatal(err)
				}
				_, _, _ = j.State(t.Context())
			default:
				if len(model) > 0 && rapid.Bool().Draw(rt, "read before") {
					_, _, _ = j.State(t.Context())
				}
				var rows []record.StateRow
				n := rapid.IntRange(max(1, len(model)), len(model)+3).Draw(rt, "rows")
				for row := range n {
					if row < len(model) && rapid.Bool().Draw(rt, "unchanged") {
						continue
					}
					value := rapid.SliceOf(rapid.Byte()).Draw(rt, "value")
					rows = append(rows, record.StateRow{Row: row, Value: append([]byte{}, value...)})
					if row < len(model) {
						model[row] = value
					} else {
						model = append(model, value)
					}
				}
				j.Keep(kept, rows)
				vouched = j.Last()
			}
		}
		if err := j.Commit(t.Context()); err != nil {
			rt.Fatal(err)
		}
		rows, r, err := j.State(t.Context())
		if vouched == 0 {
			if !errors.Is(err, journal.ErrState) {
				rt.Fatalf("none was kept: %v", err)
			}
			return
		}
		if err != nil || r.Seq != vouched || len(rows) != len(model) {
			rt.Fatalf("%d rows by record %d, %v; want %d by %d", len(rows), r.Seq, err, len(model), vouched)
		}
		for i, row := range rows {
			if row.Row != i || !bytes.Equal(row.Value, model[i]) {
				rt.Fatalf("row %d is %x, want %x", row.Row, row.Value, model[i])
			}
		}
		if err := j.Verify(t.Context()); err != nil {
			rt.Fatal(err)
		}
	})
}

// Every change of the rows, or of the record that proves them, is noticed, and the next Keep
// makes the state whole again.
func TestAlteredState(t *testing.T) {
	for name, change := range map[string]string{
		"a byte":          "UPDATE state SET value = x'00' WHERE row = 1",
		"a row gone":      "DELETE FROM state WHERE row = 2",
		"a row in front":  "INSERT INTO state VALUES (-1, x'00')",
		"a row behind":    "INSERT INTO state VALUES (3, x'00')",
		"two rows change": "UPDATE state SET row = CASE row WHEN 1 THEN 5 ELSE 1 END WHERE row > 0 AND row < 2; UPDATE state SET row = 1 WHERE row = 2; UPDATE state SET row = 2 WHERE row = 5",
		"the whole table": "DELETE FROM state",
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "journal.db")
			j := open(t, path)
			rows := rowsOf("first", "second", "third")
			j.Keep(kept, rows)
			if err := j.Close(); err != nil {
				t.Fatal(err)
			}
			execute(t, path, change)
			j = open(t, path)
			if _, _, err := j.State(t.Context()); !errors.Is(err, journal.ErrState) {
				t.Fatalf("got %v", err)
			}
			if err := j.Verify(t.Context()); err != nil {
				t.Errorf("the records are whole: %v", err)
			}
			j.Keep(kept, rows)
			if err := j.Commit(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got, _, err := j.State(t.Context()); err != nil || len(got) != 3 {
				t.Errorf("kept again: %v, %v", got, err)
			}
		})
	}
}

func TestLatest(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	j := open(t, path)
	if r, err := j.Latest(t.Context(), record.Opened); err != nil || r.Seq != 0 {
		t.Fatalf("got %v, %v", r, err)
	}
	opened := record.Record{At: kept, Kind: record.Opened, Body: record.Encode(record.Opening{SweepID: "1"})}
	if err := j.Commit(t.Context(), opened, sent(1), opened, sent(2)); err != nil {
		t.Fatal(err)
	}
	commit(t, j, sent(3)) // the end holds whatever is done to what is before
	r, err := j.Latest(t.Context(), record.Opened)
	if err != nil || r.Seq != 3 || r.Kind != record.Opened {
		t.Errorf("got %v, %v", r, err)
	}
	if r, err := j.Latest(t.Context(), record.Closed); err != nil || r.Seq != 0 {
		t.Errorf("got %v, %v", r, err)
	}
	for _, c := range []struct {
		after, before uint64
		want          []uint64
	}{{0, 100, []uint64{3, 1}}, {1, 100, []uint64{3}}, {0, 3, []uint64{1}}, {3, 100, nil}} {
		var found []uint64
		for r, err := range j.Backward(t.Context(), c.after, c.before, record.Closed, record.Opened) {
			if err != nil || r.Kind != record.Opened {
				t.Fatalf("got %v, %v", r, err)
			}
			found = append(found, r.Seq)
		}
		if !slices.Equal(found, c.want) {
			t.Errorf("between %d and %d: %d, want %d", c.after, c.before, found, c.want)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if err := journal.Forge(path, 3, func(all []record.Record) []record.Record { all[2].Code = "other"; return all }); err != nil {
		t.Fatal(err)
	}
	j = open(t, path)
	if _, err := j.Latest(t.Context(), record.Opened); !errors.Is(err, journal.ErrDamaged) {
		t.Errorf("an altered record: %v", err)
	}
}

// A row that would leave a gap is a defect of who keeps the state: nothing is written
// any more.
func TestStateWithAGap(t *testing.T) {
	j, err := journal.Open(filepath.Join(t.TempDir(), "journal.db"), journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = j.Close() }()
	j.Keep(kept, []record.StateRow{{Row: 1, Value: []byte("x")}})
	if j.Err() == nil {
		t.Error("it goes on")
	}
}

// rowsOf are rows of a state.
func rowsOf(values ...string) (rows []record.StateRow) {
	for i, v := range values {
		rows = append(rows, record.StateRow{Row: i, Value: []byte(v)})
	}
	return rows
}
