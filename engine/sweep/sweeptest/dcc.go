package sweeptest

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

// Fate is what becomes of one POST, or of a request that the DCC has taken.
type Fate string

// Fates of a POST; also a DUIS code, which is then the reply. The zero fate is Taken.
const (
	Taken      Fate = "taken"
	NotWritten Fate = "not written" // only OnDial may say so: the bytes are not at the socket yet
	Throttled  Fate = "throttled"
	LostBefore Fate = "in doubt, not applied"
	LostAfter  Fate = "in doubt, applied"
	BadStatus  Fate = "HTTP 4xx"
	BadReply   Fate = "applied, reply not proven"
)

// Fates of a request that the DCC has taken. The zero fate is Answered.
const (
	Answered   Fate = "answered"
	Twice      Fate = "answered twice"
	Undeliv    Fate = "E20"
	NoAnswer   Fate = "E21, not done"
	DoneSilent Fate = "done, answer lost"
	DoneE21    Fate = "E21, then done, answer lost"
	DoneLate   Fate = "E21, then done, answer late"
	Lost       Fate = "lost without a word"
	Refused    Fate = "the meter says no"
	Garbled    Fate = "done, answer not proven"
	NoValue    Fate = "success without a value"
)

// Signer is the world as the signing gate. It signs by giving every body a number of its
// own, so that signing again shows.
type Signer struct{ *World }

func (s Signer) body(p Piece) ([]byte, error) {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	if s.OnSign != nil {
		if err := s.OnSign(p); err != nil {
			return nil, err
		}
	}
	s.nonce++
	body := fmt.Sprintf("%t %v %v #%d", p.Command, p.Service, p.ID, s.nonce)
	s.signed[body] = p
	return []byte(body), nil
}

// SignRequest signs a request.
func (s Signer) SignRequest(_ context.Context, _ servicerequests.EUI, r duis.Request) ([]byte, error) {
	return s.body(Piece{Service: r.Service, ID: r.ID, Device: r.InventoryDevice})
}

// Prepare correlates a Pre-Command.
func (s Signer) Prepare(e gbcs.Expected, preCommand []byte) (*signer.Token, error) {
	if want := "pre-command of " + e.ID.String(); string(preCommand) != want {
		return nil, &signer.RefusedError{ID: e.ID, Err: gbcs.ErrNoPreCommand}
	}
	s.Mu.Lock()
	defer s.Mu.Unlock()
	token := new(signer.Token)
	s.tokens[token] = e
	return token, nil
}

// Sign signs what a token was given for, once.
func (s Signer) Sign(_ context.Context, _ servicerequests.EUI, token *signer.Token) ([]byte, error) {
	s.Mu.Lock()
	e, ok := s.tokens[token]
	delete(s.tokens, token)
	s.Mu.Unlock()
	if !ok {
		return nil, signer.ErrTokenUsed
	}
	return s.body(Piece{Command: true, Service: e.Service, ID: e.ID})
}

// Gateway is the DCC's side of the connection. It asks Post.Admit before it takes the bytes, and
// compares every POST with the journal.
type Gateway struct{ *World }

// Post takes bytes.
func (g Gateway) Post(ctx context.Context, p gateway.Post) ([]byte, error) {
	body := string(p.Body)
	g.Mu.Lock()
	piece := g.signed[body]
	dialled := g.OnDial == nil || g.OnDial(piece) != NotWritten
	g.Mu.Unlock()
	if err := ctx.Err(); err != nil || !dialled {
		return nil, errors.Join(gateway.ErrNotWritten, err)
	}
	if p.Admit != nil {
		if err := p.Admit(ctx); err != nil {
			return nil, fmt.Errorf("%w: %w", gateway.ErrNotAdmitted, err)
		}
	}
	g.Mu.Lock()
	defer g.Mu.Unlock()
	g.Posts++
	g.judge(p, piece, body)
	f := Taken
	if g.OnPost != nil {
		f = g.OnPost(piece)
	}
	switch {
	case f == NotWritten:
		g.Fault("a POST that was written is said not to be")
	case f == Throttled:
		return nil, &gateway.ThrottledError{Status: 503}
	case f == LostBefore:
		return nil, gateway.ErrInDoubt
	case f == BadStatus:
		return nil, gateway.ErrRejected
	case f == BadReply:
		g.take(piece, body)
		return []byte("garbled"), nil
	case f == LostAfter:
		g.take(piece, body)
		return nil, gateway.ErrInDoubt
	case strings.HasPrefix(string(f), "E"), f == Fate(servicerequests.Acknowledged):
		return []byte(f), nil
	}
	return []byte(g.take(piece, body)), nil
}

