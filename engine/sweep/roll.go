package sweep

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"sync"

	"safemode/engine/journal"
	"safemode/servicerequests"
)

// roll is the register of the planned meters, in the plan's order. A meter with a
// request under way is awake: its ledger is a [meter]. All others sleep, packed (see
// pack.go) into blocks of bytes: a sweep has a million meters, and at any time
// something happens to some thousands. So memory follows what is known, and the
// collector has little to walk.
//
// A ledger that is asked for wakes, and is stirred. Where the dispatcher has no hold
// of any, [Sweep.settle] puts those to sleep that wait for nothing but time. Nobody
// else keeps a ledger that has no request open.
//
// The dispatcher owns it; only knows may be called from other goroutines, once the
// roll is whole.
type roll struct {
	originators []servicerequests.EUI // what packed ledgers have numbers for
	size        int
	blocks      [][]byte // blockSize meters each, each with its length before it; replaced, never written to
	at          places   // by device
	homes       places   // by hub, a place for each meter of the home

	proxying sync.RWMutex
	proxies  map[servicerequests.EUI]int32 // of gas meters; known as inventories are read

	awake   map[int32]*meter
	stirred []*meter           // awake ones that may have changed
	changed map[int32]struct{} // numbers of blocks, since somebody took them out
}

const blockSize = 16

func newRoll() roll {
	return roll{
		proxies: map[servicerequests.EUI]int32{},
		awake:   map[int32]*meter{}, changed: map[int32]struct{}{},
	}
}

// add puts a meter at the end of the roll. It sleeps.
func (r *roll) add(m *meter) error {
	if err := r.number(m.target.Originator); err != nil {
		return err
	}
	r.enter(m.device, m.target.Hub)
	if r.size%blockSize == 1 {
		r.blocks = append(r.blocks, nil)
	}
	last := len(r.blocks) - 1
	r.changed[int32(last)] = struct{}{}
	r.blocks[last] = appendEntry(r.blocks[last], r.pack(m))
	if r.size%blockSize == 0 {
		r.blocks[last] = bytes.Clone(r.blocks[last]) // of its own size
	}
	return nil
}

// enter gives the next meter its place in the indexes.
func (r *roll) enter(device, hub servicerequests.EUI) {
	seat := int32(r.size)
	r.size++
	r.at.add(device, seat)
	r.homes.add(hub, seat)
}

// seal makes a roll that is whole ready for lookups. It refuses a meter that is planned
// twice.
func (r *roll) seal() error {
	r.at.sort()
	r.homes.sort()
	for i, at := range r.at.list {
		if i > 0 && at.key == r.at.list[i-1].key {
			return fmt.Errorf("%v is planned twice", at.key)
		}
	}
	return nil
}

// places finds meters by an identifier: a list in the identifiers' order, which takes
// half of what a map does. It is put in order when something is looked up for the first
// time: the whole plan is added before.
type places struct {
	list   []spot
	sorted bool
}

type spot struct {
	key  servicerequests.EUI
	seat int32
}

func (p *places) add(key servicerequests.EUI, seat int32) {
	p.list, p.sorted = append(p.list, spot{key, seat}), false
}

// sort puts the list in order; of one identifier, in the plan's.
func (p *places) sort() {
	if !p.sorted {
		slices.SortFunc(p.list, func(a, b spot) int { return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.seat, b.seat)) })
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

// number gives an originator its number.
func (r *roll) number(originator servicerequests.EUI) error {
	if slices.Contains(r.originators, originator) {
		return nil
	}
	const most = 255
	if len(r.originators) > most {
		return fmt.Errorf("more than %d originators", most)
	}
	r.originators = append(r.originators, originator)
	return nil
}

// entry is the packed ledger of a meter, as it is in its block: stale while the meter
// is awake.
func (r *roll) entry(seat int32) []byte {
	rest := r.blocks[seat/blockSize]
	for range seat % blockSize {
		rest = skipEntry(rest)
	}
	n, length := binary.Uvarint(rest)
	return rest[length : length+int(n)]
}

func skipEntry(rest []byte) []byte {
	n, length := binary.Uvarint(rest)
	return rest[length+int(n):]
}

func appendEntry(block, packed []byte) []byte {
	return append(binary.AppendUvarint(block, uint64(len(packed))), packed...)
}

// replace puts a packed ledger into its block.
func (r *roll) replace(seat int32, packed []byte) {
	block := r.blocks[seat/blockSize]
	before := len(block)
	rest := block
	for range seat % blockSize {
		rest = skipEntry(rest)
	}
	before -= len(rest)
	after := skipEntry(rest)
	var length [binary.MaxVarintLen64]byte
	n := binary.PutUvarint(length[:], uint64(len(packed)))
	made := make([]byte, 0, before+n+len(packed)+len(after))
	made = append(append(append(append(made, block[:before]...), length[:n]...), packed...), after...)
	r.blocks[seat/blockSize] = made
}

// wake takes the ledger of a sleeping meter out.
func (r *roll) wake(seat int32) *meter {
	m, err := r.unpack(r.entry(seat))
	if err != nil {
		// What this process has packed it can read; what it has not is checked before
		// it is taken in.
		panic(fmt.Sprintf("meter %d of the plan: %v", seat+1, err))
	}
	m.seat, m.position = seat, nowhere
	r.awake[seat] = m
	r.stir(m)
	return m
}

// stir notes that a ledger may have changed.
func (r *roll) stir(m *meter) {
	if !m.stirred {
		m.stirred = true
		r.stirred = append(r.stirred, m)
	}
}

