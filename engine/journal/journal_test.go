package journal_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"safemode/engine/journal"
	"safemode/engine/record"
	"safemode/servicerequests"
)

const originator servicerequests.EUI = 0x90B3D51F30010000

var epoch = time.Date(2026, 11, 23, 2, 0, 0, 123456789, time.UTC)

// sent is the record of a signed request with this counter.
func sent(counter uint64) record.Record {
	device := servicerequests.EUI(0xFFDB123456780000 + counter) // over 63 bits: the file knows only signed integers
	return record.Record{
		At: epoch.Add(time.Duration(counter) * time.Second), Kind: record.Request, Device: device,
		Service: servicerequests.ReadPaymentMode,
		ID:      servicerequests.RequestID{Originator: originator, Target: device, Counter: counter},
		Code:    "code " + fmt.Sprint(counter), Body: fmt.Appendf(nil, "<Request>%d</Request>", counter),
	}
}

func open(t *testing.T, path string) *journal.Journal {
	t.Helper()
	j, err := journal.Open(path, journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	return j
}

func commit(t *testing.T, j *journal.Journal, records ...record.Record) {
	t.Helper()
	if err := j.Commit(t.Context(), records...); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, j *journal.Journal, from uint64) []record.Record {
	t.Helper()
	var all []record.Record
	for r, err := range j.Records(t.Context(), from) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

// numbered returns records as they come back: with their place in the journal.
func numbered(records ...record.Record) []record.Record {
	for i := range records {
		records[i].Seq = uint64(i) + 1
	}
	return records
}

// CommitAt returns the records' numbers, however many goroutines commit at once.
func TestCommitAt(t *testing.T) {
	j := open(t, filepath.Join(t.TempDir(), "journal.db"))
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			code := strconv.Itoa(i)
			records := []record.Record{
				{At: epoch, Kind: record.Received, Code: "first", Body: []byte("<a/>")},
				{At: epoch, Kind: record.Proven, Code: code, Body: record.Encode(record.ProvenBody{Of: uint64(i) + 1})},
			}
			last, err := j.CommitAt(t.Context(), records...)
			if err != nil {
				t.Error(err)
				return
			}
			for r, err := range j.Records(t.Context(), last) {
				if err != nil || r.Seq == last && r.Code != code {
					t.Errorf("record %d: %v, %v, want code %s", last, r, err, code)
				}
			}
		})
	}
	wg.Wait()
	if last, err := j.CommitAt(t.Context()); err != nil || last != 0 {
		t.Errorf("no records: %d, %v", last, err)
	}
	if last, err := j.CommitAt(t.Context(), record.Record{At: epoch, Kind: record.Proven}); !errors.Is(err, record.ErrInvalid) || last != 0 {
		t.Errorf("a record that cannot be written: %d, %v", last, err)
	}
}

func TestRecordsComeBackAsTheyWere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	j := open(t, path)
	balance := servicerequests.Millipence(-123456)
	want := numbered(
		record.Record{At: epoch, Kind: record.Opened, Body: record.Encode(record.Opening{SweepID: "s", Originators: []servicerequests.EUI{originator}})},
		sent(1),
		sent(servicerequests.MaxCounter),
		record.Record{At: epoch, Kind: record.Reply, Code: "I99"},
		record.Record{At: epoch, Kind: record.Verdict, Device: math.MaxUint64, Code: record.VerdictArmed, Body: record.Encode(record.VerdictBody{
			Verdict: record.VerdictArmed, AsOf: epoch,
			End: record.Observation{Mode: servicerequests.Credit, Supply: servicerequests.Armed, Balance: &balance},
		})},
		record.Record{At: epoch, Kind: record.Unmatched, Code: "nul \x00 and é", Body: []byte("\x00\xff")},
	)
	j.Append(want[:2]...)
	commit(t, j, want[2:]...)
	if diff := cmp.Diff(want, read(t, j, 0)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(want[3:], read(t, j, 4)); diff != "" {
		t.Error(diff)
	}
	if got := read(t, j, 7); got != nil {
		t.Errorf("beyond the end: %v", got)
	}
	if got := read(t, j, 1000); got != nil {
		t.Errorf("far beyond the end: %v", got)
	}
	body, err := record.Decode[record.VerdictBody](want[4])
	if err != nil || *body.End.Balance != balance || body.End.Supply != servicerequests.Armed {
		t.Errorf("verdict %+v, %v", body, err)
	}
	if _, err := record.Decode[record.VerdictBody](want[5]); err == nil {
		t.Error("a body that is not JSON was decoded")
	}
}

