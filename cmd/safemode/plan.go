package main

import (
	"cmp"
	"crypto"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"safemode/config"
	"safemode/engine/custody"
	"safemode/engine/direction"
	"safemode/engine/journal"
	"safemode/engine/pacer"
	"safemode/engine/plan"
	"safemode/engine/portfolio"
	"safemode/engine/record"
	"safemode/servicerequests"
	"safemode/servicerequests/safefile"
	"safemode/servicerequests/table"
)

func newPlan(io stdio) *cobra.Command {
	var configPath, directionPath, portfolioPath, out string
	var by preparer
	var asJSON bool
	c := &cobra.Command{
		Use:   "plan --config FILE --direction FILE --portfolio FILE --out DIR",
		Short: "The frozen plan of a sweep; sends nothing",
		Long: `Freezes who is to be swept, in what order, in which waves and under which direction,
into one file with a content hash. Says how long it takes at the configured limits,
which homes their deadline finds without a switch (late.csv), and how it stands
against the anomaly detection thresholds; drafts the notification of those that it
needs (thresholds.txt). A schedule that would cross one is refused, unless
limits.pace_to_fit cuts the pace.

Where the configuration names a roster, one of its recorders must have signed the
direction (safemode sign), and an operator on it signs the plan (--cert, --key), who may
not approve it. The plan is for one journal, which the sweep makes, and for the folder of
counters that the configuration names: it is swept with these and with no others.`,
		Example: `  safemode plan --config safemode.yaml --direction direction.yaml --portfolio portfolio.csv --out plan --cert olga.pem --key olga.key`,
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			conf, err := loadConfig(configPath)
			if err != nil {
				return err
			}
			p, err := makePlan(io, conf, directionPath, portfolioPath, by)
			if err != nil {
				return err
			}
			list, err := suppressedOf(conf)
			if err != nil {
				return failWith(exitUsage, err)
			}
			suppressed := ""
			if list != nil {
				if suppressed, err = plannedOf(p, list); err != nil {
					return failWith(exitFailed, err)
				}
			}
			if err := savePlan(p, out); err != nil {
				return err
			}
			s := p.Schedule()
			if err := writeForecasts(p, s, out); err != nil {
				return err
			}
			if asJSON {
				err = printJSON(io.out, struct {
					SHA256 string   `json:"plan_sha256"`
					Doubts []string `json:"doubts,omitempty"` // why it cannot be carried out as it stands
					plan.Header
				}{p.SHA256, p.Doubts(time.Now()), p.Header})
			} else {
				err = printPlan(io, p, s, suppressed)
			}
			if err != nil || p.Record == nil { // without a record it can only be rehearsed
				return err
			}
			w := wayHere(io, config.Night{Config: configPath, Plan: out})
			w.say(io, w.approve(c.Context(), io, direction.Occasion{PlanSHA256: p.SHA256, Purpose: direction.Start}))
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&configPath, "config", "", "configuration file")
	f.StringVar(&directionPath, "direction", "", "the Authority's direction")
	f.StringVar(&portfolioPath, "portfolio", "", "portfolio CSV")
	f.StringVar(&out, "out", "", "folder for the plan")
	f.StringVar(&by.cert, "cert", "", "PEM file of the preparer's certificate: an operator on the roster, who may not approve the plan")
	f.StringVar(&by.key, "key", "", "PEM file of its private key, which signs the plan")
	f.StringVar(&by.name, "prepared-by", "", "without a roster, who prepares the plan (default the user's login name): it can only be rehearsed")
	f.BoolVar(&asJSON, "json", false, "one line of JSON")
	required(c, "config", "direction", "portfolio", "out")
	return c
}

