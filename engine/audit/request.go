package audit

import (
	"crypto/ecdsa"
	"errors"
	"fmt"

	"safemode/engine/record"
	"safemode/servicerequests"
	"safemode/servicerequests/duis"
	"safemode/servicerequests/gbcs"
	"safemode/servicerequests/xmldsig"
)

// requests is what the journal knows of each request at a point of its reading.
type requests struct {
	known     map[servicerequests.RequestID]servicerequests.Service
	unmatched map[servicerequests.RequestID]uint64 // answers to none of them: the first's record
	others    uint64
	answers   map[uint64]servicerequests.RequestID // responses on which no outcome rests so far: what they claim to answer, by record
	judges    bool                                 // some record gives the number of a message: messages are written before they are judged
	early     []early
	commands  map[servicerequests.EUI]uint64 // by device: counter of the last signed command
}

// early is a response that was written before the request that it claims to answer.
type early struct {
	id              servicerequests.RequestID
	answer, request uint64 // records
}

// signed holds a signed body against every claim about what is sent.
func (a *auditor) signed(r record.Record) {
	a.bytes.Checked++
	sent, err := inspect(r)
	if err != nil {
		a.bytes.fault("record %d: %v under counter %d: %v", r.Seq, r.Kind, r.ID.Counter, err)
	}
	a.direction.Checked++
	reason := a.plan.outside(r)
	if reason == "" && r.Service == servicerequests.ReadInventory && sent.Inventory.Device != r.Device {
		reason = fmt.Sprintf("the inventory asks about %v", sent.Inventory.Device)
	}
	if reason != "" {
		a.direction.fault("record %d: SRV %v for %v: %s", r.Seq, r.Service, r.Device, reason)
	}
	a.counters.add(r, 0)

	known, ok := a.requests.known[r.ID]
	if r.Kind == record.Request {
		if seq, answered := a.requests.unmatched[r.ID]; answered {
			a.requests.early = append(a.requests.early, early{r.ID, seq, r.Seq})
		}
		a.requests.known[r.ID] = r.Service
		return
	}
	switch {
	case !ok:
		a.first.fault("record %d: a signed command without its request %v", r.Seq, r.ID)
	case known != r.Service:
		a.first.fault("record %d: a signed command of SRV %v, its request is SRV %v", r.Seq, r.Service, known)
	}
	a.rise.Checked++
	if last := a.requests.commands[r.ID.Target]; r.ID.Counter <= last {
		a.rise.fault("record %d: a command to %v under counter %d after %d", r.Seq, r.ID.Target, r.ID.Counter, last)
	}
	a.requests.commands[r.ID.Target] = max(a.requests.commands[r.ID.Target], r.ID.Counter)
	if r.Service == servicerequests.ArmSupply {
		a.arm.Checked++
		if m := a.plan.targets[r.Device]; m == nil || !m.disabled {
			a.arm.fault("record %d: 7.3 to %v, and no read before it said Disabled", r.Seq, r.Device)
		}
	}
}

// endAnswers judges the responses that came before their requests. In a journal that stores
// messages before they are judged, anybody may have sent one. It is a fault only if an outcome
// rests on it, and that fault was reported before.
func (a *auditor) endAnswers() {
	if a.requests.judges {
		return
	}
	for _, e := range a.requests.early {
		a.first.fault("record %d: request %v was answered by record %d, before it", e.request, e.id, e.answer)
	}
}

// answered compares an answer with the requests before it.
func (a *auditor) answered(r record.Record) {
	a.first.Checked++
	if r.Kind == record.Response {
		a.requests.answers[r.Seq] = r.ID
	}
	if _, ok := a.requests.known[r.ID]; ok {
		return
	}
	if r.Kind != record.Response {
		a.first.fault("record %d: a %v to %v, which was not journalled before", r.Seq, r.Kind, r.ID)
		return
	}
	if _, ok := a.requests.unmatched[r.ID]; !ok {
		a.requests.unmatched[r.ID] = r.Seq
	}
	a.requests.others++
	a.first.Note = fmt.Sprintf("%d responses answer no request of this journal", a.requests.others)
}

