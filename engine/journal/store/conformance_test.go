package store

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"safemode/engine/journal/store/pgtest"
	"safemode/engine/record"
)

// bench makes empty stores of one kind, to be opened again and again.
type bench struct {
	at func(t testing.TB) string
	// writer opens another writer beside one that has not closed, as a machine does that
	// takes over while the first is suspended.
	writer func(t testing.TB, at string) Store
}

// TestConformance checks that each kind of store does all that package journal needs.
func TestConformance(t *testing.T) {
	t.Parallel()
	suite := []struct {
		name string
		test func(t *testing.T, b bench)
	}{
		{"segments come back", segmentsComeBack},
		{"a snapshot is of one moment", snapshot},
		{"the fence", fence},
		{"one writer", oneWriter},
		{"discarded", discarded},
		{"the state", state},
		{"the newest of a kind", newest},
		{"two engines", twoEngines},
	}
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		b := bench{
			at: func(t testing.TB) string { return filepath.Join(t.TempDir(), "journal.db") },
			writer: func(t testing.TB, at string) Store {
				w, err := openSQLiteWriter(at, false, false) // without the lock
				if err != nil {
					t.Fatal(err)
				}
				db, err := openDB(at, "ro")
				if err != nil {
					t.Fatal(err)
				}
				return &SQLite{sqliteReader: sqliteReader{db: db, q: db}, path: at, writer: w}
			},
		}
		for _, c := range suite {
			t.Run(c.name, func(t *testing.T) { c.test(t, b) })
		}
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		t.Parallel()
		c := pgtest.Fresh(t)
		var sweeps atomic.Int64
		b := bench{
			at: func(testing.TB) string { return c.Address(fmt.Sprintf("sweep-%d", sweeps.Add(1))) },
			writer: func(t testing.TB, at string) Store {
				_, name, err := split(at)
				if err != nil {
					t.Fatal(err)
				}
				p := &Postgres{}
				if _, err := p.connect(t.Context(), at, Options{}); err != nil {
					t.Fatal(err)
				}
				defer closePool(p.pool)
				// As if the other's lease had ended.
				if _, err := p.pool.Exec(t.Context(), "UPDATE safemode.sweep SET until = NULL WHERE name = $1", name); err != nil {
					t.Fatal(err)
				}
				return openStore(t, at, true)
			},
		}
		for _, c := range suite {
			t.Run(c.name, func(t *testing.T) { c.test(t, b) })
		}
	})
}

// Each step of the walk of two engines waits for the disk, and servers and leases are waited
// for more than anything is computed. The command line may ask for more of both.
func TestMain(m *testing.M) {
	_ = flag.Set("rapid.checks", "20")
	_ = flag.Set("test.parallel", "8")
	os.Exit(pgtest.M{M: m}.Run())
}

