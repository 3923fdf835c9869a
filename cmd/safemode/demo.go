package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"safemode/config"
	"safemode/devicesim/fleet"
	"safemode/engine"
	"safemode/engine/direction"
	"safemode/engine/plan"
	"safemode/servicerequests"
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
its meters on loopback ports in this process, plans, sweeps, reports, and holds
every claim of the report against the simulator's truth. Everything between the two
sides is real: DUIS XML, XML signatures, GBCS, SMKI certificates, HTTP.

Both sides hold to one clock. It stands still while anything is under way and jumps
to what is next, so days pass in seconds, with the shipped settings, and what comes of
it does not hang on how busy the machine is. --speed has it run on evenly instead, to
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
	f.Float64Var(&pace, "pace", 0, fmt.Sprintf("POSTs a second, by the clock (default as shipped; with --speed what makes %d of real time)", demoPosts))
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

// demoPosts is how many POSTs two cores can follow, in a second of real time.
const demoPosts = 800

func demo(ctx context.Context, io stdio, meters int, pace float64, flags rehearsalFlags, out string, asJSON bool, log *zap.Logger) error {
	faults, err := flags.check()
	if err != nil {
		return err
	}
	if pace < 0 {
		return failWith(exitUsage, fmt.Errorf("--pace %g: want over 0", pace))
	}
	if flags.speed > 0 {
		pace = cmp.Or(pace, demoPosts/flags.speed)
	}
	population, err := fleet.Generate(fleet.Options{Meters: meters, Seed: flags.seed, OtherModels: faults.OtherModels})
	if err != nil {
		return failWith(exitUsage, fmt.Errorf("--meters: %w", err))
	}
	dir, err := demoDir(out)
	if err != nil {
		return err
	}
	if faults.Rules.Windows.HubHolds == 0 && flags.shortRetries() {
		faults.Rules.Windows.HubHolds = demoHubHolds
	}
	r := flags.rehearsal(dir, smki.TestSupplier, population, faults, log)
	fmt.Fprintf(io.err, "demo: %d meters, seed %d, faults %s (its figures are assumptions), %s, files in %s\n",
		meters, flags.seed, flags.faults, flags.clock(), dir)
	if err := writeFleet(population, filepath.Join(dir, "fleet.csv"), filepath.Join(dir, "portfolio.csv")); err != nil {
		return err
	}
	if err := writeDirection(filepath.Join(dir, "direction.yaml"), r.supplier, meters, r.clock.Now()); err != nil {
		return err
	}
	if err := r.start(ctx); err != nil {
		return err
	}
	err = r.demo(ctx, io, flags, pace, asJSON)
	return errors.Join(err, r.stop())
}

// demo plans, sweeps and reports what start has prepared.
func (r *rehearsal) demo(ctx context.Context, io stdio, flags rehearsalFlags, pace float64, asJSON bool) error {
	conf := r.demoSettings(flags, pace)
	if len(r.departures) > 0 {
		fmt.Fprintf(io.err, "settings that are not the shipped ones: %s\n", strings.Join(r.departures, "; "))
	}
	r.point(&conf)
	o, err := r.prepare(io, &conf)
	if err != nil {
		return err
	}
	folded, err := r.run(ctx, io, o)
	if r.dark.over > 0 && err == nil {
		rows, unread := readDevices(filepath.Join(r.dir, "portfolio.csv"))
		if unread != nil {
			return unread
		}
		err = r.reckonDark(ctx, io, &conf, o.Plan, rows, folded)
	}
	return conclude(io, folded, r.dir, asJSON, err)
}

// prepare does what people do before a sweep, in the names of the test people: it
// signs the direction, plans, and approves the plan.
func (r *rehearsal) prepare(io stdio, conf *config.Config) (o engine.Options, err error) {
	directionPath, planDir, pki := filepath.Join(r.dir, "direction.yaml"), filepath.Join(r.dir, "plan"), filepath.Join(r.dir, "pki")
	if err := signFile(directionPath, filepath.Join(pki, "staff", "rita")); err != nil {
		return o, err
	}
	p, err := makePlan(io, conf, directionPath, filepath.Join(r.dir, "portfolio.csv"), preparer{cert: filepath.Join(pki, "staff", "olga.pem"), key: filepath.Join(pki, "staff", "olga.key")})
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
	return readBeginning(beginning{conf: conf, plan: p, planDir: planDir, journal: filepath.Join(r.dir, "journal.db"), log: r.log})
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
	signature, err := direction.Sign(key, text)
	if err != nil {
		return failWith(exitFailed, err)
	}
	return writeFile(path+direction.SignatureSuffix, 0o600, func(w io.Writer) error {
		_, err := w.Write(signature)
		return err
	})
}

// testApproval is a test approver's approval of a plan.
func testApproval(p *plan.Plan, planDir, base string) error {
	cert, key, err := loadPerson(base+".pem", base+".key")
	if err != nil {
		return err
	}
	now := time.Now()
	a, err := direction.Approve(direction.Terms{
		PlanSHA256: p.SHA256, Header: p.Digest(), SweepID: p.SweepID(), Environment: p.Environment, Purpose: direction.Start,
		Journal: p.Journal, Custody: p.Custody.ID,
		IssuedAt: now, ExpiresAt: now.Add(24 * time.Hour),
		Approver: direction.Signatory{Name: cert.CommonName, Key: direction.Fingerprint(cert)},
	}, key)
	if err != nil {
		return failWith(exitFailed, err)
	}
	_, err = a.Save(planDir)
	return failWith(exitFailed, err)
}