// outcome compares an outcome with its request, and keeps what it showed.
func (a *auditor) outcome(r record.Record) {
	a.first.Checked++
	body, err := record.Decode[record.OutcomeBody](r)
	if err != nil {
		a.first.fault("%v", err)
		return
	}
	if _, ok := a.requests.known[r.ID]; !ok && body.Class != record.ClassWithdrawn { // one that was withdrawn need not have been signed
		a.first.fault("record %d: the outcome %s of %v, which was not journalled before", r.Seq, body.Class, r.ID)
	}
	a.rests(r, body.Of)
	m := a.plan.targets[r.Device]
	if m == nil {
		return
	}
	if body.Proxy != 0 {
		m.proxy = body.Proxy
	}
	if body.Observed != nil && body.Observed.Supply == servicerequests.Disabled {
		m.disabled = true
	}
}

// rests compares an outcome with the response that it rests on.
func (a *auditor) rests(r record.Record, of uint64) {
	if of == 0 {
		return
	}
	a.requests.judges = true
	if id, ok := a.requests.answers[of]; !ok || id != r.ID {
		a.first.fault("record %d: the outcome of %v rests on record %d, which is no response to it or is used already", r.Seq, r.ID, of)
	}
	delete(a.requests.answers, of)
	for _, e := range a.requests.early {
		if e.answer == of {
			a.first.fault("record %d: request %v was answered by record %d, before it", e.request, e.id, e.answer)
		}
	}
}

// judged holds what was made of a message that is no answer against the records before it.
func (a *auditor) judged(r record.Record) {
	of, err := messageOf(r)
	if err != nil {
		a.first.fault("%v", err)
		return
	}
	if of == 0 {
		return
	}
	a.requests.judges = true
	if of >= r.Seq {
		a.first.fault("record %d: a %v about record %d, which does not come before it", r.Seq, r.Kind, of)
	}
}

// messageOf is the number of the message that a record is about, 0 if it gives none.
func messageOf(r record.Record) (uint64, error) {
	switch {
	case r.Kind == record.Proven:
		body, err := record.Decode[record.ProvenBody](r)
		return body.Of, err
	case r.Kind == record.Refused:
		body, err := record.Decode[record.RefusedBody](r)
		return body.Of, err
	case r.Kind == record.Unmatched && len(r.Body) > 0:
		body, err := record.Decode[record.JudgedBody](r)
		return body.Of, err
	}
	return 0, nil
}

// errDigestRight is where the check of a signature ends that has no key.
var errDigestRight = errors.New("the digest holds")

// noKeys has no key. It is asked for one only when profile and digest hold.
type noKeys struct{}

// Key implements [xmldsig.Keys].
func (noKeys) Key(xmldsig.KeyRef) (*ecdsa.PublicKey, error) { return nil, errDigestRight }

// inspect holds a signed body against its record: its digest, its columns, and the
// GBCS message inside against the permitted set.
func inspect(r record.Record) (duis.ReceivedRequest, error) {
	if _, err := xmldsig.Verify(r.Body, noKeys{}); !errors.Is(err, errDigestRight) {
		return duis.ReceivedRequest{}, err
	}
	sent, err := duis.Inspect(r.Body)
	if err != nil {
		return sent, err
	}
	service, err := sent.Service()
	switch {
	case err != nil:
		return sent, err
	case service != r.Service || sent.ID != r.ID:
		return sent, fmt.Errorf("the body is SRV %v, %v", service, sent.ID)
	case (r.Kind == record.SignedCommand) != (sent.CommandVariant == servicerequests.SendSignedCommand):
		return sent, fmt.Errorf("the body is of Command Variant %d", sent.CommandVariant)
	case sent.SignedPreCommand == nil:
		return sent, nil
	}
	expected := gbcs.Expected{Service: service, Device: servicerequests.ESME, ID: sent.ID}
	return sent, expected.For(sent.SignedPreCommand).MatchSigned(sent.SignedPreCommand)
}