// makePlan builds the plan of a portfolio under a direction and a configuration.
func makePlan(io stdio, conf *config.Config, directionPath, portfolioPath string, by preparer) (*plan.Plan, error) {
	d, signed, roster, err := readDirection(io, conf, directionPath)
	if err != nil {
		return nil, err
	}
	preparedBy, key, err := by.signatory(conf, roster)
	if err != nil {
		return nil, err
	}
	suppressed, err := suppressedOf(conf)
	if err != nil {
		return nil, failWith(exitUsage, err)
	}
	bounds := planBounds(conf)
	if roster != nil {
		if bounds.Sources[rosterSource], err = pinned(conf); err != nil {
			return nil, err
		}
	}
	in, err := safefile.Open(portfolioPath, safefile.Mass, safefile.Checked)
	if err != nil {
		return nil, failWith(exitUsage, err)
	}
	defer in.Close()
	rows := portfolio.Read(in, portfolio.Options{
		CarryColumns: conf.CarryColumns,
		Dropped: func(columns []string) {
			fmt.Fprintf(io.err, "%s: columns that the portfolio does not need are left out: %s\n", portfolioPath, table.Names(columns))
		},
		Blank: func(rows int) {
			fmt.Fprintf(io.err, "%s: %d rows of empty fields claim no meter\n", portfolioPath, rows)
		},
	})
	o := plan.Options{
		Environment: string(conf.Environment), Direction: d, Record: signed, PreparedBy: preparedBy, Strategy: record.Strategy(conf.Strategy),
		Limits: planLimits(conf.Limits), Bounds: bounds, Suppressed: suppressed, Waves: planWaves(conf.Waves), CreatedAt: time.Now().UTC(),
	}
	o.WindowEnds = plan.NextWindow(o.CreatedAt, conf.WindowEnds.Earliest, conf.WindowEnds.Latest)
	for _, id := range conf.Identities {
		o.Originators = append(o.Originators, id.EUI)
	}
	id := make([]byte, 16)
	rand.Read(id)
	o.Journal = hex.EncodeToString(id)
	if roster != nil {
		if o.Custody, err = custodyOf(conf, o.Originators); err != nil {
			return nil, err
		}
	}
	p, err := plan.Build(rows, o)
	switch {
	case errors.Is(err, direction.ErrOutside), errors.Is(err, plan.ErrOverThreshold):
		return nil, failWith(exitRefused, err)
	case err != nil:
		return nil, failWith(exitUsage, fmt.Errorf("%s: %w", portfolioPath, err))
	case len(p.Targets) == 0:
		return nil, failWith(exitUsage, noMeter(portfolioPath, p))
	}
	rejected := p.Counts.Rejected - p.Counts.SMETS1
	if rows := p.Counts.Targets + rejected; float64(rejected) > conf.MaxRejectedShare*float64(rows) {
		return nil, failWith(exitRefused, fmt.Errorf(
			"%s: %d of %d rows are rejected, more than max_rejected_share (%g): correct the file, see safemode portfolio check %[1]s, or raise the share",
			portfolioPath, rejected, rows, conf.MaxRejectedShare))
	}
	if key != nil {
		err = p.Sign(key)
	}
	return p, failWith(exitFailed, err)
}

// noMeter says why there is nothing to plan.
func noMeter(portfolioPath string, p *plan.Plan) error {
	if len(p.Rejected) == 0 {
		return fmt.Errorf("%s: no meter to sweep: it has no rows", portfolioPath)
	}
	first := &p.Rejected[0]
	return fmt.Errorf("%s: no meter to sweep: all %d rows are rejected, the first (line %d) for %s: see safemode portfolio check %[1]s",
		portfolioPath, len(p.Rejected), first.Line, first.Reason)
}

// custodyOf names the folder of counters that a plan is for, and which journals hold them
// now. A folder without a book is given one.
func custodyOf(conf *config.Config, originators []servicerequests.EUI) (*plan.Custody, error) {
	files, err := journal.OpenFiles(conf.CustodyDir)
	if err != nil {
		return nil, failWith(exitUsage, err)
	}
	book, err := custody.MakeBook(files)
	switch {
	case errors.Is(err, os.ErrNotExist), errors.Is(err, journal.ErrNone):
		return nil, failWith(exitUsage, fmt.Errorf("custody_dir: %w: %s", err, custodyRemedy))
	case err != nil:
		return nil, failWith(custodyCode(err), err)
	}
	if err := book.Copied(); err != nil {
		return nil, failWith(exitRefused, fmt.Errorf("%w: name the folder itself; if it is lost, name a new one and set counter_floor over all that was used", err))
	}
	marks, err := custody.Read(files)
	if err != nil {
		return nil, failWith(custodyCode(err), err)
	}
	c := &plan.Custody{ID: book.ID(), Follows: map[servicerequests.EUI]string{}}
	for _, m := range marks {
		if slices.Contains(originators, m.Originator) {
			c.Follows[m.Originator] = m.Owner
		}
	}
	return c, nil
}

