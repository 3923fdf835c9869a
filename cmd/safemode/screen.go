package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"charm.land/lipgloss/v2"
	"github.com/charmbracelet/x/ansi"

	"safemode/engine/record"
)

// screen fills a terminal with where a sweep stands. It knows what status --json says,
// and nothing else but the last lines of talk.
type screen struct {
	status    func() (record.Status, error) // called once a second
	talk      func() []string               // the last lines, oldest first
	interrupt func()                        // Ctrl-C was pressed
	quits     bool                          // a key ends the view and nothing else
	ours      func() bool                   // the terminal is still this process's; nil: it is

	last          record.Status
	fault         string // why there is no news
	interrupted   bool
	width, height int
}

// look is a tick of the view's clock: it is time to ask again.
type look struct{}

// news is what was answered.
type news struct {
	status record.Status
	err    error
}

const lookEvery = time.Second

// Init asks for the first news.
func (s screen) Init() tea.Cmd { return s.ask }

func (s screen) ask() tea.Msg {
	status, err := s.status()
	return news{status, err}
}

// Update takes in news, keys and the terminal's size.
func (s screen) Update(m tea.Msg) (tea.Model, tea.Cmd) {
	switch m := m.(type) {
	case news:
		s.fault = ""
		if m.err != nil {
			s.fault = m.err.Error()
		} else {
			s.last = m.status
		}
		return s, tea.Tick(lookEvery, func(time.Time) tea.Msg { return look{} })
	case look:
		if s.ours != nil && !s.ours() { // it was put into the background
			return s, tea.Quit
		}
		return s, s.ask
	case tea.WindowSizeMsg:
		s.width, s.height = m.Width, m.Height
	case tea.KeyPressMsg:
		switch key := m.String(); {
		case s.quits && (key == "ctrl+c" || key == "q" || key == "esc"):
			return s, tea.Quit
		case key == "ctrl+c":
			s.interrupted = true
			s.interrupt()
		}
	}
	return s, nil
}

// View draws as much as the terminal has room for.
func (s screen) View() tea.View {
	v := tea.NewView(s.draw())
	v.AltScreen = true
	v.WindowTitle = "safemode"
	if s.last.State != "" {
		word, _, _ := strings.Cut(s.last.Banner(), ":")
		v.WindowTitle = word + " safemode " + s.last.Health.Words()
	}
	return v
}

var (
	heading = lipgloss.NewStyle().Bold(true)
	faint   = lipgloss.NewStyle().Faint(true)
	alarm   = lipgloss.NewStyle().Bold(true).Foreground(lipgloss.Red)
	caution = lipgloss.NewStyle().Bold(true).Foreground(lipgloss.Yellow)
	badges  = map[string]lipgloss.Style{
		record.HealthOK: lipgloss.NewStyle().Bold(true).Foreground(lipgloss.Green), record.HealthPerson: caution, record.HealthNotSending: alarm,
	}
	verdictMarks = [...]struct {
		verdict, mark string
		style         lipgloss.Style
	}{
		{record.VerdictOnSupply, "█", lipgloss.NewStyle().Foreground(lipgloss.Green)},
		{record.VerdictArmed, "▓", lipgloss.NewStyle().Foreground(lipgloss.Cyan)},
		{record.VerdictNotSafe, "▒", lipgloss.NewStyle().Foreground(lipgloss.Red)},
		{record.VerdictUnknown, "?", lipgloss.NewStyle().Foreground(lipgloss.Yellow)},
		{record.VerdictExcluded, "-", faint},
	}
)

// draw puts first what a person who has just come must know: whether the sweep is real, how it
// is, what to do; then its progress; the pace last.
func (s screen) draw() string {
	width, height := max(cmp.Or(s.width, 80), 20), max(cmp.Or(s.height, 24), 4)
	var lines []string
	st := s.last
	if st.State == "" {
		lines = append(lines, heading.Render("safemode"), cmp.Or(s.fault, "waiting for the sweep"))
	} else {
		lines = append(lines, s.head(width)...)
		lines = append(lines, toDo(&st, width, max(3, height*2/5))...)
		lines = append(lines, passesLine(&st, width)...)
		lines = append(lines, progress(&st, width)...)
		lines = append(lines, waveLines(&st, width)...)
		lines = append(lines, regionLines(&st)...)
		lines = append(lines, troubleLines(&st)...)
	}
	if talk := s.talk(); len(talk) > 0 {
		lines = append(lines, "", heading.Render("Said"))
		lines = append(lines, talk...)
	}
	if st.State != "" {
		lines = append(lines, s.pace(width)...)
	}
	if len(lines) > height-1 {
		lines = append(lines[:height-2], faint.Render(fmt.Sprintf("(%d lines more: safemode status)", len(lines)-height+2)))
	}
	lines = append(lines, faint.Render(s.footer()))
	cut := lipgloss.NewStyle().MaxWidth(width)
	for i, line := range lines {
		lines[i] = cut.Render(line)
	}
	return strings.Join(lines, "\n")
}

