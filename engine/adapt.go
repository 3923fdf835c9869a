package engine

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"safemode/engine/breaker"
	"safemode/engine/console"
	"safemode/engine/custody"
	"safemode/engine/direction"
	"safemode/engine/exchange"
	"safemode/engine/gateway"
	"safemode/engine/journal"
	"safemode/engine/pacer"
	"safemode/engine/plan"
	"safemode/engine/record"
	"safemode/engine/sweep"
	"safemode/servicerequests"
)

// limits are checked at the socket, all together: User, region, endpoint and the DCC's
// anomaly detection thresholds.
type limits struct {
	mu    sync.Mutex
	pacer *pacer.Pacer
}

// Grant takes a place in all limits, or in none.
func (l *limits) Grant(now time.Time, p exchange.Place) (bool, time.Duration, string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return take(l.pacer, now, p)
}

// Hold lets nothing pass to an endpoint before an instant.
func (l *limits) Hold(e record.Endpoint, until time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pacer.Hold(pacer.Service(e.String()), until)
}

// planning plans by the same limits, so that nothing is signed long before it may leave.
type planning struct {
	pacer *pacer.Pacer
	door  *limits
}

func (p planning) Take(now time.Time, place exchange.Place) (bool, time.Duration, string) {
	return take(p.pacer, now, place)
}

// Hold lets nothing pass one of a POST's limits before an instant.
func (p planning) Hold(place exchange.Place, limit string, until time.Time) {
	for _, key := range keysOf(place) {
		if key.Scope().String() == limit {
			p.pacer.Hold(key, until)
		}
	}
}

// Spent notes a POST of an earlier run.
func (p planning) Spent(at time.Time, place exchange.Place) {
	p.pacer.Spent(at, budgetOf(place))
	p.door.mu.Lock()
	defer p.door.mu.Unlock()
	p.door.pacer.Spent(at, budgetOf(place))
}

func take(p *pacer.Pacer, now time.Time, place exchange.Place) (bool, time.Duration, string) {
	keys := keysOf(place)
	ok, wait := p.Take(now, keys[:]...)
	if ok {
		return true, 0, ""
	}
	limit := keys[0]
	for _, k := range keys[1:] {
		if p.Wait(now, k) > p.Wait(now, limit) {
			limit = k
		}
	}
	return false, wait, limit.Scope().String()
}

func keysOf(p exchange.Place) [4]pacer.Key {
	return [...]pacer.Key{pacer.User(p.Originator), pacer.Region(p.Region), pacer.Service(p.Endpoint.String()), budgetOf(p)}
}

func budgetOf(p exchange.Place) pacer.Key { return pacer.SRV(p.Originator, p.Service.SRV(), p.Signed) }

// alarmed is the journal with counters: it counts refusals as they are recorded.
type alarmed struct {
	*journal.Journal
	refused *prometheus.CounterVec // class
	heed    func(*record.Record)   // gets each record before it is written
}

// owner shows the journal to the counters.
type owner struct{ *journal.Journal }

// Position is the end of what is durable.
func (o owner) Position() (seq uint64, hash [32]byte) {
	tip := o.Tip()
	return tip.Seq, tip.Hash
}

// classStranger is the class of messages without a record: no key of the DCC has signed
// them, so any stranger may have sent them.
const classStranger = "stranger"

func newAlarmed(j *journal.Journal, heed func(*record.Record), registerer prometheus.Registerer) alarmed {
	a := alarmed{j, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "safemode_refused_messages_total",
		Help: "Messages not signed (unpermitted, uncorrelated) or not believed (unverified: from the DCC or in its reply; stranger: at the inbox).",
	}, []string{"class"}), heed}
	registerer.MustRegister(a.refused)
	for _, class := range [...]string{record.RefusedUnpermitted, record.RefusedUncorrelated, record.RefusedUnverified, classStranger} {
		a.refused.WithLabelValues(class)
	}
	return a
}

// Commit makes records durable.
func (a alarmed) Commit(ctx context.Context, records ...record.Record) error {
	a.told(records)
	passing("before commit")
	err := a.Journal.Commit(ctx, records...)
	passing("after commit")
	return err
}

// CommitAt makes records durable and returns the number of the last.
func (a alarmed) CommitAt(ctx context.Context, records ...record.Record) (uint64, error) {
	passing("before commit")
	last, err := a.Journal.CommitAt(ctx, records...)
	passing("after commit")
	return last, err
}

// Append queues records.
func (a alarmed) Append(records ...record.Record) {
	a.told(records)
	passing("before append")
	a.Journal.Append(records...)
	passing("after append")
}

// Keep queues a change of the state.
func (a alarmed) Keep(at time.Time, rows []record.StateRow) {
	passing("before keep")
	a.Journal.Keep(at, rows)
	passing("after keep")
}

// told counts refusals, and has the custody record halts.
func (a alarmed) told(records []record.Record) {
	for i := range records {
		if records[i].Kind == record.Refused {
			a.refused.WithLabelValues(records[i].Code).Inc()
		}
		a.heed(&records[i])
	}
}

