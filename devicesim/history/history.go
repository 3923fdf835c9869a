// Package history keeps what a simulated DCC and its devices did and delivered, device by
// device, so that a report of a User can be compared with it. A gas proxy has a history of its
// own, apart from its meter's.
//
// It owns these notes only. It decides nothing and judges nothing, and does not know a device's
// state now. It grows with every command (some 200 bytes), so a simulator that runs without an
// end keeps none: a nil Book accepts every note and keeps nothing.
package history

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"safemode/devicesim/meter"
	"safemode/servicerequests"
)

// Instant is a time of the simulator's clock in Unix nanoseconds; 0: never.
type Instant int64

// At is the instant of a time.
func At(t time.Time) Instant { return Instant(t.UnixNano()) }

// Time is the time of an instant.
func (i Instant) Time() time.Time { return time.Unix(0, int64(i)).UTC() }

// MarshalText writes an instant as RFC 3339; empty: never.
func (i Instant) MarshalText() ([]byte, error) {
	if i == 0 {
		return nil, nil
	}
	return i.Time().MarshalText()
}

// Device is what happened between the User and one device. Each list is in the order in
// which its notes were made.
type Device struct {
	Accepted []Accepted `json:"accepted"`
	Carried  []Carried  `json:"carried"`
	Answers  []Answer   `json:"answers"`
	Alerts   []Alert    `json:"alerts"`
	Replies  []Reply    `json:"replies"`

	// Left is when the inbox took the DCC's word that the home has left the supplier; 0:
	// never.
	Left Instant `json:"left,omitzero"`
}

// Accepted is a message to the device that the DCC has taken from a User: a read, or a
// Signed Pre-Command. A repetition of the same bytes is none.
type Accepted struct {
	Counter uint64  `json:"counter"` // originator counter
	SRV     string  `json:"srv"`
	At      Instant `json:"at"`
}

// Carried is a command that the device has carried out, or tried to. Reads count.
type Carried struct {
	Order   uint64      `json:"order"` // above that of everything that any device carried out before
	Counter uint64      `json:"counter"`
	SRV     string      `json:"srv"`
	At      Instant     `json:"at"`
	Result  byte        `json:"result"` // the first result of the Response that is not success; 0: success
	State   meter.State `json:"state"`  // just after it; of a gas proxy what it showed
}

// Answer is a message to the inbox that ends a request, which the inbox has answered 204.
type Answer struct {
	Counter uint64                       `json:"counter"` // of the request that it was to answer
	Code    servicerequests.ResponseCode `json:"code"`    // I0: the device's Response; else why there is none
	Bent    bool                         `json:"bent"`    // the DCC said something else than what the device did, or signed it wrongly
	At      Instant                      `json:"at"`      // when it was answered
}

// Alert is an alert of the device.
type Alert struct {
	Code      uint16  `json:"code"`
	Raised    Instant `json:"raised"`    // by the device's clock
	Delivered Instant `json:"delivered"` // 0: the inbox has not taken it
}

// Reply is what the DCC said at once and should not have, or not gladly: a refusal, a
// lie, or nothing because the connection broke. Honest replies that grant what was asked
// leave no note.
type Reply struct {
	Counter uint64                       `json:"counter"`
	SRV     string                       `json:"srv"`
	Code    servicerequests.ResponseCode `json:"code"` // of the honest reply
	Bent    bool                         `json:"bent"` // the User got something else, or nothing
	At      Instant                      `json:"at"`
}

// Find returns the last command with a counter that the device has carried out. A read may
// reach it twice.
func (d Device) Find(counter uint64) (c Carried, ok bool) {
	for _, c := range slices.Backward(d.Carried) {
		if c.Counter == counter {
			return c, true
		}
	}
	return Carried{}, false
}

// Book keeps the histories of all devices. Its methods may be called from many
// goroutines; a nil Book keeps nothing.
type Book struct {
	order  atomic.Uint64
	shards [64]shard
}

type shard struct {
	mu      sync.Mutex
	devices map[servicerequests.EUI]*Device
}

// note has something written down about a device.
func (b *Book) note(device servicerequests.EUI, write func(*Device)) {
	if b == nil {
		return
	}
	s := &b.shards[uint64(device)%uint64(len(b.shards))]
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.devices[device]
	if d == nil {
		if s.devices == nil {
			s.devices = map[servicerequests.EUI]*Device{}
		}
		d = &Device{}
		s.devices[device] = d
	}
	write(d)
}

// Accept notes that the DCC has taken a message to a device.
func (b *Book) Accept(device servicerequests.EUI, a Accepted) {
	b.note(device, func(d *Device) { d.Accepted = append(d.Accepted, a) })
}

// Carry notes that a device has carried a command out, and gives it its order. The caller
// holds the meter meanwhile, so that no other command of it, or of its gas proxy, comes
// between.
func (b *Book) Carry(device servicerequests.EUI, c Carried) {
	b.note(device, func(d *Device) {
		c.Order = b.order.Add(1)
		d.Carried = append(d.Carried, c)
	})
}

// Answer notes that the inbox has taken what ends a request.
func (b *Book) Answer(device servicerequests.EUI, a Answer) {
	b.note(device, func(d *Device) { d.Answers = append(d.Answers, a) })
}

// Raise notes that a device has raised an alert, and returns what is to be called when
// the inbox has taken it; nil in a nil Book.
func (b *Book) Raise(device servicerequests.EUI, code uint16, at time.Time) (delivered func(at time.Time)) {
	if b == nil {
		return nil
	}
	var i int
	b.note(device, func(d *Device) {
		i = len(d.Alerts)
		d.Alerts = append(d.Alerts, Alert{Code: code, Raised: At(at)})
	})
	return func(at time.Time) {
		b.note(device, func(d *Device) { d.Alerts[i].Delivered = At(at) })
	}
}

// Leave returns what is to be called when the inbox has taken the DCC's word that a device's
// home has left the supplier; nil in a nil Book.
func (b *Book) Leave(device servicerequests.EUI) (delivered func(at time.Time)) {
	if b == nil {
		return nil
	}
	return func(at time.Time) {
		b.note(device, func(d *Device) { d.Left = At(at) })
	}
}

// Reply notes a reply that is worth a note.
func (b *Book) Reply(device servicerequests.EUI, r Reply) {
	b.note(device, func(d *Device) { d.Replies = append(d.Replies, r) })
}

// Of returns a copy of a device's history; empty if nothing was noted.
func (b *Book) Of(device servicerequests.EUI) (of Device) {
	if b == nil {
		return of
	}
	s := &b.shards[uint64(device)%uint64(len(b.shards))]
	s.mu.Lock()
	defer s.mu.Unlock()
	if d := s.devices[device]; d != nil {
		of = Device{slices.Clone(d.Accepted), slices.Clone(d.Carried), slices.Clone(d.Answers), slices.Clone(d.Alerts), slices.Clone(d.Replies), d.Left}
	}
	return of
}
