package sweep

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"safemode/engine/gateway"
	"safemode/engine/journal"
	"safemode/engine/proof"
	"safemode/engine/signer"
	"safemode/servicerequests"
	"safemode/servicerequests/duis"
	"safemode/servicerequests/gbcs"
)

// disk is a journal in memory. What was committed is durable; what was appended
// is so with the next commit.
type disk struct {
	mu      sync.Mutex
	durable []journal.Record
	queued  []journal.Record
	commits int
	failAt  int  // this commit fails; 0: none
	applied bool // it fails, and is durable all the same
	err     error
	failed  chan struct{}
}

var errDisk = errors.New("disk full")

func newDisk() *disk { return &disk{failed: make(chan struct{})} }

func (d *disk) Commit(_ context.Context, records ...journal.Record) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err != nil {
		return d.err
	}
	d.commits++
	fails := d.commits == d.failAt
	if !fails || d.applied {
		d.write(append(d.queued, records...))
		d.queued = nil
	}
	if fails {
		d.err = errDisk
		close(d.failed)
	}
	return d.err
}

func (d *disk) write(records []journal.Record) {
	for _, r := range records {
		r.Seq = uint64(len(d.durable)) + 1
		d.durable = append(d.durable, r)
	}
}

func (d *disk) Append(records ...journal.Record) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err == nil {
		d.queued = append(d.queued, records...)
	}
}

func (d *disk) Failed() <-chan struct{} { return d.failed }

func (d *disk) Err() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.err
}

// crash loses what is not durable but for the first kept records, and opens the
// journal again.
func (d *disk) crash(kept int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.write(d.queued[:min(kept, len(d.queued))])
	d.queued, d.err, d.failed = nil, nil, make(chan struct{})
}

// all is what the journal will hold.
func (d *disk) all() []journal.Record {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Concat(d.durable, d.queued)
}

// records iterates over what is durable.
func (d *disk) records() iter.Seq2[journal.Record, error] {
	d.mu.Lock()
	defer d.mu.Unlock()
	durable := slices.Clone(d.durable)
	return func(yield func(journal.Record, error) bool) {
		for _, r := range durable {
			if !yield(r, nil) {
				return
			}
		}
	}
}

// questions are the open ones about what meters do (assumptions).
type questions struct {
	creditArms   bool // 1.6 arms a supply that is off for lack of credit
	armAnyway    int  // 7.3 on a supply that is not Disabled: 0 refused, 1 no change, 2 opened to Armed
	armRefused   bool // 7.3 is refused in Prepayment without credit
	spentSuffice bool // 2.5 succeeds where emergency credit is spent
}

// emergency is a meter's emergency credit.
type emergency uint8

const (
	unavailable emergency = iota
	available
	active
	spent
)

// state is what a meter can be seen as.
type state struct {
	mode   servicerequests.PaymentMode
	supply servicerequests.SupplyState
}

// device is a meter: the truth.
type device struct {
	eui, gpf servicerequests.EUI
	kind     servicerequests.DeviceType
	state
	balance   servicerequests.Millipence
	emergency emergency
	locked    bool
	stored    bool // the supplier left a switch to Prepayment on it
	history   []string
	claimed   servicerequests.PaymentMode

	found       state
	answered    map[uint64]state // by counter of the request
	lastCommand uint64
	disabledAt  time.Time // when it last answered that it is Disabled, and nothing came after
	person      bool      // only a person may arm it
}

// carryOut does what a request asks for. The result is the response's success.
func (d *device) carryOut(w *world, s servicerequests.Service, id servicerequests.RequestID) bool {
	if s.Critical() {
		if id.Counter <= d.lastCommand {
			w.t.Errorf("%v: command under counter %d after %d", d.eui, id.Counter, d.lastCommand)
		}
		d.lastCommand = id.Counter
	}
	was := d.supply
	ok := true
	switch s {
	case servicerequests.ActivateEmergencyCredit:
		switch {
		case d.mode == servicerequests.Prepayment && d.emergency == available:
			d.emergency = active
			if d.supply == servicerequests.Disabled && !d.locked {
				d.supply = servicerequests.Armed
			}
		case d.emergency == active:
		case d.emergency == spent:
			ok = w.questions.spentSuffice
		default:
			ok = false
		}
	case servicerequests.SwitchToCredit:
		d.mode, d.emergency, d.stored = servicerequests.Credit, unavailable, false
		if w.questions.creditArms && d.supply == servicerequests.Disabled && !d.locked && !d.person {
			d.supply = servicerequests.Armed
		}
	case servicerequests.ArmSupply:
		switch {
		case d.supply != servicerequests.Disabled:
			ok = w.questions.armAnyway != 0
			if w.questions.armAnyway == 2 {
				d.supply = servicerequests.Armed
			}
		case d.locked, w.questions.armRefused && d.mode == servicerequests.Prepayment && d.balance <= 0:
			ok = false
		default:
			d.supply = servicerequests.Armed
		}
	case servicerequests.ReadSupplyStatus:
		d.disabledAt = time.Time{}
		if d.supply == servicerequests.Disabled {
			d.disabledAt = time.Now()
		}
	}
	if d.supply < was || d.found.supply > d.supply {
		w.t.Errorf("%v: %v makes it %v, was %v and was found %v", d.eui, s, d.supply, was, d.found.supply)
	}
	d.answered[id.Counter] = d.state
	return ok
}

