package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"safemode/config"
	"safemode/engine"
	"safemode/engine/authority"
	"safemode/engine/direction"
	"safemode/engine/journal"
	"safemode/engine/plan"
	"safemode/servicerequests/smki"
)

func newApprove(io stdio) *cobra.Command {
	var planDir, certFile, keyFile, journalPath, configPath, portfolioPath string
	var resumes int
	var valid time.Duration
	var yes, knowing, asJSON, accept bool
	var subject string
	c := &cobra.Command{
		Use:   "approve --plan DIR --cert CERT.pem --key KEY.pem",
		Short: "One person's signature over the plan's hash",
		Long: `Shows what a plan does, asks, and writes one person's approval into the plan's folder.
A sweep begins with the approvals of two different approvers on the roster, neither
of whom prepared the plan.

With --config it refuses at once who is no approver on the roster, and a direction that
no recorder on it has signed; with --portfolio, a plan with a meter that is not in it.

It warns of a plan that cannot be done before its direction ends, or that reaches homes after
their deadline. Such a plan is not signed by --yes alone: the sweep's id is typed, or
--knowing given.

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
			who := signatoryOf(cert)
			switch {
			case cert.IsTest() != (p.Environment == engine.Simulator):
				return failWith(exitRefused, fmt.Errorf("%s: issued by %s, and the plan is for environment %s", certFile, cert.Issuer, p.Environment))
			case p.Record == nil:
				return failWith(exitRefused, errors.New("the direction of this plan was not signed: have its recorder sign it, and make a new plan"))
			case p.Custody == nil || len(p.Signature) == 0:
				return failWith(exitRefused, fmt.Errorf("%q, who prepared this plan, has not signed it: make a new plan with --cert and --key", p.PreparedBy.Name))
			case who.Same(p.PreparedBy):
				return failWith(exitRefused, fmt.Errorf("%s has prepared this plan: who has prepared a plan may not approve it", who.Name))
			case who.Same(p.Record.RecordedBy):
				return failWith(exitRefused, fmt.Errorf("%s has recorded the direction of this plan: who has may not approve it", who.Name))
			case valid <= 0:
				return fmt.Errorf("--valid %v: want more than 0s", valid)
			case valid > longestOf(p):
				return failWith(exitUsage, fmt.Errorf("--valid %v: at most %v (roster.approvals_at_most of the plan)", valid, longestOf(p)))
			case resumes < 0 || resumes > direction.MostResumes:
				return fmt.Errorf("--resumes %d: want 0 to %d", resumes, direction.MostResumes)
			}
			if err := new(direction.Trust).Check(cert, time.Now()); err != nil {
				return failWith(exitRefused, err)
			}
			if err := checkApprover(c.Context(), configPath, p, who); err != nil {
				return err
			}
			if err := checkWithin(p, portfolioPath); err != nil {
				return err
			}
			on, err := occasionOf(c.Context(), p, journalPath, configPath, accept, subject)
			if err != nil {
				return err
			}
			now := time.Now()
			terms := termsOf(p, who, now, valid)
			terms.Purpose, terms.Subject, terms.Resumes = on.Purpose, on.Subject, resumes
			showTerms(io, p, &terms, on.stop)
			doubts := p.Doubts(now)
			for _, doubt := range doubts {
				fmt.Fprintf(io.err, "WARNING: %s\n", doubt)
			}
			if yes && len(doubts) > 0 && !knowing {
				return failWith(exitRefused, fmt.Errorf("not signed by --yes alone: %s: read the warnings, and type the sweep's id, or give --knowing as well", doubts[0]))
			}
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
			if err := printResult(io.out, asJSON, a, "%s: %s of sweep %s approved by %s until %s\n", path, a.Purpose, a.SweepID, who.Name, a.ExpiresAt.Format(time.RFC3339)); err != nil {
				return err
			}
			if on.Purpose != direction.Accept {
				w := wayHere(io, config.Night{Config: configPath, Plan: planDir, Journal: journalPath})
				w.begun = journalPath != ""
				w.say(io, w.approve(c.Context(), io, direction.Occasion{PlanSHA256: p.SHA256, Purpose: on.Purpose, Subject: on.Subject}))
			}
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&planDir, "plan", "", "folder of the frozen plan")
	f.StringVar(&journalPath, "journal", "", "approve that the sweep of this journal goes on: "+journalFlag)
	f.StringVar(&configPath, "config", "", "configuration of the sweep: its roster says who may approve")
	f.StringVar(&portfolioPath, "portfolio", "", "the portfolio that the plan was made of")
	f.StringVar(&subject, "subject", "", "with --accept: what is accepted, as safemode signer accept names it; instead of --journal and --config")
	f.BoolVar(&accept, "accept", false, "approve that this journal, restored from a backup, or this folder of counters, copied or restored, is taken for the one (safemode custody accept); with --journal and --config")
	f.IntVar(&resumes, "resumes", 10, "how many stops that are no halts it may go on after by this approval")
	f.DurationVar(&valid, "valid", 24*time.Hour, "how long the sweep may begin or go on by this approval; at most roster.approvals_at_most (72h)")
	f.BoolVar(&yes, "yes", false, "sign without asking")
	f.BoolVar(&knowing, "knowing", false, "with --yes: sign although the plan outlives its direction or misses a deadline, which was read")
	f.BoolVar(&asJSON, "json", false, "one line of JSON")
	addIdentityFlags(c, &certFile, &keyFile)
	required(c, "plan")
	return c
}

// signatoryOf is the person of a certificate, as the texts that they sign name them.
func signatoryOf(cert *smki.Certificate) direction.Signatory {
	return direction.Signatory{Name: cert.CommonName, Key: direction.Fingerprint(cert)}
}

// termsOf are the terms of the approval of a plan's start, from now on for so long.
func termsOf(p *plan.Plan, who direction.Signatory, now time.Time, valid time.Duration) direction.Terms {
	return direction.Terms{
		PlanSHA256: p.SHA256, Header: p.Digest(), SweepID: p.SweepID(), Environment: p.Environment, Journal: p.Journal, Custody: p.Custody.ID,
		Purpose: direction.Start, IssuedAt: now, ExpiresAt: now.Add(valid), Approver: who,
	}
}

// checkApprover refuses a person who may not approve a plan by a configuration's roster. Without
// a configuration only the sweep itself refuses them.
func checkApprover(ctx context.Context, configPath string, p *plan.Plan, who direction.Signatory) error {
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
		return failWith(exitRefused, fmt.Errorf("%s names no roster, so no approval counts", configPath))
	}
	revoked, err := revokedBy(ctx, conf)
	if err != nil {
		return failWith(exitRefused, err)
	}
	trust := trustOf(conf)
	trust.Revoked = revoked
	evidence := authority.Case{Plan: p, Roster: roster, Trust: trust, Now: time.Now()}
	if err := evidence.People(); err != nil {
		return failWith(exitRefused, err)
	}
	person := roster.WithKey(who.Key)
	switch {
	case person == nil || person.Name != who.Name:
		return failWith(exitRefused, fmt.Errorf("%s: nobody on the roster has this name and key", who.Name))
	case !person.May(direction.Approver):
		return failWith(exitRefused, fmt.Errorf("%s is on the roster, and not as an approver", person.Name))
	}
	return failWith(exitRefused, trust.Check(person.Certificate, time.Now()))
}

// revokedBy says of a certificate whether a list that a configuration names revokes it.
func revokedBy(ctx context.Context, conf *config.Config) (func(*smki.Certificate) bool, error) {
	var faults []error
	authorities := loadCertificates(conf.DCC.Authorities, &faults)
	r := direction.NewRevocations(direction.RevocationOptions{Lists: conf.Gates.RevocationLists, Authorities: authorities, Poll: conf.Gates.Poll})
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	return r.Revoked, errors.Join(errors.Join(faults...), r.Read(ctx))
}

// longestOf is how long an approval of a plan may be valid.
func longestOf(p *plan.Plan) time.Duration {
	if bound, said := p.Bounds.Settings[authority.LongestSetting]; said {
		return time.Duration(bound * float64(time.Second))
	}
	return direction.LongestValid
}

// occasion is what is approved, and the stop before it.
type occasion struct {
	direction.Occasion
	stop authority.Stop
}

// occasionOf finds what a person approves: the start, that the sweep of a journal goes on
// after its last stop, or that a restored one is taken for it.
func occasionOf(ctx context.Context, p *plan.Plan, journalPath, configPath string, accept bool, subject string) (o occasion, _ error) {
	c := authority.Case{Plan: p, Journal: authority.Journal{ID: p.Journal}}
	if accept && subject != "" { // of something that only its holder can look at: a signer's log
		o.Purpose, o.Subject = direction.Accept, subject
		return o, nil
	}
	if accept && (journalPath == "" || configPath == "") {
		return o, errors.New("--accept needs --journal and --config: it is of these two")
	}
	if journalPath == "" {
		return occasion{Occasion: c.Occasion()}, nil
	}
	j, err := journal.OpenReadOnly(journalPath)
	if err != nil {
		return o, failWith(journalCode(err), err)
	}
	defer j.Close()
	if c.Journal, err = engine.History(ctx, j); err != nil {
		return o, failWith(journalCode(err), err)
	}
	switch {
	case c.Journal.ID != p.Journal || c.Journal.Planned != "" && c.Journal.Planned != p.SHA256:
		return o, failWith(exitRefused, fmt.Errorf("%s: it is of another plan (%.12s...), this one is %.12s...", journalPath, c.Journal.Planned, p.SHA256))
	case c.Journal.Stop.Ceased:
		return o, failWith(exitRefused, fmt.Errorf("%s: %.200q: for good", journalPath, c.Journal.Stop.Reason))
	case accept:
		conf, err := loadConfig(configPath)
		if err != nil {
			return o, err
		}
		subject, err := engine.Acceptable(conf.CustodyDir, j)
		if err != nil {
			return o, failWith(custodyCode(err), err)
		}
		o.Purpose, o.Subject, o.stop = direction.Accept, subject, c.Journal.Stop
		return o, nil
	case len(c.Journal.Starts) == 0:
		return o, failWith(exitUsage, fmt.Errorf("%s: its sweep has not begun: approve without --journal", journalPath))
	}
	return occasion{c.Occasion(), c.Journal.Stop}, nil
}

// showTerms says what a person is about to sign: the figures first, then what others have
// written, in quotes, and last the digest that two people compare.
func showTerms(io stdio, p *plan.Plan, t *direction.Terms, stop authority.Stop) {
	say := func(format string, args ...any) { fmt.Fprintf(io.err, format+"\n", args...) }
	say("%d meters (%d electricity, %d gas) in %d homes; %d rows rejected, and %d SMETS1 meters that are sent nothing; %d of the meters suppressed",
		p.Counts.Targets, p.Counts.Electricity, p.Counts.Gas, p.Counts.Homes, p.Counts.Rejected-p.Counts.SMETS1, p.Counts.SMETS1, p.Counts.Suppressed)
	var srvs []string
	for srv, n := range p.Estimate.Requests {
		srvs = append(srvs, fmt.Sprintf("%s: %d", srv, n))
	}
	slices.Sort(srvs)
	say("  Service Requests at the first try: %s; 7.3 where it is proven to be needed", strings.Join(srvs, ", "))
	say("  limits: user %g a second; %s", p.Limits.User, p.Estimate.Range())
	for _, w := range p.Waves {
		say("  wave %s: %d meters, then %v", quoted(w.Name), w.Count, w.Soak())
	}
	say("  environment %s, until %s, and after %d stops more that are no halts", strings.ToUpper(t.Environment), t.ExpiresAt.UTC().Format(time.RFC3339), t.Resumes)
	switch {
	case t.Purpose == direction.Start:
		say("  it BEGINS by this approval")
	case t.Purpose == direction.Accept:
		say("  a RESTORED OR COPIED STATE is taken for the newest, which is lost, and it goes on from there: %s", quoted(t.Subject))
	case stop.Accepted != "":
		say("  it GOES ON from a restored state (%s)", quoted(stop.Accepted))
	case stop.Halted:
		say("  it GOES ON after a HALT (record %s): %s", t.Subject, quoted(stop.Reason))
	default:
		say("  it goes on after a stop (record %s) %s", t.Subject, quoted(stop.Reason))
	}
	say("  direction %s of %s, in force %s to %s, recorded by %s", quoted(p.Direction.Reference), quoted(p.Direction.IssuingBody),
		p.Direction.NotBefore.UTC().Format(time.RFC3339), p.Direction.NotAfter.UTC().Format(time.RFC3339), quoted(p.Record.RecordedBy.Name))
	if d := delayOf(p); d != "" {
		say("  %s", d)
	}
	for _, path := range slices.Sorted(maps.Keys(p.Bounds.Sources)) {
		say("  %s: %s", quoted(path), quoted(strings.Join(p.Bounds.Sources[path], " ")))
	}
	for _, eui := range slices.Sorted(maps.Keys(p.Custody.Follows)) {
		say("  the counters of %v are taken over from journal %s", eui, quoted(p.Custody.Follows[eui]))
	}
	say("  prepared by %s at %s", quoted(p.PreparedBy.Name), p.CreatedAt.UTC().Format(time.RFC3339))
	say("  journal %s, custody %s", quoted(p.Journal), quoted(p.Custody.ID))
	say("sweep %s of the plan with this digest, which both approvers compare:", t.SweepID)
	for row := range slices.Chunk([]byte(t.PlanSHA256), 32) {
		say("  %s %s %s %s", row[:8], row[8:16], row[16:24], row[24:])
	}
}

// confirmBy has a person type a sweep's id.
func confirmBy(io stdio, id, what string) error {
	fmt.Fprintf(io.err, "type the sweep's id %s: ", what)
	if !flushed(io.err, 10*time.Second) {
		return failWith(exitRefused, errors.New("not confirmed: nobody reads standard error, so nobody has seen what must be confirmed"))
	}
	line, _ := bufio.NewReader(io.in).ReadString('\n')
	if in, ok := io.in.(*os.File); !ok || !term.IsTerminal(int(in.Fd())) || line == "" {
		fmt.Fprintln(io.err) // what is typed on a terminal ends the line itself
	}
	if strings.TrimSpace(line) == id {
		return nil
	}
	return failWith(exitRefused, fmt.Errorf("not confirmed: that is not %s", id))
}
