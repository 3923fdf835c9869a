package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"safemode/cmd/cli"
	"safemode/config"
	"safemode/engine"
	"safemode/engine/direction"
	"safemode/engine/durable"
	"safemode/engine/journal"
	"safemode/engine/plan"
	"safemode/servicerequests/smki"
)

// loadRoster reads the roster that a configuration names; nil where it names none.
func loadRoster(c *config.Config) (*direction.Roster, error) {
	if !c.Roster.Named() {
		return nil, nil
	}
	pinned, err := cli.Certificate(c.Roster.SignedBy)
	if err != nil {
		return nil, err
	}
	roster, err := direction.LoadRoster(c.Roster.File, pinned)
	if errors.Is(err, direction.ErrSignature) {
		return nil, failWith(exitRefused, err)
	}
	return roster, failWith(exitUsage, err)
}

// trustOf has the authorities that check the certificate of a person who signs now. Revocation
// lists are checked when the sweep starts.
func trustOf(c *config.Config) direction.Trust {
	var faults []error
	authorities := smki.Trust(loadCertificates(c.DCC.Authorities, &faults))
	return direction.Trust{Chained: func(cert *smki.Certificate) error {
		return errors.Join(errors.Join(faults...), authorities.Verify(cert))
	}}
}

// gatesOf makes the gates that a configuration describes, and has the engine refuse everybody
// whom their revocation lists name. If looks, they write nothing. After an error no list is
// remembered.
func gatesOf(c *config.Config, o *engine.Options, looks bool) (_ *direction.Gates, unremembered error) {
	g := direction.GateOptions{Direction: &o.Plan.Direction, MaxAge: c.Gates.MaxAge, Poll: 500 * time.Millisecond}
	if len(c.Gates.RevocationLists) > 0 || len(c.Gates.PeerRevocationLists) > 0 || c.Gates.CheckExpiry {
		var files durable.Files
		files, unremembered = journal.OpenFiles(c.CustodyDir)
		r := direction.RevocationOptions{
			Lists: c.Gates.RevocationLists, Authorities: o.DCC.Authorities, CheckExpiry: c.Gates.CheckExpiry, Poll: c.Gates.Poll,
			Peers: c.Gates.PeerRevocationLists, PeerAuthorities: peerAuthorities(c),
			ListAge: c.Gates.RevocationListAge, Memory: files, Look: looks,
		}
		if o.Log != nil {
			r.Warn = func(text string) { o.Log.Named("gates").Warn("revocation list", zap.String("fault", text)) }
		}
		for _, id := range o.Identities {
			r.Certificates = append(r.Certificates, id.XMLSigning.Certificate, id.DigitalSigning.Certificate, id.KeyAgreement.Certificate)
		}
		revocations := direction.NewRevocations(r)
		g.Certificates, o.Revoked = revocations, revocations.Revoked
		checkPeers(o, revocations.PeerRevoked)
	}
	if c.Gates.MPIDsFile != "" {
		g.MPIDs = direction.NewMPIDFile(c.Gates.MPIDsFile, &o.Plan.Direction)
	}
	if c.Gates.FreezeFile != "" {
		frozen := direction.FreezeOptions{
			Path: c.Gates.FreezeFile, Roster: o.Roster, Trust: direction.Trust{Chained: smki.Trust(o.DCC.Authorities).Verify, Revoked: o.Revoked},
		}
		for _, id := range c.Identities {
			frozen.Identities = append(frozen.Identities, id.EUI)
		}
		g.Frozen = direction.NewFreezeFile(frozen)
	}
	return direction.NewGates(g), failWith(exitUsage, unremembered)
}

// fitsPlan refuses a configuration that a plan is not for.
func fitsPlan(c *config.Config, p *plan.Plan) error {
	if p.Environment != string(c.Environment) {
		return fmt.Errorf("the plan is for environment %s, the configuration for %s", p.Environment, c.Environment)
	}
	return widened(c, p)
}

