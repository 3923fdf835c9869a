package engine

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"safemode/engine/console"
	"safemode/engine/custody"
	"safemode/engine/direction"
	"safemode/engine/journal"
	"safemode/engine/plan"
	"safemode/engine/record"
	"safemode/engine/sweep"
)

// awaitJournal opens the journal for writing, or stands by until it may. It waits only for
// a journal in a database: a process with the lock of a file is on this machine. A rehearsal
// never waits.
func (e *Engine) awaitJournal(ctx context.Context) (err error) {
	for open := false; !open; {
		if err := e.openOrStandBy(ctx); err != nil {
			return err
		}
		if open, err = e.mayTakeOver(ctx); err != nil {
			return err
		}
	}
	e.files, err = e.journal.Files(e.o.CustodyDir)
	return err
}

// openOrStandBy opens the journal for writing, and stands by first if another engine has it.
func (e *Engine) openOrStandBy(ctx context.Context) error {
	for e.journal == nil {
		j, err := journal.Open(e.o.Journal, e.o.Commits)
		switch {
		case err == nil:
			e.journal = j
		case e.standsByFor(err):
			err = e.standBy(ctx)
		case e.takeover != nil && errors.Is(err, journal.ErrLapsed):
			err = e.pause(ctx, err)
		default:
			err = e.awaitDatabase(ctx, err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// mayTakeOver says whether an engine that has stood by may go on with the journal that it has
// opened. It looks while nobody else may write: another may have been sooner. If it has lost the
// lease meanwhile, or the database is away, it waits a moment and asks to be called again.
func (e *Engine) mayTakeOver(ctx context.Context) (yes bool, err error) {
	if e.takeover == nil {
		return true, nil
	}
	if e.changed() {
		return false, &ChangedError{*e.takeover}
	}
	err = leftToDo(ctx, e.journal)
	switch lost := e.journal.Held(); {
	case ctx.Err() != nil:
		return false, errStoodBy
	case lost != nil:
		_ = e.journal.Close() // its error is the lease's, too
		e.journal = nil
		return false, e.pause(ctx, lost)
	case err != nil:
		return false, e.awaitDatabase(ctx, err)
	}
	e.o.Log.Warn("taking over the sweep", zap.String("from", e.takeover.From), zap.Bool("handed_over", e.takeover.HandedOver))
	return true, nil
}

// awaitDatabase waits a moment if this engine has stood by and the database is unavailable for
// a while. Any other error it returns.
func (e *Engine) awaitDatabase(ctx context.Context, err error) error {
	if e.takeover == nil || !journal.Passing(err) {
		return err
	}
	return e.pause(ctx, err)
}

// pause waits a moment before a takeover is tried again.
func (e *Engine) pause(ctx context.Context, err error) error {
	e.o.Log.Warn("cannot take the sweep over yet", zap.Error(err))
	select {
	case <-time.After(time.Second):
		return nil
	case <-ctx.Done():
		return errStoodBy
	}
}

// standsByFor says whether a start stands by after this error of its journal.
func (e *Engine) standsByFor(err error) bool {
	return errors.Is(err, journal.ErrInUse) && journal.IsAddress(e.o.Journal) && !e.o.Rehearsal
}

// ChangedError is the error of an engine that stood by until the files of its options changed. It
// has taken nothing over. Read the options again, set StoodBy and call Open again: otherwise an
// engine that stands by for weeks would go on with old limits and certificates.
type ChangedError struct {
	Takeover record.Takeover // from the engine that it stood by for
}

func (*ChangedError) Error() string {
	return "it stood by, and the files that it was started with have changed"
}

func (e *Engine) changed() bool { return e.o.Changed != nil && e.o.Changed() }

// changeEvery is how often an engine that stands by looks whether its options are old.
const changeEvery = time.Second

// untilChanged returns a context that ends when ctx does, or once the options are old.
func (e *Engine) untilChanged(ctx context.Context) (_ context.Context, stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() {
		ticker := time.NewTicker(changeEvery)
		defer ticker.Stop()
		for !e.changed() {
			select {
			case <-ticker.C:
			case <-ctx.Done():
				return
			}
		}
		cancel()
	})
	return ctx, func() { cancel(); watch.Wait() }
}

// errStoodBy is the error of an engine that was told to end while it stood by.
var errStoodBy = fmt.Errorf("%w: it stood by, and took nothing over", sweep.ErrStopped)

// standBy waits until no engine has the journal. Before it first waits, it refuses whatever can
// be refused already. The addresses are bound, and answer that this engine stands by.
func (e *Engine) standBy(ctx context.Context) error {
	if !e.foresaw {
		if err := e.foresee(ctx); err != nil {
			return err
		}
		e.foresaw = true
	}
	stopServing, err := e.serveStandby(ctx)
	if err != nil {
		return err
	}
	defer stopServing()
	waiting, stopWatching := e.untilChanged(ctx)
	defer stopWatching()
	last, err := journal.StandBy(waiting, e.o.Journal, e.o.Commits, func(h record.Holder, fault error) {
		e.standsBy.Store(&h)
		if fault != nil {
			e.o.Log.Warn("standing by, and the database does not answer", zap.Error(fault))
			return
		}
		e.o.Log.Info("standing by", zap.String("for", h.Name), zap.Time("since", h.Since))
		if e.o.StandsBy != nil {
			e.o.StandsBy(e.standbyStatus())
		}
	}, func(tip journal.Tip) {
		// Until it has begun, a start that fails takes back what it has written.
		if c := &e.o.Plan.Counts; tip.Seq > uint64(1+c.Targets+c.Rejected) {
			e.see(seen(e.o.Plan.Journal, tip), false)
		}
	})
	if err == nil {
		err = e.awaitReplicated(waiting)
	}
	e.standsBy.Store(nil)
	e.see(e.seen.Last(), true)
	switch {
	case ctx.Err() != nil:
		return errStoodBy
	case waiting.Err() != nil:
		return &ChangedError{record.Takeover{From: last.Name, Since: last.Since}}
	case err != nil:
		return err
	}
	// The last may be this one: it took the lease, and did not hear so.
	if e.takeover == nil || last.Name != e.o.Commits.Holder {
		e.takeover = &record.Takeover{From: last.Name, Since: last.Since, HandedOver: last.Until.IsZero()}
	}
	return nil
}

// ErrFinished is the error of an engine that stood by until the sweep had finished.
var ErrFinished = errors.New("it stood by, and the sweep has finished")

// leftToDo says why a sweep that no engine has any more is not taken over: it has finished, or
// a person has stopped it. A sweep that has halted or ceased is refused as at any other start.
func leftToDo(ctx context.Context, j *journal.Journal) error {
	var st record.Status
	if err := statusOf(ctx, j, new(plan.Header), &st); err != nil {
		return err
	}
	if st.State == record.ClosedFinished {
		return ErrFinished
	}
	by, _, err := stoppedBy(ctx, j)
	if err == nil && by != "" {
		err = fmt.Errorf("%w: it stood by, and %s has stopped the sweep", sweep.ErrStopped, by)
	}
	return err
}

// stoppedBy is who has stopped the whole sweep in its last run, and not handed it over after that,
// and whether that run has ended. Runs before the last count as well if they were killed: a killed
// run has not ended by the stop, and what starts the engine again does not know of it.
func stoppedBy(ctx context.Context, j *journal.Journal) (by string, ended bool, err error) {
	var opened, end uint64 // the last start, and the last end before it
	for r, err := range j.Backward(ctx, 0, math.MaxInt64, record.Opened, record.Closed, record.Halted) {
		if err != nil {
			return "", false, err
		}
		if r.Kind == record.Opened {
			opened = max(opened, r.Seq)
			continue
		}
		if opened > 0 {
			end = r.Seq
			break
		}
		ended = true
	}
	var stop string // who gave the last stop; empty: none, or a handover came after it
	var known bool  // whether that is found
	for r, err := range j.Backward(ctx, end, math.MaxInt64, record.Opened, record.Operator) {
		if err != nil {
			return "", false, err
		}
		switch {
		case r.Kind == record.Opened: // an order before the first start is of the run that has ended
			if by = stop; known {
				return by, ended, nil
			}
			continue
		case known, r.Code != record.OrderHandover && r.Code != record.OrderStop:
			continue
		}
		o, err := record.Decode[record.OrderBody](r)
		if err != nil {
			return "", false, err
		}
		if r.Code == record.OrderHandover || o.Region == 0 && o.Wave == 0 && o.SRV == "" {
			known = true
			if r.Code == record.OrderStop {
				stop = o.By
			}
		}
	}
	return by, ended, nil
}

// UndrainedError is the error of a run that has only ended what a killed one had left: a person
// had stopped the sweep. The same start once more goes on.
type UndrainedError struct {
	By string // who has stopped it
}

func (u *UndrainedError) Error() string {
	return u.By + " has stopped the sweep, and the run before this was killed before it had drained"
}

func (u *UndrainedError) Unwrap() error { return sweep.ErrStopped }

// undrained is who has stopped the sweep if its last run did not live to end by that. A person's
// stop holds until a run has ended by it.
func (e *Engine) undrained(ctx context.Context) (string, error) {
	by, ended, err := stoppedBy(ctx, e.journal)
	if ended {
		by = ""
	}
	return by, err
}

// foreseeTries is how often a takeover that would be refused is foreseen again. The other engine
// may be starting: what it has written so far, in the journal and in the custody, may not fit
// together yet.
const foreseeTries = 4

// foresee refuses what the takeover would refuse, as far as the journal shows it now: another
// plan, clock or custody, a closed gate, and a start that nobody has approved. It also refuses
// whatever fails while the parts are made that need no journal.
func (e *Engine) foresee(ctx context.Context) error {
	for try := 1; ; try++ {
		err := e.foreseeOnce(ctx)
		if err == nil || try == foreseeTries {
			return err
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return errStoodBy
		}
	}
}

func (e *Engine) foreseeOnce(ctx context.Context) (err error) {
	o := e.o
	o.Registry = prometheus.NewRegistry()
	early := newEngine(o)
	early.looks, early.later, early.files, early.devices = true, true, e.files, e.devices
	if early.journal, err = journal.OpenReadOnly(o.Journal); errors.Is(err, journal.ErrNone) {
		return nil // the other engine is about to begin it
	}
	if err != nil {
		return err
	}
	defer func() {
		if early.gateway != nil {
			early.gateway.Close()
		}
		err = errors.Join(err, early.journal.Close())
	}()
	for _, look := range []func(context.Context) error{early.comparePlan, early.checkGates, early.makeParts, early.firstTransfers} {
		if err := look(ctx); err != nil {
			return err
		}
	}
	// Otherwise the other engine may still write what is missing.
	decided := early.decide(ctx)
	if errors.Is(decided, direction.ErrNotApproved) || errors.Is(decided, custody.ErrNoBook) {
		return decided
	}
	if decided == nil {
		if err := early.askSigner(ctx); err != nil {
			return err
		}
	}
	if c := o.Plan.Custody; c != nil && early.book != nil && c.ID != early.book.ID() {
		return fmt.Errorf("%w: the plan is for custody %s, and this is %s", ErrRefused, c.ID, early.book.ID())
	}
	return nil
}

// standbyEvery is how often the engine asks who stands by.
const standbyEvery = 2 * time.Second

// watchStandby keeps in the status who stands by for this engine, until ctx ends.
func (e *Engine) watchStandby(ctx context.Context) {
	if !journal.IsAddress(e.o.Journal) {
		return
	}
	look := func() {
		if all, err := e.journal.Standby(ctx); err == nil { // on an error the journal's own writes say what is wrong
			e.standby.Store(&all)
			if len(all) > 0 {
				e.alone.Store(0)
			} else {
				e.alone.CompareAndSwap(0, time.Now().UnixNano())
			}
		}
	}
	look()
	every(ctx, standbyEvery, look)
}

// standbyMissing is for how long nobody has stood by; nil: somebody does, or nobody can.
func (e *Engine) standbyMissing() *float64 {
	since := e.alone.Load()
	if since == 0 {
		return nil
	}
	missing := time.Since(time.Unix(0, since)).Seconds()
	return &missing
}

// registerStandby has the metrics say for how long nobody has stood by where somebody should.
func (e *Engine) registerStandby() {
	e.o.Registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "safemode_standby_missing_seconds",
		Help: "For how long nobody has stood by to take this sweep over, in real time; 0 while somebody does, outside of live, and with a journal in a file.",
	}, func() float64 {
		if missing := e.standbyMissing(); missing != nil && e.o.Plan.Environment == record.Live {
			return *missing
		}
		return 0
	}))
}

