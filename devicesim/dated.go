package devicesim

import (
	"sync"
	"time"

	"safemode/devicesim/dcc"
	"safemode/devicesim/meter"
	"safemode/servicerequests"
	"safemode/servicerequests/gbcs"

	"go.uber.org/zap"
)

// dated holds the 1.6 that devices keep until their time comes, one a device at
// most. Its methods may be called from any goroutine.
type dated struct {
	mu   sync.Mutex
	kept map[servicerequests.EUI]meter.Dated
}

// note keeps a 1.6 that a device has answered, and returns when it is due
// on the simulator's clock; zero if nothing is.
func (d *dated) note(c dcc.Command, change meter.Dated, b meter.Behaviour) (due time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch change.When {
	case gbcs.AtTime:
		if d.kept == nil {
			d.kept = map[servicerequests.EUI]meter.Dated{}
		}
		d.kept[c.ID.Target] = change
		return change.At.Add(-c.Skew)
	case gbcs.Cancel:
		delete(d.kept, c.ID.Target)
	case gbcs.Immediate:
		if !b.DatedSurvives {
			delete(d.kept, c.ID.Target)
		}
	}
	return time.Time{}
}

// take removes what a device keeps if it is this Command.
func (d *dated) take(id servicerequests.RequestID) (kept meter.Dated, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if kept, ok = d.kept[id.Target]; !ok || kept.Counter != id.Counter {
		return meter.Dated{}, false
	}
	delete(d.kept, id.Target)
	return kept, true
}

// Due has a device carry out what it has kept.
func (p *population) Due(c dcc.Command) (outcome, others []dcc.Alert) {
	kept, ok := p.dated.take(c.ID)
	if !ok {
		return nil, nil
	}
	h := p.take(c.Meter, c.At)
	defer h.letGo()
	t, now := meter.Target{Meter: h.Meter}, c.At.Add(c.Skew)
	told, alerts, err := p.devices.CarryOut(t, kept, now, c.Fault)
	if err != nil {
		p.log.Error("device fails", zap.Stringer("device", c.ID.Target), zap.Error(err))
		return nil, h.alerts
	}
	if !h.Reachable {
		return nil, nil
	}
	for _, alert := range told {
		arrived := p.history.Raise(c.ID.Target, alert.Code, now)
		outcome = append(outcome, dcc.Alert{Code: alert.Code, Message: alert.Message, Arrived: arrived})
	}
	return outcome, append(h.alerts, p.alerts(t, raisedAt(now, alerts))...)
}
