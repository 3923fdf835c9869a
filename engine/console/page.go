package console

import (
	"bytes"
	"cmp"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"safemode/servicerequests"
)

// state is what the page shows of the sweep's status; see [Sweep].
type state struct {
	State       string            `json:"state"`
	Reason      string            `json:"reason"`
	Meters      int               `json:"meters"`
	Started     int               `json:"started"`
	Done        int               `json:"done"`
	Verdicts    map[string]int    `json:"verdicts"`
	InFlight    map[string]int    `json:"in_flight"`
	Queued      int               `json:"queued"`
	Throttled   int               `json:"throttled"`
	ETA         *float64          `json:"eta_seconds"`
	ETARange    *[2]float64       `json:"eta_range_seconds"`
	Rate        float64           `json:"service_requests_per_second"`
	Limit       *float64          `json:"limit_per_second"`
	Regions     []region          `json:"regions"`
	Classes     map[string]int    `json:"classes"`
	Services    services          `json:"services"`
	Waiting     map[string]int    `json:"waiting"`
	Retries     int               `json:"retries"`
	RetryBudget int               `json:"retry_budget"`
	Waves       []wave            `json:"waves"`
	Holds       []hold            `json:"holds"`
	Quarantine  []string          `json:"quarantine"`
	Renewal     *float64          `json:"renewal_seconds"`
	Breakers    map[string]string `json:"breakers"`
	Signer      string            `json:"signer"`
	Gates       map[string]string `json:"gates"`

	Refusals []refusal          `json:"refusals"`
	Headroom map[string]float64 `json:"anomaly_headroom"`
}

type refusal struct {
	At     time.Time `json:"at"`
	SRV    string    `json:"srv"`
	Region string    `json:"region"`
	Class  string    `json:"class"`
	Code   string    `json:"code"`
}

// services counts requests that have ended, by SRV and class.
type services map[string]map[string]int

type region struct {
	Region   string         `json:"region"`
	Fuel     string         `json:"fuel"`
	Meters   int            `json:"meters"`
	Verdicts map[string]int `json:"verdicts"`
}

// Left is how many have no verdict yet.
func (r region) Left() int {
	left := r.Meters
	for _, n := range r.Verdicts {
		left -= n
	}
	return left
}

type wave struct {
	Number    int            `json:"wave"`
	Name      string         `json:"name"`
	State     string         `json:"state"`
	Meters    int            `json:"meters"`
	Unsettled int            `json:"unsettled"`
	Until     time.Time      `json:"soaks_until"` // zero: it does not soak
	Sample    map[string]int `json:"sample"`
}

type hold struct {
	Scope  string    `json:"scope"`
	Action string    `json:"action"`
	By     string    `json:"by"`
	Reason string    `json:"reason"`
	Since  time.Time `json:"since"`
}

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

// view is a state made ready for the page.
type view struct {
	state
	At     time.Time
	Parts  []part
	Next   []string // what to do now, the most pressing first
	Stuck  []count
	Shut   []string // gates that are closed and circuits that are open, with why
	Chart  *chart   // nil: too little has passed
	Ending string

	// For the orders.
	RegionNames []string
	SRVs        []string
	Stories     bool // one meter's story can be told

	reader
}

//go:embed page.html
var pageText string

var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{
	"words":    func(s string) string { return strings.ReplaceAll(s, "_", " ") },
	"counts":   counts,
	"verdicts": func() []string { return verdicts[:] },
	"classes":  func() []string { return classes[:] },
	"percent":  func(share float64) string { return fmt.Sprintf("%.0f%%", 100*share) },
}).Parse(pageText + storyText))

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
	if err := json.Unmarshal(status, &v.state); err != nil {
		return v, err
	}
	v.Parts = parts(v.state)
	v.Next = next(v.state)
	for _, waits := range sorted(v.Waiting) {
		if waits.N > 0 {
			v.Stuck = append(v.Stuck, waits)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(v.Gates)) {
		if v.Gates[name] != "open" {
			v.Shut = append(v.Shut, "gate "+name+": "+v.Gates[name])
		}
	}
	if v.Signer != "" {
		v.Shut = append(v.Shut, "signer: "+v.Signer)
	}
	for _, name := range slices.Sorted(maps.Keys(v.Breakers)) {
		v.Shut = append(v.Shut, "circuit "+name+": "+v.Breakers[name])
	}
	if c.o.Course != nil {
		v.Chart = draw(c.o.Course(), v.Limit)
	}
	v.Ending = ending(v.state)
	for _, r := range servicerequests.Regions {
		v.RegionNames = append(v.RegionNames, r.String())
	}
	for _, s := range servicerequests.Services {
		v.SRVs = append(v.SRVs, s.SRV())
	}
	return v, nil
}

var verdicts = [...]string{"on_supply", "armed", "not_safe", "unknown", "excluded"}

// classes are those of requests that have ended; the withdrawn never reached a meter.
var classes = [...]string{"success", "negative", "no_response", "rejected", "in_doubt", "unverified", "withdrawn"}

