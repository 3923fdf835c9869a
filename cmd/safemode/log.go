package main

import (
	"io"

	"github.com/prometheus/client_golang/prometheus"
)

// countDropped has a registry tell how much talk was lost, where some may be.
func countDropped(w io.Writer, registry prometheus.Registerer) {
	dropped := droppedBy(w)
	if dropped == nil {
		dropped = func() uint64 { return 0 }
	}
	registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "safemode_log_dropped_total",
		Help: "Writes to standard error that were dropped because nobody read it.",
	}, func() float64 { return float64(dropped()) }))
}
