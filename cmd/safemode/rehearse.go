package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"safemode/config"
	"safemode/devicesim"
	"safemode/devicesim/fault"
	"safemode/devicesim/fleet"
	"safemode/devicesim/meter"
	"safemode/engine"
	"safemode/engine/advice"
	"safemode/engine/journal"
	"safemode/engine/plan"
	"safemode/engine/record"
	"safemode/engine/report"
	"safemode/engine/sweep"
	"safemode/servicerequests"
	"safemode/servicerequests/clock"
	"safemode/servicerequests/smki"
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

// rehearsal makes one that has not started, with its clock running.
func (f rehearsalFlags) rehearsal(dir string, supplier servicerequests.EUI, population *fleet.Fleet, faults fault.Profile, log *zap.Logger) *rehearsal {
	begin, _ := f.start() // checked
	r := &rehearsal{
		dir: dir, supplier: supplier, seed: f.seed, fleet: population, faults: faults, life: life(f.living, f.press), dark: f.dark,
		clock: newRehearsalClock(begin, f.speed), speed: f.speed, stay: f.stay, log: log,
	}
	if f.dark.over > 0 {
		r.life = f.dark.life(f.press.Habit)
	}
	if r.life.Began = begin; begin.IsZero() {
		r.life.Began = r.clock.Now()
	}
	return r
}

// rehearsal is a whole sweep against a simulator in the same process, with keys,
// counters and a journal of its own in one folder. Both sides hold to one clock.
type rehearsal struct {
	dir      string
	supplier servicerequests.EUI
	seed     uint64
	fleet    *fleet.Fleet
	faults   fault.Profile
	life     meter.Life
	dark     darkFlags
	clock    clock.Clock
	speed    float64 // as it was asked for; 0: the clock jumps
	stay     time.Duration
	begins   time.Time // what the clock shows once the keys are made; zero: it goes on
	opened   time.Time // when the sweep was about to begin, by the clock
	log      *zap.Logger

	departures []string // settings that are not the shipped ones

	transfers string                            // the list of homes that leave; empty: none does
	listed    map[servicerequests.EUI]time.Time // their days, by meter

	// forbidden is told of a forbidden command that reaches a meter with a valid
	// signature. Nil: it is only counted.
	forbidden func(device servicerequests.EUI, useCase string)

	sim    *devicesim.Simulator
	cancel context.CancelFunc
	done   chan error // of the simulator's Run
}

// start makes the test PKI of a rehearsal in dir/pki and runs its simulator.
func (r *rehearsal) start(ctx context.Context) error {
	if _, err := writePKI(filepath.Join(r.dir, "pki"), smki.TestFolder{Supplier: r.supplier, Seed: seedBytes(r.seed)}); err != nil {
		return err
	}
	folder, err := loadPKI(filepath.Join(r.dir, "pki"), smki.LoadFolder)
	if err != nil {
		return err
	}
	if !r.begins.IsZero() {
		r.clock = newRehearsalClock(r.begins, r.speed)
	}
	o := devicesim.Options{
		Fleet: r.fleet, PKI: folder, Clock: r.clock, Faults: r.faults, Life: r.life, Forbidden: r.forbidden,
		Log: r.log.Named("sim"), Registerer: prometheus.NewRegistry(),
	}
	if r.dark.over > 0 {
		o.DarkUntil = r.life.Began.Add(r.dark.over)
	}
	r.sim, err = devicesim.New(o)
	if err != nil {
		return failWith(exitFailed, err)
	}
	if err := r.list(); err != nil {
		return err
	}
	if err := makeDir(filepath.Join(r.dir, "custody")); err != nil {
		return err
	}
	if _, err := makeCheckpointKey(filepath.Join(r.dir, "checkpoint.key"), "rehearsal"); err != nil {
		return err
	}
	// The simulator outlives an interrupt: the sweep drains against it.
	ctx, r.cancel = context.WithCancel(context.WithoutCancel(ctx))
	r.done = make(chan error, 1)
	go func() { r.done <- r.sim.Run(ctx) }()
	return nil
}

// list writes which homes leave by the fault profile, for the sweep to read.
func (r *rehearsal) list() error {
	leaving := r.sim.Leaving()
	if len(leaving) == 0 {
		return nil
	}
	r.transfers, r.listed = filepath.Join(r.dir, "transfers.csv"), map[servicerequests.EUI]time.Time{}
	for _, l := range leaving {
		if l.Listed {
			r.listed[l.Device] = l.Effective
		}
	}
	_, err := writeTransfers(r.transfers, leaving, r.clock.Now())
	return err
}

// stop ends the simulator.
func (r *rehearsal) stop() error {
	if r.cancel == nil {
		return nil
	}
	r.cancel()
	r.cancel = nil
	if err := <-r.done; err != nil && !errors.Is(err, context.Canceled) {
		return failWith(exitFailed, fmt.Errorf("simulator: %w", err))
	}
	return nil
}