// judge checks what no sweep may ever do.
func (g Gateway) judge(p gateway.Post, is Piece, body string) {
	if is.ID != p.ID {
		g.Fault("POST of %q as %v", body, p.ID)
	}
	if was, ok := g.Bodies[is]; ok && was != body {
		g.Fault("signed twice and POSTed: %q and %q", was, body)
	}
	g.Bodies[is] = body
	kind := record.Request
	if is.Command {
		kind = record.SignedCommand
	}
	early, late := g.Disk.posted(kind, body, is.ID)
	if early {
		g.Fault("POSTed before it was durable: %q", body)
	}
	if late {
		g.Fault("POSTed after its outcome: %q", body)
	}
	if is.Service != servicerequests.ArmSupply || !is.Command {
		return
	}
	d := g.Targets[is.ID.Target]
	switch {
	case d.Person:
		g.Fault("%v: 7.3 though only a person may", d.EUI)
	case d.Found != (State{servicerequests.Prepayment, servicerequests.Disabled}) || d.Balance > g.Policy.ArmBalanceAtMost:
		g.Fault("%v: 7.3 without cause, found %v with %v", d.EUI, d.Found, d.Balance)
	case d.Mode != servicerequests.Credit:
		g.Fault("%v: 7.3 in %v", d.EUI, d.Mode)
	case d.LastCommand < is.ID.Counter && g.Clock().Sub(d.DisabledAt) > g.Policy.ArmFresh.Electricity && d.Kind == servicerequests.ESME:
		g.Fault("%v: 7.3 on a read that is %v old", d.EUI, g.Clock().Sub(d.DisabledAt))
	}
}

// take is the DCC taking bytes in; the same bytes get the same answer.
func (w *World) take(p Piece, body string) string {
	if reply, ok := w.Replies[body]; ok {
		return reply
	}
	reply := string(servicerequests.Acknowledged)
	switch {
	case p.Service == servicerequests.ReadInventory:
		reply = "inventory of " + p.Device.String()
	case !p.Command && p.Service.Critical():
		reply = "pre-command of " + p.ID.String()
	default:
		f := &Flight{Device: w.Targets[p.ID.Target], Service: p.Service, ID: p.ID, Fate: Answered}
		if w.OnFlight != nil {
			f.Fate = w.OnFlight(f)
		}
		w.Flights = append(w.Flights, f)
		switch f.Fate {
		case Undeliv, NoAnswer, DoneE21, DoneLate:
			w.Inbox = append(w.Inbox, w.silenceOf(f))
		}
	}
	w.Replies[body] = reply
	return reply
}

// silenceOf is the DCC saying that a device did not answer. It need not be signed.
func (w *World) silenceOf(f *Flight) proof.Delivery {
	d := proof.Delivery{ID: f.ID, Device: f.ID.Target, Code: servicerequests.NoResponse, At: w.Clock()}
	if f.Fate == Undeliv {
		d.Code = servicerequests.Unreachable
	}
	return d
}

