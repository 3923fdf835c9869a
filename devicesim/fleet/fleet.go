package fleet

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"safemode/servicerequests"
)

// ErrDuplicateDevice marks two meters with one EUI.
var ErrDuplicateDevice = errors.New("device stands twice in the fleet")

// Fleet is a population of meters, ordered by hub and then by device, so that
// the meters of a home lie side by side. It does not lock: who runs commands
// on its meters decides who may touch which.
type Fleet struct {
	Seed uint64

	meters   []Meter
	byDevice []uint32 // indices into meters, by Device
}

// newFleet takes meters over, puts them in order and indexes them.
func newFleet(seed uint64, meters []Meter) (*Fleet, error) {
	slices.SortFunc(meters, func(a, b Meter) int {
		return cmp.Or(cmp.Compare(a.Hub, b.Hub), cmp.Compare(a.Device, b.Device))
	})
	f := &Fleet{Seed: seed, meters: meters, byDevice: make([]uint32, len(meters))}
	for i := range f.byDevice {
		f.byDevice[i] = uint32(i)
	}
	slices.SortFunc(f.byDevice, func(a, b uint32) int {
		return cmp.Compare(meters[a].Device, meters[b].Device)
	})
	for i := 1; i < len(f.byDevice); i++ {
		if device := f.at(i).Device; device == f.at(i-1).Device {
			return nil, fmt.Errorf("%v: %w", device, ErrDuplicateDevice)
		}
	}
	return f, nil
}

func (f *Fleet) at(rank int) *Meter { return &f.meters[f.byDevice[rank]] }

// Len is the number of meters.
func (f *Fleet) Len() int { return len(f.meters) }

// Meter returns the meter at index i, 0 to Len()-1. The pointer stays good for
// the life of the fleet.
func (f *Fleet) Meter(i int) *Meter { return &f.meters[i] }

// Find returns the index of an ESME or GSME.
func (f *Fleet) Find(device servicerequests.EUI) (i int, ok bool) {
	rank, ok := slices.BinarySearchFunc(f.byDevice, device, func(i uint32, device servicerequests.EUI) int {
		return cmp.Compare(f.meters[i].Device, device)
	})
	if !ok {
		return 0, false
	}
	return int(f.byDevice[rank]), true
}

// FindGPF returns the index of the gas meter that a gas proxy mirrors.
func (f *Fleet) FindGPF(gpf servicerequests.EUI) (i int, ok bool) {
	i, ok = f.Find(gpf ^ localBit)
	return i, ok && f.meters[i].Type == servicerequests.GSME
}

// Home returns the indices [from, to) of the meters behind a hub; they are
// empty for a hub that the fleet does not know.
func (f *Fleet) Home(hub servicerequests.EUI) (from, to int) {
	from, _ = slices.BinarySearchFunc(f.meters, hub, func(m Meter, hub servicerequests.EUI) int {
		return cmp.Compare(m.Hub, hub)
	})
	for to = from; to < len(f.meters) && f.meters[to].Hub == hub; {
		to++
	}
	return from, to
}
