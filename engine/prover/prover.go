package prover

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"safemode/engine/proof"
	"safemode/engine/record"
	"safemode/servicerequests"
	"safemode/servicerequests/clock"
)

// errFull says that what is stored and not proven has reached the limit.
var errFull = errors.New("prover: no room for messages that are not proven")

// Verifier proves messages. It is used by many goroutines. For a message that is not proven
// Delivery returns a [*proof.Error]; any other error leaves the message undecided.
type Verifier interface {
	File(raw []byte) (proof.Claim, error)
	Delivery(ctx context.Context, raw []byte) (proof.Delivery, error)
}

// Options configures a Prover. Fields are required unless they say otherwise. Durations
// are real time; at a clock that runs faster they are as much longer by it.
type Options struct {
	Verifier Verifier

	// Store makes records durable before it returns, and returns the number of the last
	// one. Body reads the body of a record again. Last is the number of the last record
	// that was queued, durable or not. All are called by many goroutines.
	Store func(context.Context, ...record.Record) (uint64, error)
	Body  func(ctx context.Context, seq uint64) ([]byte, error)
	Last  func() uint64

	// Deliver takes a proven message: the number and the time of its record, and what it
	// says. It may wait, but no longer than the run lasts. It is called by many goroutines,
	// but of one device one after the other.
	Deliver func(seq uint64, at time.Time, d proof.Delivery)

	// Disbelieve is called once for a message that is not proven and will not be tried again.
	// It is also called once for a message that has been undecided for a while: then
	// [proof.Undecided] is true of the reason, the message is still tried, and may still be
	// delivered. The request is the one that the message claims to answer, zero if none. A
	// reason that is a [*proof.Error] says who signed the message. The goroutines are those of
	// Deliver.
	Disbelieve func(seq uint64, id servicerequests.RequestID, reason error)

	Log        *zap.Logger
	Registerer prometheus.Registerer
	Clock      clock.Clock // the sweep's; zero: real time

	Workers     int           // messages being proven at a time; 0: 64, because some wait for keys
	Patience    time.Duration // with a device's keys, at each try; 0: 1 s
	Again       Backoff       // of tries of an undecided message
	ReportAfter time.Duration // time until Disbelieve is called for an undecided message; 0: 1 min

	Waiting int   // messages that may wait for their first proof; 0: 1024
	Memory  int64 // bytes of bodies that are kept in memory; 0: 32 MiB
	Limit   int64 // bytes of the journal for what is not proven; 0: 1 GiB
	Used    int64 // of the limit, by messages of earlier runs that were not proven; optional
}

// Backoff says after how long something is tried again: First, then twice as long each
// time, up to Most.
type Backoff struct {
	First time.Duration // 0: 1 s
	Most  time.Duration // 0: 1 h
}

// after is the time to wait after so many tries, one or more.
func (b Backoff) after(tries int) time.Duration {
	wait := b.First
	for range tries - 1 {
		if wait >= b.Most/2 {
			return b.Most
		}
		wait *= 2
	}
	return min(wait, b.Most)
}

// validate joins all faults.
func (o Options) validate() error {
	var errs []error
	if o.Verifier == nil || o.Store == nil || o.Body == nil || o.Last == nil || o.Deliver == nil || o.Disbelieve == nil || o.Log == nil || o.Registerer == nil {
		errs = append(errs, errors.New("verifier, store, body, last, deliver, disbelieve, log and registerer are required"))
	}
	if o.Workers < 0 || o.Patience < 0 || o.ReportAfter < 0 || o.Again.First < 0 || o.Again.Most < 0 {
		errs = append(errs, errors.New("workers, patience, report_after and again must not be negative"))
	}
	if o.Waiting < 0 || o.Memory < 0 || o.Limit < 0 || o.Used < 0 {
		errs = append(errs, errors.New("waiting, memory, limit and used must not be negative"))
	}
	return errors.Join(errs...)
}