// demoHubHolds is how long the demo's hubs hold a command for a gas meter, unless
// the fault profile says: some wakes of it, where a real hub holds a day's. What is
// lost is then given up within hours of the demo's clock. It is so with short retries only.
const demoHubHolds = 3 * time.Hour

// demoConfig is the default configuration, with as little changed as a clock that runs fast
// needs; [departures] names each change. A hiccup of the machine counts speed times, so
// reads are waited for half an hour, one that 7.3 rests on may be as old, an answer may take
// an hour, and the pace is one that two cores can follow. With a clock that jumps (speed 0)
// the machine does not count, and nothing is changed.
func demoConfig(speed float64) config.Config {
	c := config.Default()
	if speed == 0 {
		return c
	}
	shortenRetries(&c)
	c.Policy.ReadWait = 30 * time.Minute
	c.Policy.ArmFreshnessElectricity = 30 * time.Minute
	c.Policy.ArmFreshnessGas = 90 * time.Minute
	c.Policy.ResponseWaitElectricity, c.Policy.DarkWaitElectricity = time.Hour, 0
	setPace(&c, demoPosts/speed)
	return c
}

// shortenRetries has what cannot be reached given up within two hours, not days.
func shortenRetries(c *config.Config) {
	c.Policy.RetryElectricity = []time.Duration{2 * time.Minute, 10 * time.Minute}
	c.Policy.RetryGas = []time.Duration{35 * time.Minute}
}

// demoSettings are the demo's, and notes in which of them they are not the shipped ones.
func (r *rehearsal) demoSettings(flags rehearsalFlags, pace float64) config.Config {
	conf := demoConfig(flags.speed)
	if flags.shortRetries() {
		shortenRetries(&conf)
	} else {
		shipped := config.Default().Policy
		conf.Policy.RetryElectricity, conf.Policy.RetryGas = shipped.RetryElectricity, shipped.RetryGas
	}
	if pace > 0 {
		setPace(&conf, pace)
	}
	if holds := r.faults.Rules.Windows.HubHolds; holds > 0 {
		conf.Policy.ResponseWaitGas = holds + time.Hour
		r.departures = append(r.departures, fmt.Sprintf("the simulator's dcc.windows.hub_holds %v", holds))
	}
	r.departures = append(departures(&conf), r.departures...)
	return conf
}

// departures are the settings of the policy, the waves and the limits in which a
// configuration is not what is shipped, each as "path value (shipped: value)".
func departures(c *config.Config) []string {
	all, shipped := []string{}, config.Default()
	var walk func(path string, is, was reflect.Value)
	walk = func(path string, is, was reflect.Value) {
		if is.Kind() == reflect.Struct {
			for i := range is.NumField() {
				walk(path+"."+is.Type().Field(i).Tag.Get("koanf"), is.Field(i), was.Field(i))
			}
			return
		}
		if !reflect.DeepEqual(is.Interface(), was.Interface()) {
			all = append(all, fmt.Sprintf("%s %v (shipped: %v)", path, is.Interface(), was.Interface()))
		}
	}
	walk("policy", reflect.ValueOf(c.Policy), reflect.ValueOf(shipped.Policy))
	walk("waves", reflect.ValueOf(c.Waves), reflect.ValueOf(shipped.Waves))
	walk("limits", reflect.ValueOf(c.Limits), reflect.ValueOf(shipped.Limits))
	return all
}

// setPace limits the User and each region to so many POSTs a second.
func setPace(c *config.Config, perSecond float64) {
	pace := config.Rate{PerSecond: perSecond, Burst: 10}
	c.Limits.User = pace
	for region := range c.Limits.Regions {
		c.Limits.Regions[region] = pace
	}
}

// demoDir makes the demo's folder. A folder that was named must be new or empty.
func demoDir(out string) (string, error) {
	if out == "" {
		dir, err := os.MkdirTemp("", "safemode-demo-")
		return dir, failWith(exitFailed, err)
	}
	return newFolder(out)
}

// newFolder makes the folder of a rehearsal, which must be new or empty.
func newFolder(dir string) (string, error) {
	entries, err := os.ReadDir(dir)
	if err == nil && len(entries) > 0 {
		return "", failWith(exitUsage, fmt.Errorf("%s is not empty: name a new folder", dir))
	}
	return dir, makeDir(dir)
}

// writeDirection writes the direction of a rehearsal. It permits everything of the
// permitted set for a month.
func writeDirection(path string, supplier servicerequests.EUI, meters int, from time.Time) error {
	return writeFile(path, 0o600, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, `# A direction for a rehearsal. No Authority has issued it.
reference: REHEARSAL
date: %s
issuing_body: nobody (rehearsal)
document_sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
supplier:
  eui: %v
  mpids: [TEST]
srp: nobody (rehearsal)
permitted_srvs: ["1.6", "2.5", "7.3", "7.4", "6.2.9", "4.18", "4.13", "8.2"]
fuels: [electricity, gas]
maximum_meters: %d
not_before: %s
not_after: %s
clauses:
  arm_gas: true
  read_prepayment_configuration: true
`, from.Format(time.DateOnly), supplier, meters, from.Format(time.RFC3339), from.AddDate(0, 1, 0).Format(time.RFC3339))
		return err
	})
}
