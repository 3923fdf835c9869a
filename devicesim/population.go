package devicesim

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"safemode/devicesim/dcc"
	"safemode/devicesim/devicepki"
	"safemode/devicesim/fleet"
	"safemode/devicesim/history"
	"safemode/devicesim/hub"
	"safemode/devicesim/meter"
	"safemode/devicesim/schedule"
	"safemode/servicerequests"
	"safemode/servicerequests/gbcs"
	"safemode/servicerequests/smki"

	"go.uber.org/zap"
)

// errNoSuchDevice marks a device that the fleet does not have.
var errNoSuchDevice = errors.New("no such device in the fleet")

// population is the fleet with what its meters have gone through. It is the
// DCC's [dcc.Meters].
type population struct {
	fleet   *fleet.Fleet
	life    meter.Life
	pki     *devicepki.PKI
	devices *meter.Devices
	pushes  hub.Wakes // when a gas meter tells its proxy what it holds
	tally   *tally
	dated   dated
	log     *zap.Logger

	forbidden func(device servicerequests.EUI, useCase string) // see [Options]
	history   *history.Book                                    // nil: none is kept
	darkUntil time.Time                                        // see [Options]

	credentials func(*fleet.Meter) servicerequests.EUI // whose a meter holds now

	counter func(device servicerequests.EUI) uint64                      // which a meter has accepted before it all began
	comes   func(device servicerequests.EUI, counter uint64) (times int) // how often an alert comes to the DCC

	// send has what a device says by itself brought to the DCC; false: there is no
	// room for it.
	send func(m *fleet.Meter, alerts []dcc.Alert) bool

	shards [64]shard // each of as many meters that follow on each other

	passed   atomic.Int64  // the instant up to which watch has had time pass, Unix nanoseconds
	commands atomic.Uint64 // that devices got
	seen     uint64        // watch's: how many those were when it looked last
	pruned   int           // watch's: the shard whose mirrors were looked through last
}

// shard guards its meters, and holds what is known of those that were touched.
type shard struct {
	mu         sync.Mutex
	conditions conditions
	due        *schedule.Wheel // when something happens to a meter by itself; nil: never
	counts     states          // of its meters, as they were last seen
	dark       []time.Duration // for how long each was, up to the population's darkUntil; nil: none was
	mirrors    map[int]mirror  // by index in the fleet
}

// mirror is what a gas proxy shows while the meter has not yet told it better.
type mirror struct {
	before  fleet.Meter // the gas meter before it changed
	changed time.Time   // when it changed for the first time since it last told
}

func newPopulation(f *fleet.Fleet, life meter.Life, pki *devicepki.PKI, o meter.Options, t *tally, log *zap.Logger) *population {
	p := &population{
		fleet: f, life: life, pki: pki, devices: meter.NewDevices(o), tally: t, log: log,
		pushes: hub.Wakes{Seed: f.Seed, Began: life.Began, Interval: o.Behaviour.Mirror()},
	}
	p.begin()
	return p
}

func (p *population) shardSize() int { return (p.fleet.Len() + len(p.shards) - 1) / len(p.shards) }

// hand is a meter in hand, as it is now. Nobody else can touch it.
type hand struct {
	*fleet.Meter
	population *population
	shard      *shard
	index      int
	counted    fleet.Condition // as which it is counted
	alerts     []dcc.Alert     // that it has raised by itself up to now
}

// take takes a meter in hand; it must be let go.
func (p *population) take(i int, now time.Time) *hand {
	h := &hand{population: p, shard: &p.shards[i/p.shardSize()], index: i}
	h.shard.mu.Lock()
	m := p.fleet.Meter(i)
	if c := h.shard.conditions.get(i % p.shardSize()); c != nil {
		m.Condition = *c
	} else {
		m.SupplierCounter = p.counter(m.Device)
		if p.life.Passes() {
			p.life.Next(&m)
		}
	}
	h.Meter, h.counted = &m, m.Condition
	m.Supplier = p.credentials(&m)
	h.shard.willChange(p, i, &m, now)
	if p.life.Passes() {
		h.alerts = p.alerts(meter.Target{Meter: &m}, p.pass(h.shard, i%p.shardSize(), &m, now))
	}
	return h
}

// letGo keeps what became of the meter.
func (h *hand) letGo() {
	at := h.index % h.population.shardSize()
	h.population.file(h.shard, at, h.Meter)
	h.shard.counts[h.counted.Mode][h.counted.Supply]--
	h.shard.counts[h.Mode][h.Supply]++
	h.shard.conditions.put(at, h.Condition)
	h.shard.mu.Unlock()
}

// BrokerSecret returns the secret that a device shares with the DCC's broker.
func (p *population) BrokerSecret(device servicerequests.EUI) ([32]byte, error) {
	return p.devices.BrokerSecret(device)
}

// Certificates returns a device's certificates, none for an unknown device.
func (p *population) Certificates(device servicerequests.EUI) ([]*smki.Certificate, error) {
	if _, _, ok := p.find(device); !ok {
		return nil, nil
	}
	return p.pki.Certificates(device)
}

// find returns the meter of an ESME, a GSME or a GPF.
func (p *population) find(device servicerequests.EUI) (i int, gpf, ok bool) {
	if i, ok = p.fleet.Find(device); ok {
		return i, false, true
	}
	i, ok = p.fleet.FindGPF(device)
	return i, ok, ok
}

