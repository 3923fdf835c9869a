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

	"safemode/engine/record"
)

// screen fills a terminal with where a sweep stands. It knows what status --json says,
// and nothing else but the last lines of talk.
type screen struct {
	status    func() (record.Status, error) // asked anew each second
	talk      func() []string               // the last lines, oldest first
	interrupt func()                        // Ctrl-C was pressed
	quits     bool                          // a key ends the view and nothing else

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
	return v
}

var (
	heading = lipgloss.NewStyle().Bold(true)
	faint   = lipgloss.NewStyle().Faint(true)
	alarm   = lipgloss.NewStyle().Bold(true).Foreground(lipgloss.Red)
	badges  = map[string]lipgloss.Style{
		"running": lipgloss.NewStyle().Bold(true).Foreground(lipgloss.Green), "finished": lipgloss.NewStyle().Bold(true).Foreground(lipgloss.Green),
		"paused": lipgloss.NewStyle().Bold(true).Foreground(lipgloss.Yellow), "stopping": lipgloss.NewStyle().Bold(true).Foreground(lipgloss.Yellow),
		"halted": alarm, "ceased": alarm,
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

func (s screen) draw() string {
	width, height := max(cmp.Or(s.width, 80), 20), max(cmp.Or(s.height, 24), 4)
	var lines []string
	st := s.last
	if st.State == "" {
		lines = append(lines, heading.Render("safemode"), cmp.Or(s.fault, "waiting for the sweep"))
	} else {
		lines = append(lines, s.head(width)...)
		lines = append(lines, s.pace(width)...)
		lines = append(lines, waveLines(st)...)
		lines = append(lines, regionLines(st)...)
		lines = append(lines, troubleLines(st)...)
	}
	if talk := s.talk(); len(talk) > 0 {
		lines = append(lines, "", heading.Render("Said"))
		lines = append(lines, talk...)
	}
	if len(lines) > height-1 {
		lines = append(lines[:height-2], faint.Render(fmt.Sprintf("(%d more lines: make the terminal taller)", len(lines)-height+2)))
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
	case s.last.State == "finished" || s.last.State == "ceased":
		return "the sweep has ended; Ctrl-C ends what is left of --stay"
	case s.interrupted:
		return "interrupted: what is under way is waited for"
	}
	return "Ctrl-C drains and stops; the same command goes on with it"
}

// head says how far it is.
func (s screen) head(width int) []string {
	st := s.last
	title := heading.Render("Safe mode sweep") + "  " + badges[st.State].Render(st.State)
	if st.Reason != "" {
		title += "  " + st.Reason
	}
	lines := []string{title}
	if s.fault != "" {
		lines = append(lines, alarm.Render("no news: "+s.fault))
	}
	left := st.Meters - st.Done
	var bar, legend strings.Builder
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
		fmt.Fprintf(&legend, "%s %s %d  ", v.style.Render(v.mark), strings.ReplaceAll(v.verdict, "_", " "), n)
	}
	bar.WriteString(faint.Render(strings.Repeat("·", width-used)))
	fmt.Fprintf(&legend, "%s no verdict yet %d  of %d", faint.Render("·"), left, st.Meters)
	return append(lines, bar.String(), legend.String(), "to go: "+ending(st))
}

// share is n of all in cells.
func share(n, all, cells int) int {
	if all <= 0 {
		return 0
	}
	return cells * n / all
}

// ending says when the last verdict is due, with its range.
func ending(st record.Status) string {
	switch {
	case st.Done == st.Meters:
		return "every meter has a verdict"
	case st.ETARange != nil:
		return fmt.Sprintf("%v to %v by the sweep's clock", seconds(st.ETARange[0]), seconds(st.ETARange[1]))
	case st.ETA != nil:
		return fmt.Sprintf("about %v by the sweep's clock", seconds(*st.ETA))
	}
	return "not known yet"
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
	text := fmt.Sprintf("%d legs wait for a limit; the DCC put off %d POSTs in this run", st.Queued, st.Throttled)
	if st.RetryBudget > 0 {
		text += fmt.Sprintf("; %d of %d retries used", st.Retries, st.RetryBudget)
	}
	return append(lines, text)
}

func waveLines(st record.Status) []string {
	lines := []string{"", heading.Render("Waves")}
	for _, w := range st.Waves {
		line := fmt.Sprintf("%2d %-10s %-8s %7d of %d settled  %s", w.Number, w.Name, w.State, w.Meters-w.Unsettled, w.Meters, faint.Render(counted(w.Sample)))
		if !w.Until.IsZero() {
			line += " until " + w.Until.UTC().Format("2 Jan 15:04:05 UTC")
		}
		lines = append(lines, line)
	}
	return append(lines, "Blast radius: "+blastRadius(st.BlastRadius))
}

func regionLines(st record.Status) []string {
	lines := []string{"", heading.Render(fmt.Sprintf("%-12s %-12s %9s %7s %9s %8s %9s %8s %8s %6s", "Region", "fuel", "on supply", "armed", "not safe", "unknown", "excluded", "to go", "of", "open"))}
	for _, r := range st.Regions {
		left := r.Meters
		for _, n := range r.Verdicts {
			left -= n
		}
		v := r.Verdicts
		lines = append(lines, fmt.Sprintf("%-12s %-12s %9d %7d %9d %8d %9d %8d %8d %6d", r.Region, r.Fuel,
			v[record.VerdictOnSupply], v[record.VerdictArmed], v[record.VerdictNotSafe], v[record.VerdictUnknown], v[record.VerdictExcluded],
			left, r.Meters, st.InFlight[r.Region]))
	}
	return lines
}

// troubleLines says what is shut, held, waiting or refused.
func troubleLines(st record.Status) []string {
	gates := "open"
	for _, name := range slices.Sorted(maps.Keys(st.Gates)) {
		if st.Gates[name] != "open" {
			gates = alarm.Render(named(st.Gates, "none"))
			break
		}
	}
	breakers := "all closed"
	if len(st.Breakers) > 0 {
		breakers = alarm.Render(named(st.Breakers, ""))
	}
	lines := []string{"", heading.Render("Gates ") + gates + heading.Render("  Circuits ") + breakers + heading.Render("  Waiting ") + counted(st.Waiting)}
	if st.Signer != "" {
		lines = append(lines, alarm.Render("Signer: "+st.Signer))
	}
	if len(st.Headroom) > 0 {
		text := ""
		for _, srv := range slices.Sorted(maps.Keys(st.Headroom)) {
			text += fmt.Sprintf("  SRV %s %.0f%% left", srv, 100*st.Headroom[srv])
		}
		lines = append(lines, heading.Render("Thresholds")+text)
	}
	if st.Renewal != nil {
		lines = append(lines, fmt.Sprintf("%s in %v, or it pauses", heading.Render("To be renewed"), seconds(max(*st.Renewal, 0))))
	}
	for _, h := range st.Holds {
		lines = append(lines, alarm.Render(fmt.Sprintf("%s is %s by %s since %s: %s", h.Scope, past[h.Action], h.By, h.Since.UTC().Format("15:04 UTC"), cmp.Or(h.Reason, "no reason given"))))
	}
	if len(st.Refusals) > 0 {
		lines = append(lines, "", heading.Render("Last refusals"))
	}
	for _, r := range st.Refusals {
		lines = append(lines, fmt.Sprintf("%s  SRV %-5s %-10s %s %s", r.At.UTC().Format("15:04:05"), r.SRV, r.Region, strings.ReplaceAll(r.Class, "_", " "), r.Code))
	}
	return lines
}
