package journal

import (
	"context"
	"fmt"
	"iter"
	"math"
	"sync"

	"safemode/engine/journal/store"
	"safemode/engine/record"
)

// pageSize is how many segments one query reads. Between queries no read transaction is
// open, so a slow reader does not hold up checkpoints.
const pageSize = 64

// Records returns the durable records from seq from on (0 and 1 are the
// first), in order, up to the last one that is durable when the end is
// reached. The chain is checked on the way; the iteration ends with the first
// error, which wraps [ChainError] where a record is missing or altered. No record of a
// segment is handed out before the whole of it holds.
func (j *Journal) Records(ctx context.Context, from uint64) iter.Seq2[record.Record, error] {
	return func(yield func(record.Record, error) bool) {
		if err := j.walk(ctx, j.store, max(from, 1), func(l *linked) bool { return yield(l.Record, nil) }); err != nil {
			yield(record.Record{}, j.named(err))
		}
	}
}

// Verify reads the whole journal and says what is wrong with it: the first
// record that is missing, added or altered ([ChainError]), a schema that is
// not ours, or damage that the store's own check finds.
func (j *Journal) Verify(ctx context.Context) error { return j.named(j.verify(ctx)) }

func (j *Journal) verify(ctx context.Context) error {
	found, _, damage := j.store.Check(ctx)
	if damage == nil && len(found) > 0 {
		damage = fmt.Errorf("%w: %s", ErrDamaged, found[0])
	}
	// An error about a record says more.
	if err := j.walk(ctx, j.store, 1, func(*linked) bool { return true }); err != nil {
		return err
	}
	if err := checkStray(ctx, j.store); err != nil {
		return err
	}
	return damage
}

// tipOf is the end of a journal that was begun.
func tipOf(ctx context.Context, r store.Reader) (store.Tip, error) {
	tip, ok, err := r.Tip(ctx)
	if err == nil && !ok {
		err = fmt.Errorf("%w: it has no records", ErrDamaged)
	}
	return tip, err
}

// checkStray refuses segments that the tip does not know.
func checkStray(ctx context.Context, r store.Reader) error {
	tip, err := tipOf(ctx, r)
	if err != nil {
		return err
	}
	first, last, err := r.Range(ctx)
	switch {
	case err != nil:
		return err
	case first < 0:
		return fmt.Errorf("%w: record %d was added before the beginning", ErrDamaged, first)
	case last <= 0 || uint64(last) <= tip.Seq:
		return nil
	}
	// A writer may have been at work between the two looks.
	if tip, err = tipOf(ctx, r); err != nil || uint64(last) <= tip.Seq {
		return err
	}
	return &ChainError{uint64(last), fmt.Sprintf("added after record %d, the last one that was written", tip.Seq)}
}

// walk visits the records from seq next on until visit returns false. Before it visits
// the first of a segment it checks that the segment is there, follows the one before, and
// holds.
func (j *Journal) walk(ctx context.Context, r store.Reader, next uint64, visit func(*linked) bool) error {
	var before *store.Tip // the end of the segment before; nil until it is read
	var first uint64      // where that began
	for {
		tip, err := tipOf(ctx, r)
		if err != nil || next > tip.Seq {
			return err
		}
		begun := next
		var page []store.Segment
		var unread error
		if before == nil {
			page, unread = r.Read(ctx, next, pageSize)
		} else {
			page, unread = r.After(ctx, first, pageSize)
		}
		for i := range page {
			s := &page[i]
			if next > tip.Seq {
				break
			}
			if before == nil {
				if before, err = j.endBefore(ctx, r, s, next); err != nil {
					return err
				}
			}
			all, err := j.follows(*before, s)
			if err != nil {
				return err
			}
			if end := s.Tip(); s.Last >= tip.Seq && end != tip {
				return &ChainError{tip.Seq, "not the last record that was written"}
			}
			for i := range all {
				if all[i].Seq >= next && !visit(&all[i]) {
					return nil
				}
			}
			*before, first, next = s.Tip(), s.First, s.Last+1
		}
		switch {
		case unread != nil:
			return unread
		case next == begun:
			return &ChainError{next, "missing"}
		}
	}
}