// respond is the device's answer.
func (d *device) respond(s servicerequests.Service, id servicerequests.RequestID, ok bool) proof.Delivery {
	kind := d.kind
	if id.Target == d.gpf {
		kind = servicerequests.GPF
	}
	m := &gbcs.Message{Kind: gbcs.KindResponse, Header: gbcs.Header{
		Counter: id.Counter, Originator: id.Target, Target: id.Originator, Code: codeOf(s, kind),
	}}
	result := &gbcs.Response{Success: ok}
	if s.Critical() {
		m.Signature = make([]byte, 64)
	} else {
		m.MAC = make([]byte, 12)
	}
	switch {
	case !ok:
		result.Results = []byte{0, 250}
	case s == servicerequests.ReadSupplyStatus:
		result.Supply = d.supply
	case s == servicerequests.ReadPaymentMode:
		result.Mode = d.mode
	case s == servicerequests.ReadMeterBalance:
		result.HasBalance, result.Balance = true, d.balance
	}
	return proof.Delivery{
		ID: id, Device: id.Target, Code: servicerequests.Success, At: time.Now(), Signed: true, SRV: s.SRV(),
		Message: m, Result: result,
	}
}

// codeOf is the message code of a service on a kind of device.
func codeOf(s servicerequests.Service, kind servicerequests.DeviceType) uint16 {
	for code := range uint16(0x200) {
		if u, ok := gbcs.LookupUseCase(code); ok && u.Service == s && u.Fits(kind) {
			return code
		}
	}
	return 0
}

// fate is what becomes of one POST, or of a request that the DCC has taken.
type fate string

// Fates of a POST; also a DUIS code, which is then the reply.
const (
	taken      fate = "taken"
	notWritten fate = "not written"
	throttled  fate = "throttled"
	lostBefore fate = "in doubt, not applied"
	lostAfter  fate = "in doubt, applied"
	badStatus  fate = "HTTP 4xx"
	badReply   fate = "applied, reply not proven"
)

// Fates of a request that the DCC has taken.
const (
	answered   fate = "answered"
	twice      fate = "answered twice"
	undeliv    fate = "E20"
	noAnswer   fate = "E21, not done"
	doneSilent fate = "done, answer lost"
	doneE21    fate = "E21, then done, answer lost"
	doneLate   fate = "E21, then done, answer late"
	lost       fate = "lost without a word"
	refused    fate = "the meter says no"
	garbled    fate = "done, answer not proven"
	noValue    fate = "success without a value"
)

// flight is a request on its way to a device.
type flight struct {
	device  *device
	service servicerequests.Service
	id      servicerequests.RequestID
	fate    fate
}

// piece is what a body was signed for.
type piece struct {
	leg     leg
	service servicerequests.Service
	id      servicerequests.RequestID
	device  servicerequests.EUI // of an inventory
}

// world is everything outside a sweep, and its judge: the DCC, the meters, the
// journal, the signing gate.
type world struct {
	t          testing.TB
	random     *rand.Rand
	policy     Policy
	questions  questions
	perHub     int
	gate       error // of the direction
	suppressed map[servicerequests.EUI]struct{}
	disk       *disk

	mu      sync.Mutex
	devices []*device
	targets map[servicerequests.EUI]*device
	counter uint64
	last    uint64 // counter that can be had; 0: no end
	nonce   int
	signed  map[string]piece
	tokens  map[*signer.Token]gbcs.Expected
	bodies  map[piece]string // the bytes that were POSTed
	dcc     map[string]string
	flights []*flight
	inbox   []proof.Delivery // what the DCC has yet to deliver
	raw     map[string]proof.Delivery
	leaves  int // of the breaker, not reported
	sign    func(piece) error
	limit   func() bool // says whether the pacer lets a leg go

	post   func(piece) fate
	flight func(*flight) fate
}

const (
	ourEUI   = servicerequests.EUI(0x90B3D51F30010000)
	otherEUI = servicerequests.EUI(0x90B3D51F30020000)
	dccEUI   = servicerequests.EUI(0x90B3D51F30000002)
)

