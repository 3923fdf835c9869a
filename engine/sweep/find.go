package sweep

import (
	"cmp"
	"iter"
	"slices"

	"safemode/servicerequests"
)

// places finds meters by an identifier. It is a list in the identifiers' order, which takes
// half the memory of a map. It is sorted at the first search, when the whole plan has been
// added.
type places struct {
	list   []spot
	sorted bool
}

type spot struct {
	key    servicerequests.EUI
	number int32
}

func (p *places) add(key servicerequests.EUI, number int32) {
	p.list, p.sorted = append(p.list, spot{key, number}), false
}

// sort sorts the list by identifier, and meters of one identifier by the plan's order.
func (p *places) sort() {
	if !p.sorted {
		slices.SortFunc(p.list, func(a, b spot) int { return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.number, b.number)) })
		p.list, p.sorted = slices.Clip(p.list), true
	}
}

// of returns the places of an identifier.
func (p *places) of(key servicerequests.EUI) []spot {
	p.sort()
	first, _ := slices.BinarySearchFunc(p.list, key, func(at spot, key servicerequests.EUI) int { return cmp.Compare(at.key, key) })
	last := first
	for last < len(p.list) && p.list[last].key == key {
		last++
	}
	return p.list[first:last]
}

// find finds a meter by its own identifier or that of its gas proxy.
func (r *store) find(device servicerequests.EUI) (number int32, ok bool) {
	if at := r.at.of(device); len(at) > 0 {
		return at[0].number, true
	}
	number, ok = r.proxies[device]
	return number, ok
}

// link adds a meter's gas proxy, so that the proxy's answers find the meter.
func (r *store) link(proxy servicerequests.EUI, number int32) {
	if proxy == 0 {
		return
	}
	switch first, known := r.proxies[proxy]; {
	case !known:
		r.proxies[proxy] = number
	case first != number && !slices.Contains(r.shared[proxy], number):
		r.shared[proxy] = append(r.shared[proxy], number)
	}
}

// askers yields the meters for which a request to this device may have been made.
func (r *store) askers(target servicerequests.EUI) iter.Seq[int32] {
	return func(yield func(int32) bool) {
		for _, at := range r.at.of(target) {
			if !yield(at.number) {
				return
			}
		}
		if number, ok := r.proxies[target]; ok && !yield(number) {
			return
		}
		for _, number := range r.shared[target] {
			if !yield(number) {
				return
			}
		}
	}
}

// find returns the ledger of a planned meter, by its identifier or its gas proxy's; nil if
// there is none.
func (s *Machine) find(device servicerequests.EUI) *meter {
	number, ok := s.store.find(device)
	if !ok {
		return nil
	}
	return s.meter(number)
}

// asker returns the ledger of the meter for which a request was made. If the request is not
// known, it is the meter that is the target, or whose gas proxy is; nil if there is none.
func (s *Machine) asker(id servicerequests.RequestID) (first *meter) {
	for number := range s.store.askers(id.Target) {
		m := s.meter(number)
		if m.PendingWith(id) != nil || m.PastWith(id) != nil {
			return m
		}
		if first == nil {
			first = m
		}
	}
	return first
}

// home returns the ledgers of the meters behind a hub.
func (s *Machine) home(hub servicerequests.EUI) []*meter {
	var meters []*meter
	for _, at := range s.store.homes.of(hub) {
		meters = append(meters, s.meter(at.number))
	}
	return meters
}
