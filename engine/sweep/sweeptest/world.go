// Package sweeptest is the world outside a sweep, for tests of the machine and of what
// drives it: meters, the DCC, the signing gate and a journal in memory, each of which
// judges what no sweep may ever do. Nothing of it starts a goroutine, and its time is
// whatever its clock says. Faults are collected, see [World.Faults].
//
// It is used by tests alone, and does not import the machine.
package sweeptest

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"safemode/engine/exchange"
	"safemode/engine/ledger"
	"safemode/engine/proof"
	"safemode/engine/record"
	"safemode/engine/signer"
	"safemode/servicerequests"
	"safemode/servicerequests/gbcs"
)

// Identifiers of the world.
const (
	OurEUI   = servicerequests.EUI(0x90B3D51F30010000)
	OtherEUI = servicerequests.EUI(0x90B3D51F30020000)
	DCCEUI   = servicerequests.EUI(0x90B3D51F30000002)
	HubEUI   = servicerequests.EUI(0x00DB123456789000) // of meters without a home of their own
)

// Piece is what a body was signed for.
type Piece struct {
	Command bool // a Signed Pre-Command
	Service servicerequests.Service
	ID      servicerequests.RequestID
	Device  servicerequests.EUI // of an inventory
}

// Flight is a request on its way to a device.
type Flight struct {
	Device  *Device
	Service servicerequests.Service
	ID      servicerequests.RequestID
	Fate    Fate
}

// World is everything outside a sweep, and its judge. A nil On... field means the plain
// behaviour. The functions are called with Mu locked, except OnTake, OnGrant and OnAllow.
type World struct {
	Clock      func() time.Time
	Random     *rand.Rand
	Policy     ledger.Policy
	Questions  Questions
	PerHub     int
	Suppressed map[servicerequests.EUI]struct{}
	Disk       *Disk

	OnDial   func(Piece) Fate   // before the socket: NotWritten, or Taken
	OnPost   func(Piece) Fate   // the bytes are on the wire
	OnFlight func(*Flight) Fate // the DCC has taken a request of a device
	OnSign   func(Piece) error
	OnTake   func(time.Time, exchange.Place) (bool, time.Duration, string) // the pacer
	OnGrant  func(time.Time, exchange.Place) (bool, time.Duration, string) // the limits at the socket
	OnAllow  func(record.Endpoint, servicerequests.Region) error           // the breakers

	Mu       sync.Mutex
	Devices  []*Device
	Targets  map[servicerequests.EUI]*Device
	Regions  map[servicerequests.EUI]servicerequests.Region
	Last     uint64 // counter that can be had; 0: no end
	Bodies   map[Piece]string
	Replies  map[string]string // of the DCC, by the bytes
	Flights  []*Flight
	Inbox    []proof.Delivery // what the DCC still has to deliver
	Leaves   int              // of the breakers, not reported
	Posts    int              // that were written
	Spends   int              // POSTs of which the pacer was told after a start
	Holds    []Hold
	counters map[servicerequests.EUI]uint64
	nonce    int
	signed   map[string]Piece
	tokens   map[*signer.Token]gbcs.Expected
	raw      map[string]proof.Delivery
	unjudged map[uint64]struct{}
	faults   []string
}

// Hold is what the pacer was told to hold.
type Hold struct {
	Place exchange.Place
	Limit string
	Until time.Time
}

// New makes a world of some meters in the North.
func New(clock func() time.Time, devices ...*Device) *World {
	w := &World{
		Clock: clock, Random: rand.New(rand.NewPCG(1, 1)), Policy: Policy(), PerHub: 4, Disk: NewDisk(),
		Targets: map[servicerequests.EUI]*Device{}, Regions: map[servicerequests.EUI]servicerequests.Region{},
		counters: map[servicerequests.EUI]uint64{}, signed: map[string]Piece{}, tokens: map[*signer.Token]gbcs.Expected{},
		Bodies: map[Piece]string{}, Replies: map[string]string{}, raw: map[string]proof.Delivery{}, unjudged: map[uint64]struct{}{},
	}
	for _, d := range devices {
		w.Add(d, OurEUI, servicerequests.North)
	}
	return w
}

// Policy is the one of most tests.
func Policy() ledger.Policy {
	return ledger.Policy{
		Strategy: record.CreditMode,
		Permits: func(s servicerequests.Service, _ servicerequests.DeviceType) bool {
			return s != servicerequests.ReadPrepaymentConfiguration
		},
		ReadWait:             time.Minute,
		ProofWait:            ledger.PerFuel[time.Duration]{Electricity: 15 * time.Minute, Gas: 95 * time.Minute},
		EmergencyCreditBelow: 2 * servicerequests.Pound,
		ArmFresh:             ledger.PerFuel[time.Duration]{Electricity: time.Minute, Gas: 45 * time.Minute},
		ResponseWait:         ledger.PerFuel[time.Duration]{Electricity: 5 * time.Minute, Gas: 30 * time.Minute},
		Retry: ledger.PerFuel[[]time.Duration]{
			Electricity: []time.Duration{time.Minute, time.Hour}, Gas: []time.Duration{time.Hour, 4 * time.Hour},
		},
		SwitchTries:         3,
		ArmTries:            2,
		GasBalanceFromProxy: true,
	}
}

// Fault notes that something happened which no sweep may do.
func (w *World) Fault(format string, args ...any) {
	w.faults = append(w.faults, fmt.Sprintf(format, args...))
}