// Prover is safe for concurrent use.
type Prover struct {
	o       Options
	metrics *metrics
	notice  *zap.Logger // says each thing once a minute

	mu    sync.Mutex
	work  *sync.Cond    // a queue is ready, or the run has ended
	room  chan struct{} // closed and replaced when there may be room to store
	ended bool

	queues map[servicerequests.EUI]*queue
	fresh  []*queue // ready, with a message that was never tried
	stale  []*queue // ready, with others only
	turns  int      // how often a queue was taken

	storing   map[*storing]struct{}
	unsettled map[uint64]bool // by number of the record: judged or not

	waiting, waitingBytes int64 // for their first proof, those being stored included
	memory                int64 // of the bodies that are kept
	unproven              int64 // bytes of the limit that are used
}

// storing is a message that is being stored and has no number yet.
type storing struct{ from uint64 } // the last record that was queued before it

// New makes a prover. Nothing is proven before [Prover.Run].
func New(o Options) (*Prover, error) {
	if err := o.validate(); err != nil {
		return nil, fmt.Errorf("prover: %w", err)
	}
	o.Workers = cmp.Or(o.Workers, 64)
	o.Patience = cmp.Or(o.Patience, time.Second)
	o.ReportAfter = cmp.Or(o.ReportAfter, time.Minute)
	o.Again.First = cmp.Or(o.Again.First, time.Second)
	o.Again.Most = cmp.Or(o.Again.Most, time.Hour)
	o.Waiting = cmp.Or(o.Waiting, 1024)
	o.Memory = cmp.Or(o.Memory, 32<<20)
	o.Limit = cmp.Or(o.Limit, 1<<30)
	p := &Prover{
		o: o, room: make(chan struct{}), unproven: o.Used,
		queues: map[servicerequests.EUI]*queue{}, storing: map[*storing]struct{}{}, unsettled: map[uint64]bool{},
	}
	p.work = sync.NewCond(&p.mu)
	p.notice = o.Log.WithOptions(zap.WrapCore(func(core zapcore.Core) zapcore.Core {
		return zapcore.NewSamplerWithOptions(core, time.Minute, 1, 0)
	}))
	p.metrics = newMetrics(o.Registerer, p)
	return p, nil
}

// cost is what a message counts against the limit: a record is larger than its body.
func cost(body int) int64 { return int64(body) + 512 }

// Receive makes the record of a message durable, and has it judged afterwards. It returns
// when the record is durable. While too many messages wait it waits first, until ctx ends;
// it does not interrupt a store that has begun. Errors wrap [errFull], or are those of Store
// or of ctx: then the DCC has to send the message again. After Run has ended it still
// stores, and the next run judges.
func (p *Prover) Receive(ctx context.Context, r record.Record) error {
	size := len(r.Body)
	l, s, err := p.waitForRoom(ctx, r)
	if err != nil {
		return err
	}
	seq, err := p.o.Store(context.WithoutCancel(ctx), r)
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.storing, s)
	l.storing = slices.DeleteFunc(l.storing, func(other *storing) bool { return other == s })
	if err != nil {
		p.unproven -= cost(size)
		p.freeRoom(size)
		p.ready(l)
		return fmt.Errorf("prover: %w", err)
	}
	p.unsettled[seq] = false
	if p.ended {
		p.freeRoom(size)
		return nil
	}
	p.memory += int64(size)
	p.add(l, &message{seq: seq, at: r.At, id: r.ID, size: size, body: r.Body, since: p.o.Clock.Now(), first: true})
	p.ready(l)
	return nil
}

