package meter_test

import (
	"testing"
	"time"

	"safemode/devicesim/fleet"
	"safemode/devicesim/meter"
	"safemode/servicerequests"
	"safemode/servicerequests/gbcs"

	"pgregory.net/rapid"
)

func anyMeter(t *rapid.T) fleet.Meter {
	m := fleet.Meter{
		Device: 0x00DB12E000000001, Supplier: 0x90B3D51F30010000, Reachable: true,
		Condition: fleet.Condition{
			Balance: servicerequests.Millipence(rapid.Int64Range(-20*int64(pound), 20*int64(pound)).Draw(t, "balance")),
			Debt:    servicerequests.Millipence(rapid.Int64Range(0, 50*int64(pound)).Draw(t, "debt")),
			Mode:    rapid.SampledFrom([]servicerequests.PaymentMode{servicerequests.Credit, servicerequests.Prepayment}).Draw(t, "mode"),
			Supply: rapid.SampledFrom([]servicerequests.SupplyState{
				servicerequests.Disabled, servicerequests.Armed, servicerequests.Enabled,
			}).Draw(t, "supply"),
			EmergencyCredit: rapid.SampledFrom([]fleet.EmergencyCredit{
				fleet.Unavailable, fleet.Available, fleet.Active, fleet.Spent,
			}).Draw(t, "emergency credit"),
		},
	}
	if rapid.Bool().Draw(t, "gas") {
		m.Type, m.Model = servicerequests.GSME, rapid.SampledFrom([]fleet.Model{gas, 7, 8}).Draw(t, "model")
		m.CreditModeDue = servicerequests.Millipence(rapid.Int64Range(0, 50*int64(pound)).Draw(t, "due"))
	} else {
		m.Type, m.Model = servicerequests.ESME, rapid.SampledFrom([]fleet.Model{electric, 5, 6}).Draw(t, "model")
	}
	if m.EmergencyCredit == fleet.Active {
		m.EmergencyBalance = servicerequests.Millipence(rapid.Int64Range(1, int64(m.Model.Configuration().EmergencyCreditLimit)).Draw(t, "emergency left"))
	}
	if m.Supply == servicerequests.Disabled {
		m.Locked = rapid.Bool().Draw(t, "locked")
	}
	return m
}

func anyBehaviour(t *rapid.T) meter.Behaviour {
	return meter.Behaviour{
		CreditArms:          rapid.Bool().Draw(t, "Q1"),
		ArmWhenNotDisabled:  meter.ArmWhenNotDisabled(rapid.IntRange(0, int(meter.ArmOpensSwitch)).Draw(t, "Q2")),
		ArmWithoutCredit:    meter.ArmWithoutCredit(rapid.IntRange(0, int(meter.ArmedThenCutOff)).Draw(t, "Q3")),
		SpentCountsAsActive: rapid.Bool().Draw(t, "Q4"),
	}
}

func anyFault(t *rapid.T) meter.Fault {
	return meter.Fault{
		HardwareFailure:   rapid.Bool().Draw(t, "hardware failure"),
		PartialModeChange: rapid.Bool().Draw(t, "partial"),
		Applied:           rapid.Bool().Draw(t, "applied"),
	}
}

// command is the permitted command of a service for a device.
func command(t interface{ Fatalf(string, ...any) }, service servicerequests.Service, kind servicerequests.DeviceType) gbcs.Command {
	variant, _ := service.Variant()
	cases := variant.UseCases[kind]
	if len(cases) == 0 {
		t.Fatalf("SRV %s has no use case for %s", service, kind)
	}
	use, ok := gbcs.LookupUseCase(cases[0].Code)
	if !ok {
		t.Fatalf("no use case %04X", cases[0].Code)
	}
	return gbcs.Command{UseCase: use, When: gbcs.Immediate, Mode: variant.Mode, IssuedAt: noon}
}

var services = []servicerequests.Service{
	servicerequests.ActivateEmergencyCredit, servicerequests.SwitchToCredit, servicerequests.ArmSupply,
	servicerequests.ReadSupplyStatus, servicerequests.ReadPaymentMode,
	servicerequests.ReadMeterBalance, servicerequests.ReadPrepaymentConfiguration,
}

func anyTime(t *rapid.T) time.Time {
	return noon.Add(time.Duration(rapid.IntRange(0, 7*24).Draw(t, "hour")) * time.Hour)
}

