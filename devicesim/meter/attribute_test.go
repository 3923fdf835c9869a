package meter_test

import (
	"bytes"
	"testing"

	"safemode/devicesim/fleet"
	"safemode/devicesim/meter"
	"safemode/servicerequests"
	"safemode/servicerequests/gbcs"
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

// What a device says of its clock is what the test data have.
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
