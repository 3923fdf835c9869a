package sweep

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"safemode/engine/record"
	"safemode/servicerequests"
)

// metrics are the sweep's own. Durations of POSTs are real time; responses are timed by the
// sweep's clock.
type metrics struct {
	meters   *prometheus.GaugeVec
	requests *prometheus.CounterVec
	regions  *prometheus.CounterVec
	inFlight *prometheus.GaugeVec
	acks     *prometheus.HistogramVec
	answers  *prometheus.HistogramVec
	pacer    *prometheus.HistogramVec
	eta      *prometheus.GaugeVec // without labels; absent while the estimate is not known
	headroom *prometheus.GaugeVec

	waiting *prometheus.GaugeVec
	planned prometheus.Gauge
	state   *prometheus.GaugeVec

	throttled prometheus.Counter
	rereads   *prometheus.CounterVec
	revised   *prometheus.CounterVec
	strays    *prometheus.CounterVec
	others    *prometheus.CounterVec
	strangers prometheus.Counter
	moved     *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	auto := promauto.With(reg)
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return auto.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
	}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return auto.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	seconds := func(name, help string, buckets []float64, label string) *prometheus.HistogramVec {
		return auto.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets, NativeHistogramBucketFactor: 1.1}, []string{label})
	}
	m := &metrics{
		meters:    gauge("safemode_meters", "Meters that have a verdict.", "verdict"),
		requests:  counter("safemode_service_requests_total", "Service Requests that have ended, by class.", "srv", "class"),
		regions:   counter("safemode_region_requests_total", "Service Requests that have ended, by region and class.", "region", "class"),
		inFlight:  gauge("safemode_requests_in_flight", "Service Requests sent and not ended.", "region"),
		acks:      seconds("safemode_ack_seconds", "From POST to the DCC's synchronous reply, in real time.", prometheus.ExponentialBuckets(0.001, 2, 14), "srv"),
		answers:   seconds("safemode_response_seconds", "From POST to the device's answer, by the sweep's clock.", prometheus.ExponentialBuckets(0.5, 2, 18), "srv"),
		pacer:     seconds("safemode_pacer_wait_seconds", "How long a limit made a POST wait, by the sweep's clock.", prometheus.ExponentialBuckets(0.0001, 4, 12), "limit"),
		eta:       gauge("safemode_eta_seconds", "Time to the last verdict at the pace of this run, by the sweep's clock; absent while it is not known."),
		headroom:  gauge("safemode_anomaly_headroom_ratio", "Share of the anomaly detection threshold that the trailing period's requests of this sweep leave free; below 0 they exceed it.", "srv"),
		waiting:   gauge("safemode_meters_waiting", "Meters without a good end in sight: in long retries, stuck, held back by the DCC (quarantined), held for a person.", "state"),
		planned:   gauge("safemode_planned_meters", "Meters that the plan names: what safemode_meters is a part of.").WithLabelValues(),
		state:     gauge("safemode_sweep_state", "1 for the state that the sweep is in, 0 for the others.", "state"),
		throttled: counter("safemode_throttled_total", "POSTs the DCC put off (429 or 503).").WithLabelValues(),
		rereads:   counter("safemode_reread_meters_total", "Meters with a verdict that were read again, by what it came to: same, better, worse, unanswered, excluded.", "result"),
		strays:    counter("safemode_stray_messages_total", "Proven messages that changed nothing: repeated, or unmatched.", "kind"),
		others:    counter("safemode_other_messages_total", "Stored messages that answer nothing of this sweep: the User's other traffic, by what it is.", "kind"),
		strangers: counter("safemode_stranger_counters_total", "Proven messages that name a counter of ours which this journal did not give out: another system sends under the same identity.").WithLabelValues(),
		moved:     counter("safemode_unregistered_answers_total", "Answers E4 (not registered to the supplier): expected ones of homes that were to have left, and others, which feed the tripwire.", "expected"),
		revised:   counter("safemode_service_requests_revised_total", "Ended Service Requests whose class a late answer changed: safemode_service_requests_total counts them as they ended first.", "srv", "from", "to"),
	}
	for _, kind := range record.OtherKinds {
		m.others.WithLabelValues(string(kind))
	}
	for _, expected := range [...]string{"yes", "no"} {
		m.moved.WithLabelValues(expected)
	}
	for _, result := range [...]string{"same", "better", "worse", "unanswered", "excluded"} {
		m.rereads.WithLabelValues(result)
	}
	for _, v := range record.Verdicts {
		m.meters.WithLabelValues(v)
	}
	return m
}

// states are those of a sweep, as [record.Status] names them.
var states = [...]string{"starting", "running", "paused", "stopping", "halted", "ceased", "finished"}

// is sets the metric of the sweep's state.
func (m *metrics) is(state string) {
	for _, s := range states {
		value := 0.0
		if s == state {
			value = 1
		}
		m.state.WithLabelValues(s).Set(value)
	}
}

func (m *metrics) ended(s servicerequests.Service, r servicerequests.Region, c record.Class) {
	m.requests.WithLabelValues(s.SRV(), c.String()).Inc()
	m.regions.WithLabelValues(r.String(), c.String()).Inc()
}

func (m *metrics) reclassed(s servicerequests.Service, from, to record.Class) {
	m.revised.WithLabelValues(s.SRV(), from.String(), to.String()).Inc()
}

func (m *metrics) ack(s servicerequests.Service, took time.Duration) {
	m.acks.WithLabelValues(s.SRV()).Observe(took.Seconds())
}

func (m *metrics) response(s servicerequests.Service, took time.Duration) {
	m.answers.WithLabelValues(s.SRV()).Observe(took.Seconds())
}

func (m *metrics) paced(limit string, wait time.Duration) {
	m.pacer.WithLabelValues(limit).Observe(wait.Seconds())
}

func (m *metrics) unregistered(expected bool) {
	label := "no"
	if expected {
		label = "yes"
	}
	m.moved.WithLabelValues(label).Inc()
}

func (m *metrics) throttle() { m.throttled.Inc() }
func (m *metrics) repeated() { m.strays.WithLabelValues("repeated").Inc() }

func (m *metrics) unmatched(kind record.OtherKind) {
	m.strays.WithLabelValues("unmatched").Inc()
	m.others.WithLabelValues(string(kind)).Inc()
}
