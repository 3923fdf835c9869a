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

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"safemode/engine/proof"
	"safemode/engine/record"
	"safemode/servicerequests"
)

const meter = servicerequests.EUI(0x00DB1234567890A0)

var epoch = time.Date(2026, 11, 23, 18, 0, 0, 0, time.UTC)

// bench is a prover with a journal and a verifier that a test tells what to do. A
// message's body is its text.
type bench struct {
	*Prover
	t        *testing.T
	registry *prometheus.Registry
	logs     *observer.ObservedLogs

	mu        sync.Mutex
	log       []record.Record // durable
	queued    uint64
	storing   func(record.Record) error     // before a record is durable; may wait
	proving   func(context.Context, string) // before a message is proven; may wait
	faults    map[string]error              // what the verifier says of a body; nil: proven
	delivered []string
	told      []string // of what Disbelieve was told
	proofs    int
	reread    int
}

func newBench(t *testing.T, change func(*Options)) *bench {
	t.Helper()
	core, logs := observer.New(zap.InfoLevel)
	b := &bench{t: t, registry: prometheus.NewPedanticRegistry(), logs: logs, faults: map[string]error{}}
	o := Options{
		Verifier: b, Store: b.store, Body: b.body,
		Last: func() uint64 {
			b.mu.Lock()
			defer b.mu.Unlock()
			return b.queued
		},
		Deliver: func(seq uint64, at time.Time, d proof.Delivery) {
			b.mu.Lock()
			defer b.mu.Unlock()
			if want := b.log[seq-1]; !at.Equal(want.At) || d.SRV != string(want.Body) {
				t.Errorf("record %d of %v was delivered as %v of %v", seq, want, d.SRV, at)
			}
			b.delivered = append(b.delivered, d.SRV)
		},
		Disbelieve: func(seq uint64, id servicerequests.RequestID, reason error) {
			b.mu.Lock()
			defer b.mu.Unlock()
			if want := b.log[seq-1]; id != want.ID {
				t.Errorf("record %d: request %v, want %v", seq, id, want.ID)
			}
			word := "no "
			if proof.Undecided(reason) {
				word = "not yet "
			}
			b.told = append(b.told, word+string(b.log[seq-1].Body))
		},
		Log: zap.New(core), Registerer: b.registry,
	}
	if change != nil {
		change(&o)
	}
	var err error
	if b.Prover, err = New(o); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *bench) store(_ context.Context, records ...record.Record) (uint64, error) {
	b.mu.Lock()
	b.queued += uint64(len(records))
	last := b.queued
	storing := b.storing
	b.mu.Unlock()
	var err error
	if storing != nil {
		err = storing(records[0])
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, r := range records {
		for uint64(len(b.log)) <= last-1+uint64(i) {
			b.log = append(b.log, record.Record{})
		}
		b.log[last-1+uint64(i)] = r
	}
	return last, err
}

func (b *bench) body(_ context.Context, seq uint64) ([]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reread++
	return b.log[seq-1].Body, nil
}

// Claim makes bench the verifier.
func (b *bench) File(raw []byte) (proof.Claim, error) {
	r := messageOf(string(raw))
	return proof.Claim{Kind: proof.ClaimResponse, ID: r.ID, Device: r.Device}, nil
}

// Delivery proves what no fault is set for.
func (b *bench) Delivery(ctx context.Context, raw []byte) (proof.Delivery, error) {
	b.mu.Lock()
	proving := b.proving
	b.proofs++
	b.mu.Unlock()
	if proving != nil {
		proving(ctx, string(raw))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.faults[string(raw)]; err != nil {
		return proof.Delivery{}, err
	}
	return proof.Delivery{SRV: string(raw)}, nil
}

func fault(kind error) error {
	return &proof.Error{Kind: kind, FromDCC: true, Err: errors.New("as told")}
}

// set says what the verifier makes of messages from now on.
func (b *bench) set(err error, bodies ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, body := range bodies {
		b.faults[body] = err
	}
}

// messageOf is the record of a message. What is before a dot in its body says which
// device sent it.
func messageOf(body string) record.Record {
	device := meter
	for _, c := range strings.SplitN(body, ".", 2)[0] {
		device += servicerequests.EUI(c) << 8
	}
	return record.Record{
		At: epoch, Kind: record.Response, Device: device, Body: []byte(body),
		ID: servicerequests.RequestID{Originator: 1, Target: device, Counter: uint64(len(body))},
	}
}

func (b *bench) receive(bodies ...string) {
	b.t.Helper()
	for _, body := range bodies {
		if err := b.Receive(b.t.Context(), messageOf(body)); err != nil {
			b.t.Errorf("%s: %v", body, err)
		}
	}
}

// run runs the prover until the end of the test's function.
func (b *bench) run() (end func()) {
	ctx, cancel := context.WithCancel(b.t.Context())
	ended := make(chan error)
	go func() { ended <- b.Run(ctx) }()
	return func() {
		b.t.Helper()
		cancel()
		if err := <-ended; err != nil {
			b.t.Error(err)
		}
	}
}

func (b *bench) want(what string, delivered, told []string) {
	b.t.Helper()
	synctest.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	if !slices.Equal(b.delivered, delivered) {
		b.t.Errorf("%s: delivered %q, want %q", what, b.delivered, delivered)
	}
	if !slices.Equal(b.told, told) {
		b.t.Errorf("%s: told %q, want %q", what, b.told, told)
	}
}

// wantDelivered is want where it does not count what Disbelieve was told, nor in which
// order devices came.
func (b *bench) wantDelivered(what string, want ...string) {
	b.t.Helper()
	synctest.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	got := slices.Clone(b.delivered)
	slices.SortStableFunc(got, func(a, b string) int { return strings.Compare(a[:1], b[:1]) })
	if !slices.Equal(got, want) {
		b.t.Errorf("%s: delivered %q, want %q", what, got, want)
	}
}

func (b *bench) wantUnjudged(what string, want []uint64, wantFrom uint64) {
	b.t.Helper()
	synctest.Wait()
	if seqs, from := b.Unjudged(); !slices.Equal(seqs, want) || from != wantFrom {
		b.t.Errorf("%s: unjudged %v from %d, want %v from %d", what, seqs, from, want, wantFrom)
	}
}

func (b *bench) metric(name string) float64 {
	b.t.Helper()
	families, err := b.registry.Gather()
	if err != nil {
		b.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			m := f.GetMetric()[0]
			return m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	b.t.Fatalf("no metric %s", name)
	return 0
}

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
		if len(b.lanes) != 0 || b.waiting != 0 || b.unproven != 0 || b.memory != 0 {
			t.Errorf("left behind: %d lanes, %d waiting, %d unproven, %d in memory", len(b.lanes), b.waiting, b.unproven, b.memory)
		}
	})
}