// parts draws the verdicts as parts of all meters.
func parts(s state) (list []part) {
	if s.Meters == 0 {
		return nil
	}
	x, left := 0.0, s.Meters
	add := func(class, label string, n int) {
		width := 1000 * float64(n) / float64(s.Meters)
		list = append(list, part{class, label, n, x, width})
		x += width
	}
	for _, verdict := range verdicts {
		n := s.Verdicts[verdict]
		left -= n
		add(verdict, strings.ReplaceAll(verdict, "_", " "), n)
	}
	add("left", "no verdict yet", left)
	return list
}

// next says what a person should do now: one thing for each that is wrong.
func next(s state) (list []string) {
	add := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	for _, gate := range slices.Sorted(maps.Keys(s.Gates)) {
		if why := s.Gates[gate]; why != "open" {
			add("The gate %s is closed (%s). Start nothing before it is open again and two people have approved.", gate, why)
		}
	}
	if s.State == "halted" {
		add("The sweep halted itself: %s. Mend the cause; the same command goes on with it.", s.Reason)
	}
	if len(s.Quarantine) > 0 {
		add("The DCC holds %d requests back. Have it release the event references below, then resume.", len(s.Quarantine))
	}
	for _, h := range s.Holds {
		if h.Action == "pause" {
			add("%s is paused since %s by %s: %s. Resume it once that is understood.", h.Scope, h.Since.UTC().Format("15:04 UTC"), h.By, cmp.Or(h.Reason, "no reason given"))
		}
	}
	if s.Renewal != nil && *s.Renewal < 300 {
		add("Nobody has renewed the sweep: it pauses in %.0f s. Run safemode renew.", max(0, *s.Renewal))
	}
	if s.Signer != "" {
		add("The sweep waits for its signer: %s. Bring that back; it goes on by itself.", s.Signer)
	}
	for _, circuit := range slices.Sorted(maps.Keys(s.Breakers)) {
		add("POSTs to %s fail (circuit %s). Ask the DCC whether that service is in trouble; probes go on by themselves.", circuit, s.Breakers[circuit])
	}
	if n := s.Waiting["held"]; n > 0 {
		add("%d meters are held for a person: an answer that the code table does not know. Look at them in meters.csv of safemode report.", n)
	}
	if n := s.Waiting["stuck"]; n > 0 {
		add("%d meters are stuck. safemode evidence tells each one's story; safemode rerun tries them once more.", n)
	}
	if n := s.Verdicts["armed"]; n > 0 {
		add("%d meters are armed: their homes need a call to press the button. calls.csv of safemode report lists these homes.", n)
	}
	return list
}

// ending says when the last verdict is due, with its range.
func ending(s state) string {
	say := func(seconds float64) string { return (time.Duration(seconds) * time.Second).String() }
	switch {
	case s.Done == s.Meters:
		return "every meter has a verdict"
	case s.ETA == nil:
		return "not known yet"
	case s.ETARange != nil:
		return fmt.Sprintf("%s to %s by the sweep's clock", say(s.ETARange[0]), say(s.ETARange[1]))
	}
	return "about " + say(*s.ETA) + " by the sweep's clock"
}

// page serves the page as it is now. It can be read without scripts, and then loads
// itself again every few seconds.
func (c console) page(w http.ResponseWriter, r *http.Request) {
	who := reader{MayOrder: true, Redacted: c.redacts(r)}
	if person, known := r.Context().Value(personKey{}).(Person); known {
		who.Person, who.MayOrder = person.Name, person.Operator
	}
	f := form{"page", who}
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

// live sends the page's middle anew every second (server-sent events), until the
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

func note(v view) ([]byte, error) {
	var b bytes.Buffer
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("Safe mode sweep, %s", v.At.UTC().Format("2006-01-02 15:04:05 UTC"))
	line("State: %s. %s", v.State, v.Reason)
	line("Verdicts: %d of %d meters; to go: %s", v.Done, v.Meters, v.Ending)
	for _, p := range v.Parts {
		line("  %-15s %d of %d", p.Label, p.N, v.Meters)
	}
	for _, r := range v.Regions {
		line("  %s, %s: %s, %d without a verdict, of %d", r.Region, r.Fuel, cmp.Or(counts(r.Verdicts), "no verdicts"), r.Left(), r.Meters)
	}
	line("Pace: %.1f Service Requests a second; put off by the DCC %d times in this run", v.Rate, v.Throttled)
	for _, wave := range v.Waves {
		line("Wave %d (%s): %s, %d of %d meters unsettled", wave.Number, wave.Name, wave.State, wave.Unsettled, wave.Meters)
	}
	for _, shut := range v.Shut {
		line("Shut: %s", shut)
	}
	for _, h := range v.Holds {
		line("Held: %s, %s by %s since %s: %s", h.Scope, h.Action, h.By, h.Since.UTC().Format("2006-01-02 15:04 UTC"), h.Reason)
	}
	for _, s := range v.Stuck {
		line("Waiting: %d of %d meters %s", s.N, v.Meters, s.Name)
	}
	if len(v.Quarantine) > 0 {
		line("Quarantined by the DCC, event references: %s", strings.Join(v.Quarantine, " "))
	}
	line("To do:")
	for _, todo := range v.Next {
		line("  - %s", todo)
	}
	if len(v.Next) == 0 {
		line("  nothing: it goes on by itself")
	}
	return b.Bytes(), nil
}
