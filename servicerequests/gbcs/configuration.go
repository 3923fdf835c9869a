package gbcs

import (
	"encoding/binary"

	"safemode/servicerequests"
)

// PrepaymentConfiguration is what 4.13 reads. An item whose result is not 0 is
// left at its zero value. Exactly one of the two calendars is used.
type PrepaymentConfiguration struct {
	DebtRecovery             [2]DebtRecovery            `json:"debt_recovery"`
	DebtRecoveryPerPayment   uint16                     `json:"debt_recovery_per_payment"` // hundredths of a percent, 0 to 10000
	DebtRecoveryRateCap      servicerequests.Millipence `json:"debt_recovery_rate_cap"`    // an ESME gives whole pounds
	DisablementThreshold     servicerequests.Millipence `json:"disablement_threshold"`
	EmergencyCreditLimit     servicerequests.Millipence `json:"emergency_credit_limit"`
	EmergencyCreditThreshold servicerequests.Millipence `json:"emergency_credit_threshold"`
	LowCreditThreshold       servicerequests.Millipence `json:"low_credit_threshold"`
	MaximumMeterBalance      servicerequests.Millipence `json:"maximum_meter_balance"`
	MaximumCreditThreshold   servicerequests.Millipence `json:"maximum_credit_threshold"`

	// ESME only. Account is the configuration of credits and charges; for the
	// payment mode use 6.2.9.
	RateCapPeriod uint32               `json:"rate_cap_period"` // seconds; always a week
	Account       AccountConfiguration `json:"account"`
	SpecialDays   []SpecialDay         `json:"special_days"`
	Schedule      []ScheduleEntry      `json:"schedule"` // the non-disablement calendar

	// GSME only.
	GasCalendar GasCalendar `json:"gas_calendar"`
}

// DebtRecovery is a time-based debt recovery: so much per period.
type DebtRecovery struct {
	Rate   servicerequests.Millipence `json:"rate"`
	Period uint32                     `json:"period"` // seconds: 3600 or 86400
}

// SpecialDay names a day type for a date.
type SpecialDay struct {
	Index uint16 `json:"index"` // ESME only
	Date  Date   `json:"date"`
	Day   byte   `json:"day"`
}

// ScheduleEntry starts or ends a non-disablement period on an ESME.
type ScheduleEntry struct {
	Index       uint16  `json:"index"`
	Enabled     bool    `json:"enabled"`
	Script      uint16  `json:"script"`       // 32 starts, 33 stops
	Time        [4]byte `json:"time"`         // hour, minute, second, hundredths; FF every
	Weekdays    byte    `json:"weekdays"`     // seven bits from the highest
	SpecialDays byte    `json:"special_days"` // number of special days
	SpecialBits uint32  `json:"special_bits"` // one bit for each from the highest of SpecialDays bits, right-aligned in whole bytes
	Begin       Date    `json:"begin"`
	End         Date    `json:"end"`
}

// The items of an ECS26a, in order: see configurationGets.
const electricityConfigurationItems = 18

const (
	maxSpecialDays     = 20
	maxScheduleEntries = 22

	// rateScale says that a rate is in 10^-5 pounds; it is what is written.
	rateScale = -5
)

// dlms is the 18 data of an ECS26a Response; present has a bit for each that is not null.
func (c *PrepaymentConfiguration) dlms(l *layout, results []byte) (present uint32) {
	again := c.DebtRecovery // items 4 and 7 repeat 1 and 5
	for i := range electricityConfigurationItems {
		if l.null(results[i] != 0) {
			continue
		}
		present |= 1 << i
		switch i + 1 {
		case 1:
			l.rate(&c.DebtRecovery[0].Rate)
		case 2:
			l.specialDays(&c.SpecialDays)
		case 3:
			l.fixed("\x06", "period")
			l.u32(&c.DebtRecovery[0].Period, "period")
		case 4:
			l.rate(&again[0].Rate)
		case 5:
			l.rate(&c.DebtRecovery[1].Rate)
		case 6:
			l.fixed("\x06", "period")
			l.u32(&c.DebtRecovery[1].Period, "period")
		case 7:
			l.rate(&again[1].Rate)
		case 8:
			l.fixed("\x12", "debt recovery per payment")
			if l.u16(&c.DebtRecoveryPerPayment, "debt recovery per payment"); c.DebtRecoveryPerPayment > 10000 {
				l.fail("debt recovery per payment is above 10000")
			}
		case 9:
			l.doubleLong(&c.MaximumCreditThreshold, "maximum credit threshold")
		case 10:
			l.fixed("\x01\x01", "disablement threshold")
			l.doubleLong(&c.DisablementThreshold, "disablement threshold")
		case 11:
			l.doubleLong(&c.MaximumMeterBalance, "maximum meter balance")
		case 12:
			l.doubleLong(&c.LowCreditThreshold, "low credit threshold")
		case 13:
			l.pounds(&c.DebtRecoveryRateCap, "debt recovery rate cap")
		case 14:
			l.fixed("\x05", "cap period")
			l.u32(&c.RateCapPeriod, "cap period")
		case 15:
			l.doubleLong(&c.EmergencyCreditLimit, "emergency credit limit")
		case 16:
			l.doubleLong(&c.EmergencyCreditThreshold, "emergency credit threshold")
		case 17:
			l.schedule(&c.Schedule)
		case 18:
			l.account(&c.Account)
		}
	}
	const both1, both2 = 1<<0 | 1<<3, 1<<4 | 1<<6
	if present&both1 == both1 && again[0].Rate != c.DebtRecovery[0].Rate ||
		present&both2 == both2 && again[1].Rate != c.DebtRecovery[1].Rate {
		l.fail("debt recovery rate is there twice with different values")
	}
	return present
}

