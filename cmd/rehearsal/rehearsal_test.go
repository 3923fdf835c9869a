package rehearsal_test

import (
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"safemode/cmd/rehearsal"
	"safemode/config"
	"safemode/devicesim/fleet"
	"safemode/servicerequests/smki"
)

// A live configuration that is rehearsed talks to the rehearsal's simulator, signs with the
// rehearsal's keys, and keeps its counters in the rehearsal's folder. It has none of the
// live gates' files.
func TestPoint(t *testing.T) {
	population, err := fleet.Generate(fleet.Options{Meters: 2, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	r := &rehearsal.Rehearsal{Options: rehearsal.Options{
		Dir: dir, Supplier: smki.TestSupplier, Seed: 1, Fleet: population, Clock: rehearsal.NewClock(time.Time{}, 0), Log: zap.NewNop(),
	}}
	if err := r.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := r.Stop(); err != nil {
			t.Error(err)
		}
	}()

	c := config.Default()
	c.Environment = "live"
	c.DCC.URL, c.DCC.SMKIURL, c.DCC.TLS.Certificate = "https://dcc.example", "https://smki.example", "user.pem"
	c.DCC.Authorities = []string{"live/root.pem"}
	c.Identities = []config.Identity{{EUI: smki.TestSupplier, PKIDir: "live/pki"}}
	c.CustodyDir, c.CounterFloor = "live/custody", 1<<62
	c.Operations.Listen, c.Inbox.Listen = "127.0.0.1:9", "0.0.0.0:443"
	c.Gates.MPIDsFile, c.Gates.FreezeFile, c.Roster.File = "mpids.yaml", "freeze.yaml", "live/roster.yaml"
	r.Point(&c)

	if c.Environment != config.Simulator || c.SimulatorClock == nil || c.CounterFloor != 0 || c.DCC.TLS != (config.TLS{}) {
		t.Errorf("environment %s, clock %+v, floor %d, TLS %+v", c.Environment, c.SimulatorClock, c.CounterFloor, c.DCC.TLS)
	}
	for _, address := range []string{c.DCC.URL, c.DCC.SMKIURL, "http://" + c.Inbox.Listen, "http://" + c.Operations.Listen} {
		if u, err := url.Parse(address); err != nil || u.Hostname() != "127.0.0.1" || u.Port() == "9" {
			t.Errorf("address %s is not the rehearsal's", address)
		}
	}
	files := append([]string{c.CustodyDir, c.Identities[0].PKIDir, c.Roster.File, c.Roster.SignedBy, c.Journal.CheckpointKey}, c.DCC.Authorities...)
	for _, file := range append(append(files, c.DCC.TransformCertificates...), c.DCC.XMLSigningCertificates...) {
		if !strings.HasPrefix(file, dir+string(filepath.Separator)) {
			t.Errorf("%s is not in the rehearsal's folder", file)
		}
	}
	if len(c.Identities) != 1 || c.Gates.MPIDsFile != "" || c.Gates.FreezeFile != "" || len(c.Gates.RevocationLists) > 0 {
		t.Errorf("identities %v, gates %+v", c.Identities, c.Gates)
	}
}

// In the hours before non-disablement ends, in summer and in winter, a rehearsal has it end later.
func TestMorning(t *testing.T) {
	for at, want := range map[string]bool{
		"2026-12-01T04:59:59Z": false, "2026-12-01T05:00:00Z": true, "2026-12-01T08:59:59Z": true, "2026-12-01T09:00:00Z": false,
		"2026-07-01T03:59:59Z": false, "2026-07-01T04:00:00Z": true, "2026-07-01T07:59:59Z": true, "2026-07-01T08:00:00Z": false,
	} {
		now, err := time.Parse(time.RFC3339, at)
		if err != nil {
			t.Fatal(err)
		}
		if rehearsal.Morning(now) != want {
			t.Errorf("%s: %t", at, !want)
		}
	}
}
