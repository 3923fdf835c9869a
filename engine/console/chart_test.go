package console

import (
	"bufio"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"safemode/engine/chart"
	"safemode/engine/record"
)

// Four rates and the limit stand on one chart, to one scale.
func TestPace(t *testing.T) {
	limit := 20.0
	course := []record.Moment{moment(0, 40, 20, 10, 5), moment(1, 40, 20, 10, 5), moment(4, 0, 20, 10, 0)}
	c := pace(course, &limit)
	if c == nil {
		t.Fatal("no chart")
	}
	want := []chart.Line{
		{Name: "requested", Class: "requested", Value: "26.7", Path: "M0.0 0.0L250.0 0.0L1000.0 1000.0"},
		{Name: "sent", Class: "sent", Value: "20.0", Path: "M0.0 500.0L250.0 500.0L1000.0 500.0"},
		{Name: "acknowledged", Class: "acknowledged", Value: "10.0", Path: "M0.0 750.0L250.0 750.0L1000.0 750.0"},
		{Name: "answered", Class: "answered", Value: "3.3", Path: "M0.0 875.0L250.0 875.0L1000.0 1000.0"},
		{Name: "limit", Class: "limit", Value: "20.0", Path: "M0.0 500.0L1000.0 500.0"},
	}
	if diff := cmp.Diff(want, c.Lines); diff != "" {
		t.Error(diff)
	}
	if first := c.XTicks[0]; first.Label != "now" || first.At != 100 {
		t.Errorf("the time axis: %+v", c.XTicks)
	}
	for name, few := range map[string][]record.Moment{"nothing": nil, "one second": course[:1], "an idle sweep": {moment(0, 0, 0, 0, 0), moment(1, 0, 0, 0, 0)}} {
		if pace(few, nil) != nil {
			t.Errorf("a chart of %s", name)
		}
	}
	page := ask(newConsole(t, &fakeSweep{status: troubled()}, func(o *Options) { o.Course = func() []record.Moment { return course } }), "GET", "/").Body.String()
	for _, text := range []string{`<path class="limit"`, `<path class="answered"`, "requested <b>26.7</b>", "limit <b>20.0</b>", "POSTs and proven answers a second: requested 26.7; sent 20.0", ">now</span>"} {
		if !strings.Contains(page, text) {
			t.Errorf("the page lacks %q", text)
		}
	}
}

// moment is a second of a course.
func moment(second int, requested, sent, acknowledged, answered float64, regions ...record.RegionRates) record.Moment {
	at := time.Date(2026, 11, 25, 16, 0, second, 0, time.UTC)
	return record.Moment{Rates: record.Rates{At: at, Requested: requested, Sent: sent, Acknowledged: acknowledged, Answered: answered}, Regions: regions}
}

// A long course is drawn by means, the last of as many moments as the others.
func TestLongCourse(t *testing.T) {
	var course []record.Moment
	for i := range 599 {
		course = append(course, moment(i, 0, float64(i), 0, 0))
	}
	_, all, highest := over(course, []kind{{"sent", func(m record.Moment) float64 { return m.Sent }}}, 60)
	one := all[0]
	if len(one.X) != 60 || one.X[0] != 8 || one.Y[0] != 4 || one.X[59] != 598 || one.Y[59] != 593.5 || highest != 593.5 {
		t.Errorf("%d points, from %g %g to %g %g, the highest %g", len(one.X), one.X[0], one.Y[0], one.X[59], one.Y[59], highest)
	}
}

// Each region has a chart of its own, and all have one scale.
func TestRegionsOverTime(t *testing.T) {
	rates := func(answered, failed float64) record.RegionRates {
		return record.RegionRates{Answered: answered, Failed: failed}
	}
	course := []record.Moment{moment(0, 0, 0, 0, 0, rates(4, 1), rates(1, 0)), moment(2, 0, 0, 0, 0, rates(2, 0), rates(0, 0))}
	heard := []record.RegionHeard{{Region: "4G North"}, {Region: "South"}}
	var paths []string
	for _, c := range regions(course, heard) {
		if top := c.YTicks[len(c.YTicks)-1]; top.Label != "4" || top.At != 100 {
			t.Errorf("%s: the axis ends at %+v", c.Title, top)
		}
		for _, l := range c.Lines {
			paths = append(paths, l.Name+" "+l.Path)
		}
	}
	want := []string{"answered M0.0 0.0L1000.0 500.0", "failed M0.0 750.0L1000.0 1000.0", "answered M0.0 750.0L1000.0 1000.0", "failed M0.0 1000.0L1000.0 1000.0"}
	if diff := cmp.Diff(want, paths); diff != "" {
		t.Error(diff)
	}
	if regions(course, heard[:1]) != nil || regions(nil, heard) != nil || regions(course[1:], heard) != nil {
		t.Error("charts of regions that are not those of the course, or of nothing")
	}
	page := ask(newConsole(t, &fakeSweep{status: troubled()}, func(o *Options) { o.Course = func() []record.Moment { return course } }), "GET", "/").Body.String()
	for _, text := range []string{"<h3>4G North</h3><p>last answer 14 s ago; 7 requests open</p>", `<p class="fault">SILENT, last answer 15 min ago; 2 requests open</p>`, `aria-label="South, requests a second by how they ended: answered 0.5; failed 0"`} {
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
