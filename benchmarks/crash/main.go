// Crash kills a sweep again and again, and compares what is left with the truth.
//
//	go run ./benchmarks/crash --kills 300 --meters 2000 --seed 1
//
// It builds safemode with the tag crashtest, runs the simulated DCC and the sweep as
// processes, and kills the sweep with SIGKILL: half of the times at a random instant,
// half of the times exactly before or after a durable step (a commit, an append, a
// counter, a POST), at a random one. Each time the same command is started again. Crash is
// a proxy between the sweep and the DCC, both ways, and keeps the digests of all bodies. In the
// end it compares what was on the wire with the journal, the report and the simulator's meters:
//
//	counters_reused     two messages under one counter, on the wire or in the journal,
//	                    or messages on the wire that the journal does not have
//	responses_lost      deliveries answered with 204 that the journal does not have
//	double_effects      commands that meters refused as replays, or carried out more
//	                    often than they were signed
//	verdict_mismatches  meters whose verdict is not what the simulator says of them
//	orders_lost         orders that were answered and that the journal does not have
//	sent_to_excluded    POSTs for a meter after the order to leave it alone was answered
//	limit_excess        POSTs by which the worst window exceeds the limit and its burst; those
//	                    of a fifth of a second are attributed to the machine's timing
//
// All the time an operator gives orders: pauses and their ends, meters that are to be left
// alone or asked again. The DCC's anomaly detection quarantines requests, and the operator has
// them released or deleted. Half-way keys are replaced: those of half of the devices, and
// the one that signs for the DCC, which the configuration gets later. A sweep that halts
// because of that goes on when two people have approved.
//
// The keys are with a signer in a process of its own, which is killed as well, every few
// seconds; its log is audited with the journal.
//
// # Two machines
//
//	go run ./benchmarks/crash --store postgres --nodes 2 --kills 200 --meters 2000 --seed 1
//
// It starts a PostgreSQL cluster, whose programs must be installed. --nodes 2 gives the
// sweep two machines with the same command. Each has a connection of its own to the database,
// and a balancer is in front of their inboxes. The active machine is killed as above, and the
// other takes over; a machine that has died is started again and stands by. Once in a while one
// of these is done to the active machine: it is suspended until the other has sent something,
// and a second longer; it is cut off from the database for as long; its connections to the
// database are broken; it is suspended or cut off for less than the lease. A machine that was
// away for longer than the lease must end by itself. Moreover:
//
//	sent_when_fenced    messages that nobody had sent before, by a machine after another
//	                    had sent its first
//	first_send_*        from a kill, a suspension or a cut to the first POST of the other machine: with --lease 10s
//	                    at most 15 s are wanted
//
// A lease (--lease) is real time, and the clocks of the night run faster. While no machine is
// active the night goes on: answers wait, reads grow old. The clocks run so fast (--speed) that
// a takeover takes less than a read is fresh for, which is 30 minutes: 120 times with a lease
// of 10 s. With a higher speed meters are read again and again; the promises are the same.
// There are 60 POSTs a second, so that there is enough work.
//
// With --resume it kills nothing. It measures how long a sweep with half of the meters done
// takes from its start to its first POST.
//
// All random choices come from the seed. The machine's timing decides where a random instant
// falls; that is printed, kill by kill.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// Result is what is printed with --json.
type Result struct {
	Kills             int    `json:"kills"`
	SignerKills       int    `json:"signer_kills"`
	Halts             int    `json:"halts"` // by itself, for want of the DCC's second certificate
	CountersReused    int    `json:"counters_reused"`
	ResponsesLost     int    `json:"responses_lost"`
	DoubleEffects     int    `json:"double_effects"`
	VerdictMismatches int    `json:"verdict_mismatches"`
	OrdersLost        int    `json:"orders_lost"`
	SentToExcluded    int    `json:"sent_to_excluded"`
	Meters            int    `json:"meters"`
	Seed              uint64 `json:"seed"`

	Posts      int            `json:"posts"`     // different messages that the DCC was sent
	Repeated   int            `json:"repeated"`  // POSTs of the same bytes
	Delivered  int            `json:"delivered"` // different messages that the inbox answered with 204
	Released   int            `json:"released"`  // requests in quarantine that were released
	Deleted    int            `json:"deleted"`   // those that were deleted
	LeftAlone  int            `json:"left_alone"`
	Orders     map[string]int `json:"orders"` // that the sweep has carried out, by its word
	AuditHolds bool           `json:"audit_holds"`
	Verdicts   map[string]int `json:"verdicts"`
	At         map[string]int `json:"killed_at"` // kills by point
	Seconds    float64        `json:"seconds"`

	Nodes       int     `json:"nodes"`
	Speed       int     `json:"speed"`
	LimitExcess float64 `json:"limit_excess"` // POSTs in the worst window beyond the limit and its burst
	leeway      float64 // of these

	// For two machines.
	Suspended      int     `json:"suspended"`        // longer than the lease
	CutOff         int     `json:"cut_off"`          // from the database, longer than the lease
	Disturbed      int     `json:"disturbed"`        // suspended or cut off for a moment
	Fenced         int     `json:"fenced"`           // runs that ended because they had lost the sweep
	SentWhenFenced int     `json:"sent_when_fenced"` // new messages of such a run after another had sent
	FirstSendMax   float64 `json:"first_send_max_seconds"`
	FirstSendP50   float64 `json:"first_send_p50_seconds"`
}