// retryAfter is the Retry-After of an inbox that stands by, in seconds.
const retryAfter = 2

// serveStandby answers at the addresses while this engine stands by: the inbox with 503, the
// operations address with the engine that it stands by for. The function that it returns ends
// that, and leaves the addresses bound.
func (e *Engine) serveStandby(ctx context.Context) (stop func(), err error) {
	in := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", strconv.Itoa(retryAfter))
			http.Error(w, "standing by", http.StatusServiceUnavailable)
		}),
		ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: 30 * time.Second,
		IdleTimeout: 10 * time.Second, MaxHeaderBytes: 16 << 10, ErrorLog: zap.NewStdLog(e.o.Log.Named("inbox")),
	}
	servers := []*http.Server{in}
	var serving sync.WaitGroup
	if e.console != nil {
		closing := make(chan struct{})
		o := e.consoleOptions()
		o.Sweep, o.Ready, o.Registerer, o.Closing = standbySweep{e}, e.standbyReady, prometheus.NewRegistry(), closing
		handler, err := console.New(o)
		if err != nil {
			return nil, err
		}
		server := console.Server(handler, e.o.Log.Named("console"))
		server.RegisterOnShutdown(sync.OnceFunc(func() { close(closing) }))
		servers = append(servers, server)
		serving.Go(func() { e.serve(server, e.console.Lend()) })
	}
	serving.Go(func() { e.serve(in, e.inbox.Lend()) })
	return func() {
		endServers(ctx, servers...)
		serving.Wait()
	}, nil
}

