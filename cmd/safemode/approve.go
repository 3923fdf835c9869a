package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"safemode/engine"
	"safemode/engine/direction"
	"safemode/engine/journal"
	"safemode/engine/plan"
)

func newApprove(io stdio) *cobra.Command {
	var planDir, certFile, keyFile, journalPath, configPath, portfolioPath string
	var resumes int
	var valid time.Duration
	var yes, asJSON bool
	c := &cobra.Command{
		Use:   "approve --plan DIR --cert CERT.pem --key KEY.pem",
		Short: "One person's signature over the plan's hash",
		Long: `Shows what a plan does, asks, and writes one person's approval into the plan's folder.
A sweep begins with the approvals of two different approvers on the roster, neither
of whom prepared the plan.

With --config it refuses at once who is no approver on the roster, and a direction that
no recorder on it has signed; with --portfolio, a plan with a meter that is not in it.

With --journal it approves that a sweep goes on after the stop that the journal ends
with: what a halt needs, and a stop when the resumes that were given ahead are used
up or have expired.`,
		Example: `  safemode approve --plan plan --cert pki/approvers/alice.pem --key pki/approvers/alice.key
  safemode approve --plan plan --config safemode.yaml --portfolio portfolio.csv --cert bob.pem --key bob.key
  safemode approve --plan plan --cert bob.pem --key bob.key --journal journal.db --yes`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			p, err := loadPlan(planDir)
			if err != nil {
				return err
			}
			cert, key, err := loadPerson(certFile, keyFile)
			if err != nil {
				return err
			}
			who := direction.Signatory{Name: cert.CommonName, Key: direction.Fingerprint(cert)}
			switch {
			case cert.IsTest() != (p.Environment == engine.Simulator):
				return failWith(exitRefused, fmt.Errorf("%s: issued by %s, and the plan is for environment %s", certFile, cert.Issuer, p.Environment))
			case who.Name == p.PreparedBy.Name || who.Key == p.PreparedBy.Key:
				return failWith(exitRefused, fmt.Errorf("%s has prepared this plan: who has prepared a plan may not approve it", who.Name))
			case valid <= 0:
				return fmt.Errorf("--valid %v: want more than 0s", valid)
			case resumes < 0 || resumes > direction.MostResumes:
				return fmt.Errorf("--resumes %d: want 0 to %d", resumes, direction.MostResumes)
			}
			if err := checkApprover(configPath, p, who); err != nil {
				return err
			}
			if err := checkWithin(p, portfolioPath); err != nil {
				return err
			}
			stop, err := lastStop(c.Context(), journalPath, p)
			if err != nil {
				return err
			}
			occasion := engine.OccasionOf(stop)
			now := time.Now()
			terms := direction.Terms{
				PlanSHA256: p.SHA256, SweepID: p.SweepID(), Environment: p.Environment,
				Purpose: occasion.Purpose, Subject: occasion.Subject, Resumes: resumes,
				IssuedAt: now, ExpiresAt: now.Add(valid), Approver: who,
			}
			showTerms(io, p, &terms, stop)
			if !yes {
				if err := confirmBy(io, p.SweepID(), "to sign"); err != nil {
					return err
				}
			}
			a, err := direction.Approve(terms, key)
			if err != nil {
				return failWith(exitFailed, err)
			}
			path, err := a.Save(planDir)
			if err != nil {
				return failWith(exitFailed, err)
			}
			if asJSON {
				return printJSON(io.out, a)
			}
			fmt.Fprintf(io.out, "%s: %s of sweep %s approved by %s until %s\n", path, a.Purpose, a.SweepID, who.Name, a.ExpiresAt.Format(time.RFC3339))
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&planDir, "plan", "", "folder of the frozen plan")
	f.StringVar(&journalPath, "journal", "", "approve that the sweep of this journal goes on")
	f.StringVar(&configPath, "config", "", "configuration of the sweep, whose roster says who may approve")
	f.StringVar(&portfolioPath, "portfolio", "", "the portfolio that the plan was made of")
	f.IntVar(&resumes, "resumes", 10, "how many stops that are no halts it may go on after by this approval")
	f.DurationVar(&valid, "valid", 24*time.Hour, "how long the sweep may begin or go on by this approval")
	f.BoolVar(&yes, "yes", false, "sign without asking")
	f.BoolVar(&asJSON, "json", false, "one line of JSON")
	addIdentityFlags(c, &certFile, &keyFile)
	_ = c.MarkFlagRequired("plan")
	return c
}

