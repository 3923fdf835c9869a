package engine

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"safemode/engine/advice"
	"safemode/engine/authority"
	"safemode/engine/breaker"
	"safemode/engine/checkpoint"
	"safemode/engine/console"
	"safemode/engine/custody"
	"safemode/engine/direction"
	"safemode/engine/directory"
	"safemode/engine/durable"
	"safemode/engine/gateway"
	"safemode/engine/inbox"
	"safemode/engine/index"
	"safemode/engine/journal"
	"safemode/engine/ledger"
	"safemode/engine/listen"
	"safemode/engine/notice"
	"safemode/engine/pacer"
	"safemode/engine/plan"
	"safemode/engine/proof"
	"safemode/engine/prover"
	"safemode/engine/record"
	"safemode/engine/runner"
	"safemode/engine/signing"
	"safemode/engine/sweep"
	"safemode/servicerequests"
	"safemode/servicerequests/clock"
	"safemode/servicerequests/smki"
)

// Simulator is the environment in which nothing reaches a real meter.
const Simulator = record.Simulator

// ErrRefused says that the engine must not run: for example, plan, keys and environment
// do not belong together.
var ErrRefused = errors.New("refused")

// ErrUnreachable says that the DCC did not answer before the sweep began.
var ErrUnreachable = errors.New("cannot be reached")

// Identity is one of the failed supplier's identities with its keys.
type Identity struct {
	EUI            servicerequests.EUI
	XMLSigning     smki.SigningIdentity
	DigitalSigning smki.SigningIdentity
	KeyAgreement   smki.AgreementIdentity
}

// DCC has the DCC's addresses and the certificates that it may sign with.
type DCC struct {
	URL, SMKIURL          string
	EUI                   servicerequests.EUI // target of requests that no device answers
	Timeout               time.Duration       // of one POST, in real time; 0: the gateway's default
	ClockApart            time.Duration       // how far its clock and ours may be apart at a start; 0: 30 s
	TLS                   *tls.Config         // for https; nil otherwise
	Transform, XMLSigning []*smki.Certificate
	Authorities           []*smki.Certificate // to which all certificates must chain
	S1SP                  []*smki.Certificate // of SMETS1 Service Providers; there may be none
}

// Options is what an engine is made of. All fields are required unless they say
// otherwise. The package of a type documents it.
type Options struct {
	Plan       *plan.Plan
	Suppressed map[servicerequests.EUI]struct{} // planned meters that must not be touched; may be nil
	Transfers  Transfers                        // homes that leave the supplier, each on its day; the zero value: none
	Journal    string                           // path or address of the journal
	CustodyDir string                           // folder of the counters, or address of a custody in the journal's database
	Floor      uint64                           // of the originator counters; 0: milliseconds since 1970
	Identities []Identity                       // without keys if Signer has them
	// Signer is the process that has the keys; nil: they are in this one. It is closed with
	// the engine.
	Signer *signing.Client
	DCC    DCC

	Inbox       inbox.Address
	InboxPath   string
	InboxLimits inbox.Limits
	Operations  console.Address // Listen empty: none
	// Stay is how long the operations address still answers after the sweep's end, or until
	// the context of Run ends; real time. It takes no orders then.
	Stay time.Duration

	// StandsBy is called by an engine that stands by, whenever it learns for whom. Optional.
	StandsBy func(record.Status)
	// Changed says whether the files that these options were read from have changed since. An
	// engine calls it while it stands by, and before it takes a sweep over. Optional.
	Changed func() bool
	// StoodBy is that of the [ChangedError] for which this Open follows another. Nil: it
	// follows none.
	StoodBy *record.Takeover

	Clock       clock.Clock // Anchor may be zero: the journal's is used, or now
	Policy      ledger.Policy
	Limits      pacer.Limits
	Breaker     breaker.Options
	InFlight    int
	PerHub      int
	Workers     int
	StandIn     string // name under which a rehearsal resumes at once what paused by itself; empty: a person resumes
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
	// AcceptOneServer accepts, in any environment, a database that does not wait for a second
	// server when it commits.
	AcceptOneServer bool
	Version         string        // of the program
	Place           advice.Place  // the paths and addresses in advised commands; an empty one becomes a word for the reader to replace
	StateEvery      time.Duration // real time between two states that the journal keeps; 0: half a minute
	// Notices tells people who do not watch that they are needed; nil: nobody is told.
	Notices *notice.Notifier
	// Checkpoints pin the journal's past; optional.
	Checkpoints Checkpoints

	// Rehearsal is a sweep that can reach no real meter: a simulator in the same process,
	// with keys and counters of its own. It needs no approvals. Refused in live.
	Rehearsal bool
	// Approvals are those of the plan's folder. Only those of people on Roster count. Both are
	// required, except in a rehearsal.
	Approvals []*direction.Approval
	Roster    *direction.Roster
	// ApprovalsAtMost bounds how long an approval is valid; 0: what the plan says.
	ApprovalsAtMost time.Duration
	// Wider is what the configuration allows beyond the plan; nil: nothing.
	Wider error
	// Gates says whether the sweep may still act. Nil: only the direction's own window is
	// checked, and a live sweep is refused.
	Gates *direction.Gates
	// Revoked says whether a revocation list names a certificate of the DCC. Its signatures
	// then prove nothing any more. Nil: none is revoked.
	Revoked func(*smki.Certificate) bool
	// Drain is how long answers are still taken in after a gate has closed; real time.
	Drain time.Duration

	Log      *zap.Logger
	Registry *prometheus.Registry
}

