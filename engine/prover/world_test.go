package prover

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
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

// File makes bench the verifier.
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
