package loadtest

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ErrThreshold marks a threshold that cannot be read.
var ErrThreshold = errors.New("threshold")

// Threshold is one condition on every step of a test, like ack_p99<50ms.
type Threshold struct {
	Text string

	metric string
	op     string
	value  float64 // milliseconds, percent, or requests a second
}

// Check is how a threshold stands on a step.
type Check struct {
	Threshold string  `json:"threshold"`
	Rate      float64 `json:"rate"`  // of the step
	Value     string  `json:"value"` // as it was
	Pass      bool    `json:"pass"`
}

// kinds of metrics, each with the unit of its values.
var (
	latencies = map[string]func(*Step) *float64{
		"ack_p50": func(s *Step) *float64 { return s.Ack.P50 }, "answer_p50": func(s *Step) *float64 { return s.Answer.P50 },
		"ack_p90": func(s *Step) *float64 { return s.Ack.P90 }, "answer_p90": func(s *Step) *float64 { return s.Answer.P90 },
		"ack_p99": func(s *Step) *float64 { return s.Ack.P99 }, "answer_p99": func(s *Step) *float64 { return s.Answer.P99 },
		"ack_p99.9": func(s *Step) *float64 { return s.Ack.P999 }, "answer_p99.9": func(s *Step) *float64 { return s.Answer.P999 },
		"ack_max": func(s *Step) *float64 { return s.Ack.Max }, "answer_max": func(s *Step) *float64 { return s.Answer.Max },
	}
	shares = map[string]func(*Step) int{
		"sent": func(s *Step) int { return s.Sent }, "late": func(s *Step) int { return s.Late },
		"dropped": func(s *Step) int { return s.Dropped }, "accepted": func(s *Step) int { return s.Accepted },
		"answered": func(s *Step) int { return s.Answered }, "negative": func(s *Step) int { return s.Negative },
		"unanswered": func(s *Step) int { return s.Unanswered }, "throttled": func(s *Step) int { return s.Throttled },
		"rejected": func(s *Step) int { return s.Rejected }, "refused": func(s *Step) int { return s.Refused },
		"in_doubt": func(s *Step) int { return s.InDoubt },
	}
	rates = map[string]func(*Step) float64{
		"sent_rate":     func(s *Step) float64 { return s.SentRate },
		"accepted_rate": func(s *Step) float64 { return s.AcceptedRate },
		"answered_rate": func(s *Step) float64 { return s.AnsweredRate },
	}
)

// Metrics lists what a threshold can be on: latencies (a duration), shares of the
// requests (per cent), rates (requests a second).
func Metrics() []string {
	all := slices.Collect(maps.Keys(latencies))
	all = slices.AppendSeq(all, maps.Keys(shares))
	all = slices.AppendSeq(all, maps.Keys(rates))
	slices.Sort(all)
	return all
}

// ParseThreshold reads METRIC OP VALUE, where OP is one of < <= > >=, and VALUE a
// duration (ack_p99<50ms), a share of the requests (answered>=99%) or a rate
// (answered_rate>=200). Errors wrap [ErrThreshold].
func ParseThreshold(text string) (Threshold, error) {
	t := Threshold{Text: strings.Join(strings.Fields(text), "")}
	at := strings.IndexAny(t.Text, "<>")
	if at < 0 {
		return t, fmt.Errorf("%w %q: want something like ack_p99<50ms", ErrThreshold, text)
	}
	t.metric, t.op = t.Text[:at], t.Text[at:at+1]
	value := t.Text[at+1:]
	if rest, ok := strings.CutPrefix(value, "="); ok {
		t.op, value = t.op+"=", rest
	}
	var err error
	switch {
	case latencies[t.metric] != nil:
		var d time.Duration
		d, err = time.ParseDuration(value)
		t.value = float64(d) / float64(time.Millisecond)
	case shares[t.metric] != nil:
		number, ok := strings.CutSuffix(value, "%")
		if !ok {
			return t, fmt.Errorf("%w %q: %s is a share of the requests: want per cent, like %s%s1%%", ErrThreshold, text, t.metric, t.metric, t.op)
		}
		t.value, err = strconv.ParseFloat(number, 64)
	case rates[t.metric] != nil:
		t.value, err = strconv.ParseFloat(value, 64)
	default:
		return t, fmt.Errorf("%w %q: no metric %q: there are %s", ErrThreshold, text, t.metric, strings.Join(Metrics(), ", "))
	}
	if err != nil || !(t.value >= 0) {
		return t, fmt.Errorf("%w %q: %q is no value of %s", ErrThreshold, text, value, t.metric)
	}
	return t, nil
}

// Check compares a step with the threshold. A step without samples never passes, nor does
// a percentile that is not known or that rests on refusals alone.
func (t Threshold) Check(s *Step) Check {
	c := Check{Threshold: t.Text, Rate: s.Rate}
	var value float64
	switch {
	case s.Requested == 0:
		c.Value = "no samples"
		return c
	case latencies[t.metric] != nil && s.Accepted == 0: // refusals alone say nothing of the system's work
		c.Value = "no request was accepted"
		return c
	case latencies[t.metric] != nil:
		ms := latencies[t.metric](s)
		if ms == nil {
			c.Value = "not known: too many have no end"
			return c
		}
		value, c.Value = *ms, milliseconds(*ms)
	case shares[t.metric] != nil:
		n := shares[t.metric](s)
		value = 100 * float64(n) / float64(s.Requested)
		c.Value = fmt.Sprintf("%.3g%% (%d of %d)", value, n, s.Requested)
	default:
		value = rates[t.metric](s)
		c.Value = fmt.Sprintf("%.1f/s", value)
	}
	switch t.op {
	case "<":
		c.Pass = value < t.value
	case "<=":
		c.Pass = value <= t.value
	case ">":
		c.Pass = value > t.value
	default:
		c.Pass = value >= t.value
	}
	return c
}

// milliseconds is a latency for people.
func milliseconds(ms float64) string {
	d := time.Duration(ms * float64(time.Millisecond))
	switch {
	case d >= 10*time.Second:
		return d.Round(100 * time.Millisecond).String()
	case d >= 100*time.Millisecond:
		return d.Round(time.Millisecond).String()
	default:
		return d.Round(10 * time.Microsecond).String()
	}
}
