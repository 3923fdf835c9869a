package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"safemode/engine/direction"
)

// points are where the program can be told to kill itself.
var points = [...]string{
	"before commit", "after commit", "before append", "after append",
	"before counter", "after counter", "before post", "after post", "before keep", "after keep",
}

// postsPerMeter is how many POSTs one meter takes at least, so that the work lasts for
// all kills.
const postsPerMeter = 7

// director runs the machines, and again and again kills the active one. Of two machines it also
// suspends the active one, or cuts it off from its database. It is one goroutine: while it waits
// for something it watches the machines.
type director struct {
	s      *scene
	r      *Result
	random *rand.Rand

	runs   int  // processes that were started
	ended  bool // a sweep has come to its end
	looked time.Time
	died   time.Time       // when a machine last killed itself
	after  []time.Duration // from each kill, suspension and cut to the first message of another run
}

// run kills the acting machine as often as is wanted, and lets the sweep then come to its
// end.
func (d *director) run(ctx context.Context) error {
	for d.r.Kills < d.s.kills {
		said, err := d.disturb(ctx)
		if err != nil {
			return fmt.Errorf("after kill %d of %d (%s): %w", d.r.Kills, d.s.kills, said, err)
		}
		fmt.Fprintf(os.Stderr, "kill %d: %s, %d messages on the wire\n", d.r.Kills, said, d.s.wire.different())
	}
	// The rest is one machine's: another would go on when the sweep ends, and be in the way of
	// who judges.
	d.s.ending.Store(true)
	for _, n := range d.s.machine {
		n.now.kill()
	}
	if err := d.s.renewBy(ctx); err != nil {
		return err
	}
	if err := d.until(ctx, 40*time.Minute, "the sweep ends", func() bool { return d.ended }); err != nil {
		return err
	}
	if n := len(d.after); n > 0 {
		slices.Sort(d.after)
		d.r.FirstSendMax, d.r.FirstSendP50 = d.after[n-1].Seconds(), d.after[n/2].Seconds()
	}
	return nil
}

// until tends to the machines until something holds.
func (d *director) until(ctx context.Context, longest time.Duration, what string, holds func() bool) error {
	err := poll(ctx, longest, 20*time.Millisecond, func() (bool, error) {
		if holds() {
			return true, nil
		}
		return false, d.watch(ctx)
	})
	if err != nil {
		err = fmt.Errorf("until %s: %w%s", what, err, d.told())
	}
	return err
}

// told is the last that the machines have said.
func (d *director) told() (all string) {
	for _, n := range d.s.machine {
		if n.now != nil {
			text := n.now.log.String()
			all += fmt.Sprintf("\n%s: %s", n.name, text[max(0, len(text)-1500):])
		}
	}
	return all
}

// watch starts machines that have ended, and looks which one acts.
func (d *director) watch(ctx context.Context) error {
	for i, n := range d.s.machine {
		switch {
		case n.now == nil && !d.ended && !(d.s.ending.Load() && i > 0) && time.Now().After(n.again):
			if err := d.start(n); err != nil {
				return err
			}
		case n.now != nil:
			select {
			case <-n.now.ended:
				if err := d.note(ctx, n); err != nil {
					return err
				}
			default:
			}
		}
	}
	if time.Since(d.looked) > 100*time.Millisecond {
		d.look(ctx)
		d.looked = time.Now()
	}
	return nil
}

// start starts the sweep on a machine, or has it stand by there: the same command.
func (d *director) start(n *node) (err error) {
	n.crashAt, n.died, n.disturbed = "", time.Time{}, false
	if !d.s.ending.Load() && d.random.IntN(2) == 0 {
		at := points[d.random.IntN(len(points))]
		nth := 1 + d.random.IntN(2*d.share())
		if strings.HasSuffix(at, " keep") {
			nth = 1 + d.random.IntN(3) // a few times a second
		}
		n.crashAt = fmt.Sprintf("%s:%d", at, nth)
	}
	d.runs++
	n.run.Store(int64(d.runs))
	n.now, err = d.s.sweep(n, n.crashAt)
	return err
}

