package engine

import (
	"cmp"
	"context"
	"crypto/ecdh"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"safemode/engine/breaker"
	"safemode/engine/checkpoint"
	"safemode/engine/console"
	"safemode/engine/custody"
	"safemode/engine/direction"
	"safemode/engine/directory"
	"safemode/engine/gateway"
	"safemode/engine/inbox"
	"safemode/engine/index"
	"safemode/engine/journal"
	"safemode/engine/pacer"
	"safemode/engine/plan"
	"safemode/engine/proof"
	"safemode/engine/record"
	"safemode/engine/signer"
	"safemode/engine/sweep"
	"safemode/servicerequests"
	"safemode/servicerequests/clock"
	"safemode/servicerequests/smki"
	"safemode/servicerequests/xmldsig"
)

// Simulator is the environment in which nothing reaches a real meter.
const Simulator = "simulator"

// ErrRefused marks an engine that must not run: a plan, keys or an environment
// that do not belong together.
var ErrRefused = errors.New("refused")

// ErrUnreachable says that the DCC does not answer before the sweep has begun.
var ErrUnreachable = errors.New("cannot be reached")

// Identity is one of the failed supplier's identities with its keys.
type Identity struct {
	EUI            servicerequests.EUI
	XMLSigning     smki.SigningIdentity
	DigitalSigning smki.SigningIdentity
	KeyAgreement   smki.AgreementIdentity
}

// DCC says where the DCC is and whom to believe.
type DCC struct {
	URL, SMKIURL          string
	EUI                   servicerequests.EUI // target of requests that no device answers
	Timeout               time.Duration       // of one POST, in real time; 0: the gateway's default
	TLS                   *tls.Config         // for https; nil otherwise
	Transform, XMLSigning []*smki.Certificate
	Authorities           []*smki.Certificate // to which all certificates must chain
}

// Options is what an engine is made of. All fields are required unless they say
// otherwise. The meaning of what is passed through stands at its own package.
type Options struct {
	Plan       *plan.Plan
	Suppressed map[servicerequests.EUI]struct{} // planned meters that must not be touched; may be nil
	Journal    string                           // path of the journal's file
	CustodyDir string
	Floor      uint64 // of the originator counters; 0: milliseconds since 1970
	Identities []Identity
	DCC        DCC

	Inbox       inbox.Address
	InboxPath   string
	InboxLimits inbox.Limits
	Operations  console.Address // Listen empty: none
	// Stay is how long the operations address still answers after the sweep's end, or until
	// the context of Run ends; real time. It takes no orders then.
	Stay time.Duration

	Clock       clock.Clock // Anchor may be zero: the journal's is used, or now
	Policy      sweep.Policy
	Limits      pacer.Limits
	Breaker     breaker.Options
	InFlight    int
	PerHub      int
	Workers     int
	StandIn     string // who resumes at once what pauses by itself, where nobody is there; empty: a person does
	Tripwires   sweep.Tripwires
	RetryBudget int           // retries of the whole sweep; 0: no end
	DeadMan     time.Duration // real time without an operator's renewal until it pauses; 0: never
	// Devices knows some devices' keys already; it is closed with the engine. Nil: one is
	// made that knows none.
	Devices *directory.Directory
	// Thresholds of the DCC's anomaly detection, to show. May be nil.
	Thresholds map[servicerequests.Service]sweep.Threshold
	Resend     time.Duration
	Resends    int
	Commits    journal.Options
	Version    string        // of the program
	StateEvery time.Duration // real time between two states that the journal keeps; 0: half a minute
	// Checkpoints pin the journal's past; optional.
	Checkpoints Checkpoints

	// Rehearsal is a sweep that can reach no real meter: a simulator in the same process,
	// with keys and counters of its own. It needs no approvals. Refused in live.
	Rehearsal bool
	// Approvals are those of the plan's folder, and Roster says whose count. Required
	// but in a rehearsal.
	Approvals []*direction.Approval
	Roster    *direction.Roster
	// Gates says whether the sweep may still act. Nil: the direction's own window alone,
	// which a live sweep is refused with.
	Gates *direction.Gates
	// Revoked says whether a revocation list names a certificate of the DCC, whose
	// signatures then prove nothing any more. Nil: none does.
	Revoked func(*smki.Certificate) bool
	// Drain is how long answers are still taken in after a gate has closed; real time.
	Drain time.Duration

	Log      *zap.Logger
	Registry *prometheus.Registry
}

