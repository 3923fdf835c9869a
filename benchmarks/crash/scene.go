package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"safemode/cmd/rehearsal"
	"safemode/engine/journal/store/pgtest"
	"safemode/servicerequests"
	"safemode/servicerequests/smki"
)

// setup is what the command line asks for.
type setup struct {
	kills, meters int
	seed          uint64
	keep          string
	measured      bool          // nothing is killed
	nodes         int           // machines
	database      bool          // the journal is in one
	lease         time.Duration // on it, real time
	speed         int           // of the clocks, times real time; 0: as it fits
}

// freshness is how long a read lets a meter be armed, on the sweep's clock. A sweep that
// rests for longer reads all again: a takeover should take less.
const freshness = 30 * time.Minute

// clocks is how many times faster than real time the clocks run. Where a start is
// measured, the canary's answers must not be late because the machine is busy with the
// fleet: the sweep would wait for a person. Where another machine takes over, a read
// outlives the lease, the start and the DCC's next try to deliver.
func (s *setup) clocks() int {
	switch {
	case s.speed > 0:
		return s.speed
	case s.measured:
		return 60
	case s.nodes > 1:
		return min(600, int(freshness/(s.lease+5*time.Second)))
	}
	return 600
}

// pace is how many POSTs the sweep may make in a second of real time: so few that it
// lasts for all kills. With two machines each acts for a while between two kills.
func (s *setup) pace() int {
	if s.nodes > 1 {
		return 60
	}
	return 250
}

// burst is how many POSTs may go beyond the pace at once.
const burst = 10

// scene is a simulated night in a folder, with the processes that play it.
type scene struct {
	setup

	dir, binary string
	machine     []*node
	cluster     *pgtest.Cluster       // nil: the journal is in a file
	acting      atomic.Pointer[node]  // nil: none, or nobody knows
	ending      atomic.Bool           // nothing is killed any more, and the sweep is to come to its end
	devices     []servicerequests.EUI // of the fleet
	renewed     time.Time             // when the configuration is to learn of the DCC's second certificate
	sim         *process
	signer      *process // nil: the sweep has the keys
	wire        *wire    // to the DCC
	inbox       *wire    // from the DCC

	duis, smki, control string // host:port
	deliver             string // where the DCC delivers
}

func (s *scene) path(name string) string { return filepath.Join(s.dir, name) }

// startSigner starts the signer that has the sweep's keys.
func (s *scene) startSigner(ctx context.Context) (err error) {
	if s.signer, err = s.start(nil, "signer", "serve", "--config", s.path("signer.yaml")); err != nil {
		return err
	}
	return s.signer.untilSaid(ctx, "answers at")
}

// killSigners kills the signer every few seconds, and has it back soon after, until ctx ends.
func (s *scene) killSigners(ctx context.Context, random *rand.Rand) (kills int, err error) {
	for {
		select {
		case <-ctx.Done():
			return kills, nil
		case <-time.After(time.Second + time.Duration(random.Int64N(int64(4*time.Second)))):
		}
		if s.signer.kill(); !killed(s.signer.err) {
			return kills, fmt.Errorf("the signer ended by itself: %w: %s", s.signer.err, &s.signer.log)
		}
		kills++
		time.Sleep(time.Duration(random.Int64N(int64(time.Second))))
		if err := s.startSigner(context.WithoutCancel(ctx)); err != nil {
			return kills, err
		}
	}
}

// newScene builds the program, makes everything that a sweep needs, and starts the
// simulated DCC. Close the scene, also after an error.
func newScene(ctx context.Context, o setup) (s *scene, err error) {
	s = &scene{setup: o, dir: o.keep, wire: newWire(http.StatusOK, 0), inbox: newWire(http.StatusNoContent, time.Duration(o.nodes-1)*3*time.Second)} // of two, one may be suspended
	if o.keep == "" {
		if s.dir, err = os.MkdirTemp("", "safemode-crash-"); err != nil {
			return s, err
		}
	} else if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return s, err
	}
	if s.dir, err = filepath.Abs(s.dir); err != nil {
		return s, err
	}
	s.binary = s.path("safemode")
	if out, err := exec.CommandContext(ctx, "go", "build", "-tags", "crashtest", "-o", s.binary, "safemode/cmd/safemode").CombinedOutput(); err != nil {
		return s, fmt.Errorf("go build: %w: %s", err, out)
	}
	for _, address := range []*string{&s.duis, &s.smki, &s.control} {
		if *address, err = freeAddress(ctx); err != nil {
			return s, err
		}
	}
	if err := s.machines(ctx); err != nil {
		return s, err
	}
	if err := s.prepare(ctx); err != nil {
		return s, err
	}
	s.sim, err = s.start(nil, "sim", "--fleet", s.path("fleet.csv"), "--pki", s.path("pki"), "--listen", s.duis, "--smki-listen", s.smki,
		"--control", s.control, "--respond-to", "http://"+s.deliver+"/smartdcc/duis", "--speed", fmt.Sprint(s.clocks()), "--faults", s.path("faults.yaml"))
	if err != nil {
		return s, err
	}
	if !s.measured {
		if err := s.startSigner(ctx); err != nil {
			return s, err
		}
		s.renewed = time.Now().Add(s.lasts() / 2)
	}
	return s, s.sim.untilSaid(ctx, "answers go to")
}

