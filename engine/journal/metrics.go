package journal

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	commit prometheus.Histogram
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{commit: prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:    "safemode_journal_commit_seconds",
		Help:    "How long one batch of records took to become durable.",
		Buckets: prometheus.ExponentialBuckets(0.0005, 2, 14), // 0.5 ms to 4 s
	})}
	if r == nil {
		return m, nil
	}
	return m, r.Register(m.commit)
}
