package fleet

import (
	"cmp"
	"errors"
	"fmt"

	"safemode/servicerequests"
)

// Options says what [Generate] makes.
type Options struct {
	// Meters is how many ESMEs and GSMEs there are, 1 to MaxMeters. From 100 on
	// every special kind of meter is there at least once.
	Meters int

	// Seed decides everything that is random.
	Seed uint64

	// Supplier is the failed supplier, to whom the meters are registered.
	// 0 means 90-B3-D5-1F-30-01-00-00, the supplier of DCC's test set.
	Supplier servicerequests.EUI

	// GainingSupplier has the meters that were transferred already.
	// 0 means 90-B3-D5-1F-30-03-00-00.
	GainingSupplier servicerequests.EUI

	// OtherModels is the share of meters, 0 to 1, of models that cut off at another
	// balance than nothing and collect the standing charge from those that are off or
	// on emergency credit (assumption: which thresholds suppliers set is not public).
	OtherModels float64

	// AllAnswer is for measuring: no meter is out of reach or transferred.
	AllAnswer bool
}

// MaxMeters is the largest fleet: more than Great Britain has smart meters.
const MaxMeters = 50_000_000

const (
	defaultSupplier        servicerequests.EUI = 0x90B3_D51F_3001_0000
	defaultGainingSupplier servicerequests.EUI = 0x90B3_D51F_3003_0000
)

func (o Options) withDefaults() (Options, error) {
	o.Supplier = cmp.Or(o.Supplier, defaultSupplier)
	o.GainingSupplier = cmp.Or(o.GainingSupplier, defaultGainingSupplier)
	var errs []error
	if o.Meters < 1 || o.Meters > MaxMeters {
		errs = append(errs, fmt.Errorf("meters: %d: want 1 to %d", o.Meters, MaxMeters))
	}
	if !(o.OtherModels >= 0 && o.OtherModels <= 1) {
		errs = append(errs, fmt.Errorf("other models: %v: want a share from 0 to 1", o.OtherModels))
	}
	if o.Supplier == o.GainingSupplier {
		errs = append(errs, fmt.Errorf("gaining supplier: %v is the failed supplier", o.Supplier))
	}
	return o, errors.Join(errs...)
}

// The fourth octet of a generated EUI.
const (
	companyEUI  servicerequests.EUI = 0x00DB_1200_0000_0000
	hubEUI                          = companyEUI | 0xC0<<32
	electricEUI                     = companyEUI | 0xE0<<32
	gasEUI                          = companyEUI | 0x60<<32
)

// regionShares says in which region the homes are, of each 25.
var regionShares = [...]struct {
	region servicerequests.Region
	homes  int
}{
	{servicerequests.North, 7},
	{servicerequests.Central, 6},
	{servicerequests.South, 6},
	{servicerequests.North4G, 2},
	{servicerequests.Central4G, 2},
	{servicerequests.South4G, 2},
}

// Generate makes a fleet. A meter's properties follow from the seed and its EUI,
// and from no order. Which meters are special follows from their rank among all,
// so that the shares are exact. A large fleet takes no more time and memory than
// a small one.
func Generate(o Options) (*Fleet, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("generate fleet: %w", err)
	}
	return &Fleet{Seed: o.Seed, source: newGrown(o)}, nil
}

// census is how many of a fleet's meters are of each kind. It says what a meter
// is like by its rank among all.
type census struct {
	o           Options
	special     [len(kinds)]int
	unreachable int
}

func newCensus(o Options) census {
	c := census{o: o, unreachable: share(o.Meters, unreachablePerMille)}
	for i, k := range kinds {
		c.special[i] = k.count(o.Meters)
	}
	if o.AllAnswer {
		c.unreachable = 0
	}
	return c
}

// settle gives a meter its model, kind and condition. The two ranks, 0 to
// Options.Meters-1, order all meters by chance.
func (c *census) settle(m *Meter, kindRank, reachRank int) {
	m.Reachable = reachRank >= c.unreachable
	other := c.o.OtherModels > 0 && newStream(c.o.Seed, m.Device, "other model").share(c.o.OtherModels)
	m.Model = pickModel(m.Type, newStream(c.o.Seed, m.Device, "model").Uint64(), other)
	s := newStream(c.o.Seed, m.Device, "state")
	settle := func(m *Meter, _ Options, s stream) { ordinary(m, s) }
	for i, count := range c.special {
		if kindRank < count {
			settle = kinds[i].settle
			break
		}
		kindRank -= count
	}
	settle(m, c.o, s)
	m.deriveHidden(c.o.Seed)
}

func regionOf(home uint32) servicerequests.Region {
	place := int(home % 25)
	for _, share := range regionShares {
		if place -= share.homes; place < 0 {
			return share.region
		}
	}
	return servicerequests.South4G
}
