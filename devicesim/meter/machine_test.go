package meter_test

import (
	"testing"
	"time"

	"safemode/devicesim/fleet"
	"safemode/devicesim/meter"
	"safemode/servicerequests"

	"github.com/google/go-cmp/cmp"
)

const pound = servicerequests.Pound

var (
	noon    = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC) // a Wednesday: credit can cut off
	evening = time.Date(2026, 11, 25, 20, 0, 0, 0, time.UTC) // non-disablement
)

// The models used here: threshold 2 pounds, emergency credit 10, low credit 5,
// disablement at 0.
const (
	electric fleet.Model = 0
	gas      fleet.Model = 3
)

// prepaid is an electricity meter in Prepayment and Enabled, changed by with.
func prepaid(with func(*fleet.Meter)) fleet.Meter {
	m := fleet.Meter{
		Device: 0x00DB12E000000001, Hub: 0x00DB12C000000001, Supplier: 0x90B3D51F30010000,
		Type: servicerequests.ESME, Model: electric, Region: servicerequests.North, Reachable: true,
		Condition: fleet.Condition{Mode: servicerequests.Prepayment, Supply: servicerequests.Enabled, Balance: 20 * pound},
	}
	if with != nil {
		with(&m)
	}
	return m
}

func gasMeter(with func(*fleet.Meter)) fleet.Meter {
	return prepaid(func(m *fleet.Meter) {
		m.Device, m.Type, m.Model = 0x00DB126000000001, servicerequests.GSME, gas
		with(m)
	})
}

func inCredit(m *fleet.Meter) { m.Mode = servicerequests.Credit }
func disabled(m *fleet.Meter) { m.Supply = servicerequests.Disabled }
func armed(m *fleet.Meter)    { m.Supply = servicerequests.Armed }
func locked(m *fleet.Meter)   { m.Supply, m.Locked = servicerequests.Disabled, true }

func emergency(state fleet.EmergencyCredit, left servicerequests.Millipence) func(*fleet.Meter) {
	return func(m *fleet.Meter) { m.EmergencyCredit, m.EmergencyBalance = state, left }
}

func balance(b servicerequests.Millipence) func(*fleet.Meter) {
	return func(m *fleet.Meter) { m.Balance = b }
}

func all(changes ...func(*fleet.Meter)) func(*fleet.Meter) {
	return func(m *fleet.Meter) {
		for _, change := range changes {
			change(m)
		}
	}
}

// cutOff is a home off for lack of credit.
func cutOff(state fleet.EmergencyCredit) func(*fleet.Meter) {
	return all(disabled, balance(-pound), emergency(state, 0))
}

type action func(*fleet.Meter) (done bool, alerts []meter.AlertCode)

func activate(b meter.Behaviour) action {
	return func(m *fleet.Meter) (bool, []meter.AlertCode) { return meter.ActivateEmergencyCredit(m, b) }
}

func toCredit(b meter.Behaviour) action {
	return func(m *fleet.Meter) (bool, []meter.AlertCode) { return true, meter.SwitchToCredit(m, b) }
}

func arm(b meter.Behaviour) action {
	return func(m *fleet.Meter) (bool, []meter.AlertCode) { return meter.ArmSupply(m, noon, b) }
}

func consume(amount servicerequests.Millipence, at time.Time) action {
	return func(m *fleet.Meter) (bool, []meter.AlertCode) { return true, meter.Consume(m, amount, at) }
}

func check(at time.Time) action {
	return func(m *fleet.Meter) (bool, []meter.AlertCode) { return true, meter.Check(m, at) }
}

func press(f meter.PressFault) action {
	return func(m *fleet.Meter) (bool, []meter.AlertCode) { return meter.Press(m, f) }
}

func topUp(amount servicerequests.Millipence) action {
	return func(m *fleet.Meter) (bool, []meter.AlertCode) {
		meter.TopUp(m, amount)
		return true, nil
	}
}

func enable(m *fleet.Meter) (bool, []meter.AlertCode) { return meter.EnableSupply(m), nil }

func disable(m *fleet.Meter) (bool, []meter.AlertCode) {
	meter.DisableSupply(m)
	return true, nil
}

