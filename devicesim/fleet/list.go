package fleet

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"

	"safemode/servicerequests"
)

// list is the roll of a fleet that was read: every meter, in order of hub and
// device, and its two indices.
type list struct {
	meters   []Meter
	byDevice []uint32 // indices into meters, by Device
	byMPxN   []uint32 // the same, by MPxN
}

// newList takes meters over, puts them in order and indexes them.
func newList(meters []Meter) (*list, error) {
	slices.SortFunc(meters, func(a, b Meter) int {
		return cmp.Or(cmp.Compare(a.Hub, b.Hub), cmp.Compare(a.Device, b.Device))
	})
	l := &list{meters: meters, byDevice: make([]uint32, len(meters))}
	for i := range l.byDevice {
		l.byDevice[i] = uint32(i)
	}
	l.byMPxN = slices.Clone(l.byDevice)
	slices.SortFunc(l.byDevice, func(a, b uint32) int { return cmp.Compare(meters[a].Device, meters[b].Device) })
	slices.SortFunc(l.byMPxN, func(a, b uint32) int { return bytes.Compare(meters[a].MPxN[:], meters[b].MPxN[:]) })
	for i := 1; i < len(l.byDevice); i++ {
		if device := meters[l.byDevice[i]].Device; device == meters[l.byDevice[i-1]].Device {
			return nil, fmt.Errorf("%v: %w", device, ErrDuplicateDevice)
		}
	}
	return l, nil
}

func (l *list) Len() int { return len(l.meters) }

func (l *list) Meter(i int) Meter { return l.meters[i] }

func (l *list) Find(device servicerequests.EUI) (i int, ok bool) {
	rank, ok := slices.BinarySearchFunc(l.byDevice, device, func(i uint32, device servicerequests.EUI) int {
		return cmp.Compare(l.meters[i].Device, device)
	})
	if !ok {
		return 0, false
	}
	return int(l.byDevice[rank]), true
}

func (l *list) FindMPxN(n MPxN) (i int, ok bool) {
	rank, ok := slices.BinarySearchFunc(l.byMPxN, n, func(i uint32, n MPxN) int {
		return bytes.Compare(l.meters[i].MPxN[:], n[:])
	})
	if !ok {
		return 0, false
	}
	return int(l.byMPxN[rank]), true
}

func (l *list) Home(hub servicerequests.EUI) (from, to int) {
	from, _ = slices.BinarySearchFunc(l.meters, hub, func(m Meter, hub servicerequests.EUI) int {
		return cmp.Compare(m.Hub, hub)
	})
	for to = from; to < len(l.meters) && l.meters[to].Hub == hub; {
		to++
	}
	return from, to
}
