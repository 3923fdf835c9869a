package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// The page of a running sweep in a real browser: it is read with and without scripts,
// steered with a confirmation and by the keyboard, on a wide and on a narrow screen, and
// leads to each meter's story. The reports' pages are looked at, too.
func TestPagesInABrowser(t *testing.T) {
	long(t)
	b := openBrowser(t)
	s := newScene(t, 60, 5, referenceSpeed)
	s.plan(t, "plan", "safemode.yaml", "direction.yaml")
	sim := s.sim(t)
	p := start(t, append(s.sweepArgs("safemode.yaml", "plan", "journal.db"), "--stay", "5m")...)
	s.untilDone(t, p, 5)
	base := "http://" + s.operations
	b.show(base + "/")
	b.until(`document.querySelector('.chart')`) // two seconds of news
	if list := b.unnamed(); len(list) > 0 {
		t.Errorf("without a name: %v", list)
	}
	b.skips()
	b.steer(s)

	// Without scripts the same can be read, and nothing can be pressed that does nothing.
	b.order("pause", true)
	b.until(`document.querySelector('.word').textContent === 'paused'`)
	b.scripts(false)
	b.show(base + "/")
	text := b.text()
	for _, part := range []string{"paused", "Without scripts this page loads itself again", "of 60 meters have a verdict", "the sweep is paused since"} {
		if !strings.Contains(text, part) {
			t.Errorf("without scripts the page lacks %q:\n%s", part, text)
		}
	}
	if strings.Contains(text, "Pause") {
		t.Error("without scripts there is a button")
	}
	b.widths("paused-without-scripts")
	b.scripts(true)
	b.show(base + "/")
	b.order("resume", true)

	b.until(`document.querySelector('.word').textContent === 'finished'`) // by the news alone
	b.widths("page")
	b.stories(s)
	if r := p.signal(syscall.SIGINT); r.code != exitDone {
		t.Errorf("exit %d: %s", r.code, r.err)
	}
	b.calm(base)
	out := filepath.Join(t.TempDir(), "report")
	must(t, "", "report", "--journal", s.path("journal.db"), "--out", out, "--json")
	for _, page := range []string{"summary.html", "weekly.html", "handover/handover.html"} {
		b.show("file://" + filepath.Join(out, page))
		b.widths(strings.TrimSuffix(filepath.Base(page), ".html"))
	}
	b.calm(base, "file://"+out)
	stopSim(t, sim)
}

// skips goes by the keyboard from the beginning of the page to the state, and on to the first
// link there; each shows that the focus is on it.
func (b *browser) skips() {
	b.t.Helper()
	const shown = `(r => r.left >= 0 && r.width > 0)(document.activeElement.getBoundingClientRect()) && parseFloat(getComputedStyle(document.activeElement).outlineWidth) > 2`
	b.press("Tab", 9)
	b.until(`document.activeElement.matches('.skip') && ` + shown)
	b.press("Enter", 13)
	b.until(`document.activeElement.id === 'live'`)
	b.press("Tab", 9)
	b.until(`document.activeElement.matches('#live *') && ` + shown)
}

// order gives an order by a button of the page, and answers its question.
func (b *browser) order(order string, sure bool) {
	b.t.Helper()
	b.mu.Lock()
	b.accept = sure
	asked := len(b.dialogs)
	b.mu.Unlock()
	b.run(fmt.Sprintf(`document.getElementById('person').value = 'Ada'; document.querySelector('[data-order=%s]').focus()`, order), nil)
	b.press("Enter", 13)
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.dialogs) != asked+1 || !strings.HasSuffix(b.dialogs[asked], "the whole sweep?") {
		b.t.Errorf("%s: asked %q", order, b.dialogs[asked:])
	}
}

// steer pauses and resumes by the keyboard.
func (b *browser) steer(s *scene) {
	b.t.Helper()
	b.order("pause", false)
	if state := s.status(b.t).State; state != "running" {
		b.t.Errorf("a person who was not sure: the sweep is %s", state)
	}
	b.order("pause", true)
	b.until(`document.getElementById('said').textContent === 'pause: done'`)
	status := s.status(b.t)
	if status.State != "paused" || len(status.Holds) != 1 || status.Holds[0].By != "Ada" {
		b.t.Errorf("the sweep is %s, held by %+v", status.State, status.Holds)
	}
	// The news leave the focus where it is.
	b.run(`document.querySelector('#live a').focus(); window.before = document.activeElement.href; window.same = document.activeElement`, nil)
	b.until(`!window.same.isConnected`)
	b.until(`document.activeElement.href === window.before`)
	b.order("resume", true)
	b.until(`document.querySelector('.word').textContent !== 'paused'`)
	// Without a name nothing is ordered.
	b.run(`document.getElementById('person').value = ''; document.querySelector('[data-order=stop]').click()`, nil)
	b.until(`document.getElementById('said').textContent === 'An order needs your name.'`)
}

// stories goes from the page to one meter's story, and holds it against the evidence
// that the journal gives.
func (b *browser) stories(s *scene) {
	t := b.t
	t.Helper()
	b.scripts(false)
	defer b.scripts(true)
	b.show("http://" + s.operations + "/meters?list=armed")
	b.widths("meters")
	var devices []string
	b.run(`[...document.querySelectorAll('tbody th a')].map(a => a.textContent)`, &devices)
	status := s.status(t)
	if len(devices) == 0 || len(devices) != status.Verdicts["armed"] {
		t.Fatalf("%d meters are listed of %d that are armed", len(devices), status.Verdicts["armed"])
	}
	device := devices[0]
	b.show("http://" + s.operations + "/meters?find=" + device)
	var found struct {
		Title    string
		Chapters []string
		Results  []string
	}
	b.run(`({ Title: document.querySelector('h1').textContent, Chapters: [...document.querySelectorAll('.story [id]')].map(e => e.id), Results: [...document.querySelectorAll('.result')].map(e => e.textContent) })`, &found)
	if list := b.unnamed(); len(list) > 0 {
		t.Errorf("without a name: %v", list)
	}
	b.widths("story")
	var written struct{ Records int }
	out := must(t, "", "evidence", "--journal", s.path("journal.db"), "--device", device, "--config", s.path("safemode.yaml"), "--out", filepath.Join(t.TempDir(), "evidence"), "--json")
	if err := json.Unmarshal([]byte(out), &written); err != nil {
		t.Fatal(err)
	}
	if found.Title != device || written.Records == 0 || len(found.Chapters) != written.Records {
		t.Errorf("%s: %d records, the evidence has %d", found.Title, len(found.Chapters), written.Records)
	}
	if !slices.Contains(found.Results, "verified") || slices.ContainsFunc(found.Results, func(r string) bool { return strings.HasPrefix(r, "FAILED") || strings.HasPrefix(r, "not checked") }) {
		t.Errorf("checks: %q", found.Results)
	}
}
