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

// line decides what happens between User and device. It is the DCC's
// [dcc.Line].
type line struct {
	clock clock.Clock
	fleet *fleet.Fleet
	world atomic.Pointer[world]

	mu       sync.Mutex
	attempts map[attempted]uint64 // how often a service was tried on a device
	replies  map[attempted]asked  // the same, by what was asked of the DCC
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

// press is the service name of the consumer's button.
const press = "press"

func newLine(c clock.Clock, f *fleet.Fleet, p fault.Profile) *line {
	l := &line{clock: c, fleet: f, attempts: map[attempted]uint64{}, replies: map[attempted]asked{}}
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
	w, a := l.world.Load(), l.attempt(id.Target, srv)
	happens := func(k fault.Kind) bool { return w.Happens(k, l.fleet.Seed, a) }
	fate := dcc.Fate{
		OutOfReach:          l.outOfReach(w, id.Target),
		Takes:               w.Latency(l.fleet.Seed, a),
		NoAnswer:            happens(fault.NoAnswer),
		ResponseLost:        happens(fault.LostResponse),
		AcknowledgementLost: happens(fault.LostAcknowledgement),
		ResponseRepeated:    happens(fault.DuplicateResponse),
		Device: meter.Fault{
			HardwareFailure:   happens(fault.HardwareFailure),
			PartialModeChange: happens(fault.PartialECS02),
			Applied:           happens(fault.FailedButApplied),
		},
		Lie:  w.Lie(fault.DeliveryLies(), l.fleet.Seed, a),
		Kept: w.LieShare(fault.Replayed) > 0,
	}
	if happens(fault.DelayedResponse) {
		fate.ResponseDelayed = w.Delay
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

// outOfReach returns how long an outage still keeps a device from the DCC.
func (l *line) outOfReach(w *world, device servicerequests.EUI) time.Duration {
	i, ok := l.fleet.Find(device)
	if !ok {
		i, ok = l.fleet.FindGPF(device)
	}
	since := l.clock.Now().Sub(w.began)
	if !ok || !w.Outage.Cuts(l.fleet.Meter(i).Region, since) {
		return 0
	}
	return w.Outage.After + w.Outage.Lasts - since
}

// pressFault decides what goes wrong when a consumer presses.
func (l *line) pressFault(device servicerequests.EUI) meter.PressFault {
	w, a := l.world.Load(), l.attempt(device, press)
	return meter.PressFault{
		SwitchFails:      w.Happens(fault.SwitchFailure, l.fleet.Seed, a),
		UncontrolledFlow: w.Happens(fault.UncontrolledFlow, l.fleet.Seed, a),
	}
}
