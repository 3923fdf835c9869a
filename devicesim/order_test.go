package devicesim_test

import (
	"slices"
	"testing"

	"safemode/devicesim/fault"
	"safemode/devicesim/fleet"
	"safemode/servicerequests"
	"safemode/servicerequests/duis"
	"safemode/servicerequests/gbcs"
)

// A meter's faults depend on the seed and the meter, not on the order of requests:
// two Users that ask the same of one fleet in opposite orders get the same answers.
func TestFateDoesNotDependOnOrder(t *testing.T) {
	t.Parallel()
	profile, err := fault.Parse([]byte(`
no_answer: 0.2
lost_response: 0.1
duplicate_response: 0.1
hardware_failure: 0.2
partial_ecs02: 0.2
delayed_response: 0.2
`))
	if err != nil {
		t.Fatal(err)
	}
	forwards, backwards := newUser(t, profile, nil), newUser(t, profile, nil)
	one := fates(forwards, asked(forwards))
	meters := asked(backwards)
	slices.Reverse(meters)
	for what, f := range fates(backwards, meters) {
		if one[what] != f {
			t.Errorf("%s on %v: %+v, the other way round %+v", what.service, what.device, one[what], f)
		}
	}
	kinds := map[told]int{}
	for _, f := range one {
		kinds[f]++
	}
	if len(kinds) < 4 {
		t.Errorf("all meters had much the same fate: %v", kinds)
	}
}

func asked(u *user) (meters []fleet.Meter) {
	for i := range u.fleet.Len() {
		m := u.fleet.Meter(i)
		if len(meters) < 40 && m.Type == servicerequests.ESME && m.Reachable && m.Supplier == u.folder.Supplier.XMLSigning.Certificate.EUI {
			meters = append(meters, m)
		}
	}
	return meters
}

// asking is a service on a meter.
type asking struct {
	device  servicerequests.EUI
	service string
}

// told is what a User is told of one.
type told struct {
	code    servicerequests.ResponseCode
	success bool
	supply  servicerequests.SupplyState
}

// fates asks 7.4 and 1.6 of each meter and waits for all outcomes.
func fates(u *user, meters []fleet.Meter) map[asking]told {
	u.t.Helper()
	open := map[servicerequests.RequestID]servicerequests.Service{}
	for _, m := range meters {
		open[u.read(servicerequests.ReadSupplyStatus, m.Device)] = servicerequests.ReadSupplyStatus
		open[u.command(servicerequests.SwitchToCredit, m)] = servicerequests.SwitchToCredit
	}
	all := map[asking]told{}
	for len(open) > 0 {
		r := u.next()
		service, ok := open[r.RequestID]
		if !ok {
			continue // an alert, or a response told twice
		}
		delete(open, r.RequestID)
		is := told{code: r.Code}
		if content, ok := r.Content.(duis.DeviceResponse); ok {
			message, err := gbcs.Parse(content.Payload)
			if err != nil {
				u.t.Fatal(err)
			}
			answer, err := gbcs.DecodeResponse(message)
			if err != nil {
				u.t.Fatal(err)
			}
			is.success, is.supply = answer.Success, answer.Supply
		}
		all[asking{r.RequestID.Target, service.String()}] = is
	}
	return all
}
