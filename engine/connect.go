package engine

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"time"

	"safemode/engine/advice"
	"safemode/engine/console"
	"safemode/engine/custody"
	"safemode/engine/direction"
	"safemode/engine/exchange"
	"safemode/engine/inbox"
	"safemode/engine/ledger"
	"safemode/engine/pacer"
	"safemode/engine/proof"
	"safemode/engine/prover"
	"safemode/engine/runner"
	"safemode/engine/signer"
	"safemode/engine/sweep"
	"safemode/servicerequests"
	"safemode/servicerequests/gbcs"
	"safemode/servicerequests/xmldsig"
)

// take writes the plan of a new sweep, and takes the counters. It runs when no part of the start
// has refused it.
func (e *Engine) take(ctx context.Context) error {
	if e.begins {
		if err := e.writePlan(ctx); err != nil {
			return err
		}
	}
	for _, id := range e.o.Identities {
		c, err := custody.Open(e.files, id.EUI, owner{e.journal}, e.counting(id.EUI))
		if err != nil {
			return err
		}
		e.custody = append(e.custody, c)
		e.counters[id.EUI] = counted{c}
	}
	return nil
}

// connect makes the parts that the sweep runs with.
func (e *Engine) connect() error {
	e.o.Registry.MustRegister(e.circuits)
	audited := newAlarmed(e.journal, e.heed, e.o.Registry)
	if err := e.connectProver(audited); err != nil {
		return err
	}
	if err := e.connectRunner(audited); err != nil {
		return err
	}
	e.registerGates()
	e.registerSigner()
	return e.connectAddresses(audited)
}

// keysFrom returns what signs and what checks MACs, in this process or in the signer's.
func keysFrom(o Options) (exchange.Signer, map[servicerequests.EUI]gbcs.Agreement, error) {
	agreements := map[servicerequests.EUI]gbcs.Agreement{}
	if o.Signer != nil {
		for _, id := range o.Identities {
			agreements[id.EUI] = o.Signer.Agreement(id.EUI)
		}
		return o.Signer, agreements, nil
	}
	identities := map[servicerequests.EUI]signer.Identity{}
	for _, id := range o.Identities {
		agreements[id.EUI] = gbcs.AgreementOf(id.KeyAgreement.Key)
		identities[id.EUI] = id.gate()
	}
	gate, err := signer.New(signer.Options{Identities: identities})
	return gate, agreements, err
}

// gate is an identity with its keys, as the gate signs for it.
func (i *Identity) gate() signer.Identity {
	return signer.Identity{
		XML: xmldsig.Signer{
			Key: i.XMLSigning.Key, Issuer: i.XMLSigning.Certificate.Issuer, Serial: i.XMLSigning.Certificate.SerialText(),
		},
		PreCommand: i.DigitalSigning.Key,
	}
}

// connectRunner makes the sweep's runner and exchange.
func (e *Engine) connectRunner(audited alarmed) error {
	o := e.o
	planned, err := pacer.New(o.Limits)
	if err != nil {
		return err
	}
	binding, err := pacer.New(o.Limits)
	if err != nil {
		return err
	}
	binding.Empty(e.clock.Now()) // nobody knows what an earlier run sent just before
	door := &limits{pacer: binding}
	var originators []servicerequests.EUI
	for _, id := range o.Identities {
		originators = append(originators, id.EUI)
	}
	e.runner = runner.New(runner.Options{
		Sweep: sweep.Options{
			Policy: e.policy(), Pacer: planning{planned, door}, Originators: originators, DCC: o.DCC.EUI,
			Thresholds: o.Thresholds, Suppressed: o.Suppressed, Transfers: e.leaving.Homes, Waves: wavesOf(o.Plan), StandIn: o.StandIn, Fits: e.fits,
			Tripwires: o.Tripwires, RetryBudget: o.RetryBudget, DeadMan: o.DeadMan, Drain: o.Drain,
			Workers: o.Workers, InFlight: o.InFlight, PerHub: o.PerHub, Resend: o.Resend, Resends: o.Resends,
			Log: o.Log.Named("sweep"), Registerer: o.Registry,
		},
		Exchange: exchange.Options{
			Signer: e.made.gate, Gateway: posted{e.gateway}, Verifier: e.verifier, Limits: door, Breakers: guarded{e.circuits},
			Log: o.Log.Named("exchange"),
		},
		Journal: audited, Counters: e.counters, Messages: e.prover, Clock: e.clock,
		Steady: func() bool { return len(e.circuits.Troubled()) > 0 },
		Gate:   e.mayAct, Moved: func(reason error) { o.Gates.Trip(direction.MPIDs, reason) },
		State: audited, StateEvery: cmp.Or(o.StateEvery, keepEvery), Log: o.Log.Named("sweep"),
	})
	return nil
}

