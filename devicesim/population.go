package devicesim

import (
	"crypto/ecdh"
	"errors"
	"fmt"
	"sync"
	"time"

	"safemode/devicesim/dcc"
	"safemode/devicesim/devicepki"
	"safemode/devicesim/fleet"
	"safemode/devicesim/hub"
	"safemode/devicesim/meter"
	"safemode/servicerequests"
	"safemode/servicerequests/gbcs"
	"safemode/servicerequests/smki"

	"go.uber.org/zap"
)

// ErrNoSuchDevice marks a device that the fleet does not have.
var ErrNoSuchDevice = errors.New("no such device in the fleet")

// population is the fleet with what its meters have gone through. It is the
// DCC's [dcc.Meters].
type population struct {
	fleet   *fleet.Fleet
	pki     *devicepki.PKI
	devices *meter.Devices
	pushes  hub.Wakes // when a gas meter tells its proxy what it holds
	tally   *tally
	log     *zap.Logger

	forbidden func(device servicerequests.EUI, useCase string) // see [Options]

	shards [64]shard // each of as many meters that follow on each other
}

// shard guards its meters, and holds what is known of those that were touched.
type shard struct {
	mu         sync.Mutex
	conditions conditions
	records    map[servicerequests.EUI]*meter.Record // by device; a GPF has its own
	mirrors    map[int]mirror                        // by index in the fleet
}

// mirror is what a gas proxy shows while the meter has not yet told it better.
type mirror struct {
	before  fleet.Meter // the gas meter before it changed
	changed time.Time   // when it changed for the first time since it last told
}

func newPopulation(f *fleet.Fleet, pki *devicepki.PKI, o meter.Options, t *tally, log *zap.Logger) *population {
	p := &population{
		fleet: f, pki: pki, devices: meter.NewDevices(o), tally: t, log: log,
		pushes: hub.Wakes{Seed: f.Seed, Interval: o.Behaviour.Mirror()},
	}
	for i := range p.shards {
		p.shards[i] = shard{
			conditions: newConditions(p.shardSize()),
			records:    map[servicerequests.EUI]*meter.Record{}, mirrors: map[int]mirror{},
		}
	}
	return p
}

func (p *population) shardSize() int { return (p.fleet.Len() + len(p.shards) - 1) / len(p.shards) }

// at locks the shard of a meter and returns it with the meter as it is now. What
// the caller changes takes effect with put; he unlocks the shard.
func (p *population) at(i int) (*shard, *fleet.Meter) {
	h := &p.shards[i/p.shardSize()]
	h.mu.Lock()
	m := p.fleet.Meter(i)
	if c := h.conditions.get(i % p.shardSize()); c != nil {
		m.Condition = *c
	}
	return h, &m
}

// put keeps a meter's condition.
func (p *population) put(h *shard, i int, m *fleet.Meter) {
	h.conditions.put(i%p.shardSize(), m.Condition)
}

// AgreementKey returns the public key agreement key of a device.
func (p *population) AgreementKey(device servicerequests.EUI) (*ecdh.PublicKey, error) {
	keys, err := p.pki.Keys(device)
	if err != nil {
		return nil, err
	}
	return keys.Agreement.PublicKey(), nil
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
	h, m := p.at(c.Meter)
	defer h.mu.Unlock()
	defer p.put(h, c.Meter, m)
	t := meter.Target{Meter: m, Record: h.record(c.ID.Target)}
	if c.ID.Target != m.Device {
		mirrored := p.mirrored(h, c.Meter, m, c.At)
		t.Mirror = &mirrored
	} else {
		p.willChange(h, c.Meter, m, c.At)
	}
	reply, err := p.devices.Handle(t, c.Message, c.At.Add(c.Skew), c.Fault)
	if err != nil {
		p.log.Error("device fails", zap.Stringer("device", c.ID.Target), zap.Error(err))
		return dcc.Sent{}
	}
	p.tally.add(c.SRV, reply)
	if reply.Forbidden {
		p.log.Error("forbidden command with a valid signature",
			zap.Stringer("device", c.ID.Target), zap.String("use_case", reply.UseCase.Name), zap.Uint64("counter", reply.Counter))
		if p.forbidden != nil {
			p.forbidden(c.ID.Target, reply.UseCase.Name)
		}
	}
	return dcc.Sent{Response: reply.Response, Alerts: p.alerts(t, reply.Alerts, c.At.Add(c.Skew))}
}

// alerts writes a device's alerts. A device that is out of reach tells nobody.
func (p *population) alerts(t meter.Target, codes []meter.AlertCode, now time.Time) (list []dcc.Alert) {
	if !t.Meter.Reachable {
		return nil
	}
	for _, code := range codes {
		message, err := p.devices.Alert(t, code, now)
		if err != nil {
			p.log.Error("alert cannot be made", zap.Stringer("device", t.Meter.Device), zap.Error(err))
			continue
		}
		if message != nil {
			list = append(list, dcc.Alert{Code: uint16(code), Message: message})
		}
	}
	return list
}

// press is the consumer's button.
func (p *population) press(device servicerequests.EUI, fault meter.PressFault, now time.Time) (enabled bool, alerts []dcc.Alert, err error) {
	i, ok := p.fleet.Find(device)
	if !ok {
		return false, nil, fmt.Errorf("%v: %w", device, ErrNoSuchDevice)
	}
	h, m := p.at(i)
	defer h.mu.Unlock()
	defer p.put(h, i, m)
	p.willChange(h, i, m, now)
	enabled, codes := meter.Press(m, fault)
	return enabled, p.alerts(meter.Target{Meter: m, Record: h.record(device)}, codes, now), nil
}

// snapshot copies a meter.
func (p *population) snapshot(device servicerequests.EUI) (fleet.Meter, bool) {
	i, ok := p.fleet.Find(device)
	if !ok {
		return fleet.Meter{}, false
	}
	h, m := p.at(i)
	defer h.mu.Unlock()
	return *m, true
}

// truth returns the state of a device at its response with this counter.
func (p *population) truth(device servicerequests.EUI, counter uint64) (meter.State, bool) {
	i, _, ok := p.find(device)
	if !ok {
		return meter.State{}, false
	}
	h := &p.shards[i/p.shardSize()]
	h.mu.Lock()
	defer h.mu.Unlock()
	record, ok := h.records[device]
	if !ok {
		return meter.State{}, false
	}
	return record.State(counter)
}

func (h *shard) record(device servicerequests.EUI) *meter.Record {
	r, ok := h.records[device]
	if !ok {
		r = &meter.Record{}
		h.records[device] = r
	}
	return r
}

// willChange keeps what a gas proxy shows until its meter tells it better.
func (p *population) willChange(h *shard, i int, m *fleet.Meter, now time.Time) {
	if m.Type != servicerequests.GSME {
		return
	}
	if there, ok := h.mirrors[i]; ok && there.changed.After(p.pushes.Last(m.Device, now)) {
		return
	}
	h.mirrors[i] = mirror{before: *m, changed: now}
}

// mirrored returns what a gas proxy shows now.
func (p *population) mirrored(h *shard, i int, m *fleet.Meter, now time.Time) fleet.Meter {
	if there, ok := h.mirrors[i]; ok && there.changed.After(p.pushes.Last(m.Device, now)) {
		return there.before
	}
	return *m
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
