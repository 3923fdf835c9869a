package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"time"

	"github.com/spf13/pflag"

	"safemode/cmd/rehearsal"
	"safemode/config"
	"safemode/devicesim/meter"
	"safemode/engine/plan"
	"safemode/engine/portfolio"
	"safemode/engine/report"
	"safemode/servicerequests"
	"safemode/servicerequests/safefile"
)

// darkFlags have a rehearsal reckon for how long homes are dark, and what its order
// is worth.
type darkFlags struct {
	over   time.Duration // from when the fleet begins; 0: not reckoned
	topUps bool
}

func (d *darkFlags) add(f *pflag.FlagSet, dry string) {
	f.DurationVar(&d.over, "dark-hours", 0, dry+"count home-hours without supply over so long, like 168h: of a living winter fleet swept by hours at risk, "+
		"swept once more in the portfolio's order, and not swept")
	f.BoolVar(&d.topUps, "top-ups", false, dry+"with --dark-hours, consumers can still top up (ASSUMPTION; default: the supplier has failed, nobody can)")
}

func (d darkFlags) check(speed float64) error {
	switch {
	case d.over < 0:
		return fmt.Errorf("--dark-hours %v: want more than 0s", d.over)
	case d.over > 0 && speed == 1:
		return errors.New("--dark-hours: both sweeps must begin at the same time, for which --speed must not be 1")
	case d.topUps && d.over == 0:
		return errors.New("--top-ups goes with --dark-hours")
	}
	return nil
}

// life is a cold week of a failed supplier's fleet.
func (d darkFlags) life(press meter.Habit) meter.Life {
	l := meter.Winter()
	l.Press = press
	if !d.topUps {
		l.TopUp = meter.Habit{}
	}
	return l
}

// reckonDark sweeps the same fleet once more, from the same instant, in the order
// of the portfolio's rows, and notes in the first sweep's report for how long homes
// were dark. It ends the first sweep's simulator.
func (r *dryRun) reckonDark(ctx context.Context, io stdio, conf *config.Config, p *plan.Plan, rows []servicerequests.EUI, rep *report.Report) error {
	inOrder, err := p.InOrderOf(rows)
	if err != nil {
		return failWith(exitRefused, err)
	}
	byRisk := r.Sim.Dark()
	if err := r.Stop(); err != nil {
		return err
	}
	o := r.Options
	o.Dir, o.Begins, o.Log = filepath.Join(r.Dir, "portfolio-order"), r.opened, r.Log.Named("portfolio-order")
	again := &dryRun{Rehearsal: &rehearsal.Rehearsal{Options: o, Departures: r.Departures}, dark: r.dark}
	fmt.Fprintf(io.err, "the same fleet once more, in the portfolio's order, files in %s\n", again.Dir)
	if err := makeDir(again.Dir); err != nil {
		return err
	}
	if err := again.Start(ctx); err != nil {
		return err
	}
	second, err := again.inOrder(ctx, io, conf, inOrder)
	if err != nil {
		return errors.Join(err, again.Stop())
	}
	byRow := again.Sim.Dark()
	fuel := func(kind servicerequests.DeviceType) report.DarkFuel {
		d := byRisk[kind]
		return report.NewDarkFuel(d.Homes, d.Reachable, report.HomeHours{
			ByOrder: report.ByOrder{AtRisk: d.Truly.Hours(), Portfolio: byRow[kind].Truly.Hours()},
			NoSweep: d.Untouched.Hours(), AtOnce: d.AtOnce.Hours(),
		})
	}
	rep.Summary.DarkHours = &report.DarkHours{
		Begins: r.Life.Began, OverHours: r.dark.over.Hours(), TopUps: r.dark.topUps,
		Press:       report.Press{Share: r.Life.Press.Share, AfterMinutes: r.Life.Press.After.Minutes()},
		SweepHours:  report.ByOrder{AtRisk: rep.Summary.DurationSeconds / 3600, Portfolio: second.Summary.DurationSeconds / 3600},
		Electricity: fuel(servicerequests.ESME), Gas: fuel(servicerequests.GSME),
	}
	return errors.Join(failWith(exitFailed, rep.Write(r.Dir, report.Options{})), again.Stop())
}

// inOrder sweeps in the plan's order, whatever is known of homes.
func (r *dryRun) inOrder(ctx context.Context, io stdio, conf *config.Config, p *plan.Plan) (*report.Report, error) {
	c := *conf
	r.Point(&c)
	o, err := engineOptions(&c, p, filepath.Join(r.Dir, "journal.db"), r.Log)
	if err != nil {
		return nil, err
	}
	o.Rehearsal, o.Policy.PlanOrder = true, true
	rep, err := r.run(ctx, io, o)
	if err != nil {
		return nil, err
	}
	return rep, holds(rep)
}

// readDevices lists the devices of a portfolio's good rows, in order.
func readDevices(path string) (devices []servicerequests.EUI, err error) {
	err = goodRows(path, func(row portfolio.Row) { devices = append(devices, row.Device) })
	return devices, err
}

// goodRows has the rows of a portfolio read that are not rejected.
func goodRows(path string, take func(portfolio.Row)) error {
	return readPortfolio(path, func(rows iter.Seq2[portfolio.Row, error]) error {
		for row, err := range rows {
			_, rejected := errors.AsType[*portfolio.RowError](err)
			switch {
			case err == nil:
				take(row)
			case !rejected:
				return err
			}
		}
		return nil
	})
}

// checkWithin refuses a plan with a target that is not in a portfolio; no portfolio
// refuses nothing.
func checkWithin(p *plan.Plan, path string) error {
	if path == "" {
		return nil
	}
	return readPortfolio(path, p.Within)
}

// readPortfolio has the rows of a portfolio read.
func readPortfolio(path string, read func(iter.Seq2[portfolio.Row, error]) error) error {
	in, err := safefile.Open(path, safefile.Mass, safefile.Checked)
	if err != nil {
		return failWith(exitUsage, err)
	}
	defer in.Close()
	switch err := read(portfolio.Read(in, portfolio.Options{})); {
	case errors.Is(err, plan.ErrNotInPortfolio):
		return failWith(exitRefused, fmt.Errorf("%s: %w", path, err))
	case err != nil:
		return failWith(exitUsage, fmt.Errorf("%s: %w", path, err))
	}
	return nil
}
