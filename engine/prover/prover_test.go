package prover

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"safemode/engine/proof"
	"safemode/engine/record"
)

// Nothing is acknowledged before it is durable, and nothing is proven before.
func TestStoredFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		defer b.run()()
		disk := make(chan struct{})
		b.storing = func(record.Record) error { <-disk; return nil }
		var acknowledged bool
		go func() { b.receive("a.1"); acknowledged = true }()
		synctest.Wait()
		if acknowledged || b.proofs != 0 {
			t.Error("acknowledged or judged before it was durable")
		}
		b.wantUnjudged("while it is being stored", nil, 0)
		close(disk)
		b.want("stored", []string{"a.1"}, nil)
		if !acknowledged {
			t.Error("not acknowledged")
		}
		b.wantUnjudged("delivered", []uint64{1}, 1)
		b.Settled(1)
		b.wantUnjudged("settled", nil, 1)
		if n := b.metric("safemode_prover_unproven_bytes"); n != 0 {
			t.Errorf("%v bytes are unproven", n)
		}
	})
}

// A message that could not be stored leaves no trace.
func TestNotStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		defer b.run()()
		disk := errors.New("disk full")
		b.storing = func(record.Record) error { return disk }
		if err := b.Receive(t.Context(), messageOf("a.1")); !errors.Is(err, disk) {
			t.Errorf("got %v", err)
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if err := b.Receive(gone, messageOf("a.2")); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		b.want("not stored", nil, nil)
		b.wantUnjudged("not stored", nil, 1)
		if len(b.queues) != 0 || b.waiting != 0 || b.unproven != 0 || b.memory != 0 {
			t.Errorf("left behind: %d queues, %d waiting, %d unproven, %d in memory", len(b.queues), b.waiting, b.unproven, b.memory)
		}
	})
}

// A message that is being stored is stored, although the DCC has closed the connection.
func TestStoredThoughNobodyWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		defer b.run()()
		b.storing = func(record.Record) error { time.Sleep(time.Minute); return nil }
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := b.Receive(ctx, messageOf("a.1")); err != nil {
			t.Error(err)
		}
		b.want("stored", []string{"a.1"}, nil)
	})
}

// Answers of one device come in the order of their records, however long each proof takes
// and whichever of them is durable first. Devices do not wait for each other.
func TestOrderOfADevice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		defer b.run()()
		b.storing = func(r record.Record) error {
			if string(r.Body) == "a.1" {
				time.Sleep(time.Minute) // longer than those behind it
			}
			return nil
		}
		b.proving = func(_ context.Context, body string) {
			if body == "a.2" {
				time.Sleep(time.Second)
			}
		}
		go b.receive("a.1")
		synctest.Wait()
		b.receive("a.2", "b.1", "a.3")
		b.want("while the first is being stored", []string{"b.1"}, nil)
		b.wantUnjudged("while the first is being stored", []uint64{2, 3, 4}, 0)
		time.Sleep(2 * time.Minute)
		b.want("in the end", []string{"b.1", "a.1", "a.2", "a.3"}, nil)
	})
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		defer b.run()()
		b.proving = func(_ context.Context, body string) { time.Sleep(time.Duration(len(body)*7919%13) * time.Millisecond) }
		var want []string
		for i := range 50 {
			want = append(want, "a."+strings.Repeat("x", i))
			b.receive(want[i], fmt.Sprintf("b.%d", i), fmt.Sprintf("c.%d", i))
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		got := slices.DeleteFunc(slices.Clone(b.delivered), func(body string) bool { return !strings.HasPrefix(body, "a.") })
		if !slices.Equal(got, want) || len(b.delivered) != 150 {
			t.Errorf("%d delivered, the device's as %q", len(b.delivered), got)
		}
	})
}

// The process dies between store and delivery. The next run takes up what is not settled.
func TestCrashBetweenStoreAndDelivery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := newBench(t, nil)
		first.set(fault(proof.ErrUndecided), "a.2", "0.1")
		end := first.run()
		first.receive("a.1", "a.2")
		synctest.Wait()
		first.Settled(1)
		end()
		first.receive("a.3", "b.1") // the inbox ends after it: stored, and not judged
		first.want("the first run", []string{"a.1"}, nil)
		seqs, from := first.Unjudged()
		if !slices.Equal(seqs, []uint64{2, 3, 4}) || from != 4 {
			t.Errorf("left %v, from %d", seqs, from)
		}

		second := newBench(t, nil)
		second.log, second.queued = first.log, first.queued
		for _, seq := range slices.Backward(seqs) {
			second.Again(seq, second.log[seq-1].At, second.log[seq-1].Body)
		}
		second.wantUnjudged("before the run", seqs, 4)
		second.receive("a.4")
		defer second.run()()
		second.wantDelivered("the second run", "a.2", "a.3", "a.4", "b.1")
	})
}

// The end of a run comes while a proof waits for keys: nothing is decided by that.
func TestEndWhileProving(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, func(o *Options) { o.Patience = time.Hour })
		b.proving = func(ctx context.Context, _ string) { <-ctx.Done() }
		b.set(fault(proof.ErrUndecided), "a.1")
		end := b.run()
		b.receive("a.1")
		time.Sleep(30 * time.Minute)
		end()
		b.want("ended", nil, nil)
		b.wantUnjudged("ended", []uint64{1}, 1)
		b.Learnt(0)
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		if b.proofs != 1 {
			t.Errorf("tried %d times", b.proofs)
		}
	})
}

func TestOptionsValidate(t *testing.T) {
	if _, err := New(Options{Workers: -1, Limit: -1}); err == nil || !strings.Contains(err.Error(), "required") ||
		!strings.Contains(err.Error(), "workers") || !strings.Contains(err.Error(), "limit") {
		t.Errorf("got %v", err)
	}
	b := newBench(t, nil)
	if problems, err := testutil.GatherAndLint(b.registry); err != nil || len(problems) > 0 {
		t.Errorf("metrics: %v, %v", problems, err)
	}
}

// Many of everything at once: every message is delivered, in order, and nothing is left.
func TestManyAtOnce(t *testing.T) {
	b := newBench(t, func(o *Options) { o.Waiting, o.Workers = 16, 8 })
	end := b.run()
	const devices, messages = 10, 40
	var wg sync.WaitGroup
	for d := range devices {
		wg.Go(func() {
			for m := range messages {
				b.receive(fmt.Sprintf("%c.%03d", 'a'+d, m))
			}
		})
	}
	wg.Wait()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		b.mu.Lock()
		n := len(b.delivered)
		b.mu.Unlock()
		if n == devices*messages || time.Now().After(deadline) {
			break
		}
	}
	end()
	sorted := slices.Clone(b.delivered)
	slices.SortStableFunc(sorted, func(a, b string) int { return strings.Compare(a[:1], b[:1]) })
	if len(sorted) != devices*messages || !slices.IsSorted(sorted) {
		t.Errorf("%d delivered, in order %v", len(sorted), slices.IsSorted(sorted))
	}
	seqs, from := b.Unjudged()
	for _, seq := range seqs {
		b.Settled(seq)
	}
	if left, _ := b.Unjudged(); len(left) != 0 || from != devices*messages || b.memory != 0 || b.unproven != 0 {
		t.Errorf("left: %v from %d, %d in memory, %d unproven", left, from, b.memory, b.unproven)
	}
}