// share is how many messages may go by between two kills, so that the work lasts.
func (d *director) share() int {
	return max(4, (d.s.meters*postsPerMeter-d.s.wire.different())/max(1, d.s.kills-d.r.Kills))
}

// note looks why a machine's process has ended.
func (d *director) note(ctx context.Context, n *node) error {
	p := n.now
	d.s.acting.CompareAndSwap(n, nil)
	n.now, n.again = nil, time.Now().Add(time.Duration(100+d.random.IntN(400))*time.Millisecond)
	text := p.log.String()
	switch {
	case p.err == nil:
		d.ended = true
	case killed(p.err):
		n.died, d.died = p.at, p.at
		if d.alone() && !d.s.ending.Load() { // it dies while it starts as well
			d.count(n.crashAt)
		}
	case strings.Contains(text, "messages of the DCC cannot be proven"): // it ran for longer without the second certificate than a kill should let it
		d.r.Halts++
		return d.s.goOn(ctx, n)
	case !d.alone() && fenced(text):
		d.r.Fenced++
	case n.disturbed && exitCode(p.err) == 1: // it was starting, and lost its database
	case exitCode(p.err) == 3 && strings.Contains(text, direction.ErrNotApproved.Error()): // it stood by when the other halted
	default:
		return fmt.Errorf("the sweep ended by itself on machine %s: %w: %s", n.name, p.err, text)
	}
	return nil
}

// exitCode is that of a process that has ended; -1: by a signal, or with none.
func exitCode(err error) int {
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode()
	}
	return -1
}

// fenced says whether a sweep ended because it had lost its journal to another, or may have.
func fenced(text string) bool {
	return strings.Contains(text, "another has gone on with this journal") || strings.Contains(text, "the lease on this journal could not be renewed")
}

// look finds the machine that acts.
func (d *director) look(ctx context.Context) {
	var acts *node
	for _, n := range d.s.machine {
		if n.now != nil && ready(ctx, n.operations) {
			acts = n
		}
	}
	d.s.acting.Store(acts)
}

// ready says whether a machine is ready, by its own word.
func ready(ctx context.Context, operations string) bool {
	ctx, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	_, err := get(ctx, "http://"+operations+"/readyz")
	return err == nil
}

// alone says whether there is one machine, which nobody takes over from.
func (d *director) alone() bool { return len(d.s.machine) == 1 }

// count counts a kill at a point; empty: at any instant.
func (d *director) count(at string) string {
	at, _, _ = strings.Cut(cmp.Or(at, "any instant"), ":")
	d.r.Kills++
	d.r.At[at]++
	return at
}

var errEnded = errors.New("the sweep ended before all kills: take more meters")