// What has begun to be stored is stored, though the DCC has hung up.
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
		if n := b.logs.FilterMessageSnippet("a certificate that signs for the DCC is not known").Len(); n != 1 {
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

// What is not believed is told once and not tried again, and takes its place for good.
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
		if err := b.Receive(t.Context(), odd); !errors.Is(err, ErrFull) {
			t.Errorf("what cannot be read: %v", err)
		}
		b.receive("a.4")
		synctest.Wait()
		for range 3 {
			if err := b.Receive(t.Context(), messageOf("b.2")); !errors.Is(err, ErrFull) {
				t.Errorf("over the limit: %v", err)
			}
		}
		if n := b.metric("safemode_prover_full_total"); n != 4 {
			t.Errorf("counted %v", n)
		}
		if n := b.logs.FilterMessageSnippet("no room for messages").Len(); n != 1 {
			t.Errorf("%d notices, want 1", n)
		}
		b.set(nil, "a.1", "a.2")
		time.Sleep(time.Minute)
		b.receive("b.3")
		b.wantDelivered("with room", "a.1", "a.2", "b.3")
	})
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, func(o *Options) { o.Limit, o.Used = 4*cost(3), 4*cost(3) })
		if err := b.Receive(t.Context(), messageOf("a.1")); !errors.Is(err, ErrFull) {
			t.Errorf("used up by earlier runs: %v", err)
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
		if b.memory != 0 || b.unproven != 0 || b.waiting != 0 || b.waitingBytes != 0 || len(b.lanes) != 0 {
			t.Errorf("left behind: %d in memory, %d unproven, %d waiting of %d bytes, %d lanes", b.memory, b.unproven, b.waiting, b.waitingBytes, len(b.lanes))
		}
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
