// Command cost measures what one critical Service Request costs, and how far that is from the
// cost of its cryptography alone. It measures the same for the first contact with a meter, and
// for a whole home as a sweep does it.
//
//	go run ./benchmarks/cost [--requests N] [--homes N] [--meters M] [--json]
//
// It starts two processes of itself: the simulated DCC with its meters, and the engine with
// a plan of M electricity meters. They talk as on the night: loopback HTTP, DUIS XML, XMLDSig,
// GBCS, the SMKI service. The engine's journal is durable, its pacer and its circuits are on.
// The engine is the real one, opened and run as safemode sweep does it.
//
// # What is counted
//
// First comes the contact with the meters. For each of them the engine's directory asks the
// SMKI service for the device's two certificates and verifies them; the simulator makes
// the device's keys from the seed and issues both certificates.
//
// Then comes one critical request (SRV 1.6 to Credit) for each of these meters, whose keys are
// now known: Transform, its Pre-Command, Send Command, its acknowledgement, the device's
// Response at the inbox, the outcome and the verdict in the journal. The direction is narrowed
// to 1.6, so there are no reads.
//
// Last come whole homes, with two new processes: all that a sweep does for a new meter, which
// is its contact, its reads and its critical request. All homes are read before the first is
// switched, so the marks are the start and the end of a whole sweep.
//
// CPU is user plus system time of a whole process between two marks. For requests, the first
// mark is set after a warm-up, a tenth of N requests and at least 100, and the second after N more.
//
// # The floor
//
// The floor is the bare public-key cryptography that neither side can leave out. It is timed
// in the same process during the same seconds: a thread of its own does one operation of
// each kind every few milliseconds and reads its own CPU clock. Its time is subtracted from
// the process's. Hashes, MACs, XML and HTTP are not in the floor. The floor of one XML signature,
// which is measured by itself, is ECDSA and SHA-256 of the bytes that are digested.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"time"

	"safemode/engine/heap"
	"safemode/servicerequests/smki"
)

// options are what the command line says; both children get them.
type options struct {
	Requests int
	Homes    int // instead of requests, or beside them; 0: none
	Meters   int
	Reads    bool // whole homes are swept, reads included, and no meter is met before
	Rate     float64
	InFlight int
	Workers  int
	Seed     uint64
	Profile  string // folder; empty: none
	Postgres string // address of a sweep that is not there yet; empty: none

	Dir       string // of the run: PKI, plan, journal, custody
	DUIS      string // the simulator's addresses, for the engine
	SMKI      string
	GCPercent int
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := run(ctx, os.Args[1:])
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "cost:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 2 && args[0] == roleFlag {
		return runRole(ctx, args[1])
	}
	var o options
	var asJSON, keep bool
	var against, table string
	f := flag.NewFlagSet("cost", flag.ContinueOnError)
	f.IntVar(&o.Requests, "requests", 10_000, "critical Service Requests between the marks")
	f.IntVar(&o.Meters, "meters", 0, "meters in the plan (default just enough)")
	f.IntVar(&o.Homes, "homes", -1, "homes of a whole sweep; 0: none (default a quarter of the requests)")
	f.Float64Var(&o.Rate, "rate", 20_000, "the pacer's limit for User and region, POSTs a second")
	f.IntVar(&o.InFlight, "in-flight", 128, "open requests in one region")
	f.IntVar(&o.Workers, "workers", 64, "POSTs under way at once, for each DCC service")
	f.Uint64Var(&o.Seed, "seed", 1, "seed of keys and meters")
	f.IntVar(&o.GCPercent, "gogc", 0, "GOGC of both processes, in place of package heap's rule")
	f.StringVar(&o.Profile, "profile", "", "folder for CPU and memory profiles of all processes between the marks")
	f.StringVar(&o.Postgres, "postgres", "", "address (postgres://...?sweep=NAME) of a new sweep, into which the journal's records are written as well")
	f.BoolVar(&asJSON, "json", false, "print one line of JSON instead of the table")
	f.StringVar(&table, "table", "", "file to write the table to as well")
	f.StringVar(&against, "against", "", "recorded result: fail where a ratio is over a quarter worse than in it")
	f.BoolVar(&keep, "keep", false, "keep the run's folder and say where it is")
	if err := f.Parse(args); err != nil {
		return err
	}
	if f.NArg() > 0 || o.Requests < 1 {
		return errors.New("want --requests 1 or more, and no arguments; see --help")
	}
	if o.Homes < 0 {
		o.Homes = max(1, o.Requests/4)
	}
	if o.Meters == 0 {
		o.Meters = o.needed()
	}
	if most := o.Meters - o.warmup() - o.spare(); o.Requests > most {
		return fmt.Errorf("--meters %d: each meter takes one critical request, and a tenth of them warms up: want --requests %d or less", o.Meters, most)
	}
	if runtime.GOOS != "linux" {
		return errors.New("reads CPU clocks and peak memory as Linux has them; run it there")
	}
	var err error
	if o.Dir, err = os.MkdirTemp("", "safemode-cost-"); err != nil {
		return err
	}
	if keep {
		fmt.Fprintln(os.Stderr, "files in", o.Dir)
	} else {
		defer func() { _ = os.RemoveAll(o.Dir) }()
	}
	if o.Profile != "" {
		if o.Profile, err = filepath.Abs(o.Profile); err != nil {
			return err
		}
	}
	var recorded *result
	if against != "" {
		if recorded, err = readRecorded(against); err != nil {
			return err
		}
	}
	m, err := measure(ctx, o)
	if err != nil {
		return err
	}
	r := m.result()
	var text bytes.Buffer
	err = m.table(&text, r)
	if err == nil && table != "" {
		err = os.WriteFile(table, text.Bytes(), 0o644)
	}
	switch {
	case err != nil:
		return err
	case asJSON:
		err = json.NewEncoder(os.Stdout).Encode(r)
	default:
		_, err = text.WriteTo(os.Stdout)
	}
	if err != nil || recorded == nil {
		return err
	}
	return r.against(recorded)
}

