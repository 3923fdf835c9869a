package loadtest

import (
	"math"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// entry is what became of one request. Times are from the stage's start; 0 is
// never.
type entry struct {
	due, sent, acked, answered time.Duration
	fate                       fate
}

// fate is how a request ended.
type fate uint8

const (
	pending     fate = iota // accepted and never answered, if it was acknowledged
	dropped                 // never sent: no worker or no meter was free
	unsent                  // never sent: a counter, a key or the gate failed
	unavailable             // no connection was had
	throttled               // 429 or 503
	rejected                // by HTTP status
	refused                 // by the DCC's response code: that is its acknowledgement and its answer
	inDoubt                 // written, and no usable reply came
	unverified              // the reply is not proven
	noResponse              // the DCC says that the device did not answer
	negative                // the device answers: no
	answered                // the device answers
)

// Step is what one stage has shown. Counts are of the requests that were to be
// sent in it, whenever their answers came; rates are of what happened within it.
type Step struct {
	Rate    float64 `json:"rate"`         // asked for, requests a second
	From    float64 `json:"from_seconds"` // since the test began
	Seconds float64 `json:"seconds"`

	Requested   int `json:"requested"`
	Sent        int `json:"sent"`
	Late        int `json:"late"`    // of those sent
	Dropped     int `json:"dropped"` // never sent
	Accepted    int `json:"accepted"`
	Answered    int `json:"answered"`    // by the device, proven; a negative answer is one
	Negative    int `json:"negative"`    // of those answered
	Unanswered  int `json:"unanswered"`  // of those accepted
	NoResponse  int `json:"no_response"` // of those unanswered: the DCC says so itself
	Throttled   int `json:"throttled"`
	Rejected    int `json:"rejected"` // by HTTP status
	Refused     int `json:"refused"`  // by the DCC's response code, as of a meter that has left; neither accepted nor answered
	InDoubt     int `json:"in_doubt"`
	Unverified  int `json:"unverified"`
	Unavailable int `json:"unavailable"` // no connection, or no signature

	RequestedRate float64 `json:"requested_per_second"`
	SentRate      float64 `json:"sent_per_second"`
	AcceptedRate  float64 `json:"accepted_per_second"`
	AnsweredRate  float64 `json:"answered_per_second"`

	Ack    Latency `json:"ack"`    // to the acknowledgement or refusal; of a critical command, to that of its Signed Pre-Command
	Answer Latency `json:"answer"` // to the device's answer at the inbox, or to the refusal

	SecondBySecond []Second `json:"second_by_second"`
}

// Second is one second of a stage: what happened in it, and the latency of the
// requests that were to be sent in it.
type Second struct {
	At        float64  `json:"at"` // since the test began
	Requested int      `json:"requested"`
	Sent      int      `json:"sent"`
	Accepted  int      `json:"accepted"`
	Answered  int      `json:"answered"`
	Dropped   int      `json:"dropped"`
	AckP50    *float64 `json:"ack_p50_ms"`
	AckP99    *float64 `json:"ack_p99_ms"`
	AnswerP50 *float64 `json:"answer_p50_ms"`
	AnswerP99 *float64 `json:"answer_p99_ms"`
}

// Latency is a distribution in milliseconds. A percentile among the censored, or
// of no samples, is null.
type Latency struct {
	Samples  int      `json:"samples"`  // requests, the censored included
	Censored int      `json:"censored"` // of which only the least latency is known
	P50      *float64 `json:"p50_ms"`
	P90      *float64 `json:"p90_ms"`
	P99      *float64 `json:"p99_ms"`
	P999     *float64 `json:"p99.9_ms"`
	Max      *float64 `json:"max_ms"`

	Curve []Point `json:"curve"` // for a chart, up to the first percentile without a value
}

// Point is a percentile and its latency.
type Point struct {
	Percentile float64 `json:"percentile"`
	MS         float64 `json:"ms"`
}

// distribution collects latencies.
type distribution struct {
	known    *hdrhistogram.Histogram // microseconds
	censored int
}

// lateAfter is how long after its instant a request may be sent without being late.
const lateAfter = 10 * time.Millisecond

// A latency is counted from a microsecond to an hour.
const longest = time.Hour

func newDistribution(digits int) *distribution {
	return &distribution{known: hdrhistogram.New(1, longest.Microseconds(), digits)}
}

// add counts a request: at is when it ended, 0 if it never did.
func (d *distribution) add(due, at time.Duration) {
	if at == 0 {
		d.censored++
		return
	}
	// Within its bounds the histogram takes everything.
	_ = d.known.RecordValue(min(longest, max(time.Microsecond, at-due)).Microseconds())
}

// at is the latency at a percentile, in milliseconds; nil if it is not known.
func (d *distribution) at(percentile float64) *float64 {
	known := int(d.known.TotalCount())
	rank := int(math.Ceil(percentile / 100 * float64(known+d.censored)))
	if known == 0 || rank > known {
		return nil
	}
	ms := float64(d.known.ValueAtPercentile(100*float64(max(1, rank))/float64(known))) / 1000
	return &ms
}

// curvePercentiles are drawn: 0 to five nines.
var curvePercentiles = [...]float64{0, 10, 25, 50, 75, 90, 95, 97.5, 99, 99.5, 99.75, 99.9, 99.95, 99.99, 99.999}

func (d *distribution) latency() Latency {
	known := int(d.known.TotalCount())
	l := Latency{
		Samples: known + d.censored, Censored: d.censored,
		P50: d.at(50), P90: d.at(90), P99: d.at(99), P999: d.at(99.9), Max: d.at(100),
	}
	for _, p := range curvePercentiles {
		ms := d.at(p)
		if ms == nil {
			break
		}
		l.Curve = append(l.Curve, Point{p, *ms})
	}
	return l
}

// makeStep makes a stage's records into its step.
func makeStep(records []entry, plan Stage) Step {
	s := Step{Rate: plan.Rate, Seconds: plan.For.Seconds(), Requested: len(records)}
	ack, answer := newDistribution(3), newDistribution(3)
	seconds := make([]second, int(math.Ceil(plan.For.Seconds())))
	for i := range seconds {
		seconds[i].ack, seconds[i].answer = newDistribution(2), newDistribution(2)
	}
	within := func(at time.Duration) bool { return at > 0 && at <= plan.For }
	var sent, accepted, answeredWithin int
	for _, r := range records {
		s.count(r)
		ack.add(r.due, r.acked)
		answer.add(r.due, r.answered)
		due := &seconds[min(int(r.due/time.Second), len(seconds)-1)]
		due.Requested++
		due.ack.add(r.due, r.acked)
		due.answer.add(r.due, r.answered)
		if r.fate == dropped {
			due.Dropped++
		}
		for _, event := range [...]struct {
			at    time.Duration
			total *int
			count func(*second)
		}{
			{r.sent, &sent, func(in *second) { in.Sent++ }},
			{r.acked, &accepted, func(in *second) { in.Accepted++ }},
			{r.answered, &answeredWithin, func(in *second) { in.Answered++ }},
		} {
			if within(event.at) && (r.fate != refused || event.total == &sent) {
				*event.total++
				event.count(&seconds[min(int(event.at/time.Second), len(seconds)-1)])
			}
		}
	}
	s.RequestedRate = float64(len(records)) / s.Seconds
	s.SentRate, s.AcceptedRate, s.AnsweredRate = float64(sent)/s.Seconds, float64(accepted)/s.Seconds, float64(answeredWithin)/s.Seconds
	s.Ack, s.Answer = ack.latency(), answer.latency()
	for i, in := range seconds {
		in.At = float64(i)
		in.AckP50, in.AckP99 = in.ack.at(50), in.ack.at(99)
		in.AnswerP50, in.AnswerP99 = in.answer.at(50), in.answer.at(99)
		s.SecondBySecond = append(s.SecondBySecond, in.Second)
	}
	return s
}

// second is a Second in the making.
type second struct {
	Second
	ack, answer *distribution
}

// count adds one request.
func (s *Step) count(r entry) {
	if r.sent > 0 {
		s.Sent++
		if r.sent-r.due > lateAfter {
			s.Late++
		}
	}
	if r.acked > 0 && r.fate != refused {
		s.Accepted++
		if r.answered == 0 {
			s.Unanswered++
		}
	}
	if r.answered > 0 && r.fate != refused {
		s.Answered++
	}
	switch r.fate {
	case refused:
		s.Refused++
	case dropped:
		s.Dropped++
	case negative:
		s.Negative++
	case noResponse:
		s.NoResponse++
	case throttled:
		s.Throttled++
	case rejected:
		s.Rejected++
	case inDoubt:
		s.InDoubt++
	case unverified:
		s.Unverified++
	case unsent, unavailable:
		s.Unavailable++
	}
}
