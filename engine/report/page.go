package report

import (
	"cmp"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"safemode/engine/chart"
	"safemode/engine/record"
	"safemode/servicerequests"
)

// page is a report for people: one HTML file with nothing outside it, to be read
// on a screen or on paper.
type page struct {
	record.Identity // its environment: a drill is marked on every page that is printed
	Title           string
	Facts           []string // lines below the title
	Sections        []section
}

// section is one question with its answer.
type section struct {
	Heading string
	Text    string
	Bars    []bar
	Lines   *chart.Chart
	Table   *grid
}

// grid is a table. Its columns of numbers stand on the right.
type grid struct {
	Head []string
	Rows [][]string
}

// add adds a row of texts and numbers.
func (g *grid) add(cells ...any) {
	row := make([]string, len(cells))
	for i, cell := range cells {
		row[i] = fmt.Sprint(cell)
	}
	g.Rows = append(g.Rows, row)
}

// bar is one row of a stacked bar chart, in units of a tenth of a percent.
type bar struct {
	Label    string
	Of       int // the whole of which these are parts
	Segments []segment
}

type segment struct {
	Class string // of the style sheet
	X, W  float64
	Label string
	N     int
}

//go:embed page.html
var pageText string

var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{"whole": isID, "pieces": pieces}).Parse(pageText + chart.Templates))

var (
	idPattern     = regexp.MustCompile(`^([0-9A-F]{2}(-[0-9A-F]{2}){7}|[0-9]{6,13})$`)
	euiPattern    = regexp.MustCompile(`[0-9A-F]{2}(-[0-9A-F]{2}){7}`)
	numberPattern = regexp.MustCompile(`^[-+]?[0-9][0-9,.]*( %| of [0-9]+)?$`)
)

// isID says whether a text is a device id or an MPxN, which is not broken into lines.
func isID(text string) bool { return idPattern.MatchString(text) }

// pieces splits a text so that each device id in it stands alone.
func pieces(text string) (all []string) {
	from := 0
	for _, at := range euiPattern.FindAllStringIndex(text, -1) {
		all = append(all, text[from:at[0]], text[at[0]:at[1]])
		from = at[1]
	}
	return append(all, text[from:])
}

// Numbers says which columns have numbers, which are aligned right. MPxNs and SRVs are not
// numbers.
func (g *grid) Numbers() []bool {
	all := make([]bool, len(g.Head))
	for i, head := range g.Head {
		all[i] = len(g.Rows) > 0 && head != "SRV" && !strings.HasPrefix(head, "MPxN")
		for _, row := range g.Rows {
			all[i] = all[i] && numberPattern.MatchString(row[i])
		}
	}
	return all
}

func (p page) write(w io.Writer) error { return pageTemplate.Execute(w, p) }

// verdictWords are the verdicts as people read them, with what they mean.
var verdictWords = [...][2]string{
	{"on supply", "in credit mode with the supply on, both read back"},
	{"armed", "in credit mode; supply returns when the consumer presses the button"},
	{"not safe", "known to be neither"},
	{"unknown", "no trustworthy answer"},
	{"excluded", "not to be touched"},
}

// verdictBar draws verdicts as parts of their meters.
func verdictBar(label string, v Verdicts) bar {
	numbers := v.list()
	b := bar{Label: label}
	for _, n := range numbers {
		b.Of += n
	}
	x := 0.0
	for i, n := range numbers {
		if n == 0 {
			continue
		}
		width := 1000 * float64(n) / float64(b.Of)
		b.Segments = append(b.Segments, segment{record.Verdicts[i], x, width, verdictWords[i][0], n})
		x += width
	}
	return b
}

// verdictTable tells verdicts with their denominator.
func verdictTable(of string, v Verdicts, meters int) *grid {
	t := &grid{Head: []string{of, "meters", "share", "meaning"}}
	for i, n := range v.list() {
		t.add(verdictWords[i][0], fmt.Sprintf("%d of %d", n, meters), percent(n, meters), verdictWords[i][1])
	}
	return t
}

// text says by what the sweep acted.
func (a Authority) text() string {
	text := fmt.Sprintf("Direction %s; %s acts for the failed supplier %s (%s).", cmp.Or(a.Reference, "unknown"), cmp.Or(a.SRP, "unknown"), a.Supplier, strings.Join(a.MPIDs, ", "))
	if d := a.Delay; d != nil {
		text += fmt.Sprintf(" Revocation of its certificates delayed by the PMA: %s of %s, until %s.", d.Reference, d.Date.UTC().Format(time.DateOnly), minute(d.End))
	}
	return text
}

