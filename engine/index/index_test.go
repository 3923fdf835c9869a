package index_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"safemode/engine/index"
	"safemode/engine/journal"
	"safemode/engine/record"
	"safemode/engine/report"
	"safemode/servicerequests"
)

const (
	ours   = servicerequests.EUI(0x90B3D51F30010000)
	dcc    = servicerequests.EUI(0x90B3D51F30020000)
	meters = 40
)

func device(i int) servicerequests.EUI { return servicerequests.EUI(0x00DB12E000000000 + i) }
func proxy(i int) servicerequests.EUI  { return servicerequests.EUI(0x00DB12F000000000 + i) }

// fill writes a journal of some meters with a few records of each, all mixed.
func fill(t testing.TB, j *journal.Journal, rounds int) {
	t.Helper()
	clock := time.Date(2026, 11, 25, 16, 0, 0, 0, time.UTC)
	add := func(r record.Record) {
		clock = clock.Add(time.Millisecond)
		r.At = clock
		j.Append(r)
	}
	if j.Tip().Seq == 0 {
		add(record.Record{Kind: record.Planned, Code: "plan", Body: []byte("{}")})
		for i := range meters {
			kind := []servicerequests.DeviceType{servicerequests.ESME, servicerequests.GSME}[i%2]
			add(record.Record{Kind: record.Target, Device: device(i), Body: record.Encode(record.TargetBody{
				Type: kind, Hub: 0x00DB12E100000000, MPxN: fmt.Sprintf("10000000000%02d", i/2), Region: servicerequests.North, Originator: ours,
			})})
		}
	}
	add(record.Record{Kind: record.Opened, Body: record.Encode(record.Opening{SweepID: "s"})})
	for round := range rounds {
		for i := range meters {
			id := servicerequests.RequestID{Originator: ours, Target: device(i), Counter: uint64(1 + round*meters + i)}
			answers := device(i)
			switch i % 4 {
			case 1:
				id.Target, answers = proxy(i), proxy(i)
			case 2:
				id.Target = dcc
			}
			add(record.Record{Kind: record.Request, Device: device(i), Service: servicerequests.ReadMeterBalance, ID: id, Body: []byte("<Request/>")})
			if i%4 != 2 {
				add(record.Record{Kind: record.Response, Device: answers, Service: servicerequests.ReadMeterBalance, ID: id, Code: "I0", Body: []byte("<Response/>")})
			}
			class := record.ClassSuccess
			if i == 7 {
				class = record.ClassRejected
			}
			add(record.Record{Kind: record.Outcome, Device: device(i), Service: servicerequests.ReadMeterBalance, ID: id, Code: class.String(), Body: record.Encode(record.OutcomeBody{Class: class})})
		}
	}
	add(record.Record{Kind: record.Operator, Code: record.OrderPause, Body: record.Encode(record.OrderBody{Action: record.OrderPause, By: "Ada"})})
	for i := range meters {
		v := record.VerdictBody{Verdict: record.VerdictOnSupply}
		switch i {
		case 3:
			v = record.VerdictBody{Verdict: record.VerdictUnknown, Reason: "stuck: no answer"}
		case 4:
			v = record.VerdictBody{Verdict: record.VerdictNotSafe, Reason: "arm refused"}
			add(record.Record{Kind: record.Refused, Device: device(i), Code: record.RefusedUnverified, Body: record.Encode(record.RefusedBody{Reason: "why"})})
		}
		add(record.Record{Kind: record.Verdict, Device: device(i), Code: v.Verdict, Body: record.Encode(v)})
	}
	if err := j.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func openJournal(t *testing.T, path string) *journal.Journal {
	t.Helper()
	j, err := journal.Open(path, journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	return j
}

func openIndex(t *testing.T, path string, j *journal.Journal) *index.Index {
	t.Helper()
	x, err := index.Open(t.Context(), path+".index", j.ID(), j)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { x.Close() })
	for more := true; more; {
		if more, err = x.CatchUp(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return x
}

// wantStories holds each meter's story from the index against that of the whole journal.
func wantStories(t *testing.T, x *index.Index, j *journal.Journal) {
	t.Helper()
	for _, i := range []int{0, 1, 2, 3, 5, 7, meters - 1} {
		whole, err := report.Tell(j.Records(t.Context(), 1), device(i))
		if err != nil {
			t.Fatal(err)
		}
		records, leftOut, err := x.Records(t.Context(), device(i), 1000)
		if err != nil || leftOut != 0 {
			t.Fatal(leftOut, err)
		}
		found, err := report.Tell(records, device(i))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(whole.Records, found.Records); diff != "" {
			t.Errorf("meter %d: -journal +index\n%s", i, diff)
		}
	}
}

// The index finds the whole story of each meter, also when the journal has gone on and
// the index was opened again.
func TestStories(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	j := openJournal(t, path)
	fill(t, j, 60) // more than one batch
	x := openIndex(t, path, j)
	wantStories(t, x, j)
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	fill(t, j, 2)
	x = openIndex(t, path, j)
	wantStories(t, x, j)
	if x.Upto() != j.Tip().Seq {
		t.Errorf("record %d of %d", x.Upto(), j.Tip().Seq)
	}
	// Of many records the first and the last are there.
	records, leftOut, err := x.Records(t.Context(), device(0), 20)
	if err != nil || leftOut == 0 {
		t.Fatal(leftOut, err)
	}
	var seqs []uint64
	for r, err := range records {
		if err != nil {
			t.Fatal(err)
		}
		if r.Device == device(0) {
			seqs = append(seqs, r.Seq)
		}
	}
	if len(seqs) != 20 || seqs[0] != 2 || seqs[19] <= j.Tip().Seq-meters-2 || !slices.IsSorted(seqs) {
		t.Errorf("records %v of %d", seqs, j.Tip().Seq)
	}
}

func TestFind(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	j := openJournal(t, path)
	fill(t, j, 1)
	x := openIndex(t, path, j)
	for name, c := range map[string]struct {
		query index.Query
		want  []int // places
		all   int
	}{
		"place":    {index.Query{Place: 5}, []int{5}, 1},
		"device":   {index.Query{Device: device(9)}, []int{10}, 1},
		"MPxN":     {index.Query{MPxN: "1000000000003"}, []int{7, 8}, 2},
		"nobody":   {index.Query{Device: 1}, nil, 0},
		"stuck":    {index.Query{Reason: "stuck: "}, []int{4}, 1},
		"held":     {index.Query{Reason: "held"}, nil, 0},
		"not safe": {index.Query{Verdict: record.VerdictNotSafe}, []int{5}, 1},
		"many":     {index.Query{Verdict: record.VerdictOnSupply}, []int{1, 2, 3}, meters - 2},
		"rejected": {index.Query{Class: record.ClassRejected.String()}, []int{8}, 1},
		"refused":  {index.Query{Class: "refused_unverified"}, []int{5}, 1},
	} {
		found, all, err := x.Find(t.Context(), c.query, 3)
		var places []int
		for _, m := range found {
			places = append(places, m.Place)
		}
		if err != nil || all != c.all || !slices.Equal(places, c.want) {
			t.Errorf("%s: %v of %d, %v; want %v of %d", name, places, all, err, c.want, c.all)
		}
	}
	for name, q := range map[string]index.Query{"nothing": {}, "two things": {Place: 1, MPxN: "1"}} {
		if _, _, err := x.Find(t.Context(), q, 3); !errors.Is(err, index.ErrQuery) {
			t.Errorf("%s: %v", name, err)
		}
	}
	m, _, err := x.Find(t.Context(), index.Query{Place: 4}, 1)
	if err != nil || m[0].Fuel != "gas" || m[0].Region != "North" || m[0].Verdict != "unknown" || m[0].At.Year() != 2026 || m[0].Device != device(3) {
		t.Errorf("%+v, %v", m, err)
	}
}

func TestParse(t *testing.T) {
	for text, want := range map[string]index.Query{
		" 00-DB-12-E0-00-00-00-01 ": {Device: device(1)}, "00db12e000000001": {Device: device(1)},
		"1000000000003": {MPxN: "1000000000003"}, "10 0000 0000 003": {MPxN: "1000000000003"}, "12345678": {MPxN: "12345678"},
	} {
		if q, err := index.Parse(text); err != nil || q != want {
			t.Errorf("%q: %+v, %v", text, q, err)
		}
	}
	for _, text := range []string{"", " ", "Mr Smith", "12345678901234", "1234x", "' OR 1"} {
		if q, err := index.Parse(text); err == nil {
			t.Errorf("%q: %+v", text, q)
		}
	}
}

// An index that cannot be read, or is of another journal or of one that has another
// past, is made again.
func TestIndexIsMadeAnew(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "journal.db")
	j := openJournal(t, path)
	fill(t, j, 1)
	openIndex(t, path, j).Close()
	whole, err := os.ReadFile(path + ".index")
	if err != nil {
		t.Fatal(err)
	}
	other := openJournal(t, filepath.Join(dir, "other.db"))
	fill(t, other, 2)
	openIndex(t, filepath.Join(dir, "other.db"), other).Close()
	foreign, err := os.ReadFile(filepath.Join(dir, "other.db.index"))
	if err != nil {
		t.Fatal(err)
	}
	torn := slices.Clone(whole)
	clear(torn[:4096])
	for name, content := range map[string][]byte{
		"of another journal": foreign, "torn": torn, "no database": []byte("notes, not pages, and more of them than a header has: " + string(make([]byte, 200))), "empty": {}, "whole": whole,
	} {
		if err := os.WriteFile(path+".index", content, 0o600); err != nil {
			t.Fatal(err)
		}
		x := openIndex(t, path, j)
		wantStories(t, x, j)
		x.Close()
		t.Log(name)
	}
	// An older copy of the journal, with the index of the newer one.
	tip := j.Tip()
	fill(t, j, 1)
	openIndex(t, path, j).Close()
	older := past{j, tip.Seq}
	x, err := index.Open(t.Context(), path+".index", j.ID(), older)
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	if x.Upto() != 0 {
		t.Errorf("the index of a newer journal is kept, up to record %d", x.Upto())
	}
}

// A story costs what it holds, however much else the journal has.
func TestStoryReadsItsOwnRecordsOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	j := openJournal(t, path)
	fill(t, j, 40)
	openIndex(t, path, j).Close()
	counting := &counted{Journal: j}
	x, err := index.Open(t.Context(), path+".index", j.ID(), counting)
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	records, _, err := x.Records(t.Context(), device(5), 1000)
	if err != nil {
		t.Fatal(err)
	}
	story, err := report.Tell(records, device(5))
	if err != nil {
		t.Fatal(err)
	}
	if counting.reads != len(story.Records) || counting.reads < 100 || uint64(counting.reads)*20 > j.Tip().Seq {
		t.Errorf("%d records read for a story of %d in a journal of %d", counting.reads, len(story.Records), j.Tip().Seq)
	}
}

type counted struct {
	*journal.Journal
	reads int
}

func (c *counted) At(ctx context.Context, seq uint64) (record.Record, error) {
	c.reads++
	return c.Journal.At(ctx, seq)
}

// past is a journal of which only the first records are there.
type past struct {
	*journal.Journal
	last uint64
}

func (p past) HashAt(seq uint64) ([32]byte, error) {
	if seq > p.last {
		return [32]byte{}, errors.New("missing")
	}
	return p.Journal.HashAt(seq)
}
