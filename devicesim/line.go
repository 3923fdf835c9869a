package devicesim

import (
	"sync"
	"sync/atomic"
	"time"

	"safemode/devicesim/dcc"
	"safemode/devicesim/fault"
	"safemode/devicesim/fleet"
	"safemode/devicesim/meter"
	"safemode/servicerequests"
	"safemode/servicerequests/clock"
)

// line decides what happens between User and device, and knows what becomes of
// registrations and certificates meanwhile. It is the DCC's [dcc.Line] and
// [dcc.Register].
type line struct {
	clock  clock.Clock
	fleet  *fleet.Fleet
	failed servicerequests.EUI // the failed supplier
	began  time.Time
	world  atomic.Pointer[world]

	mu       sync.Mutex
	attempts map[attempted]uint64 // how often a service was tried on a device
	replies  map[attempted]asked  // the same, by what was asked of the DCC
	written  map[attempted]uint64 // how many documents were written about it
}

// world is a fault profile and when it began to hold.
type world struct {
	fault.Profile
	began time.Time
}

type attempted struct {
	device  servicerequests.EUI
	service string
}

// asked is how often the DCC was asked for a service on a device. A request and
// its repetitions count once.
type asked struct {
	last   servicerequests.RequestID
	number uint64 // of last, from 0
}

// Service names of the consumer's button, and of what a device raises.
const (
	press = "press"
	alert = "alert"
)

func newLine(c clock.Clock, f *fleet.Fleet, failed servicerequests.EUI, p fault.Profile) *line {
	l := &line{clock: c, fleet: f, failed: failed, began: c.Now(), attempts: map[attempted]uint64{}, replies: map[attempted]asked{}, written: map[attempted]uint64{}}
	l.set(p)
	return l
}

func (l *line) set(p fault.Profile) { l.world.Store(&world{p, l.clock.Now()}) }

// attempt counts one more try.
func (l *line) attempt(device servicerequests.EUI, service string) fault.Attempt {
	key := attempted{device, service}
	l.mu.Lock()
	defer l.mu.Unlock()
	number := l.attempts[key]
	l.attempts[key]++
	return fault.Attempt{Device: device, Service: service, Number: number}
}

// Fate decides what happens to an accepted Command.
func (l *line) Fate(id servicerequests.RequestID, srv string) dcc.Fate {
	w, a, site, now := l.world.Load(), l.attempt(id.Target, srv), l.site(id.Target), l.clock.Now()
	e := w.At(l.fleet.Seed, site)
	happens := func(k fault.Kind) bool { return e.Happens(k, l.fleet.Seed, a) }
	fate := dcc.Fate{
		At:                  now,
		OutOfReach:          w.Away(l.fleet.Seed, site, now.Sub(w.began)),
		Takes:               e.Takes(l.fleet.Seed, a),
		Place:               fault.Place(l.fleet.Seed, a),
		Skew:                e.ClockSkew,
		Discarded:           happens(fault.DutyCycleDiscard),
		NoAnswer:            happens(fault.NoAnswer),
		ResponseLost:        happens(fault.LostResponse),
		AcknowledgementLost: happens(fault.LostAcknowledgement),
		ResponseRepeated:    happens(fault.DuplicateResponse),
		Device: meter.Fault{
			HardwareFailure:   happens(fault.HardwareFailure),
			PartialModeChange: happens(fault.PartialECS02),
			Applied:           happens(fault.FailedButApplied),
		},
		E20Untold: happens(fault.UntoldE20),
		E21Untold: happens(fault.UntoldE21),

		Lie:  w.Lie(fault.DeliveryLies(), l.fleet.Seed, a),
		Kept: w.LieShare(fault.Replayed) > 0,
	}
	if happens(fault.DelayedResponse) {
		fate.ResponseDelayed = e.Delay
	}
	if happens(fault.LateResponse) {
		fate.ResponseDelayed = max(fate.ResponseDelayed, fault.Late(l.fleet.Seed, a))
	}
	switch {
	case fate.Lie != fault.Truth:
	case happens(fault.ReorderedResponse):
		fate.Lie = fault.Reordered
	case site.Type == servicerequests.ESME && happens(fault.AnswerFirst): // a gas meter sleeps for longer than a User waits
		fate.Lie = fault.LateAcknowledgement
	}
	return fate
}

// ReplyLie decides which of some lies the DCC's reply to a request tells.
func (l *line) ReplyLie(among []fault.Lie, id servicerequests.RequestID, device servicerequests.EUI, srv string) fault.Lie {
	key := attempted{device, srv}
	l.mu.Lock()
	a, there := l.replies[key]
	if there && a.last != id {
		a.number++
	}
	a.last = id
	l.replies[key] = a
	l.mu.Unlock()
	return l.world.Load().Lie(among, l.fleet.Seed, fault.Attempt{Device: device, Service: srv, Number: a.number})
}

// form draws how the next document about a device and a service is written.
func (l *line) form(device servicerequests.EUI, srv string) fault.Form {
	w := l.world.Load()
	if w.Variety.Written == 0 {
		return fault.Form{}
	}
	key := attempted{device, srv}
	l.mu.Lock()
	number := l.written[key]
	l.written[key]++
	l.mu.Unlock()
	return w.Variety.Form(l.fleet.Seed, fault.Attempt{Device: device, Service: srv, Number: number})
}

