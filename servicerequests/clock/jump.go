package clock

import (
	"context"
	"sync"
	"time"

	"safemode/servicerequests/priority"
)

// A jumping clock is for rehearsals: it counts as if the machine were infinitely fast. It
// stands still while there is work, and jumps to the next timer when there is none. So the
// results of a rehearsal do not depend on how busy the machine is, and it takes no longer
// than its work does.
//
// It works if all code keeps three rules:
//   - It counts work: [Clock.Begin] before work is handed over, [Clock.End] after it is done.
//   - It waits for a time by a [Timer] or [Clock.Sleep]. A timer that has fired stops the
//     clock until it is set again or stopped.
//   - While it waits for real time (a breaker's pause, a person) it says so with
//     [Clock.Steady]: meanwhile the clock does not jump and runs at its speed.
//
// The clock moves only during [Clock.Drive], so that nothing happens in a rehearsal that is
// still being prepared, or that has ended.
//
// On any other clock these methods do nothing, and timers are the system's.
type jump struct {
	speed float64

	mu     sync.Mutex
	shown  time.Time // what it shows; while it runs, what it showed at real
	runs   bool      // by itself, at its speed
	real   time.Time
	held   int // pieces of work
	drives int
	steady int
	timers priority.Heap[*Timer, byInstant]
	alarm  *time.Timer // real: for the next timer, while it runs

	// Work that does not end, because it waits for real time without [Clock.Steady], must not
	// stop a rehearsal for good.
	turns, seen int
	late        bool // the work is taken to wait
	overdue     int  // how often that was so
}

// longestWork is the real time after which work under way no longer holds a jumping clock,
// if none begins or ends meanwhile.
const longestWork = 10 * time.Second

// Jumping returns this clock started, now, as a jumping one. Copies of it are the same clock.
func (c Clock) Jumping() Clock {
	c = c.Start(time.Time{})
	j := &jump{speed: c.Speed, shown: c.Now()}
	if !c.scaled() {
		j.speed = 1
	}
	j.alarm = time.AfterFunc(time.Hour, j.ring)
	j.alarm.Stop()
	c.jump = j
	return c
}

// Jumps says whether this is a jumping clock.
func (c Clock) Jumps() bool { return c.jump != nil }

// Overdue is how often a jumping clock went on although work was under way, because none
// ended for ten seconds of real time.
func (c Clock) Overdue() int {
	if c.jump == nil {
		return 0
	}
	c.jump.mu.Lock()
	defer c.jump.mu.Unlock()
	return c.jump.overdue
}

// Begin has a jumping clock stand still until as many [Clock.End] as Begin were called.
func (c Clock) Begin() { c.jump.count(func(j *jump) { j.held++ }) }

// End ends a piece of work.
func (c Clock) End() { c.jump.count(func(j *jump) { j.held-- }) }

// Drive has a jumping clock move until the function that it returns is called.
func (c Clock) Drive() (park func()) {
	c.jump.count(func(j *jump) { j.drives++ })
	if c.jump == nil {
		return func() {}
	}
	watch, watched := context.WithCancel(context.Background())
	go c.jump.watch(watch)
	return sync.OnceFunc(func() {
		watched()
		c.jump.count(func(j *jump) { j.drives-- })
	})
}

// Steady has a jumping clock run at its speed, without jumps, until the function that it
// returns is called.
func (c Clock) Steady() (done func()) {
	c.jump.count(func(j *jump) { j.steady++ })
	return sync.OnceFunc(func() { c.jump.count(func(j *jump) { j.steady-- }) })
}

// Apart runs wait, which waits for what others do in the course of time, in the middle of a
// piece of work.
func (c Clock) Apart(wait func()) {
	c.End()
	defer c.Begin()
	wait()
}

