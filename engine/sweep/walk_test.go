package sweep_test

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"safemode/engine/ledger"
	"safemode/engine/record"
	"safemode/engine/sweep"
	"safemode/servicerequests"
)

var (
	walkSteps = flag.Int("walk.steps", 80_000, "steps of the machine that TestWalks takes at random; .ci/run takes 400000, the long form is 10000000")
	walkOnce  = flag.Int("walk.once", 30_000, "steps that TestWalks takes with one thing going wrong, each at each step; .ci/run takes 150000; 0: all")
	walkSeed  = flag.Uint64("walk.seed", 1, "seed of TestWalks")
	walkPlain = flag.Bool("walk.noshrink", false, "print the way to a violation as it was found")
	walkShow  = flag.Bool("walk.show", false, "print what happens on the way of -walk.seed")
)

// chooser decides whatever a walk leaves open. Choice 0 is what goes well. The homes and
// settings are drawn by seed; beyond that a script says what goes otherwise, or chance.
type chooser struct {
	draws  *rand.Rand
	random *rand.Rand // nil: the script alone
	script map[int]int
	heat   float64 // how likely a mishap is, where chance decides

	drawing bool
	log     []chosen
	mishaps int // so far
	budget  int // that are left
}

type chosen struct {
	name string
	of   int
	is   int
	evil bool // a mishap
}

// choose picks one of n.
func (c *chooser) choose(name string, n int) int {
	if c.drawing {
		return c.draws.IntN(n)
	}
	return c.decide(name, n, false)
}

func (c *chooser) decide(name string, n int, evil bool) int {
	is, scripted := c.script[len(c.log)]
	switch {
	case scripted && is < n:
	case scripted || c.random == nil || n < 2:
		is = 0
	case evil && c.random.Float64() >= c.heat:
		is = 0
	case evil:
		is = 1 + c.random.IntN(n-1)
	default:
		is = c.random.IntN(n)
	}
	if evil && is > 0 {
		if c.budget == 0 {
			is = 0
		} else {
			c.mishaps++
			c.budget--
		}
	}
	c.log = append(c.log, chosen{name, n, is, evil})
	return is
}

// mishap says whether something goes wrong.
func (c *chooser) mishap(name string) bool { return c.decide(name, 2, true) == 1 }

// fault is what goes wrong, empty if nothing does.
func (c *chooser) fault(name string, kinds ...string) string {
	if i := c.decide(name, 1+len(kinds), true); i > 0 {
		return kinds[i-1]
	}
	return ""
}

func pick[T any](w *world, name string, from ...T) T { return from[w.choose(name, len(from))] }

// progress does the next thing that can be done, and says whether there was one.
func (w *world) progress() bool {
	late := func(left *int) bool {
		if *left > 0 {
			*left--
			return true
		}
		return false
	}
	arriving := slices.IndexFunc(w.flights, func(f flight) bool { _, held := w.heldBack[f.id]; return !held })
	switch {
	case len(w.fenced) > 0 && w.choose("who goes on", 2) == 0:
		return w.wake()
	case len(w.waiting) > 0:
		e := w.waiting[0]
		w.waiting = w.waiting[1:]
		w.happen(e)
	case len(w.done) > 0 && !late(&w.slow):
		d := w.done[0]
		w.done = w.done[1:]
		w.happen(d)
	case len(w.halves) > 0 && !(w.stalled && w.halves[0].at == "stalled disk"):
		w.advance(0)
		if w.turns && len(w.halves) > 1 {
			w.halves = append(w.halves[1:], w.halves[0])
		}
	case len(w.inbox) > 0 && !w.stalled && !w.failed:
		w.deliver(0)
	case len(w.stored) > 0 && !late(&w.deaf):
		w.prove(0)
	case arriving >= 0 && !late(&w.asleep):
		w.arrive(arriving)
	case w.stalled:
		w.now = w.now.Add(20 * time.Second)
		w.happen(sweep.Tick{Real: w.now})
		w.stalled = false
	case len(w.done) > 0 || len(w.stored) > 0 || arriving >= 0:
	default:
		return w.wait()
	}
	return true
}

// wait lets time pass until the machine has something to do. People do what only they can
// when nothing else happens within an hour, and once a day: an armed home is read every
// hour. It is false if nobody can do anything.
func (w *world) wait() bool {
	next := w.machine.Next()
	idle := next.Sub(w.now) > time.Hour || next.IsZero() || w.now.Sub(w.looked) > 24*time.Hour
	if ended, _ := w.machine.Ended(); idle && !ended && w.machine.Halt() == nil {
		if w.person() {
			return true
		}
		w.looked = w.now
	}
	switch {
	case !next.IsZero():
		w.now = w.now.Add(max(next.Sub(w.now), time.Millisecond))
	case w.machine.Halt() != nil:
		w.now = w.now.Add(time.Minute)
	default:
		return false
	}
	w.happen(sweep.Tick{Real: w.now})
	return true
}