// warmup is how many requests end before the first mark.
func (o options) warmup() int { return max(100, o.Requests/10) }

// spare is how many meters more there are, so that both sides are still at work at
// the last mark.
func (o options) spare() int { return 8 * o.InFlight }

// needed is how many meters begin before the last mark, at most.
func (o options) needed() int { return o.warmup() + o.Requests + o.spare() }

// measurement is everything that one run has shown.
type measurement struct {
	options
	requests outcome
	homes    outcome // zero if none were swept
	xml      xmlRatio
	journal  journalFacts
}

// outcome is what two processes have shown.
type outcome struct {
	contact, work part
	facts         runFacts
	engineRSS     int64 // bytes, at most
	simulatorRSS  int64
}

// part is what both processes used between two marks.
type part struct{ engine, simulator usage }

// runFacts is what the engine knows of its own run.
type runFacts struct {
	Met      int           // meters, between the marks of the contact
	Critical int           // requests that ended between the marks
	Reads    int           // likewise
	Contacts int           // with meters that the engine did not know, between the marks
	Wall     time.Duration // between the marks
	Failed   int           // requests that ended as anything but success
	Commits  float64       // transactions of the journal
	Opening  usage         // Open: the plan read and journalled
	Records  uint64        // of the journal, at the end
}

// measure makes all the measurements.
func measure(ctx context.Context, o options) (m *measurement, err error) {
	m = &measurement{options: o}
	o.Dir = filepath.Join(o.Dir, "requests")
	if m.requests, err = play(ctx, o); err != nil {
		return nil, err
	}
	if m.journal, err = measureJournal(ctx, o, m.requests.facts); err != nil {
		return nil, err
	}
	if o.Homes > 0 {
		h := o
		h.Dir, h.Reads, h.Requests = filepath.Join(m.Dir, "homes"), true, o.Homes
		h.Meters = o.Homes // all of them, from the first POST to the last verdict
		if m.homes, err = play(ctx, h); err != nil {
			return nil, err
		}
		kept, err := os.Stat(h.journal())
		if err != nil {
			return nil, err
		}
		m.journal.Kept = float64(kept.Size()) / float64(h.Meters)
	}
	m.xml, err = measureXML()
	return m, err
}