func TestReopenGoesOn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	j := open(t, path)
	id := j.ID()
	if len(id) != 32 {
		t.Errorf("ID %q", id)
	}
	commit(t, j, sent(1), sent(2))
	tip := j.Tip()
	for _, what := range []string{"written", "looked at"} {
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(path + "-wal"); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("a journal that was %s and closed is one file: %v", what, err)
		}
		j = open(t, path)
	}
	if j.ID() != id || j.Tip() != tip {
		t.Errorf("reopened as %s %v, was %s %v", j.ID(), j.Tip(), id, tip)
	}
	commit(t, j, sent(3))
	if diff := cmp.Diff(numbered(sent(1), sent(2), sent(3)), read(t, j, 1)); diff != "" {
		t.Error(diff)
	}
	if err := j.Verify(t.Context()); err != nil {
		t.Error(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if other := open(t, filepath.Join(t.TempDir(), "journal.db")); other.ID() == id {
		t.Error("two journals share an ID")
	}
}

func TestGroupCommit(t *testing.T) {
	t.Parallel()
	const workers, each = 16, 40
	registry := prometheus.NewRegistry()
	j, err := journal.Open(filepath.Join(t.TempDir(), "journal.db"), journal.Options{BatchLimit: 8, Registerer: registry})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	var group sync.WaitGroup
	for w := range uint64(workers) {
		group.Go(func() {
			for i := range uint64(each) {
				// Two at a time, and one more that nobody waits for.
				j.Append(sent(w*1000 + i*3 + 1))
				if err := j.Commit(t.Context(), sent(w*1000+i*3+2), sent(w*1000+i*3+3)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	all := read(t, j, 1)
	if len(all) != workers*each*3 {
		t.Fatalf("%d records", len(all))
	}
	last := map[uint64]uint64{}
	for i, r := range all {
		w := r.ID.Counter / 1000
		if r.Seq != uint64(i)+1 || r.ID.Counter != max(last[w], w*1000)+1 {
			t.Fatalf("record %d of worker %d: counter %d after %d", r.Seq, w, r.ID.Counter, last[w])
		}
		last[w] = r.ID.Counter
	}
	if err := j.Verify(t.Context()); err != nil {
		t.Error(err)
	}
	if n := testutil.CollectAndCount(registry, "safemode_journal_commit_seconds"); n != 1 {
		t.Errorf("%d metrics", n)
	}
}

func TestReadersSeeWhatIsDurable(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "journal.db")
	j := open(t, path)
	commit(t, j, sent(1))
	r, err := journal.OpenReadOnly(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	seen := 0
	for record, err := range r.Records(t.Context(), 1) {
		if err != nil {
			t.Fatal(err)
		}
		if seen++; record.ID.Counter < 300 { // over several pages, while it grows
			commit(t, j, sent(record.ID.Counter+1))
		}
	}
	if seen != 300 {
		t.Errorf("saw %d records", seen)
	}
	if err := r.Commit(t.Context(), sent(1)); !errors.Is(err, journal.ErrReadOnly) {
		t.Errorf("commit: %v", err)
	}
	if err := r.Verify(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestOneWriter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	j := open(t, path)
	if _, err := journal.Open(path, journal.Options{}); !errors.Is(err, journal.ErrInUse) || !strings.Contains(err.Error(), path) {
		t.Errorf("second handle: %v", err)
	}
	if out, err := child(t, "open", path).CombinedOutput(); err == nil || !strings.Contains(string(out), journal.ErrInUse.Error()) {
		t.Errorf("second process: %v: %s", err, out)
	}
	commit(t, j, sent(1)) // the first is unharmed
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, path)
}

func TestClosedJournalRefuses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	j := open(t, path)
	j.Append(sent(1))
	if err := errors.Join(j.Close(), j.Close()); err != nil {
		t.Fatal(err)
	}
	if err := j.Commit(t.Context(), sent(2)); !errors.Is(err, journal.ErrClosed) {
		t.Errorf("commit: %v", err)
	}
	j.Append(sent(3))
	select {
	case <-j.Failed():
		t.Error("closing is no failure")
	default:
	}
	if diff := cmp.Diff(numbered(sent(1)), read(t, open(t, path), 1)); diff != "" {
		t.Error("what was appended before Close is durable:", diff)
	}
}

func TestRefusedRecords(t *testing.T) {
	j := open(t, filepath.Join(t.TempDir(), "journal.db"))
	good := sent(1)
	for name, spoil := range map[string]func(*record.Record){
		"no kind":      func(r *record.Record) { r.Kind = 0 },
		"unknown kind": func(r *record.Record) { r.Kind = record.Halted + 1 },
		"no time":      func(r *record.Record) { r.At = time.Time{} },
		"service":      func(r *record.Record) { r.Service = 200 },
		"counter":      func(r *record.Record) { r.ID.Counter = servicerequests.MaxCounter + 1 },
		"body that JSON cannot hold": func(r *record.Record) {
			r.Kind, r.Body = record.Opened, record.Encode(record.Opening{ClockSpeed: math.NaN()})
		},
	} {
		bad := good
		spoil(&bad)
		if err := j.Commit(t.Context(), good, bad); !errors.Is(err, record.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := read(t, j, 1); got != nil || j.Err() != nil {
		t.Errorf("a refused Commit writes nothing and ends nothing: %v, %v", got, j.Err())
	}
	j.Append(record.Record{})
	<-j.Failed()
	if err := j.Commit(t.Context(), good); !errors.Is(err, record.ErrInvalid) {
		t.Errorf("after a refused Append: %v", err)
	}
}

func TestEndedContext(t *testing.T) {
	j := open(t, filepath.Join(t.TempDir(), "journal.db"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := j.Commit(ctx, sent(1)); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	commit(t, j)
	if got := read(t, j, 1); got != nil {
		t.Errorf("written: %v", got)
	}
}

// A journal that was begun in vain leaves no file, and an older file stays.
func TestDiscard(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	begin := func() *journal.Journal {
		t.Helper()
		j, err := journal.Open(path, journal.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := j.Commit(t.Context(), record.Record{Kind: record.Planned, At: time.Now(), Code: "plan"}); err != nil {
			t.Fatal(err)
		}
		return j
	}
	if err := begin().Discard(); err != nil || len(folderOf(t, path)) > 0 {
		t.Errorf("left behind: %v, %v", folderOf(t, path), err)
	}
	if err := begin().Close(); err != nil {
		t.Fatal(err)
	}
	j := begin()
	if err := errors.Join(j.Discard(), j.Close()); err != nil {
		t.Error(err)
	}
	j, err := journal.Open(path, journal.Options{})
	if err != nil || j.Tip().Seq != 2 {
		t.Fatalf("a journal that was there: %v, %v", j, err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	// An Open that fails leaves nothing either. This one has no place for its metric.
	path = filepath.Join(t.TempDir(), "journal.db")
	taken := prometheus.NewRegistry()
	first, err := journal.Open(filepath.Join(t.TempDir(), "other.db"), journal.Options{Registerer: taken})
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	if _, err := journal.Open(path, journal.Options{Registerer: taken}); err == nil || len(folderOf(t, path)) > 0 {
		t.Errorf("left behind: %v, %v", folderOf(t, path), err)
	}
}

// A journal was moved away and its write-ahead log was not: it holds records.
func TestCompanionsOfAnotherJournalStay(t *testing.T) {
	for _, suffix := range []string{"-wal", "-journal"} {
		path := filepath.Join(t.TempDir(), "journal.db")
		if err := os.WriteFile(path+suffix, []byte("records"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := journal.Open(path, journal.Options{}); !errors.Is(err, journal.ErrForeign) {
			t.Errorf("%s: %v", suffix, err)
		}
		if b, err := os.ReadFile(path + suffix); err != nil || string(b) != "records" || len(folderOf(t, path)) != 1 {
			t.Errorf("%s holds %q, %v; beside it %v", suffix, b, err, folderOf(t, path))
		}
	}
}
