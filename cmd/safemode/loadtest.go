package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"safemode/cmd/rehearsal"
	"safemode/engine"
	"safemode/engine/inbox"
	"safemode/engine/loadtest"
	"safemode/engine/portfolio"
	"safemode/servicerequests"
	"safemode/servicerequests/safefile"
	"safemode/servicerequests/smki"
)

// loadFlags are the settings of a load test on the command line.
type loadFlags struct {
	url, smkiURL, inbox          string
	pkiDir, portfolio, custody   string
	srvs, thresholds             []string
	rate, to, by, precision      float64
	duration, wait               time.Duration
	workers                      int
	mutual                       bool
	search, asJSON, cold, detail bool
	out, compare                 string
}

func newLoadTest(io stdio) *cobra.Command {
	var l loadFlags
	c := &cobra.Command{
		Use:   "loadtest --pki DIR --portfolio FILE [--rate N] [--duration D] [--threshold T]...",
		Short: "How much a DCC-like system takes: constant arrivals, percentiles, thresholds",
		Long: `Sends Service Requests to a DCC-like system on this machine at a rate that the system
cannot slow down, and measures how long it takes to acknowledge them and how long its
devices take to answer. Latency counts from the instant at which a request was to be
sent, so what waited is not left out; what is never acknowledged or answered stands
above every percentile.

Arrivals are constant (--rate), stepped (--rate, --to, --step: each step lasts
--duration), or a search for the highest rate that still passes (--search, from --rate
up to --to). Every threshold must hold on every step: METRIC OP VALUE (in a shell, in
quotes), with OP one of < <= > >=, and METRIC one of
  ack_p50 ack_p90 ack_p99 ack_p99.9 ack_max, and answer_...: a duration (ack_p99<50ms)
  sent late dropped accepted answered negative refused unanswered throttled rejected
    in_doubt: a share of the requests (answered>=99%)
  sent_rate accepted_rate answered_rate: requests a second (answered_rate>=200)
A threshold without samples does not hold.

Every request is signed and sent by the engine's own gate, so nothing outside the
permitted set leaves; 7.3 and 8.2 are not for load tests. Only test keys and loopback
addresses are taken. The counters it uses are over those of a sweep that ran before:
give it a simulator of its own. --custody is the folder of its counters. --tls is for a
simulator with --tls: both sides show the certificates of the PKI folder's tls/.

Exit codes: 0 passed; 4 it ran, and a threshold does not hold; 3 refused.`,
		Example: `  safemode fleet generate --meters 1000 --seed 1 --out fleet.csv --portfolio portfolio.csv
  safemode sim --fleet fleet.csv --pki pki
  safemode loadtest --pki pki --portfolio portfolio.csv --rate 50 --duration 30s --threshold ack_p99<50ms
  safemode loadtest --pki pki --portfolio portfolio.csv --rate 50 --to 400 --step 50 --duration 10s --out steps
  safemode loadtest --pki pki --portfolio portfolio.csv --search --rate 50 --to 2000 --threshold ack_p99<100ms`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			log := newLogger(io.err, l.detail)
			defer log.Sync()
			return l.run(c.Context(), io, log)
		},
	}
	f := c.Flags()
	f.StringVar(&l.url, "url", "", "address of the system's services; loopback only (default http://"+defaultDUIS+", with --tls https)")
	f.StringVar(&l.smkiURL, "smki-url", "", "address of its SMKI service; loopback only (default http://"+defaultSMKI+", with --tls https)")
	f.BoolVar(&l.mutual, "tls", false, "mutual TLS with the system, both ways")
	f.StringVar(&l.inbox, "inbox", "127.0.0.1:8089", "address to take answers at, under "+inbox.Path)
	f.StringVar(&l.pkiDir, "pki", "", "PKI folder of pki init")
	f.StringVar(&l.portfolio, "portfolio", "", "portfolio of the meters to ask; electricity's are")
	f.StringVar(&l.custody, "custody", "loadtest-custody", "folder of the test's counters; made if it is not there")
	f.StringSliceVar(&l.srvs, "srv", []string{"7.4"}, "what to ask for, in turn; 1.6 is the switch to Credit")
	f.Float64Var(&l.rate, "rate", 50, "requests a second; the first of several steps")
	f.Float64Var(&l.to, "to", 0, "last step, or the highest rate that a search tries")
	f.Float64Var(&l.by, "step", 0, "from one step to the next")
	f.DurationVar(&l.duration, "duration", 30*time.Second, "of each step")
	f.DurationVar(&l.wait, "wait", 30*time.Second, "for answers, after each step")
	f.BoolVar(&l.search, "search", false, "find the highest rate that passes")
	f.Float64Var(&l.precision, "precision", 5, "of the search, per cent")
	f.StringArrayVar(&l.thresholds, "threshold", nil, "condition that must hold; may be given several times")
	f.IntVar(&l.workers, "workers", 256, "requests being sent at once")
	f.BoolVar(&l.cold, "cold", false, "do not ask for the devices' keys first")
	f.StringVar(&l.out, "out", "", "new folder for loadtest.json, loadtest.csv and loadtest.html")
	f.StringVar(&l.compare, "compare", "", "loadtest.json of an earlier test to compare with")
	f.BoolVar(&l.asJSON, "json", false, "print the result as one line of JSON")
	f.BoolVar(&l.detail, "verbose", false, "log every request that is not accepted")
	required(c, "pki", "portfolio")
	return c
}