// Arrive lets the first flight to the device of one of the flights arrive.
func (w *World) Arrive(i int) {
	w.Mu.Lock()
	defer w.Mu.Unlock()
	f := w.Flights[i]
	for j, other := range w.Flights { // a device gets its requests in order
		if other.Device == f.Device {
			f, i = other, j
			break
		}
	}
	w.Flights = slices.Delete(w.Flights, i, i+1)
	switch f.Fate {
	case Undeliv, NoAnswer, Lost:
		return
	case Refused:
		w.Inbox = append(w.Inbox, f.Device.Respond(w.Clock(), f.Service, f.ID, false))
		f.Device.Answered[f.ID.Counter] = f.Device.State
		return
	}
	ok := f.Device.carryOut(w, f.Service, f.ID)
	d := f.Device.Respond(w.Clock(), f.Service, f.ID, ok)
	switch f.Fate {
	case Answered, DoneLate:
		w.Inbox = append(w.Inbox, d)
	case Twice:
		w.Inbox = append(w.Inbox, d, d)
	case NoValue:
		d.Result = &gbcs.Response{Success: true}
		w.Inbox = append(w.Inbox, d)
	case Garbled:
		d.Message.Counter++ // of another request: it does not correlate
		w.Inbox = append(w.Inbox, d)
	}
}

// Deliver has the DCC deliver something, some time.
func (w *World) Deliver(deliveries ...proof.Delivery) {
	w.Mu.Lock()
	defer w.Mu.Unlock()
	w.Inbox = append(w.Inbox, deliveries...)
}

// Next takes the first delivery out of what the DCC has yet to deliver.
func (w *World) Next() (d proof.Delivery, ok bool) {
	w.Mu.Lock()
	defer w.Mu.Unlock()
	if len(w.Inbox) == 0 {
		return d, false
	}
	d = w.Inbox[0]
	w.Inbox = w.Inbox[1:]
	return d, true
}

// Pull takes a delivery out, if it is there.
func (w *World) Pull(which func(proof.Delivery) bool) (d proof.Delivery, ok bool) {
	w.Mu.Lock()
	defer w.Mu.Unlock()
	i := slices.IndexFunc(w.Inbox, which)
	if i < 0 {
		return d, false
	}
	d = w.Inbox[i]
	w.Inbox = slices.Delete(w.Inbox, i, i+1)
	return d, true
}

// InFlight says whether anything is on its way to a device.
func (w *World) InFlight() bool {
	w.Mu.Lock()
	defer w.Mu.Unlock()
	return len(w.Flights) > 0
}

// HeldBack is the DCC's alert that it holds a request back.
func HeldBack(id servicerequests.RequestID, ref string) proof.Delivery {
	return proof.Delivery{Signed: true, DCCAlert: &duis.DCCAlert{
		Code: "AD1", Event: duis.QuarantinedRequest{Breach: duis.UserThreshold, Request: id, EventRef: ref},
	}}
}

// Store is the inbox: the message is durable before anything is made of it. After an error
// the DCC keeps it and sends it again.
func (w *World) Store(d proof.Delivery) (seq uint64, at time.Time, err error) {
	w.Mu.Lock()
	defer w.Mu.Unlock()
	key := fmt.Sprintf("delivery %d", len(w.raw))
	at = w.Clock()
	r := record.Record{At: at, Kind: record.Response, Device: d.Device, ID: d.ID, Code: string(d.Code), Body: []byte(key)}
	if d.Alert != nil {
		r.Kind, r.Code = record.Alert, fmt.Sprintf("%04X", d.Alert.Code)
	}
	if d.DCCAlert != nil {
		r.Kind, r.Code = record.Alert, d.DCCAlert.Code
	}
	w.raw[key] = d // also where it fails: it may be durable all the same
	if seq, err = w.Disk.Store(r); err != nil {
		return 0, at, err
	}
	w.unjudged[seq] = struct{}{}
	return seq, at, nil
}