// Engine is one sweep with everything around it. Make it with [Open], call
// [Engine.Run] once, and [Engine.Close] it in any case.
type Engine struct {
	o        Options
	journal  *journal.Journal
	pins     *checkpoint.Log // nil: none are made
	index    *index.Index    // once asked is closed; nil: the page tells no stories
	asked    chan struct{}   // closed when the index is asked for the first time; nil: there is no page
	custody  []*custody.Counters
	gateway  *gateway.Gateway
	devices  *directory.Directory
	verifier *proof.Verifier
	sweep    *sweep.Sweep
	circuits *breaker.Breaker
	inbox    *inbox.Listener
	console  net.Listener
	clock    clock.Clock
	sweepID  string
	damage   atomic.Pointer[error] // of the journal, in what this start has not read
	begins   bool                  // the journal holds no Opened record yet
	known    int                   // records of the plan that it had when this engine opened it
	grant    grant                 // by which it begins or goes on
	server   *http.Server          // of the inbox
	desk     http.Handler          // of the console
	closing  chan struct{}         // closed when the console is about to answer no more
}

// Open makes an engine ready: it looks whether the DCC is there, binds its
// addresses, opens the journal, and only when nothing of that refuses it writes the plan
// and takes the custody of the counters. It signs and sends nothing. Errors that
// wrap [ErrRefused] say that this sweep must not run: what does not belong together, an
// approval that is missing, a gate that is closed. [ErrUnreachable] says that the DCC
// does not answer. After an error everything is as it was: counters are given back, and
// files that this Open made are removed.
func Open(ctx context.Context, o Options) (_ *Engine, err error) {
	if o.Clock.Speed == 0 {
		o.Clock.Speed = 1
	}
	e := &Engine{o: o, closing: make(chan struct{})}
	defer func() {
		if err != nil {
			err = errors.Join(err, e.undo(), e.Close())
		}
	}()
	if o.Gates == nil {
		e.o.Gates = direction.NewGates(direction.GateOptions{Direction: &o.Plan.Direction, Poll: time.Minute})
	}
	if err := errors.Join(checkKeys(o), checkAuthority(o)); err != nil {
		return nil, err
	}
	if e.devices = o.Devices; e.devices != nil {
	} else if e.devices, err = directory.New(directory.Options{URL: o.DCC.SMKIURL, TLS: o.DCC.TLS, Authorities: o.DCC.Authorities}); err != nil {
		return nil, err
	}
	if err := e.probe(ctx); err != nil {
		return nil, err
	}
	if err := e.listen(ctx); err != nil {
		return nil, err
	}
	o.Commits.Registerer = o.Registry
	if e.journal, err = journal.Open(o.Journal, o.Commits); err != nil {
		return nil, err
	}
	if err := e.holdPlan(ctx); err != nil {
		return nil, err
	}
	e.logLook(e.o.Gates.Look(ctx))
	if err := e.o.Gates.Check(e.clock.Wall()); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	if e.grant, err = e.findGrant(ctx); err != nil {
		return nil, err
	}
	if err := e.openCheckpoints(); err != nil {
		return nil, err
	}
	return e, e.wire(ctx)
}

// undo gives back what this engine has claimed and removes the files that it made, in
// the opposite order. Counters that cannot be given back keep the journal they belong to.
func (e *Engine) undo() error {
	var faults []error
	for _, c := range e.custody {
		faults = append(faults, c.Discard())
	}
	e.custody = nil
	if e.pins != nil {
		faults = append(faults, e.pins.Discard())
		e.pins = nil
	}
	if err := errors.Join(faults...); err != nil || e.journal == nil {
		return err
	}
	return e.journal.Discard()
}

