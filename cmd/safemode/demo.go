package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"safemode/cmd/rehearsal"
	"safemode/config"
	"safemode/devicesim/fleet"
	"safemode/engine"
	"safemode/engine/direction"
	"safemode/engine/plan"
	"safemode/servicerequests/safefile"
	"safemode/servicerequests/smki"
)

func newDemo(io stdio) *cobra.Command {
	var meters int
	var flags rehearsalFlags
	var pace float64
	var out string
	var asJSON, plain, verbose bool
	c := &cobra.Command{
		Use:   "demo",
		Short: "A whole directed sweep with nothing prepared",
		Long: `Makes a test PKI, a fleet, a portfolio and a direction, starts the simulated DCC and
its meters on loopback ports in this process, plans, sweeps, reports, and compares
every claim of the report with the simulator's truth. Everything between the two
sides is real: DUIS XML, XML signatures, GBCS, SMKI certificates, HTTP.

Both sides share one clock. It stands still while anything is under way and jumps
to what is next. So days pass in seconds, with the shipped settings, and the result
does not depend on how busy the machine is. With --speed it runs on evenly instead, to
watch; then some settings make room for a machine that is late, and are named.
Latencies and the shares of troubled meters are assumptions.`,
		Example: `  safemode demo
  safemode demo --meters 10000 --seed 7 --json
  safemode demo --faults winter-evening --out demo
  safemode demo --meters 200 --begin 2027-01-13T06:00:00Z --dark-hours 168h`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := flags.pressLives(c.Flags()); err != nil {
				return err
			}
			io := fillable(io, plain)
			log := newLogger(io.err, verbose)
			defer log.Sync()
			return demo(c.Context(), io, meters, pace, flags, out, asJSON, log)
		},
	}
	f := c.Flags()
	f.IntVar(&meters, "meters", 1000, "how many meters, electricity and gas together")
	f.Uint64Var(&flags.seed, "seed", 1, "seed of keys, meters and faults")
	f.StringVar(&flags.faults, "faults", "calm", "fault profiles, with commas between them: ready ones' names or YAML files")
	f.Float64Var(&flags.speed, "speed", 0, speedUsage)
	f.Float64Var(&pace, "pace", 0, fmt.Sprintf("POSTs a second, by the clock (default as shipped; with --speed what makes %d of real time)", rehearsal.Posts))
	f.BoolVar(&flags.living, "living", false, livingUsage)
	f.BoolVar(&plain, "plain", false, plainUsage)
	f.DurationVar(&flags.stay, "stay", 0, stayUsage)
	f.StringVar(&flags.begin, "begin", "", beginUsage)
	f.StringVar(&flags.retries, "retries", "", "shipped: what cannot be reached is tried as long as in a real sweep, days of the clock; short: for two hours (default shipped; with --speed and no --dark-hours short)")
	flags.dark.add(f, "")
	addPress(f, &flags.press, "")
	f.StringVar(&out, "out", "", "folder for files, journal and reports (default a new one for temporary files)")
	f.BoolVar(&asJSON, "json", false, "print the summary as one line of JSON")
	f.BoolVar(&verbose, "verbose", false, "log every event")
	return c
}

func demo(ctx context.Context, io stdio, meters int, pace float64, flags rehearsalFlags, out string, asJSON bool, log *zap.Logger) error {
	faults, err := flags.check()
	if err != nil {
		return err
	}
	if pace < 0 {
		return failWith(exitUsage, fmt.Errorf("--pace %g: want over 0", pace))
	}
	if flags.speed > 0 {
		pace = cmp.Or(pace, rehearsal.Posts/flags.speed)
	}
	population, err := fleet.Generate(fleet.Options{Meters: meters, Seed: flags.seed, OtherModels: faults.OtherModels})
	if err != nil {
		return failWith(exitUsage, fmt.Errorf("--meters: %w", err))
	}
	dir := out
	if out == "" {
		dir, err = os.MkdirTemp("", "safemode-demo-")
		err = failWith(exitFailed, err)
	} else {
		err = newFolder(out)
	}
	if err != nil {
		return err
	}
	if faults.Rules.Windows.HubHolds == 0 && flags.shortRetries() {
		faults.Rules.Windows.HubHolds = rehearsal.HubHolds
	}
	r := flags.dryRun(dir, smki.TestSupplier, population, faults, log)
	fmt.Fprintf(io.err, "demo: %d meters, seed %d, faults %s (its figures are assumptions), %s, files in %s\n",
		meters, flags.seed, flags.faults, flags.clock(), dir)
	if err := writeFleet(population, filepath.Join(dir, "fleet.csv"), filepath.Join(dir, "portfolio.csv")); err != nil {
		return err
	}
	if err := rehearsal.WriteDirection(filepath.Join(dir, "direction.yaml"), r.Supplier, meters, r.Clock.Now()); err != nil {
		return err
	}
	if err := r.Start(ctx); err != nil {
		return err
	}
	err = r.demo(ctx, io, flags, pace, asJSON)
	return errors.Join(err, r.Stop())
}

