package console

import (
	"bufio"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// Four rates and the limit stand on one chart, to one scale.
func TestChart(t *testing.T) {
	begin, limit := time.Date(2026, 11, 25, 16, 0, 0, 0, time.UTC), 20.0
	course := []Rates{{begin, 40, 20, 10, 5}, {begin.Add(time.Second), 40, 20, 10, 5}, {begin.Add(4 * time.Second), 0, 20, 10, 0}}
	c := draw(course, &limit)
	if c == nil || c.Highest != 42 || c.Seconds != 4 {
		t.Fatalf("%+v", c)
	}
	want := map[string]string{
		"requested": "0.0,9.5 250.0,9.5 1000.0,200.0", "sent": "0.0,104.8 250.0,104.8 1000.0,104.8",
		"acknowledged": "0.0,152.4 250.0,152.4 1000.0,152.4", "answered": "0.0,176.2 250.0,176.2 1000.0,200.0",
	}
	for _, l := range c.Lines {
		if l.Points != want[l.Name] {
			t.Errorf("%s: %s", l.Name, l.Points)
		}
	}
	if c.LimitY < 104.7 || c.LimitY > 104.8 { // where what was sent is
		t.Errorf("the limit is drawn at %g", c.LimitY)
	}
	for name, few := range map[string][]Rates{"nothing": nil, "one second": course[:1], "an idle sweep": {{At: begin}, {At: begin.Add(time.Second)}}} {
		if draw(few, nil) != nil {
			t.Errorf("a chart of %s", name)
		}
	}
	page := ask(newConsole(t, &fakeSweep{status: troubled()}, func(o *Options) { o.Course = func() []Rates { return course } }), "GET", "/").Body.String()
	for _, text := range []string{`class="limit"`, `<polyline class="answered"`, "requested <b>26.7</b>", "limit <b>20.0</b>", "the last 4 s"} {
		if !strings.Contains(page, text) {
			t.Errorf("the page lacks %q", text)
		}
	}
}

// Before the address answers no more, who follows the news gets the last.
func TestLastNews(t *testing.T) {
	closing := make(chan struct{})
	s := &fakeSweep{status: troubled()}
	server := httptest.NewServer(newConsole(t, s, func(o *Options) { o.Closing = closing }))
	defer server.Close()
	reply, err := http.Get(server.URL + "/live")
	if err != nil {
		t.Fatal(err)
	}
	defer reply.Body.Close()
	lines := bufio.NewScanner(reply.Body)
	for lines.Scan() && lines.Text() != "" {
	}
	close(closing)
	ended := make(chan int)
	go func() {
		events := 0
		for lines.Scan() {
			if lines.Text() == "" {
				events++
			}
		}
		ended <- events
	}()
	select {
	case events := <-ended:
		if events < 1 {
			t.Error("no last news")
		}
	case <-time.After(time.Minute):
		t.Error("the news go on")
	}
}