// disturb waits until a machine acts, lets it do its share, and does one thing to it.
func (d *director) disturb(ctx context.Context) (said string, err error) {
	kills, n := d.r.Kills, d.s.machine[0]
	starts := d.alone() && d.random.IntN(8) == 0 // now and then it dies while it starts
	acts := func() bool {
		if !starts {
			n = d.s.acting.Load()
		}
		return n != nil && n.now != nil || d.ended || d.alone() && d.r.Kills > kills
	}
	if err := d.until(ctx, 2*time.Minute, "a machine acts", acts); err != nil {
		return "", err
	}
	switch {
	case d.ended:
		return "", errEnded
	case d.r.Kills > kills:
		return "while it started", nil
	}
	run, crashAt, line := int(n.run.Load()), n.crashAt, n.line
	most := 2 * time.Second * time.Duration(d.share()) / time.Duration(d.s.pace())
	long := time.Duration(d.random.Int64N(int64(most)))
	if crashAt != "" {
		long = most + 5*time.Second // it kills itself
	}
	soon := time.Now().Add(long)
	gone := func() bool { return n.now == nil || int(n.run.Load()) != run }
	if err := d.until(ctx, time.Hour, "a share of the work", func() bool { return gone() || d.ended || time.Now().After(soon) }); err != nil {
		return "", err
	}
	switch {
	case d.ended:
		return "", errEnded
	case gone() && d.alone():
		return cmp.Or(crashAt, "it ended by itself"), nil
	case gone() && !n.died.IsZero():
		return d.taken(ctx, n, run, crashAt, n.died)
	case gone():
		return "machine " + n.name + " ended by itself", nil
	}
	what := d.random.IntN(10)
	if crashAt != "" || d.alone() {
		what = 9 // the point was not passed so often, or there is no other machine
	}
	lease := d.s.lease
	switch what {
	case 0: // it is suspended until another has taken over
		d.r.Suspended++
		return d.rests(ctx, n, run, "suspended", func() error { return n.now.command.Process.Signal(syscall.SIGSTOP) },
			func() error { return n.now.command.Process.Signal(syscall.SIGCONT) })
	case 1: // it loses the database until another has
		d.r.CutOff++
		n.disturbed = true
		return d.rests(ctx, n, run, "cut off", func() error { line.hold(); return nil }, func() error { line.release(); return nil })
	case 2: // for a moment
		d.r.Disturbed++
		n.disturbed = true
		line.cut()
		return "its connections to the database are cut", nil
	case 3:
		d.r.Disturbed++
		n.disturbed = true
		line.hold()
		defer line.release()
		return "cut off for a moment", d.wait(ctx, time.Duration(d.random.Int64N(int64(lease/2))))
	case 4:
		d.r.Disturbed++
		process := n.now.command.Process
		if err := process.Signal(syscall.SIGSTOP); err != nil {
			return "", err
		}
		err := d.wait(ctx, time.Duration(d.random.Int64N(int64(lease/2))))
		return "suspended for a moment", errors.Join(err, process.Signal(syscall.SIGCONT))
	default:
		began := time.Now()
		n.crashAt = ""
		n.now.kill()
		if d.alone() {
			return "any instant", d.watch(ctx)
		}
		return d.taken(ctx, n, run, "", began)
	}
}

// wait tends to the machines for a while.
func (d *director) wait(ctx context.Context, long time.Duration) error {
	end := time.Now().Add(long)
	return d.until(ctx, time.Hour, "a while", func() bool { return time.Now().After(end) })
}

// taken waits until another run sends after a kill, and says how long that took.
func (d *director) taken(ctx context.Context, n *node, run int, at string, since time.Time) (string, error) {
	at = d.count(at)
	took, err := d.takeover(ctx, run, since)
	return fmt.Sprintf("%s on machine %s, the first message of another after %v", at, n.name, took), err
}

// takeover waits until another run than one sends, and notes how long that took.
func (d *director) takeover(ctx context.Context, run int, since time.Time) (took time.Duration, err error) {
	first, err := d.other(ctx, run, since)
	if err != nil || first.IsZero() { // the sweep has ended
		return 0, err
	}
	if d.died.After(since) && d.died.Before(first) { // the machine that had taken over died before it sent anything
		since = d.died
	}
	took = first.Sub(since)
	d.after = append(d.after, took)
	return took.Round(time.Millisecond), nil
}

// other waits until a run but one sends.
func (d *director) other(ctx context.Context, run int, since time.Time) (first time.Time, err error) {
	sent := false
	err = d.until(ctx, 4*d.s.lease+time.Minute, "another run sends", func() bool {
		first, sent = d.s.wire.firstOther(run, since)
		return sent || d.ended
	})
	return first, err
}

// rests has a machine rest until another has taken over, and a second longer; then it must
// end by itself.
func (d *director) rests(ctx context.Context, n *node, run int, what string, begin, end func() error) (string, error) {
	since := time.Now()
	if err := begin(); err != nil {
		return what, err
	}
	took, err := d.takeover(ctx, run, since)
	if err == nil {
		err = d.wait(ctx, time.Second)
	}
	if err := errors.Join(err, end()); err != nil {
		return what, err
	}
	err = d.until(ctx, time.Minute, "it ends", func() bool { return n.now == nil || int(n.run.Load()) != run })
	return fmt.Sprintf("machine %s %s, the first message of another after %v", n.name, what, took), err
}