func (s screen) footer() string {
	switch {
	case s.quits:
		return "q ends the view, not the sweep"
	case s.last.State == "finished" || s.last.State == "ceased" || s.last.State == "halted" || s.last.State == "interrupted":
		return "the sweep has ended; Ctrl-C ends what is left of --stay"
	case s.interrupted:
		return "interrupted: what is under way is waited for"
	}
	return "Ctrl-C drains and stops: what is under way is waited for"
}

// head says whether it is real, and how it is.
func (s screen) head(width int) []string {
	st := s.last
	real := alarm.Reverse(true)
	if st.Drill() {
		real = caution.Reverse(true)
	}
	lines := []string{real.Width(width).MaxHeight(1).Render(" " + st.Banner())}
	if s.fault != "" {
		lines = append(lines, alarm.Render("no news: "+s.fault))
	}
	state := st.State
	if reason := st.Unsaid(); reason != "" {
		state += ": " + reason
	}
	lines = append(lines, wrapped(badges[st.Health.Level].Render(strings.ToUpper(st.Health.Words()))+"  "+state, width)...)
	lines = append(lines, flow(width, heading.Render("Sweep "+st.SweepID), strings.Trim(quoted(st.Direction), `"`), "until "+st.Deadline.UTC().Format("2 Jan 2006 15:04 UTC"), "supplier "+st.Supplier)...)
	if clock := st.ClockSpeed; clock != 0 && clock != 1 {
		lines = append(lines, faint.Render(fmt.Sprintf("%s real time; %s the sweep's clock, %g times as fast", st.RealTime.Format("15:04:05"), st.Time.UTC().Format("2 Jan 15:04:05"), clock)))
	}
	return lines
}

// flow puts pieces into lines. One that does not fit beside the others has lines of its own.
func flow(width int, pieces ...string) (lines []string) {
	line := ""
	for _, piece := range pieces {
		switch {
		case line == "":
			line = piece
		case lipgloss.Width(line)+2+lipgloss.Width(piece) <= width:
			line += "  " + piece
		default:
			lines, line = append(lines, wrapped(line, width)...), piece
		}
	}
	return append(lines, wrapped(line, width)...)
}

// toDo is what there is for people to do, in so many lines at the most: all of it, or the
// first in full and the cause of the others, as far as there is room.
func toDo(st *record.Status, width, most int) []string {
	if len(st.ToDo) == 0 {
		return []string{heading.Render("To do ") + "nothing: " + st.Health.Says}
	}
	first := heading.Render(fmt.Sprintf("To do, %d", len(st.ToDo))) + faint.Render("  (safemode status prints the commands to paste)")
	told := func(i int, full bool) []string {
		t := st.ToDo[i]
		text := fmt.Sprintf("%d. %s.", i+1, strings.TrimSuffix(t.Says, "."))
		if full && t.Do != "" {
			text += " " + strings.TrimRight(t.Do, ":.") + "."
		}
		return wrapped(text, width)
	}
	lines := []string{first}
	for i := range st.ToDo {
		lines = append(lines, told(i, true)...)
	}
	if len(lines) <= most {
		return lines
	}
	lines = append([]string{first}, told(0, true)...)
	var rest []string
	for i := range st.ToDo[1:] {
		rest = append(rest, told(i+1, false)...)
	}
	if room := max(most-len(rest), 2); len(lines) > room { // what follows is named, too
		lines = append(lines[:room-1], lines[room-1]+" ...")
	}
	if lines = append(lines, rest...); len(lines) > most {
		lines = append(lines[:most-1], faint.Render(fmt.Sprintf("(%d lines more: safemode status)", len(lines)-most+1)))
	}
	return lines
}

// wrapped is a text in as many lines as it takes.
func wrapped(text string, width int) []string {
	return strings.Split(ansi.Wrap(text, width, ""), "\n")
}

// passesLine says in one word whether everything lets pass that must.
func passesLine(st *record.Status, width int) []string {
	text := passes(st, false)
	if text != allPass {
		text = alarm.Render(text)
	}
	pieces := []string{heading.Render("Passes ") + text, heading.Render("Inbox ") + record.Ago("message", st.InboxHeard)}
	if st.DiskFree != nil {
		pieces = append(pieces, heading.Render("Disk ")+fmt.Sprintf("%.1f GiB", float64(*st.DiskFree)/(1<<30)))
	}
	if who := st.StandsBy(); who != "" {
		pieces = append(pieces, heading.Render("Stands by ")+who)
	}
	return flow(width, pieces...)
}

