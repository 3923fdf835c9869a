package fleet

import (
	"errors"

	"safemode/servicerequests"
)

// ErrDuplicateDevice marks two meters with one EUI.
var ErrDuplicateDevice = errors.New("device is in the fleet twice")

// Fleet is a population of meters as it begins, ordered so that the meters of a
// home lie side by side. Nothing changes it: the simulation keeps the later state
// of the meters. Its methods may be called from many goroutines,
// and none of them takes longer for a larger fleet than a binary search does.
type Fleet struct {
	Seed uint64
	source
}

// source is where the meters of a fleet come from: a list that was read, or the
// seed, from which each is grown when it is asked for.
type source interface {
	// Len is the number of meters.
	Len() int

	// Meter returns the meter at index i, 0 to Len()-1, as the fleet begins.
	Meter(i int) Meter

	// Find returns the index of an ESME or GSME.
	Find(device servicerequests.EUI) (i int, ok bool)

	// Home returns the indices [from, to) of the meters behind a hub; they are
	// empty for a hub that the fleet does not know.
	Home(hub servicerequests.EUI) (from, to int)

	// FindMPxN returns the index of the meter at a supply point.
	FindMPxN(MPxN) (i int, ok bool)
}

// FindGPF returns the index of the gas meter that a gas proxy mirrors.
func (f *Fleet) FindGPF(gpf servicerequests.EUI) (i int, ok bool) {
	i, ok = f.Find(gpf ^ localBit)
	if !ok || f.Meter(i).Type != servicerequests.GSME {
		return 0, false
	}
	return i, true
}
