package dcc

import (
	"errors"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"safemode/servicerequests"
	"safemode/servicerequests/duis"

	"go.uber.org/zap"
)

// errNotQuarantined marks a reference under which nothing is held back.
var errNotQuarantined = errors.New("no request is quarantined under this reference")

// Quarantined is a request that anomaly detection holds back until the User
// decides.
type Quarantined struct {
	Ref     string                    `json:"quarantine_event_ref"`
	Request servicerequests.RequestID `json:"request_id"`
	SRV     string                    `json:"srv"`
	Since   time.Time                 `json:"since"`
}

// anomaly is what anomaly detection holds back. References are numbers from 1.
type anomaly struct {
	mu   sync.Mutex
	last uint64
	held map[uint64]*exchange
}

// holdBack keeps a request back if it is over its User's threshold, and tells the
// User by DCC Alert AD1 (assumption: at once; the DCC's measure is 30 minutes).
// The request has been acknowledged like any other.
func (d *DCC) holdBack(e *exchange) bool {
	if !d.rules.Load().anomalous(e.ID.Originator, e.SRV, e.accepted) {
		return false
	}
	a := &d.anomaly
	a.mu.Lock()
	a.last++
	ref := a.last
	if a.held == nil {
		a.held = map[uint64]*exchange{}
	}
	a.held[ref] = e
	a.mu.Unlock()
	d.metrics.quarantined.Inc()
	d.Agenda.At(e.accepted, func() {
		d.alert(duis.DCCAlert{Code: "AD1", Event: duis.QuarantinedRequest{
			Breach: duis.UserThreshold, Request: e.ID, EventRef: strconv.FormatUint(ref, 10),
		}}, nil)
	})
	return true
}

// Quarantine lists what is held back, in the order of the references.
func (d *DCC) Quarantine() []Quarantined {
	a := &d.anomaly
	a.mu.Lock()
	defer a.mu.Unlock()
	list := make([]Quarantined, 0, len(a.held))
	for _, ref := range slices.Sorted(maps.Keys(a.held)) {
		e := a.held[ref]
		list = append(list, Quarantined{strconv.FormatUint(ref, 10), e.ID, e.SRV, e.accepted})
	}
	return list
}

// Release sends a request that was held back on its way. The error is
// [errNotQuarantined].
func (d *DCC) Release(ref string) error {
	e, err := d.anomaly.take(ref)
	if err != nil {
		return err
	}
	d.Log.Info("quarantined request released", zap.Stringer("request_id", e.ID))
	e.accepted = d.Clock.Now() // the DCC's windows begin now
	e.fate = d.Line.Fate(e.ID, e.SRV)
	d.dispatch(e)
	return nil
}

// Delete drops a request that was held back. The User hears no more of it
// (assumption). The error is [errNotQuarantined].
func (d *DCC) Delete(ref string) error {
	e, err := d.anomaly.take(ref)
	if err == nil {
		d.Log.Info("quarantined request deleted", zap.Stringer("request_id", e.ID))
	}
	return err
}

// take removes a quarantined request.
func (a *anomaly) take(ref string) (*exchange, error) {
	n, err := strconv.ParseUint(ref, 10, 64)
	if err != nil {
		return nil, errNotQuarantined
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	e, ok := a.held[n]
	if !ok {
		return nil, errNotQuarantined
	}
	delete(a.held, n)
	return e, nil
}
