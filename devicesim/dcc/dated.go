package dcc

import (
	"safemode/devicesim/hub"
	"safemode/servicerequests"
	"safemode/servicerequests/duis"

	"go.uber.org/zap"
)

// dueService is the service name under which chance decides what happens to a
// dated 1.6 when its time has come.
const dueService = "due"

// due has a device carry out what it has kept. A device that is due tells so by
// itself: a sleeping gas meter has woken for it.
func (d *DCC) due(e *exchange) {
	fate := d.Line.Fate(e.ID, dueService)
	d.Hubs.Put(hub.Exchange{
		Hub: d.Fleet.Meter(e.meter).Hub, Device: e.ID.Target, Takes: fate.Takes, Chance: fate.Place,
		Do: func() { d.carryOut(e, fate) },
	})
}

func (d *DCC) carryOut(e *exchange, fate Fate) {
	outcome, others := d.Meters.Due(Command{
		ID: e.ID, SRV: e.SRV, Meter: e.meter, At: d.Clock.Now(), Skew: fate.Skew, Fault: fate.Device,
	})
	if fate.ResponseLost || fate.OutOfReach > 0 {
		return // an alert that is lost is not sent again
	}
	for i, alert := range outcome {
		r := d.respond(e.request, servicerequests.Success, d.Clock.Now(), duis.FutureDatedAlert{
			Code: alert.Code, Payload: alert.Message, Instruction: uint16(i + 1), Total: uint16(len(outcome)),
		})
		r.ResponseID = e.ID.Reversed()
		body, err := d.write(r, d.xmlSigner())
		if err != nil {
			d.Log.Error("response cannot be made", zap.Stringer("request_id", e.ID), zap.Error(err))
			return
		}
		d.metrics.alerts.Inc()
		d.send(message{body, alert.Arrived})
	}
	for _, alert := range others {
		d.Alert(alert)
	}
}
