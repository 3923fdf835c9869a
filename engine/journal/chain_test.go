package journal_test

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"safemode/engine/journal"
	"safemode/engine/record"
	"safemode/servicerequests"
)

// inSegments is a journal of so many records, in segments of size each.
func inSegments(t *testing.T, records, size int) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "journal.db")
	j := open(t, path)
	for first := 1; first <= records; first += size {
		var batch []record.Record
		for c := first; c < first+size && c <= records; c++ {
			batch = append(batch, sent(uint64(c)))
		}
		commit(t, j, batch...)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// If somebody changes a journal without making its chain again, the first changed record is
// named, and with [journal.Examine] the kind of change.
func TestVerifyNamesTheFirstBadRecord(t *testing.T) {
	t.Parallel()
	const records, size = 600, 6 // 100 segments: more than a page
	whole, err := os.ReadFile(inSegments(t, records, size))
	if err != nil {
		t.Fatal(err)
	}
	one := func(seq uint64, change func(*record.Record)) func(string) error {
		return func(path string) error {
			return journal.Forge(path, seq, func(all []record.Record) []record.Record {
				for i := range all {
					if all[i].Seq == seq {
						change(&all[i])
					}
				}
				return all
			})
		}
	}
	forge := func(seq uint64, change func([]record.Record) []record.Record) func(string) error {
		return func(path string) error { return journal.Forge(path, seq, change) }
	}
	run := func(statements string) func(string) error {
		return func(path string) error { execute(t, path, statements); return nil }
	}
	for name, c := range map[string]struct {
		change func(path string) error
		seq    uint64
		says   string
	}{
		"time":       {one(17, func(r *record.Record) { r.At = r.At.Add(1) }), 17, "segment 3 (records 13 to 18): altered"},
		"kind":       {one(17, func(r *record.Record) { r.Kind = record.Reply }), 17, "altered"},
		"device":     {one(257, func(r *record.Record) { r.Device = 1 }), 257, "altered"},
		"service":    {one(256, func(r *record.Record) { r.Service = servicerequests.ReadSupplyStatus }), 256, "altered"},
		"originator": {one(17, func(r *record.Record) { r.ID.Originator = 1 }), 17, "altered"},
		"target":     {one(17, func(r *record.Record) { r.ID.Target = 1 }), 17, "altered"},
		"counter":    {one(1, func(r *record.Record) { r.ID.Counter++ }), 1, "altered"},
		"code":       {one(17, func(r *record.Record) { r.Code = "code 18" }), 17, "altered"},
		"body":       {one(599, func(r *record.Record) { r.Body = []byte{0} }), 599, "altered"},
		"number":     {one(17, func(r *record.Record) { r.Seq = 18 }), 17, "record 18 stands in its place"},
		"record removed": {forge(15, func(all []record.Record) []record.Record {
			return append(all[:2], all[3:]...)
		}), 15, "record 16 stands in its place"},
		"last record removed": {forge(15, func(all []record.Record) []record.Record { return all[:5] }), 13, "its body ends at record 17"},
		"records swapped": {forge(15, func(all []record.Record) []record.Record {
			all[1], all[2] = all[2], all[1]
			all[1].Seq, all[2].Seq = 14, 15
			return all
		}), 14, "altered, or not the one that followed"},
		"records added": {forge(15, func(all []record.Record) []record.Record {
			more := sent(9)
			more.Seq = 19
			return append(all, more)
		}), 13, "its body goes on after record 18"},
		"segment removed":    {run("DELETE FROM segment WHERE first = 301"), 301, "missing, and all up to record 306"},
		"segments removed":   {run("DELETE FROM segment WHERE first BETWEEN 301 AND 306 OR first BETWEEN 307 AND 313"), 301, "missing, and all up to record 318"},
		"the first removed":  {run("DELETE FROM segment WHERE first = 1"), 1, "missing"},
		"removed, closed up": {run("DELETE FROM segment WHERE first = 301; UPDATE segment SET first = first - 6, last = last - 6, number = number - 1 WHERE first > 301; UPDATE tip SET seq = seq - 6, number = number - 1"), 301, "removed, and closed up"},
		"tail removed":       {run("DELETE FROM segment WHERE first > 588; UPDATE tip SET seq = 588, number = 98"), 588, "not the last record that was written"},
		"swapped":            {run(swapSegments(301, 313)), 301, "swapped with the segment of record 313"},
		"swapped neighbours": {run(swapSegments(301, 307)), 301, "swapped with the segment of record 307"},
		"bodies swapped": {run(`CREATE TEMP TABLE b AS SELECT first, body, sum FROM segment WHERE first IN (301, 307);
			UPDATE segment SET body = (SELECT body FROM b WHERE b.first = 608 - segment.first), sum = (SELECT sum FROM b WHERE b.first = 608 - segment.first) WHERE first IN (301, 307)`), 301, "swapped with the segment of record 307"},
		"added": {run("UPDATE segment SET first = -first WHERE first > 300; UPDATE segment SET first = 6 - first, last = last + 6, number = number + 1 WHERE first < 0;" +
			"UPDATE tip SET seq = seq + 6, number = number + 1; " + copyOf(295, 301, 306, 51)), 301, "added: what followed record 300 begins at record 307 now"},
		"added beyond":        {run(copyOf(595, 700, 705, 101)), 705, "added after record 600"},
		"number of a segment": {run("UPDATE segment SET number = 7 WHERE first = 301"), 301, "its number is to be 51"},
		"times":               {run("UPDATE segment SET latest = latest + 1 WHERE first = 301"), 301, "its times"},
		"kinds":               {run("UPDATE segment SET kinds = 0 WHERE first = 301"), 301, "its kinds"},
		"before":              {run("UPDATE segment SET before = zeroblob(32) WHERE first = 301"), 301, "altered"},
		"after":               {run("UPDATE segment SET after = zeroblob(32) WHERE first = 301"), 301, "its hash after"},
		"short hash":          {run("UPDATE segment SET after = x'00' WHERE first = 301"), 301, "packing -1 is not known"},
		"packing":             {run("UPDATE segment SET packing = 0 WHERE first = 301"), 301, "segment 51"},
		"unknown packing":     {run("UPDATE segment SET packing = 9 WHERE first = 301"), 301, "packing 9 is not known"},
		"sum":                 {run("UPDATE segment SET sum = zeroblob(32) WHERE first = 301"), 301, "not the one that was written"},
		"empty body":          {run("UPDATE segment SET body = x'' WHERE first = 301"), 301, "missing: the body is empty"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "journal.db")
			if err := os.WriteFile(path, whole, 0o600); err != nil {
				t.Fatal(err)
			}
			r, err := journal.OpenReadOnly(path)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			if err := r.Verify(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := c.change(path); err != nil {
				t.Fatal(err)
			}
			err = r.Verify(t.Context())
			chain, ok := errors.AsType[*journal.ChainError](err)
			if !ok || chain.Seq != c.seq || !errors.Is(err, journal.ErrDamaged) {
				t.Errorf("%v, want record %d named", err, c.seq)
			}
			var visited uint64
			x, err := journal.Examine(t.Context(), path, func(r record.Record) { visited = r.Seq })
			if err != nil || len(x.Chain) == 0 {
				t.Fatalf("%+v, %v", x, err)
			}
			if first, ok := errors.AsType[*journal.ChainError](x.Chain[0]); !ok || !strings.Contains(first.Error(), c.says) {
				t.Errorf("%v, want it to say %q", x.Chain[0], c.says)
			}
			if sound := (c.seq - 1) / size * size; visited != x.Sound || c.seq <= records && x.Sound != sound && c.seq != 588 {
				t.Errorf("%d records are sound, and %d were visited, want %d", x.Sound, visited, sound)
			}
		})
	}
}