// waitForRoom waits until another message may be stored, and notes that it is being stored.
func (p *Prover) waitForRoom(ctx context.Context, r record.Record) (*queue, *storing, error) {
	size := len(r.Body)
	if err := ctx.Err(); err != nil {
		return nil, nil, fmt.Errorf("prover: %w", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for !p.ended && (p.waiting >= int64(p.o.Waiting) || p.waitingBytes >= p.o.Memory) {
		room := p.room
		p.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
		}
		p.mu.Lock()
		if err := ctx.Err(); err != nil {
			return nil, nil, fmt.Errorf("prover: too many messages wait for their proof: %w", err)
		}
	}
	limit := p.o.Limit
	if r.Kind == record.Received {
		limit -= limit / 4
	}
	if p.unproven+cost(size) > limit {
		p.metrics.full.Inc()
		p.notice.Error("limit of unproven messages reached: the DCC is asked to send again",
			zap.Int64("bytes", p.unproven), zap.Int64("limit", limit))
		return nil, nil, errFull
	}
	p.unproven += cost(size)
	p.waiting++
	p.waitingBytes += int64(size)
	l, s := p.queueOf(r.Device), &storing{p.o.Last()}
	l.storing = append(l.storing, s)
	p.storing[s] = struct{}{}
	return l, s, nil
}

// freeRoom makes room for another message to be stored. The caller holds the mutex.
func (p *Prover) freeRoom(size int) {
	p.waiting--
	p.waitingBytes -= int64(size)
	close(p.room)
	p.room = make(chan struct{})
}

// Again has a stored message of an earlier run judged: the number, the time and the body of
// its record. It may be called before Run.
func (p *Prover) Again(seq uint64, at time.Time, raw []byte) {
	claim, err := p.o.Verifier.File(raw)
	if err != nil { // it is no XML; the proof will say so
		claim = proof.Claim{}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unsettled[seq] = false
	p.unproven += cost(len(raw))
	if p.ended {
		return
	}
	m := &message{seq: seq, at: at, id: claim.ID, size: len(raw), since: p.o.Clock.Now()}
	p.keep(m, raw)
	l := p.queueOf(claim.Device)
	p.add(l, m)
	p.ready(l)
}

// Learnt has the undecided messages of a device tried at once, because its keys have become
// known or have changed. Device 0 stands for all: a certificate of the DCC has become known.
func (p *Prover) Learnt(device servicerequests.EUI) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if device != 0 {
		if l := p.queues[device]; l != nil {
			p.release(l, func(*message) bool { return true })
		}
		return
	}
	for _, l := range p.queues {
		p.release(l, func(*message) bool { return true })
	}
}

// Settled takes in that the sweep has made a durable mark for a message, so that the next
// run need not judge it. It has no effect on an undecided message, which goes on being
// tried.
func (p *Prover) Settled(seq uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.unsettled[seq] {
		delete(p.unsettled, seq)
	}
}

// Unjudged returns the numbers of the messages that are stored and have no mark, in order.
// No message up to and including the record from is being stored at this moment. So these
// numbers, with the records after from, are all messages without a mark.
func (p *Prover) Unjudged() (seqs []uint64, from uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	from = p.o.Last()
	for s := range p.storing {
		from = min(from, s.from)
	}
	return slices.Sorted(maps.Keys(p.unsettled)), from
}

// Run proves messages until ctx ends. Then it waits for its workers and returns nil. The next
// run judges what was not judged. It is called once.
func (p *Prover) Run(ctx context.Context) error {
	var workers sync.WaitGroup
	for range p.o.Workers {
		workers.Go(func() { p.prove(ctx) })
	}
	<-ctx.Done()
	p.mu.Lock()
	p.ended = true
	for _, l := range p.queues {
		l.stopTimer()
	}
	p.work.Broadcast()
	close(p.room)
	p.room = make(chan struct{})
	p.mu.Unlock()
	workers.Wait()
	return nil
}

// prove is the loop of one worker.
func (p *Prover) prove(ctx context.Context) {
	for {
		l, m := p.next()
		if m == nil {
			return
		}
		result, reason := p.judge(ctx, m)
		p.mu.Lock()
		p.endTry(l, m, result, reason)
		p.mu.Unlock()
		p.o.Clock.End()
	}
}

// result is how one try ended.
type result uint8

const (
	undecided result = iota
	proven
	disbelieved
	other // the User's other traffic
)

// judge tries to prove a message, and calls Deliver or Disbelieve.
func (p *Prover) judge(ctx context.Context, m *message) (result, error) {
	d, err := p.verify(ctx, m)
	switch {
	case err == nil:
		p.noteJudged(m)
		p.o.Deliver(m.seq, m.at, d)
		return proven, nil
	case errors.Is(err, proof.ErrOther):
		p.noteJudged(m)
		p.o.Log.Debug("stored message is other traffic", zap.Uint64("record", m.seq), zap.Stringer("request_id", m.id), zap.Error(err))
		p.o.Disbelieve(m.seq, m.id, err)
		return other, err
	case !proof.Undecided(err):
		p.noteJudged(m)
		p.o.Log.Warn("stored message not proven", zap.Uint64("record", m.seq), zap.Stringer("request_id", m.id), zap.Error(err))
		p.o.Disbelieve(m.seq, m.id, err)
		return disbelieved, err
	case ctx.Err() != nil: // the run ends: nothing was asked
		return undecided, err
	}
	if errors.Is(err, proof.ErrUnknownSigner) {
		p.mu.Lock()
		m.stranger = true
		p.mu.Unlock()
		p.metrics.unknownSigner.Inc()
		p.notice.Error("DCC signing certificate not configured: its messages are kept until it is", zap.Error(err))
	}
	if !m.reported && p.o.Clock.Now().Sub(m.since) >= p.o.Clock.Span(p.o.ReportAfter) {
		m.reported = true
		p.o.Log.Warn("stored message not proven yet", zap.Uint64("record", m.seq), zap.Stringer("request_id", m.id), zap.Error(err))
		p.o.Disbelieve(m.seq, m.id, err)
	}
	return undecided, err
}

// UnknownSigner is how many messages are kept because they are signed under a certificate that
// is not configured, and since when the oldest has been tried in this run, by the clock of
// Options.
func (p *Prover) UnknownSigner() (n int, since time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.eachUndecided(func(m *message) {
		if !m.stranger {
			return
		}
		if n++; since.IsZero() || m.since.Before(since) {
			since = m.since
		}
	})
	return n, since
}

// verify calls the verifier. Its errors are [*proof.Error]: where the verifier could not be
// asked, the message is undecided.
func (p *Prover) verify(ctx context.Context, m *message) (d proof.Delivery, err error) {
	body := m.body
	if body == nil {
		if body, err = p.o.Body(ctx, m.seq); err != nil {
			return d, &proof.Error{Kind: proof.ErrUndecided, Err: fmt.Errorf("record %d: %w", m.seq, err)}
		}
	}
	asking, cancel := context.WithTimeout(ctx, p.o.Patience)
	defer cancel()
	d, err = p.o.Verifier.Delivery(asking, body)
	if _, ok := errors.AsType[*proof.Error](err); err != nil && !ok {
		err = &proof.Error{Kind: proof.ErrUndecided, Err: err}
	}
	return d, err
}

// noteJudged notes that a message is judged. It comes before Deliver and Disbelieve, because
// these may make the mark at once.
func (p *Prover) noteJudged(m *message) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unsettled[m.seq] = true
}

