package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"safemode/cmd/rehearsal"
	"safemode/config"
	"safemode/config/faults"
	"safemode/devicesim"
	"safemode/devicesim/fault"
	"safemode/devicesim/fleet"
	"safemode/devicesim/meter"
	"safemode/servicerequests/clock"
	"safemode/servicerequests/safefile"
	"safemode/servicerequests/smki"
)

// Default addresses. Those of DUIS and SMKI are DCC Boxed's, so that what was
// tried there finds them here.
const (
	defaultDUIS    = "127.0.0.1:8079"
	defaultSMKI    = "127.0.0.1:8083"
	defaultControl = "127.0.0.1:8088"
	defaultInbox   = "127.0.0.1:8089/smartdcc/duis"
)

func newSim(io stdio) *cobra.Command {
	var fleetFile, pkiDir, listen, smkiListen, control, respondTo, profileName, transfers string
	var meters int
	var seed uint64
	var speed float64
	var living, mutual, verbose bool
	var press pressFlag
	var deliveries int
	var leastLatency time.Duration
	c := &cobra.Command{
		Use:   "sim (--fleet FILE | --meters N --seed S) --pki DIR",
		Short: "The simulated DCC and its meters as a server",
		Long: `Serves a simulated DCC (Transform, Send Command and Non-Device services, the SMKI
service) with meters behind it, until it is interrupted. It takes test keys only.
Latencies, wake intervals and retry windows are assumptions: no public source
gives them. Meters of a generated fleet use energy, run out and send alerts, and
consumers press, take emergency credit and top up, by habits that are assumptions too.
Those of a fleet file stay as it says until they are commanded. --living has it the
other way. --tls lets in only Users that show a certificate, and shows its own to their
inbox: the certificates of the PKI folder's tls/ (see pki init). --speed runs the clocks of
DCC, hubs and meters faster; a sweep against it needs the same speed in its configuration.`,
		Example: `  safemode sim --fleet fleet.csv --pki pki
  safemode sim --meters 1000 --seed 1 --pki pki --speed 60
  safemode sim --fleet fleet.csv --pki pki --tls`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			profile, err := loadFaults(profileName)
			if err != nil {
				return err
			}
			population, err := simFleet(c, fleetFile, fleet.Options{Meters: meters, Seed: seed, OtherModels: profile.OtherModels})
			if err != nil {
				return err
			}
			folder, err := loadPKI(pkiDir, smki.LoadFolder)
			if err != nil {
				return err
			}
			if speed <= 0 {
				return failWith(exitUsage, fmt.Errorf("--speed %g: must be over 0", speed))
			}
			scheme := "http"
			var guard *tls.Config
			if mutual {
				scheme = "https"
				if guard, err = loadTestTLS(pkiDir, rehearsal.TLSDCC); err != nil {
					return failWith(exitUsage, err)
				}
			}
			if respondTo == "" {
				respondTo = scheme + "://" + defaultInbox
			}
			if u, err := url.Parse(respondTo); err != nil || u.Scheme != scheme || u.Host == "" {
				return failWith(exitUsage, fmt.Errorf("--respond-to %q: want a URL like %s://%s", respondTo, scheme, defaultInbox))
			}
			if !c.Flags().Changed("living") {
				living = fleetFile == ""
			}
			if !living && c.Flags().Changed("press") {
				return failWith(exitUsage, errPressLives)
			}
			if deliveries < 1 || leastLatency < 0 {
				return failWith(exitUsage, errors.New("--deliveries: want 1 or more; --least-latency: want 0 or more"))
			}
			log := newLogger(io.err, verbose)
			sim, err := devicesim.New(devicesim.Options{
				Fleet: population, PKI: folder, Life: life(living, press), Forgets: true, Deliveries: deliveries, LeastLatency: leastLatency,
				Clock:  clock.Clock{Anchor: time.Now(), Speed: speed},
				Faults: profile, Profiles: faults.Files, Listen: listen, SMKIListen: smkiListen, Control: control, TLS: guard, RespondTo: respondTo,
				Log: log.Named("sim"), Registerer: prometheus.NewRegistry(),
			})
			switch {
			case errors.Is(err, syscall.EADDRINUSE):
				return failWith(exitFailed, fmt.Errorf("%w; end the program that has it, or choose with --listen, --smki-listen and --control", err))
			case errors.Is(err, devicesim.ErrNotTest):
				return failWith(exitRefused, fmt.Errorf("%s: %w", pkiDir, err))
			case errors.Is(err, devicesim.ErrNotLoopback):
				return failWith(exitUsage, fmt.Errorf("--control: %w", err))
			case err != nil:
				return failWith(exitFailed, err)
			}
			fmt.Fprintf(io.err, "simulated DCC: %d meters at %g times real time\n  DUIS     %s://%s\n  SMKI     %[3]s://%[5]s\n  control  http://%[6]s\n  answers go to %[7]s\n  faults   %[8]s (its figures are assumptions)\n",
				population.Len(), speed, scheme, sim.DUISAddr(), sim.SMKIAddr(), sim.ControlAddr(), respondTo, profile.Name)
			if living {
				fmt.Fprintf(io.err, "  consumers press the button of an armed supply: %s (share and median delay, an assumption)\n", &press)
			}
			if w := wayHere(io, config.Night{}); len(w.Simulator) > 0 {
				fmt.Fprintln(io.err, "in another terminal:")
				w.say(io, w.preflight())
			}
			if transfers != "" {
				listed, err := rehearsal.WriteTransfers(transfers, sim.Leaving(), time.Now())
				if err != nil {
					return errors.Join(err, sim.Close())
				}
				fmt.Fprintf(io.err, "  %d meters are on the list of transfers, %s\n", listed, transfers)
			}
			stopping := service{func() string { return fmt.Sprintf("SIMULATOR: %d meters", population.Len()) }, func() error { return nil }}.run(c.Context())
			defer stopping()
			if err := sim.Run(c.Context()); err != nil && !errors.Is(err, context.Canceled) {
				return failWith(exitFailed, err)
			}
			return printJSON(io.out, sim.Summary())
		},
	}
	f := c.Flags()
	f.StringVar(&fleetFile, "fleet", "", "fleet file of fleet generate")
	f.IntVar(&meters, "meters", 0, "generate a fleet of so many meters instead")
	f.Uint64Var(&seed, "seed", 1, "seed of the generated fleet")
	f.StringVar(&pkiDir, "pki", "", "PKI folder of pki init, or DCC's test set in that layout")
	f.StringVar(&listen, "listen", defaultDUIS, "address of the DCC's services")
	f.StringVar(&smkiListen, "smki-listen", defaultSMKI, "address of the SMKI service")
	f.StringVar(&control, "control", defaultControl, "address of the control API; loopback only")
	f.StringVar(&respondTo, "respond-to", "", "URL that answers and alerts are POSTed to (default http://"+defaultInbox+", with --tls https)")
	f.IntVar(&deliveries, "deliveries", 64, "messages on their way to the inbox at a time")
	f.DurationVar(&leastLatency, "least-latency", 100*time.Millisecond, "how long after its acknowledgement a response comes at least, in real time")
	f.StringVar(&profileName, "faults", "calm", "fault profiles, with commas between them: ready ones' names or YAML files")
	f.StringVar(&transfers, "transfers", "", "write the list of transfers by the fault profile there, for the sweep to read")
	f.Float64Var(&speed, "speed", 1, "how many times faster than real time the clocks run")
	f.BoolVar(&living, "living", false, "energy is used, and consumers act, as time passes (default with --meters)")
	addPress(f, &press, "")
	f.BoolVar(&mutual, "tls", false, "mutual TLS with the User, both ways")
	f.BoolVar(&verbose, "verbose", false, "log every event")
	required(c, "pki")
	c.MarkFlagsMutuallyExclusive("fleet", "meters")
	c.MarkFlagsOneRequired("fleet", "meters")
	c.MarkFlagsMutuallyExclusive("fleet", "seed")
	return c
}

