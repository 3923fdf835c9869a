package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"go.uber.org/zap"

	"safemode/cmd/rehearsal"
	"safemode/config"
	"safemode/devicesim/fault"
	"safemode/devicesim/fleet"
	"safemode/engine"
	"safemode/engine/advice"
	"safemode/engine/journal"
	"safemode/engine/plan"
	"safemode/engine/record"
	"safemode/engine/report"
	"safemode/engine/sweep"
	"safemode/servicerequests"
)

// rehearsalFlags are the simulator's settings on the command line.
type rehearsalFlags struct {
	seed   uint64
	faults string
	speed  float64 // 0: the clock jumps
	living bool
	stay   time.Duration
	begin  string // RFC 3339; empty: now
	dark   darkFlags
	press  pressFlag

	retries string // of the demo: shipped or short; empty: shipped for dark hours
}

// shortRetries says whether what cannot be reached is given up within hours. How long homes
// are dark depends on it: dark hours are reckoned without, unless somebody wants it so.
func (f rehearsalFlags) shortRetries() bool {
	return f.retries == "short" || f.retries == "" && f.speed > 0 && f.dark.over == 0
}

const speedUsage = "how many times faster than real time the clock runs (default 0: it jumps from event to event, as fast as the machine can)"

// clock says what clock a rehearsal runs by.
func (f rehearsalFlags) clock() string {
	if f.speed == 0 {
		return "a clock that jumps from event to event"
	}
	return fmt.Sprintf("a clock at %g times real time (%v of it are a second)", f.speed, time.Duration(f.speed*float64(time.Second)))
}

const beginUsage = "what the clock shows as the rehearsal begins, like 2027-01-13T06:00:00Z (default now)"

// start is the instant that begin names; zero: now.
func (f rehearsalFlags) start() (time.Time, error) {
	if f.begin == "" {
		return time.Time{}, nil
	}
	at, err := time.Parse(time.RFC3339, f.begin)
	switch {
	case err != nil:
		return at, fmt.Errorf("--begin %s: want a time like 2027-01-13T06:00:00Z", f.begin)
	case f.speed == 1:
		return at, errors.New("--begin: a clock of --speed 1 shows real time")
	}
	return at.UTC(), nil
}

// check reads the fault profile and refuses a clock that goes back.
func (f rehearsalFlags) check() (fault.Profile, error) {
	if !(f.speed >= 0) {
		return fault.Profile{}, failWith(exitUsage, fmt.Errorf("--speed %g: want over 0, or 0 for a clock that jumps", f.speed))
	}
	if f.retries != "" && f.retries != "short" && f.retries != "shipped" {
		return fault.Profile{}, failWith(exitUsage, fmt.Errorf("--retries %s: want shipped or short", f.retries))
	}
	_, err := f.start()
	if err := errors.Join(err, f.dark.check(f.speed)); err != nil {
		return fault.Profile{}, failWith(exitUsage, err)
	}
	return loadFaults(f.faults)
}

// dryRun is a whole sweep against a rehearsal.
type dryRun struct {
	*rehearsal.Rehearsal
	dark   darkFlags
	stay   time.Duration
	opened time.Time // when the sweep was about to begin, by the clock
}

// dryRun makes one that has not started, with its clock running.
func (f rehearsalFlags) dryRun(dir string, supplier servicerequests.EUI, population *fleet.Fleet, faults fault.Profile, log *zap.Logger) *dryRun {
	begin, _ := f.start() // checked
	o := rehearsal.Options{
		Dir: dir, Supplier: supplier, Seed: f.seed, Fleet: population, Faults: faults, Life: life(f.living, f.press), Dark: f.dark.over,
		Clock: rehearsal.NewClock(begin, f.speed), Speed: f.speed, Log: log,
	}
	if f.dark.over > 0 {
		o.Life = f.dark.life(f.press.Habit)
	}
	if o.Life.Began = begin; begin.IsZero() {
		o.Life.Began = o.Clock.Now()
	}
	return &dryRun{Rehearsal: &rehearsal.Rehearsal{Options: o}, dark: f.dark, stay: f.stay}
}

// run sweeps the plan, reports from the journal, and holds every claim of the
// report against the simulator's truth. A sweep that halted has a report as well:
// then both results are there.
func (r *dryRun) run(ctx context.Context, io stdio, o engine.Options) (rep *report.Report, halted error) {
	o.Clock = r.Clock // the simulator's own, which was started already
	o.StandIn, o.Stay, r.opened = "the rehearsal", r.stay, r.Clock.Now()
	countDropped(io.err, o.Registry)
	e, err := engine.Open(ctx, o)
	if err != nil {
		return nil, failWith(openCode(err), err)
	}
	r.Sim.SetRespondTo(e.InboxURL())
	first := e.Status()
	printIdentity(io.err, &first)
	if url := e.OperationsURL(); url != "" {
		fmt.Fprintf(io.err, "metrics and control at %s\n", url)
	}
	switch err := watch(ctx, io, e); {
	case errors.Is(err, sweep.ErrStopped): // its simulator is gone: no command goes on with it
		return nil, failWith(exitInterrupted, fmt.Errorf("interrupted and drained; a rehearsal starts from the beginning, what there is of this one is in %s", r.Dir))
	case err != nil:
		halted = sweepEnd(err)
		if !errors.As(err, new(*sweep.HaltError)) {
			return nil, halted
		}
	}
	if n := r.Clock.Overdue(); n > 0 {
		fmt.Fprintf(io.err, "warning: the clock went on %d times though something was under way for over ten seconds: times of this rehearsal may be off\n", n)
	}
	if r.stay > 0 {
		ctx = context.WithoutCancel(ctx) // what an interrupt has ended is the stay
	}
	rep, err = readReport(ctx, o.Journal)
	if err != nil {
		return nil, errors.Join(halted, err)
	}
	if err := r.Judge(ctx, io.err, rep, &o, halted == nil); err != nil {
		return nil, errors.Join(halted, failWith(journalCode(err), err))
	}
	rep.Summary.Departures = r.Departures
	if err := rep.Write(r.Dir, report.Options{Say: advice.NextFor}); err != nil {
		return nil, failWith(exitFailed, err)
	}
	return rep, halted
}

