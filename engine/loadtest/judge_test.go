package loadtest

import (
	"bytes"
	"encoding/csv"
	"errors"
	"strings"
	"testing"
	"time"
)

// stepOf makes a step of n requests at 10 a second of which the first known are acknowledged,
// the i-th after i milliseconds.
func stepOf(n, known int) Step {
	records := make([]entry, n)
	for i := range records {
		due := time.Duration(i) * 100 * time.Millisecond
		records[i] = entry{due: due, sent: due + 1}
		if i < known {
			records[i].acked = due + time.Duration(i+1)*time.Millisecond
			records[i].answered, records[i].fate = records[i].acked+time.Millisecond, answered
		}
	}
	return makeStep(records, Stage{10, time.Duration(n) * 100 * time.Millisecond})
}

// A request that has no end counts as slower than all that have one.
func TestPercentilesAreOfAll(t *testing.T) {
	all := stepOf(100, 100)
	wantMS(t, "p50", all.Ack.P50, 50)
	wantMS(t, "p99", all.Ack.P99, 99)
	wantMS(t, "max", all.Ack.Max, 100)
	some := stepOf(100, 95)
	wantMS(t, "p50", some.Ack.P50, 50)
	wantMS(t, "p90", some.Ack.P90, 90)
	if some.Ack.P99 != nil || some.Ack.Max != nil || some.Ack.Censored != 5 || some.Ack.Samples != 100 {
		t.Errorf("five of a hundred have no end: %+v", some.Ack)
	}
	if last := some.Ack.Curve[len(some.Ack.Curve)-1]; last.Percentile != 95 {
		t.Errorf("the curve ends at %v", last.Percentile)
	}
	if none := stepOf(0, 0); none.Ack.P50 != nil || none.Ack.Samples != 0 {
		t.Errorf("%+v", none.Ack)
	}
}

func TestThresholds(t *testing.T) {
	full, partly, empty := stepOf(100, 100), stepOf(100, 95), stepOf(0, 0)
	for _, test := range []struct {
		text string
		step *Step
		pass bool
	}{
		{"ack_p99<100ms", &full, true},
		{"ack_p99 < 99ms", &full, false},
		{"ack_p99<=99.1ms", &full, true},
		{"ack_p90>80ms", &full, true},
		{"answer_max<1s", &full, true},
		{"answered>=100%", &full, true},
		{"answered>95%", &partly, false},
		{"answered>=95%", &partly, true},
		{"dropped<=0%", &full, true},
		{"accepted_rate>=9", &full, true},
		{"accepted_rate>=11", &full, false},
		{"ack_p99<1h", &partly, false}, // not known
		{"ack_p99>1ms", &partly, false},
		{"ack_p99<1h", &empty, false}, // no samples
		{"dropped<=100%", &empty, false},
		{"sent_rate>=0", &empty, false},
	} {
		threshold, err := ParseThreshold(test.text)
		if err != nil {
			t.Errorf("%s: %v", test.text, err)
			continue
		}
		if c := threshold.Check(test.step); c.Pass != test.pass || c.Value == "" {
			t.Errorf("%s: %+v, want %v", test.text, c, test.pass)
		}
	}
}

