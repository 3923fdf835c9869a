package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"safemode/engine/record"
)

// A wait ends with the first thing that it is for, or once that cannot come any more.
func TestWait(t *testing.T) {
	var looks atomic.Int64
	course := []record.Status{
		{State: "running", Meters: 9, Verdicts: map[string]int{"armed": 1}},
		{State: "running", Meters: 9, Verdicts: map[string]int{"armed": 2}, Health: record.Health{Level: record.HealthPerson}},
		{State: "paused", Meters: 9, Done: 4, Health: record.Health{Level: record.HealthNotSending}},
		{State: "halted", Meters: 9, Done: 4, Reason: "a gate"},
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		at := min(int(looks.Add(1))-1, len(course)-1)
		_ = json.NewEncoder(w).Encode(course[at]) // the test's own client reads it
	}))
	defer server.Close()
	for name, c := range map[string]struct {
		args  string
		code  int
		looks int64
		says  string
	}{
		"a state":           {"--for paused", exitDone, 3, "paused: 4 of 9"},
		"a count":           {"--for armed>1", exitDone, 2, "running: 0 of 9"},
		"one of several":    {"--for finished,ended", exitDone, 4, "halted"},
		"health":            {"--for needs_person", exitDone, 2, "running"},
		"what cannot come":  {"--for finished", exitFailed, 4, "the sweep has ended otherwise"},
		"done":              {"--for done>3", exitDone, 3, "paused"},
		"the time is up":    {"--for ceased --timeout 1ms", exitFailed, 0, "the time is up"},
		"no such word":      {"--for sleeping", exitUsage, 0, "want one of standing_by, running, paused"},
		"no number":         {"--for armed>many", exitUsage, 0, "then > and a number"},
		"nothing to count":  {"--for paused>1", exitUsage, 0, "then > and a number"},
		"no time at all":    {"--for paused --every 0s", exitUsage, 0, "want more than 0s"},
		"no sweep, no time": {"--for paused --timeout 50ms --operations " + freeAddress(t), exitFailed, 0, "no sweep answers"},
	} {
		looks.Store(0)
		args := append([]string{"wait", "--every", "1ms"}, strings.Fields(c.args)...)
		if !strings.Contains(c.args, "--operations") {
			args = append(args, "--operations", server.URL)
		}
		if strings.Contains(c.args, "0s") {
			args = append([]string{"wait"}, args[3:]...)
		}
		r := safemode(t, "", args...)
		if r.code != c.code || !strings.Contains(r.out+r.err, c.says) || c.looks > 0 && looks.Load() != c.looks {
			t.Errorf("%s: exit %d after %d looks: %s%s", name, r.code, looks.Load(), r.out, r.err)
		}
	}
	looks.Store(2)
	var st record.Status
	if err := json.Unmarshal([]byte(must(t, "", "wait", "--for", "paused", "--json", "--operations", server.URL)), &st); err != nil || st.State != "paused" {
		t.Errorf("%v, %+v", err, st)
	}
}

// An order that nobody answers in time may still be carried out, and that is said. Where no
// sweep is, the journal is named, which says how it ended.
func TestOrderWithoutAnAnswer(t *testing.T) {
	hang := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hang }))
	defer server.Close()
	defer close(hang)
	client := operations{address: server.URL, patience: 20 * time.Millisecond}
	if err := client.call(t.Context(), http.MethodPost, "/pause", nil, nil); err == nil || !strings.Contains(err.Error(), "may still be carried out") {
		t.Errorf("an order: %v", err)
	}
	if err := client.call(t.Context(), http.MethodGet, "", nil, nil); err == nil || strings.Contains(err.Error(), "carried out") {
		t.Errorf("a question: %v", err)
	}
	refuses(t, exitFailed, "safemode status --journal FILE says how", "", "pause", "--operations", freeAddress(t))
}