// loadOrder is what the flags ask for.
type loadOrder struct {
	services   []servicerequests.Service
	thresholds []loadtest.Threshold
	stages     []loadtest.Stage // of a test that is no search
	earlier    *loadtest.Result
}

// parse joins all faults of the flags.
func (l *loadFlags) parse() (p loadOrder, err error) {
	var faults []error
	for _, srv := range l.srvs {
		mode := ""
		if srv == servicerequests.SwitchToCredit.SRV() {
			mode = "credit"
		}
		s, err := servicerequests.ParseService(srv, mode)
		if errors.Is(err, servicerequests.ErrNotPermitted) {
			return p, failWith(exitRefused, fmt.Errorf("--srv %s: %w", srv, err))
		}
		faults = append(faults, err)
		p.services = append(p.services, s)
	}
	for _, text := range l.thresholds {
		t, err := loadtest.ParseThreshold(text)
		faults = append(faults, err)
		p.thresholds = append(p.thresholds, t)
	}
	fault := func(holds bool, format string, args ...any) {
		if !holds {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	scheme := "http"
	if l.mutual {
		scheme = "https"
	}
	l.url, l.smkiURL = cmp.Or(l.url, scheme+"://"+defaultDUIS), cmp.Or(l.smkiURL, scheme+"://"+defaultSMKI)
	for _, address := range []string{l.url, l.smkiURL} {
		fault(strings.HasPrefix(address, scheme+":"), "%s: want %s://127.0.0.1:PORT (--tls goes with https)", address, scheme)
	}
	fault(l.rate > 0 && l.duration > 0 && l.wait > 0 && l.workers > 0, "--rate, --duration, --wait and --workers must be over 0")
	fault(l.to == 0 || l.to >= l.rate, "--to %g is under --rate %g", l.to, l.rate)
	switch {
	case l.search:
		fault(l.to > 0, "--search needs --to, the highest rate to try")
		fault(len(l.thresholds) > 0, "--search needs a --threshold: what passes?")
		fault(l.precision > 0, "--precision must be over 0")
		fault(l.by == 0, "--step and --search do not go together")
	case l.to > 0:
		fault(l.by > 0, "--to needs --step, or --search")
	default:
		fault(l.by == 0, "--step needs --to")
	}
	if l.compare != "" {
		p.earlier, err = readFile(l.compare, safefile.List, safefile.Checked, loadtest.ReadResult)
		faults = append(faults, err)
	}
	if err := errors.Join(faults...); err != nil {
		return p, failWith(exitUsage, err)
	}
	p.stages = []loadtest.Stage{{Rate: l.rate, For: l.duration}}
	for rate := l.rate + l.by; l.by > 0 && rate <= l.to+1e-9; rate += l.by {
		p.stages = append(p.stages, loadtest.Stage{Rate: rate, For: l.duration})
	}
	return p, nil
}

func (l *loadFlags) run(ctx context.Context, io stdio, log *zap.Logger) error {
	p, err := l.parse()
	if err != nil {
		return err
	}
	targets, err := loadTargets(l.portfolio)
	if err != nil {
		return err
	}
	if l.out != "" {
		if err := newFolder(l.out); err != nil {
			return err
		}
	}
	test, err := l.open(ctx, io, log, p, targets)
	if err != nil {
		return err
	}
	r := &loadtest.Result{
		Version: loadtest.Version, Started: time.Now().UTC(), Address: l.url, Meters: len(targets), Workers: l.workers,
	}
	for _, s := range p.services {
		r.Services = append(r.Services, s.SRV())
	}
	err = l.measure(ctx, io, test, p, r)
	if err := errors.Join(err, test.Close()); err != nil {
		return failWith(exitFailed, err)
	}
	r.Judge(p.thresholds)
	if p.earlier != nil {
		r.Compare(p.earlier)
	}
	return l.conclude(io, r)
}

// open makes the test ready and meets its meters.
func (l *loadFlags) open(ctx context.Context, io stdio, log *zap.Logger, p loadOrder, targets []loadtest.Target) (*engine.LoadTest, error) {
	folder, err := loadPKI(l.pkiDir, smki.LoadSupplier)
	if err != nil {
		return nil, err
	}
	if len(folder.Authorities()) == 0 {
		return nil, failWith(exitUsage, fmt.Errorf("%s has no ca/root.pem: devices' certificates could not be proven; use a folder of pki init", l.pkiDir))
	}
	dcc := engine.DCC{
		URL: l.url, SMKIURL: l.smkiURL, Authorities: folder.Authorities(),
		Transform:  []*smki.Certificate{folder.DCC.Transform.Certificate},
		XMLSigning: []*smki.Certificate{folder.DCC.XMLSigning.Certificate},
	}
	in := inbox.Address{Listen: l.inbox}
	if l.mutual {
		if dcc.TLS, err = loadTestTLS(l.pkiDir, rehearsal.TLSUser); err != nil {
			return nil, failWith(exitUsage, err)
		}
		in.TLS, in.AllowedNames = dcc.TLS, []string{rehearsal.TLSDCCName}
	}
	test, err := engine.OpenLoadTest(ctx, engine.LoadOptions{
		Identity: engine.TestIdentity(folder), DCC: dcc,
		CustodyDir: l.custody, Inbox: in, InboxPath: inbox.Path,
		Test: loadtest.Options{
			Services: p.services, Targets: targets, Wait: l.wait, Workers: l.workers,
			Progress: func(p loadtest.Progress) { fmt.Fprintln(io.err, loadProgress(p)) },
		},
		Log: log,
	})
	switch {
	case errors.Is(err, engine.ErrRefused):
		return nil, failWith(exitRefused, err)
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, failWith(exitFailed, fmt.Errorf("%w; end the program that has it, or choose with --inbox and tell the system so", err))
	case err != nil:
		return nil, failWith(exitUsage, err)
	}
	fmt.Fprintf(io.err, "answers are taken at %s\n", test.InboxURL())
	err = test.Check(ctx, folder.Supplier.XMLSigning.Certificate.EUI)
	if err == nil && !l.cold {
		fmt.Fprintf(io.err, "asking for the keys of %d meters\n", len(targets))
		err = test.Meet(ctx, targets)
	}
	if err != nil {
		return nil, failWith(exitFailed, errors.Join(err, test.Close()))
	}
	return test, nil
}

func loadProgress(p loadtest.Progress) string {
	line := fmt.Sprintf("%g a second, %v of %v: %d requested, %d sent, %d accepted, %d answered",
		p.Rate, min(p.Elapsed, p.For).Round(time.Second), p.For, p.Requested, p.Sent, p.Accepted, p.Answered)
	if p.Dropped > 0 {
		line += fmt.Sprintf(", %d dropped", p.Dropped)
	}
	return line
}

// measure carries out the stages, or searches. An interrupt ends it; the results so far
// are kept.
func (l *loadFlags) measure(ctx context.Context, io stdio, test *engine.LoadTest, p loadOrder, r *loadtest.Result) error {
	stage := func(rate float64) (*loadtest.Step, error) {
		step, err := test.Run(ctx, loadtest.Stage{Rate: rate, For: l.duration})
		if err != nil && ctx.Err() == nil {
			return nil, err
		}
		r.Interrupted = ctx.Err() != nil
		r.Steps = append(r.Steps, step)
		return &r.Steps[len(r.Steps)-1], nil
	}
	if !l.search {
		for _, s := range p.stages {
			if _, err := stage(s.Rate); err != nil || r.Interrupted {
				return err
			}
		}
		return nil
	}
	found := loadtest.Found{}
	var err error
	found.Passed, found.Failed, err = loadtest.Search(l.rate, l.to, l.precision/100, func(rate float64) (bool, error) {
		step, err := stage(rate)
		if err != nil || r.Interrupted {
			return false, errors.Join(err, ctx.Err())
		}
		pass := loadtest.Passes(step, p.thresholds)
		word := "does not pass"
		if pass {
			word = "passes"
		}
		fmt.Fprintf(io.err, "%.4g a second %s\n", rate, word)
		return pass, nil
	})
	r.Capacity = &found
	if r.Interrupted {
		return nil
	}
	return err
}

// conclude prints the result, writes its files, and fails where it did not pass.
func (l *loadFlags) conclude(io stdio, r *loadtest.Result) error {
	if err := l.write(r); err != nil {
		return err
	}
	var err error
	if l.asJSON {
		err = r.WriteJSON(io.out)
	} else {
		err = r.WriteText(io.out)
	}
	switch {
	case err != nil:
		return failWith(exitFailed, fmt.Errorf("standard output: %w", err))
	case r.Interrupted:
		return failWith(exitInterrupted, errors.New("interrupted; the result is of what was sent until then"))
	case !r.Pass:
		return failWith(exitNotHeld, errors.New(r.Why))
	}
	return nil
}

func (l *loadFlags) write(r *loadtest.Result) error {
	if l.out == "" {
		return nil
	}
	for name, write := range map[string]func(io.Writer) error{
		"loadtest.json": r.WriteJSON, "loadtest.csv": r.WriteCSV, "loadtest.html": r.WriteHTML,
	} {
		if err := writeFile(filepath.Join(l.out, name), 0o644, write); err != nil {
			return err
		}
	}
	return nil
}

// loadTargets are the electricity meters of a portfolio: a sleeping gas meter says
// nothing of the system's speed.
func loadTargets(name string) ([]loadtest.Target, error) {
	var targets []loadtest.Target
	err := goodRows(name, func(row portfolio.Row) {
		if row.Type == servicerequests.ESME {
			targets = append(targets, loadtest.Target{Device: row.Device, Type: row.Type})
		}
	})
	if err == nil && len(targets) == 0 {
		err = failWith(exitUsage, fmt.Errorf("%s: no electricity meter in it", name))
	}
	if err != nil {
		return nil, err
	}
	slices.SortFunc(targets, func(a, b loadtest.Target) int { return strings.Compare(a.Device.String(), b.Device.String()) })
	return targets, nil
}
