package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"safemode/cmd/cli"
	"safemode/config"
	"safemode/engine"
	"safemode/engine/direction"
	"safemode/engine/journal"
	"safemode/engine/plan"
	"safemode/engine/record"
	"safemode/engine/report"
	"safemode/engine/sweep"
	"safemode/servicerequests"
)

func newSweep(io stdio) *cobra.Command {
	var configPath, planDir, journalPath, confirm, portfolioPath string
	var dryRun, asJSON, plain, verbose bool
	var flags rehearsalFlags
	c := &cobra.Command{
		Use:   "sweep --config FILE --plan DIR --journal FILE",
		Short: "Carry a plan out, or go on with it after any stop",
		Long: `Carries the plan out. The same command goes on where it was after any stop.

It begins with the approvals of two people (safemode approve). They say how many
stops it may go on after; to go on after a halt needs two new ones. In environment
live the sweep's id must be typed, or given by --confirm.

Where the journal is in a database and another machine has the sweep, this one stands by, and
takes it over when the other ends or nothing is heard of it for ten seconds. What can be
refused before is refused at once. While it stands by it reads the configuration and the
approvals again when they change.

It ends when every meter has a verdict. The same command, given again later, reads the
meters again that are armed (policy.reread_armed_after), and a sample of those on supply
(policy.reread_after).

With --dry-run the sweep is rehearsed: a simulator in the same process, and meters
grown from the plan. Its keys, counters, journal and reports are made in the folder
of --journal, which must be new or empty. It uses none of the configuration's keys
and reaches no other address. It needs no approvals.

With --dark-hours the meters live through winter weeks, and the report says for how
long homes are without supply: by this plan, by the same sweep once more in the order
of --portfolio, and without a sweep.`,
		Example: `  safemode sweep --config safemode.yaml --plan plan --journal journal.db
  safemode sweep --config safemode.yaml --plan plan --journal 'postgres://srp@db.example/sweeps?sweep=winter'
  safemode sweep --config safemode.yaml --plan plan --journal dry/journal.db --dry-run --speed 600
  safemode sweep --config safemode.yaml --plan plan --journal dark/journal.db --dry-run --speed 60 --dark-hours 168h --portfolio portfolio.csv`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			io := fillable(io, plain)
			conf, err := loadConfig(configPath)
			if err != nil {
				return err
			}
			load := plan.Open // the targets stay in the file
			if dryRun {
				load = plan.Load
			}
			p, err := planBy(load, planDir)
			if err != nil {
				return err
			}
			if err := checkWithin(p, portfolioPath); err != nil {
				return err
			}
			log := newLogger(io.err, verbose)
			defer log.Sync()
			if dryRun {
				if err := flags.pressLives(c.Flags()); err != nil {
					return err
				}
				rows, err := rowsForDark(portfolioPath, flags.dark)
				if err != nil {
					return err
				}
				return sweepDry(c.Context(), io, conf, p, journalPath, flags, rows, asJSON, log)
			}
			for _, name := range []string{"seed", "faults", "speed", "living", "begin", "dark-hours", "top-ups", "press", "json"} {
				if c.Flags().Changed(name) {
					return fmt.Errorf("--%s goes with --dry-run", name)
				}
			}
			b := beginning{conf: conf, plan: p, configPath: configPath, planDir: planDir, journal: journalPath, log: log}
			o, err := readBeginning(b)
			if err != nil {
				return err
			}
			switch {
			case conf.Environment == config.Simulator && confirm == "", confirm == p.SweepID():
			case confirm != "":
				return failWith(exitRefused, fmt.Errorf("--confirm %s: this plan's sweep is %s", confirm, p.SweepID()))
			default:
				if err := confirmBy(io, p.SweepID(), "to sweep LIVE meters"); err != nil {
					return err
				}
			}
			for {
				o.Stay = flags.stay
				err := runSweep(c.Context(), io, &b, o)
				changed, ok := errors.AsType[*engine.ChangedError](err)
				if !ok && err != nil {
					return err
				}
				if !ok {
					break
				}
				log.Info("the configuration or the plan's folder has changed: it is read again", zap.String("config", configPath), zap.String("plan", planDir))
				if b.conf, err = b.reread(c.Context()); err != nil {
					return err
				}
				if o, err = readBeginning(b); err != nil {
					return err
				}
				o.StoodBy = &changed.Takeover
			}
			w := wayHere(io, config.Night{Journal: journalPath})
			w.say(io, w.report())
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&configPath, "config", "", "configuration file")
	f.StringVar(&planDir, "plan", "", "folder of the frozen plan")
	f.StringVar(&journalPath, "journal", "", "the sweep's journal: "+journalFlag+"; made if it does not exist")
	f.StringVar(&confirm, "confirm", "", "the sweep's id, instead of typing it")
	f.BoolVar(&plain, "plain", false, plainUsage)
	f.DurationVar(&flags.stay, "stay", 0, stayUsage)
	f.BoolVar(&dryRun, "dry-run", false, "rehearse against a simulator in this process")
	f.Uint64Var(&flags.seed, "seed", 1, "dry run: seed of meters and faults")
	f.StringVar(&flags.faults, "faults", "calm", "dry run: fault profiles, with commas between them: ready ones' names or YAML files")
	f.Float64Var(&flags.speed, "speed", 0, "dry run: "+speedUsage)
	f.BoolVar(&flags.living, "living", false, "dry run: "+livingUsage)
	f.StringVar(&flags.begin, "begin", "", "dry run: "+beginUsage)
	flags.dark.add(f, "dry run: ")
	addPress(f, &flags.press, "dry run: ")
	f.StringVar(&portfolioPath, "portfolio", "", "the portfolio that the plan was made of: a meter that is not in it refuses the plan; needed by --dark-hours")
	f.BoolVar(&asJSON, "json", false, "dry run: print the summary as one line of JSON")
	f.BoolVar(&verbose, "verbose", false, "log every event")
	required(c, "config", "plan", "journal")
	return c
}

