package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"safemode/cmd/cli"
	"safemode/config"
	"safemode/engine"
	"safemode/engine/breaker"
	"safemode/engine/inbox"
	"safemode/engine/journal"
	"safemode/engine/ledger"
	"safemode/engine/pacer"
	"safemode/engine/plan"
	"safemode/engine/portfolio"
	"safemode/engine/record"
	"safemode/engine/signing"
	"safemode/engine/sweep"
	"safemode/servicerequests"
	"safemode/servicerequests/clock"
	"safemode/servicerequests/safefile"
	"safemode/servicerequests/smki"
)

// loadConfig reads a configuration; its faults are wrong usage.
func loadConfig(path string) (*config.Config, error) {
	c, err := config.Load(path)
	return c, failWith(exitUsage, err)
}

// engineOptions turns a configuration into an engine's options. It reads the keys
// and certificates that the configuration names.
func engineOptions(c *config.Config, p *plan.Plan, journalPath string, log *zap.Logger) (engine.Options, error) {
	o := engine.Options{
		Plan: p, Journal: journalPath, CustodyDir: c.CustodyDir, Floor: c.CounterFloor,
		DCC:       engine.DCC{URL: c.DCC.URL, SMKIURL: c.DCC.SMKIURL, EUI: c.DCC.EUI, Timeout: c.DCC.Timeout, ClockApart: c.DCC.ClockApart},
		InboxPath: c.Inbox.Path, InboxLimits: inboxLimits(c.Inbox),
		Policy: policyOf(c), Limits: limitsOf(c.Limits),
		Breaker: breaker.Options{
			Window: c.Breaker.Window, MinSample: c.Breaker.MinSample, Ratio: c.Breaker.Ratio,
			Pause: c.Breaker.Pause, Lease: c.Breaker.Lease,
		},
		InFlight: c.Limits.InFlight, PerHub: c.Limits.PerHub, Workers: c.Workers,
		Resend: c.Resend.Wait, Resends: c.Resend.Tries,
		Commits: journal.Options{Linger: c.Journal.Linger, BatchLimit: c.Journal.BatchLimit, Lease: c.Journal.Lease},

		AcceptOneServer: c.Journal.AcceptOneServer,
		Thresholds:      each(c.Limits.AnomalyThresholds, func(t config.Threshold) sweep.Threshold { return sweep.Threshold(t) }),
		Tripwires: sweep.Tripwires{
			Unregistered: sweep.Tripwire(c.Tripwires.Unregistered), Unverified: sweep.Tripwire(c.Tripwires.Unverified),
		},
		RetryBudget: c.RetryBudget, DeadMan: c.Operations.DeadMan,
		Version: version(), Log: log, Registry: prometheus.NewRegistry(),
	}
	if c.Journal.CheckpointKey != "" {
		signer, verifier, err := loadCheckpointKey(c.Journal.CheckpointKey)
		if err != nil {
			return o, err
		}
		o.Checkpoints = engine.Checkpoints{
			Path: journal.Beside(journalPath, c.CustodyDir) + ".checkpoints", Signer: signer, Verifier: verifier, Every: c.Journal.CheckpointEvery,
		}
	}
	if s := c.SimulatorClock; s != nil {
		o.Clock = clock.Clock{Anchor: s.Anchor, Speed: s.Speed}
	}
	var faults []error
	secrets := secretFiles{strict: c.Environment == config.Live, log: log}
	var unread error
	if o.Suppressed, unread = suppressedOf(c); unread != nil {
		faults = append(faults, unread)
	}
	if err := custodyThere(c.CustodyDir); err != nil {
		faults = append(faults, err)
	}
	supplier := smki.LoadSupplier
	if c.Signer.Set() {
		supplier = smki.LoadSupplierCertificates
		o.Signer = signerAt(c, secrets, &faults)
	}
	for _, id := range c.Identities {
		folder, err := loadPKI(id.PKIDir, supplier)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		for _, name := range folder.Exposed {
			faults = append(faults, secrets.exposed(filepath.Join(id.PKIDir, name)))
		}
		o.Identities = append(o.Identities, engine.Identity{
			EUI: id.EUI, XMLSigning: folder.Supplier.XMLSigning,
			DigitalSigning: folder.Supplier.DigitalSigning, KeyAgreement: folder.Supplier.KeyAgreement,
		})
	}
	o.Transfers = engine.Transfers{Path: c.Transfers.File, Margin: c.Transfers.Margin}
	o.DCC.Transform = loadCertificates(c.DCC.TransformCertificates, &faults)
	o.DCC.XMLSigning = loadCertificates(c.DCC.XMLSigningCertificates, &faults)
	o.DCC.S1SP = loadCertificates(c.DCC.S1SPCertificates, &faults)
	o.DCC.Authorities = loadCertificates(c.DCC.Authorities, &faults)
	var err error
	if o.DCC.TLS, err = loadClientTLS(c.DCC.TLS, secrets); err != nil {
		faults = append(faults, err)
	}
	if o.Inbox, err = loadInbox(c.Inbox, secrets); err != nil {
		faults = append(faults, err)
	}
	if o.Operations, err = loadOperations(c.Operations, secrets); err != nil {
		faults = append(faults, err)
	}
	if _, err := channelsOf(c); err != nil { // preflight says so, too
		faults = append(faults, err)
	}
	return o, failWith(exitUsage, errors.Join(faults...))
}

