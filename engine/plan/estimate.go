package plan

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"safemode/engine/portfolio"
	"safemode/engine/record"
	"safemode/servicerequests"
	"safemode/servicerequests/clock"
)

// Limits are the rates for the estimate of a plan's time, in POSTs a second. What is absent has
// no limit, but a 4G region that is absent shares the limit of its plain region.
type Limits struct {
	User     float64                            `json:"user"` // of each originator; 0 is closed
	Regions  map[servicerequests.Region]float64 `json:"regions,omitempty"`
	Services map[string]float64                 `json:"services,omitempty"` // transform, send_command, non_device

	// Thresholds are the DCC's anomaly detection thresholds, by SRV.
	Thresholds map[string]Threshold `json:"anomaly_thresholds,omitempty"`
	// OverThreshold is what becomes of a schedule that would cross one.
	OverThreshold OverThreshold `json:"over_threshold"`
}

// OverThreshold is what is done about an anomaly detection threshold that the plan would
// cross.
type OverThreshold string

// The ways to act at a threshold. The sweep keeps to the budget in all cases but Exceed.
const (
	Refuse OverThreshold = "refuse" // there is no plan
	Pace   OverThreshold = "pace"   // the pace is cut to fit under it
	Exceed OverThreshold = "exceed" // let it be crossed: the DCC quarantines what is over it
)

// Threshold is how many requests the DCC takes in a period before it
// quarantines what comes after.
type Threshold struct {
	Count      int     `json:"count"`
	PerSeconds float64 `json:"per_seconds"`
	Budget     int     `json:"budget"` // how much of it the sweep uses; 0 in [Options] is Count
}

func (l *Limits) check() error {
	rate := func(name string, r float64) error {
		if !(r >= 0) || math.IsInf(r, 1) {
			return fmt.Errorf("limits: %s: %v: want 0 or more a second", name, r)
		}
		return nil
	}
	err := rate("user", l.User)
	for region, r := range l.Regions {
		err = cmp.Or(err, rate(region.String(), r))
	}
	for service, r := range l.Services {
		err = cmp.Or(err, rate(service, r))
	}
	for _, srv := range slices.Sorted(maps.Keys(l.Thresholds)) {
		t := l.Thresholds[srv]
		if t.Count < 0 || t.Budget < 0 || t.Budget > t.Count || !(t.PerSeconds > 0) || math.IsInf(t.PerSeconds, 1) {
			err = cmp.Or(err, fmt.Errorf("limits: threshold of %s: want a count and a period", srv))
		}
	}
	if !slices.Contains([]OverThreshold{Refuse, Pace, Exceed}, l.OverThreshold) {
		err = cmp.Or(err, fmt.Errorf("limits: over_threshold %q: want refuse, pace or exceed", l.OverThreshold))
	}
	return err
}

// Estimate is the time that a plan takes at least, if every meter answers at the first
// try: to send everything at the limits, with the soaks between waves. Waiting for
// sleeping gas meters and retries come on top. 7.3 is not included, because it needs
// proof of cause first.
type Estimate struct {
	Requests map[string]int `json:"requests"` // Service Requests by SRV
	Posts    int            `json:"posts"`    // a critical request is two: Transform and Send Command
	Seconds  float64        `json:"seconds"`  // until the last is sent, of those that no closed limit holds
	// LatestSeconds is when the last meter has its verdict or is in long retries, if as many
	// meters of every wave are silent as may be; 0: an older program did not estimate it.
	LatestSeconds float64    `json:"latest_seconds,omitempty"`
	Bottleneck    string     `json:"bottleneck,omitempty"` // the limit that is busy longest, like "region North"
	Closed        []string   `json:"closed,omitempty"`     // limits of 0 with something to send: the plan cannot finish
	Forecasts     []Forecast `json:"forecasts,omitempty"`  // by SRV, where there is a threshold
	Deadlines     []Deadline `json:"deadlines,omitempty"`  // one for each of the header's window ends
}

// Duration is Seconds, for people.
func (e Estimate) Duration() time.Duration {
	return time.Duration(e.Seconds * float64(time.Second)).Round(time.Second)
}

// Range says how long it takes at the soonest and at the latest.
func (e Estimate) Range() string {
	soonest := e.Duration()
	if e.LatestSeconds == 0 {
		return fmt.Sprintf("at least %v", soonest)
	}
	return fmt.Sprintf("%v to %v", soonest, time.Duration(e.LatestSeconds*float64(time.Second)).Round(time.Second))
}