// checkKeys holds keys and environment together: test keys never meet the live
// DCC, and live keys never meet a simulator.
func checkKeys(o Options) error {
	test := o.Plan.Environment == Simulator
	var faults []error
	if !test && (o.DCC.TLS == nil || o.Inbox.TLS == nil) {
		faults = append(faults, fmt.Errorf("%w: the environment is %s, and it needs mutual TLS both towards the DCC and at the inbox", ErrRefused, o.Plan.Environment))
	}
	check := func(what string, c *smki.Certificate, purpose smki.Purpose) {
		if err := CheckCertificate(c, purpose, o.Plan.Environment, o.DCC.Authorities); err != nil {
			faults = append(faults, fmt.Errorf("%w: %s: %w", ErrRefused, what, err))
		}
	}
	for _, id := range o.Identities {
		check(fmt.Sprintf("identity %v: XML signing certificate", id.EUI), id.XMLSigning.Certificate, smki.SignsRequests)
		check(fmt.Sprintf("identity %v: digital signing certificate", id.EUI), id.DigitalSigning.Certificate, smki.SignsPreCommands)
		check(fmt.Sprintf("identity %v: key agreement certificate", id.EUI), id.KeyAgreement.Certificate, smki.SupplierAgrees)
		for _, c := range []*smki.Certificate{id.XMLSigning.Certificate, id.DigitalSigning.Certificate, id.KeyAgreement.Certificate} {
			if c.EUI != id.EUI {
				faults = append(faults, fmt.Errorf("%w: identity %v: a certificate belongs to %v", ErrRefused, id.EUI, c.EUI))
			}
		}
	}
	for _, address := range []string{o.DCC.URL, o.DCC.SMKIURL} {
		for _, id := range o.Identities {
			for _, c := range []*smki.Certificate{id.XMLSigning.Certificate, id.DigitalSigning.Certificate, id.KeyAgreement.Certificate} {
				if c.IsPublished() && !loopback(address) {
					faults = append(faults, fmt.Errorf("%w: identity %v: anybody can have the private key of certificate %s (the DCC's published test set), and %s is not loopback",
						ErrRefused, id.EUI, c.SerialText(), address))
				}
			}
		}
	}
	for _, c := range o.DCC.Transform {
		check("the DCC's Transform certificate", c, smki.SignsResponses)
	}
	for _, c := range o.DCC.XMLSigning {
		check("the DCC's XML signing certificate", c, smki.SignsResponses)
	}
	return errors.Join(faults...)
}

// CheckCertificate holds one certificate to its purpose, to the environment and, where
// any are named, to the authorities that it must chain to.
func CheckCertificate(c *smki.Certificate, purpose smki.Purpose, environment string, authorities []*smki.Certificate) error {
	err := c.CheckPurpose(purpose)
	switch test := environment == Simulator; {
	case test && !c.IsTest():
		return errors.Join(err, fmt.Errorf("it is not of a test PKI (issuer %s), and the environment is %s", c.Issuer, environment))
	case !test && c.IsTest():
		return errors.Join(err, fmt.Errorf("it is of a test PKI (issuer %s), and the environment is %s", c.Issuer, environment))
	case len(authorities) > 0:
		return errors.Join(err, c.VerifyChain(authorities))
	}
	return err
}

// loopback says whether a URL can only lead to this machine.
func loopback(text string) bool {
	u, err := url.Parse(text)
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}

