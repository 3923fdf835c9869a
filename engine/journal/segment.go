package journal

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // the dictionary
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"time"

	"github.com/klauspost/compress/zstd"

	"safemode/engine/journal/store"
	"safemode/engine/record"
	"safemode/servicerequests"
)

// Packings of a body; see doc.go.
const (
	plain  = 0
	packed = 1 // zstd with the dictionary
)

// dictionary is part of the format: packing 1 is read with these bytes and no others. See
// doc.go for how it was made.
//
//go:embed dictionary1
var dictionary []byte

// mostUnpacked bounds what one body may unpack to, in bytes: a file that lies costs no
// more memory than that.
const mostUnpacked = 1 << 30

// checkSize is how many bytes of a record's hash stand after it.
const checkSize = 4

// packer makes segments. One goroutine may use it.
type packer struct {
	zstd *zstd.Encoder
	sum  hash.Hash
	raw  []byte
	body []byte
}

func newPacker() (*packer, error) {
	z, err := zstd.NewWriter(nil, zstd.WithEncoderDict(dictionary), zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false))
	return &packer{zstd: z, sum: sha256.New()}, err
}

// pack makes the segment that follows a tip of these records, and numbers them. The body
// is good until the next call.
func (p *packer) pack(tip store.Tip, records []record.Record) *store.Segment {
	s := &store.Segment{Head: store.Head{
		Number: tip.Number + 1, First: tip.Seq + 1, Last: tip.Seq + uint64(len(records)), Before: tip.Hash, Packing: packed,
	}}
	p.raw = p.raw[:0]
	at := tip.Hash
	for i := range records {
		r := &records[i]
		r.Seq = s.First + uint64(i)
		at = p.add(s, at, r)
	}
	s.After = at
	p.body = p.zstd.EncodeAll(p.raw, p.body[:0])
	s.Body, s.Sum = p.body, sha256.Sum256(p.body)
	return s
}

// first makes segment 0 of the record that makes a journal.
func (p *packer) first(r *record.Record) *store.Segment {
	s := &store.Segment{Head: store.Head{Packing: plain}}
	p.raw = p.raw[:0]
	s.After = p.add(s, link{}, r)
	s.Body, s.Sum = p.raw, sha256.Sum256(p.raw)
	return s
}

// add appends a record to the body, and returns the hash after it.
func (p *packer) add(s *store.Segment, before link, r *record.Record) link {
	begin := len(p.raw)
	p.raw = AppendRecord(p.raw, r)
	after := p.follow(before, p.raw[begin:])
	p.raw = append(p.raw, after[:checkSize]...)
	note(&s.Head, r.Seq == s.First, r)
	return after
}

// follow is the hash of a record, by its encoding.
func (p *packer) follow(before link, encoded []byte) (after link) {
	p.sum.Reset()
	p.sum.Write(before[:])
	p.sum.Write(encoded)
	p.sum.Sum(after[:0])
	return after
}

// note adds a record to the head's data.
func note(h *store.Head, first bool, r *record.Record) {
	at := r.At.UnixNano()
	if first {
		h.Earliest, h.Latest = at, at
	}
	h.Earliest, h.Latest = min(h.Earliest, at), max(h.Latest, at)
	h.Kinds |= 1 << r.Kind
}

// unpacker opens segments. It may be used concurrently.
type unpacker struct{ zstd *zstd.Decoder }

func newUnpacker() (unpacker, error) {
	z, err := zstd.NewReader(nil, zstd.WithDecoderDicts(dictionary), zstd.WithDecoderMaxMemory(mostUnpacked), zstd.WithDecoderConcurrency(0))
	return unpacker{z}, err
}

// linked is a record with its hash.
type linked struct {
	record.Record
	hash link
}

// open returns the records of a segment, each linked to the one before, if everything in the
// head is true of them. The error is a [*ChainError]: of the first record with a wrong check,
// or of the segment as a whole. The records before it are then returned, too, without proof.
func (u unpacker) open(s *store.Segment) ([]linked, error) {
	whole := func(reason string, args ...any) error {
		return &ChainError{s.First, named(&s.Head) + ": " + fmt.Sprintf(reason, args...)}
	}
	var damage error
	if sha256.Sum256(s.Body) != s.Sum {
		damage = whole("its body is not the one that was written")
	}
	raw, err := u.unpack(s)
	if err != nil {
		if damage == nil {
			damage = whole("its body cannot be unpacked: %v", err)
		}
		return nil, damage
	}
	all, made, err := decode(raw, s)
	if chain, ok := errors.AsType[*ChainError](err); ok {
		chain.Reason = named(&s.Head) + ": " + chain.Reason
		return all, chain
	}
	switch {
	case damage != nil:
	case made.Last != s.Last:
		damage = whole("its body ends at record %d", made.Last)
	case made.After != s.After:
		damage = whole("its hash after is not the one that follows from its records")
	case made.Earliest != s.Earliest || made.Latest != s.Latest:
		damage = whole("its times are not those of its records")
	case made.Kinds != s.Kinds:
		damage = whole("its kinds are not those of its records")
	}
	return all, damage
}

