package devicesim_test

import (
	"fmt"
	"testing"
	"time"

	"safemode/devicesim/fault"
	"safemode/devicesim/fleet"
	"safemode/servicerequests"
	"safemode/servicerequests/duis"
)

// Homes leave on days, all their meters together, in the shares that a profile says; days
// before it began are over.
func TestSwitchingDays(t *testing.T) {
	t.Parallel()
	p := parseFaults(t, "dcc: {switching_days: {share: 0.2, days: 10, begun: 71h20m, unlisted: 0.2, untold: 0.3, flapping: 0.15, away: 30m, back: 45m}}")
	const homes = 20000
	days := map[time.Duration]int{}
	leave, unlisted, untold, twice := 0, 0, 0, 0
	for home := range servicerequests.EUI(homes) {
		l, ok := p.Rules.SwitchingDays.Leaving(1, home+1)
		if !ok {
			continue
		}
		leave++
		days[l.At]++
		if !l.Listed {
			unlisted++
		}
		if !l.Told {
			untold++
		}
		if l.Back > 0 {
			twice++
		}
		for since, want := range map[time.Duration]bool{l.At - 1: false, l.At: true, l.ForGood(): true} {
			if l.Gone(since) != want {
				t.Fatalf("%+v: gone %v after the profile began: %t", l, since, !want)
			}
		}
	}
	about := func(what string, n int, want float64) {
		if float64(n) < 0.85*want || float64(n) > 1.15*want {
			t.Errorf("%s: %d, want about %.0f", what, n, want)
		}
	}
	about("leave", leave, homes*0.2)
	about("unlisted", unlisted, homes*0.2*0.2)
	about("untold", untold, homes*0.2*0.3)
	about("twice", twice, homes*0.2*0.15)
	for day := range 10 {
		at := time.Duration(day)*24*time.Hour - 71*time.Hour - 20*time.Minute
		about("on "+at.String(), days[at], homes*0.02)
	}
	if len(days) != 10 || len(p.Rules.SwitchingDays.Moments()) != 20 {
		t.Errorf("%d days, moments %v", len(days), p.Rules.SwitchingDays.Moments())
	}
}

// switching is a profile in which every home leaves an hour after the start, or did 23 hours
// before it.
const switching = "dcc: {windows: {no_answer: 100m, unreachable: 3h}, switching_days: {share: 1, days: 2, begun: 23h%s}}"

// leaverOf is an electricity meter that is on supply and leaves at one of the two moments.
func leaverOf(t *testing.T, u *user, before bool) fleet.Meter {
	t.Helper()
	for _, l := range u.sim.Leaving() {
		i, _ := u.fleet.Find(l.Device)
		if m := u.fleet.Meter(i); onSupply(servicerequests.ESME)(m) && l.Effective.Before(u.clock.Now()) == before {
			return m
		}
	}
	t.Fatal("no electricity on supply leaves then")
	return fleet.Meter{}
}

// From its day on a home is another supplier's: E4, and the DCC's alert. It was so from the
// beginning where its day was before.
func TestHomesLeaveOnTheirDay(t *testing.T) {
	t.Parallel()
	u := newUser(t, parseFaults(t, fmt.Sprintf(switching, "")), nil)
	gone, m := leaverOf(t, u, true), leaverOf(t, u, false)
	if code := u.code(u.readRequest(gone.Device)); code != servicerequests.NotRegistered {
		t.Errorf("a home whose day was before: %s", code)
	}
	id := u.read(servicerequests.ReadSupplyStatus, m.Device)
	if r := u.next(); r.RequestID != id || r.Code != servicerequests.Success {
		t.Errorf("before its day: %s", r.Code)
	}
	u.pass(time.Hour)
	for {
		alert, ok := u.next().Content.(duis.DCCAlert)
		if change, is := alert.Event.(duis.ChangeOfSupplier); !ok || !is {
			t.Fatalf("%+v", alert)
		} else if change.Device == m.Device {
			if change.ImportMPxN != m.MPxN.String() || alert.Code != "N27" {
				t.Errorf("%+v", alert)
			}
			break
		}
	}
	if code := u.code(u.readRequest(m.Device)); code != servicerequests.NotRegistered {
		t.Errorf("after: %s", code)
	}
	if now, _ := u.sim.Device(m.Device); now.Supplier != fault.LastResort {
		t.Errorf("it is %v's", now.Supplier)
	}
	u.sim.Settle()
	if u.sim.History(m.Device).Left == 0 || u.sim.History(gone.Device).Left != 0 {
		t.Error("the history tells otherwise")
	}
}

// A Command that is under way to a home when it leaves meets the new supplier's credentials.
func TestNewCredentialsAfterTheDay(t *testing.T) {
	t.Parallel()
	u := newUser(t, parseFaults(t, fmt.Sprintf(switching, ", untold: 1")+"\ngroups: [{outage: {after: 0s, lasts: 90m}}]"), nil)
	m := leaverOf(t, u, false)
	id := u.read(servicerequests.ReadSupplyStatus, m.Device)
	if r := u.next(); r.RequestID != id || r.Code != servicerequests.NoResponse {
		t.Errorf("%s for %s", r.Code, r.RequestID)
	}
	if refused := u.sim.Summary().Refused["untrusted"]; refused != 1 {
		t.Errorf("%d commands refused as of another supplier's", refused)
	}
}

// A home that flaps is refused, served again, and refused for good.
func TestHomesThatLeaveTwice(t *testing.T) {
	t.Parallel()
	u := newUser(t, parseFaults(t, fmt.Sprintf(switching, ", untold: 1, flapping: 1, away: 1h, back: 2h")), nil)
	m := leaverOf(t, u, false)
	for i, want := range []servicerequests.ResponseCode{
		servicerequests.Acknowledged, servicerequests.NotRegistered, servicerequests.Acknowledged, servicerequests.NotRegistered,
	} {
		if code := u.code(u.readRequest(m.Device)); code != want {
			t.Errorf("look %d: %s, want %s", i, code, want)
		}
		u.pass([]time.Duration{65 * time.Minute, time.Hour, 2 * time.Hour, 0}[i])
	}
}
