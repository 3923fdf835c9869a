package gbcs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"safemode/servicerequests"
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

// gasAttribute is one attribute of a GCS21b, in request order.
type gasAttribute struct {
	id     uint16
	typ    byte
	amount *servicerequests.Millipence // nil: not an amount
}

func (c *PrepaymentConfiguration) gasAttributes() [gasConfigurationAttributes - 1]gasAttribute {
	return [...]gasAttribute{
		{0x0239, typeUint16, nil}, // debt recovery per payment
		{0x0006, typeInt32, &c.DebtRecoveryRateCap},
		{0x0216, typeEnum8, nil}, // debt recovery frequency 1
		{0x0226, typeEnum8, nil}, // debt recovery frequency 2
		{0x0040, typeInt32, &c.DisablementThreshold},
		{0x0010, typeUint32, &c.EmergencyCreditLimit},
		{0x0011, typeUint32, &c.EmergencyCreditThreshold},
		{0x0031, typeUint32, &c.LowCreditThreshold},
		{0x0021, typeUint32, &c.MaximumMeterBalance},
		{0x0022, typeUint32, &c.MaximumCreditThreshold},
		{0x0217, typeUint32, &c.DebtRecovery[0].Rate},
		{0x0227, typeUint32, &c.DebtRecovery[1].Rate},
	}
}

// The debt recovery frequencies.
const (
	hour = 3600
	day  = 86400
)

func (c *PrepaymentConfiguration) readGBZ(r *reader, results []byte) {
	r.expect("\x01\x09", "GBZ profile")
	components := int(r.u8("number of components"))
	seen := 0
	begin := func(cluster uint16) {
		control := byte(notLast)
		if seen++; seen == components {
			control = last
		}
		r.open(control, cluster)
	}

	begin(clusterPrepayment)
	r.expect("\x08\x00\x01", "Read Attributes Response")
	for i, a := range c.gasAttributes() {
		value, status := r.attribute(a.id, a.typ)
		if results[i] = status; status != 0 {
			continue
		}
		switch {
		case a.amount != nil:
			*a.amount = servicerequests.Millipence(value)
		case a.id == 0x0239:
			c.DebtRecoveryPerPayment = uint16(value)
		default:
			c.DebtRecovery[i-2].Period = readFrequency(r, byte(value))
		}
	}
	r.shut()

	failed := anyFailed(results[:gasConfigurationAttributes-1]) // if so nothing more is executed
	begin(clusterPrice)
	if status, refused := r.refused(1, 0, failed); refused {
		results[gasConfigurationAttributes-1] = status
	} else {
		results[gasConfigurationAttributes-1] = readDecimals(r)
	}
	failed = failed || results[gasConfigurationAttributes-1] != 0
	r.shut()

	calendar := &c.GasCalendar
	for i := range byte(4) {
		sequence, command := i+2, i+1
		for answers := 0; ; answers++ {
			// Day and week profiles come one to a component, all with one sequence.
			if answers > 0 && (seen >= components || !r.nextIs(sequence)) {
				break
			}
			begin(clusterCalendar)
			status, refused := r.refused(sequence, command, failed)
			if refused && answers > 0 {
				r.fail("Default Response after an answer")
			}
			if results[gasConfigurationAttributes+int(i)] = status; !refused {
				calendar.read(r, sequence, command)
			}
			r.shut()
			if r.what != "" {
				return
			}
			if refused {
				failed = failed || status != StatusNotFound
				break
			}
		}
	}
	if seen != components {
		r.fail("number of components is not that of the message")
	}
}

func readDecimals(r *reader) (status byte) {
	r.expect("\x08\x01\x01", "Read Attributes Response")
	decimals, status := r.attribute(0x0617, typeBitmap8)
	if status == 0 && decimals&0xF0 != amountDecimals {
		r.fail("amounts are not in millipence")
	}
	return status
}

func anyFailed(results []byte) bool {
	return slices.ContainsFunc(results, func(code byte) bool { return code != 0 })
}

func readFrequency(r *reader, frequency byte) uint32 {
	switch frequency {
	case 0:
		return hour
	case 1:
		return day
	}
	r.fail("debt recovery frequency is neither 00 nor 01")
	return 0
}

// nextIs says whether the next component has this ZCL sequence.
func (r *reader) nextIs(sequence byte) bool {
	const at = 1 + 2 + 2 + 1 // control, cluster, length, frame control
	return r.what == "" && r.left() > at && r.b[r.off+at] == sequence
}

// read reads one calendar component.
func (g *GasCalendar) read(r *reader, sequence, command byte) {
	r.expect("\x19", "calendar frame")
	r.expectByte(sequence, "sequence")
	r.expectByte(command, "calendar command")
	r.expect("\x00\x00\x00\x00", "provider")
	event, id := r.le32("issuer event id"), r.le32("calendar id")
	if len(g.Days)+len(g.Weeks)+len(g.Seasons)+len(g.SpecialDays) == 0 {
		g.IssuerEventID, g.CalendarID = event, id
	}
	if g.IssuerEventID != event || g.CalendarID != id {
		r.fail("calendar is not that of the components before it")
	}
	switch command {
	case 1:
		d := DayProfile{ID: r.u8("day id")}
		n := r.u8("number of entries")
		r.expect("\x00\x01\x03", "day profile")
		for range n {
			d.Entries = append(d.Entries, DayEntry{r.le16("minute"), r.u8("flag")})
			if r.what != "" {
				return
			}
		}
		g.Days = append(g.Days, d)
	case 2:
		w := WeekProfile{ID: r.u8("week id")}
		copy(w.Days[:], r.take(7, "week"))
		g.Weeks = append(g.Weeks, w)
	case 3:
		r.expect("\x00\x01", "seasons")
		for r.what == "" && r.left() > 0 {
			g.Seasons = append(g.Seasons, Season{readGasDate(r), r.u8("week id")})
		}
	case 4:
		r.expect("\x00\x00\x00\x00\x03", "special days")
		n := r.u8("number of special days")
		r.expect("\x00\x01", "special days")
		for range n {
			g.SpecialDays = append(g.SpecialDays, SpecialDay{Date: readGasDate(r), Day: r.u8("day id")})
			if r.what != "" {
				return
			}
		}
	}
}