// named names a segment in an error.
func named(h *store.Head) string {
	if h.Last == h.First {
		return fmt.Sprintf("segment %d (record %d)", h.Number, h.First)
	}
	return fmt.Sprintf("segment %d (records %d to %d)", h.Number, h.First, h.Last)
}

func (u unpacker) unpack(s *store.Segment) ([]byte, error) {
	switch s.Packing {
	case plain:
		return s.Body, nil
	case packed:
		return u.zstd.DecodeAll(s.Body, nil)
	}
	return nil, fmt.Errorf("packing %d is not known", int64(s.Packing))
}

// decode reads the records of an unpacked body and makes the head that they have. The
// error is a [*ChainError] of one record.
func decode(raw []byte, s *store.Segment) (all []linked, made store.Head, err error) {
	made = store.Head{First: s.First, Before: s.Before}
	at, seq := s.Before, s.First
	p := packer{sum: sha256.New()}
	for rest := raw; len(rest) > 0; seq++ {
		if seq > s.Last {
			return all, made, &ChainError{s.First, fmt.Sprintf("its body goes on after record %d", s.Last)}
		}
		l, size, err := parseRecord(rest)
		switch {
		case err != nil:
			return all, made, &ChainError{seq, err.Error()}
		case l.Seq != seq:
			return all, made, &ChainError{seq, fmt.Sprintf("record %d stands in its place", l.Seq)}
		case len(rest) < size+checkSize:
			return all, made, &ChainError{seq, "cut off"}
		}
		at = p.follow(at, rest[:size])
		if !bytes.Equal(at[:checkSize], rest[size:size+checkSize]) {
			return all, made, &ChainError{seq, unlinked}
		}
		l.hash = at
		all = append(all, l)
		note(&made, seq == s.First, &l.Record)
		rest = rest[size+checkSize:]
	}
	if len(all) == 0 {
		return nil, made, &ChainError{seq, "missing: the body is empty"}
	}
	made.Last, made.After = seq-1, at
	return all, made, nil
}

// AppendRecord appends the encoding of a record, as the chain and the bodies have it (see
// the package comment).
func AppendRecord(b []byte, r *record.Record) []byte {
	for _, n := range [...]uint64{
		r.Seq, uint64(r.At.UnixNano()), uint64(r.Device),
		uint64(r.ID.Originator), uint64(r.ID.Target), r.ID.Counter,
	} {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	for _, text := range [...]string{r.Kind.String(), srv(r.Service), r.Code} {
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(text))), text...)
	}
	return append(binary.BigEndian.AppendUint32(b, uint32(len(r.Body))), r.Body...)
}

// parseRecord is the inverse of AppendRecord for the record at the beginning of b: it
// returns how many bytes that has. It keeps nothing of b.
func parseRecord(b []byte) (l linked, size int, err error) {
	const integers = 6 * 8
	if len(b) < integers {
		return l, 0, errors.New("cut off")
	}
	number := func(i int) uint64 { return binary.BigEndian.Uint64(b[8*i:]) }
	l.Seq, l.At = number(0), time.Unix(0, int64(number(1))).UTC()
	l.Device, l.ID.Originator, l.ID.Target = servicerequests.EUI(number(2)), servicerequests.EUI(number(3)), servicerequests.EUI(number(4))
	l.ID.Counter = number(5)
	size = integers
	var texts [4][]byte
	for i := range texts {
		if len(b) < size+4 {
			return l, 0, errors.New("cut off")
		}
		n := int(binary.BigEndian.Uint32(b[size:]))
		if size += 4; len(b)-size < n {
			return l, 0, errors.New("cut off")
		}
		texts[i] = b[size : size+n]
		size += n
	}
	if l.Kind, err = record.ParseKind(string(texts[0])); err != nil {
		return l, 0, err
	}
	if l.Service, err = parseSRV(string(texts[1])); err != nil {
		return l, 0, err
	}
	l.Code = string(texts[2])
	if len(texts[3]) > 0 {
		l.Body = bytes.Clone(texts[3])
	}
	return l, size, nil
}