// sleep packs a ledger away.
func (r *roll) sleep(m *meter) {
	r.replace(m.seat, r.pack(m))
	delete(r.awake, m.seat)
}

// seat finds a meter by its own identifier or that of its gas proxy.
func (r *roll) seat(device servicerequests.EUI) (int32, bool) {
	if at := r.at.of(device); len(at) > 0 {
		return at[0].seat, true
	}
	r.proxying.RLock()
	defer r.proxying.RUnlock()
	seat, ok := r.proxies[device]
	return seat, ok
}

// knows says whether a device is planned, or the gas proxy of one that is.
func (r *roll) knows(device servicerequests.EUI) bool {
	_, ok := r.seat(device)
	return ok
}

// link has answers of a meter's gas proxy find the meter.
func (r *roll) link(m *meter) {
	if m.gpf == 0 || r.knows(m.gpf) {
		return
	}
	r.proxying.Lock()
	defer r.proxying.Unlock()
	r.proxies[m.gpf] = m.seat
}

// head is what can be told of a meter without waking it.
func (r *roll) head(seat int32) head {
	if m := r.awake[seat]; m != nil {
		return m.head()
	}
	return readHead(r.entry(seat))
}

// waits notes whether a meter is in an intake, and whether it has been moved up there.
func (r *roll) waits(seat int32, waits, ahead bool) {
	if m := r.awake[seat]; m != nil {
		m.waits, m.ahead = waits, ahead
		return
	}
	if h := readHead(r.entry(seat)); h.waits == waits && h.ahead == ahead {
		return
	}
	// In a copy: whoever was given the block may not have written it yet.
	r.blocks[seat/blockSize] = slices.Clone(r.blocks[seat/blockSize])
	setWaits(r.entry(seat), waits, ahead)
}

// manyStirred is how many ledgers may be awake for nothing while one after the other is
// looked at.
const manyStirred = 1024

// settle puts to sleep what has nothing under way. Nobody may hold a ledger then.
func (s *Sweep) settle() {
	s.news = s.news || len(s.roll.stirred) > 0
	for i, m := range s.roll.stirred {
		m.stirred = false
		s.roll.stirred[i] = nil
		s.roll.changed[m.seat/blockSize] = struct{}{}
		if len(m.open) > 0 || m.legs > 0 {
			continue
		}
		if m.position != nowhere {
			s.agenda.remove(m)
		}
		switch {
		case m.done && m.waits:
			m.due = never
		case m.done:
			m.due = s.o.Policy.afterAt(m)
		}
		if !m.due.IsZero() {
			s.naps.push(nap{m.due, m.seat})
		}
		s.roll.sleep(m)
	}
	s.roll.stirred = s.roll.stirred[:0]
}

// settleSome settles where many ledgers have been looked at one after the other.
func (s *Sweep) settleSome() {
	if len(s.roll.stirred) >= manyStirred {
		s.settle()
	}
}

// meter returns the ledger of the meter at a place in the plan, from 0.
func (s *Sweep) meter(seat int32) *meter {
	if m := s.roll.awake[seat]; m != nil {
		s.roll.stir(m)
		return m
	}
	m := s.roll.wake(seat)
	switch {
	case !s.begun:
		m.done = false // begin counts it, if it still is
	case !m.due.IsZero():
		s.schedule(m, m.due)
	}
	return m
}

// find returns the ledger of a planned meter, by its identifier or its gas proxy's;
// nil if there is none.
func (s *Sweep) find(device servicerequests.EUI) *meter {
	seat, ok := s.roll.seat(device)
	if !ok {
		return nil
	}
	return s.meter(seat)
}

// home returns the ledgers of the meters behind a hub.
func (s *Sweep) home(hub servicerequests.EUI) []*meter {
	var meters []*meter
	for _, at := range s.roll.homes.of(hub) {
		meters = append(meters, s.meter(at.seat))
	}
	return meters
}

// takeChanged returns the numbers of the blocks that have changed since it was called
// last, in order.
func (r *roll) takeChanged() []int32 {
	changed := slices.Sorted(maps.Keys(r.changed))
	clear(r.changed)
	return changed
}

// block is a block as it stands, with what is awake packed into it. What sleeps must
// be settled.
func (r *roll) block(number int32) []byte {
	first := number * blockSize
	for seat := first; seat < min(first+blockSize, int32(r.size)); seat++ {
		if m := r.awake[seat]; m != nil {
			r.replace(seat, r.pack(m))
		}
	}
	return r.blocks[number]
}

// restore fills an empty roll with blocks.
func (r *roll) restore(originators []servicerequests.EUI, size int, rows []journal.StateRow) error {
	if size < 0 || len(rows) != (size+blockSize-1)/blockSize {
		return fmt.Errorf("%d blocks for %d meters", len(rows), size)
	}
	r.originators = originators
	for _, row := range rows {
		rest := row.Value
		for range min(blockSize, size-r.size) {
			n, length := binary.Uvarint(rest)
			if length <= 0 || n > uint64(len(rest)-length) {
				return fmt.Errorf("meter %d: %w", r.size+1, errPacked)
			}
			entry := rest[length : length+int(n)]
			if err := r.checkHead(entry); err != nil {
				return fmt.Errorf("meter %d: %w", r.size+1, err)
			}
			h := readHead(entry)
			r.enter(h.device, h.hub)
			if h.gpf != 0 {
				r.proxies[h.gpf] = int32(r.size - 1)
			}
			rest = rest[length+int(n):]
		}
		if len(rest) > 0 {
			return fmt.Errorf("block %d: %w", len(r.blocks), errPacked)
		}
		r.blocks = append(r.blocks, row.Value)
	}
	return r.seal()
}
