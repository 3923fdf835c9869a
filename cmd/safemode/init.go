package main

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"text/template"
	"time"

	"github.com/spf13/cobra"

	"safemode/cmd/rehearsal"
	"safemode/config"
	"safemode/devicesim/fleet"
	"safemode/engine/durable"
	"safemode/servicerequests/smki"
)

// folderFiles are the files of a new folder: in live/ and rehearsal/, each a template.
//
//go:embed folder
var folderFiles embed.FS

// night is what the templates of a new folder are filled with.
type night struct {
	DCC, SMKI, Inbox, Operations, Control string // addresses: host:port
	Supplier                              string
	Meters                                int
	Speed                                 float64
	Own                                   bool   // addresses are not the defaults
	LateWindowEnds                        string // of a rehearsal that is made in the morning
}

func newInit(std stdio) *cobra.Command {
	var n night
	var rehearsal, asJSON bool
	var seed uint64
	c := &cobra.Command{
		Use:   "init DIR [--rehearsal]",
		Short: "Make a folder for a night: everything that it needs, or a place for it",
		Long: `Makes a folder in which a night's commands are given. Each of them ends with the next one
to give ("next: ..."), which can be pasted. The folder must not exist or be empty.

With --rehearsal everything is there: keys of a test PKI, a fleet and the portfolio of it, a
direction from today on that its recorder has signed, custody of the counters, and a
configuration for the simulator. Without, nothing is made up: the configuration and the
direction have only what must be decided, each key explained and left blank, so that
check-config names what is missing; README.md says which keys and files go where.

night.yaml says what the files are called. No command's work depends on it: it is read to
name the next command.`,
		Example: `  safemode init night --rehearsal
  safemode init night`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			dir, err := filepath.Abs(args[0])
			if err != nil {
				return failWith(exitUsage, err)
			}
			made, err := n.make(dir, rehearsal, seed)
			if err != nil {
				return err
			}
			kind := "a live night; README.md says what goes where"
			if rehearsal {
				kind = fmt.Sprintf("a rehearsal with %d meters", n.Meters)
			}
			if err := printResult(std.out, asJSON, map[string]any{"out": dir, "rehearsal": rehearsal, "files": made}, "%s: for %s\n", dir, kind); err != nil {
				return err
			}
			w := &way{Night: config.Night{Config: "safemode.yaml"}, known: true}
			p := w.place()
			p.Folder = dir
			w.say(std, p.Command("check-config", "safemode.yaml"))
			return nil
		},
	}
	f := c.Flags()
	f.BoolVar(&rehearsal, "rehearsal", false, "with test keys, simulated meters and a signed direction of today")
	f.IntVar(&n.Meters, "meters", 100, fmt.Sprintf("rehearsal: how many meters, 1 to %d", fleet.MaxMeters))
	f.Uint64Var(&seed, "seed", 1, "rehearsal: number that decides everything random of the meters")
	f.Float64Var(&n.Speed, "speed", 300, "rehearsal: how many times faster than real time the clocks run")
	f.StringVar(&n.DCC, "dcc", defaultDUIS, "rehearsal: address of the simulated DCC's services")
	f.StringVar(&n.SMKI, "smki", defaultSMKI, "rehearsal: address of its SMKI service")
	f.StringVar(&n.Control, "control", defaultControl, "rehearsal: address of its control API")
	f.StringVar(&n.Inbox, "inbox", strings.SplitN(defaultInbox, "/", 2)[0], "address that answers come to")
	f.StringVar(&n.Operations, "operations", defaultOperations, "address of page, status and orders")
	f.BoolVar(&asJSON, "json", false, "one line of JSON")
	return c
}

// make makes the folder, and returns the names of its files. It never writes into a folder that
// is not empty. If it cannot finish, it removes what it made.
func (n *night) make(dir string, rehearsal bool, seed uint64) (made []string, err error) {
	if !(n.Speed > 0) {
		return nil, failWith(exitUsage, fmt.Errorf("--speed %g: must be over 0", n.Speed))
	}
	_, absent := os.Stat(dir)
	if err := newFolder(dir); err != nil {
		return nil, err
	}
	defer func() {
		if err == nil {
			return
		}
		entries, _ := os.ReadDir(dir)
		for _, e := range entries { // all of them are ours: it was empty
			err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
		}
		if errors.Is(absent, fs.ErrNotExist) {
			err = errors.Join(err, os.Remove(dir))
		}
	}()
	kind := "live"
	if rehearsal {
		kind = "rehearsal"
		if err := n.rehearse(dir, seed); err != nil {
			return nil, err
		}
	} else if err := places(dir); err != nil {
		return nil, err
	}
	n.Own = n.DCC != defaultDUIS || n.SMKI != defaultSMKI || n.Control != defaultControl || !strings.HasPrefix(defaultInbox, n.Inbox+"/")
	if err := n.fill(dir, kind); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		made = append(made, e.Name())
	}
	return made, failWith(exitFailed, err)
}

// rehearse makes what only a rehearsal may have made for it: keys, meters, a direction,
// counters.
func (n *night) rehearse(dir string, seed uint64) error {
	in := func(name string) string { return filepath.Join(dir, name) }
	population, err := fleet.Generate(fleet.Options{Meters: n.Meters, Seed: seed})
	if err != nil {
		return failWith(exitUsage, err)
	}
	n.Supplier = smki.TestSupplier.String()
	if _, err := rehearsal.WritePKI(in("pki"), smki.TestFolder{}); err != nil {
		return err
	}
	if err := writeFleet(population, in("fleet.csv"), in("portfolio.csv")); err != nil {
		return err
	}
	now := time.Now().UTC()
	if rehearsal.Morning(now) {
		n.LateWindowEnds = rehearsal.LateWindowEnds
	}
	today := now.Truncate(24 * time.Hour)
	if err := rehearsal.WriteDirection(in("direction.yaml"), smki.TestSupplier, n.Meters, today); err != nil {
		return err
	}
	if err := signFile(in("direction.yaml"), in("pki/staff/rita")); err != nil {
		return err
	}
	return makeDir(in("custody"))
}

// places makes the folders that a live night's keys and certificates go into, and puts the
// commented examples beside them.
func places(dir string) error {
	for _, name := range []string{"pki/supplier", "pki/dcc", "pki/ca", "tls", "examples"} {
		if err := makeDir(filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return fs.WalkDir(config.Examples, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fs.ReadFile(config.Examples, name)
		if err != nil {
			return failWith(exitFailed, err)
		}
		return writeFile(filepath.Join(dir, "examples", name), 0o600, durable.Bytes(text))
	})
}

// fill writes the templates of a kind of night.
func (n *night) fill(dir, kind string) error {
	all, err := template.ParseFS(folderFiles, "folder/"+kind+"/*")
	if err != nil {
		return failWith(exitFailed, err)
	}
	for _, t := range all.Templates() {
		var text bytes.Buffer
		if err := t.Execute(&text, n); err != nil {
			return failWith(exitFailed, err)
		}
		name := t.Name()
		if name == "README" {
			name = "README.md"
		}
		if err := writeFile(filepath.Join(dir, name), 0o600, durable.Bytes(text.Bytes())); err != nil {
			return err
		}
	}
	return nil
}
