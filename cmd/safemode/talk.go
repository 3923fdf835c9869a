package main

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// talk is a standard error with a reader that may be slow, stuck or gone: a full pipe, a
// terminal that Ctrl-S has stopped, a log shipper that has ended. A Write never waits and
// never fails. Text without room, or that cannot be written, is dropped and counted. One line
// says how much that was when output works again.
type talk struct {
	out  io.Writer
	wake chan struct{} // has one when there is something to write; closed by nobody

	mu      sync.Mutex
	queue   [][]byte
	size    int // bytes of queue and of what is being written
	dropped uint64
	told    uint64 // of dropped
	idle    chan struct{}
}

// mostTalkWaiting bounds what waits for a reader, in bytes.
const mostTalkWaiting = 1 << 20

// newTalk starts a writer of its own for out. It ends with the process.
func newTalk(out io.Writer) *talk {
	t := &talk{out: out, wake: make(chan struct{}, 1)}
	go t.run()
	return t
}

// Write queues a copy of b.
func (t *talk) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.size+len(b) > mostTalkWaiting {
		t.dropped++
		return len(b), nil
	}
	t.queue = append(t.queue, append([]byte(nil), b...))
	t.size += len(b)
	select {
	case t.wake <- struct{}{}:
	default: // it will look
	}
	return len(b), nil
}

// Dropped is how many writes were lost.
func (t *talk) Dropped() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.dropped
}

func (t *talk) run() {
	for range t.wake {
		for t.next() {
			continue
		}
	}
}

// next writes what was queued first, and says whether there was anything.
func (t *talk) next() bool {
	t.mu.Lock()
	if len(t.queue) == 0 {
		if t.idle != nil {
			close(t.idle)
			t.idle = nil
		}
		t.mu.Unlock()
		return false
	}
	b := t.queue[0]
	t.queue[0] = nil
	t.queue = t.queue[1:]
	t.mu.Unlock()

	_, err := t.out.Write(b)

	t.mu.Lock()
	t.size -= len(b)
	lost := uint64(0)
	if err != nil {
		t.dropped++
	} else if lost = t.dropped - t.told; lost > 0 {
		t.told = t.dropped
	}
	t.mu.Unlock()
	if lost > 0 {
		_, _ = fmt.Fprintf(t.out, "safemode: standard error was not read for a while: %d messages were dropped here\n", lost)
	}
	return true
}

// flush waits until all that was queued is written, for no longer than limit, and says
// whether it is.
func (t *talk) flush(limit time.Duration) bool {
	t.mu.Lock()
	if t.size == 0 {
		t.mu.Unlock()
		return true
	}
	if t.idle == nil {
		t.idle = make(chan struct{})
	}
	idle := t.idle
	t.mu.Unlock()
	select {
	case <-idle:
		return true
	case <-time.After(limit):
		return false
	}
}

// flushed is [talk.flush] of a standard error that has one. Others write at once.
func flushed(w io.Writer, limit time.Duration) bool {
	t, ok := w.(interface{ flush(time.Duration) bool })
	return !ok || t.flush(limit)
}

// fileOf is the file that a command writes to; nil: it is not a file.
func fileOf(w io.Writer) *os.File {
	if t, ok := w.(*talk); ok {
		w = t.out
	}
	f, _ := w.(*os.File)
	return f
}

// droppedBy is how much talk of a standard error was lost.
func droppedBy(w io.Writer) uint64 {
	if t, ok := w.(interface{ Dropped() uint64 }); ok {
		return t.Dropped()
	}
	return 0
}

// countDropped has a registry tell how much talk was lost.
func countDropped(w io.Writer, registry prometheus.Registerer) {
	registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "safemode_log_dropped_total",
		Help: "Writes to standard error that were dropped because nobody read it.",
	}, func() float64 { return float64(droppedBy(w)) }))
}

// endings are the signals that drain and end a command. A terminal that is closed sends
// SIGHUP, unless nohup has had it ignored.
func endings() []os.Signal {
	list := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		list = append(list, syscall.SIGHUP)
	}
	return list
}