// standbySweep shows an engine that stands by to the console. It takes no orders.
type standbySweep struct{ *Engine }

// Status is that of an engine that stands by, as a value to encode.
func (s standbySweep) Status() any { return s.standbyStatus() }

// Order refuses every order.
func (s standbySweep) Order(context.Context, console.Order) error {
	return fmt.Errorf("%w: %w", console.ErrOrder, s.standbyReady())
}

// standbyReady returns an error that says that this engine stands by, and for which one.
func (e *Engine) standbyReady() error {
	if why := e.oneServer.Load(); why != nil {
		return standsBy("nobody has the sweep, and it is not taken over: " + *why)
	}
	if h := e.standsBy.Load(); h != nil && h.Name != "" {
		return standsBy(fmt.Sprintf("standing by for %s, which holds the sweep since %s", h.Name, h.Since.Format(time.RFC3339)))
	}
	return console.ErrStandsBy
}

// standsBy is a [console.ErrStandsBy] that says for whom.
type standsBy string

func (s standsBy) Error() string { return string(s) }

// Is implements what [errors.Is] asks for.
func (standsBy) Is(target error) bool { return target == console.ErrStandsBy }

// standbyStatus is the status of an engine that stands by.
func (e *Engine) standbyStatus() record.Status {
	d, now := &e.o.Plan.Direction, time.Now().UTC()
	st := record.Status{State: "standing_by", Reason: e.standbyReady().Error(), Meters: e.o.Plan.Counts.Targets, Holder: e.standsBy.Load(), ToDo: []record.Task{}}
	st.Identity = identityOf(e.o.Plan.Environment, e.o.Plan.SweepID(), d)
	st.Time, st.RealTime, st.ClockSpeed = now, now, e.o.Clock.Speed
	st.Health = record.Health{Level: record.HealthOK, Says: st.Reason}
	if e.oneServer.Load() != nil {
		st.Health.Level = record.HealthNotSending
	}
	return st
}
