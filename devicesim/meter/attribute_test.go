package meter_test

import (
	"bytes"
	"encoding/binary"
	"testing"

	"safemode/devicesim/fleet"
	"safemode/devicesim/meter"
	"safemode/servicerequests"
	"safemode/servicerequests/gbcs"
	"safemode/servicerequests/outside"
)

// When one attribute of a gas meter's Read Attributes fails, the others of it still answer;
// what would come after it is not executed.
func TestHandleFailedAttribute(t *testing.T) {
	r := newBench(t, meter.Behaviour{})
	m := gasMeter(func(*fleet.Meter) {})
	for i, test := range []struct {
		service servicerequests.Service
		results []byte
	}{
		{servicerequests.ReadSupplyStatus, []byte{gbcs.StatusHardwareFailure, 0}},
		{servicerequests.ReadMeterBalance, []byte{gbcs.StatusHardwareFailure, gbcs.StatusFailure}},
		{servicerequests.ReadPrepaymentConfiguration, append(append([]byte{gbcs.StatusHardwareFailure}, make([]byte, 11)...),
			gbcs.StatusFailure, gbcs.StatusFailure, gbcs.StatusFailure, gbcs.StatusFailure, gbcs.StatusFailure)},
	} {
		e := expected(test.service, m.Type, m.Device, uint64(i+1))
		reply, err := r.devices.Handle(meter.Target{Meter: &m}, r.command(t, e), noon, meter.Fault{HardwareFailure: true})
		if err != nil || reply.Refused != nil {
			t.Fatal(err, reply.Refused)
		}
		response, err := gbcs.DecodeResponse(r.prove(t, reply.Response, m.Device))
		if err != nil || response.Success || !bytes.Equal(response.Results, test.results) {
			t.Errorf("%s: %x, %v, want %x", test.service, response.Results, err, test.results)
		}
		if test.service == servicerequests.ReadSupplyStatus && response.Supply != m.Supply {
			t.Errorf("supply state %s, want %s", response.Supply, m.Supply)
		}
	}
}

// A device's answer has the clock status of the test data: unspecified.
func TestClockStatus(t *testing.T) {
	r := newBench(t, meter.Behaviour{})
	for i, test := range []struct {
		meter   fleet.Meter
		service servicerequests.Service
		want    []byte
	}{
		{prepaid(nil), servicerequests.SwitchToCredit, []byte{gbcs.ClockUnspecified}},
		{gasMeter(func(*fleet.Meter) {}), servicerequests.SwitchToCredit, []byte{gbcs.ClockUnspecified}},
	} {
		m := test.meter
		reply, err := r.devices.Handle(meter.Target{Meter: &m}, r.command(t, expected(test.service, m.Type, m.Device, uint64(i+1))), noon, meter.Fault{})
		if err != nil || reply.Refused != nil {
			t.Fatal(err, reply.Refused)
		}
		if message := r.prove(t, reply.Response, m.Device); !message.HasDateTime || !bytes.Contains(test.want, []byte{message.DateTime.ClockStatus()}) {
			t.Errorf("%s %s: clock status %02X, want one of %X", m.Type, test.service, message.DateTime.ClockStatus(), test.want)
		}
	}
}

// The clock status of the prepayment values (4.3) is what the test data have of each kind of
// device: their Commands, for devices of ours.
func TestClockStatusOfPrepayValues(t *testing.T) {
	statuses := map[string]byte{}
	for _, v := range outside.Messages(t, "response") {
		if m, err := gbcs.Parse(v.Hex); err == nil && m.HasDateTime {
			statuses[v.Name] = m.DateTime.ClockStatus()
		}
	}
	electric, sure, unsure := prepaid(nil), gasMeter(func(*fleet.Meter) {}), gasMeter(func(m *fleet.Meter) { m.Device += 5 - m.Device%16 })
	for name, c := range map[string]struct {
		command string
		target  meter.Target
		device  servicerequests.EUI
	}{
		"ECS19_4.3_SUCCESS_RESPONSE":               {"ECS19_4.3_SUCCESS_COMMAND", meter.Target{Meter: &electric}, electric.Device},
		"GCS14_4.3_SUCCESS_RELIABLE_GSME_RESPONSE": {"GCS14_4.3_SUCCESS_RELIABLE_GSME_COMMAND", meter.Target{Meter: &sure}, sure.Device},
		"GCS14_4.3_SUCCESS_UNRELIABLE_RESPONSE":    {"GCS14_4.3_SUCCESS_UNRELIABLE_COMMAND", meter.Target{Meter: &unsure}, unsure.Device},
		"GCS14_4.3_SUCCESS_RELIABLE_GPF_RESPONSE":  {"GCS14_4.3_SUCCESS_RELIABLE_GPF_COMMAND", meter.Target{Meter: &sure, Mirror: &sure}, sure.GPF()},
	} {
		want, there := statuses[name]
		if !there {
			t.Fatalf("the test data have no %s", name)
		}
		r := newBench(t, meter.Behaviour{})
		asked := false
		for _, v := range outside.Messages(t, "command") {
			if v.Name != c.command {
				continue
			}
			asked = true
			theirs, err := gbcs.Parse(v.Hex)
			if err != nil {
				t.Fatal(err)
			}
			inner := bytes.ReplaceAll(theirs.Inner(), euiBytes(theirs.Target), euiBytes(c.device))
			reply, err := r.devices.Handle(c.target, r.mac(t, inner), noon, meter.Fault{})
			if err != nil || reply.Refused != nil {
				t.Fatal(name, err, reply.Refused)
			}
			if m := r.prove(t, reply.Response, c.device); !m.HasDateTime || m.DateTime.ClockStatus() != want {
				t.Errorf("%s: clock status %02X, want %02X", name, m.DateTime.ClockStatus(), want)
			}
		}
		if !asked {
			t.Errorf("the test data have no %s", c.command)
		}
	}
}

func euiBytes(eui servicerequests.EUI) []byte { return binary.BigEndian.AppendUint64(nil, uint64(eui)) }
