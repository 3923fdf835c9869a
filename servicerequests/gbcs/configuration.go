package gbcs

import (
	"encoding/binary"
	"errors"
	"fmt"

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

// readDLMS reads the 18 data of an ECS26a Response.
func (c *PrepaymentConfiguration) readDLMS(r *reader) (present uint32) {
	var again [2]DebtRecovery // items 4 and 7 repeat 1 and 5
	for i := range electricityConfigurationItems {
		if r.null() {
			continue
		}
		present |= 1 << i
		switch i + 1 {
		case 1:
			c.DebtRecovery[0].Rate = readRate(r)
		case 2:
			c.SpecialDays = readSpecialDays(r)
		case 3:
			c.DebtRecovery[0].Period = r.tagged32("\x06", "period")
		case 4:
			again[0].Rate = readRate(r)
		case 5:
			c.DebtRecovery[1].Rate = readRate(r)
		case 6:
			c.DebtRecovery[1].Period = r.tagged32("\x06", "period")
		case 7:
			again[1].Rate = readRate(r)
		case 8:
			r.expect("\x12", "debt recovery per payment")
			if c.DebtRecoveryPerPayment = r.u16("debt recovery per payment"); c.DebtRecoveryPerPayment > 10000 {
				r.fail("debt recovery per payment is above 10000")
			}
		case 9:
			c.MaximumCreditThreshold = r.doubleLong("maximum credit threshold")
		case 10:
			r.expect("\x01\x01", "disablement threshold")
			c.DisablementThreshold = r.doubleLong("disablement threshold")
		case 11:
			c.MaximumMeterBalance = r.doubleLong("maximum meter balance")
		case 12:
			c.LowCreditThreshold = r.doubleLong("low credit threshold")
		case 13:
			r.expect("\x12", "debt recovery rate cap")
			c.DebtRecoveryRateCap = servicerequests.Millipence(r.u16("debt recovery rate cap")) * servicerequests.Pound
		case 14:
			c.RateCapPeriod = r.tagged32("\x05", "cap period")
		case 15:
			c.EmergencyCreditLimit = r.doubleLong("emergency credit limit")
		case 16:
			c.EmergencyCreditThreshold = r.doubleLong("emergency credit threshold")
		case 17:
			c.Schedule = readSchedule(r)
		case 18:
			c.Account = readAccountConfiguration(r)
		}
	}
	const both1, both2 = 1<<0 | 1<<3, 1<<4 | 1<<6
	if present&both1 == both1 && again[0].Rate != c.DebtRecovery[0].Rate ||
		present&both2 == both2 && again[1].Rate != c.DebtRecovery[1].Rate {
		r.fail("debt recovery rate is there twice with different values")
	}
	return present
}

func (r *reader) tagged32(tag, what string) uint32 {
	r.expect(tag, what)
	return r.u32(what)
}

// A rate: {{0, scale}, {0, no OBIS, 0}, [{empty, long}]} around scale and long.
const (
	rateStart  = "\x02\x03\x02\x02\x0F\x00\x0F"
	rateMiddle = "\x02\x03\x12\x00\x00\x09\x06\x00\x00\x00\x00\x00\x00\x0F\x00\x01\x01\x02\x02\x09\x00\x10"
)

func readRate(r *reader) servicerequests.Millipence {
	r.expect(rateStart, "debt recovery rate")
	scale := int8(r.u8("scale"))
	r.expect(rateMiddle, "debt recovery rate")
	rate := servicerequests.Millipence(int16(r.u16("rate")))
	if scale < rateScale || scale > 0 {
		r.fail("scale of debt recovery rate is not from -5 to 0")
		return 0
	}
	for ; scale > rateScale; scale-- {
		rate *= 10
	}
	return rate
}

func readSpecialDays(r *reader) (days []SpecialDay) {
	r.expect("\x01", "special days")
	n := int(r.u8("number of special days"))
	if n > maxSpecialDays {
		r.fail("more than 20 special days")
		return nil
	}
	for range n {
		r.expect("\x02\x03\x12", "special day")
		d := SpecialDay{Index: r.u16("index"), Date: readDate(r)}
		r.expect("\x11", "day")
		d.Day = r.u8("day")
		days = append(days, d)
	}
	return days
}

func readDate(r *reader) Date {
	r.expect("\x09\x05", "date")
	return Date{r.u16("year"), r.u8("month"), r.u8("day"), r.u8("day of week")}
}

func readSchedule(r *reader) (entries []ScheduleEntry) {
	r.expect("\x01", "schedule")
	n := int(r.u8("number of schedule entries"))
	if n > maxScheduleEntries {
		r.fail("more than 22 schedule entries")
		return nil
	}
	for range n {
		r.expect("\x02\x0A\x12", "schedule entry")
		e := ScheduleEntry{Index: r.u16("index")}
		r.expect("\x03", "enable")
		e.Enabled = r.u8("enable") != 0
		r.expect("\x09\x06"+scriptTable[2:]+"\x12", "script")
		e.Script = r.u16("script")
		r.expect("\x09\x04", "time")
		copy(e.Time[:], r.take(4, "time"))
		r.expect("\x12\xFF\xFF\x04\x07", "weekdays")
		e.Weekdays = r.u8("weekdays")
		r.expect("\x04", "special days")
		e.SpecialDays = r.u8("number of special days")
		if e.SpecialDays > maxSpecialDays {
			r.fail("more than 20 special days")
			return nil
		}
		for range (int(e.SpecialDays) + 7) / 8 {
			e.SpecialBits = e.SpecialBits<<8 | uint32(r.u8("special days"))
		}
		e.Begin, e.End = readDate(r), readDate(r)
		entries = append(entries, e)
	}
	return entries
}

// appendDLMS appends the 18 data of an ECS26a Response.
func (c *PrepaymentConfiguration) appendDLMS(b, results []byte) ([]byte, error) {
	if c == nil {
		c = new(PrepaymentConfiguration)
	}
	if len(c.SpecialDays) > maxSpecialDays || len(c.Schedule) > maxScheduleEntries {
		return nil, errors.New("too many special days or schedule entries")
	}
	var err error
	for i, code := range results {
		if code != 0 {
			b = append(b, 0)
			continue
		}
		switch i + 1 {
		case 1, 4:
			b, err = appendRate(b, c.DebtRecovery[0].Rate)
		case 2:
			b = appendSpecialDays(b, c.SpecialDays)
		case 3:
			b = binary.BigEndian.AppendUint32(append(b, 6), c.DebtRecovery[0].Period)
		case 5, 7:
			b, err = appendRate(b, c.DebtRecovery[1].Rate)
		case 6:
			b = binary.BigEndian.AppendUint32(append(b, 6), c.DebtRecovery[1].Period)
		case 8:
			b = binary.BigEndian.AppendUint16(append(b, 0x12), c.DebtRecoveryPerPayment)
		case 9:
			b, err = appendDoubleLong(b, c.MaximumCreditThreshold)
		case 10:
			b, err = appendDoubleLong(append(b, 1, 1), c.DisablementThreshold)
		case 11:
			b, err = appendDoubleLong(b, c.MaximumMeterBalance)
		case 12:
			b, err = appendDoubleLong(b, c.LowCreditThreshold)
		case 13:
			b, err = appendPounds(b, c.DebtRecoveryRateCap)
		case 14:
			b = binary.BigEndian.AppendUint32(append(b, 5), c.RateCapPeriod)
		case 15:
			b, err = appendDoubleLong(b, c.EmergencyCreditLimit)
		case 16:
			b, err = appendDoubleLong(b, c.EmergencyCreditThreshold)
		case 17:
			b = appendSchedule(b, c.Schedule)
		case 18:
			b = appendAccountConfiguration(b, c.Account)
		}
		if err != nil {
			return nil, fmt.Errorf("item %d: %w", i+1, err)
		}
	}
	return b, nil
}

func appendRate(b []byte, rate servicerequests.Millipence) ([]byte, error) {
	scale := int8(rateScale)
	for int64(rate) != int64(int16(rate)) {
		if rate%10 != 0 || scale == 0 {
			return nil, fmt.Errorf("rate %s does not fit 16 bits", rate)
		}
		rate, scale = rate/10, scale+1
	}
	b = append(append(b, rateStart...), byte(scale))
	return binary.BigEndian.AppendUint16(append(b, rateMiddle...), uint16(rate)), nil
}

func appendPounds(b []byte, amount servicerequests.Millipence) ([]byte, error) {
	pounds := amount / servicerequests.Pound
	if amount%servicerequests.Pound != 0 || int64(pounds) != int64(uint16(pounds)) {
		return nil, fmt.Errorf("amount %s is not whole pounds of 16 bits", amount)
	}
	return binary.BigEndian.AppendUint16(append(b, 0x12), uint16(pounds)), nil
}

func appendSpecialDays(b []byte, days []SpecialDay) []byte {
	b = append(b, 1, byte(len(days)))
	for _, d := range days {
		b = binary.BigEndian.AppendUint16(append(b, 2, 3, 0x12), d.Index)
		b = append(appendDate(b, d.Date), 0x11, d.Day)
	}
	return b
}

func appendDate(b []byte, d Date) []byte {
	b = binary.BigEndian.AppendUint16(append(b, 9, 5), d.Year)
	return append(b, d.Month, d.Day, d.Weekday)
}

func appendSchedule(b []byte, entries []ScheduleEntry) []byte {
	b = append(b, 1, byte(len(entries)))
	for _, e := range entries {
		b = binary.BigEndian.AppendUint16(append(b, 2, 10, 0x12), e.Index)
		b = append(b, 3, 0)
		if e.Enabled {
			b[len(b)-1] = 0xFF // as the test data has it; the use case table has 01
		}
		b = append(b, "\x09\x06"+scriptTable[2:]+"\x12"...)
		b = binary.BigEndian.AppendUint16(b, e.Script)
		b = append(append(b, 9, 4), e.Time[:]...)
		b = append(b, 0x12, 0xFF, 0xFF, 4, 7, e.Weekdays, 4, e.SpecialDays)
		for n := (int(e.SpecialDays) + 7) / 8; n > 0; n-- {
			b = append(b, byte(e.SpecialBits>>(8*(n-1))))
		}
		b = appendDate(appendDate(b, e.Begin), e.End)
	}
	return b
}