// swapSegments is SQL that has two segments change places, with all that is said of them
// but where they begin and end.
func swapSegments(a, b int) string {
	move := func(from, to int) string {
		return fmt.Sprintf("UPDATE segment SET first = %d WHERE first = %d; ", to, from)
	}
	return move(a, -1) + move(b, a) + move(-1, b)
}

func TestVerifyFindsARecordBeforeTheFirst(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	j := open(t, path)
	commit(t, j, sent(1))
	execute(t, path, copyOf(1, -1, -1, 1))
	if err := j.Verify(t.Context()); !errors.Is(err, journal.ErrDamaged) || !strings.Contains(err.Error(), "record -1") {
		t.Errorf("verify: %v", err)
	}
}

func TestVerifyFindsFileDamage(t *testing.T) {
	t.Parallel()
	path := inSegments(t, 2000, 10)
	overwrite(t, path, 10*4096, strings.Repeat("\xff", 4096))
	r, err := journal.OpenReadOnly(path) // the end of the chain is whole
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := r.Verify(t.Context()); !errors.Is(err, journal.ErrDamaged) {
		t.Errorf("verify: %v", err)
	}
}

// The format as doc.go specifies it, worked out again from the bytes.
func TestFormat(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	j := open(t, path)
	commit(t, j, sent(1), record.Record{At: epoch, Kind: record.Planned, Body: []byte("{}")})
	commit(t, j, sent(3))
	id, tip := j.ID(), j.Tip()
	j.Close()
	all, raw, err := journal.Segments(path)
	if err != nil {
		t.Fatal(err)
	}
	var sum [32]byte
	seq := uint64(0)
	for i, s := range all {
		if s.Number != uint64(i) || s.First != seq || s.Before != sum || s.Sum != sha256.Sum256(s.Body) {
			t.Errorf("segment %d: %+v", i, s.Head)
		}
		kinds := uint64(0)
		for b := raw[i]; len(b) > 0; seq++ {
			if got := binary.BigEndian.Uint64(b); got != seq {
				t.Fatalf("record %d stands where %d belongs", got, seq)
			}
			size := 48
			var texts []string
			for range 4 {
				n := int(binary.BigEndian.Uint32(b[size:]))
				texts = append(texts, string(b[size+4:size+4+n]))
				size += 4 + n
			}
			if seq == 0 && texts[3] != id {
				t.Errorf("record 0 is of journal %s, not %s", texts[3], id)
			}
			sum = sha256.Sum256(append(sum[:], b[:size]...))
			if string(sum[:4]) != string(b[size:size+4]) {
				t.Errorf("record %d: another check", seq)
			}
			kind, err := record.ParseKind(texts[0])
			if err != nil {
				t.Fatal(err)
			}
			kinds |= 1 << kind
			b = b[size+4:]
		}
		if s.Last != seq-1 || s.After != sum || s.Kinds != kinds || s.Packing != min(uint64(i), 1) {
			t.Errorf("segment %d: %+v", i, s.Head)
		}
	}
	if sum != tip.Hash || tip.Seq != 3 || len(all) != 3 {
		t.Errorf("hash %x of %d segments, the tip is %d %x", sum, len(all), tip.Seq, tip.Hash)
	}
}