func (l *line) decimal(device servicerequests.EUI) bool {
	return l.world.Load().Variety.Decimal(l.fleet.Seed, device)
}

func (l *line) twin(device servicerequests.EUI) bool {
	return l.world.Load().Variety.Twin(l.fleet.Seed, device)
}

func (l *line) swapped(hub servicerequests.EUI) bool {
	return l.world.Load().Variety.Swapped(l.fleet.Seed, hub)
}

func (l *line) exchanged(device servicerequests.EUI) bool {
	return l.world.Load().Variety.Exchanged(l.fleet.Seed, device)
}

// since is how long a profile has held.
func (l *line) since(w *world) time.Duration { return l.clock.Now().Sub(w.began) }

// site is the place of a device. A gas proxy has the place of its meter.
func (l *line) site(device servicerequests.EUI) fault.Site {
	i, ok := l.fleet.Find(device)
	if !ok {
		if i, ok = l.fleet.FindGPF(device); !ok {
			return fault.Site{}
		}
	}
	m := l.fleet.Meter(i)
	return fault.Site{Device: m.Device, Hub: m.Hub, Type: m.Type, Region: m.Region, Model: m.Model.Name()}
}

// Supplier returns whom a meter is registered to now: whom the fleet says, unless
// it has gone from the failed supplier to another since.
func (l *line) Supplier(meter int) servicerequests.EUI {
	m, w := l.fleet.Meter(meter), l.world.Load()
	if m.Supplier == l.failed {
		if to := w.Rules.Left(l.fleet.Seed, m.Device, m.Hub, l.since(w)); to != 0 {
			return to
		}
	}
	return m.Supplier
}

// Suspended says whether a device's status in the inventory is Suspended.
func (l *line) Suspended(device servicerequests.EUI) bool {
	w := l.world.Load()
	return w.Any(fault.Suspended) && l.befalls(w, fault.Suspended, fault.Attempt{Device: device})
}

// befalls decides on one fault of an attempt.
func (l *line) befalls(w *world, k fault.Kind, a fault.Attempt) bool {
	e := w.At(l.fleet.Seed, l.site(a.Device))
	return e.Happens(k, l.fleet.Seed, a)
}

// counter is the originator counter that a meter has accepted before it all began; 0:
// none.
func (l *line) counter(device servicerequests.EUI) uint64 {
	w := l.world.Load()
	if !w.Any(fault.HighCounter) {
		return 0
	}
	e := w.At(l.fleet.Seed, l.site(device))
	if !e.Happens(fault.HighCounter, l.fleet.Seed, fault.Attempt{Device: device}) {
		return 0
	}
	return uint64(l.began.Add(e.CounterLead).UnixMilli())
}

// belowInSuspension says whether a meter tells that its credit is below the
// threshold when it gets there, and not when the supply goes off.
func (l *line) belowInSuspension(device servicerequests.EUI) bool {
	w := l.world.Load()
	return w.Any(fault.BelowInSuspension) && l.befalls(w, fault.BelowInSuspension, fault.Attempt{Device: device})
}

// alert decides how often an alert with a device's counter comes to the DCC.
func (l *line) alert(device servicerequests.EUI, counter uint64) (times int) {
	w, a := l.world.Load(), fault.Attempt{Device: device, Service: alert, Number: counter}
	switch {
	case w.Any(fault.LostAlert) && l.befalls(w, fault.LostAlert, a):
		return 0
	case w.Any(fault.DuplicateAlert) && l.befalls(w, fault.DuplicateAlert, a):
		return 2
	}
	return 1
}

// Refusal returns the code that the failed supplier gets once its certificates
// are revoked.
func (l *line) Refusal(user servicerequests.EUI) servicerequests.ResponseCode {
	w := l.world.Load()
	if user != l.failed {
		return ""
	}
	return w.Rules.Certificates.Revoked(l.since(w))
}

// renewed says whether a device has its second keys by now.
func (l *line) renewed(device servicerequests.EUI) bool {
	w := l.world.Load()
	return w.Rules.Rotation.Renewed(l.fleet.Seed, device, l.since(w))
}

// dccRenewed says whether the DCC signs under its second certificate by now.
func (l *line) dccRenewed() bool {
	w := l.world.Load()
	return w.Rules.Rotation.DCCRenewed(l.since(w))
}

// pressFault decides what goes wrong at the number-th press of a meter's button. It
// hangs on nothing else, so that two sweeps of one fleet meet equal luck.
func (l *line) pressFault(device servicerequests.EUI, number uint64) meter.PressFault {
	a := fault.Attempt{Device: device, Service: press, Number: number}
	e := l.world.Load().At(l.fleet.Seed, l.site(device))
	return meter.PressFault{
		SwitchFails:      e.Happens(fault.SwitchFailure, l.fleet.Seed, a),
		UncontrolledFlow: e.Happens(fault.UncontrolledFlow, l.fleet.Seed, a),
	}
}

// away is how long a device will still be out of reach.
func (l *line) away(device servicerequests.EUI) time.Duration {
	w := l.world.Load()
	return w.Away(l.fleet.Seed, l.site(device), l.since(w))
}
