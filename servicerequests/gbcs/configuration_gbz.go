package gbcs

import (
	"slices"
)

// GasCalendar is the non-disablement calendar of a GSME; the zero value if none
// is set.
type GasCalendar struct {
	IssuerEventID uint32        `json:"issuer_event_id"` // seconds since 2000
	CalendarID    uint32        `json:"calendar_id"`
	Days          []DayProfile  `json:"days"`
	Weeks         []WeekProfile `json:"weeks"`
	Seasons       []Season      `json:"seasons"`
	SpecialDays   []SpecialDay  `json:"special_days"`
}

// DayProfile switches non-disablement on and off over a day.
type DayProfile struct {
	ID      byte       `json:"id"`
	Entries []DayEntry `json:"entries"`
}

// DayEntry holds from Minute, after midnight, on.
type DayEntry struct {
	Minute uint16 `json:"minute"`
	Flag   byte   `json:"flag"`
}

// WeekProfile names the day profiles of a week, Monday first.
type WeekProfile struct {
	ID   byte    `json:"id"`
	Days [7]byte `json:"days"`
}

// Season says which week profile holds from Start on.
type Season struct {
	Start Date `json:"start"`
	Week  byte `json:"week"`
}

// The items of a GCS21b: 13 attributes, then day profiles, week profiles,
// seasons and special days.
const (
	gasConfigurationAttributes = 13
	gasConfigurationItems      = gasConfigurationAttributes + 4
)

// periods are what the debt recovery frequencies stand for, in seconds.
var periods = []uint32{3600, 86400}

// gbz is the components of a GCS21b Response.
func (c *PrepaymentConfiguration) gbz(l *layout, results []byte) {
	l.fixed("\x01\x09", "GBZ profile")
	var components byte // written when it is known
	count := len(l.out)
	l.u8(&components, "number of components")
	seen := 0
	begin := func(cluster uint16) {
		control := byte(notLast)
		if seen++; seen == int(components) {
			control = last
		}
		l.begin(control, cluster)
	}

	begin(clusterPrepayment)
	l.fixed("\x08\x00\x01", "Read Attributes Response")
	attribute(l, 0x0239, typeUint16, &c.DebtRecoveryPerPayment, &results[0])
	attribute(l, 0x0006, typeInt32, &c.DebtRecoveryRateCap, &results[1])
	enumerated(l, 0x0216, &c.DebtRecovery[0].Period, periods, &results[2], "debt recovery frequency")
	enumerated(l, 0x0226, &c.DebtRecovery[1].Period, periods, &results[3], "debt recovery frequency")
	attribute(l, 0x0040, typeInt32, &c.DisablementThreshold, &results[4])
	attribute(l, 0x0010, typeUint32, &c.EmergencyCreditLimit, &results[5])
	attribute(l, 0x0011, typeUint32, &c.EmergencyCreditThreshold, &results[6])
	attribute(l, 0x0031, typeUint32, &c.LowCreditThreshold, &results[7])
	attribute(l, 0x0021, typeUint32, &c.MaximumMeterBalance, &results[8])
	attribute(l, 0x0022, typeUint32, &c.MaximumCreditThreshold, &results[9])
	attribute(l, 0x0217, typeUint32, &c.DebtRecovery[0].Rate, &results[10])
	attribute(l, 0x0227, typeUint32, &c.DebtRecovery[1].Rate, &results[11])
	l.end()

	const decimals = gasConfigurationAttributes - 1
	failed := slices.ContainsFunc(results[:decimals], func(code byte) bool { return code != 0 }) // if so nothing more is executed
	begin(clusterPrice)
	if !l.refused(failed, 1, 0, failed, &results[decimals]) {
		l.fixed("\x08\x01\x01", "Read Attributes Response")
		l.decimals(&results[decimals])
	}
	failed = failed || results[decimals] != 0
	l.end()

	g := &c.GasCalendar
	lengths := [...]int{len(g.Days), len(g.Weeks), 1, 1}
	for i := range byte(4) {
		sequence, command, status := i+2, i+1, &results[gasConfigurationAttributes+int(i)]
		if l.writes() {
			failed = *status == StatusFailure // it was not executed
		}
		// Day and week profiles come one to a component, all with one sequence.
		for n := 0; n == 0 || l.more(n, lengths[i], seen < int(components), sequence); n++ {
			begin(clusterCalendar)
			refused := l.refused(*status != 0, sequence, command, failed, status)
			switch {
			case !refused && l.writes() && lengths[i] == 0:
				l.fail("a calendar needs day and week profiles")
				return
			case !refused:
				g.component(l, sequence, command, n)
			case n > 0:
				l.fail("Default Response after an answer")
			}
			l.end()
			if !l.writes() && l.r.what != "" {
				return
			}
			if refused {
				failed = failed || *status != StatusNotFound
				break
			}
		}
	}
	switch {
	case l.writes():
		l.out[count], l.out[l.open] = byte(seen), last
	case seen != int(components):
		l.fail("number of components is not that of the message")
	}
}