// A GBZ date: year - 1900, month, day, weekday; FF every.
func readGasDate(r *reader) Date {
	d := Date{uint16(r.u8("year")), r.u8("month"), r.u8("day"), r.u8("day of week")}
	if d.Year == Every {
		d.Year = EveryYear
	} else {
		d.Year += 1900
	}
	return d
}

func (c *PrepaymentConfiguration) appendGBZ(b, results []byte) ([]byte, error) {
	if c == nil {
		c = new(PrepaymentConfiguration)
	}
	b = appendComponents(b, 0)
	count := len(b) - 1
	var control, length int
	begin := func(cluster uint16) {
		b[count]++
		control = len(b)
		b, length = beginComponent(b, notLast, cluster)
	}
	end := func() { b = endComponent(b, length) }

	begin(clusterPrepayment)
	b = append(b, 0x08, 0x00, readAttributesResponse)
	for i, a := range c.gasAttributes() {
		value, err := c.gasValue(i, a)
		if err != nil && results[i] == 0 {
			return nil, fmt.Errorf("attribute %04X: %w", a.id, err)
		}
		b = appendRecord(b, a.id, results[i], a.typ, value)
	}
	end()
	begin(clusterPrice)
	decimals := results[gasConfigurationAttributes-1]
	if anyFailed(results[:gasConfigurationAttributes-1]) {
		if err := requireFailure(decimals); err != nil {
			return nil, err
		}
		b = append(b, 0x08, 1, defaultResponse, 0xFF, decimals)
	} else {
		b = append(b, 0x08, 1, readAttributesResponse)
		b = appendRecord(b, 0x0617, decimals, typeBitmap8, amountDecimals)
	}
	end()

	g := &c.GasCalendar
	lengths := [...]int{len(g.Days), len(g.Weeks), 1, 1}
	for i, status := range results[gasConfigurationAttributes:] {
		sequence, command := byte(i+2), byte(i+1)
		if status != 0 {
			refused := command
			if status == StatusFailure { // not executed
				refused = 0xFF
			}
			begin(clusterCalendar)
			b = append(b, 0x08, sequence, defaultResponse, refused, status)
			end()
			continue
		}
		if lengths[i] == 0 {
			return nil, errors.New("a calendar needs day and week profiles")
		}
		for n := range lengths[i] {
			begin(clusterCalendar)
			b = append(b, 0x19, sequence, command, 0, 0, 0, 0)
			b = binary.LittleEndian.AppendUint32(b, g.IssuerEventID)
			b = binary.LittleEndian.AppendUint32(b, g.CalendarID)
			b = g.append(b, command, n)
			end()
		}
	}
	b[control] = last
	return b, nil
}

func (c *PrepaymentConfiguration) gasValue(i int, a gasAttribute) (uint32, error) {
	switch {
	case a.id == 0x0239:
		return uint32(c.DebtRecoveryPerPayment), nil
	case a.amount == nil:
		switch period := c.DebtRecovery[i-2].Period; period {
		case hour:
			return 0, nil
		case day:
			return 1, nil
		default:
			return 0, fmt.Errorf("period of %d seconds", period)
		}
	case a.typ == typeInt32 && int64(*a.amount) != int64(int32(*a.amount)),
		a.typ == typeUint32 && int64(*a.amount) != int64(uint32(*a.amount)):
		return 0, fmt.Errorf("amount %s does not fit 32 bits", *a.amount)
	}
	return uint32(*a.amount), nil
}

// append appends what follows the calendar id in the nth component of a command.
func (g *GasCalendar) append(b []byte, command byte, n int) []byte {
	switch command {
	case 1:
		d := g.Days[n]
		b = append(b, d.ID, byte(len(d.Entries)), 0, 1, 3)
		for _, e := range d.Entries {
			b = append(b, byte(e.Minute), byte(e.Minute>>8), e.Flag)
		}
	case 2:
		b = append(append(b, g.Weeks[n].ID), g.Weeks[n].Days[:]...)
	case 3:
		b = append(b, 0, 1)
		for _, s := range g.Seasons {
			b = append(appendGasDate(b, s.Start), s.Week)
		}
	case 4:
		b = append(b, 0, 0, 0, 0, 3, byte(len(g.SpecialDays)), 0, 1)
		for _, s := range g.SpecialDays {
			b = append(appendGasDate(b, s.Date), s.Day)
		}
	}
	return b
}

func appendGasDate(b []byte, d Date) []byte {
	year := byte(Every)
	if d.Year != EveryYear {
		year = byte(d.Year - 1900)
	}
	return append(b, year, d.Month, d.Day, d.Weekday)
}