// widened refuses a configuration that allows more than the plan that was approved.
// Narrower is fine.
func widened(c *config.Config, p *plan.Plan) error {
	now, bounds := planLimits(c.Limits), planBounds(c)
	var faults []error
	wider := func(path string, now, planned any) {
		faults = append(faults, fmt.Errorf("%s: %v is wider than the plan's %v", path, now, planned))
	}
	if now.User > p.Limits.User {
		wider("limits.user", now.User, p.Limits.User)
	}
	for region, rate := range p.Limits.Regions {
		if r, limited := now.Regions[region]; !limited {
			wider("limits.regions."+region.String(), "no limit", rate)
		} else if r > rate {
			wider("limits.regions."+region.String(), r, rate)
		}
	}
	for region, rate := range now.Regions {
		if _, limited := p.Limits.Regions[region]; !limited && region != region.Plain() {
			wider("limits.regions."+region.String(), rate, "share of "+region.Plain().String())
		}
	}
	for service, rate := range p.Limits.Services {
		if r, limited := now.Services[service]; !limited {
			wider("limits.services."+service, "no limit", rate)
		} else if r > rate {
			wider("limits.services."+service, r, rate)
		}
	}
	for srv, t := range p.Limits.Thresholds {
		if n, limited := now.Thresholds[srv]; !limited {
			wider("limits.anomaly_thresholds."+srv, "no threshold", t.Count)
		} else if float64(n.Budget)/n.PerSeconds > float64(t.Budget)/t.PerSeconds || n.Budget > t.Budget {
			wider("limits.anomaly_thresholds."+srv, n.Budget, t.Budget)
		}
	}
	if now.OverThreshold == plan.Exceed && p.Limits.OverThreshold != plan.Exceed {
		wider("limits.ignore_anomaly_thresholds", true, false)
	}
	b := p.Bounds
	for _, bound := range [...]struct {
		path         string
		now, planned float64
	}{
		{"policy.arm_balance_at_most", float64(bounds.ArmBalanceAtMost), float64(b.ArmBalanceAtMost)},
		{"policy.arm_freshness_electricity", bounds.ArmFreshnessElectricity, b.ArmFreshnessElectricity},
		{"policy.arm_freshness_gas", bounds.ArmFreshnessGas, b.ArmFreshnessGas},
		{"policy.switch_tries", float64(bounds.SwitchTries), float64(b.SwitchTries)},
		{"policy.arm_tries", float64(bounds.ArmTries), float64(b.ArmTries)},
		{"policy.retry_electricity", float64(bounds.RetriesElectricity), float64(b.RetriesElectricity)},
		{"policy.retry_gas", float64(bounds.RetriesGas), float64(b.RetriesGas)},
	} {
		if bound.now > bound.planned {
			wider(bound.path, bound.now, bound.planned)
		}
	}
	sources := sourcesOf(c)
	if !c.Roster.Named() { // without a roster nothing is swept, which the start says
		sources[rosterSource] = p.Bounds.Sources[rosterSource]
	} else if key, err := pinned(c); err != nil {
		faults = append(faults, err)
	} else {
		sources[rosterSource] = key
	}
	for path, planned := range p.Bounds.Sources {
		for _, name := range planned {
			if !slices.Contains(sources[path], name) {
				wider(path, fmt.Sprintf("%q", sources[path]), fmt.Sprintf("%q", name))
			}
		}
	}
	usual := config.Default()
	unsaid := settingsOf(&usual)
	for _, bound := range boundsOf(c) {
		if planned, said := p.Bounds.Settings[bound.path]; said && bound.wider(bound.value, planned) {
			wider(bound.path, bound.value, planned)
		} else if usual, known := unsaid[bound.path]; !said && known && bound.wider(bound.value, usual) {
			faults = append(faults, fmt.Errorf("%s: %v is wider than the default %v, and the plan says nothing of it", bound.path, bound.value, usual))
		}
	}
	if len(faults) == 0 {
		return nil
	}
	slices.SortFunc(faults, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return fmt.Errorf("the configuration allows more than the plan that was approved; make a new plan and have it approved:\n%w", errors.Join(faults...))
}
