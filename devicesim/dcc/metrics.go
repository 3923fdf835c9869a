package dcc

import (
	"fmt"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	requests    *prometheus.CounterVec // service, code
	responses   *prometheus.CounterVec // code
	alerts      prometheus.Counter
	others      prometheus.Counter
	throttled   prometheus.Counter
	quarantined prometheus.Counter
	duplicates  atomic.Uint64 // also asked for by [DCC.Duplicates]
}

func newMetrics() *metrics {
	return &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "devicesim_requests_total", Help: "Service Requests by service and response code.",
		}, []string{"service", "code"}),
		responses: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "devicesim_responses_total", Help: "Asynchronous responses by response code.",
		}, []string{"code"}),
		throttled: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "devicesim_throttled_requests_total", Help: "Requests over a User's allocation, answered with 503.",
		}),
		quarantined: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "devicesim_quarantined_requests_total", Help: "Requests over an anomaly detection threshold, held back.",
		}),
		others: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "devicesim_other_messages_total", Help: "Messages of the User's other traffic: they answer nothing.",
		}),
		alerts: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "devicesim_alerts_total", Help: "Alerts, of devices and of the DCC.",
		}),
	}
}

// register shows the metrics; without a registerer they are only counted.
func (m *metrics) register(r prometheus.Registerer) error {
	if r == nil {
		return nil
	}
	duplicates := prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "devicesim_duplicate_requests_total", Help: "Requests that had been accepted before.",
	}, func() float64 { return float64(m.duplicates.Load()) })
	for _, c := range []prometheus.Collector{m.requests, m.responses, m.alerts, m.others, m.throttled, m.quarantined, duplicates} {
		if err := r.Register(c); err != nil {
			return fmt.Errorf("register metrics: %w", err)
		}
	}
	return nil
}