// endTry notes how a try ended, and hands the queue back. The caller holds the mutex.
func (p *Prover) endTry(l *queue, m *message, r result, reason error) {
	if m.first {
		m.first = false
		p.freeRoom(m.size)
	}
	body := m.body
	p.forget(m)
	l.working = false
	switch r {
	case proven:
		p.unproven -= cost(m.size)
		p.metrics.proven.Inc()
	case disbelieved:
		p.metrics.disbelieved.Inc()
	case other: // the DCC has signed it: no stranger fills the journal with it
		p.unproven -= cost(m.size)
		p.metrics.other.Inc()
	default:
		m.tries++
		m.due = p.o.Clock.Now().Add(p.o.Clock.Span(p.o.Again.after(m.tries)))
		p.keep(m, body)
		l.keep(m)
		p.startTimer(l, m.due)
		p.o.Log.Debug("stored message undecided", zap.Uint64("record", m.seq), zap.Int("tries", m.tries), zap.Error(reason))
	}
	p.ready(l)
}

// keep keeps the body of a message in memory, if there is room. The caller holds the mutex.
func (p *Prover) keep(m *message, body []byte) {
	if body != nil && p.memory+int64(len(body)) <= p.o.Memory {
		m.body = body
		p.memory += int64(len(body))
	}
}

// forget drops the body of a message. The caller holds the mutex.
func (p *Prover) forget(m *message) {
	p.memory -= int64(len(m.body))
	m.body = nil
}
