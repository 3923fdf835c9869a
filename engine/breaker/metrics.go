package breaker

import (
	"maps"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
)

var stateDesc = prometheus.NewDesc("safemode_breaker_state",
	"State of the circuit: 0 closed, 1 probing, 2 open.", []string{"service", "region"}, nil)

// Describe makes a Breaker a [prometheus.Collector] of
// safemode_breaker_state{service,region}. The state is read when it is
// collected: a circuit passes from open to probing by time alone.
func (b *Breaker) Describe(descs chan<- *prometheus.Desc) { descs <- stateDesc }

// Collect sends one sample for every circuit that has been asked.
func (b *Breaker) Collect(metrics chan<- prometheus.Metric) {
	for _, key := range b.keys() {
		metrics <- prometheus.MustNewConstMetric(stateDesc, prometheus.GaugeValue,
			float64(b.stateOf(key)), key.Service, key.Region.String())
	}
}

// keys lists the circuits that have been asked.
func (b *Breaker) keys() []Key {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Collect(maps.Keys(b.circuits))
}
