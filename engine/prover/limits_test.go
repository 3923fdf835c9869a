package prover

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"safemode/engine/proof"
	"safemode/engine/record"
)

// While too many wait for their proof the DCC waits, and learns that nothing was stored.
func TestBackpressure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, func(o *Options) { o.Waiting = 2 })
		slow := make(chan struct{})
		b.proving = func(context.Context, string) { <-slow }
		end := b.run()
		b.receive("a.1", "a.2")
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		if err := b.Receive(ctx, messageOf("a.3")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("over the limit: %v", err)
		}
		b.wantUnjudged("over the limit", []uint64{1, 2}, 2)
		go b.receive("a.4")
		synctest.Wait()
		close(slow)
		b.want("with room", []string{"a.1", "a.2", "a.4"}, nil)
		end()
	})
}

// Those that are undecided do not count among those that wait.
func TestUndecidedDoNotHoldUpOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, func(o *Options) { o.Waiting = 2 })
		defer b.run()()
		b.set(fault(proof.ErrUndecided), "a.1", "a.2", "a.3", "a.4")
		b.receive("a.1", "a.2", "a.3", "a.4", "b.1")
		b.want("at once", []string{"b.1"}, nil)
	})
}

// A full store puts messages off, with a notice, until there is room. What cannot be read
// leaves room for what can.
func TestFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, func(o *Options) { o.Limit = 4 * cost(3) })
		defer b.run()()
		b.set(fault(proof.ErrUndecided), "a.1", "a.2", "a.3", "a.4")
		b.receive("a.1", "a.2", "a.3")
		time.Sleep(time.Second)
		odd := messageOf("b.1")
		odd.Kind = record.Received
		if err := b.Receive(t.Context(), odd); !errors.Is(err, errFull) {
			t.Errorf("what cannot be read: %v", err)
		}
		b.receive("a.4")
		synctest.Wait()
		for range 3 {
			if err := b.Receive(t.Context(), messageOf("b.2")); !errors.Is(err, errFull) {
				t.Errorf("over the limit: %v", err)
			}
		}
		if n := b.metric("safemode_prover_full_total"); n != 4 {
			t.Errorf("counted %v", n)
		}
		if n := b.logs.FilterMessageSnippet("limit of unproven messages").Len(); n != 1 {
			t.Errorf("%d notices, want 1", n)
		}
		b.set(nil, "a.1", "a.2")
		time.Sleep(time.Minute)
		b.receive("b.3")
		b.wantDelivered("with room", "a.1", "a.2", "b.3")
	})
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, func(o *Options) { o.Limit, o.Used = 4*cost(3), 4*cost(3) })
		if err := b.Receive(t.Context(), messageOf("a.1")); !errors.Is(err, errFull) {
			t.Errorf("used up by earlier runs: %v", err)
		}
	})
}

// Bodies beyond the memory are read again.
func TestMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, func(o *Options) { o.Memory = 10 })
		end := b.run()
		bodies := []string{"a.1", "b.2", "c.3", "d.4", "e.5", "f.6"}
		b.set(fault(proof.ErrUndecided), bodies...)
		for _, body := range bodies {
			b.receive(body)
			synctest.Wait()
		}
		if b.memory > 10 || b.memory < 9 {
			t.Errorf("%d bytes in memory", b.memory)
		}
		b.set(nil, bodies...)
		time.Sleep(time.Minute)
		b.wantDelivered("all of them", bodies...)
		if b.reread != 3 {
			t.Errorf("%d read again, want 3", b.reread)
		}
		end()
		if b.memory != 0 || b.unproven != 0 || b.waiting != 0 || b.waitingBytes != 0 || len(b.queues) != 0 {
			t.Errorf("left behind: %d in memory, %d unproven, %d waiting of %d bytes, %d queues", b.memory, b.unproven, b.waiting, b.waitingBytes, len(b.queues))
		}
	})
}
