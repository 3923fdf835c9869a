package fleet

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

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
}

// MaxMeters is the largest fleet; identifiers have room for it.
const MaxMeters = 10_000_000

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

// Generate makes a fleet. What a meter is like follows from the seed and its
// EUI, not from the order of anything; which meters are special follows from
// their rank among all, so that the shares hold exactly.
func Generate(o Options) (*Fleet, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("generate fleet: %w", err)
	}
	meters := make([]Meter, 0, o.Meters)
	for home := uint32(0); len(meters) < o.Meters; home++ {
		id := scramble(home, o.Seed)
		region := regionOf(home)
		place := Meter{Hub: hubEUI | servicerequests.EUI(id), Region: region, Supplier: o.Supplier}
		fuel := newStream(o.Seed, place.Hub, "fuel").below(100)
		if fuel < 96 { // 66 % both, 30 % electricity only, 4 % gas only
			electric := place
			electric.Type, electric.Device = servicerequests.ESME, electricEUI|servicerequests.EUI(id)
			electric.MPxN = mpan(region, id)
			meters = append(meters, electric)
		}
		if (fuel < 66 || fuel >= 96) && len(meters) < o.Meters {
			gas := place
			gas.Type, gas.Device = servicerequests.GSME, gasEUI|servicerequests.EUI(id)
			gas.MPxN = mprn(id)
			meters = append(meters, gas)
		}
	}
	return populate(o, meters)
}

// populate gives every meter its model, kind and state.
func populate(o Options, meters []Meter) (*Fleet, error) {
	for i := range meters {
		m := &meters[i]
		m.Reachable = true
		m.Model = pickModel(m.Type, newStream(o.Seed, m.Device, "model").Uint64())
	}
	f, err := newFleet(o.Seed, meters)
	if err != nil {
		return nil, err
	}
	order := f.ranked("kind")
	for _, k := range kinds {
		count := k.count(len(meters))
		for _, i := range order[:count] {
			m := &f.meters[i]
			k.settle(m, o, newStream(o.Seed, m.Device, "state"))
		}
		order = order[count:]
	}
	for _, i := range order {
		m := &f.meters[i]
		ordinary(m, newStream(o.Seed, m.Device, "state"))
	}
	for _, i := range f.ranked("reachable")[:share(len(meters), unreachablePerMille)] {
		f.meters[i].Reachable = false
	}
	for i := range f.meters {
		f.meters[i].deriveHidden(o.Seed)
	}
	return f, nil
}

// ranked returns the indices of all meters in an order that hash of seed and
// EUI decides.
func (f *Fleet) ranked(label string) []uint32 {
	type ranking struct {
		hash uint64
		i    uint32
	}
	all := make([]ranking, len(f.meters))
	for i := range all {
		s := newStream(f.Seed, f.meters[i].Device, label)
		all[i] = ranking{s.Uint64(), uint32(i)}
	}
	slices.SortFunc(all, func(a, b ranking) int {
		if a.hash != b.hash {
			return cmp.Compare(a.hash, b.hash)
		}
		return cmp.Compare(f.meters[a.i].Device, f.meters[b.i].Device)
	})
	order := make([]uint32, len(all))
	for rank, r := range all {
		order[rank] = r.i
	}
	return order
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
