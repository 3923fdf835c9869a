package gbcs

import (
	"encoding/binary"
	"fmt"
	"time"
)

// DateTime is a DLMS date-time as it stands on the wire: year (2), month, day,
// day of week (FF not specified), hour, minute, second, hundredths, deviation
// (2, 8000 not specified), clock status. GBCS times are UTC.
type DateTime [12]byte

// The clock status of messages in the test data: unspecified in all of an ESME and in
// critical ones of a GSME; in a GSME's reads different (of a clock that is reliable) or
// doubtful (of one that is not), and reliable in a gas proxy's.
const (
	ClockReliable    = 0x00
	ClockDoubtful    = 0x02
	ClockDifferent   = 0x04
	ClockUnspecified = 0xFF
)

const (
	noDeviation = "\x80\x00"
	// immediately and never are the activation times with a meaning of their own.
	immediately = "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80\x00\xFF"
	never       = "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x80\x00\xFF"
)

// NewDateTime returns t in UTC, to the second, with the clock status given.
func NewDateTime(t time.Time, clockStatus byte) (d DateTime) {
	t = t.UTC()
	binary.BigEndian.PutUint16(d[:], uint16(t.Year()))
	d[2], d[3], d[4] = byte(t.Month()), byte(t.Day()), 0xFF
	d[5], d[6], d[7] = byte(t.Hour()), byte(t.Minute()), byte(t.Second())
	copy(d[9:], noDeviation)
	d[11] = clockStatus
	return d
}

// ClockStatus returns the last byte. Bits: 01 invalid, 02 doubtful, 04 different
// clock base; FF not specified (DLMS Blue Book).
func (d DateTime) ClockStatus() byte { return d[11] }

// Time returns the instant, to the second; ok is false if any part of it is
// left open or is out of range, or if it is not UTC. The day of the week is not
// looked at.
func (d DateTime) Time() (t time.Time, ok bool) {
	year := int(binary.BigEndian.Uint16(d[:]))
	month, day, hour, minute, second := int(d[2]), int(d[3]), int(d[5]), int(d[6]), int(d[7])
	deviation := string(d[9:11])
	if hour > 23 || minute > 59 || second > 59 || deviation != noDeviation && deviation != "\x00\x00" {
		return time.Time{}, false
	}
	t = time.Date(year, time.Month(month), day, hour, minute, second, 0, time.UTC)
	// time.Date carries an overflow into the next unit: 31 April is refused here.
	if t.Year() != year || int(t.Month()) != month || t.Day() != day {
		return time.Time{}, false
	}
	return t, true
}

// The epoch of ZigBee times: seconds since 2000-01-01 UTC in 32 bits.
const zigbeeEpoch = 946684800

func zigbeeTime(seconds uint32) time.Time {
	return time.Unix(zigbeeEpoch+int64(seconds), 0).UTC()
}

// zigbeeSeconds fails for times before 2000 and after 2136.
func zigbeeSeconds(t time.Time) (uint32, error) {
	s := t.Unix() - zigbeeEpoch
	if s < 0 || s > 0xFFFF_FFFE { // FFFFFFFF means cancel or never
		return 0, fmt.Errorf("time %s does not fit 32 bits of seconds since 2000", t.UTC().Format(time.RFC3339))
	}
	return uint32(s), nil
}

// Date is a calendar date of which any part may be left open: "every".
type Date struct {
	Year    uint16 // EveryYear: every
	Month   byte   // Every: every; FD and FE are DLMS's daylight saving marks
	Day     byte   // Every: every
	Weekday byte   // 1 Monday to 7 Sunday; Every: any
}

// The values of the open parts of a [Date].
const (
	EveryYear = 0xFFFF
	Every     = 0xFF
)

// String returns YYYY-MM-DD with * for an open part, and /n for a weekday.
func (d Date) String() string {
	year, month, day, weekday := "*", "*", "*", ""
	if d.Year != EveryYear {
		year = fmt.Sprintf("%04d", d.Year)
	}
	if d.Month != Every {
		month = fmt.Sprintf("%02d", d.Month)
	}
	if d.Day != Every {
		day = fmt.Sprintf("%02d", d.Day)
	}
	if d.Weekday != Every {
		weekday = fmt.Sprintf("/%d", d.Weekday)
	}
	return year + "-" + month + "-" + day + weekday
}

// MarshalText returns what String returns.
func (d Date) MarshalText() ([]byte, error) { return []byte(d.String()), nil }