// checkApprover refuses who may not approve a plan by a configuration's roster; without a
// configuration only the sweep itself says so.
func checkApprover(configPath string, p *plan.Plan, who direction.Signatory) error {
	if configPath == "" {
		return nil
	}
	conf, err := loadConfig(configPath)
	if err != nil {
		return err
	}
	roster, err := loadRoster(conf)
	switch {
	case err != nil:
		return err
	case string(conf.Environment) != p.Environment:
		return failWith(exitRefused, fmt.Errorf("the plan is for environment %s, the configuration for %s", p.Environment, conf.Environment))
	case roster == nil:
		return failWith(exitRefused, fmt.Errorf("%s names no roster: nobody's approval counts", configPath))
	case p.Record == nil:
		return failWith(exitRefused, errors.New("the direction of this plan was not signed: have its recorder sign it, and plan anew"))
	}
	if err := p.Record.Check(roster); err != nil {
		return failWith(exitRefused, err)
	}
	person := roster.WithKey(who.Key)
	switch {
	case person == nil || person.Name != who.Name:
		return failWith(exitRefused, fmt.Errorf("%s: nobody on the roster has this name and key", who.Name))
	case !person.May(direction.Approver):
		return failWith(exitRefused, fmt.Errorf("%s is on the roster, and not as an approver", person.Name))
	}
	return nil
}

// lastStop reads how the sweep of a journal ended; without a journal it has not begun.
func lastStop(ctx context.Context, path string, p *plan.Plan) (engine.Stop, error) {
	if path == "" {
		return engine.Stop{}, nil
	}
	j, err := journal.OpenReadOnly(path)
	if err != nil {
		return engine.Stop{}, failWith(journalCode(err), err)
	}
	defer j.Close()
	s, err := engine.LastStop(ctx, j)
	switch {
	case err != nil:
		return s, failWith(journalCode(err), err)
	case s.Opening == nil:
		return s, failWith(exitUsage, fmt.Errorf("%s: its sweep has not begun: approve without --journal", path))
	case s.Opening.PlanSHA256 != p.SHA256:
		return s, failWith(exitRefused, fmt.Errorf("%s: its sweep is of another plan (%.12s...), this one is %.12s...", path, s.Opening.PlanSHA256, p.SHA256))
	}
	return s, nil
}

// showTerms says what a person is about to sign.
func showTerms(io stdio, p *plan.Plan, t *direction.Terms, stop engine.Stop) {
	say := func(format string, args ...any) { fmt.Fprintf(io.err, format+"\n", args...) }
	say("sweep %s, environment %s, plan %s", t.SweepID, strings.ToUpper(t.Environment), t.PlanSHA256)
	recorded := "NOT SIGNED by a recorder"
	if p.Record != nil {
		recorded = "recorded by " + p.Record.RecordedBy.Name
	}
	say("  direction %s of %s, in force %s to %s, %s", p.Direction.Reference, p.Direction.IssuingBody,
		p.Direction.NotBefore.Format(time.RFC3339), p.Direction.NotAfter.Format(time.RFC3339), recorded)
	if d := delayOf(p); d != "" {
		say("  %s", d)
	}
	say("  prepared by %s at %s", p.PreparedBy.Name, p.CreatedAt.Format(time.RFC3339))
	say("  %d meters (%d electricity, %d gas) in %d homes; %d rows rejected, and %d SMETS1 meters that are sent nothing",
		p.Counts.Targets, p.Counts.Electricity, p.Counts.Gas, p.Counts.Homes, p.Counts.Rejected-p.Counts.SMETS1, p.Counts.SMETS1)
	var srvs []string
	for srv, n := range p.Estimate.Requests {
		srvs = append(srvs, fmt.Sprintf("%s: %d", srv, n))
	}
	slices.Sort(srvs)
	say("  Service Requests at the first try: %s; 7.3 where it is proven to be needed", strings.Join(srvs, ", "))
	say("  limits: user %g a second; %s", p.Limits.User, p.Estimate.Range())
	for _, w := range p.Waves {
		say("  %s: %d meters, then %v", w.Name, w.Count, w.Soak())
	}
	switch {
	case t.Purpose == direction.Start:
		say("  it BEGINS by this approval")
	case stop.Halted:
		say("  it GOES ON after a HALT (record %s): %s", t.Subject, stop.Reason)
	default:
		say("  it goes on after a stop (record %s) %s", t.Subject, stop.Reason)
	}
	say("  until %s, and after %d stops more that are no halts", t.ExpiresAt.UTC().Format(time.RFC3339), t.Resumes)
}

// confirmBy has a person type a sweep's id.
func confirmBy(io stdio, id, what string) error {
	fmt.Fprintf(io.err, "type the sweep's id %s: ", what)
	if !flushed(io.err, 10*time.Second) {
		return failWith(exitRefused, errors.New("not confirmed: standard error is not read, so nobody has seen what is to be confirmed"))
	}
	line, err := bufio.NewReader(io.in).ReadString('\n')
	if strings.TrimSpace(line) == id {
		return nil
	}
	if err != nil && !errors.Is(err, os.ErrClosed) && line == "" {
		fmt.Fprintln(io.err)
	}
	return failWith(exitRefused, fmt.Errorf("not confirmed: that is not %s", id))
}
