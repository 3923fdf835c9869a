package devicesim

import (
	"sync"

	"safemode/devicesim/delivery"
	"safemode/devicesim/meter"
	"safemode/servicerequests"
)

// Summary is what has happened so far, as the control API shows it.
type Summary struct {
	Seed   uint64 `json:"seed"`
	Faults string `json:"faults"` // name of the profile
	Meters int    `json:"meters"`

	// States counts the meters by payment mode and supply state, like
	// "prepayment": {"enabled": 1}.
	States map[string]map[string]int `json:"states"`

	Executed          map[string]uint64 `json:"executed"`           // commands carried out, by SRV
	Refused           map[string]uint64 `json:"refused"`            // commands that devices did not carry out, by reason
	ForbiddenCommands uint64            `json:"forbidden_commands"` // with a valid signature, carried out or not

	DuplicateRequests uint64          `json:"duplicate_requests"` // answered again, without effect
	InFlight          int             `json:"in_flight"`          // commands that wait at a hub or are in hand
	Deliveries        delivery.Counts `json:"deliveries"`
}

// tally counts what devices did. Its methods may be called from any goroutine.
type tally struct {
	mu                sync.Mutex
	executed, refused map[string]uint64
	forbidden         uint64
}

func newTally() *tally {
	return &tally{executed: map[string]uint64{}, refused: map[string]uint64{}}
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
	s.ForbiddenCommands = t.forbidden
}

// states counts the meters by payment mode and supply state.
func (p *population) states() map[string]map[string]int {
	var counts [servicerequests.Prepayment + 1][servicerequests.Enabled + 1]int
	for i := range p.fleet.Len() {
		h, m := p.at(i)
		counts[m.Mode][m.Supply]++
		h.mu.Unlock()
	}
	states := map[string]map[string]int{}
	for mode, bySupply := range counts {
		for supply, n := range bySupply {
			if n == 0 {
				continue
			}
			name := servicerequests.PaymentMode(mode).String()
			if states[name] == nil {
				states[name] = map[string]int{}
			}
			states[name][servicerequests.SupplyState(supply).String()] = n
		}
	}
	return states
}