// homesTable tells the homes of each priority, and of all.
func (w Weekly) homesTable() *grid {
	t := &grid{Head: []string{"priority", "homes", "all on supply", "armed", "other", "to press the button", "dark now"}}
	all := WeeklyPriority{Homes: w.Homes, Calls: w.Calls}
	for i, p := range append(slices.Clone(w.Priorities), all) {
		label := strconv.Itoa(p.Priority)
		if i == len(w.Priorities) {
			label = "all"
		}
		t.add(label, p.Homes.all(), p.Homes.AllOnSupply, p.Homes.Armed, p.Homes.Other, p.Calls.Armed, p.Calls.Dark)
	}
	return t
}

func noticeTable(notices []Notice) *grid {
	t := &grid{Head: []string{"at", "wish", "reference", "reason", "recorded by"}}
	for _, n := range notices {
		t.add(minute(n.At), strings.ReplaceAll(n.Wish, "_", " "), n.Reference, n.Reason, n.By)
	}
	return t
}

// facts are what identifies a report.
func (r *Report) facts() []string {
	return []string{
		r.Authority.text(),
		fmt.Sprintf("Sweep %s, plan %.16s, %s. Records from %s to %s by the sweep's clock.", r.Summary.SweepID, r.Summary.PlanSHA256,
			cmp.Or(r.Ended, "not ended"), minute(r.First), minute(r.Last)),
	}
}