// Execute hands a Command to its device.
func (p *population) Execute(c dcc.Command) (sent dcc.Sent) {
	p.commands.Add(1)
	h := p.take(c.Meter, c.At)
	defer h.letGo()
	t := meter.Target{Meter: h.Meter, SignedBy: c.SignedBy}
	if c.ID.Target != h.Device {
		mirrored := h.mirrored(c.At)
		t.Mirror = &mirrored
	}
	reply, err := p.devices.Handle(t, c.Message, c.At.Add(c.Skew), c.Fault)
	if err != nil {
		p.log.Error("device fails", zap.Stringer("device", c.ID.Target), zap.Error(err))
		return dcc.Sent{Alerts: h.alerts}
	}
	p.tally.add(c.SRV, reply)
	if reply.Refused == nil {
		p.history.Carry(c.ID.Target, history.Carried{
			Counter: c.ID.Counter, SRV: reply.UseCase.SRV, At: history.At(c.At), Result: reply.Result, State: reply.State,
		})
	}
	if reply.Forbidden {
		p.log.Error("forbidden command with a valid signature",
			zap.Stringer("device", c.ID.Target), zap.String("use_case", reply.UseCase.Name), zap.Uint64("counter", reply.Counter))
		if p.forbidden != nil {
			p.forbidden(c.ID.Target, reply.UseCase.Name)
		}
	}
	return dcc.Sent{
		Response: reply.Response, Alerts: append(h.alerts, p.alerts(t, raisedAt(c.At.Add(c.Skew), reply.Alerts))...),
		Due: p.dated.note(c, reply.ModeChange, p.devices.Behaviour),
	}
}

func raisedAt(now time.Time, codes []meter.AlertCode) (list []meter.Raised) {
	for _, code := range codes {
		list = append(list, meter.Raised{Code: code, At: now})
	}
	return list
}

// alerts writes a device's alerts. A device that is out of reach tells nobody.
func (p *population) alerts(t meter.Target, raised []meter.Raised) (list []dcc.Alert) {
	for _, r := range raised {
		p.tally.alert(r.Code)
		arrived := p.history.Raise(t.Meter.Device, uint16(r.Code), r.At)
		if !t.Meter.Reachable {
			continue
		}
		message, err := p.devices.Alert(t, r.Code, r.At)
		if err != nil {
			p.log.Error("alert cannot be made", zap.Stringer("device", t.Meter.Device), zap.Error(err))
			continue
		}
		if message == nil {
			continue
		}
		for range p.comes(t.Meter.Device, uint64(t.Meter.AlertCounter)) {
			list = append(list, dcc.Alert{Code: uint16(r.Code), Message: message, Arrived: arrived})
		}
	}
	return list
}

// raise makes an alert that changes nothing of a meter, which is a copy.
func (p *population) raise(m fleet.Meter, code meter.AlertCode, at time.Time) ([]byte, error) {
	return p.devices.Alert(meter.Target{Meter: &m}, code, at)
}

// press is the consumer's button.
func (p *population) press(device servicerequests.EUI, now time.Time) (enabled bool, alerts []dcc.Alert, err error) {
	i, ok := p.fleet.Find(device)
	if !ok {
		return false, nil, fmt.Errorf("%v: %w", device, errNoSuchDevice)
	}
	h := p.take(i, now)
	defer h.letGo()
	enabled, codes := p.life.PressButton(h.Meter)
	return enabled, append(h.alerts, p.alerts(meter.Target{Meter: h.Meter}, raisedAt(now, codes))...), nil
}

// snapshot copies a meter.
func (p *population) snapshot(device servicerequests.EUI, now time.Time) (fleet.Meter, bool) {
	i, ok := p.fleet.Find(device)
	if !ok {
		return fleet.Meter{}, false
	}
	return p.look(i, now), true
}

// willChange keeps what a gas proxy shows until its meter tells it better.
func (s *shard) willChange(p *population, i int, m *fleet.Meter, now time.Time) {
	if m.Type != servicerequests.GSME {
		return
	}
	if there, ok := s.mirrors[i]; ok && there.changed.After(p.pushes.Last(m.Device, now)) {
		return
	}
	s.mirrors[i] = mirror{before: *m, changed: now}
}

// mirrored returns what the gas proxy of a meter in hand shows now: the meter as
// it was when it last told.
func (h *hand) mirrored(now time.Time) fleet.Meter {
	told := h.population.pushes.Last(h.Device, now)
	there, ok := h.shard.mirrors[h.index]
	if !ok || !there.changed.After(told) {
		return *h.Meter
	}
	if h.population.life.Passes() {
		h.population.life.Pass(&there.before, told)
	}
	return there.before
}

// reason names why a device did not carry out a Command; the values are closed,
// for they are keys of a report and labels of a metric.
func reason(refused error) string {
	switch {
	case errors.Is(refused, meter.ErrReplay):
		return "replay"
	case errors.Is(refused, meter.ErrUntrusted):
		return "untrusted"
	case errors.Is(refused, meter.ErrNotForDevice):
		return "not_for_device"
	case errors.Is(refused, gbcs.ErrMAC), errors.Is(refused, gbcs.ErrSignature):
		return "not_authentic"
	}
	return "malformed"
}
