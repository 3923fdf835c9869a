package inbox

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"safemode/engine/listen"
)

type metrics struct {
	deliveries  map[int]prometheus.Counter // by status; a result has several
	connections *prometheus.CounterVec     // reason
	limited     *prometheus.CounterVec     // limit
}

// turnedSilent is why a connection had no message, beside the limits: a label's value.
const turnedSilent = "silent"

// The label's values.
var results = map[int]string{
	http.StatusNoContent:             "taken",
	http.StatusBadRequest:            "refused",
	http.StatusNotFound:              "wrong_path",
	http.StatusMethodNotAllowed:      "refused",
	http.StatusRequestEntityTooLarge: "refused",
	http.StatusUnsupportedMediaType:  "refused",
	http.StatusServiceUnavailable:    "put_off",
}

func newMetrics(registerer prometheus.Registerer) *metrics {
	counter := func(name, help, label string) *prometheus.CounterVec {
		return promauto.With(registerer).NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{label})
	}
	deliveries := counter("safemode_inbox_deliveries_total", "Messages POSTed to the inbox: taken (204), refused (4xx), put off (503), or to another path (404).", "result")
	m := &metrics{
		deliveries:  map[int]prometheus.Counter{},
		connections: counter("safemode_inbox_connections_refused_total", "Connections to the inbox that brought nothing: over the limit of one peer or in total, or pushed out by a newcomer, or closed without a request (silent: failed TLS handshakes, scans).", "reason"),
		limited:     counter("safemode_inbox_rate_limited_total", "Messages put off (503) because their peer, or all together, sent more than the limit.", "limit"),
	}
	for _, reason := range [...]string{listen.OverPeer, listen.OverTotal, turnedSilent} {
		m.connections.WithLabelValues(reason)
	}
	for _, limit := range [...]string{listen.OverPeer, listen.OverTotal} {
		m.limited.WithLabelValues(limit)
	}
	for status, result := range results {
		m.deliveries[status] = deliveries.WithLabelValues(result)
	}
	return m
}

func (m *metrics) answered(status int) { m.deliveries[status].Inc() }
