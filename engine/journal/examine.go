package journal

import (
	"context"
	"errors"
	"fmt"
	"math"

	"safemode/engine/journal/store"
	"safemode/engine/record"
)

// Examine reads a journal that may be damaged, to show what of it is still proven. It calls
// visit with each record up to the first break of the chain, in order. It returns the faults
// that it found: the first break, with the kind of change to the segment if that can be
// told, and the damage that the store finds in itself. No faults: the journal is whole. The
// error says that it is no journal of this version, that it cannot be read at all, or that the
// context has ended.
func Examine(ctx context.Context, at string, visit func(record.Record)) (x Examined, err error) {
	j := &Journal{at: at}
	defer func() { err = j.named(err) }()
	if j.store, err = store.Open(ctx, at, store.Options{}); err != nil {
		return x, err
	}
	defer j.store.Close()
	if j.unpacker, err = newUnpacker(); err != nil {
		return x, err
	}
	defer j.unpacker.zstd.Close()
	if x.File, x.Pages, err = j.store.Check(ctx); err != nil {
		return x, err
	}
	if x.ID, err = j.readID(ctx, j.store); err != nil {
		x.Chain = append(x.Chain, err)
		return x, ctx.Err()
	}
	err = j.walk(ctx, j.store, 1, func(l *linked) bool {
		x.Sound = l.Seq
		visit(l.Record)
		return true
	})
	if ctx.Err() != nil {
		return x, ctx.Err()
	}
	if err != nil {
		x.Chain = append(x.Chain, j.diagnose(ctx, x.Sound, err))
		err = nil
	}
	tip, tipErr := tipOf(ctx, j.store)
	if tipErr == nil {
		x.Tip, tipErr = Tip{tip.Seq, tip.Hash}, checkStray(ctx, j.store)
	}
	if tipErr != nil {
		x.Chain = append(x.Chain, tipErr)
	}
	x.Rows, x.State = j.examineState(ctx)
	return x, ctx.Err()
}

// examineState counts the rows of the state, and says what is wrong with it.
func (j *Journal) examineState(ctx context.Context) (int, error) {
	rows, r, err := j.readState(ctx)
	if err != nil && r.Seq == 0 {
		if left, e := j.store.State(ctx); e != nil || len(left) > 0 {
			return 0, err
		}
		if errors.Is(err, ErrState) {
			return 0, nil // none was kept
		}
	}
	return len(rows), err
}

// Examined is what [Examine] found.
type Examined struct {
	ID    string
	Tip   Tip     // as the store has it
	Sound uint64  // the records from 1 to this one hold
	Chain []error // what is wrong with the records
	Pages int     // of the file that were checked; in a database: segments
	File  []string

	Rows  int   // of the state that holds
	State error // why there is no valid one; nil also if none was kept
}

// diagnose says what was changed at the break after the last sound record. Each record
// has its own number in it, so a segment that stands at another place than its own is
// known by its body.
func (j *Journal) diagnose(ctx context.Context, sound uint64, found error) error {
	chain, ok := errors.AsType[*ChainError](found)
	if !ok {
		return found
	}
	here, follower := j.places(ctx, sound)
	said := func(format string, args ...any) error {
		return &ChainError{sound + 1, fmt.Sprintf(format, args...) + ": " + chain.Reason}
	}
	switch {
	case follower != nil && here != nil && j.begins(here) == follower.First:
		return said("swapped with the segment of record %d", follower.First)
	case follower != nil && here != nil:
		return said("added: what followed record %d begins at record %d now", sound, follower.First)
	case follower != nil:
		return said("not in its place: what followed record %d begins at record %d now", sound, follower.First)
	case here != nil && j.begins(here) > here.First:
		return said("removed, and closed up")
	}
	return found
}

// places finds the segment in the place after record sound, and the segment that belongs in
// that place, if it is in another. Nil: there is none.
func (j *Journal) places(ctx context.Context, sound uint64) (here, follower *store.Segment) {
	before, err := j.store.Read(ctx, sound, 1)
	if err != nil || len(before) == 0 {
		return nil, nil
	}
	for last := uint64(0); ; { // segment 0 is in its place
		page, err := j.store.After(ctx, last, pageSize)
		if err != nil || len(page) == 0 {
			break
		}
		for i := range page {
			s := &page[i]
			if s.First <= last { // a file so damaged that its order is none
				return here, follower
			}
			last = s.First
			if s.First == sound+1 {
				here = s
				continue
			}
			// As it would be in its place.
			moved := *s
			moved.First, moved.Last, moved.Before = sound+1, math.MaxUint64, before[0].After
			raw, err := j.unpacker.unpack(&moved)
			if err != nil || follower != nil {
				continue
			}
			if all, _, err := decode(raw, &moved); err == nil && len(all) > 0 {
				follower = s
			}
		}
	}
	return here, follower
}

// begins is the number of the first record in a body; 0 if it cannot be read.
func (j *Journal) begins(s *store.Segment) uint64 {
	raw, err := j.unpacker.unpack(s)
	if err != nil {
		return 0
	}
	first, _, err := parseRecord(raw)
	if err != nil {
		return 0
	}
	return first.Seq
}
