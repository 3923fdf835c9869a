package journal

import (
	"context"
	"fmt"

	"safemode/engine/record"
)

// Heads returns up to limit durable records from seq from on, in order, without their
// bodies but for those of [Target] and [Verdict] records, with the hash of the last. For
// whoever remembers where records are: the chain is not checked.
func (j *Journal) Heads(ctx context.Context, from uint64, limit int) (heads []record.Record, last [32]byte, err error) {
	tip, err := readTip(ctx, j.reader)
	if err != nil {
		return nil, last, fmt.Errorf("journal %s: %w", j.path, err)
	}
	const headColumns = "seq, at, kind, device, srv, originator, target, counter, code, CASE WHEN kind IN ('target', 'verdict') THEN body ELSE x'' END, hash"
	from = max(from, 1)
	page, err := readRows(ctx, j.reader, headColumns, from, min(from+uint64(limit)-1, tip.Seq))
	if err != nil {
		return nil, last, fmt.Errorf("journal %s: %w", j.path, err)
	}
	for _, r := range page {
		heads, last = append(heads, r.Record), r.hash
	}
	return heads, last, nil
}

// At returns one durable record, held to the hash that the row before it has: it is
// what was written if that one is. Only [Journal.Verify] shows the whole chain.
func (j *Journal) At(ctx context.Context, seq uint64) (r record.Record, err error) {
	if seq == 0 {
		return r, fmt.Errorf("journal %s: record 0 is not handed out", j.path)
	}
	page, err := readPage(ctx, j.reader, seq-1, seq)
	switch {
	case err != nil:
	case len(page) != 2:
		err = &ChainError{seq, "missing"}
	default:
		if sum, _ := link(nil, page[0].hash, &page[1].Record); sum == page[1].hash {
			return page[1].Record, nil
		}
		err = &ChainError{seq, unlinked}
	}
	return r, fmt.Errorf("journal %s: %w", j.path, err)
}
