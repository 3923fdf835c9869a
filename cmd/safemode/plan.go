package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"safemode/config"
	"safemode/engine/direction"
	"safemode/engine/pacer"
	"safemode/engine/plan"
	"safemode/engine/portfolio"
	"safemode/servicerequests"
)

func newPlan(io stdio) *cobra.Command {
	var configPath, directionPath, portfolioPath, out string
	var asJSON bool
	c := &cobra.Command{
		Use:   "plan --config FILE --direction FILE --portfolio FILE --out DIR",
		Short: "The frozen plan of a sweep; sends nothing",
		Long: `Freezes who is to be swept, in what order and under which direction, into one file
with a content hash, and says how long it takes at the configured limits.`,
		Example: `  safemode plan --config safemode.yaml --direction direction.yaml --portfolio portfolio.csv --out plan`,
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			conf, err := loadConfig(configPath)
			if err != nil {
				return err
			}
			p, err := makePlan(io, conf, directionPath, portfolioPath)
			if err != nil {
				return err
			}
			if err := savePlan(p, out); err != nil {
				return err
			}
			if asJSON {
				return printJSON(io.out, struct {
					SHA256 string `json:"plan_sha256"`
					plan.Header
				}{p.SHA256, p.Header})
			}
			return printPlan(io, p)
		},
	}
	f := c.Flags()
	f.StringVar(&configPath, "config", "", "configuration file")
	f.StringVar(&directionPath, "direction", "", "the Authority's direction")
	f.StringVar(&portfolioPath, "portfolio", "", "portfolio CSV")
	f.StringVar(&out, "out", "", "folder for the plan")
	f.BoolVar(&asJSON, "json", false, "one line of JSON")
	for _, name := range []string{"config", "direction", "portfolio", "out"} {
		_ = c.MarkFlagRequired(name)
	}
	return c
}

// makePlan builds the plan of a portfolio under a direction and a configuration.
func makePlan(io stdio, conf *config.Config, directionPath, portfolioPath string) (*plan.Plan, error) {
	text, err := os.ReadFile(directionPath)
	if err != nil {
		return nil, failWith(exitUsage, err)
	}
	d, err := direction.Parse(text)
	if err != nil {
		return nil, failWith(exitUsage, fmt.Errorf("%s: %w", directionPath, err))
	}
	in, err := os.Open(portfolioPath)
	if err != nil {
		return nil, failWith(exitUsage, err)
	}
	defer in.Close()
	rows := portfolio.Read(in, portfolio.Options{
		CarryColumns: conf.CarryColumns,
		Dropped: func(columns []string) {
			fmt.Fprintf(io.err, "%s: columns that the portfolio does not need are left out: %q\n", portfolioPath, columns)
		},
	})
	o := plan.Options{
		Environment: string(conf.Environment), Direction: d, Strategy: plan.Strategy(conf.Strategy),
		Limits: planLimits(conf.Limits), Bounds: planBounds(conf.Policy), Waves: planWaves(conf.Waves), CreatedAt: time.Now().UTC(),
	}
	o.WindowEnds = plan.NextWindow(o.CreatedAt, conf.WindowEnds.Earliest, conf.WindowEnds.Latest)
	for _, id := range conf.Identities {
		o.Originators = append(o.Originators, id.EUI)
	}
	p, err := plan.Build(rows, o)
	switch {
	case errors.Is(err, direction.ErrOutside), errors.Is(err, plan.ErrOverThreshold):
		return nil, failWith(exitRefused, err)
	case err != nil:
		return nil, failWith(exitUsage, fmt.Errorf("%s: %w", portfolioPath, err))
	case len(p.Targets) == 0:
		return nil, failWith(exitUsage, fmt.Errorf("%s: no meter to sweep: %d rows, all rejected", portfolioPath, len(p.Rejected)))
	}
	return p, nil
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
	limits := plan.Limits{
		User: l.User.PerSecond, Regions: map[servicerequests.Region]float64{},
		Services: map[string]float64{}, Thresholds: map[string]plan.Threshold{},
		OverThreshold: plan.Refuse,
	}
	switch {
	case l.IgnoreAnomalyThresholds:
		limits.OverThreshold = plan.Exceed
	case l.PaceToFit:
		limits.OverThreshold = plan.Pace
	}
	for region, rate := range l.Regions {
		limits.Regions[region] = rate.PerSecond
	}
	for service, rate := range l.Services {
		limits.Services[service] = rate.PerSecond
	}
	for service, t := range l.AnomalyThresholds {
		limits.Thresholds[service.SRV()] = plan.Threshold{
			Count: t.Count, PerSeconds: t.Per.Seconds(), Budget: pacer.Budget(t).With(l.AnomalyMargin).Count,
		}
	}
	return limits
}

func planBounds(p config.Policy) plan.Bounds {
	return plan.Bounds{
		ArmBalanceAtMost:        p.ArmBalanceAtMost,
		ArmFreshnessElectricity: p.ArmFreshnessElectricity.Seconds(), ArmFreshnessGas: p.ArmFreshnessGas.Seconds(),
		SwitchTries: p.SwitchTries, ArmTries: p.ArmTries,
		RetriesElectricity: len(p.RetryElectricity), RetriesGas: len(p.RetryGas),
	}
}

func planWaves(w config.Waves) plan.WaveOptions {
	o := plan.WaveOptions{Canary: w.Canary, Growth: w.Growth, Soak: w.Soak, Settle: w.Settle}
	for _, class := range slices.Sorted(maps.Keys(w.Abort)) {
		rule := w.Abort[class]
		o.Abort = append(o.Abort, plan.AbortRule{Class: class, Ratio: rule.Ratio, MinSample: rule.MinSample, Action: plan.Action(rule.Action)})
	}
	return o
}

func printPlan(io stdio, p *plan.Plan) error {
	rows := p.Counts.Targets + p.Counts.Rejected
	fmt.Fprintf(io.out, "plan %s\n", p.SHA256)
	fmt.Fprintf(io.out, "  environment %s, strategy %s, direction %s until %s\n",
		p.Environment, p.Strategy, p.Direction.Reference, p.Direction.NotAfter.Format(time.RFC3339))
	fmt.Fprintf(io.out, "  %d of %d portfolio rows planned (%d electricity, %d gas, %d homes), %d rejected\n",
		p.Counts.Targets, rows, p.Counts.Electricity, p.Counts.Gas, p.Counts.Homes, p.Counts.Rejected)
	fmt.Fprintf(io.out, "  at least %v at the limits (%s), retries and sleeping gas meters on top\n",
		p.Estimate.Duration().Round(time.Second), p.Estimate.Bottleneck)
	for _, limit := range p.Estimate.Closed {
		fmt.Fprintf(io.out, "  CLOSED: %s is 0, the plan cannot finish\n", limit)
	}
	for _, f := range p.Estimate.Forecasts {
		word := "within"
		if f.Exceeded {
			word = "OVER"
		}
		fmt.Fprintf(io.out, "  SRV %s: up to %d of %d in a period, %s the anomaly detection threshold\n", f.SRV, f.Peak, f.Count, word)
	}
	return nil
}