// watch runs an engine to its end with progress on the way, and closes it.
func watch(ctx context.Context, io stdio, e *engine.Engine) error {
	progress, stop := context.WithCancel(ctx)
	shown := make(chan struct{})
	go func() {
		defer close(shown)
		showProgress(progress, io.err, e.Status)
	}()
	err := e.Run(ctx)
	stop()
	<-shown
	if status := e.Status(); status.State != "" {
		fmt.Fprintln(io.err, statusLine(status))
	}
	return errors.Join(err, e.Close())
}

// sweepDry rehearses a plan: meters are grown from its targets. Rows are those of the
// portfolio, for dark hours.
func sweepDry(ctx context.Context, io stdio, conf *config.Config, p *plan.Plan, journalPath string, flags rehearsalFlags, rows []servicerequests.EUI, asJSON bool, log *zap.Logger) error {
	faults, err := flags.check()
	if err != nil {
		return err
	}
	if journal.IsAddress(journalPath) {
		return failWith(exitUsage, errors.New("--journal: a dry run keeps its journal in a file"))
	}
	// A journal or counters that lie there may be those of a real sweep.
	dir := filepath.Dir(journalPath)
	if err := newFolder(dir); err != nil {
		return failWith(exitUsage, fmt.Errorf("--journal %s: a dry run makes a folder of its own: %w", journalPath, err))
	}
	supplier := p.Originators[0]
	var claims []fleet.Claim
	for _, t := range p.Targets {
		if t.Originator != supplier {
			return failWith(exitUsage, fmt.Errorf("%v: a dry run sweeps one originator, and this plan has several", t.Device))
		}
		claims = append(claims, fleet.Claim{Device: t.Device, Type: t.Type, Hub: t.Hub, MPxN: t.MPxN, Region: t.Region, Mode: t.Claimed})
	}
	population, err := fleet.FromPortfolio(claims, fleet.Options{Seed: flags.seed, Supplier: supplier, OtherModels: faults.OtherModels})
	if err != nil {
		return failWith(exitUsage, err)
	}
	r := flags.dryRun(dir, supplier, population, faults, log)
	if err := r.Start(ctx); err != nil {
		return err
	}
	rehearsed := *conf
	r.Point(&rehearsed)
	// The plan is the operator's, with another environment: nothing of a rehearsal
	// may look like a live sweep, not even its journal.
	dry := *p
	dry.Environment = engine.Simulator
	o, err := engineOptions(&rehearsed, &dry, journalPath, log)
	if err != nil {
		return errors.Join(err, r.Stop())
	}
	o.Rehearsal = true
	rep, err := r.run(ctx, io, o)
	if flags.dark.over > 0 && err == nil {
		err = r.reckonDark(ctx, io, &rehearsed, &dry, rows, rep)
	}
	return errors.Join(conclude(io, rep, dir, asJSON, err), r.Stop())
}

// conclude prints a rehearsal's report, if there is one, and fails where the truth
// contradicts it or the sweep did not finish.
func conclude(io stdio, rep *report.Report, dir string, asJSON bool, halted error) error {
	if rep == nil {
		return halted
	}
	if err := printReport(io, rep, dir, asJSON); err != nil {
		return err
	}
	if err := claimsHold(rep.Summary); err != nil {
		return err
	}
	if halted != nil {
		return halted
	}
	return holds(rep)
}

// claimsHold fails where a rehearsal's report claims what is not so.
func claimsHold(s report.Summary) error {
	switch {
	case s.Truth.Mismatches > 0:
		return failWith(exitNotHeld, fmt.Errorf("%d of %d claims differ from the simulator's truth", s.Truth.Mismatches, s.Truth.Checked))
	case s.Counters.Reused > 0 || s.ForbiddenCommands > 0:
		return failWith(exitNotHeld, fmt.Errorf("%d counters used twice, %d forbidden commands", s.Counters.Reused, s.ForbiddenCommands))
	}
	return nil
}

// holds fails where a rehearsal did not finish, or its claims do not hold.
func holds(rep *report.Report) error {
	if err := claimsHold(rep.Summary); err != nil {
		return err
	}
	if rep.Ended != record.ClosedFinished {
		return failWith(exitFailed, fmt.Errorf("the sweep ended as %q", rep.Ended))
	}
	return nil
}
