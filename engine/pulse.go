package engine

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"safemode/engine/record"
)

// stuckAfter is how long the core may make no turn, in real time, before the engine is
// not ready: it makes several turns in a second.
const stuckAfter = 5 * time.Second

// registerPulse registers metrics of when something last happened.
func (e *Engine) registerPulse() {
	e.heard = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "safemode_inbox_last_message_timestamp_seconds",
		Help: "When the last message of an authenticated peer came in, in seconds since 1970, real time; absent before the first.",
	}, nil)
	e.o.Registry.MustRegister(e.heard, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "safemode_core_turned_seconds",
		Help: "How long ago the core last turned, in real time: it does so several times in a second. -1 while it has not begun, or has ended.",
	}, func() float64 {
		if at, turning := e.turned(); turning {
			return time.Since(at).Seconds()
		}
		return -1
	}))
}

// turned is when the core last turned, and whether it should be turning.
func (e *Engine) turned() (at time.Time, turning bool) {
	at = e.runner.Turned()
	return at, !at.IsZero() && !e.ended.Load()
}

// ready says whether the core turns.
func (e *Engine) ready() error {
	if at, turning := e.turned(); turning && time.Since(at) > stuckAfter {
		return fmt.Errorf("the core has not turned for %v", time.Since(at).Round(time.Second))
	}
	return nil
}

// Turning returns an error if the core should make turns and has made none for seconds. While
// it reads its journal, and after the end, it need not.
func (e *Engine) Turning() error { return e.ready() }

// pulse says when something last happened.
func (e *Engine) pulse() string {
	text := "the core does not turn: it has not begun, or has ended"
	if at, turning := e.turned(); turning {
		text = fmt.Sprintf("the core last turned %v ago", time.Since(at).Round(time.Millisecond))
	}
	if at := e.lastHeard.Load(); at != 0 {
		return text + fmt.Sprintf("; the last message came in %v ago", time.Since(time.Unix(0, at)).Round(time.Millisecond))
	}
	return text + "; no message has come in"
}

// receive has a message stored, and notes the time.
func (e *Engine) receive(ctx context.Context, r record.Record) error {
	err := e.prover.Receive(ctx, r)
	if err == nil {
		now := time.Now()
		e.lastHeard.Store(now.UnixNano())
		e.heard.WithLabelValues().Set(float64(now.UnixNano()) / 1e9)
	}
	return err
}
