package sweep

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"safemode/engine/gateway"
	"safemode/engine/proof"
	"safemode/engine/record"
	"safemode/engine/signer"
	"safemode/servicerequests"
	"safemode/servicerequests/duis"
	"safemode/servicerequests/gbcs"
)

// gate signs by giving every body a number of its own, so that signing anew shows.
type gate struct{ *world }

func (g gate) body(p piece) ([]byte, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.sign(p); err != nil {
		return nil, err
	}
	g.nonce++
	body := fmt.Sprintf("%d %v %v #%d", p.leg, p.service, p.id, g.nonce)
	g.signed[body] = p
	return []byte(body), nil
}

func (g gate) SignRequest(r duis.Request) ([]byte, error) {
	return g.body(piece{leg: askLeg, service: r.Service, id: r.ID, device: r.InventoryDevice})
}

func (g gate) Prepare(e gbcs.Expected, preCommand []byte) (*signer.Token, error) {
	if want := "pre-command of " + e.ID.String(); string(preCommand) != want {
		return nil, &signer.RefusedError{ID: e.ID, Err: gbcs.ErrNoPreCommand}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	token := new(signer.Token)
	g.tokens[token] = e
	return token, nil
}

func (g gate) Sign(token *signer.Token) ([]byte, error) {
	g.mu.Lock()
	e, ok := g.tokens[token]
	delete(g.tokens, token)
	g.mu.Unlock()
	if !ok {
		return nil, signer.ErrTokenUsed
	}
	return g.body(piece{leg: commandLeg, service: e.Service, id: e.ID})
}

// socket is the DCC's front, and holds every POST against the journal.
type socket struct{ *world }

func (w socket) Post(_ context.Context, p gateway.Post) ([]byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	body := string(p.Body)
	piece := w.signed[body]
	w.judge(p, piece, body)
	switch f := w.post(piece); {
	case f == notWritten:
		return nil, gateway.ErrNotWritten
	case f == throttled:
		return nil, &gateway.ThrottledError{Status: 503}
	case f == lostBefore:
		return nil, gateway.ErrInDoubt
	case f == badStatus:
		return nil, gateway.ErrRejected
	case strings.HasPrefix(string(f), "E"):
		return []byte(f), nil
	case f == badReply:
		w.take(piece, body)
		return []byte("garbled"), nil
	case f == lostAfter:
		w.take(piece, body)
		return nil, gateway.ErrInDoubt
	case f == fate(servicerequests.Acknowledged):
		return []byte(servicerequests.Acknowledged), nil
	}
	return []byte(w.take(piece, body)), nil
}

// judge checks what no sweep may ever do.
func (w socket) judge(p gateway.Post, is piece, body string) {
	if is.id != p.ID {
		w.t.Errorf("POST of %q as %v", body, p.ID)
	}
	if was, ok := w.bodies[is]; ok && was != body {
		w.t.Errorf("signed twice and POSTed: %q and %q", was, body)
	}
	w.bodies[is] = body
	kind := record.Request
	if is.leg == commandLeg {
		kind = record.SignedCommand
	}
	early, late := w.disk.posted(kind, body, is.id)
	if early {
		w.t.Errorf("POSTed before it was durable: %q", body)
	}
	if late {
		w.t.Errorf("POSTed after its outcome: %q", body)
	}
	if is.service != servicerequests.ArmSupply || is.leg != commandLeg {
		return
	}
	d := w.targets[is.id.Target]
	switch {
	case d.person:
		w.t.Errorf("%v: 7.3 though only a person may", d.eui)
	case d.found != (state{servicerequests.Prepayment, servicerequests.Disabled}) || d.balance > w.policy.ArmBalanceAtMost:
		w.t.Errorf("%v: 7.3 without cause, found %v with %v", d.eui, d.found, d.balance)
	case d.mode != servicerequests.Credit:
		w.t.Errorf("%v: 7.3 in %v", d.eui, d.mode)
	case d.lastCommand < is.id.Counter && time.Since(d.disabledAt) > w.policy.ArmFresh.Electricity && d.kind == servicerequests.ESME:
		w.t.Errorf("%v: 7.3 on a read that is %v old", d.eui, time.Since(d.disabledAt))
	}
}

// take is the DCC taking bytes in; the same bytes get the same answer.
func (w socket) take(p piece, body string) string {
	if reply, ok := w.dcc[body]; ok {
		return reply
	}
	reply := string(servicerequests.Acknowledged)
	switch {
	case p.service == servicerequests.ReadInventory:
		reply = "inventory of " + p.device.String()
	case p.leg == askLeg && p.service.Critical():
		reply = "pre-command of " + p.id.String()
	default:
		f := &flight{device: w.targets[p.id.Target], service: p.service, id: p.id}
		f.fate = w.flight(f)
		w.flights = append(w.flights, f)
		switch f.fate {
		case undeliv, noAnswer, doneE21, doneLate:
			w.inbox = append(w.inbox, silenceOf(f))
		}
	}
	w.dcc[body] = reply
	return reply
}

// silenceOf is the DCC saying that a device did not answer. It need not be signed.
func silenceOf(f *flight) proof.Delivery {
	d := proof.Delivery{ID: f.id, Device: f.id.Target, Code: servicerequests.NoResponse, At: time.Now()}
	if f.fate == undeliv {
		d.Code = servicerequests.Unreachable
	}
	return d
}

// arrive lets the first flight to a device arrive.
func (w *world) arrive(i int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f := w.flights[i]
	for j, other := range w.flights { // a device gets its requests in order
		if other.device == f.device {
			f, i = other, j
			break
		}
	}
	w.flights = slices.Delete(w.flights, i, i+1)
	switch f.fate {
	case undeliv, noAnswer, lost:
		return
	case refused:
		w.inbox = append(w.inbox, f.device.respond(f.service, f.id, false))
		f.device.answered[f.id.Counter] = f.device.state
		return
	}
	ok := f.device.carryOut(w, f.service, f.id)
	d := f.device.respond(f.service, f.id, ok)
	switch f.fate {
	case answered, doneLate:
		w.inbox = append(w.inbox, d)
	case twice:
		w.inbox = append(w.inbox, d, d)
	case noValue:
		d.Result = &gbcs.Response{Success: true}
		w.inbox = append(w.inbox, d)
	case garbled:
		d.Message.Counter++ // of another request: it does not correlate
		w.inbox = append(w.inbox, d)
	}
}

// deliver is the inbox: durable first, then to the sweep. It says whether the DCC
// need not send it again.
func (w *world) deliver(d proof.Delivery, take func(context.Context, record.Record, proof.Delivery) error) bool {
	w.mu.Lock()
	key := fmt.Sprintf("delivery %d", len(w.raw))
	w.raw[key] = d
	w.mu.Unlock()
	r := record.Record{
		At: time.Now(), Kind: record.Response, Device: d.Device, ID: d.ID, Code: string(d.Code), Body: []byte(key),
	}
	if d.Alert != nil {
		r.Kind, r.Code = record.Alert, fmt.Sprintf("%04X", d.Alert.Code)
	}
	if d.DCCAlert != nil {
		r.Kind, r.Code = record.Alert, d.DCCAlert.Code
	}
	return take(w.t.Context(), r, d) == nil
}

// eye proves replies and deliveries.
type eye struct{ *world }

var errGarbled = errors.New("garbled")

func (w eye) Reply(raw []byte, id servicerequests.RequestID) (duis.Response, error) {
	text := string(raw)
	r := duis.Response{RequestID: id, Code: servicerequests.Success}
	switch {
	case text == "garbled":
		return duis.Response{}, errGarbled
	case strings.HasPrefix(text, "pre-command of "):
		r.Content = duis.PreCommand{Payload: raw}
	case strings.HasPrefix(text, "inventory of "):
		eui, err := servicerequests.ParseEUI(strings.TrimPrefix(text, "inventory of "))
		if err != nil {
			return r, err
		}
		d := w.targets[eui]
		r.Content = duis.Inventory{{ID: d.eui, Type: "GSME"}, {ID: d.gpf, Type: "GPF"}}
	default:
		r.Code = servicerequests.ResponseCode(text)
	}
	return r, nil
}

func (w eye) Delivery(_ context.Context, raw []byte) (proof.Delivery, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	d, ok := w.raw[string(raw)]
	if !ok {
		return d, errGarbled
	}
	return d, nil
}