// more says whether the n-th component of a command follows: of so many when they are written;
// when they are read, of those there are, one with the command's sequence.
func (l *layout) more(n, have int, there bool, sequence byte) bool {
	if l.writes() {
		return n < have
	}
	return there && l.r.nextIs(sequence)
}

// decimals is the attribute that says of amounts that they are in millipence.
func (l *layout) decimals(status *byte) {
	decimals := byte(amountDecimals)
	if attribute(l, 0x0617, typeBitmap8, &decimals, status); *status == 0 && decimals&0xF0 != amountDecimals {
		l.fail("amounts are not in millipence")
	}
}

// nextIs says whether the next component has this ZCL sequence.
func (r *reader) nextIs(sequence byte) bool {
	const at = 1 + 2 + 2 + 1 // control, cluster, length, frame control
	return r.what == "" && r.left() > at && r.b[r.off+at] == sequence
}

// component is the n-th component of a command.
func (g *GasCalendar) component(l *layout, sequence, command byte, n int) {
	l.fixed("\x19", "calendar frame")
	l.one(sequence, "sequence")
	l.one(command, "calendar command")
	l.fixed("\x00\x00\x00\x00", "provider")
	event, id := g.IssuerEventID, g.CalendarID
	l.le32(&event, "issuer event id")
	l.le32(&id, "calendar id")
	if !l.writes() && len(g.Days)+len(g.Weeks)+len(g.Seasons)+len(g.SpecialDays) == 0 {
		g.IssuerEventID, g.CalendarID = event, id
	}
	if g.IssuerEventID != event || g.CalendarID != id {
		l.fail("calendar is not that of the components before it")
	}
	switch command {
	case 1:
		d := item(l, &g.Days, n)
		l.u8(&d.ID, "day id")
		entries := l.count(len(d.Entries), 0xFF, "entries")
		l.fixed("\x00\x01\x03", "day profile")
		items(l, &d.Entries, entries, func(e *DayEntry) {
			l.le16(&e.Minute, "minute")
			l.u8(&e.Flag, "flag")
		})
	case 2:
		w := item(l, &g.Weeks, n)
		l.u8(&w.ID, "week id")
		l.bytes(w.Days[:], "week")
	case 3:
		l.fixed("\x00\x01", "seasons")
		for i := 0; l.writes() && i < len(g.Seasons) || !l.writes() && l.r.what == "" && l.r.left() > 0; i++ {
			s := item(l, &g.Seasons, i)
			l.gasDate(&s.Start)
			l.u8(&s.Week, "week id")
		}
	case 4:
		l.fixed("\x00\x00\x00\x00\x03", "special days")
		days := l.count(len(g.SpecialDays), 0xFF, "special days")
		l.fixed("\x00\x01", "special days")
		items(l, &g.SpecialDays, days, func(d *SpecialDay) {
			l.gasDate(&d.Date)
			l.u8(&d.Day, "day id")
		})
	}
}

// gasDate is year - 1900, month, day, weekday; FF every.
func (l *layout) gasDate(d *Date) {
	year := byte(d.Year - 1900)
	if d.Year == EveryYear {
		year = Every
	}
	if l.u8(&year, "year"); !l.writes() {
		if d.Year = uint16(year) + 1900; year == Every {
			d.Year = EveryYear
		}
	}
	l.u8(&d.Month, "month")
	l.u8(&d.Day, "day")
	l.u8(&d.Weekday, "day of week")
}
