package notice

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"safemode/engine/durable"
	"safemode/engine/record"
)

// All in real time.
const (
	tryFor    = 15 * time.Second // one try
	firstWait = 2 * time.Second  // after a failed one; doubles
	longest   = 5 * time.Minute
	over      = 5 * time.Minute // without a cause that comes and goes
)

// Channel tells people. Tell is called by one goroutine at a time, and must heed ctx. On
// return without an error the peer has taken the notice; it may have taken it with one.
type Channel interface {
	Name() string
	Tell(ctx context.Context, n Notice) error
}

// Options is what a Notifier is made of. All fields are required.
type Options struct {
	Path     string    // of its file
	Channels []Channel // of different names
	Log      *zap.Logger
	Registry prometheus.Registerer
}

// Notifier says each cause once. Its methods may be called at any time by several goroutines.
type Notifier struct {
	o       Options
	names   []string
	metrics metrics
	wake    map[string]chan struct{} // to each channel: there is something to say, now

	lock *durable.Lock

	mu     sync.Mutex // held while the file is written
	state  state
	told   map[string]int // ids that channels are being told of now, and how many
	behind bool           // the file could not be written: it is tried again
}

// Open reads the file, and keeps other programs from it until [Notifier.Close]: the error wraps
// [durable.ErrLocked] where one has it. A damaged file is moved aside and the log says so: it
// is no reason not to sweep.
func Open(o Options) (_ *Notifier, err error) {
	d := &Notifier{o: o, wake: map[string]chan struct{}{}, told: map[string]int{}}
	if d.lock, err = durable.TakeLock(o.Path + ".lock"); err != nil {
		return nil, fmt.Errorf("%s: %w", o.Path, err)
	}
	d.state, err = readState(o.Path)
	if errors.Is(err, errDamaged) {
		aside := o.Path + "." + time.Now().UTC().Format("20060102T150405") + ".damaged"
		o.Log.Error("notices that were not said may be lost: their file is damaged and was moved aside", zap.String("file", aside), zap.Error(err))
		d.state, err = state{Version: version}, os.Rename(o.Path, aside)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", o.Path, err), d.lock.Release())
	}
	for _, c := range o.Channels {
		d.names = append(d.names, c.Name())
		d.wake[c.Name()] = make(chan struct{}, 1)
	}
	d.state.only(d.names)
	for i := range d.state.Causes {
		d.state.Causes[i].seen = time.Now()
	}
	d.metrics = newMetrics(o.Registry, d.names, d.waiting)
	return d, nil
}

// Check says what [Open] would of a file of notices, and changes nothing.
func Check(path string) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("%s: %w", path, err)
		}
	}()
	if _, err := os.Stat(path + ".lock"); err == nil { // else nobody has it
		lock, err := durable.TakeLock(path + ".lock")
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, lock.Release()) }()
	}
	if _, err = readState(path); errors.Is(err, errDamaged) {
		return nil // Open moves it aside
	}
	return err
}

// Close lets other programs have the file. Nothing may run any more.
func (d *Notifier) Close() error { return d.lock.Release() }

// Look takes in a status: a new cause makes a notice, and a missing one is over. While the sweep
// reads its journal the status has no causes yet, and is ignored.
func (d *Notifier) Look(st *record.Status) {
	if st.State == "starting" {
		return
	}
	now := time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	changed := false
	for _, t := range st.ToDo {
		if t.Cause == nil {
			continue
		}
		c := cause{t.Cause.Kind, t.Cause.Scope, t.Cause.Since.UTC(), now}
		if i := slices.IndexFunc(d.state.Causes, c.same); i >= 0 {
			d.state.Causes[i].seen = now
			continue
		}
		d.state.Causes = append(d.state.Causes, c)
		d.state.add(made(st, t, now), d.names, d.told)
		d.metrics.raised.WithLabelValues(c.Kind).Inc()
		changed = true
	}
	known := len(d.state.Causes)
	d.state.Causes = slices.DeleteFunc(d.state.Causes, func(c cause) bool {
		lasts := over
		if c.Kind == record.NoticeHalt || !c.Since.IsZero() {
			lasts = 0
		}
		return now.Sub(c.seen) > lasts
	})
	if changed || len(d.state.Causes) != known || d.behind {
		d.save()
	}
	if changed {
		d.hurry()
	}
}