// wire makes the parts and folds the journal into the sweep.
func (e *Engine) wire(ctx context.Context) error {
	o := e.o
	counters := map[servicerequests.EUI]sweep.Counters{}
	identities := map[servicerequests.EUI]signer.Identity{}
	agreement := map[servicerequests.EUI]*ecdh.PrivateKey{}
	for _, id := range o.Identities {
		agreement[id.EUI] = id.KeyAgreement.Key
		identities[id.EUI] = signer.Identity{
			XML: xmldsig.Signer{
				Key: id.XMLSigning.Key, Issuer: id.XMLSigning.Certificate.Issuer, Serial: id.XMLSigning.Certificate.SerialText(),
			},
			PreCommand: id.DigitalSigning.Key,
		}
	}
	gate, err := signer.New(signer.Options{Identities: identities})
	if err != nil {
		return err
	}
	if e.gateway, err = gateway.New(gateway.Options{URL: o.DCC.URL, TLS: o.DCC.TLS, Timeout: o.DCC.Timeout, Connections: 2 * o.Workers}); err != nil {
		return err
	}
	if e.verifier, err = proof.New(proof.Options{
		Transform: o.DCC.Transform, XMLSigning: o.DCC.XMLSigning, KeyAgreement: agreement, Devices: e.devices, Revoked: o.Revoked,
		ServerProven: e.gateway.ServerProven() || o.Plan.Environment == Simulator && loopback(o.DCC.URL),
	}); err != nil {
		return err
	}
	limits, err := pacer.New(o.Limits)
	if err != nil {
		return err
	}
	circuits, err := breaker.New(withExclusions(o.Breaker))
	if err != nil {
		return err
	}
	o.Registry.MustRegister(circuits)
	directed := &o.Plan.Direction
	policy := o.Policy
	policy.Strategy = sweep.Strategy(o.Plan.Strategy)
	policy.Permits = covered(directed)
	policy.RereadSeed = seedOf(o.Plan)
	policy.BalanceAfter = policy.BalanceAfter && o.Plan.Bounds.BalanceAfter // no more than was approved
	// All are asked before anything is written, and then all are taken.
	for _, c := range e.foreseeCounters(owner{e.journal}) {
		if c.Err != nil {
			return c.Err
		}
	}
	if e.begins {
		if err := e.writePlan(ctx); err != nil {
			return err
		}
	}
	for _, id := range o.Identities {
		c, err := custody.Open(o.CustodyDir, id.EUI, owner{e.journal}, custody.Options{Floor: o.Floor})
		if err != nil {
			return err
		}
		e.custody = append(e.custody, c)
		counters[id.EUI] = counted{c}
	}
	audited := newAlarmed(e.journal, o.Registry)
	e.sweep = sweep.New(sweep.Options{
		Policy: policy, Clock: e.clock, Journal: audited, Signer: gate, Gateway: posted{e.gateway}, Verifier: e.verifier,
		Counters: counters, Pacer: paced{limits}, Breakers: guarded{circuits},
		Thresholds: o.Thresholds, Suppressed: o.Suppressed, Gate: e.mayAct, Drain: o.Drain,
		Moved: func(reason error) { o.Gates.Trip(direction.MPIDs, reason) },
		State: audited, StateEvery: cmp.Or(o.StateEvery, keepEvery),
		DCC: o.DCC.EUI, Workers: o.Workers, InFlight: o.InFlight, PerHub: o.PerHub,
		Waves: wavesOf(o.Plan), StandIn: o.StandIn, Tripwires: o.Tripwires, RetryBudget: o.RetryBudget, DeadMan: o.DeadMan,
		Resend: o.Resend, Resends: o.Resends, Log: o.Log.Named("sweep"), Registerer: o.Registry,
	})
	e.circuits = circuits
	e.registerGates()
	return e.wireAddresses(audited)
}