// Engine is one sweep with everything around it. Make it with [Open], call
// [Engine.Run] once, and [Engine.Close] it in any case.
type Engine struct {
	o          Options
	journal    *journal.Journal
	files      durable.Files        // of the custody
	pins       *checkpoint.Log      // nil: none are made
	index      *index.Index         // set once asked is closed; nil: the page shows no stories
	asked      chan struct{}        // closed when the index is asked for the first time; nil: there is no page
	looks      bool                 // this is a start that only looks; see Foresee
	replicated string               // for which servers the commits of the database wait; empty: the journal is in a file
	reached    *tls.ConnectionState // to the DCC; nil: without TLS
	toldTime   string               // the DCC's time when it was reached, and ours
	heardAt    time.Time
	made       made
	foreseen   []Counter
	waits      error             // which engine has the journal, so that a start would stand by; nil: none
	leaving    ForeseenTransfers // as the start has read them
	claimed    authority.Journal // what the journal says of itself
	custody    []*custody.Counters
	counters   map[servicerequests.EUI]runner.Counters // of custody
	gateway    *gateway.Gateway
	devices    *directory.Directory
	verifier   *proof.Verifier
	prover     *prover.Prover
	runner     *runner.Runner
	circuits   *breaker.Breaker
	called     calledHomes
	inbox      *inbox.Listener
	console    *listen.Listener
	clock      clock.Clock
	sweepID    string
	damage     atomic.Pointer[error]            // found in the part of the journal that this start has not read
	content    string                           // hash of the plan's lines in the journal; empty: some are missing
	book       *custody.Book                    // nil: a rehearsal
	suppressed map[servicerequests.EUI]struct{} // the configuration's and the plan's; nil: the configuration's alone
	begins     bool                             // the journal has no Opened record yet
	later      bool                             // the journal's plan may be read after the decision on the start
	unread     int                              // records of the journal's plan that are still to be compared with the plan
	known      int                              // records of the plan that the journal had when this engine opened it
	grant      authority.Grant                  // by which the sweep begins or goes on
	freeze     *direction.Freeze                // the statement on which it begins or goes on; nil: none is needed
	server     *http.Server                     // of the inbox
	handler    http.Handler                     // of the console

	heard     *prometheus.GaugeVec // see pulse.go
	troubled  atomic.Int64         // since when a circuit has not been closed, in nanoseconds since 1970; 0: all are closed
	haltedAt  atomic.Int64         // when this engine saw that the sweep had halted, by the sweep's clock, in nanoseconds since 1970; 0: it has not
	lastHeard atomic.Int64         // when the last message came in, in nanoseconds since 1970; 0: none has
	ended     atomic.Bool          // the runner has ended

	transfersRead fs.FileInfo // the list of transfers as it was read at the start; nil: there is none

	seen   *checkpoint.Seen // what this machine remembers of the journal; nil: it is on this machine itself
	unseen atomic.Bool      // it cannot be written

	standsBy  atomic.Pointer[record.Holder]   // for which engine this one stands by; nil: for none
	standby   atomic.Pointer[[]record.Holder] // who stands by for this one; nil: not known
	oneServer atomic.Pointer[string]          // why it takes nothing over: the database has one server; nil: it has two, or it is not asked
	foresaw   bool                            // it has stood by, and looked first at what a takeover would refuse
	alone     atomic.Int64                    // since when no engine stands by for this one, in nanoseconds since 1970; 0: one does, or it is not known
	takeover  *record.Takeover                // the takeover by which it begins or goes on; nil: none

	closing chan struct{} // closed when the console is about to answer no more
}