func openStore(t testing.TB, at string, write bool) Store {
	t.Helper()
	s, err := Open(context.Background(), at, Options{Write: write, Holder: "the test"})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// segment is one with something in every column, which follows a tip.
func segment(tip Tip, records int, kinds ...record.Kind) *Segment {
	s := &Segment{Body: []byte{0, 1, 0xff, byte(tip.Seq)}}
	s.Number, s.First, s.Last = tip.Number+1, tip.Seq+1, tip.Seq+uint64(records)
	s.Earliest, s.Latest, s.Packing = -5, 1<<60, 1
	for _, k := range kinds {
		s.Kinds |= 1 << k
	}
	s.Before = tip.Hash
	for i := range s.After {
		s.After[i], s.Sum[i] = byte(s.Number)+byte(i), ^byte(i)
	}
	return s
}

// beginning is segment 0.
func beginning() *Segment {
	s := &Segment{Body: []byte("made")}
	s.After[31] = 1
	return s
}

// grow appends segments to an empty store, and returns all.
func grow(t testing.TB, s Store, more int) (all []Segment) {
	t.Helper()
	next := beginning()
	for range more + 1 {
		if err := s.Append(next, State{}); err != nil {
			t.Fatal(err)
		}
		all = append(all, *next)
		next = segment(next.Tip(), 3, record.Request)
	}
	return all
}

func segmentsComeBack(t *testing.T, b bench) {
	at := b.at(t)
	s := openStore(t, at, true)
	if tip, ok, err := s.Tip(t.Context()); ok || err != nil {
		t.Errorf("an empty store ends at %v, %v", tip, err)
	}
	if got, err := s.Read(t.Context(), 0, 10); len(got) > 0 || err != nil {
		t.Errorf("an empty store has %v, %v", got, err)
	}
	all := grow(t, s, 9) // records 0; 1 to 3; ... 25 to 27
	read := func(s Reader) {
		t.Helper()
		for _, c := range []struct {
			name string
			want []Segment
			read func() ([]Segment, error)
		}{
			{"all", all, func() ([]Segment, error) { return s.Read(t.Context(), 0, 100) }},
			{"from the middle of one", all[2:], func() ([]Segment, error) { return s.Read(t.Context(), 5, 100) }},
			{"so many", all[2:4], func() ([]Segment, error) { return s.Read(t.Context(), 6, 2) }},
			{"beyond the end", all[9:], func() ([]Segment, error) { return s.Read(t.Context(), 1000, 2) }},
			{"after", all[3:], func() ([]Segment, error) { return s.After(t.Context(), 4, 100) }},
			{"after the last", nil, func() ([]Segment, error) { return s.After(t.Context(), 25, 100) }},
		} {
			if got, err := c.read(); err != nil || !cmp.Equal(c.want, got) {
				t.Errorf("%s: %v, %s", c.name, err, cmp.Diff(c.want, got))
			}
		}
		if tip, ok, err := s.Tip(t.Context()); tip != all[len(all)-1].Tip() || !ok || err != nil {
			t.Errorf("ends at %v, %v", tip, err)
		}
		if first, last, err := s.Range(t.Context()); first != 0 || last != 27 || err != nil {
			t.Errorf("from %d to %d, %v", first, last, err)
		}
	}
	read(s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	r := openStore(t, at, false)
	defer r.Close()
	read(r)
	moment, err := r.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer moment.Close()
	read(moment)
	if found, looked, err := r.Check(t.Context()); len(found) > 0 || looked == 0 || err != nil {
		t.Errorf("%v of %d, %v", found, looked, err)
	}
}

// A snapshot is of one moment, while a writer goes on.
func snapshot(t *testing.T, b bench) {
	s := openStore(t, b.at(t), true)
	defer s.Close()
	all := grow(t, s, 3)
	if err := s.Append(segment(all[3].Tip(), 1, record.State), State{Rows: []record.StateRow{{Row: 0, Value: []byte("old")}}}); err != nil {
		t.Fatal(err)
	}
	moment, err := s.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer moment.Close()
	before, _, err := moment.Tip(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Append(segment(before, 1, record.State), State{Rows: []record.StateRow{{Row: 0, Value: []byte("new")}}}); err != nil {
		t.Fatal(err)
	}
	if tip, _, err := moment.Tip(t.Context()); tip != before || err != nil {
		t.Errorf("the snapshot moved to %v, %v", tip, err)
	}
	rows, err := moment.State(t.Context())
	if err != nil || len(rows) != 1 || string(rows[0].Value) != "old" {
		t.Errorf("%v, %v", rows, err)
	}
	if got, err := moment.After(t.Context(), before.Seq, 9); len(got) > 0 || err != nil {
		t.Errorf("the snapshot has %v, %v", got, err)
	}
}

// A segment that exists is not appended, nor one that does not follow the last; and what
// was to become durable with it is not there either.
func fence(t *testing.T, b bench) {
	s := openStore(t, b.at(t), true)
	defer s.Close()
	all := grow(t, s, 3)
	last := all[3].Tip()
	kept := State{Rows: []record.StateRow{{Row: 0, Value: []byte("x")}}}
	ahead := segment(Tip{last.Number + 1, last.Seq + 3, last.Hash}, 2)
	other := segment(all[2].Tip(), 5)
	other.After[0]++
	for name, refused := range map[string]*Segment{"the last again": other, "one in the middle": segment(all[0].Tip(), 1), "one that leaves a gap": ahead} {
		if err := s.Append(refused, kept); !errors.Is(err, ErrTaken) {
			t.Errorf("%s: %v", name, err)
		}
		if err := s.Append(refused, State{}); !errors.Is(err, ErrTaken) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got, err := s.Read(t.Context(), 0, 100); err != nil || !cmp.Equal(all, got) {
		t.Errorf("%v, %s", err, cmp.Diff(all, got))
	}
	if rows, err := s.State(t.Context()); len(rows) > 0 || err != nil {
		t.Errorf("state %v, %v", rows, err)
	}
	if err := s.Append(segment(last, 1), kept); err != nil {
		t.Errorf("the next one: %v", err)
	}
}

func oneWriter(t *testing.T, b bench) {
	at := b.at(t)
	s := openStore(t, at, true)
	if _, err := Open(t.Context(), at, Options{Write: true}); !errors.Is(err, ErrInUse) {
		t.Errorf("a second writer: %v", err)
	} else if IsAddress(at) && !strings.Contains(err.Error(), "the test holds the sweep since") {
		t.Errorf("it does not say who: %v", err)
	}
	if err := Vacant(t.Context(), at); !errors.Is(err, ErrInUse) {
		t.Errorf("vacant: %v", err)
	}
	if err := s.Held(); err != nil {
		t.Error(err)
	}
	grow(t, s, 1)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := Vacant(t.Context(), at); err != nil {
		t.Errorf("vacant: %v", err)
	}
	s = openStore(t, at, true)
	tip, _, err := s.Tip(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Append(segment(tip, 2), State{}), s.Close()); err != nil {
		t.Error(err)
	}
}

// A journal that was begun in vain leaves no file, and an older file stays.
func discarded(t *testing.T, b bench) {
	at := b.at(t)
	s := openStore(t, at, true)
	grow(t, s, 2)
	if err := s.Discard(); err != nil {
		t.Fatal(err)
	}
	if r, err := Open(t.Context(), at, Options{}); err == nil {
		t.Errorf("it is there: %v", r.Close())
	}
	s = openStore(t, at, true)
	all := grow(t, s, 2)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, at, true)
	if err := s.Discard(); err != nil {
		t.Fatal(err)
	}
	r := openStore(t, at, false)
	defer r.Close()
	if got, err := r.Read(t.Context(), 0, 100); err != nil || !cmp.Equal(all, got) {
		t.Errorf("%v, %s", err, cmp.Diff(all, got))
	}
}

func state(t *testing.T, b bench) {
	s := openStore(t, b.at(t), true)
	defer s.Close()
	tip := grow(t, s, 0)[0].Tip()
	for i, c := range []struct {
		change State
		want   string
	}{
		{State{}, "[]"},
		{State{Rows: []record.StateRow{{Row: 0, Value: []byte("a")}, {Row: 1, Value: []byte("b")}}}, "[{0 a} {1 b}]"},
		{State{Rows: []record.StateRow{{Row: 1, Value: []byte("c")}, {Row: 2}}}, "[{0 a} {1 c} {2 }]"},
		{State{Rows: []record.StateRow{{Row: 2, Value: []byte("x")}, {Row: 0, Value: []byte("y")}, {Row: 2, Value: []byte("z")}}}, "[{0 y} {1 c} {2 z}]"},
		{State{Rows: []record.StateRow{{Row: 0, Value: []byte("x")}, {Row: 0, Value: []byte("d")}}, Whole: true}, "[{0 d}]"},
		{State{Whole: true}, "[]"},
	} {
		next := segment(tip, 1)
		if err := s.Append(next, c.change); err != nil {
			t.Fatal(err)
		}
		tip = next.Tip()
		rows, err := s.State(t.Context())
		text := "["
		for i, r := range rows {
			if i > 0 {
				text += " "
			}
			text += fmt.Sprintf("{%d %s}", r.Row, r.Value)
		}
		if text += "]"; err != nil || text != c.want {
			t.Errorf("change %d: %s, %v, want %s", i, text, err, c.want)
		}
	}
}

func newest(t *testing.T, b bench) {
	s := openStore(t, b.at(t), true)
	defer s.Close()
	tip := grow(t, s, 0)[0].Tip()
	for _, kinds := range [][]record.Kind{{record.Opened}, {record.Request}, {record.State, record.Request}, {record.Reply}, {record.Opened, record.Closed}, {record.Reply}} {
		next := segment(tip, 2, kinds...) // records 1 and 2, 3 and 4, 5 and 6, 7 and 8, 9 and 10, 11 and 12
		if err := s.Append(next, State{}); err != nil {
			t.Fatal(err)
		}
		tip = next.Tip()
	}
	const end = 1<<63 - 1
	for i, c := range []struct {
		kind          record.Kind
		after, before uint64
		want          uint64 // its first record; 0: none
	}{
		{record.Opened, 0, end, 9},
		{record.Opened, 0, 10, 9},
		{record.Opened, 0, 9, 1},
		{record.Opened, 0, 1, 0},
		{record.Opened, 9, end, 9},
		{record.Opened, 10, end, 0},
		{record.State, 0, end, 5},
		{record.State, 0, 6, 5},
		{record.State, 6, end, 0},
		{record.Request, 0, end, 5},
		{record.Request, 0, 5, 3},
		{record.Verdict, 0, end, 0},
		{record.Halted, 0, end, 0},
	} {
		got, err := s.Newest(t.Context(), 1<<c.kind, c.after, c.before, 1)
		first := uint64(0)
		if len(got) > 0 {
			first = got[0].First
		}
		if err != nil || first != c.want {
			t.Errorf("case %d: segment of record %d, %v, want %d", i, first, err, c.want)
		}
	}
	all, err := s.Newest(t.Context(), 1<<record.Opened|1<<record.State, 0, end, 100)
	must(t, err)
	var firsts []uint64
	for _, segment := range all {
		firsts = append(firsts, segment.First)
	}
	if !slices.Equal(firsts, []uint64{9, 5, 1}) {
		t.Errorf("segments of records %d, the last one first", firsts)
	}
}

// Two engines may both take themselves for the writer: the one that was overtaken appends
// nothing more, and the journal is the one history of the others.
func twoEngines(t *testing.T, b bench) {
	rapid.Check(t, func(rt *rapid.T) {
		at := b.at(t)
		type engine struct {
			store Store
			tip   Tip // as it believes
			ended bool
		}
		engines := map[string]*engine{"one": {store: openStore(t, at, true)}, "two": nil}
		model := grow(t, engines["one"].store, 0)
		engines["one"].tip = model[0].Tip()
		holder := "one"
		defer func() {
			for _, e := range engines {
				if e != nil {
					_ = e.store.Close() // one may be fenced
				}
			}
		}()
		for range rapid.IntRange(1, 25).Draw(rt, "steps") {
			name := rapid.SampledFrom([]string{"one", "two"}).Draw(rt, "engine")
			e := engines[name]
			if e == nil || e.ended || rapid.IntRange(0, 5).Draw(rt, "take over") == 0 {
				if e != nil {
					_ = e.store.Close()
				}
				s := b.writer(t, at)
				tip, _, err := s.Tip(t.Context())
				if err != nil || tip != model[len(model)-1].Tip() {
					rt.Fatalf("%s finds the end at %v, %v", name, tip, err)
				}
				engines[name], holder = &engine{store: s, tip: tip}, name
				continue
			}
			next := segment(e.tip, rapid.IntRange(1, 3).Draw(rt, "records"))
			next.After[0] = byte(len(model))
			var k State
			if rapid.Bool().Draw(rt, "state") {
				k = State{Rows: []record.StateRow{{Row: 0, Value: []byte(name)}}}
			}
			err := e.store.Append(next, k)
			// A file has no lease: who is overtaken learns it when the other has written.
			may := e.tip == model[len(model)-1].Tip() && (holder == name || !IsAddress(at))
			switch {
			case err == nil && may:
				model = append(model, *next)
				e.tip = next.Tip()
			case errors.Is(err, ErrTaken) && !may:
				e.ended = true
			default:
				rt.Fatalf("%s appends after %v, the end is %v: %v", name, e.tip, model[len(model)-1].Tip(), err)
			}
			got, err := e.store.Read(t.Context(), 0, 1000)
			if err != nil || !cmp.Equal(model, got) {
				rt.Fatalf("%v, %s", err, cmp.Diff(model, got))
			}
		}
	})
}
