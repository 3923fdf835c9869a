package journal

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"testing"
	"time"

	"safemode/engine/journal/store"
	"safemode/engine/record"
	"safemode/servicerequests"
)

func fuzzed() (records []record.Record) {
	for i := range 3 {
		records = append(records, record.Record{
			At: time.Unix(1_800_000_000, int64(i)), Kind: record.Request, Device: 0x00DB12E000000001, Service: servicerequests.SwitchToCredit,
			ID:   servicerequests.RequestID{Originator: 0x90B3D51F30010000, Target: 0x00DB12E000000001, Counter: uint64(i)},
			Code: "I99", Body: []byte("<Request/>"),
		})
	}
	return records
}

// A record that is read is written as the same bytes: it has one encoding.
func FuzzRecord(f *testing.F) {
	for _, r := range fuzzed() {
		f.Add(AppendRecord(nil, &r))
	}
	f.Add(AppendRecord(nil, &record.Record{Kind: record.Made, At: time.Unix(-1, 0)}))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, size, err := parseRecord(b)
		if err != nil {
			return
		}
		if again := AppendRecord(nil, &l.Record); !bytes.Equal(again, b[:size]) {
			t.Errorf("%x is read as %+v, which is %x", b[:size], l.Record, again)
		}
	})
}

// A segment whose sum is right and whose body is anything holds or is named as damaged;
// what holds has the records and the hashes that it says.
func FuzzSegment(f *testing.F) {
	p, err := newPacker()
	if err != nil {
		f.Fatal(err)
	}
	u, err := newUnpacker()
	if err != nil {
		f.Fatal(err)
	}
	s := p.pack(store.Tip{}, fuzzed())
	f.Add(bytes.Clone(s.Body), uint64(packed))
	f.Add(bytes.Clone(p.raw), uint64(plain))
	head := s.Head
	f.Fuzz(func(t *testing.T, body []byte, packing uint64) {
		s := &store.Segment{Head: head, Body: body}
		s.Packing, s.Sum = packing, sha256.Sum256(body)
		all, err := u.open(s)
		if _, ok := errors.AsType[*ChainError](err); err != nil && !ok {
			t.Errorf("%T: %v", err, err)
		}
		if err == nil && (len(all) != 3 || all[2].hash != head.After) {
			t.Errorf("%d records hold", len(all))
		}
	})
}