// person does what waits for one, and says whether there was anything.
func (w *world) person() bool {
	if len(w.heldBack) > 0 {
		w.release()
		return true
	}
	st := w.machine.Status(w.now)
	for _, ref := range append(st.Delete, st.Quarantine...) { // the DCC holds nothing back any more
		return w.order(record.OrderBody{Action: record.OrderDeleted, Reference: ref})
	}
	if len(w.holds) > 0 {
		o := w.holds[0]
		return w.order(record.OrderBody{Action: record.OrderResume, Region: o.Region, Wave: o.Wave, SRV: o.SRV})
	}
	return false
}

// release has the DCC release what it holds back, or delete what it is told to.
func (w *world) release() {
	st := w.machine.Status(w.now)
	id := slices.MinFunc(slices.Collect(maps.Keys(w.heldBack)), func(a, b servicerequests.RequestID) int { return int(a.Counter) - int(b.Counter) })
	event := w.heldBack[id]
	delete(w.heldBack, id)
	if !slices.Contains(st.Delete, event) && w.choose("delete", 2) == 0 {
		return
	}
	w.flights = slices.DeleteFunc(w.flights, func(f flight) bool { return f.id == id })
	w.order(record.OrderBody{Action: record.OrderDeleted, Reference: event})
}

// walk goes on until nothing is left to be done, and returns what is broken.
func (w *world) walk(show func(string)) (v *violation) {
	defer func() {
		for _, l := range slices.Concat(w.halves, w.fenced) {
			l.end()
		}
		if r := recover(); r != nil {
			found, ok := r.(*violation)
			if !ok {
				panic(r)
			}
			v = found
		}
	}()
	runs := 0
	for {
		w.steps++
		if w.steps > 1500 {
			w.budget = 0
		}
		if w.steps > 30_000 {
			w.broken(goodEnd, "no end at %v: %s", w.now.Sub(start), w.machine.Tell())
		}
		if i := w.decide("accident", 1+len(accidents), true); i > 0 {
			a := accidents[i-1]
			if could := a.do(w); show != nil {
				show(fmt.Sprintf("%v %s (%t)", w.now.Sub(start), a.name, could))
			}
		}
		ended, err := w.machine.Ended()
		if !ended {
			if !w.progress() {
				w.broken(goodEnd, "nobody looks again: %s", w.machine.Tell())
			}
			continue
		}
		w.perform(w.machine.Close(w.now))
		if runs++; show != nil {
			show(fmt.Sprintf("%v ended: %v", w.now.Sub(start), err))
		}
		if errors.Is(err, sweep.ErrCeased) {
			return nil
		}
		if err == nil && len(w.inbox) == 0 && len(w.stored) == 0 && len(w.flights) == 0 {
			w.judge.conclude(w)
			return nil
		}
		if runs > 40 {
			w.budget = 0
		}
		if runs > 100 {
			w.broken(goodEnd, "it ends again and again: %v", err)
		}
		if !w.failed {
			w.sync()
		}
		// The same command again: what came meanwhile is stored, and heard.
		if err == nil && !w.failed {
			w.stalled = false
			for n := 0; len(w.flights) > 0 && n < 100; n++ {
				clear(w.heldBack)
				w.arrive(0)
			}
			for len(w.inbox) > 0 {
				w.deliver(0)
			}
		}
		w.queued, w.last = nil, uint64(len(w.durable))
		w.boot()
	}
}

// outcome is how one walk ended.
type outcome struct {
	v     *violation
	log   []chosen
	steps int
	moves *[ledger.PhaseCount][ledger.EventCount]int
}

// oneWalk walks one way.
func oneWalk(c *chooser, show func(string)) outcome {
	var w *world
	o := outcome{moves: &[ledger.PhaseCount][ledger.EventCount]int{}}
	func() {
		defer func() {
			if r := recover(); r != nil {
				v, ok := r.(*violation)
				if !ok {
					panic(fmt.Sprintf("%v\nafter %s\n%s", r, tell(c.log), debug.Stack()))
				}
				o.v = v
			}
		}()
		w = newWorld(c)
		w.coverage = o.moves
		o.v = w.walk(show)
	}()
	if w != nil {
		o.steps = w.steps
		w.cover()
	}
	o.log = c.log
	return o
}

// tell is what went otherwise than well, in its order.
func tell(log []chosen) string {
	var b strings.Builder
	for at, c := range log {
		switch {
		case c.is == 0:
		case c.name == "accident":
			fmt.Fprintf(&b, "  %d: %s\n", at, accidents[c.is-1].name)
		default:
			fmt.Fprintf(&b, "  %d: %s: %d of %d\n", at, c.name, c.is, c.of)
		}
	}
	return b.String()
}

