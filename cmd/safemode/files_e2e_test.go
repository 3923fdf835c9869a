package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"safemode/engine/plan"
	"safemode/servicerequests/smki"
)

// A FIFO in the place of a file that the program is told to read keeps no command waiting,
// a link leads it nowhere, and a device is not read to its end.
func TestFilesThatAreNone(t *testing.T) {
	t.Parallel()
	s := smallScene(t)
	own := []string{"--cert", s.path("pki/approvers/alice.pem"), "--key", s.path("pki/approvers/alice.key")}
	for name, c := range map[string]struct {
		file string // of the scene, whose place is taken
		args []string
	}{
		"configuration": {"safemode.yaml", []string{"check-config", s.path("safemode.yaml")}},
		"pinned key":    {"pki/staff/rita.pem", s.sweepArgs("safemode.yaml", "plan", "journal.db")},
		"roster":        {"pki/roster.yaml", s.sweepArgs("safemode.yaml", "plan", "journal.db")},
		"signature":     {"pki/roster.yaml.sig", s.sweepArgs("safemode.yaml", "plan", "journal.db")},
		"approval":      {"plan/approval-x.json", s.sweepArgs("safemode.yaml", "plan", "journal.db")},
		"plan":          {"plan/plan.ndjson", append([]string{"approve", "--plan", s.path("plan"), "--yes"}, own...)},
		"person's key":  {"pki/approvers/alice.key", append([]string{"approve", "--plan", s.path("plan"), "--yes"}, own...)},
		"direction":     {"direction.yaml", append([]string{"sign", s.path("direction.yaml")}, own...)},
		"portfolio":     {"portfolio.csv", []string{"portfolio", "check", s.path("portfolio.csv")}},
		"own key":       {"pki/supplier/xml-signing.key", s.sweepArgs("safemode.yaml", "plan", "journal.db")},
		"message":       {"message", []string{"duis", "verify", s.path("message"), "--cert", s.path("pki/dcc/transform.pem")}},
	} {
		t.Run(name, func(t *testing.T) {
			path := s.path(c.file)
			kept, err := os.ReadFile(path)
			if err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Fatal(err)
			}
			info, _ := os.Stat(path)
			t.Cleanup(func() {
				_ = os.Remove(path)
				if info != nil {
					putFile(t, path, kept)
					_ = os.Chmod(path, info.Mode())
				}
			})
			for kind, make := range map[string]func() error{
				"FIFO":   func() error { return syscall.Mkfifo(path, 0o600) },
				"link":   func() error { return os.Symlink(putFile(t, s.path("elsewhere"), kept), path) },
				"device": func() error { return os.Symlink("/dev/zero", path) },
			} {
				_ = os.Remove(path)
				if err := make(); err != nil {
					t.Fatal(err)
				}
				p := start(t, c.args...) // a whole process: what hangs in it cannot be called off
				if r := p.wait(); r.code == exitDone || !strings.Contains(r.err, filepath.Base(path)) || !strings.Contains(r.err, "not a regular file") {
					t.Errorf("%s: exit %d: %s", kind, r.code, r.err)
				}
			}
		})
	}
}

// Neither a lock nor the counters nor the checkpoints are written through a link, and a
// folder that others may write holds no counters.
func TestNothingIsWrittenThroughALink(t *testing.T) {
	t.Parallel()
	s := smallScene(t)
	s.sim(t)
	must(t, "", "journal", "key", "--out", s.path("pins"), "--name", "night")
	s.configure(t, "safemode.yaml", "custody_dir: custody\n", "custody_dir: custody\njournal: {checkpoint_key: pins}\n")
	counters := filepath.Join("custody", smki.TestSupplier.String()+".json")
	for _, name := range []string{counters, counters + ".lock", "journal.db.checkpoints"} {
		target := putFile(t, s.path("target"), []byte("mine"))
		if err := os.Symlink(target, s.path(name)); err != nil {
			t.Fatal(err)
		}
		r := safemode(t, "", s.sweepArgs("safemode.yaml", "plan", "journal.db")...)
		if r.code == exitDone || !strings.Contains(r.err, "symbolic link") {
			t.Errorf("%s: exit %d: %s", name, r.code, r.err)
		}
		if b, err := os.ReadFile(target); err != nil || string(b) != "mine" {
			t.Errorf("%s: its target holds %q, %v", name, b, err)
		}
		if err := os.Remove(s.path(name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(s.path("custody"), 0o777); err != nil {
		t.Fatal(err)
	}
	s.refusesSweep(t, exitRefused, "safemode.yaml", "plan", "journal.db", "custody", "is open to others", "chmod o-w")
	r := safemode(t, "", "preflight", "--config", s.path("safemode.yaml"), "--plan", s.path("plan"), "--journal", s.path("journal.db"))
	if r.code != exitFailed || !strings.Contains(r.out, "FAIL counter of") || !strings.Contains(r.out, "is open to others") {
		t.Errorf("preflight of a folder that everybody may write: exit %d: %s", r.code, r.out)
	}
	if err := errors.Join(os.Chmod(s.path("custody"), 0o700), os.Chmod(s.path("safemode.yaml"), 0o666)); err != nil {
		t.Fatal(err)
	}
	s.refusesSweep(t, exitUsage, "safemode.yaml", "plan", "journal.db", "safemode.yaml", "is open to others")
}

// A plan that is found altered when its targets are read is refused as one that is found
// so at once.
func TestAlteredPlanIsRefused(t *testing.T) {
	for _, err := range []error{plan.ErrDamaged, plan.ErrTooManyMeters} {
		if code := openCode(fmt.Errorf("plan.ndjson: line 7: %w", err)); code != exitRefused {
			t.Errorf("%v: exit %d, want %d", err, code, exitRefused)
		}
	}
}
