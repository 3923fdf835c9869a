package meter_test

import (
	"strings"
	"testing"
	"time"

	"safemode/devicesim/fleet"
	"safemode/devicesim/meter"
	"safemode/servicerequests"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// lived is the default life from noon on a Wednesday, changed by with.
func lived(with func(*meter.Life)) *meter.Life {
	l := meter.Lived()
	l.Seed, l.Began = 7, noon
	if with != nil {
		with(&l)
	}
	return &l
}

// alone is a life in which no consumer does anything, and every electricity meter
// pays 2.40 pounds a day, 10 pence an hour.
func alone(l *meter.Life) {
	l.Press, l.EmergencyCredit, l.TopUp = meter.Habit{}, meter.Habit{}, meter.Habit{}
	l.ElectricityUse, l.Spread, l.StandingCharge = 240_000, 1, 0
}

func at(hours float64) time.Time { return noon.Add(time.Duration(hours * float64(time.Hour))) }

// The rows of the package comment that only time brings about.
func TestCreditRunsOut(t *testing.T) {
	const penny = pound / 100
	tests := []struct {
		name   string
		from   fleet.Meter
		until  time.Time
		want   func(*fleet.Meter)
		alerts []meter.Raised
	}{
		{
			"E1, E2: low credit, then emergency credit", prepaid(balance(550 * penny)), at(40),
			all(balance(150*penny), emergency(fleet.Available, 0)),
			[]meter.Raised{{Code: meter.LowCredit, At: at(5)}, {Code: meter.EmergencyCreditAvailable, At: at(35)}},
		},
		{
			"E3: off at noon the next day", prepaid(all(balance(240*penny), emergency(fleet.Spent, 0))), at(30),
			all(balance(0), emergency(fleet.Spent, 0), disabled),
			[]meter.Raised{{Code: meter.BelowDisablement, At: at(24)}},
		},
		{
			"E4: suspended at eight, off at nine", prepaid(all(balance(80*penny), emergency(fleet.Spent, 0))), at(30),
			all(balance(-130*penny), emergency(fleet.Spent, 0), disabled),
			[]meter.Raised{{Code: meter.DisablementSuspended, At: at(8)}, {Code: meter.BelowDisablement, At: at(21)}},
		},
		{
			"E3: emergency credit is used up", prepaid(all(balance(10*penny), emergency(fleet.Active, 20*penny))), at(4),
			all(balance(0), emergency(fleet.Spent, 0), disabled),
			[]meter.Raised{{Code: meter.EmergencyCreditExhausted, At: at(3)}, {Code: meter.BelowDisablement, At: at(3)}},
		},
		{"E9: nothing cuts off in credit mode", prepaid(all(inCredit, balance(10*penny))), at(100), all(inCredit, balance(-990*penny)), nil},
		{"what is off uses nothing", prepaid(all(disabled, balance(10*penny), emergency(fleet.Spent, 0))), at(100), nil, nil},
		{"what was due before the beginning is not told", prepaid(cutOffOn), at(0), all(cutOffOn, disabled), nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, want := test.from, test.from
			if test.want != nil {
				test.want(&want)
			}
			alerts, _ := lived(alone).Pass(&got, test.until)
			// A crossing is told at the millisecond after it.
			near := cmp.Comparer(func(a, b time.Time) bool { return a.Sub(b).Abs() < time.Second })
			if diff := cmp.Diff(test.alerts, alerts, near); diff != "" {
				t.Errorf("alerts (-want +got):\n%s", diff)
			}
			got.AsOf, got.ActAt, got.Need, got.Plan, got.Takes, got.TopUps = 0, 0, 0, 0, 0, 0
			if d := got.Balance - want.Balance; max(d, -d) > 5 {
				t.Errorf("balance %s, want %s", got.Balance, want.Balance)
			}
			got.Balance = want.Balance
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("state (-want +got):\n%s", diff)
			}
		})
	}
}