// wireAddresses makes the handlers of inbox and console.
func (e *Engine) wireAddresses(audited alarmed) error {
	in, err := inbox.New(inbox.Options{
		Verifier: e.verifier, Authenticated: e.authenticated(),
		Receive:  e.judgeAtOnce,
		Stranger: audited.stranger,
		Now:      e.clock.Now, Log: e.o.Log.Named("inbox"), Registerer: e.o.Registry,
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
	e.desk, err = console.New(console.Options{
		Stories: told, Redact: e.o.Operations.Redact,
		Sweep: watched{e}, Gatherer: e.o.Registry, Healthy: e.journal.Err, Log: e.o.Log.Named("console"),
		Token: e.o.Operations.Token, People: e.o.Operations.People, Registerer: e.o.Registry, Closing: e.closing, Course: e.course,
	})
	return err
}

// authenticated says which requests come from the DCC.
func (e *Engine) authenticated() func(*http.Request) bool {
	switch {
	case e.o.Inbox.TLS != nil:
		return inbox.OverMutualTLS
	case e.o.Plan.Header.Environment == Simulator:
		return inbox.OverLoopback
	}
	return nil
}

// judgeAtOnce proves a message before it is written, for a sweep that takes in only what
// is proven.
func (e *Engine) judgeAtOnce(ctx context.Context, r record.Record) error {
	d, err := e.verifier.Delivery(ctx, r.Body)
	if err == nil {
		return e.sweep.Receive(ctx, r, d)
	}
	unproven, ok := errors.AsType[*proof.Error](err)
	if !ok || proof.Undecided(err) {
		return err // it is sent again
	}
	digest := sha256.Sum256(r.Body)
	return e.sweep.Disbelieve(ctx, record.Record{
		At: r.At, Kind: record.Refused, Device: r.Device, ID: r.ID, Code: record.RefusedUnverified,
		Body: record.Encode(record.RefusedBody{Reason: err.Error(), SHA256: hex.EncodeToString(digest[:])}),
	}, unproven.ID)
}

// listen binds the addresses.
func (e *Engine) listen(ctx context.Context) (err error) {
	if e.inbox, err = inbox.Listen(ctx, e.o.Inbox); err != nil {
		return fmt.Errorf("inbox.listen: %w", err)
	}
	if e.o.Operations.Listen == "" {
		return nil
	}
	if e.console, err = console.Listen(ctx, e.o.Operations); err != nil {
		return fmt.Errorf("operations.listen: %w", err)
	}
	return nil
}

// InboxURL is where the DCC must deliver to.
func (e *Engine) InboxURL() string { return e.inbox.URL(e.o.InboxPath) }

// OperationsURL is where metrics and control are; empty if they are nowhere.
func (e *Engine) OperationsURL() string {
	switch {
	case e.console == nil:
		return ""
	case e.o.Operations.TLS != nil:
		return "https://" + e.console.Addr().String()
	}
	return "http://" + e.console.Addr().String()
}

// Status is where the sweep stands, and its gates and circuits with it.
func (e *Engine) Status() record.Status {
	st := e.record.Status()
	st.Gates = map[string]string{}
	for _, gate := range direction.AllGates {
		st.Gates[string(gate)] = "open"
		if err := e.o.Gates.CheckGate(gate, e.clock.Wall()); err != nil {
			st.Gates[string(gate)] = errors.Unwrap(err).Error()
		}
	}
	st.Breakers = e.circuits.Troubled()
	if limit := e.limit(); !math.IsInf(limit, 1) {
		st.Limit = &limit
	}
	return st
}

// limit is how many POSTs a second the User's and the regions' limits let go together.
func (e *Engine) limit() float64 {
	regions := 0.0
	for _, l := range e.o.Limits.Region {
		regions += l.PerSecond
	}
	return min(regions, e.o.Limits.User.PerSecond*float64(len(e.o.Identities)))
}

// Run carries the sweep out. When ctx ends it drains and returns
// [sweep.ErrStopped]; a [*sweep.HaltError] says that the sweep stopped itself.
func (e *Engine) Run(ctx context.Context) error {
	if err := e.open(ctx); err != nil {
		return orStopped(ctx, err)
	}
	var servers sync.WaitGroup
	defer servers.Wait()
	if e.console != nil {
		consoleServer := &http.Server{
			Handler: e.desk, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute,
			MaxHeaderBytes: 16 << 10, ErrorLog: zap.NewStdLog(e.o.Log.Named("console")),
		}
		consoleServer.RegisterOnShutdown(func() { close(e.closing) })
		servers.Go(func() { e.serve(consoleServer, e.console) }) // ends with Shutdown or Close
		defer func() {
			// Whoever ordered the end gets the answer.
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			defer cancel()
			if consoleServer.Shutdown(last) != nil {
				_ = consoleServer.Close() // somebody who does not let go
			}
		}()
	}
	watching, unwatch := context.WithCancel(ctx)
	defer unwatch()
	servers.Go(func() { e.o.Gates.Watch(watching, e.logLook) })
	servers.Go(func() { e.followJournal(watching) })
	// Answers that were journalled and not acted on are proven again; for that the
	// SMKI service must be reachable, so it happens here and not in Open.
	from, err := e.restore(ctx)
	if err != nil {
		return orStopped(ctx, err)
	}
	walked, err := e.verifyPast(ctx, from)
	if err != nil {
		return orStopped(ctx, err)
	}
	if err := e.sweep.Replay(ctx, e.journal.Records(ctx, from), e.verifier); err != nil {
		return orStopped(ctx, err)
	}
	// Only now is it known what this sweep awaits. What the DCC delivers meanwhile
	// waits at the listener, or is sent again.
	servers.Go(func() { e.serve(e.server, e.inbox) }) // ends with Shutdown
	stopPinning := e.startPinning()
	servers.Go(func() { e.watchPast(watching, walked, from) })
	err = e.sweep.Run(ctx)
	// The inbox closes first: what it has acknowledged is durable.
	quiet, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	err = errors.Join(err, e.server.Shutdown(quiet), e.end(quiet, err))
	stopPinning() // the last checkpoint is of the end
	if e.console != nil && e.o.Stay > 0 {
		stay, cancel := context.WithTimeout(ctx, e.o.Stay)
		defer cancel()
		<-stay.Done()
	}
	return err
}

// serve answers at one address until its server is ended.
func (e *Engine) serve(s *http.Server, l net.Listener) {
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		e.o.Log.Error("an address answers no more", zap.Stringer("address", l.Addr()), zap.Error(err))
	}
}

// orStopped tells an operator's stop before the sweep has begun from a fault.
func orStopped(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%w: %w", sweep.ErrStopped, err)
	}
	return err
}