func toPrepayment(at time.Time) action {
	return func(m *fleet.Meter) (bool, []meter.AlertCode) { return true, meter.SwitchToPrepayment(m, at) }
}

func alerts(codes ...meter.AlertCode) []meter.AlertCode { return codes }

// The rows are those of the package comment.
func TestStateMachine(t *testing.T) {
	var usual meter.Behaviour
	tests := []struct {
		row    string
		from   fleet.Meter
		do     action
		want   func(*fleet.Meter) // what has changed
		fails  bool
		alerts []meter.AlertCode
	}{
		{
			"E1 emergency credit becomes available", prepaid(balance(3 * pound)), consume(pound+1, noon),
			all(balance(2*pound-1), emergency(fleet.Available, 0)), false, alerts(meter.EmergencyCreditAvailable),
		},
		{"E1 not at the threshold", prepaid(balance(3 * pound)), consume(pound, noon), balance(2 * pound), false, nil},
		{"E2 low credit", prepaid(balance(5 * pound)), consume(1, noon), balance(5*pound - 1), false, alerts(meter.LowCredit)},
		{"E2 told once", prepaid(balance(5*pound - 1)), consume(1, noon), balance(5*pound - 2), false, nil},
		{
			"E2 counts active emergency credit", prepaid(all(balance(0), emergency(fleet.Active, 5*pound))), consume(1, noon),
			emergency(fleet.Active, 5*pound-1), false, alerts(meter.LowCredit),
		},
		{
			"E3 credit runs out", prepaid(all(balance(pound), emergency(fleet.Available, 0))), consume(pound, noon),
			all(balance(0), disabled), false, alerts(meter.BelowDisablement),
		},
		{
			"E3 emergency credit runs out", prepaid(all(balance(0), emergency(fleet.Active, pound))), consume(pound, noon),
			all(disabled, emergency(fleet.Spent, 0)), false, alerts(meter.EmergencyCreditExhausted, meter.BelowDisablement),
		},
		{
			"E3 emergency credit keeps the supply on", prepaid(all(balance(pound), emergency(fleet.Active, 3*pound))), consume(2*pound, noon),
			all(balance(0), emergency(fleet.Active, 2*pound)), false, nil,
		},
		{
			"E4 suspended", prepaid(all(balance(pound), emergency(fleet.Available, 0))), consume(2*pound, evening),
			balance(-pound), false, alerts(meter.DisablementSuspended),
		},
		{
			"E4 told once", prepaid(all(balance(-pound), emergency(fleet.Available, 0))), consume(pound, evening),
			balance(-2 * pound), false, nil,
		},
		{
			"E4 the period ends", prepaid(all(balance(-pound), emergency(fleet.Available, 0))), check(noon),
			disabled, false, alerts(meter.BelowDisablement),
		},
		{
			"E5", prepaid(all(balance(pound), emergency(fleet.Available, 0))), activate(usual),
			emergency(fleet.Active, 10*pound), false, alerts(meter.EmergencyCreditActivated),
		},
		{
			"E6", prepaid(cutOff(fleet.Available)), activate(usual),
			all(emergency(fleet.Active, 10*pound), armed), false, alerts(meter.EmergencyCreditActivated, meter.ArmedByEmergencyCredit),
		},
		{
			"E6 but locked", prepaid(all(cutOff(fleet.Available), locked)), activate(usual),
			emergency(fleet.Active, 10*pound), false, alerts(meter.EmergencyCreditActivated),
		},
		{
			"E6 disabled by the supplier", prepaid(all(balance(pound), disabled, emergency(fleet.Available, 0))), activate(usual),
			emergency(fleet.Active, 10*pound), false, alerts(meter.EmergencyCreditActivated),
		},
		{"E7", prepaid(all(balance(0), emergency(fleet.Active, pound))), activate(usual), nil, false, nil},
		{"E8 above the threshold", prepaid(nil), activate(usual), nil, true, nil},
		{"E8 in credit mode", prepaid(all(inCredit, balance(pound), emergency(fleet.Available, 0))), activate(usual), nil, true, nil},
		{"E8 spent (Q4)", prepaid(cutOff(fleet.Spent)), activate(usual), nil, true, nil},
		{"E7 spent (Q4, other answer)", prepaid(cutOff(fleet.Spent)), activate(meter.Behaviour{SpentCountsAsActive: true}), nil, false, nil},
		{"E9", prepaid(nil), toCredit(usual), inCredit, false, nil},
		{"E9 again", prepaid(inCredit), toCredit(usual), nil, false, nil},
		{"E9 nothing cuts off any more", prepaid(all(inCredit, balance(-pound))), consume(pound, noon), balance(-2 * pound), false, nil},
		{"E9 on by non-disablement", prepaid(balance(-pound)), toCredit(usual), inCredit, false, nil},
		{"E10 (Q1)", prepaid(cutOff(fleet.Spent)), toCredit(usual), inCredit, false, nil},
		{
			"E10 (Q1, other answer)", prepaid(cutOff(fleet.Spent)), toCredit(meter.Behaviour{CreditArms: true}),
			all(inCredit, armed), false, alerts(meter.SupplyArmed),
		},
		{
			"E10 (Q1, other answer) but locked", prepaid(all(cutOff(fleet.Spent), locked)), toCredit(meter.Behaviour{CreditArms: true}),
			inCredit, false, nil,
		},
		{
			"E10 (Q1, other answer) but disabled by the supplier", prepaid(disabled), toCredit(meter.Behaviour{CreditArms: true}),
			inCredit, false, nil,
		},
		{"E11", prepaid(all(inCredit, cutOff(fleet.Spent))), arm(usual), armed, false, alerts(meter.SupplyArmed)},
		{"E11 but locked", prepaid(all(inCredit, locked)), arm(usual), nil, true, nil},
		{"E11 without credit (Q3)", prepaid(cutOff(fleet.Spent)), arm(usual), armed, false, alerts(meter.SupplyArmed)},
		{"E11 without credit (Q3, refused)", prepaid(cutOff(fleet.Spent)), arm(meter.Behaviour{ArmWithoutCredit: meter.ArmRefused}), nil, true, nil},
		{
			"E11 without credit (Q3, cut off again)", prepaid(cutOff(fleet.Spent)), arm(meter.Behaviour{ArmWithoutCredit: meter.ArmedThenCutOff}),
			nil, false, alerts(meter.SupplyArmed, meter.BelowDisablement),
		},
		{"E12 enabled (Q2)", prepaid(nil), arm(usual), nil, true, nil},
		{"E12 armed (Q2)", prepaid(armed), arm(usual), nil, true, nil},
		{"E12 enabled (Q2, ignored)", prepaid(nil), arm(meter.Behaviour{ArmWhenNotDisabled: meter.ArmIgnored}), nil, false, nil},
		{"E12 armed (Q2, ignored)", prepaid(armed), arm(meter.Behaviour{ArmWhenNotDisabled: meter.ArmIgnored}), nil, false, nil},
		{
			"E12 enabled (Q2, opens the switch)", prepaid(nil), arm(meter.Behaviour{ArmWhenNotDisabled: meter.ArmOpensSwitch}),
			armed, false, alerts(meter.SupplyArmed),
		},
		{"E12 armed (Q2, opens the switch)", prepaid(armed), arm(meter.Behaviour{ArmWhenNotDisabled: meter.ArmOpensSwitch}), nil, false, nil},
		{"E13", prepaid(armed), press(meter.PressFault{}), func(m *fleet.Meter) { m.Supply = servicerequests.Enabled }, false, nil},
		{
			"E13 in credit mode", prepaid(all(inCredit, cutOff(fleet.Spent), armed)), press(meter.PressFault{}),
			func(m *fleet.Meter) { m.Supply = servicerequests.Enabled }, false, nil,
		},
		{
			"E13 on emergency credit", prepaid(all(cutOff(fleet.Active), armed, emergency(fleet.Active, pound))), press(meter.PressFault{}),
			func(m *fleet.Meter) { m.Supply = servicerequests.Enabled }, false, nil,
		},
		{"E13 without credit", prepaid(all(cutOff(fleet.Spent), armed)), press(meter.PressFault{}), nil, true, nil},
		{"E13 disabled", prepaid(disabled), press(meter.PressFault{}), nil, true, nil},
		{"E13 enabled", prepaid(nil), press(meter.PressFault{}), nil, true, nil},
		{
			"E14", prepaid(cutOff(fleet.Available)), topUp(4 * pound),
			all(balance(3*pound), emergency(fleet.Unavailable, 0), armed), false, nil,
		},
		{"E14 not enough", prepaid(cutOff(fleet.Available)), topUp(pound), balance(0), false, nil},
		{
			"E14 locked", prepaid(all(cutOff(fleet.Available), locked)), topUp(4 * pound),
			all(balance(3*pound), emergency(fleet.Unavailable, 0)), false, nil,
		},
		{
			"E14 debt first, shortfall, emergency credit, balance", prepaid(all(cutOff(fleet.Spent), func(m *fleet.Meter) { m.Debt = 4 * pound })),
			topUp(25 * pound), all(func(m *fleet.Meter) { m.Debt = 0 }, balance(10*pound), emergency(fleet.Unavailable, 0), armed), false, nil,
		},
		{
			"E14 emergency credit repaid in part", prepaid(cutOff(fleet.Spent)), topUp(7 * pound),
			all(balance(0), emergency(fleet.Spent, 6*pound)), false, nil,
		},
		{"E14 in credit mode arms nothing", prepaid(all(inCredit, disabled, balance(-pound))), topUp(5 * pound), balance(4 * pound), false, nil},
		{"E14 up to the largest balance", prepaid(balance(299 * pound)), topUp(50 * pound), balance(300 * pound), false, nil},
		{"E14 a negative amount is ignored", prepaid(nil), topUp(-pound), nil, false, nil},
		{"E15", prepaid(cutOff(fleet.Spent)), enable, func(m *fleet.Meter) { m.Supply = servicerequests.Enabled }, false, nil},
		{"E15 but locked", prepaid(locked), enable, nil, true, nil},
		{"7.2", prepaid(nil), disable, disabled, false, nil},
		{
			"E16 cuts off", prepaid(all(inCredit, balance(-pound))), toPrepayment(noon),
			all(func(m *fleet.Meter) { m.Mode = servicerequests.Prepayment }, emergency(fleet.Available, 0), disabled),
			false, alerts(meter.EmergencyCreditAvailable, meter.BelowDisablement),
		},
		{
			"E16 suspended", prepaid(all(inCredit, balance(-pound), emergency(fleet.Spent, 0))), toPrepayment(evening),
			func(m *fleet.Meter) { m.Mode = servicerequests.Prepayment }, false, alerts(meter.DisablementSuspended),
		},
		{"E16 with credit", prepaid(inCredit), toPrepayment(noon), func(m *fleet.Meter) { m.Mode = servicerequests.Prepayment }, false, nil},
		{"E18", prepaid(armed), press(meter.PressFault{SwitchFails: true}), nil, true, alerts(meter.ConnectFailure)},
		{"G1", gasMeter(armed), press(meter.PressFault{}), func(m *fleet.Meter) { m.Supply = servicerequests.Enabled }, false, nil},
		{"G1 uncontrolled flow", gasMeter(armed), press(meter.PressFault{UncontrolledFlow: true}), nil, true, alerts(meter.UncontrolledGasFlow)},
		{
			"G1 is gas's", prepaid(armed), press(meter.PressFault{UncontrolledFlow: true}),
			func(m *fleet.Meter) { m.Supply = servicerequests.Enabled }, false, nil,
		},
		{"G2 the switch leaves both balances", gasMeter(func(m *fleet.Meter) { m.CreditModeDue = pound }), toCredit(usual), inCredit, false, nil},
		{
			"G2 credit mode has its own", gasMeter(all(inCredit, balance(-pound))), consume(pound, noon),
			func(m *fleet.Meter) { m.CreditModeDue = pound }, false, nil,
		},
		{"nothing is used while off", prepaid(armed), consume(pound, noon), nil, false, nil},
	}
	for _, test := range tests {
		t.Run(test.row, func(t *testing.T) {
			want, got := test.from, test.from
			if test.want != nil {
				test.want(&want)
			}
			done, raised := test.do(&got)
			if done == test.fails {
				t.Errorf("done = %t", done)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("state (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.alerts, raised); diff != "" {
				t.Errorf("alerts (-want +got):\n%s", diff)
			}
		})
	}
}
