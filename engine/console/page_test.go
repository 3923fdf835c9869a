package console

import (
	"bufio"
	"context"
	"crypto/sha256"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// troubled is a sweep with one of everything that a person must look at.
func troubled() map[string]any {
	return map[string]any{
		"environment": "simulator", "sweep_id": "0123456789ab", "direction": "DIR-7", "supplier": "S-EUI (ABCD)", "deadline": "2026-12-21T00:00:00Z",
		"time": "2026-11-27T16:00:00Z", "clock_speed": 300.0, "inbox_heard_seconds": 3.0, "disk_free_bytes": 3 << 30,
		"regions_heard": []map[string]any{{"region": "4G North", "open": 7, "seconds": 14.0}, {"region": "South", "open": 2, "seconds": 900.0, "silent": true}},
		"health":        map[string]any{"level": "not_sending", "says": "the sweep is paused"},
		"to_do": []map[string]any{
			{"says": "the sweep is paused by wave 1", "do": "Find out why; then resume.", "commands": []string{"safemode resume"}, "incident": "paused"},
			{"says": "3 meters are not safe", "do": "By reason:", "list": "not_safe", "meters": 3, "reasons": []map[string]any{{"reason": "arm refused", "meters": 3, "do": "send an engineer"}}},
		},
		"state": "paused", "reason": "canary: 5 of 45 requests ended unverified", "meters": 200, "started": 60, "done": 40,
		"verdicts":  map[string]int{"on_supply": 30, "armed": 4, "not_safe": 3, "unknown": 2, "excluded": 1},
		"in_flight": map[string]int{"North": 7}, "queued": 2, "throttled": 11, "service_requests_per_second": 12.5,
		"eta_seconds": 7200.0, "eta_range_seconds": []float64{3600, 9000},
		"classes": map[string]int{"success": 90, "no_response": 4}, "waiting": map[string]int{"quarantined": 1, "stuck": 2, "held": 0},
		"retries": 5, "retry_budget": 100,
		"waves":      []map[string]any{{"wave": 1, "name": "canary", "state": "opened", "meters": 45, "unsettled": 5, "sample": map[string]int{"unverified": 5}}, {"wave": 2, "name": "growth", "state": "waiting", "waits_for": "the sweep is held"}},
		"holds":      []map[string]any{{"scope": "the sweep", "action": "pause", "by": "wave 1", "reason": "<script>alert(1)</script>", "since": "2026-11-25T16:00:00Z"}},
		"quarantine": []string{"77001"},
		"gates":      map[string]string{"direction": "open", "certificates": "revoked: serial 7"},
		"breakers":   map[string]string{"transform North": "open"},
		"regions": []map[string]any{
			{"region": "4G North", "fuel": "gas", "meters": 80, "verdicts": map[string]int{"armed": 3}},
			{"region": "South", "fuel": "electricity", "meters": 120, "verdicts": map[string]int{"on_supply": 30}},
		},
		"services":         map[string]map[string]int{"7.4": {"success": 91, "no_response": 4}},
		"anomaly_headroom": map[string]float64{"1.6": 0.07, "7.3": -0.5}, "limit_per_second": 20.0,
	}
}

// The page says all that is wrong, each with what to do, before any script has run.
func TestPageIsReadWithoutScripts(t *testing.T) {
	h := newConsole(t, &fakeSweep{status: troubled()}, nil)
	w := ask(h, "GET", "/")
	page := w.Body.String()
	for _, text := range []string{
		"<title>DRILL not sending: 40 of 200 - safemode</title>", "http-equiv=\"refresh\"",
		"SIMULATOR: a drill, no real meter is touched", "Safe mode sweep 0123456789ab", "DIR-7, until 21 Dec 2026 00:00 UTC", "S-EUI (ABCD)", "the sweep's, 300 times as fast",
		`<strong class="badge not_sending">not sending</strong> the sweep is paused`,
		"<b>the sweep is paused by wave 1.</b> Find out why; then resume.", "<code>safemode resume</code>", `<a href="/incident/paused" aria-label="What to know of this: paused">What to know of this</a>`, "<li>3: arm refused; send an engineer</li>",
		"last answer 14 s ago", "SILENT, last answer 15 min ago", "last message 3 s ago", "3.0 GiB free", "waiting for the sweep is held",
		"<b>40 of 200</b> meters have a verdict", `<a href="#to-do"><b>2</b> things to do</a>`, "nothing moves until it goes on", "armed <b>4</b> of 200", "no verdict yet <b>160</b> of 200",
		"shut: revoked: serial 7", `<th scope="row">gate direction</th><td>passes</td>`, `<th scope="row">circuit transform North</th><td><span class="fault">shut`, "77001",
		"1 canary", "unverified 5", "5 of 100 retries used", "put off 11",
		`<th scope="row">4G North</th><td>gas</td><td class="n">0</td><td class="n">3</td><td class="n">0</td><td class="n">0</td><td class="n">0</td><td class="n">77</td><td class="n">80</td>`,
		`<th scope="row">7.4 <span class="small">Read Supply Status</span></th><td class="n">91</td><td class="n">0</td><td class="n">4</td>`, "7% left", "-50% left: exceeded",
	} {
		if !strings.Contains(page, text) {
			t.Errorf("the page lacks %q", text)
		}
	}
	if strings.Contains(page, "<script>alert") {
		t.Error("a reason runs as a script")
	}
	policy := w.Header().Get("Content-Security-Policy")
	if !strings.Contains(policy, "default-src 'none'") || !strings.Contains(policy, "frame-ancestors 'none'") {
		t.Errorf("policy %q", policy)
	}
	for _, outside := range []string{"http://", "https://", "src="} {
		if strings.Contains(page, outside) {
			t.Errorf("the page takes something from outside: %s", outside)
		}
	}
}

func TestNoteForTheNextShift(t *testing.T) {
	w := ask(newConsole(t, &fakeSweep{status: troubled()}, nil), "GET", "/note")
	for _, line := range []string{
		"State: paused. canary: 5 of 45", "  armed           4 of 200\n", "Wave 1 (canary): opened; 5 of 45 meters unsettled",
		"SIMULATOR: a drill", "Health: not sending. the sweep is paused\n", "gate certificates: revoked: serial 7", "Wave 2 (growth): waiting for the sweep is held; ",
		"To do:\n  - the sweep is paused by wave 1. Find out why; then resume.\n      safemode resume\n      more: safemode help incident paused\n  - 3 meters are not safe. By reason:\n      3: arm refused -> send an engineer",
		"Direction DIR-7, supplier S-EUI (ABCD), until 21 Dec 2026 00:00 UTC",
	} {
		if !strings.Contains(w.Body.String(), line) {
			t.Errorf("the note lacks %q:\n%s", line, w.Body)
		}
	}
	calm := ask(newConsole(t, &fakeSweep{status: map[string]any{"state": "running", "meters": 1}}, nil), "GET", "/note")
	if !strings.Contains(calm.Body.String(), "nothing: it goes on by itself") {
		t.Errorf("a calm note:\n%s", calm.Body)
	}
}

// News comes by itself, as often as there is a second, and ends with its reader.
func TestLiveNews(t *testing.T) {
	server := httptest.NewServer(newConsole(t, &fakeSweep{status: troubled()}, nil))
	defer server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/live", nil)
	if err != nil {
		t.Fatal(err)
	}
	reply, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer reply.Body.Close()
	if got := reply.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Errorf("it comes as %q", got)
	}
	events := 0
	for lines := bufio.NewScanner(reply.Body); events < 2 && lines.Scan(); {
		line := lines.Text()
		if line == "" {
			events++
		} else if !strings.HasPrefix(line, "data: ") && line != "data:" {
			t.Fatalf("no line of an event: %q", line)
		}
	}
	if events != 2 {
		t.Errorf("%d events came", events)
	}
}

// A reader who may only look has no buttons, and is told so.
func TestPageOfALooker(t *testing.T) {
	h := newConsole(t, &fakeSweep{status: troubled()}, func(o *Options) {
		o.People = []Person{{Name: "Ada", TokenSHA256: sha256.Sum256([]byte("ada's token")), Role: Orders}, {Name: "Bob", TokenSHA256: sha256.Sum256([]byte("bob's token")), Role: Looks}}
	})
	for token, want := range map[string]string{"ada's token": "Orders of Ada", "bob's token": "Bob may look, but gives no orders. Who may: Ada."} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if !strings.Contains(w.Body.String(), want) || strings.Contains(w.Body.String(), `id="person"`) {
			t.Errorf("%s: the page lacks %q, or asks for a name", token, want)
		}
	}
}
