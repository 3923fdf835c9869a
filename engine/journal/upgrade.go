package journal

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"safemode/engine/journal/store"
	"safemode/engine/record"
	"safemode/servicerequests"
)

// upgradeBatch is how many records of an older journal make a segment: where its batches
// ended is not in it.
const upgradeBatch = 256

// Upgrade makes a journal of today, in a new place, of one of version 2, which has a row
// for each record. The records, their numbers, the chain, the ID and the kept state are
// the same, and so are all hashes that anybody has noted. The older chain is verified on
// the way. The older file stays as it is. Errors are those of [Copy].
func Upgrade(ctx context.Context, from, to string) (_ Tip, err error) {
	old, err := store.OpenOlder(ctx, from)
	if err != nil {
		return Tip{}, fmt.Errorf("journal %s: %w", from, err)
	}
	defer old.Close()
	pour := func(path string) (Tip, error) {
		return fill(ctx, path, func(to store.Store) (store.Tip, error) { return upgrade(ctx, old, to) })
	}
	if store.IsAddress(to) {
		return pour(to)
	}
	return intoFile(to, pour)
}

func upgrade(ctx context.Context, old *store.Older, to store.Store) (end store.Tip, err error) {
	p, err := newPacker()
	if err != nil {
		return end, err
	}
	seq, hash, err := old.Tip(ctx)
	if err != nil {
		return end, err
	}
	rows, err := old.State(ctx)
	if err != nil {
		return end, err
	}
	var batch []record.Record
	var at link // of the last record that was read
	write := func() error {
		if len(batch) == 0 {
			return nil
		}
		var k store.State
		if batch[len(batch)-1].Seq == uint64(seq) { // whether a record proves it is checked when it is read
			k = store.State{Rows: rows, Whole: true}
		}
		s := p.pack(end, batch)
		end, batch = s.Tip(), batch[:0]
		return to.Append(s, k)
	}
	next := int64(0)
	err = old.Each(ctx, func(row store.OlderRow) error {
		if row.Seq != next {
			return &ChainError{uint64(next), "missing"}
		}
		next++
		r, err := recordOf(row)
		if err != nil {
			return &ChainError{r.Seq, err.Error()}
		}
		if at = p.follow(at, AppendRecord(nil, &r)); !bytes.Equal(at[:], row.Hash) {
			return &ChainError{r.Seq, unlinked}
		}
		switch {
		case r.Seq == 0 && r.Kind != record.Made:
			return &ChainError{0, "altered"}
		case r.Seq == 0:
			s := p.first(&r)
			end = s.Tip()
			return to.Append(s, store.State{})
		case r.Seq > uint64(seq):
			return &ChainError{r.Seq, "added after the last one that was written"}
		}
		if batch = append(batch, r); len(batch) == upgradeBatch {
			return write()
		}
		return nil
	})
	if err == nil {
		err = write()
	}
	if err == nil && (end.Seq != uint64(seq) || !bytes.Equal(end.Hash[:], hash)) {
		err = &ChainError{end.Seq, "not the last record that was written"}
	}
	return end, err
}

// recordOf is the record of a row. After an error it has the number alone.
func recordOf(row store.OlderRow) (r record.Record, err error) {
	r.Seq = uint64(row.Seq)
	kind, err := record.ParseKind(row.Kind)
	if err != nil {
		return r, err
	}
	service, err := parseSRV(row.SRV)
	if err != nil {
		return r, err
	}
	r = record.Record{
		Seq: r.Seq, At: time.Unix(0, row.At).UTC(), Kind: kind, Device: servicerequests.EUI(row.Device), Service: service,
		ID: servicerequests.RequestID{
			Originator: servicerequests.EUI(row.Originator), Target: servicerequests.EUI(row.Target), Counter: uint64(row.Counter),
		},
		Code: row.Code, Body: row.Body,
	}
	return r, nil
}