// endBefore is the end of the segment before the first that a walk from record next reads.
func (j *Journal) endBefore(ctx context.Context, r store.Reader, s *store.Segment, next uint64) (*store.Tip, error) {
	switch {
	case s.First > next:
		return nil, &ChainError{next, fmt.Sprintf("missing, and all up to record %d", s.First-1)}
	case s.Last < next:
		return nil, &ChainError{next, "missing"}
	case s.First == 0:
		return nil, &ChainError{0, "more than the record that makes the journal is in segment 0"}
	}
	found, err := r.Read(ctx, s.First-1, 1)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 || found[0].Last != s.First-1 {
		return nil, &ChainError{s.First - 1, "missing"}
	}
	end := found[0].Tip()
	return &end, nil
}

// follows opens a segment that must be the next after an end.
func (j *Journal) follows(end store.Tip, s *store.Segment) ([]linked, error) {
	wrong := func(seq uint64, reason string, args ...any) ([]linked, error) {
		return nil, &ChainError{seq, fmt.Sprintf(reason, args...)}
	}
	switch {
	case s.First > end.Seq+1:
		return wrong(end.Seq+1, "missing, and all up to record %d", s.First-1)
	case s.First <= end.Seq:
		return wrong(end.Seq+1, "%s was added, or is not in its place: record %d is in the segment before", named(&s.Head), s.First)
	}
	all, err := j.unpacker.open(s)
	switch {
	case err != nil:
		return nil, err
	case s.Number != end.Number+1:
		return wrong(s.First, "%s: its number is to be %d", named(&s.Head), end.Number+1)
	case s.Before != end.Hash:
		return wrong(s.First, "%s: %s", named(&s.Head), unlinked)
	}
	return all, nil
}

// readID reads record 0, which makes the journal.
func (j *Journal) readID(ctx context.Context, r store.Reader) (string, error) {
	found, err := r.Read(ctx, 0, 1)
	switch {
	case err != nil:
		return "", err
	case len(found) == 0 || found[0].First != 0:
		return "", &ChainError{0, "missing"}
	}
	s := &found[0]
	all, err := j.unpacker.open(s)
	if err != nil {
		return "", err
	}
	if s.Last != 0 || s.Number != 0 || s.Before != (link{}) || s.Packing != plain || all[0].Kind != record.Made {
		return "", &ChainError{0, "altered"}
	}
	return string(all[0].Body), nil
}

// segmentOf opens the segment of a durable record. The caller must not change the result.
func (j *Journal) segmentOf(ctx context.Context, seq uint64) ([]linked, error) {
	if all := j.recent.get(seq); all != nil {
		return all, nil
	}
	found, err := j.store.Read(ctx, seq, 1)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 || found[0].Last < seq || found[0].First > seq {
		return nil, &ChainError{seq, "missing"}
	}
	all, err := j.unpacker.open(&found[0])
	if err == nil {
		j.recent.put(all)
	}
	return all, err
}

// recent are the segments that were opened last for single records: a caller that reads one
// record usually reads its neighbours, too.
type recent struct {
	mu   sync.Mutex
	open [4][]linked
	next int
}

func (c *recent) get(seq uint64) []linked {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, all := range c.open {
		if len(all) > 0 && all[0].Seq <= seq && seq <= all[len(all)-1].Seq {
			return all
		}
	}
	return nil
}

func (c *recent) put(all []linked) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open[c.next] = all
	c.next = (c.next + 1) % len(c.open)
}

// At returns one durable record. It checks the record by the hashes before and after its
// segment, not these hashes themselves. Only [Journal.Verify] checks the whole chain.
func (j *Journal) At(ctx context.Context, seq uint64) (r record.Record, err error) {
	if seq == 0 {
		return r, fmt.Errorf("journal %s: record 0 is not handed out", store.Shown(j.at))
	}
	all, err := j.segmentOf(ctx, seq)
	if err != nil {
		return r, j.named(err)
	}
	return all[seq-all[0].Seq].Record, nil
}