// Faults are those noted so far.
func (w *World) Faults() []string {
	w.Mu.Lock()
	defer w.Mu.Unlock()
	return slices.Clone(w.faults)
}

// Add plans a meter.
func (w *World) Add(d *Device, originator servicerequests.EUI, region servicerequests.Region) {
	if d.Claimed == servicerequests.UnknownMode {
		d.Claimed = servicerequests.Prepayment
	}
	d.Found, d.Answered = d.State, map[uint64]State{}
	d.Person = d.Person || slices.Contains(d.History, ledger.HistoryDisabled)
	w.Devices = append(w.Devices, d)
	w.Targets[d.EUI], w.Regions[d.EUI] = d, region
	if d.Proxy != 0 {
		w.Targets[d.Proxy] = d
	}
	w.Disk.Write(record.Record{At: w.Clock(), Kind: record.Target, Device: d.EUI, Body: record.Encode(record.TargetBody{
		Type: d.Kind, Hub: cmp.Or(d.Home, HubEUI), Region: region, Claimed: d.Claimed, History: d.History, Originator: originator, Proxy: d.Claim,
	})})
}

// Begin journals that a process starts, which stores messages before they are judged.
func (w *World) Begin() {
	w.Disk.Write(record.Record{At: w.Clock(), Kind: record.Opened, Body: record.Encode(record.Opening{StoreFirst: true})})
}

// Reserve hands out originator counters, first to last.
func (w *World) Reserve(originator servicerequests.EUI, n uint64) (first, last uint64, err error) {
	w.Mu.Lock()
	defer w.Mu.Unlock()
	at := max(w.counters[originator], 1000)
	if w.Last != 0 {
		n = min(n, max(w.Last, at)-at)
	}
	if n == 0 {
		return 0, 0, ErrDisk
	}
	w.counters[originator] = at + n
	return at + 1, at + n, nil
}

// Counters are those of one originator, one after the other.
type Counters struct {
	*World
	Originator servicerequests.EUI
}

// Next hands one out.
func (c Counters) Next() (uint64, error) {
	n, _, err := c.Reserve(c.Originator, 1)
	return n, err
}

// Handed is the highest counter that an originator was given.
func (w *World) Handed(originator servicerequests.EUI) uint64 {
	w.Mu.Lock()
	defer w.Mu.Unlock()
	return max(w.counters[originator], 1000)
}

// Pacer is the world as the pacer.
type Pacer struct{ *World }

// Take asks OnTake, and keeps to what was held.
func (p Pacer) Take(now time.Time, at exchange.Place) (bool, time.Duration, string) {
	p.Mu.Lock()
	p.Holds = slices.DeleteFunc(p.Holds, func(h Hold) bool { return !now.Before(h.Until) })
	for _, h := range p.Holds {
		if h.Limit != "service" || h.Place.Endpoint == at.Endpoint {
			p.Mu.Unlock()
			return false, h.Until.Sub(now), h.Limit
		}
	}
	p.Mu.Unlock()
	if p.OnTake != nil {
		return p.OnTake(now, at)
	}
	return true, 0, ""
}

// Hold notes what is held.
func (p Pacer) Hold(at exchange.Place, limit string, until time.Time) {
	p.Mu.Lock()
	defer p.Mu.Unlock()
	p.Holds = append(p.Holds, Hold{at, limit, until})
}

// Spent counts.
func (p Pacer) Spent(time.Time, exchange.Place) {
	p.Mu.Lock()
	defer p.Mu.Unlock()
	p.Spends++
}

// Limits is the world as the limits at the socket.
type Limits struct{ *World }

// Grant asks OnGrant.
func (l Limits) Grant(now time.Time, p exchange.Place) (bool, time.Duration, string) {
	if l.OnGrant != nil {
		return l.OnGrant(now, p)
	}
	return true, 0, ""
}

// Hold holds nothing.
func (l Limits) Hold(record.Endpoint, time.Time) {}

// Breakers is the world as the circuit breakers. It counts leaves that are not reported.
type Breakers struct{ *World }

// Allow asks OnAllow.
func (b Breakers) Allow(e record.Endpoint, r servicerequests.Region) (func(error), error) {
	if b.OnAllow != nil {
		if err := b.OnAllow(e, r); err != nil {
			return nil, err
		}
	}
	b.Mu.Lock()
	defer b.Mu.Unlock()
	b.Leaves++
	reported := false
	return func(error) {
		b.Mu.Lock()
		defer b.Mu.Unlock()
		if reported {
			b.Fault("a leave of the breaker is reported twice")
		}
		reported = true
		b.Leaves--
	}, nil
}

// SentIn lists what the journal shows to have been sent of a kind and of some services, or
// all, in order.
func (w *World) SentIn(kind record.Kind, services ...servicerequests.Service) (list []record.Record) {
	for _, r := range w.Disk.All() {
		if r.Kind == kind && (len(services) == 0 || slices.Contains(services, r.Service)) {
			list = append(list, r)
		}
	}
	return list
}

// Outcomes are the classes in which the first request of a service ended, in order.
func (w *World) Outcomes(service servicerequests.Service) (classes []string) {
	var first servicerequests.RequestID
	for _, r := range w.Disk.All() {
		if r.Service != service || first != (servicerequests.RequestID{}) && r.ID != first {
			continue
		}
		first = r.ID
		if r.Kind == record.Outcome {
			classes = append(classes, r.Code)
		}
	}
	return classes
}