// play prepares a run, starts both processes and collects what they say.
func play(ctx context.Context, o options) (r outcome, err error) {
	if err := prepare(o); err != nil {
		return r, err
	}
	simulator, err := startRole(ctx, "simulator", o)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, simulator.end()) }()
	var at addresses
	if err := simulator.receive(&at); err != nil {
		return r, err
	}
	o.DUIS, o.SMKI = at.DUIS, at.SMKI
	engine, err := startRole(ctx, "engine", o)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, engine.end()) }()
	if !o.Reads {
		if r.contact, err = between(engine, simulator); err != nil {
			return r, err
		}
	}
	var inbox string
	if err := engine.receive(&inbox); err != nil {
		return r, err
	}
	if err := simulator.ask(order{RespondTo: inbox}, nil); err != nil {
		return r, err
	}
	if err := engine.send(order{}); err != nil {
		return r, err
	}
	if r.work, err = between(engine, simulator); err != nil {
		return r, err
	}
	if err := engine.receive(&r.facts); err != nil {
		return r, err
	}
	if err := engine.receive(&r.engineRSS); err != nil {
		return r, err
	}
	return r, simulator.ask(order{Peak: true}, &r.simulatorRSS)
}

// between collects what both processes used between the engine's next two marks.
func between(engine, simulator *role) (p part, err error) {
	var marks [2][2]usage
	for i := range marks {
		if err := engine.receive(&marks[i][0]); err != nil {
			return p, err
		}
		if err := simulator.ask(order{Mark: true}, &marks[i][1]); err != nil {
			return p, err
		}
		if err := engine.send(order{}); err != nil {
			return p, err
		}
	}
	return part{marks[1][0].since(marks[0][0]), marks[1][1].since(marks[0][1])}, nil
}

// prepare writes the PKI and the plan of a run.
func prepare(o options) error {
	files, err := smki.TestFolder{Seed: fmt.Appendf(nil, "cost %d", o.Seed)}.Files()
	if err != nil {
		return err
	}
	for name, text := range files {
		path := filepath.Join(o.Dir, "pki", filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(path, text, 0o600); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Join(o.Dir, "custody"), 0o700); err != nil {
		return err
	}
	return savePlan(o)
}

// role is a process of this program that plays one side.
type role struct {
	name    string
	command *exec.Cmd
	in      io.WriteCloser
	enc     *json.Encoder
	dec     *json.Decoder
}

// order is what a role is told. The zero order is to go on.
type order struct {
	RespondTo string // the simulator: the engine's inbox
	Mark      bool   // the simulator: say what was used so far
	Peak      bool   // the simulator: say how much memory was used at most
}

const roleFlag = "--role"

func startRole(ctx context.Context, name string, o options) (*role, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := exec.CommandContext(ctx, self, roleFlag, name)
	c.Stderr = os.Stderr
	if o.GCPercent != 0 {
		c.Env = append(os.Environ(), fmt.Sprintf("GOGC=%d", o.GCPercent))
	}
	in, err := c.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := c.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.Start(); err != nil {
		return nil, err
	}
	r := &role{name, c, in, json.NewEncoder(in), json.NewDecoder(out)}
	return r, r.send(o)
}

func (r *role) send(v any) error {
	if err := r.enc.Encode(v); err != nil {
		return fmt.Errorf("%s: %w", r.name, err)
	}
	return nil
}

func (r *role) receive(v any) error {
	if err := r.dec.Decode(v); err != nil {
		return fmt.Errorf("the %s has ended early: %w", r.name, err)
	}
	return nil
}

// ask sends an order and waits for what is said to it.
func (r *role) ask(o order, answer any) error {
	if err := r.send(o); err != nil {
		return err
	}
	if answer == nil {
		answer = new(json.RawMessage)
	}
	return r.receive(answer)
}

// end lets the process end and waits for it.
func (r *role) end() error {
	_ = r.in.Close() // its end of input
	if err := r.command.Wait(); err != nil {
		return fmt.Errorf("%s: %w", r.name, err)
	}
	return nil
}

// runRole plays one side. Orders come on standard input, answers go to standard
// output; the end of input ends it.
func runRole(ctx context.Context, name string) error {
	l := line{json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)}
	var o options
	if err := l.in.Decode(&o); err != nil {
		return err
	}
	heap.Grow(heap.Floor) // as safemode does
	play := playSimulator
	if name == "engine" {
		play = playEngine
	}
	return play(ctx, o, l)
}

// line is a role's connection with the process that started it.
type line struct {
	in  *json.Decoder
	out *json.Encoder
}

// mark tells what was used so far and waits until the other side is marked too.
func (l line) mark(u usage) error {
	if err := l.out.Encode(u); err != nil {
		return err
	}
	return l.in.Decode(new(order))
}
