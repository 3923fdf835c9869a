package inbox

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct{ deliveries *prometheus.CounterVec }

// The label's values.
var results = map[int]string{
	http.StatusNoContent:             "taken",
	http.StatusBadRequest:            "refused",
	http.StatusMethodNotAllowed:      "refused",
	http.StatusRequestEntityTooLarge: "refused",
	http.StatusUnsupportedMediaType:  "refused",
	http.StatusServiceUnavailable:    "put_off",
}

func newMetrics(registerer prometheus.Registerer) *metrics {
	m := &metrics{deliveries: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "safemode_inbox_deliveries_total",
		Help: "Messages POSTed to the inbox: taken (204), refused (4xx), put off (503).",
	}, []string{"result"})}
	registerer.MustRegister(m.deliveries)
	for _, result := range results {
		m.deliveries.WithLabelValues(result)
	}
	return m
}

func (m *metrics) answered(status int) { m.deliveries.WithLabelValues(results[status]).Inc() }