// livingUsage is of the flag of a rehearsal.
const livingUsage = "meters use energy and consumers act as time passes; two runs of one seed then differ by their timing"

// life is what happens to meters by themselves.
func life(living bool, press pressFlag) meter.Life {
	if !living {
		return meter.Life{}
	}
	l := meter.Lived()
	l.Press = press.Habit
	return l
}

// simFleet reads or generates the simulator's meters.
func simFleet(c *cobra.Command, file string, o fleet.Options) (*fleet.Fleet, error) {
	if !c.Flags().Changed("fleet") {
		f, err := fleet.Generate(o)
		return f, failWith(exitUsage, err)
	}
	f, err := readFile(file, safefile.Mass, safefile.Checked, fleet.ReadCSV)
	return f, failWith(exitUsage, err)
}

// loadPKI reads a PKI folder as the simulator or the engine may see it.
func loadPKI(dir string, load func(fs.FS) (*smki.Folder, error)) (*smki.Folder, error) {
	if _, err := os.Stat(dir); err != nil {
		return nil, failWith(exitUsage, fmt.Errorf("PKI folder: %w", err))
	}
	folder, err := load(safefile.Dir(dir))
	if err != nil {
		return nil, failWith(exitUsage, fmt.Errorf("%s: %w", dir, err))
	}
	return folder, nil
}

// loadFaults finds fault profiles, with commas between them, and makes one of them: each
// a ready one's name, or a file.
func loadFaults(names string) (fault.Profile, error) {
	profile, err := fault.Named(faults.Files, names)
	if err == nil {
		return profile, nil
	}
	var texts [][]byte
	for name := range strings.SplitSeq(names, ",") {
		text, ready := fs.ReadFile(faults.Files, name+".yaml")
		if ready != nil {
			var unread error
			if text, unread = safefile.Read(name, safefile.Small, safefile.Checked); errors.Is(unread, os.ErrNotExist) {
				return profile, failWith(exitUsage, fmt.Errorf("--faults %s: no such file, and %w", name, err))
			} else if unread != nil {
				return profile, failWith(exitUsage, unread)
			}
		}
		texts = append(texts, text)
	}
	if profile, err = fault.Combine(texts...); err != nil {
		return profile, failWith(exitUsage, fmt.Errorf("%s: %w", names, err))
	}
	return profile, nil
}