// Open makes an engine ready. It checks that the DCC answers, binds its addresses and opens
// the journal. If the journal is in a database and another engine has it, Open stands by. Only
// when nothing refuses the start it writes the plan and takes the custody of the counters. It
// signs and sends nothing. Errors that wrap [ErrRefused] say that this sweep must not run:
// something does not belong together, an approval is missing, a gate is closed.
// [ErrUnreachable] says that the DCC does not answer. A [ChangedError] says that the engine stood
// by, and that its options are old. After an error everything is as it was:
// counters are given back, and files that this Open made are removed.
func Open(ctx context.Context, o Options) (_ *Engine, err error) {
	e := newEngine(o)
	defer func() {
		if err != nil {
			err = errors.Join(err, e.undo(), e.Close())
		}
	}()
	if err := e.look(ctx); err != nil {
		return nil, err
	}
	if err := e.take(ctx); err != nil {
		return nil, err
	}
	return e, e.connect()
}

// newEngine returns an engine that has checked nothing yet.
func newEngine(o Options) *Engine {
	if o.Clock.Speed == 0 {
		o.Clock.Speed = 1
	}
	if o.Gates == nil {
		o.Gates = direction.NewGates(direction.GateOptions{Direction: &o.Plan.Direction, Poll: time.Minute})
	}
	return &Engine{o: o, takeover: o.StoodBy, closing: make(chan struct{}), counters: map[servicerequests.EUI]runner.Counters{}, clock: begun(o.Clock, time.Time{})}
}

