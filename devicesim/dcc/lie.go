package dcc

import (
	"bytes"
	"net/http"
	"slices"
	"time"

	"safemode/devicesim/fault"
	"safemode/devicesim/forbidden"
	"safemode/devicesim/history"
	"safemode/servicerequests"
	"safemode/servicerequests/duis"
	"safemode/servicerequests/gbcs"
	"safemode/servicerequests/xmldsig"

	"go.uber.org/zap"
)

// say turns the honest answer into what the DCC says: the one place where it
// lies over the connection.
func (d *DCC) say(q request, t target, honest answer) answer {
	lie := d.replyLie(q, honest)
	if lie != fault.Truth {
		d.noteReply(q, honest, true)
	}
	switch lie {
	case fault.Truth:
		return honest
	case fault.HTML:
		honest.page = true
		return honest
	case fault.UnsignedReply:
		return d.restate(q, honest.response, nil)
	case fault.ForgedReply:
		return d.restate(q, honest.response, &d.signers.stranger)
	default:
		return d.giveOther(q, t, lie, honest)
	}
}

// replyLie decides on the lie. An honest refusal is never bent.
func (d *DCC) replyLie(q request, honest answer) fault.Lie {
	if d.ReplyLie == nil {
		return fault.Truth
	}
	switch {
	case q.CommandVariant == servicerequests.TransformRequest && honest.code == servicerequests.Success:
		return d.ReplyLie(slices.Concat(fault.PreCommandLies(), fault.ReplyLies()), q.ID, q.ID.Target, q.SRV)
	case q.CommandVariant == servicerequests.DCCOnly && honest.code == servicerequests.Success:
		return d.ReplyLie(fault.ReplyLies(), q.ID, q.Inventory.Device, q.SRV)
	case q.CommandVariant == servicerequests.SendCommand && honest.code == servicerequests.Acknowledged:
		return d.ReplyLie([]fault.Lie{fault.HTML}, q.ID, q.ID.Target, q.SRV)
	}
	return fault.Truth
}

// restate writes a reply with another signature; nil: with none.
func (d *DCC) restate(q request, r duis.Response, s *xmldsig.Signer) answer {
	body, err := d.write(r, s)
	if err != nil {
		d.Log.Error("lie cannot be told", zap.Stringer("request_id", q.ID), zap.Error(err))
		return answer{}
	}
	return answer{code: r.Code, body: body, response: r}
}

// giveOther has Transform give another Pre-Command than the one asked for. If a
// User signs it the DCC sends it on to the meter, so that nothing here hides
// a User that signs what it should not.
func (d *DCC) giveOther(q request, t target, lie fault.Lie, honest answer) answer {
	message, err := d.otherPreCommand(q, t, lie, honest.response.At)
	if err != nil {
		d.Log.Error("lie cannot be told", zap.Stringer("request_id", q.ID), zap.Stringer("lie", lie), zap.Error(err))
		return answer{}
	}
	key := half{id: q.ID}
	there, _ := d.taken.Get(key)
	there.preCommand = message
	d.taken.Put(key, there)

	payload := append(slices.Clone(message), 0)
	if lie == fault.ExtraBytes {
		payload = append(payload, 0)
	}
	r := honest.response
	r.Content = duis.PreCommand{GBCSVersion: gbcsVersion, Payload: payload}
	return d.restate(q, r, &d.signers.transform)
}

// otherPreCommand builds the Pre-Command of a lie, without null signature byte.
func (d *DCC) otherPreCommand(q request, t target, lie fault.Lie, now time.Time) ([]byte, error) {
	c := forbidden.Command{Device: t.kind, ID: q.ID}
	switch lie {
	case fault.Enable:
		c.Kind, c.Device = forbidden.Enable, servicerequests.ESME // gas has no encoding of its own
	case fault.Disable:
		c.Kind = forbidden.Disable
	case fault.Prepayment:
		c.Kind = forbidden.ToPrepayment
	case fault.FutureDated:
		c.Kind, c.Timing = forbidden.ToCredit, forbidden.Timing{At: now.Add(24 * time.Hour)}
	case fault.Cancelling:
		c.Kind, c.Timing = forbidden.ToCredit, forbidden.Timing{Cancel: true}
	default:
		return d.preCommand(d.mistaken(q, t, lie), t, now)
	}
	return c.AppendPreCommand(nil, now)
}

// mistaken is the request as if its Request ID had been another.
func (d *DCC) mistaken(q request, t target, lie fault.Lie) request {
	switch lie {
	case fault.OtherMeter:
		q.ID.Target = d.neighbour(t.meter)
	case fault.OtherCounter:
		q.ID.Counter++
	case fault.OtherOriginator:
		q.ID.Originator++
	}
	return q
}

