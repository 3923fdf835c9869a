package sweep

import (
	stdcmp "cmp"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"safemode/engine/gateway"
	"safemode/engine/journal"
	"safemode/engine/proof"
	"safemode/engine/record"
	"safemode/engine/signer"
	"safemode/servicerequests"
	"safemode/servicerequests/gbcs"
)

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
	home     servicerequests.EUI // its hub; 0: the one of all
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
	pressed     bool      // the button, after its verdict
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
	case s == servicerequests.ReadPrepaymentConfiguration:
		result.Configuration = new(gbcs.PrepaymentConfiguration)
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
	options    func(*Options)
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
	pace    func(time.Time, Leave) (bool, time.Duration, string)

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
	w.disk.write([]record.Record{{At: time.Now(), Kind: record.Target, Device: d.eui, Body: record.Encode(record.TargetBody{
		Type: d.kind, Hub: stdcmp.Or(d.home, 0x00DB123456789000), Region: region, Claimed: d.claimed, History: d.history, Originator: originator,
	})}})
}

// open makes a sweep that goes on with the journal.
func (w *world) open() *Sweep {
	w.t.Helper()
	folded := w.fold(nil)
	if len(w.disk.rows) == 0 {
		return folded
	}
	restored := w.fold(w.disk.rows)
	restores.Add(1)
	if diff := cmp.Diff(standings(folded, restored)); diff != "" {
		w.t.Fatalf("the state tells another story than the records (-records +state):\n%s", diff)
	}
	return restored
}

// restores counts the sweeps that went on with a state.
var restores atomic.Int64

// fold makes a sweep of the journal, with or without a state.
func (w *world) fold(rows []journal.StateRow) *Sweep {
	w.t.Helper()
	s, from := w.make(), uint64(1)
	if rows != nil {
		var err error
		if from, err = s.Restore(rows); err != nil {
			w.t.Fatal(err)
		}
	}
	if err := s.Replay(w.t.Context(), w.disk.records(from), eye{w}); err != nil {
		w.t.Fatalf("replay: %v", err)
	}
	return s
}

func (w *world) make() *Sweep {
	o := Options{
		Policy: w.policy, Journal: w.disk, Signer: gate{w}, Gateway: socket{w}, Verifier: eye{w},
		Counters: map[servicerequests.EUI]Counters{ourEUI: w, otherEUI: w},
		Pacer:    w, Breakers: w, Gate: func(time.Time) error { return w.gate },
		DCC: dccEUI, Workers: 2, InFlight: 100, PerHub: w.perHub, Resend: time.Second, Resends: 3,
		State: w.disk, StateEvery: time.Second, Suppressed: w.suppressed, Log: zap.NewNop(), Registerer: prometheus.NewRegistry(),
	}
	if w.options != nil {
		w.options(&o)
	}
	return New(o)
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
func (w *world) Take(now time.Time, l Leave) (bool, time.Duration, string) {
	if w.pace != nil {
		return w.pace(now, l)
	}
	return w.limit(), time.Second, "user"
}

func (w *world) Spent(time.Time, Leave) {}

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