// point makes a configuration talk to this rehearsal and nothing else: its
// simulator's addresses, its keys, its counters, its clock.
func (r *rehearsal) point(c *config.Config) {
	pki := filepath.Join(r.dir, "pki")
	c.Environment = config.Simulator
	c.DCC.URL = "http://" + r.sim.DUISAddr()
	c.DCC.SMKIURL = "http://" + r.sim.SMKIAddr()
	c.DCC.EUI = smki.TestDCC
	c.DCC.TLS = config.TLS{}
	c.DCC.TransformCertificates = []string{filepath.Join(pki, "dcc", "transform.pem")}
	c.DCC.XMLSigningCertificates = []string{filepath.Join(pki, "dcc", "xml-signing.pem"), filepath.Join(pki, "dcc", "renewed.pem")}
	c.DCC.Authorities = nil
	for _, name := range []string{"root", "issuing", "device-issuing"} {
		c.DCC.Authorities = append(c.DCC.Authorities, filepath.Join(pki, "ca", name+".pem"))
	}
	c.Identities = []config.Identity{{EUI: r.supplier, PKIDir: pki}}
	c.Inbox.Listen, c.Inbox.Path, c.Inbox.TLS = "127.0.0.1:0", "/smartdcc/duis", config.InboxTLS{}
	c.Operations = config.Operations{Listen: "127.0.0.1:0"} // the configured one may be a real sweep's
	c.CustodyDir = filepath.Join(r.dir, "custody")
	c.Journal.CheckpointKey = filepath.Join(r.dir, "checkpoint.key")
	c.CounterFloor = 0
	c.Roster = config.Roster{File: filepath.Join(pki, "roster.yaml"), SignedBy: filepath.Join(pki, "staff", "rita.pem")}
	c.Transfers.File = r.transfers
	c.Gates.RevocationLists, c.Gates.MPIDsFile, c.Gates.FreezeFile, c.Gates.CheckExpiry = nil, "", "", false
	c.SimulatorClock = &config.SimulatorClock{Anchor: r.clock.Anchor, Speed: r.clock.Speed}
}

// run sweeps the plan, reports from the journal, and holds every claim of the
// report against the simulator's truth. A sweep that halted has a report as well:
// then both results are there.
func (r *rehearsal) run(ctx context.Context, io stdio, o engine.Options) (folded *report.Report, halted error) {
	o.Clock = r.clock // the simulator's own, which was started already
	o.StandIn, o.Stay, r.opened = "the rehearsal", r.stay, r.clock.Now()
	countDropped(io.err, o.Registry)
	e, err := engine.Open(ctx, o)
	if err != nil {
		return nil, failWith(openCode(err), err)
	}
	r.sim.SetRespondTo(e.InboxURL())
	first := e.Status()
	printIdentity(io.err, &first)
	if url := e.OperationsURL(); url != "" {
		fmt.Fprintf(io.err, "metrics and control at %s\n", url)
	}
	switch err := watch(ctx, io, e); {
	case errors.Is(err, sweep.ErrStopped): // its simulator is gone: no command goes on with it
		return nil, failWith(exitInterrupted, fmt.Errorf("interrupted and drained; a rehearsal starts anew, what there is of this one is in %s", r.dir))
	case err != nil:
		halted = sweepEnd(err)
		if !errors.As(err, new(*sweep.HaltError)) {
			return nil, halted
		}
	}
	if n := r.clock.Overdue(); n > 0 {
		fmt.Fprintf(io.err, "warning: the clock went on %d times though something was under way for over ten seconds: times of this rehearsal may be off\n", n)
	}
	if r.stay > 0 {
		ctx = context.WithoutCancel(ctx) // what an interrupt has ended is the stay
	}
	folded, err = foldJournal(ctx, o.Journal)
	if err != nil {
		return nil, errors.Join(halted, err)
	}
	if err := r.hold(ctx, io, folded, &o, halted == nil); err != nil {
		return nil, errors.Join(halted, err)
	}
	folded.Summary.Departures = r.departures
	if err := folded.Write(r.dir, report.Options{Say: advice.NextFor}); err != nil {
		return nil, failWith(exitFailed, err)
	}
	return folded, halted
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
	dir, err := newFolder(filepath.Dir(journalPath))
	if err != nil {
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
	r := flags.rehearsal(dir, supplier, population, faults, log)
	if err := r.start(ctx); err != nil {
		return err
	}
	rehearsed := *conf
	r.point(&rehearsed)
	// The plan is the operator's, but for the environment: nothing of a rehearsal
	// may look like a live sweep, not even its journal.
	dry := *p
	dry.Environment = engine.Simulator
	o, err := engineOptions(&rehearsed, &dry, journalPath, log)
	if err != nil {
		return errors.Join(err, r.stop())
	}
	o.Rehearsal = true
	folded, err := r.run(ctx, io, o)
	if flags.dark.over > 0 && err == nil {
		err = r.reckonDark(ctx, io, &rehearsed, &dry, rows, folded)
	}
	return errors.Join(conclude(io, folded, dir, asJSON, err), r.stop())
}

// conclude prints a rehearsal's report, if there is one, and fails where the truth
// contradicts it or the sweep did not finish.
func conclude(io stdio, folded *report.Report, dir string, asJSON bool, halted error) error {
	if folded == nil {
		return halted
	}
	if err := printReport(io, folded, dir, asJSON); err != nil {
		return err
	}
	if err := claimsHold(folded.Summary); err != nil {
		return err
	}
	if halted != nil {
		return halted
	}
	return holds(folded)
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
func holds(folded *report.Report) error {
	if err := claimsHold(folded.Summary); err != nil {
		return err
	}
	if folded.Ended != record.ClosedFinished {
		return failWith(exitFailed, fmt.Errorf("the sweep ended as %q", folded.Ended))
	}
	return nil
}
