package meter

import (
	"safemode/devicesim/fleet"
	"safemode/servicerequests"
	"safemode/servicerequests/gbcs"
)

const (
	calendarID = 2 // of the non-disablement calendar, as in the test data

	day  = 86400 // seconds
	week = 7 * day
)

// prepaymentConfiguration is what 4.13 reads: the model's settings, no debt
// recovery by time and a cap as TopUp applies it. The calendar's hours are British
// time's (see [fleet.Calendar]).
func prepaymentConfiguration(m *fleet.Meter, c fleet.Configuration) *gbcs.PrepaymentConfiguration {
	p := &gbcs.PrepaymentConfiguration{
		DebtRecovery:             [2]gbcs.DebtRecovery{{Period: day}, {Period: day}},
		DebtRecoveryRateCap:      debtPerTopUp,
		DisablementThreshold:     c.DisablementThreshold,
		EmergencyCreditLimit:     c.EmergencyCreditLimit,
		EmergencyCreditThreshold: c.EmergencyCreditThreshold,
		LowCreditThreshold:       c.LowCreditThreshold,
		MaximumMeterBalance:      c.MaximumBalance,
		MaximumCreditThreshold:   c.MaximumTopUp,
	}
	if m.Type == servicerequests.GSME {
		p.GasCalendar = gasCalendar(c.NonDisablement)
		return p
	}
	p.RateCapPeriod = week
	p.Account = gbcs.AccountConfiguration{Mode: m.Mode}
	if m.Mode == servicerequests.Prepayment {
		p.Account.SuspendDebtDisabled, p.Account.SuspendDebtEmergency = c.SuspendDebtDisabled, c.SuspendDebtEmergency
	}
	p.Schedule = schedule(c.NonDisablement)
	return p
}

// schedule is the calendar as an ESME holds it: script 32 starts a period,
// script 33 stops it. Weekdays are bits from Monday, the highest, on.
func schedule(c fleet.Calendar) []gbcs.ScheduleEntry {
	const everyDay, notSunday = 0xFE, 0xFC
	always := gbcs.Date{Year: gbcs.EveryYear, Month: gbcs.Every, Day: gbcs.Every, Weekday: gbcs.Every}
	start := gbcs.ScheduleEntry{Index: 1, Enabled: true, Script: 32, Time: [4]byte{byte(c.From)}, Weekdays: everyDay, Begin: always, End: always}
	stop := gbcs.ScheduleEntry{Index: 2, Enabled: true, Script: 33, Time: [4]byte{byte(c.Until)}, Weekdays: everyDay, Begin: always, End: always}
	if c.Sunday { // Saturday evening's period goes on until Monday morning
		stop.Weekdays = notSunday
	}
	return []gbcs.ScheduleEntry{start, stop}
}

// gasCalendar is the calendar as a GSME holds it. Flag 1 is on.
func gasCalendar(c fleet.Calendar) gbcs.GasCalendar {
	const ordinary, sunday = 1, 2
	g := gbcs.GasCalendar{
		CalendarID: calendarID,
		Days: []gbcs.DayProfile{
			{ID: ordinary, Entries: []gbcs.DayEntry{{Minute: 0, Flag: 1}, {Minute: uint16(c.Until) * 60}, {Minute: uint16(c.From) * 60, Flag: 1}}},
			{ID: sunday, Entries: []gbcs.DayEntry{{Minute: 0, Flag: 1}}},
		},
		Weeks:   []gbcs.WeekProfile{{ID: 1, Days: [7]byte{ordinary, ordinary, ordinary, ordinary, ordinary, ordinary, ordinary}}},
		Seasons: []gbcs.Season{{Start: gbcs.Date{Year: gbcs.EveryYear, Month: 1, Day: 1, Weekday: gbcs.Every}, Week: 1}},
	}
	if c.Sunday {
		g.Weeks[0].Days[6] = sunday
	}
	return g
}
