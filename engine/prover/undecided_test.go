package prover

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"safemode/engine/proof"
)

// The SMKI service knows no key of a device, and a while later it does.
func TestNoKeysYet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		defer b.run()()
		b.set(fault(proof.ErrUndecided), "a.1", "a.2")
		b.receive("a.1", "b.1", "a.2")
		b.want("at first", []string{"b.1"}, nil)
		if n, age := b.metric("safemode_prover_kept_messages"), b.metric("safemode_prover_kept_oldest_seconds"); n != 2 || age != 0 {
			t.Errorf("%v kept, the oldest for %v s", n, age)
		}
		time.Sleep(50 * time.Second)
		b.want("after 50 s", []string{"b.1"}, nil)
		time.Sleep(50 * time.Second)
		b.want("after a while", []string{"b.1"}, []string{"not yet a.1", "not yet a.2"})
		b.Settled(1) // somebody takes it for the end
		time.Sleep(24 * time.Hour)
		b.want("a day later", []string{"b.1"}, []string{"not yet a.1", "not yet a.2"})
		if n := b.proofs; n < 50 || n > 100 {
			t.Errorf("%d tries of two messages in a day", n)
		}
		if age := b.metric("safemode_prover_kept_oldest_seconds"); age < 86400 {
			t.Errorf("the oldest is kept for %v s", age)
		}
		b.wantUnjudged("a day later", []uint64{1, 2, 3}, 3)
		b.set(nil, "a.1", "a.2")
		time.Sleep(time.Hour)
		b.want("with keys", []string{"b.1", "a.1", "a.2"}, []string{"not yet a.1", "not yet a.2"})
		if n := b.metric("safemode_prover_kept_messages"); n != 0 {
			t.Errorf("%v kept", n)
		}
	})
}

// When the directory learns keys nobody waits for the next try.
func TestLearnt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		defer b.run()()
		b.set(fault(proof.ErrUndecided), "a.1", "a.2", "b.1")
		b.receive("a.1", "a.2", "b.1")
		time.Sleep(10*time.Hour + time.Second)
		b.set(nil, "a.1", "a.2", "b.1")
		b.Learnt(meter + 1) // another
		b.wantDelivered("another's keys")
		b.Learnt(messageOf("a.1").Device)
		b.wantDelivered("its keys", "a.1", "a.2")
		b.Learnt(0)
		b.wantDelivered("all", "a.1", "a.2", "b.1")
	})
}

// A certificate of the DCC that is not known costs no message. A person is told.
func TestUnknownSigner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		defer b.run()()
		var bodies []string
		for i := range 100 {
			bodies = append(bodies, fmt.Sprintf("a.%02d", i))
		}
		b.set(fault(proof.ErrUnknownSigner), bodies...)
		b.receive(bodies...)
		b.want("unknown", nil, nil)
		if n := b.logs.FilterMessageSnippet("DCC signing certificate not configured").Len(); n != 1 {
			t.Errorf("%d notices, want 1", n)
		}
		if n := b.metric("safemode_prover_unknown_signer_total"); n != 100 {
			t.Errorf("counted %v", n)
		}
		b.set(nil, bodies...)
		time.Sleep(2 * time.Second)
		b.want("known", bodies, nil)
	})
}

// A refused message is reported once and not tried again, and takes its room for good.
func TestDisbelieved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		defer b.run()()
		b.set(fault(proof.ErrUnverified), "a.1")
		b.set(fault(proof.ErrInvalid), "b.1")
		b.set(errors.New("the verifier is out of order"), "c.1")
		b.receive("a.1", "a.2")
		b.want("a lie", []string{"a.2"}, []string{"no a.1"})
		b.receive("b.1", "c.1")
		time.Sleep(24 * time.Hour)
		b.want("a day later", []string{"a.2"}, []string{"no a.1", "no b.1", "not yet c.1"})
		b.wantUnjudged("before the marks", []uint64{1, 2, 3, 4}, 4)
		for seq := range uint64(4) {
			b.Settled(seq + 1)
		}
		b.wantUnjudged("after the marks", []uint64{4}, 4) // not judged, whatever anybody says
		if n, want := b.metric("safemode_prover_unproven_bytes"), float64(3*cost(3)); n != want {
			t.Errorf("%v bytes are unproven, want %v", n, want)
		}
	})
}

// One that was undecided for a while and is a lie in the end is told of twice.
func TestUndecidedThenDisbelieved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		defer b.run()()
		b.set(fault(proof.ErrUndecided), "a.1")
		b.receive("a.1")
		time.Sleep(2 * time.Minute)
		b.set(fault(proof.ErrUnverified), "a.1")
		time.Sleep(2 * time.Hour)
		b.want("in the end", nil, []string{"not yet a.1", "no a.1"})
		b.Settled(1)
		b.wantUnjudged("in the end", nil, 1)
	})
}

// One that cannot be proven yet does not hold up those behind it.
func TestUndecidedStepsAside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		defer b.run()()
		b.set(fault(proof.ErrUndecided), "a.1")
		b.receive("a.1", "a.2")
		b.want("at once", []string{"a.2"}, nil)
		b.set(nil, "a.1")
		time.Sleep(2 * time.Second)
		synctest.Wait()
		b.receive("a.3")
		b.want("later", []string{"a.2", "a.1", "a.3"}, nil)
	})
}

// A worker waits for keys no longer than its patience: an SMKI service that hangs does
// not hold up devices whose keys are known.
func TestPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, func(o *Options) { o.Workers = 2 })
		defer b.run()()
		b.proving = func(ctx context.Context, body string) {
			if body[0] < 'x' {
				<-ctx.Done() // the directory goes on asking
			}
		}
		b.set(fault(proof.ErrUndecided), "a.1", "b.1", "c.1", "d.1")
		b.receive("a.1", "b.1", "c.1", "d.1", "x.1")
		time.Sleep(3 * time.Second)
		b.want("within three seconds", []string{"x.1"}, nil)
	})
}

// A body that cannot be read again is tried again, as one that cannot be proven is.
func TestBodyCannotBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := errors.New("disk")
		b := newBench(t, func(o *Options) {
			o.Memory = 1
			o.Body = func(context.Context, uint64) ([]byte, error) { return nil, disk }
		})
		defer b.run()()
		b.set(fault(proof.ErrUndecided), "a.1")
		b.receive("a.1")
		time.Sleep(time.Hour)
		b.want("undecided", nil, []string{"not yet a.1"})
		b.wantUnjudged("undecided", []uint64{1}, 1)
	})
}

func TestBackoff(t *testing.T) {
	again := Backoff{time.Second, time.Hour}
	for tries, want := range map[int]time.Duration{1: time.Second, 2: 2 * time.Second, 6: 32 * time.Second, 12: 2048 * time.Second, 13: time.Hour, 1e6: time.Hour} {
		if got := again.after(tries); got != want {
			t.Errorf("after %d tries: %v, want %v", tries, got, want)
		}
	}
}
