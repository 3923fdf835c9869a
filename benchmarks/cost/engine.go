package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"safemode/devicesim/fleet"
	"safemode/engine"
	"safemode/engine/direction"
	"safemode/engine/directory"
	"safemode/engine/inbox"
	"safemode/engine/ledger"
	"safemode/engine/pacer"
	"safemode/engine/plan"
	"safemode/engine/portfolio"
	"safemode/engine/record"
	"safemode/engine/sweep"
	"safemode/servicerequests"
	"safemode/servicerequests/smki"
)

// savePlan plans a sweep of electricity meters.
func savePlan(o options) error {
	f, err := population(o)
	if err != nil {
		return err
	}
	now := time.Now().UTC()
	document := sha256.Sum256([]byte("no Authority has issued this"))
	p, err := plan.Build(rows(electricity(f, o.Meters)), plan.Options{
		Environment: engine.Simulator, Strategy: record.CreditMode,
		Originators: []servicerequests.EUI{smki.TestSupplier},
		Limits:      plan.Limits{User: o.Rate},
		CreatedAt:   now,
		Direction: direction.Direction{
			Reference: "MEASUREMENT", Date: now, IssuingBody: "nobody (measurement)",
			DocumentSHA256: hex.EncodeToString(document[:]),
			Supplier:       direction.Supplier{EUI: smki.TestSupplier, MPIDs: []string{"TEST"}}, SRP: "nobody (measurement)",
			PermittedSRVs: []string{"1.6", "7.4", "6.2.9", "4.18"},
			Fuels:         []direction.Fuel{direction.Electricity},
			MaximumMeters: o.Meters,
			NotBefore:     now.Add(-time.Hour), NotAfter: now.AddDate(0, 1, 0),
		},
	})
	if err != nil {
		return err
	}
	if err := os.Mkdir(o.planDir(), 0o700); err != nil {
		return err
	}
	return p.Save(o.planDir())
}

func (o options) planDir() string { return filepath.Join(o.Dir, "plan") }
func (o options) journal() string { return filepath.Join(o.Dir, "journal.db") }

func rows(meters []fleet.Meter) iter.Seq2[portfolio.Row, error] {
	return func(yield func(portfolio.Row, error) bool) {
		for i, m := range meters {
			row := portfolio.Row{
				Line: i + 2, Device: m.Device, Type: m.Type, Hub: m.Hub, MPxN: m.MPxN.String(), Region: m.Region,
				Claimed: servicerequests.Prepayment, Source: "measurement",
			}
			if !yield(row, nil) {
				return
			}
		}
	}
}

// playEngine meets the meters, if they are to be known, and sweeps.
func playEngine(ctx context.Context, o options, l line) error {
	m, err := newMeter(o, "engine")
	if err != nil {
		return err
	}
	pki, err := smki.LoadSupplier(os.DirFS(filepath.Join(o.Dir, "pki")))
	if err != nil {
		return err
	}
	p, err := plan.Open(o.planDir())
	if err != nil {
		return err
	}
	devices, err := directory.New(directory.Options{URL: o.SMKI, Authorities: pki.Authorities(), Devices: o.Meters})
	if err != nil {
		return err
	}
	var run runFacts
	if !o.Reads {
		// Planning refuses such a direction, because without reads nothing can be
		// proven. Here it sets the critical requests apart.
		p.Direction.PermittedSRVs = []string{servicerequests.SwitchToCredit.SRV()}
		known, err := first(p, o.needed())
		if err == nil {
			run.Met, err = meet(ctx, l, m, devices, known, o.Workers)
		}
		if err != nil {
			devices.Close()
			return err
		}
	}
	registry := prometheus.NewRegistry()
	before, err := m.read()
	if err != nil {
		return err
	}
	options := engineOptions(o, pki, p, registry)
	options.Devices = devices
	e, err := engine.Open(ctx, options)
	if err != nil {
		return err
	}
	opened, err := m.read()
	if err != nil {
		return errors.Join(err, e.Close())
	}
	run.Opening = opened.since(before)
	err = sweepPart(ctx, o, l, m, e, devices, registry, &run)
	if err := errors.Join(err, e.Close()); err != nil {
		return err
	}
	peak, err := peakRSS()
	if err != nil {
		return err
	}
	return errors.Join(l.out.Encode(run), l.out.Encode(peak))
}

// first are the targets that a sweep of so many meters reaches at most: the first in
// each region, for regions take turns.
func first(p *plan.Plan, n int) (all []plan.Target, err error) {
	perRegion := map[servicerequests.Region]int{}
	err = p.Each(func(t *plan.Target) error {
		if perRegion[t.Region] < n {
			perRegion[t.Region]++
			all = append(all, *t)
		}
		return nil
	}, func(*plan.Rejected) error { return nil })
	return all, err
}

// meet finds the keys of meters as the engine does when it first hears of them, some
// at a time. It returns how many it met between the marks.
func meet(ctx context.Context, l line, m meter, d *directory.Directory, targets []plan.Target, atOnce int) (n int, err error) {
	warm := min(200, len(targets)/4)
	find := func(some []plan.Target) error {
		var next atomic.Int64
		var finders sync.WaitGroup
		faults := make([]error, atOnce)
		for i := range faults {
			finders.Go(func() {
				for at := next.Add(1); at <= int64(len(some)) && faults[i] == nil; at = next.Add(1) {
					_, faults[i] = d.Keys(ctx, some[at-1].Device)
				}
			})
		}
		finders.Wait()
		return errors.Join(faults...)
	}
	if err := find(targets[:warm]); err != nil {
		return 0, err
	}
	if err := markNow(l, m); err != nil {
		return 0, err
	}
	if err := find(targets[warm:]); err != nil {
		return 0, err
	}
	return len(targets) - warm, markNow(l, m)
}