const stayUsage = "how long page, status and metrics can still be read after the end, or until it is interrupted (real time)"

// rowsForDark reads the order that dark hours are compared with.
func rowsForDark(portfolioPath string, dark darkFlags) ([]servicerequests.EUI, error) {
	switch {
	case dark.over == 0:
		return nil, nil
	case portfolioPath == "":
		return nil, errors.New("--dark-hours needs --portfolio: it compares the plan's order with the portfolio's")
	}
	return readDevices(portfolioPath)
}

// runSweep carries one plan out and says how it ended. After an [engine.ChangedError] it is to be
// called again, with the files as they are now.
func runSweep(ctx context.Context, io stdio, b *beginning, o engine.Options) error {
	channels, err := channelsOf(b.conf)
	if err != nil {
		return failWith(exitUsage, err)
	}
	if len(channels) > 0 {
		if o.Notices, err = openNotifier(b.conf, b.journal, channels, o.Registry, b.log); err != nil {
			return err
		}
		defer o.Notices.Close()
	}
	o.Place = placeOf(b.configPath, b.planDir, b.journal)
	o.Place.Operations = o.Operations.Listen // the engine knows better once it listens
	countDropped(io.err, o.Registry)         // which is a new one each time
	serving := &served{io: io}
	o.StandsBy = func(st record.Status) { serving.standsBy(ctx, st) }
	e, err := engine.Open(ctx, o)
	if err != nil {
		serving.ends()
		if _, ok := errors.AsType[*engine.ChangedError](err); ok {
			return err
		}
		if errors.Is(err, engine.ErrFinished) {
			fmt.Fprintf(io.err, "%v\n", err)
			return nil
		}
		if errors.Is(err, sweep.ErrStopped) {
			return failWith(exitInterrupted, err)
		}
		advise(ctx, io, err, &o)
		return failWith(openCode(err), err)
	}
	first := e.Status()
	printIdentity(io.err, &first)
	fmt.Fprintf(io.err, "answers come to %s; metrics and control at %s\n", e.InboxURL(), e.OperationsURL())
	serving.begins(ctx, e)
	err = watch(ctx, io, e)
	serving.ends()
	if errors.Is(err, sweep.ErrCeased) {
		fmt.Fprintf(io.err, "%v: for good\n", err)
		return nil
	}
	st := e.Status()
	if err := sweepEnd(err); err != nil {
		printToDo(io.err, &st)
		return err
	}
	if s := st; s.Meters > 0 && s.Verdicts[record.VerdictUnknown] == s.Meters {
		return failWith(exitNotHeld, fmt.Errorf("finished, but nothing is known of any of the %d meters", s.Meters))
	}
	return nil
}

