package journal

import (
	"context"
	"fmt"
	"time"

	"safemode/engine/journal/store"
	"safemode/engine/record"
)

// Commit queues records. It returns when they are durable, and all that were queued before.
// Either all of them are durable or none. It fails if a record cannot be written, with the
// error of [Journal.Err] if the journal takes no records or their write fails, and with the
// context's error if that ends first: then, unless the context had ended before the call,
// the records may still become durable.
func (j *Journal) Commit(ctx context.Context, records ...record.Record) error {
	_, err := j.CommitAt(ctx, records...)
	return err
}

// CommitAt is [Journal.Commit] for callers that need the records' numbers: last is the number
// of the last of these records. Those before it have the numbers before it. For no
// records, and with an error, it is 0.
func (j *Journal) CommitAt(ctx context.Context, records ...record.Record) (last uint64, err error) {
	if err := checkAll(records); err != nil {
		return 0, err
	}
	b, last, err := j.enqueue(ctx, records, store.State{})
	if err != nil || b == nil {
		return 0, err
	}
	select {
	case <-b.durable:
		if b.err != nil {
			return 0, b.err
		}
		return last, nil
	case <-ctx.Done():
		return 0, j.named(fmt.Errorf("%w: %w", ctx.Err(), errUncertain))
	}
}

// Append queues records in the same order as Commit does, and returns without
// waiting for the disk: they are durable with the next batch. It blocks only
// while the queue is full. Any failure, also a record that cannot be written, ends the journal,
// and shows in Err, in Failed and in every later Commit.
func (j *Journal) Append(records ...record.Record) {
	if err := checkAll(records); err != nil {
		_ = j.fail(err) // shows in Err
		return
	}
	_, _, _ = j.enqueue(context.Background(), records, store.State{}) // its only error is that of Err
}

func checkAll(records []record.Record) error {
	for _, r := range records {
		if err := r.Check(); err != nil {
			return err
		}
	}
	return nil
}

// enqueue puts records, and rows of the state that follow from them, into the open
// batch and returns it, and the number of the last of these records. For no records it
// returns the batch with the last one that was queued; nil if there is none.
func (j *Journal) enqueue(ctx context.Context, records []record.Record, k store.State) (b *batch, last uint64, err error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, 0, err
		}
		j.mu.Lock()
		b := j.open
		switch {
		case j.refusal() != nil:
			defer j.mu.Unlock()
			return nil, 0, j.refusal()
		case len(records) == 0: // wait for those that were queued before
			if len(b.records) == 0 {
				b = j.taken
			}
			j.mu.Unlock()
			return b, 0, nil
		case len(b.records) < j.opts.BatchLimit:
			b.records = append(b.records, records...)
			b.state = store.State{Rows: append(b.state.Rows, k.Rows...), Whole: b.state.Whole || k.Whole}
			j.last += uint64(len(records))
			last := j.last
			if len(b.records) >= j.opts.BatchLimit {
				close(b.full)
			}
			j.mu.Unlock()
			select {
			case j.wake <- struct{}{}:
			default: // the committer knows
			}
			return b, last, nil
		}
		j.mu.Unlock()
		select {
		case <-b.taken:
		case <-ctx.Done():
		}
	}
}

// commitLoop is the committer: the only goroutine that writes. It ends when
// Close has been called and nothing is queued. A journal that may not be written any more
// fails at once, not with the next batch.
func (j *Journal) commitLoop() {
	defer close(j.done)
	linger := time.NewTimer(0)
	defer linger.Stop()
	lost := j.store.Lost()
	for closing := false; ; {
		if !closing {
			select {
			case <-j.wake:
				linger.Reset(j.opts.Linger)
				j.mu.Lock()
				b := j.open
				j.mu.Unlock()
				select {
				case <-linger.C:
				case <-b.full:
				case <-j.closing:
				}
			case <-j.closing:
				closing = true
			case <-lost:
				_ = j.fail(j.store.Held()) // shows in Err
				lost = nil
				continue
			}
		}
		b := j.take()
		if len(b.records) == 0 {
			close(b.durable)
			if closing {
				return
			}
			continue
		}
		b.err = j.write(b)
		close(b.durable)
	}
}

// take closes the open batch for records and opens the next.
func (j *Journal) take() *batch {
	j.mu.Lock()
	defer j.mu.Unlock()
	b := j.open
	j.open, j.taken = newBatch(), b
	close(b.taken)
	return b
}

// write makes one batch durable as a segment, unless an earlier one has failed.
func (j *Journal) write(b *batch) error {
	j.mu.Lock()
	tip, failure := j.tip, j.failure
	j.mu.Unlock()
	if failure != nil {
		return failure
	}
	start := time.Now()
	s := j.packer.pack(tip, b.records)
	if err := j.store.Append(s, b.state); err != nil {
		return j.fail(err)
	}
	j.metrics.commit.Observe(time.Since(start).Seconds())
	j.mu.Lock()
	j.tip = s.Tip()
	j.mu.Unlock()
	return nil
}

// fail ends the journal. The first failure stays.
func (j *Journal) fail(err error) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.failure == nil {
		j.failure = j.named(err)
		close(j.failed)
	}
	return j.failure
}