func markNow(l line, m meter) error {
	u, err := m.mark()
	if err != nil {
		return err
	}
	return l.mark(u)
}

// sweepPart runs the engine until enough requests have ended after the warming up, and stops
// it. A whole sweep runs to its end, and its start counts as well: a home's reads and its
// command lie far apart, so no part of it holds whole homes.
func sweepPart(ctx context.Context, o options, l line, m meter, e *engine.Engine, devices *directory.Directory, registry *prometheus.Registry, run *runFacts) error {
	if err := l.out.Encode(e.InboxURL()); err != nil {
		return err
	}
	if err := l.in.Decode(new(order)); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var began tally
	var beganAt time.Time
	var askedBefore uint64
	begin := func(now tally) error {
		began, beganAt, askedBefore = now, time.Now(), devices.Asked()
		return markNow(l, m)
	}
	look := time.Tick(100 * time.Millisecond)
	if o.Reads {
		if err := begin(tally{}); err != nil {
			return err
		}
		look = nil // it costs
	}
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	for over := false; ; {
		select {
		case err := <-ended:
			if err != nil || !o.Reads {
				return errors.Join(fmt.Errorf("the sweep ended before %d requests", o.Requests), err)
			}
			over = true
		case <-look:
		}
		now, err := gather(registry)
		switch {
		case err != nil:
			return err
		case beganAt.IsZero() && now.critical >= float64(o.warmup()):
			if err := begin(now); err != nil {
				return err
			}
		case over || !beganAt.IsZero() && now.critical >= began.critical+float64(o.Requests):
			run.Wall = time.Since(beganAt)
			run.Critical, run.Reads = int(now.critical-began.critical), int(now.reads-began.reads)
			run.Contacts = int(devices.Asked() - askedBefore)
			run.Failed, run.Commits = int(now.failed), now.commits-began.commits
			if err := markNow(l, m); err != nil || over {
				return err
			}
			cancel()
			if err := <-ended; err != nil && !errors.Is(err, sweep.ErrStopped) {
				return err
			}
			return nil
		}
	}
}

// tally is what the engine's metrics count.
type tally struct{ critical, reads, failed, commits float64 }

func gather(registry *prometheus.Registry) (t tally, err error) {
	families, err := registry.Gather()
	if err != nil {
		return t, err
	}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			if family.GetName() == "safemode_journal_commit_seconds" {
				t.commits = float64(metric.GetHistogram().GetSampleCount())
			}
			if family.GetName() != "safemode_service_requests_total" {
				continue
			}
			labels := map[string]string{}
			for _, pair := range metric.GetLabel() {
				labels[pair.GetName()] = pair.GetValue()
			}
			n := metric.GetCounter().GetValue()
			if labels["class"] != record.ClassSuccess.String() {
				t.failed += n
			}
			if labels["srv"] == servicerequests.SwitchToCredit.SRV() {
				t.critical += n
			} else {
				t.reads += n
			}
		}
	}
	return t, nil
}

// engineOptions are those of safemode sweep with its default configuration, but for
// a pace that does not bind, and as many workers as go with it.
func engineOptions(o options, pki *smki.Folder, p *plan.Plan, registry *prometheus.Registry) engine.Options {
	pace := pacer.Limit{PerSecond: o.Rate, Burst: 100}
	limits := pacer.Limits{User: pace, Region: map[servicerequests.Region]pacer.Limit{}, Service: map[string]pacer.Limit{}}
	for _, region := range servicerequests.Regions {
		limits.Region[region] = pace
	}
	for _, service := range record.Endpoints {
		limits.Service[service.String()] = pace
	}
	return engine.Options{
		Plan: p, Rehearsal: true, Journal: o.journal(), CustodyDir: filepath.Join(o.Dir, "custody"),
		Identities: []engine.Identity{{
			EUI: smki.TestSupplier, XMLSigning: pki.Supplier.XMLSigning,
			DigitalSigning: pki.Supplier.DigitalSigning, KeyAgreement: pki.Supplier.KeyAgreement,
		}},
		DCC: engine.DCC{
			URL: o.DUIS, SMKIURL: o.SMKI, EUI: smki.TestDCC,
			Transform:   []*smki.Certificate{pki.DCC.Transform.Certificate},
			XMLSigning:  []*smki.Certificate{pki.DCC.XMLSigning.Certificate},
			Authorities: pki.Authorities(),
		},
		Inbox: inbox.Address{Listen: "127.0.0.1:0"}, InboxPath: "/smartdcc/duis",
		Policy: ledger.Policy{
			ReadWait: time.Minute, ProofWait: ledger.PerFuel[time.Duration]{Electricity: 15 * time.Minute, Gas: 95 * time.Minute}, EmergencyCreditBelow: 2 * servicerequests.Pound,
			ArmFresh:     ledger.PerFuel[time.Duration]{Electricity: time.Minute, Gas: 45 * time.Minute},
			ResponseWait: ledger.PerFuel[time.Duration]{Electricity: 15 * time.Minute, Gas: 25 * time.Hour},
			Retry:        ledger.PerFuel[[]time.Duration]{Electricity: []time.Duration{time.Minute}, Gas: []time.Duration{time.Hour}},
			SwitchTries:  3, ArmTries: 2, GasBalanceFromProxy: true,
		},
		Limits: limits, InFlight: o.InFlight, PerHub: 8, Workers: o.Workers,
		Resend: 2 * time.Second, Resends: 5,
		Version: "cost", Log: zap.NewNop(), Registry: registry,
	}
}