// learnt has messages that wait for a device's keys tried again.
func (e *Engine) learnt(device servicerequests.EUI) {
	if e.prover != nil {
		e.prover.Learnt(device)
	}
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

// InboxURL is the address to which the DCC must deliver.
func (e *Engine) InboxURL() string { return e.inbox.URL(e.o.InboxPath) }

// OperationsURL is the operations address; empty if there is none.
func (e *Engine) OperationsURL() string {
	switch {
	case e.console == nil:
		return ""
	case e.o.Operations.TLS != nil:
		return "https://" + e.console.Addr().String()
	}
	return "http://" + e.console.Addr().String()
}

// Run carries out the sweep. When ctx ends it drains and returns
// [sweep.ErrStopped]; a [*sweep.HaltError] says that the sweep stopped itself.
func (e *Engine) Run(ctx context.Context) error {
	var servers sync.WaitGroup
	defer e.seeNow() // how it ended, too
	defer servers.Wait()
	if e.console != nil {
		defer e.serveConsole(ctx, &servers)()
	}
	defer e.tellPeople(ctx)()
	watching, unwatch := context.WithCancel(ctx)
	defer unwatch()
	servers.Go(func() { e.o.Gates.Watch(watching, e.logLook) })
	servers.Go(func() { e.followJournal(watching) })
	servers.Go(func() { e.watchTransfers(watching) })
	servers.Go(func() { e.watchSigner(watching) })
	servers.Go(func() { e.watchStandby(watching) })
	servers.Go(func() { e.watchSeen(watching) })
	from, walked, err := e.replay(ctx)
	if err != nil {
		return orStopped(ctx, err)
	}
	running, stop := context.WithCancel(ctx)
	defer stop()
	by, err := e.undrained(ctx)
	if err != nil {
		return orStopped(ctx, err)
	}
	if by != "" {
		stop()
	}
	// Only now may something be sent: a start that could not read its journal uses up no
	// resume.
	if err := e.open(ctx); err != nil {
		return orStopped(ctx, err)
	}
	proving, stopProving := context.WithCancel(context.WithoutCancel(ctx))
	servers.Go(func() { e.prove(proving) })
	servers.Go(func() { e.serve(e.server, e.inbox) }) // ends with Shutdown
	stopPinning := e.startPinning()
	servers.Go(func() { e.watchPast(watching, walked, from) })
	servers.Go(func() { e.watchPlanned(watching) })
	err = e.nameHolder(ctx, e.runner.Run(running))
	if by != "" && errors.Is(err, sweep.ErrStopped) {
		err = &UndrainedError{By: by}
	}
	e.ended.Store(true)
	// The end is written first: nothing slow may come before it.
	err = errors.Join(err, e.end(ctx, err))
	e.logEnd()
	quiet, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if closing := e.server.Shutdown(quiet); closing != nil {
		err = errors.Join(err, closing, e.server.Close()) // a client keeps its connection
	}
	stopProving()
	stopPinning() // this makes the last checkpoint, of the end
	if e.console != nil && e.o.Stay > 0 {
		stay, cancel := context.WithTimeout(ctx, e.o.Stay)
		defer cancel()
		<-stay.Done()
	}
	return err
}

// replay reads the journal into the sweep, without keys and without network. Stored messages
// that were not judged wait to be proven again. It returns the number of the first record that
// it replayed, and how far the chain of those before was checked.
//
// Only the plan's meters are swept. A kept state has the plan's places, so the journal's
// lines of the plan can be read during the sweep. Without a state they are read before it.
func (e *Engine) replay(ctx context.Context) (from, walked uint64, err error) {
	if from, walked, err = e.restore(ctx); err != nil {
		return 0, 0, err
	}
	if e.unread > 0 && from == 1 {
		if err := e.readPlanned(ctx, e.unread); err != nil {
			return 0, 0, err
		}
		e.unread = 0
	}
	unjudged, err := e.runner.Replay(e.journal.Records(ctx, from), e.verifier.Content)
	if err != nil {
		return 0, 0, err
	}
	for _, seq := range unjudged {
		r, err := e.journal.At(ctx, seq)
		if err != nil {
			return 0, 0, err
		}
		e.prover.Again(seq, r.At, r.Body)
	}
	return from, walked, nil
}

// prove judges stored messages until ctx ends.
func (e *Engine) prove(ctx context.Context) {
	if err := e.prover.Run(ctx); err != nil && ctx.Err() == nil {
		e.o.Log.Error("stored messages are not judged any more", zap.Error(err))
	}
}

// serve answers at one address until its server is shut down.
func (e *Engine) serve(s *http.Server, l net.Listener) {
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		e.o.Log.Error("server ended", zap.Stringer("address", l.Addr()), zap.Error(err))
	}
}

// orStopped returns an operator's stop before the sweep began as such, and a fault as a fault.
func orStopped(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%w: %w", sweep.ErrStopped, err)
	}
	return err
}

// end writes how the sweep ended.
func (e *Engine) end(ctx context.Context, outcome error) error {
	body := record.ClosedBody{Throttled: e.runner.Status().Throttled}
	code := record.ClosedFinished
	var halt *sweep.HaltError
	switch {
	case e.journal.Err() != nil:
		return nil // outcome says why
	case errors.Is(outcome, sweep.ErrStopped):
		code, body.Reason = record.ClosedInterrupted, outcome.Error()
	case errors.Is(outcome, sweep.ErrCeased):
		code, body.Reason = record.ClosedCeased, outcome.Error()
	case errors.As(outcome, &halt):
		code, body.Reason = record.ClosedHalted, halt.Why()
	case outcome != nil: // it has not begun
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return e.journal.Commit(ctx, record.Record{At: e.clock.Now(), Kind: record.Closed, Code: code, Body: record.Encode(body)})
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
	if e.o.Signer != nil {
		e.o.Signer.Close()
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
	faults = append(faults, e.closeStories())
	if e.journal != nil {
		faults = append(faults, e.journal.Close())
	}
	return errors.Join(faults...)
}