// Sleep waits, in the middle of a piece of work, until the clock shows a time or ctx ends:
// then it returns ctx's error.
func (c Clock) Sleep(ctx context.Context, until time.Time) error {
	t := c.NewTimer()
	t.Reset(until)
	defer t.Stop()
	c.End()
	defer c.Begin() // before the timer releases the clock
	for c.Now().Before(until) {
		select {
		case <-t.C:
			if c.jump == nil {
				return nil
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// count changes what is counted and lets the clock move if it may.
func (j *jump) count(change func(*jump)) {
	if j == nil {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	change(j)
	j.turns++
	j.late = false
	j.turn()
}

func (j *jump) notBefore(at time.Time) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.shown, j.runs = j.now(), false; j.shown.Before(at) {
		j.shown = at.Round(0)
	}
	j.turn()
}

func (j *jump) show() time.Time {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.now().UTC()
}

// now is what the clock shows. A timer that is due has not been missed.
func (j *jump) now() time.Time {
	if !j.runs {
		return j.shown
	}
	now := j.shown.Add(time.Duration(float64(time.Since(j.real)) * j.speed))
	if len(j.timers) > 0 && j.timers[0].at.Before(now) {
		now = j.timers[0].at
		if now.Before(j.shown) {
			now = j.shown
		}
	}
	return now
}

// turn stops the clock, and lets it go on as it may.
func (j *jump) turn() {
	j.shown, j.runs = j.now(), false
	j.alarm.Stop()
	if j.drives == 0 || j.held > 0 && !j.late {
		return
	}
	if len(j.timers) > 0 {
		next := j.timers[0].at
		if j.steady == 0 && !j.late && next.After(j.shown) {
			j.shown = next
		}
		if !next.After(j.shown) {
			j.fire()
			return
		}
		j.alarm.Reset(max(1, time.Duration(float64(next.Sub(j.shown))/j.speed)))
	}
	j.runs, j.real = true, time.Now()
}

// fire wakes all who wait for no later than now.
func (j *jump) fire() {
	j.late = false
	for len(j.timers) > 0 && !j.timers[0].at.After(j.shown) {
		t := j.timers.Take()
		j.held++
		t.holds = true
		if t.do != nil {
			t.holds = false
			go func() {
				defer j.count(func(j *jump) { j.held-- })
				t.do()
			}()
			continue
		}
		t.c <- j.shown // there is room: it was emptied when it was set
	}
}

func (j *jump) ring() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.runs {
		j.turn()
	}
}

// watch lets the clock run where work takes too long.
func (j *jump) watch(ctx context.Context) {
	ticker := time.NewTicker(longestWork)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		j.mu.Lock()
		if j.held > 0 && j.drives > 0 && j.turns == j.seen && !j.late {
			j.late = true
			j.overdue++
			j.turn()
		}
		j.seen = j.turns
		j.mu.Unlock()
	}
}

// Timer wakes its owner at a time of its clock. It belongs to one goroutine. A wake-up may
// come early: look at the clock.
type Timer struct {
	C <-chan time.Time

	clock Clock
	real  *time.Timer // of a clock that does not jump
	do    func()      // of AfterFunc

	// Used for a jumping clock, under its lock.
	c     chan time.Time
	at    time.Time
	index int // in the heap, -1: it is not
	holds bool
}

// NewTimer returns a timer that is not set.
func (c Clock) NewTimer() *Timer {
	t := &Timer{clock: c, index: -1}
	if c.jump == nil {
		t.real = time.NewTimer(time.Hour)
		t.real.Stop()
		t.C = t.real.C
		return t
	}
	t.c = make(chan time.Time, 1)
	t.C = t.c
	return t
}

// AfterFunc has do called, in a goroutine of its own and as a piece of work, when the clock
// shows a time. Stop keeps it from that.
func (c Clock) AfterFunc(at time.Time, do func()) *Timer {
	t := &Timer{clock: c, index: -1, do: do}
	if c.jump == nil {
		t.real = time.AfterFunc(max(0, c.Real(at.Sub(c.Now()))), do)
		return t
	}
	t.Reset(at)
	return t
}

// Reset has the timer fire when the clock shows a time, and not at the time before. If it
// had fired it ends the work that came of that.
func (t *Timer) Reset(at time.Time) {
	if t.clock.jump == nil {
		t.real.Reset(max(0, t.clock.Real(at.Sub(t.clock.Now()))))
		return
	}
	t.clock.jump.count(func(j *jump) {
		t.clear(j)
		t.at = at
		j.timers.Add(t)
	})
}

// Stop keeps the timer from firing. If it had fired it ends the work that came of that.
func (t *Timer) Stop() {
	if t.clock.jump == nil {
		t.real.Stop()
		return
	}
	t.clock.jump.count(t.clear)
}

func (t *Timer) clear(j *jump) {
	if t.index >= 0 {
		j.timers.Remove(t.index)
	}
	if t.holds {
		t.holds = false
		j.held--
	}
	select {
	case <-t.c:
	default:
	}
}

// byInstant orders timers, the next one first.
type byInstant struct{}

func (byInstant) Before(a, b *Timer) bool   { return a.at.Before(b.at) }
func (byInstant) Moved(t *Timer, place int) { t.index = place }