// A meter that tells of credit that is gone in a non-disablement period tells it then,
// and goes off in silence when the period ends.
func TestBelowInSuspension(t *testing.T) {
	l := lived(func(l *meter.Life) {
		alone(l)
		l.BelowInSuspension = func(servicerequests.EUI) bool { return true }
	})
	near := cmp.Comparer(func(a, b time.Time) bool { return a.Sub(b).Abs() < time.Second })
	for credit, want := range map[servicerequests.Millipence][]meter.Raised{
		pound * 8 / 10:  {{Code: meter.DisablementSuspended, At: at(8)}, {Code: meter.BelowDisablement, At: at(8)}},
		pound * 24 / 10: {{Code: meter.BelowDisablement, At: at(24)}}, // by day as ever
	} {
		m := prepaid(all(balance(credit), emergency(fleet.Spent, 0)))
		alerts, _ := l.Pass(&m, at(30))
		if diff := cmp.Diff(want, alerts, near); diff != "" || m.Supply != servicerequests.Disabled {
			t.Errorf("%s: %s, alerts (-want +got):\n%s", credit, m.Supply, diff)
		}
	}
}

func cutOffOn(m *fleet.Meter) { m.Balance, m.EmergencyCredit = -pound, fleet.Spent }

// The standing charge is owed, and not collected, while the supply is off or on
// emergency credit, if the meter's configuration suspends debt then. An
// electricity meter tells its configuration in the answer to 4.13, a gas meter in
// the answer to 6.2.9.
func TestStandingChargeIsAsConfigured(t *testing.T) {
	const charge = 48_000
	l := lived(func(l *meter.Life) {
		alone(l)
		l.ElectricityUse, l.GasUse, l.StandingCharge = 1, 1, charge // next to nothing is used
	})
	// collected says whether a day's charge was collected, and not owed.
	collected := func(m fleet.Meter) bool {
		t.Helper()
		before := m
		l.Pass(&m, at(24))
		paid := before.Balance + before.EmergencyBalance - m.Balance - m.EmergencyBalance
		if owed := m.Debt - before.Debt; paid+owed < charge || paid+owed > charge+1 || paid > 1 && owed > 0 {
			t.Fatalf("%s: of %s a day %s are paid and %s owed", m.Model.Name(), servicerequests.Millipence(charge), paid, owed)
		}
		return m.Debt == before.Debt
	}
	ways := map[[2]bool]bool{}
	for model := fleet.Model(0); model < 9; model++ {
		m := prepaid(nil)
		m.Model, m.Type = model, servicerequests.ESME
		service := servicerequests.ReadPrepaymentConfiguration
		if strings.HasPrefix(model.Name(), "sim-g") {
			m.Type, service = servicerequests.GSME, servicerequests.ReadPaymentMode
		}
		read := meter.Execute(&m, command(t, service, m.Type), noon, meter.Behaviour{}, meter.Fault{}).Response
		says := [2]bool{read.SuspendDebtDisabled, read.SuspendDebtEmergency}
		if m.Type == servicerequests.ESME {
			says = [2]bool{read.Configuration.Account.SuspendDebtDisabled, read.Configuration.Account.SuspendDebtEmergency}
		}
		ways[says] = true
		off, emergency := m, m
		disabled(&off)
		emergency.Balance = model.Configuration().DisablementThreshold
		emergency.EmergencyCredit, emergency.EmergencyBalance = fleet.Active, pound
		if collected(off) == says[0] || collected(emergency) == says[1] || !collected(m) {
			t.Errorf("%s says %v: collected while off %t, on emergency credit %t, while on %t",
				model.Name(), says, collected(off), collected(emergency), collected(m))
		}
	}
	if len(ways) != 4 {
		t.Errorf("only %v of the four ways", ways)
	}
}