// stranger counts a message at the inbox that no key of the DCC has signed.
func (a alarmed) stranger() { a.refused.WithLabelValues(classStranger).Inc() }

// counted gives the sweep its counters.
type counted struct{ *custody.Counters }

// Next gives out one counter.
func (c counted) Next() (uint64, error) {
	passing("before counter")
	n, err := c.Counters.Next()
	passing("after counter")
	return n, err
}

// posted sends to the DCC.
type posted struct{ *gateway.Gateway }

// Post sends signed bytes.
func (p posted) Post(ctx context.Context, post gateway.Post) ([]byte, error) {
	passing("before post")
	reply, err := p.Gateway.Post(ctx, post)
	passing("after post")
	return reply, err
}

// guarded gives the sweep its circuits.
type guarded struct{ breaker *breaker.Breaker }

func (g guarded) Allow(service record.Endpoint, region servicerequests.Region) (func(error), error) {
	return g.breaker.Allow(breaker.Key{Service: service.String(), Region: region})
}

// withExclusions has the circuits ignore throttling and rejections: they are answers of the
// service, and no failures of it.
func withExclusions(o breaker.Options) breaker.Options {
	o.Excluded = func(err error) bool {
		var throttled *gateway.ThrottledError
		return errors.As(err, &throttled) || errors.Is(err, gateway.ErrRejected) || errors.Is(err, gateway.ErrNotPermitted)
	}
	return o
}

// watched shows the engine to the console, and hands it orders.
type watched struct{ *Engine }

// Status returns the engine's status as a value to encode.
func (w watched) Status() any { return w.Engine.Status() }

// Order carries out a person's order.
func (w watched) Order(ctx context.Context, o console.Order) error {
	if o.Action == record.OrderHandover && !o.Nobody {
		if err := w.checkStandby(ctx); err != nil {
			return err
		}
	}
	err := w.runner.Order(ctx, record.OrderBody{
		Action: o.Action, By: o.By, Authenticated: o.Authenticated,
		Region: o.Region, Wave: o.Wave, SRV: o.SRV, Now: o.Now, Verdict: o.Verdict,
		Devices: o.Devices, Reason: o.Reason, Reference: o.Reference,
	})
	if errors.Is(err, sweep.ErrOrder) {
		return fmt.Errorf("%w: %w", console.ErrOrder, err)
	}
	return err
}

// checkStandby refuses a handover if no engine stands by.
func (e *Engine) checkStandby(ctx context.Context) error {
	all, err := e.journal.Standby(ctx)
	if err == nil && len(all) == 0 {
		err = errors.New("nobody stands by to go on with the sweep: give another machine the same command first, or say that nobody is to (--nobody)")
	} else if err == nil && (e.grant.Resumes == 0 || time.Now().After(e.grant.Until)) {
		err = errors.New("the approvals give no further start: have two approve the next first (safemode approve --journal), or say that nobody is to go on now (--nobody)")
	}
	if err != nil {
		return fmt.Errorf("%w: %w", console.ErrOrder, err)
	}
	return nil
}

// registerGates shows whether each gate is open, as of the moment of the scrape.
func (e *Engine) registerGates() {
	for _, gate := range direction.AllGates {
		e.o.Registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "safemode_gate_open", Help: "1 where a gate lets requests pass, 0 where it is closed.",
			ConstLabels: prometheus.Labels{"gate": string(gate)},
		}, func() float64 {
			if e.o.Gates.CheckGate(gate, e.clock.Wall()) != nil {
				return 0
			}
			return 1
		}))
	}
}

// seedOf is a plan's own seed for random choices.
func seedOf(p *plan.Plan) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(p.SHA256))
	return h.Sum64()
}

// covered has the services that the direction covers, computed once: they are needed whenever
// a meter is looked at, and each refusal would build an error text.
func covered(d *direction.Direction) func(servicerequests.Service, servicerequests.DeviceType) bool {
	type pair struct {
		service servicerequests.Service
		device  servicerequests.DeviceType
	}
	all := map[pair]bool{}
	for _, s := range servicerequests.Services {
		for _, t := range [...]servicerequests.DeviceType{servicerequests.ESME, servicerequests.GSME, servicerequests.GPF} {
			all[pair{s, t}] = d.Covers(s, t) == nil
		}
	}
	return func(s servicerequests.Service, t servicerequests.DeviceType) bool { return all[pair{s, t}] }
}

// wavesOf gives the sweep the plan's waves.
func wavesOf(p *plan.Plan) []sweep.Wave {
	waves := make([]sweep.Wave, 0, len(p.Waves))
	for _, w := range p.Waves {
		waves = append(waves, sweep.Wave{Name: w.Name, Meters: w.Count, Settled: w.Settled, Soak: w.Soak(), Abort: w.Abort})
	}
	return waves
}