// neighbour returns the next meter of the same kind and supplier that can be
// reached; the meter itself if there is none.
func (d *DCC) neighbour(meter int) servicerequests.EUI {
	own := d.Fleet.Meter(meter)
	for i := 1; i < d.Fleet.Len(); i++ {
		m := d.Fleet.Meter((meter + i) % d.Fleet.Len())
		if m.Type == own.Type && m.Supplier == own.Supplier && m.Reachable {
			return m.Device
		}
	}
	return own.Device
}

// page is what a proxy shows that has lost its way.
const page = "<!DOCTYPE html>\n<html><head><title>Welcome</title></head><body><p>It works!</p></body></html>\n"

func writePage(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write([]byte(page))
}

// lieAbout turns the honest response of a device into what the DCC delivers, and
// says who signs it; nil: nobody.
func (d *DCC) lieAbout(e *exchange, honest duis.Response) (duis.Response, *xmldsig.Signer) {
	content, ok := honest.Content.(duis.DeviceResponse)
	if !ok { // that there is no answer is not bent
		return honest, d.xmlSigner()
	}
	switch e.fate.Lie {
	case fault.UnsignedResponse:
		return honest, nil
	case fault.NoPayload:
		honest.Content = nil
	case fault.BadProof:
		altered := slices.Clone(content.Payload)
		altered[len(altered)-1] ^= 1 // of the signature or the MAC, which come last
		honest.Content = duis.DeviceResponse{Payload: altered}
	case fault.OtherDevice:
		id := e.ID
		id.Target = d.neighbour(e.meter)
		honest = d.answerOf(id, honest)
		honest.RequestID, honest.ResponseID = e.ID, e.ID.Reversed()
	case fault.UnknownRequest:
		id := e.ID
		id.Target = d.Fleet.Meter(e.meter).Device
		id.Counter -= uint64((24 * time.Hour).Milliseconds()) // no User's that counts in milliseconds
		honest = d.answerOf(id, honest)
		honest.ServiceReference, honest.SRV = "7.4", "7.4"
	case fault.Replayed:
		if previous, ok := d.previous.Get(answered{e.ID.Target, e.SRV}); ok {
			honest.Content = duis.DeviceResponse{Payload: previous}
		}
	}
	if e.fate.Kept {
		d.previous.Put(answered{e.ID.Target, e.SRV}, content.Payload)
	}
	return honest, d.xmlSigner()
}

// bent says whether what is said differs from the honest response.
func bent(said, honest duis.Response) bool {
	if said.RequestID != honest.RequestID {
		return true
	}
	is, ok := honest.Content.(duis.DeviceResponse)
	if !ok {
		return false // that there is no answer is not bent
	}
	other, ok := said.Content.(duis.DeviceResponse)
	return !ok || !bytes.Equal(is.Payload, other.Payload)
}

// noteReply keeps in the device's history what the DCC said at once: a refusal, a lie, or
// nothing.
func (d *DCC) noteReply(q request, honest answer, bent bool) {
	device := q.ID.Target
	if q.CommandVariant == servicerequests.DCCOnly {
		device = q.Inventory.Device
	}
	d.History.Reply(device, history.Reply{Counter: q.ID.Counter, SRV: q.Variant.SRV, Code: honest.code, Bent: bent, At: history.At(d.Clock.Now())})
}

// answered names the answers of a device to a service.
type answered struct {
	device servicerequests.EUI
	srv    string
}

// answerOf puts into a response a device's genuine answer to a read of its
// supply state. The DCC can read it without a supplier, because a read needs no
// supplier's signature. If the device does not answer, the honest response stays.
func (d *DCC) answerOf(id servicerequests.RequestID, honest duis.Response) duis.Response {
	t, ok := d.find(id.Target)
	if !ok {
		return honest
	}
	inner, err := gbcs.AppendRead(nil, gbcs.Expected{Service: servicerequests.ReadSupplyStatus, Device: t.kind, ID: id})
	if err != nil {
		return honest
	}
	message, err := d.addMAC(id, inner)
	if err != nil {
		return honest
	}
	sent := d.Meters.Execute(Command{
		ID: id, SRV: servicerequests.ReadSupplyStatus.SRV(), Meter: t.meter, Message: message, At: d.Clock.Now(),
	})
	if sent.Response == nil {
		return honest
	}
	honest.RequestID, honest.ResponseID = id, id.Reversed()
	honest.Content = duis.DeviceResponse{Payload: sent.Response}
	return honest
}
