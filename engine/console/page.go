package console

import (
	"bytes"
	"cmp"
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"safemode/engine/chart"
	"safemode/engine/record"
	"safemode/servicerequests"
)

// part is one stripe of a bar.
type part struct {
	Class, Label string
	N            int
	X, W         float64 // of 1000
}

// count is one number under a name.
type count struct {
	Name string
	N    int
}

// view is a status made ready for the page.
type view struct {
	record.Status
	At     time.Time
	Parts  []part
	Stuck  []count
	Passes []record.Way
	Pace   *chart.Chart // nil: too little has passed
	Areas  []region
	Ending string
	Unsaid string

	StandsBy string

	// For the orders.
	RegionNames []string
	SRVs        []string
	Stories     bool // one meter's story can be told

	reader
}

// region is when a region was last heard of, and how it went there of late.
type region struct {
	record.RegionHeard
	Chart *chart.Chart // nil: too little has passed
}

//go:embed style.html page.html story.html
var pages embed.FS

var pageTemplate = template.Must(template.Must(template.New("pages").Funcs(template.FuncMap{
	"words":    func(s string) string { return strings.ReplaceAll(s, "_", " ") },
	"parts":    func(id string) []string { return strings.SplitAfter(id, ":") },
	"pounds":   pounds,
	"counts":   counts,
	"verdicts": func() []string { return record.Verdicts[:] },
	"classes":  func() []string { return record.EndedClasses },
	"service":  serviceName,
	"ago":      record.Ago,
	"instant":  instant,
	"gib":      func(n *uint64) string { return fmt.Sprintf("%.1f GiB", float64(*n)/(1<<30)) },
	"percent":  func(share float64) string { return fmt.Sprintf("%.0f%%", 100*share) },
}).ParseFS(pages, "*.html")).New("chart").Parse(chart.Templates))

// counts lists what is not 0.
func counts(m map[string]int) string {
	var list []string
	for _, c := range sorted(m) {
		if c.N != 0 {
			list = append(list, fmt.Sprintf("%s %d", strings.ReplaceAll(c.Name, "_", " "), c.N))
		}
	}
	return strings.Join(list, ", ")
}

func sorted(m map[string]int) []count {
	all := make([]count, 0, len(m))
	for _, name := range slices.Sorted(maps.Keys(m)) {
		all = append(all, count{name, m[name]})
	}
	return all
}

// look makes the sweep's status, which is JSON, into a view.
func (c console) look(now time.Time, status []byte) (view, error) {
	v := view{At: now, Stories: c.o.Stories != nil}
	if err := json.Unmarshal(status, &v.Status); err != nil {
		return v, err
	}
	v.Parts, v.Passes = parts(&v.Status), v.Status.Ways()
	for _, waits := range sorted(v.Waiting) {
		if waits.N > 0 {
			v.Stuck = append(v.Stuck, waits)
		}
	}
	for _, r := range v.Heard {
		v.Areas = append(v.Areas, region{RegionHeard: r})
	}
	if c.o.Course != nil {
		course := c.o.Course()
		v.Pace = pace(course, v.Limit)
		for i, drawn := range regions(course, v.Heard) {
			v.Areas[i].Chart = &drawn
		}
	}
	v.Ending, v.Unsaid, v.StandsBy = v.Status.Ending(), v.Status.Unsaid(), v.Status.StandsBy()
	for _, r := range servicerequests.Regions {
		v.RegionNames = append(v.RegionNames, r.String())
	}
	for _, s := range servicerequests.Services {
		v.SRVs = append(v.SRVs, s.SRV())
	}
	return v, nil
}

// serviceName is what a service is called in DUIS; empty where it is not known.
func serviceName(srv string) string {
	for _, s := range servicerequests.Services {
		if v, known := s.Variant(); known && s.SRV() == srv {
			return v.Name
		}
	}
	return ""
}

// parts draws the verdicts as parts of all meters.
func parts(s *record.Status) (list []part) {
	if s.Meters == 0 {
		return nil
	}
	x, left := 0.0, s.Meters
	add := func(class, label string, n int) {
		width := 1000 * float64(n) / float64(s.Meters)
		list = append(list, part{class, label, n, x, width})
		x += width
	}
	for _, verdict := range record.Verdicts {
		n := s.Verdicts[verdict]
		left -= n
		add(verdict, strings.ReplaceAll(verdict, "_", " "), n)
	}
	add("left", "no verdict yet", left)
	return list
}

// page serves the page as it is now. It can be read without scripts, and then loads
// itself again every few seconds.
func (c console) page(w http.ResponseWriter, r *http.Request) {
	who := callerOf(r)
	f := form{"page", reader{Person: who.name, Redacted: c.redacts(r)}}
	if !who.role.may(Orders) {
		f.reader.Refusal = c.tokens.refusal(who)
	}
	page, err := c.board.read().as(f, f.fill)
	if err != nil {
		c.broken(w, err)
		return
	}
	protect(w)
	_, _ = w.Write(page) // the reader has gone if this fails
}