func (r Result) holds() bool {
	return r.CountersReused == 0 && r.ResponsesLost == 0 && r.DoubleEffects == 0 && r.VerdictMismatches == 0 &&
		r.OrdersLost == 0 && r.SentToExcluded == 0 && r.SentWhenFenced == 0 &&
		r.LimitExcess <= r.leeway && r.AuditHolds
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx)
	stop()
	os.Exit(code)
}

func run(ctx context.Context) int {
	var o setup
	flag.IntVar(&o.kills, "kills", 20, "how often the sweep is killed")
	flag.IntVar(&o.meters, "meters", 200, "meters of the fleet")
	flag.Uint64Var(&o.seed, "seed", 1, "seed of keys, fleet, faults and kills")
	asJSON := flag.Bool("json", false, "print the result as one line of JSON")
	flag.BoolVar(&o.measured, "resume", false, "kill nothing: measure the time from a start to the first POST with half of the meters done")
	flag.StringVar(&o.keep, "keep", "", "folder for the files, kept; default a temporary one, removed when all holds")
	kind := flag.String("store", "file", "where the journal is: file, or postgres, of which one is started")
	flag.IntVar(&o.nodes, "nodes", 1, "machines: with 2 the other one takes over, and the way to the database is cut; needs --store postgres")
	flag.DurationVar(&o.lease, "lease", 10*time.Second, "with 2 machines: the lease on the journal, at least 1s")
	flag.IntVar(&o.speed, "speed", 0, "how many times faster than real time the clocks run; 0: 600, and with 2 machines so many that a takeover is shorter than a read is fresh")
	flag.Parse()
	o.database = *kind == "postgres"
	if fault := o.check(*kind, flag.Args()); fault != "" {
		fmt.Fprintln(os.Stderr, "crash: "+fault)
		return 2
	}
	start := time.Now()
	s, err := newScene(ctx, o)
	r := Result{Meters: o.meters, Seed: o.seed, At: map[string]int{}, Nodes: o.nodes, Speed: o.clocks(), leeway: float64(o.pace()) / 5}
	var printed any = &r
	switch {
	case err != nil:
	case o.measured:
		printed, err = s.resume(ctx)
	default:
		err = s.crash(ctx, &r)
		r.Seconds = time.Since(start).Seconds()
	}
	s.close()
	line, bad := json.Marshal(printed)
	if err := errors.Join(err, bad); err != nil {
		fmt.Fprintf(os.Stderr, "crash: %v (seed %d, files in %s)\n", err, o.seed, s.dir)
		return 1
	}
	if !*asJSON && !o.measured {
		if r.Nodes > 1 {
			fmt.Printf("first message after a kill: at most %.1f s, half of the times at most %.1f s; lease %v; %d suspended and %d cut off for longer, %d runs fenced, %d new messages of these\n",
				r.FirstSendMax, r.FirstSendP50, o.lease, r.Suspended, r.CutOff, r.Fenced, r.SentWhenFenced)
		}
		fmt.Printf("%d kills, %d meters, seed %d: %d counters reused, %d responses lost, %d double effects, %d verdicts that differ from the truth\n",
			r.Kills, r.Meters, r.Seed, r.CountersReused, r.ResponsesLost, r.DoubleEffects, r.VerdictMismatches)
	}
	fmt.Println(string(line))
	if !o.measured && !r.holds() {
		fmt.Fprintf(os.Stderr, "crash: a promise is broken; files in %s\n", s.dir)
		return 4
	}
	if o.keep == "" {
		_ = os.RemoveAll(s.dir) // temporary
	}
	return 0
}

// check says what is wrong with the command line.
func (s *setup) check(kind string, rest []string) string {
	switch {
	case s.kills < 0 || s.meters < 1 || s.speed < 0 || len(rest) > 0:
		return "want --kills of 0 or more, --meters of 1 or more, --speed of 0 or more, and nothing else"
	case kind != "file" && kind != "postgres":
		return "want --store file or --store postgres"
	case s.nodes < 1 || s.nodes > 2 || s.nodes == 2 && !s.database:
		return "want --nodes 1, or --nodes 2 and --store postgres"
	case s.lease < time.Second:
		return "want --lease of 1s or more"
	case s.measured && (s.nodes > 1 || s.database):
		return "--resume measures one machine with a file"
	}
	return ""
}

// crash runs the whole.
func (s *scene) crash(ctx context.Context, r *Result) error {
	fmt.Fprintf(os.Stderr, "crash: clocks run %d times faster than real time, at most %d POSTs a second\n", s.clocks(), s.pace())
	person := newOperator(s, s.seed)
	awake, rest := context.WithCancel(ctx)
	var night sync.WaitGroup
	night.Go(func() { person.run(awake) })
	var signer error
	night.Go(func() { r.SignerKills, signer = s.killSigners(awake, rand.New(rand.NewPCG(s.seed, 17))) })
	d := director{s: s, r: r, random: rand.New(rand.NewPCG(s.seed, 6))}
	err := d.run(ctx)
	rest()
	night.Wait()
	if err := errors.Join(err, signer); err != nil {
		return err
	}
	return s.judge(ctx, person, r)
}