// openCode is the exit code of a sweep that could not begin.
func openCode(err error) int {
	var halt *sweep.HaltError
	switch {
	case errors.As(err, &halt):
		return exitHalted
	case errors.Is(err, journal.ErrLapsed): // the database went away meanwhile: the same command may do
		return exitFailed
	case errors.Is(err, engine.ErrRefused), errors.Is(err, plan.ErrDamaged), errors.Is(err, plan.ErrTooManyMeters):
		return exitRefused
	default:
		return custodyCode(err)
	}
}

// journalCode is the exit code of a journal that cannot be used.
func journalCode(err error) int {
	switch {
	case errors.Is(err, journal.ErrDamaged), errors.Is(err, journal.ErrLacking): // no supervisor is to start it again
		return exitHalted
	case errors.Is(err, journal.ErrInUse):
		return exitRefused
	case errors.Is(err, journal.ErrForeign), errors.Is(err, journal.ErrVersion), errors.Is(err, journal.ErrNone), errors.Is(err, os.ErrNotExist),
		errors.Is(err, report.ErrNoStory):
		return exitUsage
	default:
		return exitFailed
	}
}

// advise says of the refusal of a start for want of approvals what is to be done, by how the
// journal ends.
func advise(ctx context.Context, io stdio, err error, o *engine.Options) {
	if !errors.Is(err, direction.ErrNotApproved) {
		return
	}
	place := o.Place
	place.Approved = []string{}
	if missing, ok := errors.AsType[*direction.MissingError](err); ok {
		for _, by := range missing.Signed {
			place.Approved = append(place.Approved, by.Name)
			place.Approvers = slices.DeleteFunc(slices.Clone(place.Approvers), func(person string) bool {
				cert, err := cli.Certificate(person + ".pem")
				return err == nil && direction.Fingerprint(cert) == by.Key
			})
		}
	}
	if st, unread := engine.StatusOf(ctx, o.Journal, o.CustodyDir, o.Plan, place); unread == nil { // else the refusal says enough
		printToDo(io.err, &st)
	}
}

// sweepEnd gives the end of a sweep its exit code.
func sweepEnd(err error) error {
	var halt *sweep.HaltError
	var undrained *engine.UndrainedError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &halt):
		return failWith(exitHalted, err)
	case errors.Is(err, sweep.ErrHandedOver):
		return failWith(exitHandedOver, errors.New("handed over and drained: another machine has the sweep, and this command stands by for it"))
	case errors.As(err, &undrained):
		return failWith(exitInterrupted, fmt.Errorf("interrupted and drained: %w. The same command once more goes on", err))
	case errors.Is(err, sweep.ErrStopped):
		return failWith(exitInterrupted, errors.New("interrupted and drained"))
	case errors.Is(err, sweep.ErrReplay), errors.Is(err, journal.ErrDamaged):
		return failWith(exitHalted, err)
	default:
		return failWith(exitFailed, err)
	}
}

// loadPlan reads a frozen plan.
func loadPlan(dir string) (*plan.Plan, error) {
	return planBy(plan.Load, dir)
}

func planBy(load func(string) (*plan.Plan, error), dir string) (*plan.Plan, error) {
	p, err := load(dir)
	if errors.Is(err, plan.ErrDamaged) {
		return nil, failWith(exitRefused, err)
	}
	return p, failWith(exitUsage, err)
}