// shrink looks for a shorter way to the same violation.
func shrink(seed uint64, o outcome) outcome {
	again := func(script map[int]int) outcome {
		return oneWalk(&chooser{draws: draws(seed), script: script, budget: 1 << 20}, nil)
	}
	script := scriptOf(o.log)
	best := again(script)
	if best.v == nil || best.v.what != o.v.what {
		return o
	}
	for tries := 0; tries < 400; {
		shorter := false
		for _, at := range slices.Backward(slices.Sorted(maps.Keys(script))) {
			tries++
			fewer := maps.Clone(script)
			delete(fewer, at)
			if next := again(fewer); next.v != nil && next.v.what == o.v.what {
				script, best, shorter = scriptOf(next.log), next, true
				break
			}
		}
		if !shorter {
			break
		}
	}
	return best
}

func scriptOf(log []chosen) map[int]int {
	script := map[int]int{}
	for at, c := range log {
		if c.is != 0 {
			script[at] = c.is
		}
	}
	return script
}

func draws(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 1)) }

// TestWalks walks through what may happen to a sweep, with every check after every step:
// first with one thing going wrong, each at each step, and then with many, by chance. The
// whole system is its alphabet: see [accidents], Post, take and prove. A failure prints
// the invariant, the seed and the shortest way that was found.
func TestWalks(t *testing.T) {
	total := &[ledger.PhaseCount][ledger.EventCount]int{}
	fail := func(seed uint64, o outcome) {
		t.Helper()
		if !*walkPlain {
			o = shrink(seed, o)
		}
		var last []string
		oneWalk(&chooser{draws: draws(seed), script: scriptOf(o.log), budget: 1 << 20}, func(line string) { last = append(last, line) })
		t.Fatalf("seed %d: %v\n%s\n%s", seed, o.v, tell(o.log), strings.Join(last[max(0, len(last)-12):], "\n"))
	}
	add := func(o outcome) {
		for p := range o.moves {
			for e, n := range o.moves[p] {
				total[p][e] += n
			}
		}
	}
	if *walkShow {
		c := &chooser{draws: draws(*walkSeed), random: rand.New(rand.NewPCG(*walkSeed, 2)), heat: heatOf(*walkSeed), budget: 60}
		o := oneWalk(c, func(line string) { t.Log(line) })
		t.Log(o.v, o.steps)
		return
	}
	began := time.Now()
	once, ways := 0, 0
	for seed := *walkSeed; once < *walkOnce || *walkOnce == 0 && seed < *walkSeed+40; seed++ {
		base := oneWalk(&chooser{draws: draws(seed)}, nil)
		add(base)
		if base.v != nil {
			fail(seed, base)
		}
		sparse := rand.New(rand.NewPCG(seed, 3))
		for at, c := range base.log {
			rare := 40
			if c.name == "fate of a request" { // a few among hundreds of accidents
				rare = 4
			}
			for is := 1; is < c.of; is++ {
				if *walkOnce > 0 && sparse.IntN(rare) > 0 {
					continue
				}
				o := oneWalk(&chooser{draws: draws(seed), script: map[int]int{at: is}, budget: 1}, nil)
				add(o)
				once += o.steps
				ways++
				if o.v != nil {
					fail(seed, o)
				}
				if *walkOnce > 0 && once >= *walkOnce {
					break
				}
			}
		}
	}
	t.Logf("%d ways with one thing going wrong: %d states in %v", ways, once, time.Since(began).Round(time.Millisecond))
	began = time.Now()
	steps, many := 0, 0
	for seed := *walkSeed; steps < *walkSteps; seed++ {
		c := &chooser{draws: draws(seed), random: rand.New(rand.NewPCG(seed, 2)), heat: heatOf(seed), budget: 60}
		o := oneWalk(c, nil)
		add(o)
		steps += o.steps
		many++
		if o.v != nil {
			fail(seed, o)
		}
	}
	t.Logf("%d ways with many things going wrong: %d states in %v, 0 violations", many, steps, time.Since(began).Round(time.Millisecond))
	showCoverage(t, total)
}

// heatOf is how likely mishaps are on a way.
func heatOf(seed uint64) float64 { return []float64{0.002, 0.01, 0.03, 0.1, 0.3}[seed%5] }

// showCoverage prints the pairs of phase and event that were reached, and why others
// cannot be. A pair that can be and was not reached is a fault of the walk.
func showCoverage(t *testing.T, total *[ledger.PhaseCount][ledger.EventCount]int) {
	reached, possible := 0, 0
	var missing []string
	for p := range ledger.Phase(ledger.PhaseCount) {
		for e := range ledger.Event(ledger.EventCount) {
			yes, why := ledger.Possible(p, e)
			n := total[p][e]
			switch {
			case yes && n == 0:
				missing = append(missing, fmt.Sprintf("%v, %v", p, e))
				fallthrough
			case yes:
				possible++
				if n > 0 {
					reached++
				}
				t.Logf("%-9v %-12v %d", p, e, n)
			case n > 0:
				t.Errorf("%v, %v: impossible, and came %d times", p, e, n)
			default:
				t.Logf("%-9v %-12v impossible: %s", p, e, why)
			}
		}
	}
	t.Logf("%d of %d possible pairs of phase and event reached; not: %s", reached, possible, strings.Join(missing, "; "))
}