// readDirection reads the direction. If the configuration names a roster, one of
// its recorders must have signed it.
func readDirection(io stdio, conf *config.Config, path string) (direction.Direction, *direction.Record, *direction.Roster, error) {
	roster, err := loadRoster(conf)
	if err != nil {
		return direction.Direction{}, nil, nil, err
	}
	if roster != nil {
		d, signed, err := direction.LoadRecord(path, roster)
		switch {
		case errors.Is(err, direction.ErrSignature):
			return d, nil, nil, failWith(exitRefused, fmt.Errorf("%w; its recorder signs it with safemode sign %s", err, path))
		case err != nil:
			return d, nil, nil, failWith(exitUsage, err)
		}
		return d, signed, roster, nil
	}
	fmt.Fprintln(io.err, "the configuration names no roster: this plan can be rehearsed with --dry-run and not be swept")
	text, err := safefile.Read(path, safefile.Small, safefile.Checked)
	if err != nil {
		return direction.Direction{}, nil, nil, failWith(exitUsage, err)
	}
	d, err := direction.Parse(text)
	if err != nil {
		return d, nil, nil, failWith(exitUsage, fmt.Errorf("%s: %w", path, err))
	}
	return d, nil, nil, nil
}

// preparer is who prepares a plan, as the command line has it.
type preparer struct{ name, cert, key string }

// signatory finds out who the preparer is: by their key, which signs the plan. If there is no
// roster, so that the plan can only be rehearsed, it is by name.
func (p preparer) signatory(conf *config.Config, roster *direction.Roster) (s direction.Signatory, key crypto.Signer, _ error) {
	if p.cert != "" || p.key != "" {
		cert, key, err := loadPerson(p.cert, p.key)
		if err != nil {
			return s, nil, err
		}
		s = signatoryOf(cert)
		if roster != nil {
			person := roster.WithKey(s.Key)
			switch {
			case person == nil || person.Name != s.Name:
				return s, nil, failWith(exitRefused, fmt.Errorf("%s: nobody on the roster has this name and key", p.cert))
			case !person.May(direction.Operator):
				return s, nil, failWith(exitRefused, fmt.Errorf("%s is on the roster, and not as an operator: only an operator prepares plans", s.Name))
			}
		}
		if err := trustOf(conf).Check(cert, time.Now()); err != nil {
			return s, nil, failWith(exitRefused, err)
		}
		return s, key, nil
	}
	if roster != nil || conf.Environment == config.Live {
		return s, nil, failWith(exitUsage, errors.New("who prepares a plan signs it: name their certificate and key by --cert and --key"))
	}
	s.Name = cmp.Or(p.name, claimant())
	if err := record.CheckName(s.Name); err != nil {
		return s, nil, failWith(exitUsage, fmt.Errorf("--prepared-by: %w", err))
	}
	return s, nil, nil
}

// savePlan writes a plan into a folder, which it makes if there is none. It never
// replaces a plan: only with the very one it was begun with can a sweep go on.
func savePlan(p *plan.Plan, dir string) error {
	if err := makeDir(dir); err != nil {
		return err
	}
	if _, err := os.Lstat(filepath.Join(dir, plan.FileName)); err == nil {
		return failWith(exitUsage, fmt.Errorf("%s holds a plan already, which a sweep may need: name a new folder", dir))
	}
	return failWith(exitFailed, p.Save(dir))
}

func planLimits(l config.Limits) plan.Limits {
	perSecond := func(r config.Rate) float64 { return r.PerSecond }
	limits := plan.Limits{
		User: l.User.PerSecond, Regions: each(l.Regions, perSecond), Services: each(l.Services, perSecond),
		Thresholds: map[string]plan.Threshold{}, OverThreshold: plan.Refuse,
	}
	switch {
	case l.IgnoreAnomalyThresholds:
		limits.OverThreshold = plan.Exceed
	case l.PaceToFit:
		limits.OverThreshold = plan.Pace
	}
	for service, t := range l.AnomalyThresholds {
		limits.Thresholds[service.SRV()] = plan.Threshold{
			Count: t.Count, PerSeconds: t.Per.Seconds(), Budget: pacer.Budget(t).With(l.AnomalyMargin).Count,
		}
	}
	return limits
}