// rate is {{0, scale}, {0, no OBIS, 0}, [{empty, long}]} around scale and long.
func (l *layout) rate(v *servicerequests.Millipence) {
	scale, long := rateScale, *v
	for ; l.writes() && int64(long) != int64(int16(long)); scale++ {
		if long%10 != 0 || scale == 0 {
			l.fail("rate %s does not fit 16 bits", *v)
			return
		}
		long /= 10
	}
	s, n := byte(scale), uint16(long)
	l.fixed("\x02\x03\x02\x02\x0F\x00\x0F", "debt recovery rate")
	l.u8(&s, "scale")
	l.fixed("\x02\x03\x12\x00\x00\x09\x06\x00\x00\x00\x00\x00\x00\x0F\x00\x01\x01\x02\x02\x09\x00\x10", "debt recovery rate")
	l.u16(&n, "rate")
	if l.writes() {
		return
	}
	if scale = int(int8(s)); scale < rateScale || scale > 0 {
		l.fail("scale of debt recovery rate is not from -5 to 0")
		return
	}
	*v = servicerequests.Millipence(int16(n))
	for ; scale > rateScale; scale-- {
		*v *= 10
	}
}

// pounds is an amount in whole pounds.
func (l *layout) pounds(v *servicerequests.Millipence, what string) {
	n := uint16(*v / servicerequests.Pound)
	if l.writes() && servicerequests.Millipence(n)*servicerequests.Pound != *v {
		l.fail("amount %s is not whole pounds of 16 bits", *v)
	}
	l.fixed("\x12", what)
	if l.u16(&n, what); !l.writes() {
		*v = servicerequests.Millipence(n) * servicerequests.Pound
	}
}

func (l *layout) specialDays(days *[]SpecialDay) {
	l.fixed("\x01", "special days")
	items(l, days, l.count(len(*days), maxSpecialDays, "special days"), func(d *SpecialDay) {
		l.fixed("\x02\x03\x12", "special day")
		l.u16(&d.Index, "index")
		l.date(&d.Date)
		l.fixed("\x11", "day")
		l.u8(&d.Day, "day")
	})
}

func (l *layout) date(d *Date) {
	l.fixed("\x09\x05", "date")
	l.u16(&d.Year, "year")
	l.u8(&d.Month, "month")
	l.u8(&d.Day, "day")
	l.u8(&d.Weekday, "day of week")
}

func (l *layout) schedule(entries *[]ScheduleEntry) {
	l.fixed("\x01", "schedule")
	items(l, entries, l.count(len(*entries), maxScheduleEntries, "schedule entries"), func(e *ScheduleEntry) {
		l.fixed("\x02\x0A\x12", "schedule entry")
		l.u16(&e.Index, "index")
		l.fixed("\x03", "enable")
		l.flag(&e.Enabled, 0xFF, "enable") // as the test data has it; the use case table has 01
		l.fixed("\x09\x06"+scriptTable[2:]+"\x12", "script")
		l.u16(&e.Script, "script")
		l.fixed("\x09\x04", "time")
		l.bytes(e.Time[:], "time")
		l.fixed("\x12\xFF\xFF\x04\x07", "weekdays")
		l.u8(&e.Weekdays, "weekdays")
		l.fixed("\x04", "special days")
		days := l.count(int(e.SpecialDays), maxSpecialDays, "special days")
		bits := binary.BigEndian.AppendUint32(nil, e.SpecialBits)
		l.bytes(bits[len(bits)-(days+7)/8:], "special days")
		if !l.writes() {
			e.SpecialDays, e.SpecialBits = byte(days), binary.BigEndian.Uint32(bits)
		}
		l.date(&e.Begin)
		l.date(&e.End)
	})
}
