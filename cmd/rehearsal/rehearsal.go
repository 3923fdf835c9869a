// Package rehearsal sets up a rehearsal from nothing: the keys of a test PKI and its people, a
// simulator of the DCC in the same process, one clock for both sides, folders for counters and
// a journal, a list of the homes that leave, and a configuration that can reach nothing but
// the simulator. In the end it has package truth judge the report.
//
// It does not run the engine: its caller does. Its errors carry the exit codes of package cli.
package rehearsal

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"safemode/cmd/cli"
	"safemode/config"
	"safemode/devicesim"
	"safemode/devicesim/fault"
	"safemode/devicesim/fleet"
	"safemode/devicesim/meter"
	"safemode/servicerequests"
	"safemode/servicerequests/clock"
	"safemode/servicerequests/safefile"
	"safemode/servicerequests/smki"
)

// Options say what is rehearsed.
type Options struct {
	Dir      string // folder of all its files
	Supplier servicerequests.EUI
	Seed     uint64
	Fleet    *fleet.Fleet
	Faults   fault.Profile
	Life     meter.Life
	Dark     time.Duration // for so long after Life.Began the simulator reckons how long homes are dark; 0: it does not
	Clock    clock.Clock
	Speed    float64   // as it was asked for; 0: the clock jumps
	Begins   time.Time // what the clock shows once the keys are made; zero: it goes on
	Log      *zap.Logger

	// Forbidden is called when a forbidden command with a valid signature reaches
	// a meter. Nil: it is only counted.
	Forbidden func(device servicerequests.EUI, useCase string)
}

// Rehearsal is a simulator, and all that a sweep needs to run against it and nothing else.
// It is used by one goroutine.
type Rehearsal struct {
	Options
	Departures []string             // settings that are not the shipped ones
	Sim        *devicesim.Simulator // once started

	transfers string                            // the list of homes that leave; empty: none does
	listed    map[servicerequests.EUI]time.Time // their days, by meter

	cancel context.CancelFunc
	done   chan error // of the simulator's Run
}

// Start makes the test PKI in Dir/pki and runs the simulator. Stop it, also after an error.
func (r *Rehearsal) Start(ctx context.Context) error {
	if _, err := WritePKI(filepath.Join(r.Dir, "pki"), smki.TestFolder{Supplier: r.Supplier, Seed: Seed(r.Seed)}); err != nil {
		return err
	}
	folder, err := smki.LoadFolder(safefile.Dir(filepath.Join(r.Dir, "pki")))
	if err != nil {
		return cli.Fail(cli.Failed, err)
	}
	if !r.Begins.IsZero() {
		r.Clock = NewClock(r.Begins, r.Speed)
	}
	o := devicesim.Options{
		Fleet: r.Fleet, PKI: folder, Clock: r.Clock, Faults: r.Faults, Life: r.Life, Forbidden: r.Forbidden,
		Log: r.Log.Named("sim"), Registerer: prometheus.NewRegistry(),
	}
	if r.Dark > 0 {
		o.DarkUntil = r.Life.Began.Add(r.Dark)
	}
	r.Sim, err = devicesim.New(o)
	if err != nil {
		return cli.Fail(cli.Failed, err)
	}
	if err := r.list(); err != nil {
		return err
	}
	if err := cli.MakeDir(filepath.Join(r.Dir, "custody")); err != nil {
		return err
	}
	if _, err := cli.CheckpointKey(filepath.Join(r.Dir, "checkpoint.key"), "rehearsal"); err != nil {
		return err
	}
	// The simulator outlives an interrupt: the sweep drains against it.
	ctx, r.cancel = context.WithCancel(context.WithoutCancel(ctx))
	r.done = make(chan error, 1)
	go func() { r.done <- r.Sim.Run(ctx) }()
	return nil
}

// list writes which homes leave by the fault profile, for the sweep to read.
func (r *Rehearsal) list() error {
	leaving := r.Sim.Leaving()
	if len(leaving) == 0 {
		return nil
	}
	r.transfers, r.listed = filepath.Join(r.Dir, "transfers.csv"), map[servicerequests.EUI]time.Time{}
	for _, l := range leaving {
		if l.Listed {
			r.listed[l.Device] = l.Effective
		}
	}
	_, err := WriteTransfers(r.transfers, leaving, r.Clock.Now())
	return err
}

// Stop ends the simulator.
func (r *Rehearsal) Stop() error {
	if r.cancel == nil {
		return nil
	}
	r.cancel()
	r.cancel = nil
	if err := <-r.done; err != nil && !errors.Is(err, context.Canceled) {
		return cli.Fail(cli.Failed, fmt.Errorf("simulator: %w", err))
	}
	return nil
}

// Point makes a configuration talk to this rehearsal and nothing else: its
// simulator's addresses, its keys, its counters, its clock.
func (r *Rehearsal) Point(c *config.Config) {
	pki := filepath.Join(r.Dir, "pki")
	c.Environment = config.Simulator
	c.DCC.URL = "http://" + r.Sim.DUISAddr()
	c.DCC.SMKIURL = "http://" + r.Sim.SMKIAddr()
	c.DCC.EUI = smki.TestDCC
	c.DCC.TLS = config.TLS{}
	c.DCC.TransformCertificates = []string{filepath.Join(pki, "dcc", "transform.pem")}
	c.DCC.XMLSigningCertificates = []string{filepath.Join(pki, "dcc", "xml-signing.pem"), filepath.Join(pki, "dcc", "renewed.pem")}
	c.DCC.Authorities = nil
	for _, name := range []string{"root", "issuing", "device-issuing"} {
		c.DCC.Authorities = append(c.DCC.Authorities, filepath.Join(pki, "ca", name+".pem"))
	}
	c.Identities = []config.Identity{{EUI: r.Supplier, PKIDir: pki}}
	c.Inbox.Listen, c.Inbox.Path, c.Inbox.TLS = "127.0.0.1:0", "/smartdcc/duis", config.InboxTLS{}
	c.Operations = config.Operations{Listen: "127.0.0.1:0"} // the configured one may be a real sweep's
	c.CustodyDir = filepath.Join(r.Dir, "custody")
	c.Journal.CheckpointKey = filepath.Join(r.Dir, "checkpoint.key")
	c.CounterFloor = 0
	c.Roster = config.Roster{File: filepath.Join(pki, "roster.yaml"), SignedBy: filepath.Join(pki, "staff", "rita.pem")}
	c.Transfers.File = r.transfers
	c.Gates.RevocationLists, c.Gates.MPIDsFile, c.Gates.FreezeFile, c.Gates.CheckExpiry = nil, "", "", false
	c.SimulatorClock = &config.SimulatorClock{Anchor: r.Clock.Anchor, Speed: r.Clock.Speed}
}