// Stored is a message that was stored.
func (w *World) Stored(seq uint64) (at time.Time, d proof.Delivery, err error) {
	r := w.Disk.At(seq)
	d, err = w.Read(r.Body)
	return r.At, d, err
}

// Messages is the world as the stored messages on their way to the machine.
type Messages struct{ *World }

// Unjudged are the numbers of those that no record marks.
func (m Messages) Unjudged() (numbers []uint64, from uint64) {
	m.Mu.Lock()
	defer m.Mu.Unlock()
	for seq := range m.unjudged {
		numbers = append(numbers, seq)
	}
	slices.Sort(numbers)
	return numbers, m.Disk.Last()
}

// Settled notes that a record marks a message: once.
func (m Messages) Settled(seq uint64) {
	m.Mu.Lock()
	defer m.Mu.Unlock()
	if _, ok := m.unjudged[seq]; !ok {
		m.Fault("message %d is settled twice, or was not stored", seq)
	}
	delete(m.unjudged, seq)
}

// Reopen is a start of the inbox: it still has to deliver the messages that a replay found.
func (w *World) Reopen(unjudged []uint64) {
	w.Mu.Lock()
	defer w.Mu.Unlock()
	clear(w.unjudged)
	for _, seq := range unjudged {
		w.unjudged[seq] = struct{}{}
	}
	w.Leaves = 0
}

// CheckMarks says what is wrong with the marks of stored messages: each has one that is
// durable, or is queued; none has two.
func (w *World) CheckMarks() (wrong []string) {
	marks := map[uint64]int{}
	for _, r := range w.Disk.All() {
		if of := Marks(r); of != 0 {
			marks[of]++
		}
	}
	for _, r := range w.Disk.All() {
		switch r.Kind {
		case record.Response, record.Alert, record.Received:
			if n := marks[r.Seq]; n != 1 {
				wrong = append(wrong, fmt.Sprintf("message %d (%v %s) has %d marks", r.Seq, r.Kind, r.Code, n))
			}
		}
	}
	return wrong
}

// Marks is the number of the stored message that a record marks as judged; 0: none.
func Marks(r record.Record) uint64 {
	switch r.Kind {
	case record.Outcome:
		body, _ := record.Decode[record.OutcomeBody](r)
		return body.Of
	case record.Proven:
		body, _ := record.Decode[record.ProvenBody](r)
		return body.Of
	case record.Refused:
		body, _ := record.Decode[record.RefusedBody](r)
		return body.Of
	case record.Unmatched, record.Repeated:
		body, _ := record.Decode[record.JudgedBody](r)
		return body.Of
	}
	return 0
}

// ErrGarbled is the fault of what cannot be proven.
var ErrGarbled = errors.New("garbled")

// Verifier is the world as what proves replies.
type Verifier struct{ *World }

// Reply reads a reply.
func (v Verifier) Reply(raw []byte, id servicerequests.RequestID) (duis.Response, error) {
	text := string(raw)
	r := duis.Response{RequestID: id, Code: servicerequests.Success}
	switch {
	case text == "garbled":
		return duis.Response{}, ErrGarbled
	case strings.HasPrefix(text, "pre-command of "):
		r.Content = duis.PreCommand{Payload: raw}
	case strings.HasPrefix(text, "inventory of "):
		eui, err := servicerequests.ParseEUI(strings.TrimPrefix(text, "inventory of "))
		if err != nil {
			return r, err
		}
		d := v.Targets[eui]
		r.Content = duis.Inventory{{ID: d.EUI, Type: "GSME"}, {ID: d.Proxy, Type: "GPF"}}
	default:
		r.Code = servicerequests.ResponseCode(text)
	}
	return r, nil
}

// Read proves a stored message.
func (w *World) Read(raw []byte) (proof.Delivery, error) {
	w.Mu.Lock()
	defer w.Mu.Unlock()
	d, ok := w.raw[string(raw)]
	if !ok {
		return d, ErrGarbled
	}
	return d, nil
}
