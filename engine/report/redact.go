package report

import (
	"safemode/engine/record"
	"safemode/servicerequests"
)

// Redact takes device identifiers, MPxNs and Request IDs out of a report, for
// readers who may not know them. A meter is named by its place in the plan and a
// hub by the place of its first meter, as EUIs that no device has, so that two
// reports of one sweep can still be compared line by line. It changes the report:
// read the journal again for the whole one.
func (r *Report) Redact() {
	hubs := map[servicerequests.EUI]servicerequests.EUI{}
	for i := range r.Meters {
		m := &r.Meters[i]
		place := servicerequests.EUI(i + 1)
		hub, known := hubs[m.Target.Hub]
		if !known {
			hub = place
			hubs[m.Target.Hub] = hub
		}
		m.Device, m.Target.Hub, m.Target.MPxN = place, hub, ""
		for j := range m.Requests {
			m.Requests[j].ID = servicerequests.RequestID{}
		}
	}
	for i := range r.NotCovered {
		r.NotCovered[i] = record.RejectedBody{Line: r.NotCovered[i].Line, Reason: "(redacted)", SMETS1: r.NotCovered[i].SMETS1, Claimed: r.NotCovered[i].Claimed}
	}
}
