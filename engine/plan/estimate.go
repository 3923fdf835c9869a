package plan

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"safemode/engine/portfolio"
	"safemode/servicerequests"
)

// Limits are the rates that a plan's time is reckoned with, in POSTs a second.
// What is not named does not bound; a 4G region that is not named shares its
// plain region's.
type Limits struct {
	User     float64                            `json:"user"` // of each originator; 0 is closed
	Regions  map[servicerequests.Region]float64 `json:"regions,omitempty"`
	Services map[string]float64                 `json:"services,omitempty"` // transform, send_command, non_device

	// Thresholds are the DCC's anomaly detection thresholds, by SRV.
	Thresholds map[string]Threshold `json:"anomaly_thresholds,omitempty"`
}

// Threshold is how many requests the DCC takes in a period before it
// quarantines what comes after.
type Threshold struct {
	Count      int     `json:"count"`
	PerSeconds float64 `json:"per_seconds"`
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
		err = firstOf(err, rate(region.String(), r))
	}
	for service, r := range l.Services {
		err = firstOf(err, rate(service, r))
	}
	for srv, t := range l.Thresholds {
		if t.Count < 0 || !(t.PerSeconds > 0) || math.IsInf(t.PerSeconds, 1) {
			err = firstOf(err, fmt.Errorf("limits: threshold of %s: want a count and a period", srv))
		}
	}
	return err
}

// Estimate is the least that a plan takes if every meter answers at the first
// try: the time to send it at the limits. Waiting for sleeping gas meters and
// retries come on top. 7.3 is not in it: it needs proof of cause first.
type Estimate struct {
	Requests   map[string]int `json:"requests"`             // Service Requests by SRV
	Posts      int            `json:"posts"`                // a critical request is two: Transform and Send Command
	Seconds    float64        `json:"seconds"`              // through the slowest limit that is not closed
	Bottleneck string         `json:"bottleneck,omitempty"` // that limit, like "region North"
	Closed     []string       `json:"closed,omitempty"`     // limits of 0 with something to send: the plan cannot finish
	Forecasts  []Forecast     `json:"forecasts,omitempty"`  // by SRV, where there is a threshold
}

// Duration is Seconds, for people.
func (e Estimate) Duration() time.Duration {
	return time.Duration(e.Seconds * float64(time.Second)).Round(time.Second)
}

// Forecast holds the requests of an SRV against its anomaly detection threshold.
type Forecast struct {
	SRV      string `json:"srv"`
	Peak     int    `json:"peak"`  // most requests in one period, if they are spread evenly
	Count    int    `json:"count"` // the threshold
	Exceeded bool   `json:"exceeded"`
}

// Steps lists the Service Requests that a target takes if it is what it is
// claimed to be and answers everything at the first try.
func (h *Header) Steps(t *Target) []servicerequests.Service {
	steps := []servicerequests.Service{servicerequests.ReadSupplyStatus, servicerequests.ReadPaymentMode}
	pending := slices.Contains(t.History, portfolio.PendingFutureDatedMode)
	if t.Claimed == servicerequests.Credit && !pending {
		return steps
	}
	steps = append(steps, servicerequests.ReadMeterBalance)
	if h.Strategy != CreditMode {
		steps = append(steps, servicerequests.ActivateEmergencyCredit)
	}
	if h.Strategy != EmergencyCredit {
		steps = append(steps, servicerequests.SwitchToCredit)
	}
	steps = append(steps, servicerequests.ReadSupplyStatus, servicerequests.ReadPaymentMode) // read back
	return slices.DeleteFunc(steps, func(s servicerequests.Service) bool { return h.Direction.Covers(s, t.Type) != nil })
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

func (p *Plan) estimate() Estimate {
	e := Estimate{Requests: map[string]int{}}
	load, rate := map[string]int{}, map[string]float64{}
	for i := range p.Targets {
		t := &p.Targets[i]
		user := "user " + t.Originator.String()
		region := p.Limits.share(t.Region)
		rate[user] = p.Limits.User
		if r, limited := p.Limits.Regions[region]; limited {
			rate["region "+region.String()] = r
		}
		for _, s := range p.Steps(t) {
			e.Requests[s.SRV()]++
			for _, service := range services(s) {
				e.Posts++
				load[user]++
				load["region "+region.String()]++
				load["service "+service]++
				if r, limited := p.Limits.Services[service]; limited {
					rate["service "+service] = r
				}
			}
		}
	}
	for _, limit := range slices.Sorted(maps.Keys(rate)) {
		if rate[limit] == 0 {
			e.Closed = append(e.Closed, limit)
		} else if seconds := float64(load[limit]) / rate[limit]; seconds > e.Seconds {
			e.Seconds, e.Bottleneck = seconds, limit
		}
	}
	e.Forecasts = p.Limits.forecast(e)
	return e
}

// share is the region whose limit a region is under.
func (l *Limits) share(region servicerequests.Region) servicerequests.Region {
	if _, own := l.Regions[region]; own {
		return region
	}
	return region.Plain()
}

func (l *Limits) forecast(e Estimate) (list []Forecast) {
	for _, srv := range slices.Sorted(maps.Keys(l.Thresholds)) {
		t := l.Thresholds[srv]
		peak := float64(e.Requests[srv])
		if e.Seconds > t.PerSeconds {
			peak = math.Ceil(peak * t.PerSeconds / e.Seconds)
		}
		list = append(list, Forecast{srv, int(peak), t.Count, int(peak) > t.Count})
	}
	return list
}