// demo plans, sweeps and reports what start has prepared.
func (r *dryRun) demo(ctx context.Context, io stdio, flags rehearsalFlags, pace float64, asJSON bool) error {
	conf := r.Settings(flags.shortRetries(), pace)
	if len(r.Departures) > 0 {
		fmt.Fprintf(io.err, "settings that are not the shipped ones: %s\n", strings.Join(r.Departures, "; "))
	}
	r.Point(&conf)
	o, err := r.prepare(io, &conf)
	if err != nil {
		return err
	}
	rep, err := r.run(ctx, io, o)
	if r.dark.over > 0 && err == nil {
		rows, unread := readDevices(filepath.Join(r.Dir, "portfolio.csv"))
		if unread != nil {
			return unread
		}
		err = r.reckonDark(ctx, io, &conf, o.Plan, rows, rep)
	}
	return conclude(io, rep, r.Dir, asJSON, err)
}

// prepare does what people do before a sweep, in the names of the test people: it
// signs the direction, plans, and approves the plan.
func (r *dryRun) prepare(io stdio, conf *config.Config) (o engine.Options, err error) {
	directionPath, planDir, pki := filepath.Join(r.Dir, "direction.yaml"), filepath.Join(r.Dir, "plan"), filepath.Join(r.Dir, "pki")
	if err := signFile(directionPath, filepath.Join(pki, "staff", "rita")); err != nil {
		return o, err
	}
	p, err := makePlan(io, conf, directionPath, filepath.Join(r.Dir, "portfolio.csv"), preparer{cert: filepath.Join(pki, "staff", "olga.pem"), key: filepath.Join(pki, "staff", "olga.key")})
	if err != nil {
		return o, err
	}
	if err := savePlan(p, planDir); err != nil {
		return o, err
	}
	for _, name := range []string{"alice", "bob"} {
		if err := testApproval(p, planDir, filepath.Join(pki, "approvers", name)); err != nil {
			return o, err
		}
	}
	return readBeginning(beginning{conf: conf, plan: p, planDir: planDir, journal: filepath.Join(r.Dir, "journal.db"), log: r.Log})
}

// signFile signs a file with a test person's key; base is of their PEM files.
func signFile(path, base string) error {
	_, key, err := loadPerson(base+".pem", base+".key")
	if err != nil {
		return err
	}
	text, err := safefile.Read(path, safefile.Small, safefile.Checked)
	if err != nil {
		return failWith(exitFailed, err)
	}
	return writeSignature(path, key, text)
}

// testApproval is a test approver's approval of a plan.
func testApproval(p *plan.Plan, planDir, base string) error {
	cert, key, err := loadPerson(base+".pem", base+".key")
	if err != nil {
		return err
	}
	a, err := direction.Approve(termsOf(p, signatoryOf(cert), time.Now(), 24*time.Hour), key)
	if err != nil {
		return failWith(exitFailed, err)
	}
	_, err = a.Save(planDir)
	return failWith(exitFailed, err)
}

// newFolder makes the folder of a rehearsal, which must be new or empty.
func newFolder(dir string) error {
	entries, err := os.ReadDir(dir)
	if err == nil && len(entries) > 0 {
		return failWith(exitUsage, fmt.Errorf("%s is not empty: name a new folder", dir))
	}
	return makeDir(dir)
}