// A standing charge that is collected uses up the credit of a supply that is off: it is
// told, and the consumer's button does nothing any more.
func TestStandingChargeUsesCreditUp(t *testing.T) {
	l := lived(func(l *meter.Life) {
		alone(l)
		l.StandingCharge = 240_000
	})
	m := prepaid(all(armed, balance(6*pound)))
	m.Model = 5 // cuts off at 5 pounds under nothing
	alerts, _ := l.Pass(&m, at(200))
	want := []meter.Raised{{Code: meter.LowCredit, At: at(10)}, {Code: meter.EmergencyCreditAvailable, At: at(40)}}
	near := cmp.Comparer(func(a, b time.Time) bool { return a.Sub(b).Abs() < time.Second })
	if diff := cmp.Diff(want, alerts, near); diff != "" {
		t.Errorf("alerts (-want +got):\n%s", diff)
	}
	if enabled, _ := meter.Press(&m, meter.PressFault{}); enabled || m.Balance != -14*pound {
		t.Errorf("enabled %t with a balance of %s", enabled, m.Balance)
	}
}

func TestConsumersAct(t *testing.T) {
	always := func(l *meter.Life) {
		l.Press, l.EmergencyCredit, l.TopUp = meter.Habit{Share: 1, After: time.Hour}, meter.Habit{}, meter.Habit{Share: 1, After: time.Hour}
	}
	waiting := prepaid(armed)
	lived(always).Pass(&waiting, at(48))
	if waiting.Supply != servicerequests.Enabled {
		t.Error("nobody pressed the button of an armed supply")
	}
	dark := prepaid(cutOff(fleet.Spent))
	lived(always).Pass(&dark, at(14*24))
	if dark.Supply != servicerequests.Enabled || dark.EmergencyCredit == fleet.Spent {
		t.Errorf("a home that tops up and presses is %s with emergency credit %s", dark.Supply, dark.EmergencyCredit)
	}
	takes := func(l *meter.Life) {
		l.EmergencyCredit, l.TopUp = meter.Habit{Share: 1, After: time.Hour}, meter.Habit{}
	}
	taken := prepaid(cutOff(fleet.Available))
	alerts, _ := lived(takes).Pass(&taken, at(48))
	if taken.EmergencyCredit != fleet.Active || len(alerts) < 2 || alerts[1].Code != meter.ArmedByEmergencyCredit {
		t.Errorf("emergency credit %s, alerts %v", taken.EmergencyCredit, alerts)
	}
	faulty := lived(func(l *meter.Life) {
		always(l)
		l.PressFaults = func(servicerequests.EUI, uint64) meter.PressFault { return meter.PressFault{SwitchFails: true} }
	})
	stuck := prepaid(armed)
	if alerts, _ := faulty.Pass(&stuck, at(48)); stuck.Supply != servicerequests.Armed || len(alerts) < 2 || alerts[0].Code != meter.ConnectFailure {
		t.Errorf("a switch that fails: %s, %v", stuck.Supply, alerts)
	}
}

// Two sweeps of one fleet meet equal luck: what goes wrong at a meter's first press, and
// how long that takes, is the same whatever the sweep did before, and so is the first
// top-up.
func TestEqualLuck(t *testing.T) {
	type press struct {
		after time.Duration // since the supply was armed; 0: nobody presses
		fault meter.PressFault
		again bool // it took another
	}
	failing, idle := 0, 0
	for device := servicerequests.EUI(1); device <= 400; device++ {
		sweep := func(begins float64, commands ...func(*fleet.Meter, time.Time)) (first press) {
			m := prepaid(all(cutOff(fleet.Spent), balance(-40*pound)))
			m.Device = device
			presses, armed := 0, int64(0)
			l := lived(func(l *meter.Life) {
				l.TopUp.Share = 0
				l.PressFaults = func(d servicerequests.EUI, number uint64) (f meter.PressFault) {
					if number != uint64(presses) || d != device {
						t.Fatalf("press %d of %v is called number %d of %v", presses, device, number, d)
					}
					f.SwitchFails = fleet.Draw(1, d, "fails", number)%3 == 0
					if presses++; presses == 1 {
						first = press{time.Duration(m.AsOf-armed) * time.Millisecond, f, false}
					}
					return f
				}
			})
			for i, command := range commands {
				now := at(begins + float64(i)/100)
				l.Pass(&m, now)
				if command(&m, now); m.Supply == servicerequests.Armed && armed == 0 {
					armed = m.AsOf
				}
			}
			l.Pass(&m, at(200))
			first.again = presses > 1
			return first
		}
		credit := func(m *fleet.Meter, _ time.Time) { meter.SwitchToCredit(m, meter.Behaviour{}) }
		arm := func(m *fleet.Meter, now time.Time) { meter.ArmSupply(m, now, meter.Behaviour{}) }
		bought := func(m *fleet.Meter, _ time.Time) {
			m.EmergencyCredit = fleet.Available
			meter.ActivateEmergencyCredit(m, meter.Behaviour{})
		}
		one, other := sweep(1, credit, arm), sweep(9, bought, credit)
		if one != other {
			t.Errorf("%v: armed by one sweep %+v, by another %+v", device, one, other)
		}
		if one.fault.SwitchFails {
			failing++
		}
		if one.after == 0 {
			idle++
		}
	}
	if failing < 80 || idle < 20 || idle > 60 {
		t.Errorf("of 400 first presses %d fail and %d never come", failing, idle)
	}
}

