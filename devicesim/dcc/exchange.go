package dcc

import (
	"crypto/ecdsa"
	"time"

	"safemode/devicesim/fault"
	"safemode/devicesim/fleet"
	"safemode/devicesim/history"
	"safemode/devicesim/hub"
	"safemode/servicerequests"
	"safemode/servicerequests/duis"

	"go.uber.org/zap"
)

// exchange is an accepted Command on its way to the device and back.
type exchange struct {
	request
	target
	message  []byte
	signedBy *ecdsa.PublicKey // the key of the message's verified signature; nil: it has none
	accepted time.Time
	taken    time.Time // likewise, by real time
	executed time.Time // zero: not, or without an answer
	fate     Fate
	gone     chan struct{} // closed by deliver; nil: nobody waits for it
}

// dispatch sends a Command on its way.
func (d *DCC) dispatch(e *exchange) {
	meter, windows := d.Fleet.Meter(e.meter), d.rules.Load().Windows
	switch {
	case !meter.Reachable || e.fate.OutOfReach > windows.Unreachable:
		d.giveUp(e, servicerequests.Unreachable, windows.Unreachable)
	case e.fate.Discarded:
		d.Agenda.At(e.accepted, func() { d.discarded(e, meter.Hub) })
		d.giveUp(e, servicerequests.NoResponse, d.window(e))
	case e.fate.NoAnswer:
		d.giveUp(e, servicerequests.NoResponse, d.window(e))
	case e.fate.OutOfReach > 0:
		// One instant for all that wait for a hub, so that they come in their order.
		d.Agenda.At(e.fate.At.Add(e.fate.OutOfReach), func() { d.queue(e, meter.Hub) })
	default:
		d.queue(e, meter.Hub)
	}
}

func (d *DCC) queue(e *exchange, at servicerequests.EUI) {
	window := d.window(e)
	d.Hubs.Put(hub.Exchange{
		Hub: at, Device: e.ID.Target, Takes: e.fate.Takes, Chance: e.fate.Place,
		Sleeps:  e.kind == servicerequests.GSME,
		Do:      func() { d.execute(e) },
		Until:   e.accepted.Add(window),
		Dropped: func() { d.giveUp(e, servicerequests.NoResponse, window) },
	})
}

// window is how long the DCC waits for the device's answer.
func (d *DCC) window(e *exchange) time.Duration {
	windows := d.rules.Load().Windows
	if e.kind == servicerequests.GSME {
		return windows.HubHolds
	}
	return windows.NoAnswer
}

// giveUp tells the User, when the window has passed since the request was
// accepted, that there is no answer.
func (d *DCC) giveUp(e *exchange, code servicerequests.ResponseCode, window time.Duration) {
	if code == servicerequests.Unreachable && e.fate.E20Untold || code == servicerequests.NoResponse && e.fate.E21Untold {
		if e.gone != nil {
			close(e.gone)
		}
		return
	}
	d.Agenda.At(e.accepted.Add(window), func() { d.deliver(e, code, nil) })
}

// execute runs on a worker when the device has had its time.
func (d *DCC) execute(e *exchange) {
	now := d.Clock.Now()
	sent := d.Meters.Execute(Command{
		ID: e.ID, SRV: e.SRV, Meter: e.meter, Message: e.message, At: now, Skew: e.fate.Skew, Fault: e.fate.Device,
		SignedBy: e.signedBy,
	})
	for _, alert := range sent.Alerts {
		d.Alert(alert)
	}
	if !sent.Due.IsZero() {
		d.Agenda.At(sent.Due, func() { d.due(e) })
	}
	if sent.Response == nil || e.fate.ResponseLost || e.fate.Takes > d.window(e) {
		d.giveUp(e, servicerequests.NoResponse, d.window(e))
		return
	}
	e.executed = now
	if e.fate.ResponseDelayed > 0 {
		d.Agenda.At(d.Clock.Now().Add(e.fate.ResponseDelayed), func() {
			d.deliver(e, servicerequests.Success, duis.DeviceResponse{Payload: sent.Response})
		})
		return
	}
	d.deliver(e, servicerequests.Success, duis.DeviceResponse{Payload: sent.Response})
}

// deliver sends the outcome of an exchange to the User's inbox.
func (d *DCC) deliver(e *exchange, code servicerequests.ResponseCode, content duis.Content) {
	if earliest := e.taken.Add(d.LeastLatency); time.Now().Before(earliest) {
		d.Agenda.At(d.Clock.At(earliest), func() { d.deliver(e, code, content) })
		return
	}
	if e.gone != nil {
		defer close(e.gone)
	}
	at := d.Clock.Now()
	if !e.executed.IsZero() && d.rules.Load().StampedAt == fault.Execution {
		at = e.executed
	}
	r := d.respond(e.request, code, at, content)
	if content != nil {
		r.ResponseID = e.ID.Reversed()
	}
	said, signer := d.lieAbout(e, r)
	body, err := d.write(said, signer)
	if err != nil {
		d.Log.Error("response cannot be made", zap.Stringer("request_id", e.ID), zap.Error(err))
		return
	}
	d.metrics.responses.WithLabelValues(string(code)).Inc()
	m := message{body, func(at time.Time) {
		d.History.Answer(e.ID.Target, history.Answer{Counter: e.ID.Counter, Code: code, Bent: signer == nil || bent(said, r), At: history.At(at)})
	}}
	if e.fate.Lie == fault.Reordered && d.keepBack(e.meter, m) {
		return
	}
	d.send(m)
	if e.fate.ResponseRepeated && content != nil {
		d.send(m)
	}
	d.letFollow(e.meter, nil)
}

// Alert sends a device's alert to the User's inbox.
func (d *DCC) Alert(a Alert) {
	d.alert(duis.DeviceAlert{Code: a.Code, Payload: a.Message}, a.Arrived)
}

func (d *DCC) alert(content duis.Content, arrived func(at time.Time)) {
	body, err := d.write(duis.Response{Code: servicerequests.Success, At: d.stamp(d.Clock.Now()), Content: content}, d.xmlSigner())
	if err != nil {
		d.Log.Error("alert cannot be made", zap.Error(err))
		return
	}
	d.metrics.alerts.Inc()
	d.send(message{body, arrived})
}

// changeOfSupplier is what the DCC Alert of a home that has left goes under (assumption, as
// of those below).
const changeOfSupplier = "N27"

// Gone tells the failed supplier that a meter's home has left it.
func (d *DCC) Gone(m *fleet.Meter, arrived func(at time.Time)) {
	d.alert(duis.DCCAlert{Code: changeOfSupplier, Event: duis.ChangeOfSupplier{
		Device: m.Device, DeviceType: m.Type.String(), ImportMPxN: m.MPxN.String(),
	}}, arrived)
}

// Codes of the DCC Alert of a discarded Command (assumption: the schema
// lists the codes without their meanings).
const (
	dualBandAlert    = "N57"
	messageDiscarded = 0x8F2C
)

// discarded tells the User that a dual band hub has dropped a Command, because its
// radio may not send for so long.
func (d *DCC) discarded(e *exchange, hub servicerequests.EUI) {
	d.alert(duis.DCCAlert{Code: dualBandAlert, Event: duis.MessageDiscarded{
		Hub: hub, AlertCode: messageDiscarded, Request: e.ID, Message: duis.DiscardedCommand,
	}}, nil)
}