// save writes the file; the caller has locked d.mu. If the write fails, notices are sent all the
// same, and the file is written later.
func (d *Notifier) save() {
	err := d.state.write(d.o.Path)
	if err != nil && !d.behind {
		d.o.Log.Error("notices cannot be kept: a kill now would lose what is not said", zap.Error(err))
	}
	d.behind = err != nil
}

// Run tells people until ctx ends.
func (d *Notifier) Run(ctx context.Context) {
	var channels sync.WaitGroup
	defer channels.Wait()
	for _, c := range d.o.Channels {
		channels.Go(func() { d.run(ctx, c) })
	}
}

// run tells by one channel.
func (d *Notifier) run(ctx context.Context, c Channel) {
	wait := firstWait
	for ctx.Err() == nil {
		n, there := d.next(c.Name())
		pause := longest
		if there {
			err := d.try(ctx, c, n)
			if err == nil {
				wait = firstWait
				continue
			}
			pause = wait/2 + rand.N(wait)
			wait = min(2*wait, longest)
			if ctx.Err() == nil {
				d.o.Log.Warn("notice not sent", zap.String("channel", c.Name()), zap.String("cause", n.Cause), zap.Duration("again_in", pause), zap.Error(err))
			}
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-d.wake[c.Name()]:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// next is what a channel is to be told now.
func (d *Notifier) next(channel string) (Notice, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, there := d.state.next(channel)
	if there {
		d.told[n.ID]++
	}
	return n, there
}

// try tells one channel what [Notifier.next] gave for it.
func (d *Notifier) try(ctx context.Context, c Channel, n Notice) error {
	ctx, cancel := context.WithTimeout(ctx, tryFor)
	defer cancel()
	err := c.Tell(ctx, n)
	result := "failed"
	d.mu.Lock()
	if d.told[n.ID]--; d.told[n.ID] == 0 {
		delete(d.told, n.ID)
	}
	if err == nil {
		result = "taken"
		d.state.taken(n.ID, c.Name())
		d.save()
	}
	d.mu.Unlock()
	d.metrics.tries.WithLabelValues(c.Name(), result).Inc()
	return err
}

// hurry has what waits tried now.
func (d *Notifier) hurry() {
	for _, wake := range d.wake {
		select {
		case wake <- struct{}{}:
		default: // told already
		}
	}
}

// Settle has what waits tried now, and returns how many tellings still wait when all are
// taken, or when ctx ends. [Notifier.Run] must be running.
func (d *Notifier) Settle(ctx context.Context) int {
	d.hurry()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		waits := 0
		for _, name := range d.names {
			waits += d.waiting(name)
		}
		if waits == 0 {
			return 0
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return waits
		}
	}
}

// waiting is how many notices a channel has not taken.
func (d *Notifier) waiting(channel string) (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, u := range d.state.Unsaid {
		if slices.Contains(u.To, channel) {
			n++
		}
	}
	return n
}

// metrics of a Notifier.
type metrics struct {
	raised *prometheus.CounterVec
	tries  *prometheus.CounterVec
}

func newMetrics(registry prometheus.Registerer, channels []string, waiting func(string) int) metrics {
	m := metrics{
		raised: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "safemode_notices_raised_total", Help: "Causes that people are called for, in this run.",
		}, []string{"cause"}),
		tries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "safemode_notice_tries_total", Help: "Tries to tell people, by what came of them.",
		}, []string{"channel", "result"}),
	}
	registry.MustRegister(m.raised, m.tries)
	for _, name := range channels {
		registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "safemode_notices_waiting", Help: "Notices that a channel has not taken.", ConstLabels: prometheus.Labels{"channel": name},
		}, func() float64 { return float64(waiting(name)) }))
	}
	return m
}