// custodyThere refuses a custody that is not there. It is not made: with a new one in place
// of the old one, counters that were used could be used again.
func custodyThere(at string) error {
	if journal.IsAddress(at) {
		_, err := journal.OpenFiles(at) // the start says whether it is there
		return err
	}
	if _, err := os.Stat(at); errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("custody_dir: %s does not exist; %s", at, custodyRemedy)
	}
	return nil
}

// custodyRemedy says what to do where there is no custody.
const custodyRemedy = "name the one of earlier sweeps of this originator, or make it if there were none (safemode custody new)"

// signerAt is the client of the signer's process.
func signerAt(c *config.Config, secrets secretFiles, faults *[]error) *signing.Client {
	o := signing.ClientOptions{Socket: c.Signer.Socket, URL: c.Signer.URL}
	if o.URL != "" {
		var err error
		if o.TLS, err = loadClientTLS(c.Signer.TLS, secrets); err != nil {
			*faults = append(*faults, fmt.Errorf("signer: %w", err))
		}
	}
	return signing.NewClient(o)
}

func policyOf(c *config.Config) ledger.Policy {
	p := c.Policy
	return ledger.Policy{
		ReadWait:             p.ReadWait,
		ProofWait:            perFuel(p.ProofWaitElectricity, p.ProofWaitGas),
		EmergencyCreditBelow: p.EmergencyCreditBelow, ArmBalanceAtMost: p.ArmBalanceAtMost,
		ArmFresh:     perFuel(p.ArmFreshnessElectricity, p.ArmFreshnessGas),
		ResponseWait: perFuel(p.ResponseWaitElectricity, p.ResponseWaitGas),
		DarkWait:     perFuel(p.DarkWaitElectricity, p.DarkWaitGas), DarkAgain: p.DarkAgain,
		Retry:       perFuel(p.RetryElectricity, p.RetryGas),
		SwitchTries: p.SwitchTries, ArmTries: p.ArmTries, GasBalanceFromProxy: p.GasBalanceFromProxy,
		Patience: p.Patience, StepDeadline: perFuel(p.StepDeadlineElectricity, p.StepDeadlineGas),
		BalanceAfter: p.BalanceAfter, RereadArmedAfter: p.RereadArmedAfter, RereadAfter: p.RereadAfter, RereadShare: p.RereadShare,
		DailySpend: p.DailySpend, AtRiskWithin: p.AtRiskWithin, ActWithin: p.ActWithin,
		WindowEnds: c.WindowEnds.Earliest, WindowBegins: c.WindowBegins,
	}
}

// each is a map with each value made into another.
func each[K comparable, V, W any](m map[K]V, make func(V) W) map[K]W {
	made := map[K]W{}
	for k, v := range m {
		made[k] = make(v)
	}
	return made
}

func perFuel[T any](electricity, gas T) ledger.PerFuel[T] {
	return ledger.PerFuel[T]{Electricity: electricity, Gas: gas}
}

// limitsOf gives the pacer its limits. A region or service without one of its own
// is bounded by the others only.
func limitsOf(l config.Limits) pacer.Limits {
	limit := func(r config.Rate) pacer.Limit { return pacer.Limit(r) }
	limits := pacer.Limits{User: pacer.Limit(l.User), Region: each(l.Regions, limit), Service: each(l.Services, limit)}
	for _, service := range record.Endpoints {
		if _, limited := l.Services[service.String()]; !limited {
			limits.Service[service.String()] = pacer.Unlimited()
		}
	}
	if !l.IgnoreAnomalyThresholds {
		limits.SRV = map[string]pacer.Budget{}
		for service, t := range l.AnomalyThresholds {
			limits.SRV[service.SRV()] = pacer.Budget(t).With(l.AnomalyMargin)
		}
	}
	return limits
}

func inboxLimits(i config.Inbox) inbox.Limits {
	return inbox.Limits{
		MaxBody: i.MaxBody, PerPeer: inbox.Rate(i.Rates.PerPeer), Total: inbox.Rate(i.Rates.Total),
		Header: i.Timeouts.Header, Timeout: i.Timeouts.Message, Idle: i.Timeouts.Idle,
	}
}

func loadCertificates(names []string, faults *[]error) []*smki.Certificate {
	var all []*smki.Certificate
	for _, name := range names {
		c, err := cli.Certificate(name)
		if err != nil {
			*faults = append(*faults, err)
			continue
		}
		all = append(all, c)
	}
	return all
}

// suppressedOf reads the devices that a configuration says must not be touched; nil where
// it names no list.
func suppressedOf(c *config.Config) (map[servicerequests.EUI]struct{}, error) {
	if c.SuppressFile == "" {
		return nil, nil
	}
	list, err := readFile(c.SuppressFile, safefile.List, safefile.Own, portfolio.ReadSuppressed)
	if err != nil {
		return nil, fmt.Errorf("suppress_file: %w", err)
	}
	return list, nil
}

// plannedOf says how many devices of a list of those not to be touched a plan names.
func plannedOf(p *plan.Plan, list map[servicerequests.EUI]struct{}) (string, error) {
	planned := 0
	err := p.Each(func(t *plan.Target) error {
		if _, ok := list[t.Device]; ok {
			planned++
		}
		return nil
	}, func(*plan.Rejected) error { return nil })
	return fmt.Sprintf("%d suppressed, %d of them planned, %d unknown", len(list), planned, len(list)-planned), err
}