// lasts is about how long, in real time, all kills take.
func (s *setup) lasts() time.Duration {
	each := time.Second
	if s.nodes > 1 {
		each = s.lease + 2*time.Second
	}
	return time.Duration(s.meters*postsPerMeter)*time.Second/time.Duration(s.pace()) + time.Duration(s.kills)*each
}

// disturbances are added to the fault profile in runs that kill: a threshold of anomaly
// detection, and the time when keys are replaced. Half of the meters are done by then.
func (s *setup) disturbances() string {
	if s.measured {
		return ""
	}
	lasts := s.lasts() * time.Duration(s.clocks())
	return fmt.Sprintf(`dcc:
  anomaly_thresholds: {"1.6": {limit: 25, per: 30m}, "7.4": {limit: 200, per: 30m}}
  rotation: {devices: 0.5, after: %v, dcc_after: %v}
`, lasts/4, lasts/3)
}

// renew has the configuration know the DCC's second certificate, once it is time.
func (s *scene) renew() error {
	if s.renewed.IsZero() || time.Now().Before(s.renewed) {
		return nil
	}
	s.renewed = time.Time{}
	for _, n := range s.machine {
		text, err := os.ReadFile(n.config)
		if err != nil {
			return err
		}
		text = bytes.Replace(text, []byte("[pki/dcc/xml-signing.pem]"), []byte("[pki/dcc/xml-signing.pem, pki/dcc/renewed.pem]"), 1)
		if err := os.WriteFile(n.config, text, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// renewBy waits until the configuration may know all certificates.
func (s *scene) renewBy(ctx context.Context) error {
	select {
	case <-time.After(time.Until(s.renewed)):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// goOn does what a sweep that has halted so advises: the configuration learns of the
// certificate, and two approve. A machine that stood by since may not have known it yet.
func (s *scene) goOn(ctx context.Context, n *node) error {
	if n.certain {
		return errors.New("halted: the DCC is not believed, with all its certificates")
	}
	if !s.renewed.IsZero() {
		s.renewed = time.Now()
		if err := s.renew(); err != nil {
			return err
		}
	}
	return s.approve(ctx, "--config", s.machine[0].config, "--journal", s.journal())
}

// readFleet reads which devices there are.
func (s *scene) readFleet() error {
	text, err := os.ReadFile(s.path("fleet.csv"))
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(text)) {
		name, _, _ := strings.Cut(line, ",")
		if device, err := servicerequests.ParseEUI(name); err == nil {
			s.devices = append(s.devices, device)
		}
	}
	return nil
}

// prepare makes keys, fleet, direction, configuration and plan.
func (s *scene) prepare(ctx context.Context) error {
	canary, deadMan, speed, signerAt := 0, "15s", s.clocks(), "signer: {socket: signer.sock}\n"
	if s.measured { // the canary goes the whole way before all are read, and nobody renews
		canary, deadMan, signerAt = 60, "0s", ""
	}
	if err := rehearsal.WriteDirection(s.path("direction.yaml"), smki.TestSupplier, s.meters, time.Now().UTC().Add(-time.Hour)); err != nil {
		return err
	}
	number := fmt.Sprint(s.seed)
	texts := map[string]string{
		"signer.yaml": fmt.Sprintf(`identities: [{eui: %v, pki_dir: pki}]
roster: {file: pki/roster.yaml, signed_by: pki/staff/rita.pem}
authorities: [pki/ca/root.pem, pki/ca/issuing.pem, pki/ca/device-issuing.pem]
limits: {commands: 100}
`, smki.TestSupplier),
		"faults.yaml": `name: crash
no_answer: 0.02
lost_response: 0.02
lost_acknowledgement: 0.03
duplicate_response: 0.03
hardware_failure: 0.005
partial_ecs02: 0.005
delayed_response: 0.05
delay: 90s
` + s.disturbances(),
	}
	for _, n := range s.machine {
		texts[filepath.Base(n.config)] = fmt.Sprintf(`environment: simulator
dcc:
  url: http://%s
  smki_url: http://%s
  transform_certificates: [pki/dcc/transform.pem]
  xml_signing_certificates: [pki/dcc/xml-signing.pem]
  authorities: [pki/ca/root.pem, pki/ca/issuing.pem, pki/ca/device-issuing.pem]
identities: [{eui: %v, pki_dir: pki}]
inbox: {listen: %s}
operations: {listen: %s, dead_man: %[9]s}
custody_dir: '%[13]s'
journal: {lease: %[11]v}
roster: {file: pki/roster.yaml, signed_by: pki/staff/rita.pem}
simulator_clock: {speed: %[6]d}
%[10]slimits:
  user: {per_second: %[7]g, burst: %[12]d}
  regions:
    North: {per_second: %[7]g, burst: %[12]d}
    Central: {per_second: %[7]g, burst: %[12]d}
    South: {per_second: %[7]g, burst: %[12]d}
waves: {canary: %[8]d}
policy:
  read_wait: 1h
  arm_freshness_electricity: 30m
  arm_freshness_gas: 90m
  response_wait_electricity: 2h
  dark_wait_electricity: 0s
  response_wait_gas: 4h
  retry_electricity: [10m, 30m]
  retry_gas: [35m, 70m]
`, n.sends, s.smki, smki.TestSupplier, n.answers, n.operations, speed, float64(s.pace())/float64(speed), canary, deadMan, signerAt, s.lease, burst, n.custody)
	}
	for name, text := range texts {
		if err := os.WriteFile(s.path(name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	for _, args := range [][]string{
		{"custody", "new", "--custody-dir", s.machine[0].custody},
		{"pki", "init", "--out", s.path("pki"), "--seed", number},
		{"fleet", "generate", "--meters", fmt.Sprint(s.meters), "--seed", number, "--out", s.path("fleet.csv"), "--portfolio", s.path("portfolio.csv")},
		{"sign", s.path("direction.yaml"), "--cert", s.path("pki/staff/rita.pem"), "--key", s.path("pki/staff/rita.key")},
		{"plan", "--config", s.path("safemode.yaml"), "--direction", s.path("direction.yaml"), "--portfolio", s.path("portfolio.csv"), "--out", s.path("plan"), "--cert", s.path("pki/staff/olga.pem"), "--key", s.path("pki/staff/olga.key")},
	} {
		if err := s.command(ctx, args...); err != nil {
			return err
		}
	}
	return errors.Join(s.approve(ctx), s.readFleet())
}

// approve has two approve the plan.
func (s *scene) approve(ctx context.Context, more ...string) error {
	for _, person := range []string{"alice", "bob"} {
		own := s.path("pki/approvers/" + person)
		if err := s.command(ctx, append([]string{"approve", "--plan", s.path("plan"), "--cert", own + ".pem", "--key", own + ".key", "--resumes", "1000", "--yes", "--knowing"}, more...)...); err != nil {
			return err
		}
	}
	return nil
}

// command runs the program to its end.
func (s *scene) command(ctx context.Context, args ...string) error {
	if out, err := exec.CommandContext(ctx, s.binary, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("safemode %s: %w: %s", args[0], err, out)
	}
	return nil
}

// sweep starts the sweep, or goes on with it: the same command every time.
func (s *scene) sweep(n *node, crashAt string) (*process, error) {
	if err := s.renew(); err != nil {
		return nil, err
	}
	n.certain = s.renewed.IsZero()
	return s.start([]string{"SAFEMODE_CRASH_AT=" + crashAt},
		"sweep", "--config", n.config, "--plan", s.path("plan"), "--journal", n.journal)
}

// close ends what is still running.
func (s *scene) close() {
	s.sim.kill() // has ended as a rule
	for _, n := range s.machine {
		n.close()
	}
	s.signer.kill()
	s.wire.close()
	s.inbox.close()
	if s.cluster != nil {
		if err := s.cluster.Remove(); err != nil {
			complain("the database: %v", err)
		}
	}
}
