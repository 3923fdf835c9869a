package prover

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	proven, disbelieved, other, full, unknownSigner prometheus.Counter
}

func newMetrics(registerer prometheus.Registerer, p *Prover) *metrics {
	auto := promauto.With(registerer)
	counter := func(name, help string) prometheus.Counter {
		return auto.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	judged := auto.NewCounterVec(prometheus.CounterOpts{
		Name: "safemode_prover_judged_total",
		Help: "Stored messages that were judged: proven, disbelieved, or other: the User's other traffic, signed by the DCC.",
	}, []string{"result"})
	gauge := func(name, help string, value func() float64) {
		auto.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 {
			p.mu.Lock()
			defer p.mu.Unlock()
			return value()
		})
	}
	gauge("safemode_prover_kept_messages", "Stored messages that are undecided: they are tried again.", func() (kept float64) {
		p.eachUndecided(func(*message) { kept++ })
		return kept
	})
	gauge("safemode_prover_kept_oldest_seconds", "How long the oldest undecided message has been tried, in this run.", func() float64 {
		oldest := time.Duration(0)
		p.eachUndecided(func(m *message) { oldest = max(oldest, p.o.Clock.Now().Sub(m.since)) })
		return oldest.Seconds()
	})
	gauge("safemode_prover_unproven_bytes", "Bytes of the journal that messages take which are not proven, those that were not believed included.", func() float64 { return float64(p.unproven) })
	gauge("safemode_prover_limit_bytes", "Bytes of the journal that messages may take which are not proven.", func() float64 { return float64(p.o.Limit) })
	gauge("safemode_prover_unsettled_messages", "Stored messages for which the sweep has made no durable mark yet.", func() float64 { return float64(len(p.unsettled)) })
	return &metrics{
		proven: judged.WithLabelValues("proven"), disbelieved: judged.WithLabelValues("disbelieved"), other: judged.WithLabelValues("other"),
		full:          counter("safemode_prover_full_total", "Messages put off (503) because what is stored and not proven has reached the limit."),
		unknownSigner: counter("safemode_prover_unknown_signer_total", "Tries of stored messages that are signed under a certificate which is not configured: the DCC may have a new one."),
	}
}

// eachUndecided visits the messages that were tried and are not judged, but for those that
// are being tried. The caller holds the mutex.
func (p *Prover) eachUndecided(visit func(*message)) {
	for _, l := range p.queues {
		for _, m := range l.undecided {
			visit(m)
		}
		for _, m := range l.waiting {
			if m.tries > 0 {
				visit(m)
			}
		}
	}
}