// end writes how the sweep ended.
func (e *Engine) end(ctx context.Context, outcome error) error {
	body := record.ClosedBody{Throttled: e.record.Status().Throttled}
	code := record.ClosedFinished
	var halt *sweep.HaltError
	begun := true
	switch {
	case errors.Is(outcome, sweep.ErrStopped):
		code, body.Reason = record.ClosedInterrupted, outcome.Error()
	case errors.Is(outcome, sweep.ErrCeased):
		code, body.Reason = record.ClosedCeased, outcome.Error()
	case errors.As(outcome, &halt):
		code, body.Reason = record.ClosedHalted, halt.Error()
	case outcome != nil:
		begun = false
	}
	if writable := e.journal.Err() == nil; !begun || !writable {
		return nil // outcome says why
	}
	return e.journal.Commit(ctx, record.Record{At: e.clock.Now(), Kind: record.Closed, Code: code, Body: record.Encode(body)})
}

// probe says in one line if the DCC is not there, before anything is signed.
func (e *Engine) probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	u, err := url.Parse(e.o.DCC.URL)
	if err != nil {
		return fmt.Errorf("dcc.url: %w", err)
	}
	host := u.Host
	if u.Port() == "" {
		host = net.JoinHostPort(u.Hostname(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", host)
	if err != nil {
		return fmt.Errorf("dcc.url %s %w: %w", e.o.DCC.URL, ErrUnreachable, err)
	}
	_ = conn.Close() // nothing was sent on it
	if err := e.devices.Check(ctx, e.o.Identities[0].EUI); err != nil {
		return fmt.Errorf("dcc.smki_url %s %w: %w", e.o.DCC.SMKIURL, ErrUnreachable, err)
	}
	return nil
}

// Close gives everything back: counters with their last value, the journal with
// what was queued. It may be called more than once.
func (e *Engine) Close() error {
	var faults []error
	var listeners []net.Listener
	if e.inbox != nil {
		listeners = append(listeners, e.inbox)
	}
	if e.console != nil {
		listeners = append(listeners, e.console)
	}
	for _, l := range listeners {
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			faults = append(faults, err)
		}
	}
	if e.gateway != nil {
		e.gateway.Close()
	}
	if e.devices != nil {
		e.devices.Close()
	}
	for _, c := range e.custody {
		faults = append(faults, c.Close())
	}
	faults = append(faults, e.closeCheckpoints(), e.closeStories())
	if e.journal != nil {
		faults = append(faults, e.journal.Close())
	}
	return errors.Join(faults...)
}