// A consumer who wanted to take emergency credit and finds that a sweep has done so tops
// up as if he had taken it himself.
func TestEqualLuckOfTopUps(t *testing.T) {
	topped := 0
	for device := servicerequests.EUI(1); device <= 50; device++ {
		l := lived(func(l *meter.Life) {
			l.EmergencyCredit, l.TopUp, l.StandingCharge = meter.Habit{Share: 1, After: time.Minute}, meter.Habit{Share: 1, After: 24 * time.Hour}, 0
		})
		left := prepaid(all(balance(pound), emergency(fleet.Available, 0)))
		left.Device = device
		swept := left
		l.Pass(&swept, noon.Add(time.Second))
		meter.ActivateEmergencyCredit(&swept, meter.Behaviour{})
		l.Pass(&left, at(400))
		l.Pass(&swept, at(400))
		if left.TopUps > 0 {
			topped++
		}
		if diff := cmp.Diff(left, swept); diff != "" {
			t.Errorf("left alone and swept: %s", diff)
		}
	}
	if topped < 40 {
		t.Errorf("only %d of 50 top up in 400 hours", topped)
	}
}

// It does not matter when or how often a meter is looked at.
func TestLookingChangesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := anyMeter(t)
		l := lived(func(l *meter.Life) { l.Seed = rapid.Uint64().Draw(t, "seed") })
		end := noon.Add(time.Duration(rapid.Int64Range(0, int64(28*24*time.Hour)).Draw(t, "end")))
		once, often := m, m
		want, darkOnce := l.Pass(&once, end)
		var got []meter.Raised
		var darkOften time.Duration
		for now := noon; now.Before(end); {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(60*time.Hour)).Draw(t, "until")))
			if now.After(end) {
				now = end
			}
			raised, dark := l.Pass(&often, now)
			got, darkOften = append(got, raised...), darkOften+dark
			if len(got) > 500 {
				t.Fatalf("%d alerts in four weeks", len(got))
			}
		}
		raised, dark := l.Pass(&often, end)
		got, darkOften = append(got, raised...), darkOften+dark
		l.Next(&once)
		l.Next(&often)
		if diff := cmp.Diff(once, often); diff != "" {
			t.Fatalf("state: %s", diff)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("alerts: %s", diff)
		}
		if darkOnce != darkOften {
			t.Fatalf("dark for %v, looked at often %v", darkOnce, darkOften)
		}
	})
}

