package devicesim_test

import (
	"testing"
	"time"

	"safemode/devicesim"
	"safemode/devicesim/fleet"
	"safemode/devicesim/meter"
	"safemode/servicerequests"
)

// How long supplies are not on is reckoned beforehand as it then comes to be, in a
// fleet whose consumers do nothing, and equals what is reckoned by hand.
func TestDark(t *testing.T) {
	t.Parallel()
	begin := time.Date(2026, 11, 25, 8, 30, 0, 0, time.UTC)
	until := begin.Add(48 * time.Hour)
	const aDay = 2 * servicerequests.Pound
	u := newUser(t, builtin(t, "calm"), func(o *devicesim.Options) {
		o.Clock, o.DarkUntil = from(begin), until
		o.Life = meter.Life{ElectricityUse: aDay, GasUse: aDay, Began: begin}
	})
	supplier := u.folder.Supplier.XMLSigning.Certificate.EUI
	want := map[servicerequests.DeviceType]devicesim.Dark{}
	var waiting servicerequests.EUI // Armed: dark all the time, if nobody presses
	for i := range u.fleet.Len() {
		m := u.fleet.Meter(i)
		d := want[m.Type]
		d.Homes++
		if m.Reachable && m.Supplier == supplier {
			d.Reachable++
			d.Untouched += byHand(&m, begin, until, aDay)
			if m.Supply == servicerequests.Armed {
				waiting = m.Device
			}
		}
		want[m.Type] = d
	}
	before := u.sim.Dark()
	for kind, d := range before {
		if w := want[kind]; d.Homes != w.Homes || d.Reachable != w.Reachable || (d.Untouched-w.Untouched).Abs() > time.Minute || d.Untouched < 24*time.Hour {
			t.Errorf("%s: %+v, by hand %+v", kind, d, w)
		}
		if d.Truly != d.Untouched || d.AtOnce >= d.Untouched || d.AtOnce <= 0 {
			t.Errorf("%s: nothing was sent: %+v", kind, d)
		}
	}
	if enabled, err := u.sim.Press(waiting); !enabled || err != nil {
		t.Fatalf("not enabled: %v", err)
	}
	pressed := u.clock.Now()
	u.pass(until.Add(time.Hour).Sub(pressed))
	i, _ := u.fleet.Find(waiting)
	m := u.fleet.Meter(i)
	saved := until.Sub(pressed)
	m.Supply = servicerequests.Enabled // until its credit runs out
	saved -= byHand(&m, pressed, until, aDay)
	for kind, d := range u.sim.Dark() {
		w := before[kind]
		if kind == m.Type {
			w.Truly -= saved
		}
		if (d.Truly-w.Truly).Abs() > 20*time.Minute || d.Untouched != w.Untouched || d.Reachable != w.Reachable {
			t.Errorf("%s: %+v, reckoned beforehand %+v", kind, d, w)
		}
	}
}

// byHand is for how long a meter is dark whose consumer does nothing.
func byHand(m *fleet.Meter, begin, until time.Time, aDay servicerequests.Millipence) time.Duration {
	c := m.Model.Configuration()
	switch {
	case m.Supply != servicerequests.Enabled:
		return until.Sub(begin)
	case m.Mode == servicerequests.Credit:
		return 0
	}
	credit := max(0, m.Balance-c.DisablementThreshold)
	if m.EmergencyCredit == fleet.Active {
		credit += m.EmergencyBalance
	}
	out := begin.Add(time.Duration(float64(credit) / float64(aDay) * 24 * float64(time.Hour)))
	off, ends := c.NonDisablement.Ends(out)
	if !ends {
		return 0
	}
	return max(0, until.Sub(off))
}