func newWorld(t testing.TB, devices ...*device) *world {
	w := &world{
		t: t, random: rand.New(rand.NewPCG(1, 1)), policy: testPolicy(), perHub: 4, disk: newDisk(),
		targets: map[servicerequests.EUI]*device{}, counter: 1000,
		signed: map[string]piece{}, tokens: map[*signer.Token]gbcs.Expected{}, bodies: map[piece]string{},
		dcc: map[string]string{}, raw: map[string]proof.Delivery{},
		post:   func(piece) fate { return taken },
		flight: func(*flight) fate { return answered },
		sign:   func(piece) error { return nil },
		limit:  func() bool { return true },
	}
	w.policy.GasBalanceFromProxy = true
	w.policy.ResponseWait = PerFuel[time.Duration]{5 * time.Minute, 30 * time.Minute}
	for _, d := range devices {
		w.add(d, ourEUI, servicerequests.North)
	}
	return w
}

// add plans a meter.
func (w *world) add(d *device, originator servicerequests.EUI, region servicerequests.Region) {
	if d.claimed == servicerequests.UnknownMode {
		d.claimed = servicerequests.Prepayment
	}
	d.found, d.answered = d.state, map[uint64]state{}
	d.person = d.person || slices.Contains(d.history, historyDisabled)
	w.devices = append(w.devices, d)
	w.targets[d.eui] = d
	if d.gpf != 0 {
		w.targets[d.gpf] = d
	}
	w.disk.write([]journal.Record{{At: time.Now(), Kind: journal.Target, Device: d.eui, Body: journal.Encode(journal.TargetBody{
		Type: d.kind, Hub: 0x00DB123456789000, Region: region, Claimed: d.claimed, History: d.history, Originator: originator,
	})}})
}

// open makes a sweep that goes on with the journal.
func (w *world) open() *Sweep {
	w.t.Helper()
	s := w.make()
	if err := s.Replay(w.t.Context(), w.disk.records(), eye{w}); err != nil {
		w.t.Fatalf("replay: %v", err)
	}
	return s
}

func (w *world) make() *Sweep {
	return New(Options{
		Policy: w.policy, Journal: w.disk, Signer: gate{w}, Gateway: socket{w}, Verifier: eye{w},
		Counters: map[servicerequests.EUI]Counters{ourEUI: w, otherEUI: w},
		Pacer:    w, Breakers: w, Gate: func(time.Time) error { return w.gate },
		DCC: dccEUI, Workers: 2, InFlight: 100, PerHub: w.perHub, Resend: time.Second, Resends: 3,
		Suppressed: w.suppressed, Log: zap.NewNop(), Registerer: prometheus.NewRegistry(),
	})
}

// Next hands out one counter after the other.
func (w *world) Next() (uint64, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.counter++; w.last != 0 && w.counter > w.last {
		return 0, errDisk
	}
	return w.counter, nil
}

// Take is the pacer.
func (w *world) Take(time.Time, servicerequests.EUI, servicerequests.Region, gateway.Service) (bool, time.Duration, string) {
	return w.limit(), time.Second, "user"
}

// Allow is the breakers. It counts leaves that are not reported.
func (w *world) Allow(gateway.Service, servicerequests.Region) (func(error), error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.leaves++
	reported := false
	return func(error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if reported {
			w.t.Error("a leave of the breaker is reported twice")
		}
		reported = true
		w.leaves--
	}, nil
}

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
	kind := journal.Request
	if is.leg == commandLeg {
		kind = journal.SignedCommand
	}
	w.disk.mu.Lock()
	defer w.disk.mu.Unlock()
	if !slices.ContainsFunc(w.disk.durable, func(r journal.Record) bool { return r.Kind == kind && string(r.Body) == body }) {
		w.t.Errorf("POSTed before it was durable: %q", body)
	}
	for _, records := range [][]journal.Record{w.disk.durable, w.disk.queued} {
		if slices.ContainsFunc(records, func(r journal.Record) bool { return r.Kind == journal.Outcome && r.ID == is.id }) {
			w.t.Errorf("POSTed after its outcome: %q", body)
		}
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
func (w *world) deliver(s *Sweep, d proof.Delivery, hand func(proof.Delivery)) bool {
	w.mu.Lock()
	key := fmt.Sprintf("delivery %d", len(w.raw))
	w.raw[key] = d
	w.mu.Unlock()
	r := journal.Record{
		At: time.Now(), Kind: journal.Response, Device: d.Device, ID: d.ID, Code: string(d.Code), Body: []byte(key),
	}
	if d.Alert != nil {
		r.Kind, r.Code = journal.Alert, fmt.Sprintf("%04X", d.Alert.Code)
	}
	if w.disk.Commit(w.t.Context(), r) != nil {
		return false
	}
	hand(d)
	return true
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
