package devicesim

import (
	"sync"

	"safemode/devicesim/delivery"
	"safemode/devicesim/meter"
)

// Summary is what has happened so far, as the control API shows it.
type Summary struct {
	Seed   uint64 `json:"seed"`
	Faults string `json:"faults"` // name of the profile
	Meters int    `json:"meters"`

	// States counts the meters by payment mode and supply state, like
	// "prepayment": {"enabled": 1}, each as it was when something last happened to it.
	States map[string]map[string]int `json:"states"`

	// Alerts are those that meters raised, by code, whether or not they could be
	// sent; AlertsUnsent are those that found too many waiting for the inbox.
	Alerts       map[string]uint64 `json:"alerts"`
	AlertsUnsent uint64            `json:"alerts_unsent"`

	// BehindSeconds is how late what happens to meters by itself is, on the
	// simulator's clock: over some seconds it is too much for the machine.
	BehindSeconds float64 `json:"behind_seconds"`

	Executed          map[string]uint64 `json:"executed"`           // commands carried out, by SRV
	Refused           map[string]uint64 `json:"refused"`            // commands that devices did not carry out, by reason
	ForbiddenCommands uint64            `json:"forbidden_commands"` // with a valid signature, carried out or not

	DuplicateRequests uint64          `json:"duplicate_requests"` // answered again, without effect
	InFlight          int             `json:"in_flight"`          // commands that wait at a hub or are in hand
	Deliveries        delivery.Counts `json:"deliveries"`
	OtherTraffic      OtherCounts     `json:"other_traffic"` // of the User's, which answers nothing
}

// tally counts what devices did. Its methods may be called from any goroutine.
type tally struct {
	mu                sync.Mutex
	executed, refused map[string]uint64
	forbidden         uint64
	alerts            map[meter.AlertCode]uint64
	alertsUnsent      uint64
}

func newTally() *tally {
	return &tally{executed: map[string]uint64{}, refused: map[string]uint64{}, alerts: map[meter.AlertCode]uint64{}}
}

func (t *tally) alert(code meter.AlertCode) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.alerts[code]++
}

func (t *tally) unsent(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.alertsUnsent += uint64(n)
}

func (t *tally) add(srv string, r meter.Reply) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if r.Forbidden {
		t.forbidden++
	}
	if r.Refused != nil {
		t.refused[reason(r.Refused)]++
		return
	}
	t.executed[srv]++
}

// fill copies the counts.
func (t *tally) fill(s *Summary) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s.Executed, s.Refused = map[string]uint64{}, map[string]uint64{}
	for srv, n := range t.executed {
		s.Executed[srv] = n
	}
	for why, n := range t.refused {
		s.Refused[why] = n
	}
	s.ForbiddenCommands, s.AlertsUnsent = t.forbidden, t.alertsUnsent
	s.Alerts = map[string]uint64{}
	for code, n := range t.alerts {
		s.Alerts[code.String()] = n
	}
}