// In any state, with any behaviour and any fault, no permitted command turns a
// supply on, and no command that is not critical changes the meter. Each is
// answered in a form that has an encoding.
func TestPermittedCommandsNeverEnable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, b := anyMeter(t), anyBehaviour(t)
		for range rapid.IntRange(1, 6).Draw(t, "commands") {
			before := m
			c := command(t, rapid.SampledFrom(services).Draw(t, "service"), m.Type)
			e := meter.Execute(&m, c, anyTime(t), b, anyFault(t))
			if m.Supply == servicerequests.Enabled && before.Supply != servicerequests.Enabled {
				t.Fatalf("%s turned the supply on: %+v", c.UseCase, before)
			}
			if e.Forbidden {
				t.Fatalf("%s is counted as forbidden", c.UseCase)
			}
			if !c.UseCase.Critical && m != before {
				t.Fatalf("%s changed the meter", c.UseCase)
			}
			h := gbcs.Header{CRA: gbcs.CRACommand, Counter: 1, Originator: 1, Target: 2, Code: c.UseCase.Code}
			if _, err := gbcs.AppendResponsePayload(nil, h.Response(gbcs.DateTime{}), e.Response); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// No answer to Q1 to Q4 lets a permitted command leave a home worse off, if
// 7.3 goes only to a supply that is Disabled. Without that rule one answer to
// Q2 does: see E12 in TestStateMachine.
func TestPermittedCommandsNeverHarm(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, b := anyMeter(t), anyBehaviour(t)
		for range rapid.IntRange(1, 6).Draw(t, "commands") {
			before := m
			service := rapid.SampledFrom(services).Draw(t, "service")
			if service == servicerequests.ArmSupply && m.Supply != servicerequests.Disabled {
				continue
			}
			meter.Execute(&m, command(t, service, m.Type), anyTime(t), b, anyFault(t))
			switch {
			case m.Supply < before.Supply:
				t.Fatalf("%s took the supply from %s to %s", service, before.Supply, m.Supply)
			case m.Mode != before.Mode && m.Mode != servicerequests.Credit:
				t.Fatalf("%s put the meter in %s", service, m.Mode)
			case m.Balance != before.Balance || m.CreditModeDue != before.CreditModeDue || m.Debt != before.Debt:
				t.Fatalf("%s took money", service)
			case m.EmergencyBalance < before.EmergencyBalance || m.EmergencyCredit != before.EmergencyCredit && m.EmergencyCredit != fleet.Active:
				t.Fatalf("%s took emergency credit: %+v", service, before)
			}
		}
	})
}

// A home that is off for lack of credit comes back by 1.6, 7.3 if still
// Disabled, and the consumer's press, under every answer.
func TestSafeModeRecoversUnderEveryAnswer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, b := anyMeter(t), anyBehaviour(t)
		if m.Locked {
			return
		}
		emergencyCreditFirst := rapid.Bool().Draw(t, "2.5 first")
		send := func(service servicerequests.Service) {
			meter.Execute(&m, command(t, service, m.Type), noon, b, meter.Fault{})
		}
		if emergencyCreditFirst {
			send(servicerequests.ActivateEmergencyCredit)
		}
		send(servicerequests.SwitchToCredit)
		if m.Supply == servicerequests.Disabled {
			send(servicerequests.ArmSupply)
		}
		if m.Supply == servicerequests.Armed {
			meter.Press(&m, meter.PressFault{})
		}
		if m.Mode != servicerequests.Credit || m.Supply != servicerequests.Enabled {
			t.Fatalf("ends in %s and %s", m.Mode, m.Supply)
		}
	})
}

// Use and top-ups keep the registers in range, and never turn a supply on.
func TestConsumeAndTopUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := anyMeter(t)
		for range rapid.IntRange(1, 20).Draw(t, "events") {
			before := m
			amount := servicerequests.Millipence(rapid.Int64Range(0, 30*int64(pound)).Draw(t, "amount"))
			if rapid.Bool().Draw(t, "top up") {
				meter.TopUp(&m, amount)
				if m.Balance < before.Balance || m.Debt > before.Debt {
					t.Fatalf("a top-up of %s took %+v to %+v", amount, before, m)
				}
			} else {
				meter.Consume(&m, amount, anyTime(t))
				if m.Balance > before.Balance {
					t.Fatalf("use of %s took %+v to %+v", amount, before, m)
				}
			}
			limit := m.Model.Configuration().EmergencyCreditLimit
			switch {
			case m.Supply == servicerequests.Enabled && before.Supply != servicerequests.Enabled:
				t.Fatalf("turned on: %+v", before)
			case m.EmergencyBalance < 0 || m.EmergencyBalance > limit || m.Debt < 0 || m.CreditModeDue < 0:
				t.Fatalf("out of range: %+v after %+v", m, before)
			case m.Locked && m.Supply != servicerequests.Disabled:
				t.Fatalf("a locked meter left Disabled: %+v", m)
			}
		}
	})
}
