package sweep

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

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
	m := &metrics{
		meters: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "safemode_meters", Help: "Meters that have a verdict.",
		}, []string{"verdict"}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "safemode_service_requests_total", Help: "Service Requests that have ended, by class.",
		}, []string{"srv", "class"}),
		regions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "safemode_region_requests_total", Help: "Service Requests that have ended, by region and class.",
		}, []string{"region", "class"}),
		inFlight: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "safemode_requests_in_flight", Help: "Service Requests sent and not ended.",
		}, []string{"region"}),
		acks: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "safemode_ack_seconds", Help: "From POST to the DCC's synchronous reply, in real time.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 14), NativeHistogramBucketFactor: 1.1,
		}, []string{"srv"}),
		answers: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "safemode_response_seconds", Help: "From POST to the device's answer, by the sweep's clock.",
			Buckets: prometheus.ExponentialBuckets(0.5, 2, 18), NativeHistogramBucketFactor: 1.1,
		}, []string{"srv"}),
		pacer: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "safemode_pacer_wait_seconds", Help: "How long a limit made a POST wait, by the sweep's clock.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 4, 12), NativeHistogramBucketFactor: 1.1,
		}, []string{"limit"}),
		eta: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "safemode_eta_seconds", Help: "Time to the last verdict at the pace of this run, by the sweep's clock; absent while it is not known.",
		}, nil),
		headroom: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "safemode_anomaly_headroom_ratio",
			Help: "Share of the anomaly detection threshold that the trailing period's requests of this sweep leave free; below 0 they exceed it.",
		}, []string{"srv"}),
		waiting: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "safemode_meters_waiting",
			Help: "Meters without a good end in sight: in long retries, stuck, held back by the DCC (quarantined), held for a person.",
		}, []string{"state"}),
		planned: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "safemode_planned_meters", Help: "Meters that the plan names: what safemode_meters is a part of.",
		}),
		state: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "safemode_sweep_state", Help: "1 for the state that the sweep is in, 0 for the others.",
		}, []string{"state"}),
		throttled: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "safemode_throttled_total", Help: "POSTs the DCC put off (429 or 503).",
		}),
		rereads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "safemode_reread_meters_total",
			Help: "Meters with a verdict that were read again, by what it came to: same, better, worse, unanswered, excluded.",
		}, []string{"result"}),
		strays: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "safemode_stray_messages_total", Help: "Proven messages that changed nothing: repeated, or unmatched.",
		}, []string{"kind"}),
		others: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "safemode_other_messages_total", Help: "Stored messages that answer nothing of this sweep: the User's other traffic, by what it is.",
		}, []string{"kind"}),
		strangers: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "safemode_stranger_counters_total",
			Help: "Proven messages that name a counter of ours which this journal did not give out: another system sends under the same identity.",
		}),
		moved: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "safemode_unregistered_answers_total",
			Help: "Answers E4 (not registered to the supplier): expected ones of homes that were to have left, and others, which feed the tripwire.",
		}, []string{"expected"}),
		revised: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "safemode_service_requests_revised_total",
			Help: "Ended Service Requests whose class a late answer changed: safemode_service_requests_total counts them as they ended first.",
		}, []string{"srv", "from", "to"}),
	}
	reg.MustRegister(m.revised, m.regions, m.meters, m.requests, m.inFlight, m.acks, m.answers, m.pacer, m.eta, m.headroom, m.waiting, m.planned, m.state, m.throttled, m.strays, m.others, m.rereads, m.strangers, m.moved)
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

// states are those of a sweep, as [Status] names them.
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