// Commands among the passing of time: no permitted command leaves a home worse
// than the same home without it, what is due is never behind the meter, and a
// meter in Credit is never cut off.
func TestCommandsInTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, b := anyMeter(t), anyBehaviour(t)
		l := lived(func(l *meter.Life) {
			l.Seed, l.Behaviour = rapid.Uint64().Draw(t, "seed"), b
		})
		now := noon
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(40*time.Hour)).Draw(t, "passes")))
			before := m
			l.Pass(&m, now)
			switch next := l.Next(&m); {
			case before.Mode == servicerequests.Credit && m.Supply < before.Supply:
				t.Fatalf("cut off in Credit: %+v became %+v", before, m)
			case m.Locked && m.Supply != servicerequests.Disabled:
				t.Fatalf("a locked supply left Disabled: %+v", m)
			case next < now.UnixMilli() || m.AsOf != now.UnixMilli():
				t.Fatalf("as of %d, next %d, now %d", m.AsOf, next, now.UnixMilli())
			case m.EmergencyBalance < 0 || m.Debt < 0 || m.CreditModeDue < 0:
				t.Fatalf("out of range: %+v", m)
			}
			service := rapid.SampledFrom(services).Draw(t, "service")
			if service == servicerequests.ArmSupply && m.Supply != servicerequests.Disabled {
				continue
			}
			without := m
			meter.Execute(&m, command(t, service, m.Type), now, b, anyFault(t))
			// Half a day on, a home is no darker for the command. Only consumers could
			// make it so, who take other decisions in another state: without them.
			still := *l
			still.Press, still.EmergencyCredit, still.TopUp = meter.Habit{}, meter.Habit{}, meter.Habit{}
			with := m
			with.ActAt, without.ActAt = 0, 0
			still.Pass(&with, now.Add(12*time.Hour))
			still.Pass(&without, now.Add(12*time.Hour))
			if with.Supply < without.Supply && with.Supply != servicerequests.Armed {
				t.Fatalf("%s: %s instead of %s", service, with.Supply, without.Supply)
			}
		}
	})
}

// How long a supply is not on, against lives reckoned by hand.
func TestDark(t *testing.T) {
	const penny = pound / 100
	tests := []struct {
		name  string
		from  fleet.Meter
		until time.Time
		want  time.Duration
	}{
		{"a balance that lasts", prepaid(balance(550 * penny)), at(40), 0},
		{"off at noon the next day", prepaid(all(balance(240*penny), emergency(fleet.Spent, 0))), at(30), 6 * time.Hour},
		{"suspended at eight, off at nine", prepaid(all(balance(80*penny), emergency(fleet.Spent, 0))), at(30), 9 * time.Hour},
		{"cut off in the end of the span", prepaid(all(balance(240*penny), emergency(fleet.Spent, 0))), at(24), 0},
		{"off from the beginning", prepaid(cutOff(fleet.Spent)), at(30), 30 * time.Hour},
		{"armed, and nobody presses", prepaid(armed), at(30), 30 * time.Hour},
		{"on in credit mode", prepaid(all(inCredit, balance(-pound))), at(100), 0},
	}
	for _, test := range tests {
		m := test.from
		// A crossing is at the millisecond after it.
		if _, dark := lived(alone).Pass(&m, test.until); (dark - test.want).Abs() > time.Second {
			t.Errorf("%s: dark for %v, want %v", test.name, dark, test.want)
		}
	}
}

// A home that is off, is switched and armed after ten hours, and whose consumer
// presses at a time that the life gives away: dark until then.
func TestDarkUntilThePress(t *testing.T) {
	l := lived(func(l *meter.Life) {
		alone(l)
		l.Press = meter.Habit{Share: 1, After: time.Hour}
	})
	m := prepaid(cutOff(fleet.Spent))
	_, before := l.Pass(&m, at(10))
	meter.SwitchToCredit(&m, meter.Behaviour{})
	if done, _ := meter.ArmSupply(&m, at(10), meter.Behaviour{}); !done {
		t.Fatal("not armed")
	}
	pressed := time.UnixMilli(l.Next(&m))
	_, after := l.Pass(&m, at(200))
	if m.Supply != servicerequests.Enabled || !pressed.After(at(10)) || before != 10*time.Hour || after != pressed.Sub(at(10)) {
		t.Errorf("%s: dark for %v, then %v; pressed at %v", m.Supply, before, after, pressed)
	}
}