// policy is the configuration's, limited to what the plan was approved for.
func (e *Engine) policy() ledger.Policy {
	p := e.o.Policy
	p.Strategy = e.o.Plan.Strategy
	p.Permits = covered(&e.o.Plan.Direction)
	p.RereadSeed = seedOf(e.o.Plan)
	p.BalanceAfter = p.BalanceAfter && e.o.Plan.Bounds.BalanceAfter // no more than was approved
	return p
}

// connectProver makes the prover, which judges stored messages and hands them to the sweep.
func (e *Engine) connectProver(audited alarmed) (err error) {
	e.prover, err = prover.New(prover.Options{
		Verifier: e.verifier, Store: audited.CommitAt, Last: e.journal.Last,
		Body: func(ctx context.Context, seq uint64) ([]byte, error) {
			r, err := e.journal.At(ctx, seq)
			return r.Body, err
		},
		Deliver: func(seq uint64, at time.Time, d proof.Delivery) { e.runner.Deliver(seq, at, d) },
		Disbelieve: func(seq uint64, id servicerequests.RequestID, reason error) {
			fault, ok := errors.AsType[*proof.Error](reason)
			d := sweep.Disbelieved{Seq: seq, ID: id, Reason: reason.Error(), Final: !proof.Undecided(reason)}
			if ok {
				d.Kind, d.FromDCC = fault.Other, fault.FromDCC
			}
			e.runner.Disbelieve(d)
		},
		// Undecided messages are tried again by the sweep's clock, like the waits for answers.
		Again: prover.Backoff{First: max(e.clock.Real(time.Second), 50*time.Millisecond), Most: max(e.clock.Real(time.Hour), time.Second)},
		Clock: e.clock,
		Log:   e.o.Log.Named("prover"), Registerer: e.o.Registry,
	})
	return err
}

// connectAddresses makes the handlers of inbox and console.
func (e *Engine) connectAddresses(audited alarmed) error {
	e.registerPulse()
	in, err := inbox.New(inbox.Options{
		Verifier: e.verifier, Authenticated: e.authenticated(),
		Receive: e.receive, Stranger: audited.stranger,
		Now: e.clock.Now, Log: e.o.Log.Named("inbox"), Registerer: e.o.Registry,
		Limits: e.o.InboxLimits,
	})
	if err != nil {
		return err
	}
	e.server = in.Server(e.inbox, e.o.InboxPath)
	var told console.Stories
	if e.console != nil {
		told = e.openStories()
	}
	o := e.consoleOptions()
	o.Sweep, o.Stories, o.Course, o.Registerer, o.Closing = watched{e}, told, e.runner.Course, e.o.Registry, e.closing
	o.Healthy, o.Ready, o.Pulse = e.journal.Err, e.ready, e.pulse
	o.Incident = func(name string) (string, bool) {
		i, known := advice.FindIncident(name)
		return i.String(), known
	}
	e.handler, err = console.New(o)
	return err
}

// authenticated says which requests come from the DCC.
func (e *Engine) authenticated() func(*http.Request) bool {
	switch {
	case e.o.Inbox.TLS != nil:
		return inbox.OverMutualTLS
	case e.o.Plan.Environment == Simulator:
		return inbox.OverLoopback
	}
	return nil
}
