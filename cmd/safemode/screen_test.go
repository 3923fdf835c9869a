package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	tea "charm.land/bubbletea/v2"
	"charm.land/lipgloss/v2"
	"github.com/charmbracelet/x/ansi"

	"safemode/engine/record"
)

// troubled is a status with one of everything that a person must see.
func troubled(t *testing.T) (st record.Status) {
	t.Helper()
	err := json.Unmarshal([]byte(`{"environment":"simulator","sweep_id":"0123456789ab","direction":"DIR-7","supplier":"S-EUI (ABCD)","deadline":"2026-12-21T00:00:00Z",
		"time":"2026-11-25T16:00:02Z","real_time":"2026-11-24T03:00:00Z","clock_speed":300,
		"health":{"level":"not_sending","says":"the sweep is paused"},
		"to_do":[{"says":"the sweep is paused since 25 Nov 16:00 UTC by Ada: to look","do":"Ask Ada; then resume.","commands":["safemode resume"]},{"says":"3 meters are not safe","do":"By reason:"}],
		"regions_heard":[{"region":"North","open":7,"seconds":14},{"region":"4G North","open":2,"silent":true}],"inbox_heard_seconds":3,"disk_free_bytes":3221225472,
		"state":"paused","reason":"canary: 5 of 45 requests ended unverified","meters":200,"started":60,"done":40,
		"verdicts":{"on_supply":30,"armed":4,"not_safe":3,"unknown":2,"excluded":1},"in_flight":{"North":7},"queued":2,"throttled":11,
		"eta_seconds":7200,"eta_range_seconds":[3600,9000],"rates":{"requested":9,"sent":8.5,"acknowledged":8,"answered":4.2},"limit_per_second":10,
		"waiting":{"stuck":2},"retries":5,"retry_budget":100,
		"regions":[{"region":"4G North","fuel":"gas","meters":80,"verdicts":{"armed":3}},{"region":"North","fuel":"electricity","meters":120,"verdicts":{"on_supply":30}}],
		"waves":[{"wave":1,"name":"canary","state":"opened","meters":45,"unsettled":5,"sample":{"unverified":5}},{"wave":2,"name":"growth","state":"waiting","meters":155,"unsettled":155,"waits_for":"the sweep is held"}],
		"holds":[{"scope":"the sweep","action":"pause","by":"Ada","reason":"to look","since":"2026-11-25T16:00:00Z"}],
		"gates":{"direction":"open","certificates":"revoked: serial 7"},"breakers":{"transform North":"open"},
		"anomaly_headroom":{"1.6":0.07},"renewal_seconds":90,
		"refusals":[{"at":"2026-11-25T16:00:01Z","srv":"7.4","region":"North","class":"rejected","code":"E4"}]}`), &st)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// step has a screen take a message in.
func step(t *testing.T, s screen, m tea.Msg) (screen, tea.Cmd) {
	t.Helper()
	next, command := s.Update(m)
	is, ok := next.(screen)
	if !ok {
		t.Fatalf("%T", next)
	}
	return is, command
}

func silent() []string { return nil }

// The view says all that a status says, in as many columns and lines as there are.
func TestScreen(t *testing.T) {
	st := troubled(t)
	s := screen{status: func() (record.Status, error) { return st, nil }, talk: silent}
	if text := ansi.Strip(s.draw()); !strings.Contains(text, "waiting for the sweep") {
		t.Errorf("before the first news:\n%s", text)
	}
	s, _ = step(t, s, tea.WindowSizeMsg{Width: 120, Height: 60})
	s, again := step(t, s, s.Init()())
	if again == nil {
		t.Error("it does not look again")
	}
	text := ansi.Strip(s.draw())
	for _, part := range []string{
		"SIMULATOR: a drill, no real meter is touched", "NOT SENDING  paused: canary: 5 of 45", "Sweep 0123456789ab  DIR-7  until 21 Dec 2026 00:00 UTC  supplier S-EUI (ABCD)",
		"03:00:00 real time; 25 Nov 16:00:02 the sweep's clock, 300 times as fast",
		"To do, 2", "1. the sweep is paused since 25 Nov 16:00 UTC by Ada: to look. Ask Ada; then resume.", "2. 3 meters are not safe. By reason.",
		"North      last answer 14 s ago, 7 requests open", "4G North   SILENT, no answer yet, 2 requests open", "Inbox last message 3 s ago", "Disk 3.0 GiB", "waiting for the sweep is held",
		"on supply 30", "armed 4", "not safe 3", "unknown 2", "excluded 1", "no verdict 160 of 200",
		"to go: nothing moves until it goes on", "sent              8.5", "limit            10.0", "5 of 100 retries used", "put off 11",
		"1 canary          40 of 45 settled  opened  5 unverified", "4G North   gas", "77     80", "Passes SHUT: gate certificates; circuit transform North",
		"2 stuck", "SRV 1.6 7% left", "To be renewed in 90 s", "16:00:01  SRV 7.4   North      rejected E4", "Ctrl-C drains",
	} {
		if !strings.Contains(text, part) {
			t.Errorf("the view lacks %q:\n%s", part, text)
		}
	}
	// The bars are as long as their rates are high.
	for line := range strings.Lines(text) {
		want := map[string]int{"sent": 79, "answered": 39, "limit": 94}
		if name, _, _ := strings.Cut(line, " "); want[name] != 0 && strings.Count(line, "━")+strings.Count(line, "─") != want[name] {
			t.Errorf("%q: a bar of %d, want %d", name, strings.Count(line, "━")+strings.Count(line, "─"), want[name])
		}
	}
	for _, size := range []tea.WindowSizeMsg{{Width: 80, Height: 24}, {Width: 40, Height: 10}, {Width: 20, Height: 4}, {Width: 1, Height: 1}} {
		s, _ = step(t, s, size)
		lines := strings.Split(s.draw(), "\n")
		if len(lines) > max(size.Height, 4) {
			t.Errorf("%d lines in %d", len(lines), size.Height)
		}
		for _, line := range lines {
			if lipgloss.Width(line) > max(size.Width, 20) {
				t.Errorf("%d columns in %d: %q", lipgloss.Width(line), size.Width, line)
			}
		}
		if !strings.HasPrefix(ansi.Strip(lines[0]), " SIMULATOR: a drill") {
			t.Errorf("first comes %q", lines[0])
		}
		// The smallest of the usual terminals shows all that must be known at once.
		if text := ansi.Strip(strings.Join(lines, "\n")); size.Height == 24 {
			for _, part := range []string{"NOT SENDING", "0123456789ab", "to look. Ask Ada; then\nresume.", "3 meters are not safe", "SHUT: gate certificates", "on supply 30"} {
				if !strings.Contains(text, part) {
					t.Errorf("80x24 lacks %q:\n%s", part, text)
				}
			}
		}
	}
}

// Ctrl-C asks the sweep to stop, and the view stays until it has; where only the view is
// to end, q ends it.
func TestScreenKeys(t *testing.T) {
	asked := 0
	s := screen{talk: silent, interrupt: func() { asked++ }}
	ctrlC, q := tea.KeyPressMsg{Code: 'c', Mod: tea.ModCtrl}, tea.KeyPressMsg{Code: 'q', Text: "q"}
	s, command := step(t, s, ctrlC)
	if asked != 1 || command != nil || !strings.Contains(s.footer(), "what is under way is waited for") {
		t.Errorf("Ctrl-C: %d asked, %v, %q", asked, command, s.footer())
	}
	if _, command = step(t, s, q); asked != 1 || command != nil {
		t.Errorf("q: %d asked, %v", asked, command)
	}
	s.quits = true
	for _, key := range []tea.KeyPressMsg{ctrlC, q} {
		if _, command = step(t, s, key); command == nil || command() != tea.Quit() {
			t.Errorf("%v does not end the view", key)
		}
	}
}

// A sweep that answers no more leaves the last that was known, and says so.
func TestScreenWithoutNews(t *testing.T) {
	s := screen{talk: func() []string { return []string{`{"msg":"halted"}`} }, width: 100, height: 50}
	s, _ = step(t, s, news{status: troubled(t)})
	s, again := step(t, s, news{err: errors.New("no sweep answers at 127.0.0.1:8090")})
	text := ansi.Strip(s.draw())
	if again == nil || !strings.Contains(text, "no news: no sweep answers") || !strings.Contains(text, "on supply 30") || !strings.Contains(text, `{"msg":"halted"}`) {
		t.Errorf("it shows\n%s", text)
	}
}

// Text that is written while a view fills the terminal is kept, and comes after the
// view, whole.
func TestTerminalKeepsWhatIsSaid(t *testing.T) {
	path := filepath.Join(t.TempDir(), "terminal")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	term := &terminal{Writer: f, file: f}
	said := func(text string) {
		if _, err := term.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	said("before\n")
	if err := term.fill(true); err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Fields("1 2 3 4 5 6 7") {
		said(line + "\n")
	}
	if talk := strings.Join(term.talk(), " "); talk != "3 4 5 6 7" {
		t.Errorf("it shows %q", talk)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "before\n" {
		t.Errorf("while it is filled: %q, %v", text, err)
	}
	if err := term.fill(false); err != nil {
		t.Fatal(err)
	}
	said("after\n")
	if text, err := os.ReadFile(path); err != nil || string(text) != "before\n1\n2\n3\n4\n5\n6\n7\nafter\n" {
		t.Errorf("then: %q, %v", text, err)
	}
	// No terminal, no view.
	if _, filled := fillable(stdio{err: f}, false).err.(*terminal); filled {
		t.Error("a file is filled")
	}
	refuses(t, exitFailed, "no sweep answers", "", "status", "--watch", "--operations", freeAddress(t))
}