func planBounds(c *config.Config) plan.Bounds {
	p := c.Policy
	return plan.Bounds{
		ArmBalanceAtMost:        p.ArmBalanceAtMost,
		ArmFreshnessElectricity: p.ArmFreshnessElectricity.Seconds(), ArmFreshnessGas: p.ArmFreshnessGas.Seconds(),
		SwitchTries: p.SwitchTries, ArmTries: p.ArmTries,
		RetriesElectricity: len(p.RetryElectricity), RetriesGas: len(p.RetryGas), BalanceAfter: p.BalanceAfter,
		Settings: settingsOf(c), Sources: sourcesOf(c),
	}
}

func planWaves(w config.Waves) plan.WaveOptions {
	o := plan.WaveOptions{Canary: w.Canary, Growth: w.Growth, Settled: w.Settled, Soak: w.Soak, Settle: w.Settle}
	for _, class := range slices.Sorted(maps.Keys(w.Abort)) {
		rule := w.Abort[class]
		o.Abort = append(o.Abort, record.AbortRule{Class: class, Ratio: rule.Ratio, MinSample: rule.MinSample, Action: record.Action(rule.Action)})
	}
	return o
}

func printPlan(io stdio, p *plan.Plan, s *plan.Schedule, suppressed string) error {
	rows := p.Counts.Targets + p.Counts.Rejected
	rejected := p.Counts.Rejected - p.Counts.SMETS1
	recorded := "not signed"
	if p.Record != nil {
		recorded = "recorded by " + quoted(p.Record.RecordedBy.Name)
	}
	fmt.Fprintf(io.out, "plan %s, sweep %s, prepared by %s\n", p.SHA256, p.SweepID(), quoted(p.PreparedBy.Name))
	fmt.Fprintf(io.out, "  environment %s, strategy %s, direction %s until %s, %s\n",
		p.Environment, p.Strategy, quoted(p.Direction.Reference), p.Direction.NotAfter.Format(time.RFC3339), recorded)
	if d := delayOf(p); d != "" {
		fmt.Fprintf(io.out, "  %s\n", d)
	}
	fmt.Fprintf(io.out, "  %d of %d portfolio rows planned (%d electricity, %d gas, %d homes), %d rejected\n",
		p.Counts.Targets, rows, p.Counts.Electricity, p.Counts.Gas, p.Counts.Homes, rejected)
	if p.Counts.SMETS1 > 0 {
		fmt.Fprintf(io.out, "  %d of %d are SMETS1 meters: counted and handed over, never sent anything\n", p.Counts.SMETS1, rows)
	}
	if suppressed != "" {
		fmt.Fprintf(io.out, "  %s\n", suppressed)
	}
	fmt.Fprintf(io.out, "  %s at the limits (%s); the later end has silent meters in every wave and gas that sleeps (ASSUMPTION: a wake each half hour); retries on top\n",
		p.Estimate.Range(), p.Estimate.Bottleneck)
	for _, limit := range p.Estimate.Closed {
		fmt.Fprintf(io.out, "  CLOSED: %s is 0, the plan cannot finish\n", limit)
	}
	for _, doubt := range p.Doubts(time.Now()) {
		fmt.Fprintf(io.out, "  WARNING: %s\n", doubt)
	}
	printWaves(io.out, p, s)
	printCurves(io.out, p, s)
	return nil
}

// delayOf tells the PMA's decision under which the certificates may be used; empty where
// the direction has none.
func delayOf(p *plan.Plan) string {
	d := p.Direction.RevocationDelay
	if d == nil {
		return ""
	}
	text := fmt.Sprintf("revocation of the certificates delayed by the PMA: %s", quoted(d.String()))
	if !d.Covers(&p.Direction) {
		text += ", BEFORE the direction ends: ask the PMA for a later end, or certificates may be revoked while the sweep runs"
	}
	return text
}