// protect says what a page is, and that it takes nothing from elsewhere and tells nobody
// where its reader was.
func protect(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; connect-src 'self'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
}

func (c console) broken(w http.ResponseWriter, err error) {
	c.o.Log.Error("the page cannot be made", zap.Error(err))
	http.Error(w, "the page cannot be made", http.StatusInternalServerError)
}

// streamPause is the longest that a reader of news may take for one piece.
const streamPause = 10 * time.Second

// news is the page's middle as a server-sent event.
func news(v view) ([]byte, error) {
	b, err := form{name: "live"}.fill(v)
	text := strings.ReplaceAll(strings.TrimSpace(string(b)), "\n", "\ndata: ")
	return []byte("data: " + text + "\n\n"), err
}

// live sends the page's middle every second (server-sent events), until the
// reader goes or the server ends.
func (c console) live(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	out := http.NewResponseController(w)
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	var last <-chan struct{}
	for {
		event, err := c.board.read().as("news", news)
		if err != nil {
			c.o.Log.Error("the page cannot be made", zap.Error(err))
			return
		}
		_ = out.SetWriteDeadline(time.Now().Add(streamPause))
		if _, err := w.Write(event); err != nil || out.Flush() != nil {
			return
		}
		select {
		case <-last:
			return
		default:
		}
		select {
		case <-ticker.C:
		case <-c.o.Closing:
			last = c.o.Closing // once more: how it ended
		case <-r.Context().Done():
			return
		}
	}
}

// note is what one shift tells the next, as text.
func (c console) note(w http.ResponseWriter, _ *http.Request) {
	text, err := c.board.read().as("note", note)
	if err != nil {
		c.broken(w, err)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(text) // the reader has gone if this fails
}

// incident answers with the runbook's text of one incident.
func (c console) incident(w http.ResponseWriter, r *http.Request) {
	text, known := "", false
	if c.o.Incident != nil {
		text, known = c.o.Incident(r.PathValue("name"))
	}
	if !known {
		http.Error(w, "no such incident", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte(text)) // the reader has gone if this fails
}

func note(v view) ([]byte, error) {
	var b bytes.Buffer
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("%s", v.Banner())
	line("Safe mode sweep %s, %s real time", v.SweepID, v.At.UTC().Format("2006-01-02 15:04:05 UTC"))
	line("Direction %s, supplier %s, until %s", v.Direction, v.Supplier, instant(v.Deadline))
	line("Health: %s. %s", v.Health.Words(), v.Health.Says)
	line("State: %s. %s", v.State, v.Reason)
	line("To do:")
	for _, t := range v.ToDo {
		for i, text := range t.Lines() {
			line("  %s%s", [...]string{"- ", "  "}[min(i, 1)], text)
		}
	}
	if len(v.ToDo) == 0 {
		line("  nothing: it goes on by itself")
	}
	for _, h := range v.Holds {
		line("Held: %s, %s by %s since %s: %s", h.Scope, h.Action, h.By, h.Since.UTC().Format("2006-01-02 15:04 UTC"), h.Reason)
	}
	for _, w := range v.Passes {
		line("%s: %s", w.Name, cmp.Or(w.Shut, "passes"))
	}
	line("Verdicts: %d of %d meters; to go: %s", v.Done, v.Meters, v.Ending)
	for _, p := range v.Parts {
		line("  %-15s %d of %d", p.Label, p.N, v.Meters)
	}
	for _, r := range v.Regions {
		line("  %s, %s: %s, %d without a verdict, of %d", r.Region, r.Fuel, cmp.Or(counts(r.Verdicts), "no verdicts"), r.Left(), r.Meters)
	}
	for _, r := range v.Heard {
		line("  %s: %s by the sweep's clock, %d requests open", r.Region, r.Says(), r.Open)
	}
	for _, wave := range v.Waves {
		line("Wave %d (%s): %s; %d of %d meters unsettled", wave.Number, wave.Name, wave.Condition(), wave.Unsettled, wave.Meters)
	}
	for _, s := range v.Stuck {
		line("Waiting: %d of %d meters %s", s.N, v.Meters, s.Name)
	}
	line("Pace: %.1f Service Requests a second; put off by the DCC %d times in this run", v.Rate, v.Throttled)
	return b.Bytes(), nil
}

// instant is a time as people read it.
func instant(t time.Time) string {
	if t.IsZero() {
		return "not known"
	}
	return t.UTC().Format("2 Jan 2006 15:04 UTC")
}
