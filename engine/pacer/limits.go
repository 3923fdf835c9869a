package pacer

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"safemode/servicerequests"
)

// Limit is one token bucket. The zero Limit is closed: nothing passes.
type Limit struct {
	PerSecond float64 // requests a second; 0 is closed, +Inf unlimited
	Burst     int     // requests at one instant; 0 means 1
}

// Unlimited lets everything pass.
func Unlimited() Limit { return Limit{PerSecond: math.Inf(1)} }

// Limits configures a Pacer. A bucket without a limit is closed, with one exception:
// a 4G region without a limit of its own shares the bucket of its plain region.
type Limits struct {
	User    Limit                            // for each Business Originator by itself
	Region  map[servicerequests.Region]Limit // by CSP region
	Service map[string]Limit                 // by DCC service, as the gateway names it
	SRV     map[string]Budget                // by Service Reference Variant; an absent one has no budget
}

// validate joins all faults, each with the path of its field.
func (l Limits) validate() error {
	errs := []error{l.User.validate("user")}
	for _, region := range slices.Sorted(maps.Keys(l.Region)) {
		errs = append(errs, l.Region[region].validate("region."+region.String()))
	}
	for _, service := range slices.Sorted(maps.Keys(l.Service)) {
		errs = append(errs, l.Service[service].validate("service."+service))
	}
	for _, srv := range slices.Sorted(maps.Keys(l.SRV)) {
		budget := l.SRV[srv]
		if budget.Count < 0 || budget.Count > maxBudget || budget.Per <= 0 || budget.Per > maxBurst {
			errs = append(errs, fmt.Errorf("srv.%s: %d in %v: want 0 to %d in a period of up to %v", srv, budget.Count, budget.Per, maxBudget, maxBurst))
		}
	}
	return errors.Join(errs...)
}

// maxBudget bounds a budget by the memory it takes: 24 bytes for each message.
const maxBudget = 10_000_000

func (l Limit) validate(path string) error {
	switch {
	case math.IsNaN(l.PerSecond) || l.PerSecond < 0:
		return fmt.Errorf("%s: per_second %v: want 0 or more", path, l.PerSecond)
	case l.Burst < 0:
		return fmt.Errorf("%s: burst %d: want 0 or more", path, l.Burst)
	case l.PerSecond > 0 && float64(max(l.Burst, 1))/l.PerSecond > maxBurst.Seconds():
		return fmt.Errorf("%s: a burst of %d at %v per second takes over %v to earn", path, l.Burst, l.PerSecond, maxBurst)
	}
	return nil
}

// maxBurst bounds what a burst may be worth in time: far above any use, and far
// below what an int64 of nanoseconds holds.
const maxBurst = 365 * 24 * time.Hour

// Scope is the kind of a bucket; its name is the label of
// safemode_pacer_wait_seconds.
type Scope uint8

// The scopes.
const (
	perUser Scope = iota + 1
	perRegion
	perService
	perSRV // the DCC's anomaly detection
)

func (s Scope) String() string {
	switch s {
	case perUser:
		return "user"
	case perRegion:
		return "region"
	case perService:
		return "service"
	case perSRV:
		return "anomaly_threshold"
	}
	return fmt.Sprintf("invalid(%d)", uint8(s))
}

// Key names a bucket. The zero Key names none and is closed.
type Key struct {
	scope   Scope
	number  uint64 // the User's EUI or the region
	service string // or the SRV
	signed  bool   // of an SRV: Signed Pre-Commands
}

// User is the bucket of one Business Originator.
func User(originator servicerequests.EUI) Key {
	return Key{scope: perUser, number: uint64(originator)}
}

// Region is the bucket of one CSP region.
func Region(region servicerequests.Region) Key {
	return Key{scope: perRegion, number: uint64(region)}
}

// Service is the bucket of one DCC service.
func Service(name string) Key { return Key{scope: perService, service: name} }

// Scope returns the kind of the bucket.
func (k Key) Scope() Scope { return k.scope }