func minute(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

// WriteHTML writes summary.html.
func (r *Report) WriteHTML(w io.Writer) error {
	s := r.Summary
	homes := s.Homes.all()
	p := page{Identity: record.Identity{Environment: s.Environment}, Title: "Safe mode sweep", Facts: append(r.facts(), s.homesFirst()...)}
	if len(s.Departures) > 0 {
		p.Facts = append(p.Facts, s.departures())
	}
	p.Sections = append(p.Sections,
		section{Heading: "Where the meters stand", Bars: r.fuelBars(), Table: verdictTable("verdict", s.Verdicts, s.Meters)},
		section{Heading: "Homes", Text: fmt.Sprintf("Of %d homes (both fuels together) with a planned meter.", homes), Table: &grid{
			Head: []string{"home", "homes", "share"},
			Rows: [][]string{
				{"all its meters on supply", strconv.Itoa(s.Homes.AllOnSupply), percent(s.Homes.AllOnSupply, homes)},
				{"a meter armed, the others on supply", strconv.Itoa(s.Homes.Armed), percent(s.Homes.Armed, homes)},
				{"a meter not safe, unknown or excluded", strconv.Itoa(s.Homes.Other), percent(s.Homes.Other, homes)},
			},
		}},
		section{Heading: "Homes that need a person", Text: fmt.Sprintf("Of %d homes. calls.csv lists them by priority and hours without supply.", homes), Table: s.Calls.table(homes)},
		section{Heading: "Progress", Lines: r.progress()},
		section{Heading: "Service Requests", Table: requestTable(s)},
		section{Heading: "Why meters are not on supply", Table: reasonTable(r.Weekly(r.Last, nil).GoingOn, s.Meters)},
	)
	if d := s.DarkHours; d != nil {
		p.Sections = append(p.Sections, section{Heading: "Dark hours", Text: d.text() + " " + d.assumptions(), Table: d.table()})
	}
	if text := s.otherText(); text != "" {
		p.Sections = append(p.Sections, section{Heading: "Other traffic", Text: text})
	}
	p.Sections = append(p.Sections, r.smets1Sections()...)
	if len(r.NotCovered) > 0 {
		rows := len(r.Meters) + len(r.NotCovered)
		p.Sections = append(p.Sections, section{
			Heading: "Not covered",
			Text:    fmt.Sprintf("%d of %d rows of the portfolio were rejected; nothing of them was sent.", len(r.NotCovered), rows),
			Table:   notCoveredTable(r.NotCovered),
		})
	}
	return p.write(w)
}

// fuelBars draws the verdicts of each fuel.
func (r *Report) fuelBars() []bar {
	byFuel := map[string]Verdicts{}
	for i := range r.Meters {
		fuel := r.Meters[i].Target.Type.Fuel()
		v := byFuel[fuel]
		v.add(r.Meters[i].Verdict.Verdict)
		byFuel[fuel] = v
	}
	return []bar{
		verdictBar("all", r.Summary.Verdicts), verdictBar("electricity", byFuel["electricity"]), verdictBar("gas", byFuel["gas"]),
	}
}

func requestTable(s Summary) *grid {
	t := &grid{Head: []string{"SRV", "sent", "success", "negative", "no response", "rejected", "in doubt", "unverified"}}
	for _, service := range servicerequests.Services {
		if c, used := s.Requests[service.SRV()]; used {
			t.add(service.SRV(), c.Sent, c.Success, c.Negative, c.NoResponse, c.Rejected, c.InDoubt, c.Unverified)
		}
	}
	return t
}

// longestTable bounds what a page lists; the CSV beside it has everything.
const longestTable = 200

func reasonTable(reasons []ReasonMeters, meters int) *grid {
	t := &grid{Head: []string{"verdict", "reason", "meters", "of"}}
	for _, r := range reasons[:min(len(reasons), longestTable)] {
		t.add(strings.ReplaceAll(r.Verdict, "_", " "), r.Reason, r.Meters, meters)
	}
	return t
}

func notCoveredTable(rows []record.RejectedBody) *grid {
	t := &grid{Head: []string{"line", "device", "reason"}}
	for _, row := range rows[:min(len(rows), longestTable)] {
		t.add(row.Line, row.Device, row.Reason)
	}
	return t
}

// progress draws how many meters were on supply, and how many of those or armed,
// over the time of the sweep.
func (r *Report) progress() *chart.Chart {
	type event struct {
		at            time.Time
		supply, armed int
	}
	var events []event
	for i := range r.Meters {
		before := ""
		for _, c := range r.Meters[i].Changes {
			e := event{at: c.At}
			for _, step := range [...]struct {
				verdict string
				by      int
			}{{before, -1}, {c.Verdict, 1}} {
				switch step.verdict {
				case record.VerdictOnSupply:
					e.supply += step.by
				case record.VerdictArmed:
					e.armed += step.by
				}
			}
			before = c.Verdict
			events = append(events, e)
		}
	}
	slices.SortFunc(events, func(a, b event) int { return a.at.Compare(b.at) })
	const points = 250
	span := r.Last.Sub(r.First)
	if span <= 0 || len(r.Meters) == 0 {
		return nil
	}
	onSupply, safe := chart.Series{Name: "on supply", Class: record.VerdictOnSupply}, chart.Series{Name: "on supply or armed", Class: record.VerdictArmed}
	supply, armed, next := 0, 0, 0
	for i := range points + 1 {
		until := r.First.Add(time.Duration(float64(span) * float64(i) / points))
		for next < len(events) && !events[next].at.After(until) {
			supply += events[next].supply
			armed += events[next].armed
			next++
		}
		x := until.Sub(r.First).Seconds()
		onSupply.X, onSupply.Y = append(onSupply.X, x), append(onSupply.Y, float64(supply))
		safe.X, safe.Y = append(safe.X, x), append(safe.Y, float64(supply+armed))
	}
	onSupply.Value, safe.Value = strconv.Itoa(supply), strconv.Itoa(supply+armed)
	c := chart.Draw(chart.Options{
		Title: "Meters that are on supply or armed, over the time of the sweep",
		X:     chart.Axis{Label: "since the beginning, by the sweep's clock", To: span.Seconds(), Ticks: chart.Times(span.Seconds())},
		Y:     chart.Axis{Label: fmt.Sprintf("meters, of %d planned", len(r.Meters)), To: float64(len(r.Meters))},
	}, safe, onSupply)
	return &c
}

// WriteHTML writes weekly.html.
func (w Weekly) WriteHTML(out io.Writer) error {
	p := page{
		Identity: record.Identity{Environment: w.Environment},
		Title:    "Weekly report on the failed supplier's prepayment meters",
		Facts: []string{
			w.Authority.text(),
			fmt.Sprintf("Week from %s to %s by the sweep's clock. Sweep %s, plan %.16s.", minute(w.From), minute(w.To), w.SweepID, w.PlanSHA256),
		},
	}
	totals := &grid{Head: []string{"verdict", "now", "a week before", "change", "share now"}}
	now, before := w.Now.list(), w.Before.list()
	for i, words := range verdictWords {
		totals.add(words[0], fmt.Sprintf("%d of %d", now[i], w.Planned), before[i], fmt.Sprintf("%+d", now[i]-before[i]), percent(now[i], w.Planned))
	}
	var bars []bar
	rows := &grid{Head: []string{"fuel and region", "planned", "on supply", "armed", "not safe", "unknown", "excluded"}}
	for _, row := range w.Rows {
		label := row.Fuel + ", " + row.Region
		bars = append(bars, verdictBar(label, row.Now))
		rows.add(label, row.Planned, row.Now.OnSupply, row.Now.Armed, row.Now.NotSafe, row.Now.Unknown, row.Now.Excluded)
	}
	portfolio := w.Planned + w.NotCovered
	p.Sections = []section{
		{Heading: "All meters", Bars: []bar{verdictBar("now", w.Now), verdictBar("a week before", w.Before)}, Table: totals},
		{Heading: "By fuel and region", Bars: bars, Table: rows},
		{Heading: "Homes", Text: fmt.Sprintf("Of %d homes (both fuels together), by the priority of their most urgent meter, 0 first. %d are dark and not armed now, %d armed. "+
			"A week before %d were all on supply.", w.Homes.all(), w.Calls.Dark, w.Calls.Armed, w.HomesBefore.AllOnSupply), Table: w.homesTable()},
		{Heading: "Calls", Text: fmt.Sprintf("Of %d meters to call about as the journal ends, the call centre is done with %d and has tried %d more.", w.CallList.ToCall, w.CallList.Done, w.CallList.Tried)},
		{Heading: "Transfers", Text: w.Transferred.text(w.Planned, w.Homes.all())},
		{Heading: "Not covered", Text: fmt.Sprintf("%d of %d rows of the portfolio were rejected; nothing of them is sent.", w.NotCovered, portfolio)},
		{Heading: "SMETS1 meters", Text: w.SMETS1.text(portfolio)},
		{Heading: "Reasons for going on", Text: "Meters that are not on supply and not excluded.", Table: reasonTable(w.GoingOn, w.Planned)},
		{Heading: "Notices of the next supplier", Table: noticeTable(w.Notices)},
	}
	return p.write(out)
}

// WriteHandoverHTML writes handover.html.
func (r *Report) WriteHandoverHTML(w io.Writer) error {
	h := r.Handover()
	counters := &grid{Head: []string{"originator", "counters used", "first", "last", "used twice"}}
	for _, c := range h.Counters {
		counters.add(c.Originator, c.Used, c.First, c.Last, c.Reused)
	}
	known, meters := &grid{Head: []string{"known", "meters", "of"}}, h.Meters
	count := func(what string, of int, is func(*Meter) bool) (n int) {
		for i := range r.Meters {
			if is(&r.Meters[i]) {
				n++
			}
		}
		known.add(what, n, of)
		return n
	}
	switched := count("switched to credit mode by this sweep", meters, func(m *Meter) bool { return !m.SwitchedAt.IsZero() })
	count("balance before the switch", meters, func(m *Meter) bool { return m.Before.Balance != nil })
	count("balance after it", switched, func(m *Meter) bool { return m.After.Balance != nil })
	count("prepayment settings before the switch", meters, func(m *Meter) bool { return m.Settings.Configuration != nil })
	calls, list := r.calls(), &grid{Head: []string{"priority", "kind", "MPxNs", "region", "hours without supply"}}
	for _, c := range calls[:min(len(calls), longestTable)] {
		line := c.line(r.Last)
		list.add(line[0], kindWords[c.Need], line[4], line[3], hoursWords(c))
	}
	p := page{Identity: record.Identity{Environment: h.Environment}, Title: "Handover to the next supplier", Facts: r.facts(), Sections: []section{
		{Heading: "Where the meters stand", Bars: r.fuelBars(), Table: verdictTable("verdict", h.Verdicts, h.Meters)},
		{Heading: "What is known of each", Table: known},
		{Heading: "Homes that need a person", Text: fmt.Sprintf("Of %d homes (both fuels together) %d are armed: supply returns when the consumer presses the button. "+
			"%d are dark and not armed: somebody must act otherwise. The whole list is calls.csv; the first %d are here. armed.csv has the %d armed meters of %d.",
			r.Summary.Homes.all(), r.Summary.Calls.Armed, r.Summary.Calls.Dark, len(list.Rows), h.Verdicts.Armed, h.Meters), Table: list},
		{Heading: "Notices of the next supplier", Table: noticeTable(r.Notices)},
		{Heading: "Originator counters", Text: "The next counter of each originator must be above the last.", Table: counters},
	}}
	p.Sections = append(p.Sections, r.smets1Sections()...)
	return p.write(w)
}

// writeHTML writes reconciliation.html.
func (c Reconciliation) writeHTML(w io.Writer) error {
	p := page{Identity: record.Identity{Environment: c.Environment}, Title: "Reconciliation", Facts: []string{
		fmt.Sprintf("%d meters planned.", c.Planned), compared("the inventory", c.ComparedInventory, c.Inventory),
		compared("the list of transfers", c.Compared, c.Transfers),
	}}
	findings := &grid{Head: []string{"finding", "devices", "of planned"}}
	for _, n := range c.count() {
		findings.add(n.Reason, n.Meters, c.Planned)
	}
	list := &grid{Head: []string{"device", "MPxN", "verdict", "finding"}}
	for _, d := range c.Differences[:min(len(c.Differences), longestTable)] {
		list.add(d.Device, d.MPxN, strings.ReplaceAll(d.Verdict, "_", " "), d.Finding)
	}
	p.Sections = []section{
		{Heading: "Findings", Table: findings},
		{Heading: "Devices", Text: fmt.Sprintf("%d of %d differences are here; reconciliation.csv has all.", len(list.Rows), len(c.Differences)), Table: list},
	}
	return p.write(w)
}

func compared(list string, was bool, n int) string {
	if !was {
		return "Not compared with " + list + "."
	}
	return fmt.Sprintf("Compared with %s of %d devices.", list, n)
}