func TestParseThresholdRefuses(t *testing.T) {
	for _, text := range []string{
		"", "ack_p99", "ack_p99=5ms", "ack_p99<", "ack_p99<5", "ack_p98<5ms", "answered>=99", "answered>=x%",
		"answered>=-1%", "answered>=NaN%", "answered_rate>=5%", "<5ms", "ack_p99<-1ms",
	} {
		if _, err := ParseThreshold(text); !errors.Is(err, ErrThreshold) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestSearch(t *testing.T) {
	for _, test := range []struct {
		capacity       float64
		passed, failed float64
	}{
		{370, 362.5, 375},
		{5, 0, 50},
		{5000, 1000, 0},
		{1000, 1000, 0},
	} {
		tried := 0
		passed, failed, err := Search(50, 1000, 0.05, func(rate float64) (bool, error) {
			tried++
			return rate <= test.capacity, nil
		})
		if err != nil || passed != test.passed || failed != test.failed || tried > 12 {
			t.Errorf("capacity %v: %v, %v, %v after %d", test.capacity, passed, failed, err, tried)
		}
	}
	broken := errors.New("broken")
	if _, _, err := Search(1, 2, 0.1, func(float64) (bool, error) { return false, broken }); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

func TestJudge(t *testing.T) {
	holds, err := ParseThreshold("ack_p99<1s")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		r    Result
		with []Threshold
		pass bool
	}{
		{"a threshold holds", Result{Steps: []Step{stepOf(100, 100)}}, []Threshold{holds}, true},
		{"on one step of two", Result{Steps: []Step{stepOf(100, 100), stepOf(100, 50)}}, []Threshold{holds}, false},
		{"no threshold", Result{Steps: []Step{stepOf(100, 50)}}, nil, true},
		{"no threshold and no answer", Result{Steps: []Step{stepOf(100, 0)}}, nil, false},
		{"no samples", Result{Steps: []Step{stepOf(0, 0)}}, nil, false},
		{"no step", Result{}, []Threshold{holds}, false},
		{"interrupted", Result{Steps: []Step{stepOf(100, 100)}, Interrupted: true}, []Threshold{holds}, false},
		{"a search that found", Result{Steps: []Step{stepOf(100, 50)}, Capacity: &Found{Passed: 10}}, []Threshold{holds}, true},
		{"a search that did not", Result{Steps: []Step{stepOf(100, 100)}, Capacity: &Found{Failed: 10}}, []Threshold{holds}, false},
	} {
		if test.r.Judge(test.with); test.r.Pass != test.pass || test.r.Why == "" {
			t.Errorf("%s: %v (%s)", test.name, test.r.Pass, test.r.Why)
		}
	}
}

func TestResultForms(t *testing.T) {
	earlier := Result{Version: Version, Steps: []Step{stepOf(100, 100)}}
	r := Result{Version: Version, Address: `"><script>`, Services: []string{"7.4"}, Steps: []Step{stepOf(100, 95), stepOf(30, 10)}}
	threshold, err := ParseThreshold("ack_p99<1s")
	if err != nil {
		t.Fatal(err)
	}
	r.Judge([]Threshold{threshold})
	var b bytes.Buffer
	if err := earlier.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	read, err := ReadResult(&b)
	if err != nil {
		t.Fatal(err)
	}
	r.Compare(read)
	if len(r.Compared) == 0 || r.Compared[1].Metric != "ack_p99_ms" || r.Compared[1].After != nil || r.Compared[1].Before == nil {
		t.Errorf("compared: %+v", r.Compared)
	}
	b.Reset()
	if err := r.WriteCSV(&b); err != nil {
		t.Fatal(err)
	}
	if lines, err := csv.NewReader(&b).ReadAll(); err != nil || len(lines) != 1+10+3 || lines[1][2] != "10" {
		t.Errorf("%v: %v", err, lines)
	}
	b.Reset()
	if err := r.WriteHTML(&b); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	for _, part := range []string{"<svg", "Did not pass", "not known", `class="mark"`, "Beside the earlier test", "stroke-dasharray"} {
		if !strings.Contains(page, part) {
			t.Errorf("the page lacks %q", part)
		}
	}
	for _, part := range []string{"<script>", "src=", "NaN", "Inf", "ZgotmplZ"} {
		if strings.Contains(page, part) {
			t.Errorf("the page holds %q", part)
		}
	}
	b.Reset()
	if err := r.WriteText(&b); err != nil || !strings.Contains(b.String(), "did not pass") {
		t.Errorf("%v: %s", err, &b)
	}
	if _, err := ReadResult(strings.NewReader(`{"version":9}`)); !errors.Is(err, ErrResult) {
		t.Errorf("got %v", err)
	}
	if _, err := ReadResult(strings.NewReader(`x`)); !errors.Is(err, ErrResult) {
		t.Errorf("got %v", err)
	}
}

func TestLoopbackURL(t *testing.T) {
	for text, want := range map[string]string{
		"http://127.0.0.1:8079": "http://127.0.0.1:8079",
		"http://localhost:8079": "http://127.0.0.1:8079",
		"http://[::1]:8079":     "http://[::1]:8079",
		"http://127.9.9.9":      "http://127.9.9.9",
		"https://localhost":     "https://127.0.0.1",
	} {
		if got, err := LoopbackURL(text); err != nil || got != want {
			t.Errorf("%s: %s, %v", text, got, err)
		}
	}
	for _, text := range []string{
		"http://192.168.0.1:8079", "https://192.168.0.1:8079", "http://dcc.example:8079", "http://127.0.0.1.example", "http://0.0.0.0:1", "http://localhost.example",
	} {
		if _, err := LoopbackURL(text); !errors.Is(err, ErrNotLoopback) {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, text := range []string{"ftp://127.0.0.1", "127.0.0.1:8079"} {
		if _, err := LoopbackURL(text); err == nil {
			t.Errorf("%s: accepted", text)
		}
	}
}