// progress says how far it is.
func progress(st *record.Status, width int) []string {
	left := st.Meters - st.Done
	var bar strings.Builder
	var legend []string
	used := 0
	for _, v := range verdictMarks {
		n := st.Verdicts[v.verdict]
		cells := share(n, st.Meters, width)
		if n > 0 {
			cells = max(cells, 1)
		}
		cells = min(cells, width-used)
		used += cells
		bar.WriteString(v.style.Render(strings.Repeat(v.mark, cells)))
		legend = append(legend, fmt.Sprintf("%s %s %d", v.style.Render(v.mark), strings.ReplaceAll(v.verdict, "_", " "), n))
	}
	bar.WriteString(faint.Render(strings.Repeat("·", width-used)))
	legend = append(legend, fmt.Sprintf("%s no verdict %d of %d", faint.Render("·"), left, st.Meters), "to go: "+st.Ending())
	return append([]string{bar.String()}, flow(width, legend...)...)
}

// share is n of all in cells.
func share(n, all, cells int) int {
	if all <= 0 {
		return 0
	}
	return cells * n / all
}

// pace draws the rates against the limit.
func (s screen) pace(width int) []string {
	st := s.last
	lines := []string{"", heading.Render("Pace") + faint.Render("  a second, by the sweep's clock, over the last ten seconds")}
	scale := 0.0
	if st.Limit != nil {
		scale = *st.Limit
	}
	rates := [...]struct {
		name string
		rate float64
	}{{"requested", st.Rates.Requested}, {"sent", st.Rates.Sent}, {"acknowledged", st.Rates.Acknowledged}, {"answered", st.Rates.Answered}}
	for _, r := range rates {
		scale = max(scale, r.rate)
	}
	room := max(width-26, 0)
	for _, r := range rates {
		cells := 0
		if scale > 0 {
			cells = int(float64(room) * r.rate / scale)
		}
		lines = append(lines, fmt.Sprintf("%-12s %8.1f  %s", r.name, r.rate, strings.Repeat("━", cells)))
	}
	if st.Limit != nil {
		lines = append(lines, fmt.Sprintf("%-12s %8.1f  %s", "limit", *st.Limit, faint.Render(strings.Repeat("─", int(float64(room)**st.Limit/scale)))))
	}
	text := fmt.Sprintf("%d POSTs wait for a limit; the DCC put off %d POSTs in this run", st.Queued, st.Throttled)
	if st.RetryBudget > 0 {
		text += fmt.Sprintf("; %d of %d retries used", st.Retries, st.RetryBudget)
	}
	return append(lines, text)
}

func waveLines(st *record.Status, width int) (lines []string) {
	lines = []string{"", heading.Render("Waves")}
	for _, w := range st.Waves {
		pieces := []string{fmt.Sprintf("%2d %-10s %7d of %d settled", w.Number, w.Name, w.Meters-w.Unsettled, w.Meters), w.Condition()}
		if len(w.Sample) > 0 {
			pieces = append(pieces, faint.Render(counted(w.Sample)))
		}
		lines = append(lines, flow(width, pieces...)...)
	}
	return append(lines, wrapped("Blast radius: "+st.BlastRadius.String(), width)...)
}

func regionLines(st *record.Status) []string {
	lines := []string{"", heading.Render(fmt.Sprintf("%-10s %-11s %9s %5s %8s %7s %8s %6s %6s", "Region", "fuel", "on supply", "armed", "not safe", "unknown", "excluded", "to go", "of"))}
	for _, r := range st.Regions {
		v := r.Verdicts
		lines = append(lines, fmt.Sprintf("%-10s %-11s %9d %5d %8d %7d %8d %6d %6d", r.Region, r.Fuel,
			v[record.VerdictOnSupply], v[record.VerdictArmed], v[record.VerdictNotSafe], v[record.VerdictUnknown], v[record.VerdictExcluded],
			r.Left(), r.Meters))
	}
	for _, r := range st.Heard {
		line := fmt.Sprintf("%-10s %s, %d requests open", r.Region, r.Says(), r.Open)
		if r.Silent {
			line = alarm.Render(line)
		}
		lines = append(lines, line)
	}
	return lines
}

// troubleLines says what waits, how much is left, and what was refused.
func troubleLines(st *record.Status) []string {
	lines := []string{"", heading.Render("Waiting ") + counted(st.Waiting)}
	if len(st.Headroom) > 0 {
		text := ""
		for _, srv := range slices.Sorted(maps.Keys(st.Headroom)) {
			text += fmt.Sprintf("  SRV %s %.0f%% left", srv, 100*st.Headroom[srv])
		}
		lines = append(lines, heading.Render("Thresholds")+text)
	}
	if st.Renewal != nil {
		lines = append(lines, fmt.Sprintf("%s in %s, or it pauses", heading.Render("To be renewed"), record.Span(max(*st.Renewal, 0))))
	}
	if len(st.Refusals) > 0 {
		lines = append(lines, "", heading.Render("Last refusals")+faint.Render("  by the sweep's clock"))
	}
	for _, r := range st.Refusals {
		lines = append(lines, fmt.Sprintf("%s  SRV %-5s %-10s %s %s", r.At.UTC().Format("15:04:05"), r.SRV, r.Region, strings.ReplaceAll(r.Class, "_", " "), r.Code))
	}
	return lines
}