// Forecast compares the requests of an SRV with its anomaly detection threshold.
type Forecast struct {
	SRV        string  `json:"srv"`
	Peak       int     `json:"peak"`        // most requests in any one period
	PeakAfter  float64 `json:"peak_after"`  // seconds from the start to the first end of such a period
	Count      int     `json:"count"`       // the threshold
	PerSeconds float64 `json:"per_seconds"` // its period
	Budget     int     `json:"budget"`      // less the margin
	Exceeded   bool    `json:"exceeded"`    // the budget, unless the pace is cut to fit
}

// Deadline is a time at which homes without credit lose their supply.
type Deadline struct {
	At    time.Time `json:"at"`
	Homes int       `json:"homes"` // with a meter that is to be switched
	Late  int       `json:"late"`  // of them: a switch is not sent by then, at this pace
}

// Steps lists the Service Requests that a target needs if the claims about it are
// true and it answers everything at the first try.
func (h *Header) Steps(t *Target) []servicerequests.Service {
	steps := []servicerequests.Service{servicerequests.ReadSupplyStatus, servicerequests.ReadPaymentMode}
	pending := slices.Contains(t.History, portfolio.PendingFutureDatedMode)
	if t.Claimed == servicerequests.Credit && !pending {
		return steps
	}
	steps = append(steps, servicerequests.ReadMeterBalance, servicerequests.ReadPrepaymentConfiguration)
	if h.Strategy != record.CreditMode {
		steps = append(steps, servicerequests.ActivateEmergencyCredit)
	}
	if h.Strategy != record.EmergencyCredit {
		steps = append(steps, servicerequests.SwitchToCredit)
	}
	steps = append(steps, servicerequests.ReadSupplyStatus, servicerequests.ReadPaymentMode) // read back
	if h.Strategy != record.EmergencyCredit && h.Bounds.BalanceAfter {
		steps = append(steps, servicerequests.ReadMeterBalance)
	}
	return slices.DeleteFunc(steps, func(s servicerequests.Service) bool { return h.Direction.Covers(s, t.Type) != nil })
}

// stage is how far the engine may go with a target; see package ledger.
type stage uint8

const (
	supplyStage stage = iota
	balanceStage
	commandStage
)

// staged says whether all targets are read before waves are given commands. Plans of older
// programs read each wave when it began.
func (h *Header) staged() bool {
	return slices.ContainsFunc(h.Waves, func(w Wave) bool { return w.Settled > 0 })
}

// stepsAt lists the steps of a target's stage.
func (h *Header) stepsAt(t *Target, at stage) (steps []servicerequests.Service) {
	if !h.staged() {
		return h.Steps(t)
	}
	gas := t.Type == servicerequests.GSME
	for i, step := range h.Steps(t) {
		is := commandStage
		switch first := i < 2; {
		case step == servicerequests.ReadSupplyStatus && first:
			is = supplyStage
		case step == servicerequests.ReadMeterBalance && i == 2:
			is = balanceStage
			if at == balanceStage && gas && h.Bounds.Settings["policy.gas_balance_from_proxy"] == 1 && h.Direction.Covers(servicerequests.ReadInventory, t.Type) == nil {
				steps = append(steps, servicerequests.ReadInventory)
			}
		case step == servicerequests.ReadPaymentMode && first && t.Claimed == servicerequests.Credit:
			is = balanceStage
		}
		if is == at {
			steps = append(steps, step)
		}
	}
	return steps
}

// services are the DCC services that one request passes through.
func services(s servicerequests.Service) []string {
	switch {
	case s.Critical():
		return []string{"transform", "send_command"}
	case s == servicerequests.ReadInventory:
		return []string{"non_device"}
	}
	return []string{"send_command"}
}

// share is the region whose limit a region is under.
func (l *Limits) share(region servicerequests.Region) servicerequests.Region {
	if _, own := l.Regions[region]; own {
		return region
	}
	return region.Plain()
}

// NextWindow returns the earliest and the latest end of the first non-disablement
// window that ends after an instant: times of day in Great Britain, on any day but
// Sunday.
//
// That windows end between 09:00 and 11:00 is an assumption from what two suppliers
// tell their customers: every meter has a calendar of its own.
func NextWindow(after time.Time, first, last time.Duration) []time.Time {
	for day := 0; ; day++ {
		if from, to, cutsOff := clock.CutOffDay(after, day, first, last); cutsOff && from.After(after) {
			return []time.Time{from, to}
		}
	}
}
