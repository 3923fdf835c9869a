package loadtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"time"

	"safemode/servicerequests/table"
)

// Version of the result's format.
const Version = 1

// Result is a whole test.
type Result struct {
	Version  int       `json:"version"`
	Started  time.Time `json:"started"`
	Address  string    `json:"address"`
	Services []string  `json:"srvs"`
	Meters   int       `json:"meters"`
	Workers  int       `json:"workers"`

	Steps       []Step   `json:"steps"`
	Checks      []Check  `json:"checks"`
	Capacity    *Found   `json:"capacity"` // of a search; null if there was none
	Pass        bool     `json:"pass"`
	Why         string   `json:"why"`             // in a word, what Pass rests on
	Doubt       string   `json:"doubt,omitempty"` // why the figures may be wrong
	Interrupted bool     `json:"interrupted"`
	Compared    []Change `json:"compared,omitempty"` // with an earlier test
}

// Found is the outcome of a search.
type Found struct {
	Passed float64 `json:"highest_passed"` // requests a second; 0: none did
	Failed float64 `json:"lowest_failed"`  // 0: none did
}

// Judge compares the steps with thresholds and sets Checks, Pass and Why. A search
// passes if it has found a rate. Without a threshold it asks only that every step
// has samples, and an answer.
func (r *Result) Judge(thresholds []Threshold) {
	r.Checks, r.Doubt = []Check{}, r.doubt()
	failed := 0
	for i := range r.Steps {
		for _, t := range thresholds {
			c := t.Check(&r.Steps[i])
			r.Checks = append(r.Checks, c)
			if !c.Pass {
				failed++
			}
		}
	}
	answered := true
	for _, s := range r.Steps {
		answered = answered && s.Answered > 0
	}
	switch {
	case r.Interrupted:
		r.Pass, r.Why = false, "interrupted"
	case len(r.Steps) == 0:
		r.Pass, r.Why = false, "no samples"
	case r.Capacity != nil:
		r.Pass = r.Capacity.Passed > 0
		r.Why = fmt.Sprintf("%.4g a second is the highest rate that passes", r.Capacity.Passed)
		if !r.Pass {
			r.Why = fmt.Sprintf("even %.4g a second does not pass", r.Capacity.Failed)
		}
	case failed > 0:
		r.Pass, r.Why = false, fmt.Sprintf("%d of %d thresholds do not hold", failed, len(r.Checks))
	case !answered:
		r.Pass, r.Why = false, "a step without a single answer"
	case len(r.Checks) == 0:
		r.Pass, r.Why = true, "no threshold was given"
	default:
		r.Pass, r.Why = true, fmt.Sprintf("all %d thresholds hold", len(r.Checks))
	}
}

// doubt says whether this program could not keep its own pace: then its latencies
// are its own as well, and not the system's alone.
func (r *Result) doubt() string {
	var late, dropped, requested int
	for _, s := range r.Steps {
		late, dropped, requested = late+s.Late, dropped+s.Dropped, requested+s.Requested
	}
	if 100*(late+dropped) <= requested { // one in a hundred
		return ""
	}
	return fmt.Sprintf("%s of the requests were sent late and %s not at all: where the system was not slow, this machine was, and the latencies hold that too.",
		percent(late, requested), percent(dropped, requested))
}

// Passes says whether one step holds every threshold.
func Passes(s *Step, thresholds []Threshold) bool {
	for _, t := range thresholds {
		if !t.Check(s).Pass {
			return false
		}
	}
	return len(thresholds) > 0 && s.Requested > 0
}

// Change is how a figure of one rate differs from an earlier test.
type Change struct {
	Rate   float64  `json:"rate"`
	Metric string   `json:"metric"`
	Before *float64 `json:"before"` // null: not known
	After  *float64 `json:"after"`
	Ratio  *float64 `json:"ratio"` // after over before; null if one is not known or before is 0
}

// Compare sets Compared: the figures of every rate that both tests have.
func (r *Result) Compare(earlier *Result) {
	r.Compared = nil
	for i := range r.Steps {
		now := &r.Steps[i]
		for k := range earlier.Steps {
			then := &earlier.Steps[k]
			if then.Rate != now.Rate {
				continue
			}
			for _, name := range [...]string{"ack_p50", "ack_p99", "answer_p50", "answer_p99"} {
				r.Compared = append(r.Compared, change(now.Rate, name+"_ms", latencies[name](then), latencies[name](now)))
			}
			for _, name := range [...]string{"accepted_rate", "answered_rate"} {
				before, after := rates[name](then), rates[name](now)
				r.Compared = append(r.Compared, change(now.Rate, name, &before, &after))
			}
			break
		}
	}
}

func change(rate float64, metric string, before, after *float64) Change {
	c := Change{Rate: rate, Metric: metric, Before: before, After: after}
	if before != nil && after != nil && *before > 0 {
		ratio := math.Round(1000**after / *before) / 1000
		c.Ratio = &ratio
	}
	return c
}

// ErrResult marks a file that is no result of a load test.
var ErrResult = errors.New("not the result of a load test")

// ReadResult reads a result that WriteJSON wrote. Errors wrap [ErrResult].
func ReadResult(in io.Reader) (*Result, error) {
	var r Result
	if err := json.NewDecoder(in).Decode(&r); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrResult, err)
	}
	if r.Version != Version || len(r.Steps) == 0 {
		return nil, fmt.Errorf("%w of version %d", ErrResult, Version)
	}
	return &r, nil
}

// WriteJSON writes the result on one line.
func (r *Result) WriteJSON(w io.Writer) error { return json.NewEncoder(w).Encode(r) }

// WriteCSV writes a line for each second of each step. A latency that is not known
// is empty.
func (r *Result) WriteCSV(out io.Writer) error {
	w := table.NewWriter(out)
	rows := [][]string{{
		"second", "rate", "requested", "sent", "dropped", "accepted", "answered",
		"ack_p50_ms", "ack_p99_ms", "answer_p50_ms", "answer_p99_ms",
	}}
	for _, s := range r.Steps {
		for _, in := range s.SecondBySecond {
			rows = append(rows, []string{
				decimal(s.From + in.At), decimal(s.Rate),
				strconv.Itoa(in.Requested), strconv.Itoa(in.Sent), strconv.Itoa(in.Dropped), strconv.Itoa(in.Accepted), strconv.Itoa(in.Answered),
				known(in.AckP50), known(in.AckP99), known(in.AnswerP50), known(in.AnswerP99),
			})
		}
	}
	return w.WriteAll(rows)
}

func decimal(x float64) string { return strconv.FormatFloat(math.Round(x*1000)/1000, 'f', -1, 64) }

func known(ms *float64) string {
	if ms == nil {
		return ""
	}
	return decimal(*ms)
}