// HashAt returns the chain's hash at a durable record.
func (j *Journal) HashAt(seq uint64) ([32]byte, error) {
	all, err := j.segmentOf(context.Background(), seq)
	if err != nil {
		return link{}, j.named(err)
	}
	return all[seq-all[0].Seq].hash, nil
}

// Heads returns up to limit durable records from seq from on, in order, without their
// bodies except for [record.Target] and [record.Verdict] records, with the hash of the last. It
// is for an index: each segment is checked, and the links between them are not.
func (j *Journal) Heads(ctx context.Context, from uint64, limit int) (heads []record.Record, last [32]byte, err error) {
	tip, err := tipOf(ctx, j.store)
	for next := max(from, 1); err == nil && next <= tip.Seq && len(heads) < limit; {
		var page []store.Segment
		if page, err = j.store.Read(ctx, next, pageSize); err != nil {
			break
		}
		if len(page) == 0 || page[0].First > next || page[0].Last < next {
			err = &ChainError{next, "missing"}
		}
		for i := 0; i < len(page) && err == nil && len(heads) < limit && page[i].First <= next; i++ {
			var all []linked
			if all, err = j.unpacker.open(&page[i]); err != nil {
				break
			}
			for k := range all {
				l := &all[k]
				if l.Seq < next || len(heads) == limit {
					continue
				}
				if l.Kind != record.Target && l.Kind != record.Verdict {
					l.Body = nil
				}
				heads, last, next = append(heads, l.Record), l.hash, l.Seq+1
			}
		}
	}
	if err != nil {
		return nil, link{}, j.named(err)
	}
	return heads, last, nil
}

// Latest returns the last durable record of a kind, with number 0 if there is none. It
// reads little if [store.Marked] has the kind.
func (j *Journal) Latest(ctx context.Context, kind record.Kind) (record.Record, error) {
	return j.LatestBetween(ctx, 0, math.MaxInt64, kind)
}

// LatestAfter is [Journal.LatestBetween] up to the end.
func (j *Journal) LatestAfter(ctx context.Context, after uint64, kind record.Kind) (r record.Record, err error) {
	return j.LatestBetween(ctx, after, math.MaxInt64, kind)
}

// LatestBetween returns the last durable record of a kind between two others, with number
// 0 if there is none. If [store.Marked] does not have the kind, it reads every segment between
// these.
func (j *Journal) LatestBetween(ctx context.Context, after, before uint64, kind record.Kind) (record.Record, error) {
	r, err := j.latest(ctx, j.store, after, before, kind)
	return r, j.named(err)
}

func (j *Journal) latest(ctx context.Context, from store.Reader, after, before uint64, kind record.Kind) (found record.Record, err error) {
	err = j.backward(ctx, from, after, before, 1<<kind, 1, func(r record.Record) bool { found = r; return false })
	return found, err
}

// Backward returns the durable records of some kinds between two others, the last one first. It
// reads little if [store.Marked] has the kinds.
func (j *Journal) Backward(ctx context.Context, after, before uint64, kinds ...record.Kind) iter.Seq2[record.Record, error] {
	var mask uint64
	for _, kind := range kinds {
		mask |= 1 << kind
	}
	return func(yield func(record.Record, error) bool) {
		if err := j.backward(ctx, j.store, after, before, mask, 256, func(r record.Record) bool { return yield(r, nil) }); err != nil {
			yield(record.Record{}, j.named(err))
		}
	}
}

// backward reads so many segments at a time, until do returns false.
func (j *Journal) backward(ctx context.Context, from store.Reader, after, before, kinds uint64, most int, do func(record.Record) bool) error {
	for {
		page, err := from.Newest(ctx, kinds, after, before, most)
		if err != nil || len(page) == 0 {
			return err
		}
		for n := range page {
			// The index may be older than the row, in a file that somebody has changed.
			all, err := j.unpacker.open(&page[n])
			if err != nil {
				return err
			}
			for i := len(all) - 1; i >= 0; i-- {
				if r := all[i].Record; kinds&(1<<r.Kind) != 0 && r.Seq > after && r.Seq < before && !do(r) {
					return nil
				}
			}
			before = page[n].First
		}
	}
}
