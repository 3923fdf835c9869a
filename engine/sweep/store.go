package sweep

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"time"

	"safemode/engine/ledger"
	"safemode/engine/record"
	"safemode/servicerequests"
)

// meter is an awake ledger with the dispatcher's data about its meter.
type meter struct {
	*ledger.Meter
	number int32 // place in the plan, from 0

	waits, ahead bool         // it waits to begin, or for a reread after its verdict; it was promoted among those
	turn         ledger.Stage // the stage that it has reached
	awaits       ledger.Stage // the stage for which it is queued; ReadingSupply: for none
	capped       bool         // urgent, and held back by the cap on early homes
	dirty        bool         // may have changed since it woke, or since the last look
	unsaid       bool         // something new is known that its verdict does not say yet, while requests are open
	exposed      bool         // was given a command, and has had no verdict since
	settled      bool         // has had its verdict, or is in long retries: its wave does not wait for it
	wave         int          // number of its wave, from 1
	wait         ledger.WaitReason

	due      time.Time // when to decide again
	position int       // in the agenda; nowhere if it is not in it
}

// fuel is 0 for electricity and 1 for gas.
func (m *meter) fuel() int {
	if m.Gas() {
		return 1
	}
	return 0
}

// store has the planned meters, in the plan's order. A meter with an open request is awake.
// All others sleep: their ledgers are packed into blocks of bytes, and their heads have what
// the machine needs at once. A sweep has a million meters, and at any time something happens
// to some thousands. So memory grows only with what is known, and the garbage collector has
// few pointers to follow.
//
// A ledger that is asked for wakes, and is dirty. At a moment when the machine refers to no
// ledger, [Machine.sleepIdle] puts to sleep those that wait for nothing but time. Nobody else
// keeps a ledger that has no request open.
type store struct {
	originators []servicerequests.EUI // what heads have numbers for
	heads       []head
	blocks      [][]byte // blockSize packed ledgers each, each with its length before it; replaced, never written to
	at          places   // by device
	homes       places   // by hub, a place for each meter of the home
	proxies     map[servicerequests.EUI]int32
	shared      map[servicerequests.EUI][]int32 // further meters of a proxy: a portfolio may be wrong

	awake   map[int32]*meter
	dirty   []*meter           // awake meters that may have changed
	changed map[int32]struct{} // numbers of blocks that changed since takeChanged
}

const blockSize = 16

func newStore() store {
	return store{
		proxies: map[servicerequests.EUI]int32{}, shared: map[servicerequests.EUI][]int32{},
		awake: map[int32]*meter{}, changed: map[int32]struct{}{},
	}
}

// head is what the machine knows of a meter without waking it.
type head struct {
	device, hub, proxy servicerequests.EUI
	kind               servicerequests.DeviceType
	region             servicerequests.Region
	claimed            servicerequests.PaymentMode
	priority           uint8
	originator         uint8 // number of
	verdict            uint8 // number of
	wait               ledger.WaitReason

	turn, awaits ledger.Stage // these are not in the kept state: they follow from the ledger
	capped       bool

	begun, done, settled, waits, ahead, raised bool
	owed                                       bool // done, and a request is open or a reread will be due
	commanded                                  bool // a command to it was signed
	exposed                                    bool // and it has got no verdict since
	proxyClaimed                               bool // only the portfolio names the proxy

	former servicerequests.EUI // a proxy that was named before, and may still answer

	wave uint16
	due  int64 // when it must be looked at again, in nanoseconds since 1970; 0: never by itself
}

// until is when a sleeping meter must be looked at again; zero: never by itself.
func (h *head) until() time.Time {
	if h.due == 0 {
		return time.Time{}
	}
	return time.Unix(0, h.due).UTC()
}

// verdicts are the verdicts by number; 0 is none.
var verdicts = append([]string{""}, record.Verdicts[:]...)

func (h *head) gas() bool { return h.kind == servicerequests.GSME }

// note takes into a meter's head what its ledger says.
func (r *store) note(m *meter) *head {
	h := &r.heads[m.number]
	if h.proxy != 0 && h.proxy != m.Proxy {
		h.former = h.proxy
	}
	h.proxy, h.proxyClaimed, h.wait, h.wave, h.due = m.Proxy, m.ProxyClaimed, m.wait, uint16(m.wave), 0
	if !m.due.IsZero() {
		h.due = m.due.UnixNano()
	}
	h.begun, h.done, h.settled, h.waits, h.ahead, h.raised = !m.Started.IsZero(), m.Done, m.settled, m.waits, m.ahead, m.Alarm.Raised()
	h.turn, h.awaits, h.capped = m.turn, m.awaits, m.capped
	h.commanded, h.exposed = m.Counters.FirstCommand != 0, m.exposed
	h.owed = m.Done && (len(m.Open) > 0 || !m.due.IsZero() || m.waits)
	h.verdict = 0
	for i, v := range verdicts {
		if v == m.Verdict.Verdict {
			h.verdict = uint8(i)
		}
	}
	return h
}

// head returns a meter's head, updated if the meter is awake.
func (r *store) head(number int32) *head {
	if m := r.awake[number]; m != nil {
		return r.note(m)
	}
	return &r.heads[number]
}

func (r *store) size() int { return len(r.heads) }

// add puts a meter at the end of the store. It sleeps.
func (r *store) add(m *ledger.Meter) error {
	originator, err := r.numberOf(m.Plan.Originator)
	if err != nil {
		return err
	}
	number := r.enter(head{
		device: m.Device, hub: m.Plan.Hub, proxy: m.Proxy, proxyClaimed: m.ProxyClaimed, kind: m.Plan.Type, region: m.Plan.Region, claimed: m.Plan.Claimed,
		priority: uint8(m.Plan.Priority), originator: originator,
	})
	if number%blockSize == 0 {
		r.blocks = append(r.blocks, nil)
	}
	last := len(r.blocks) - 1
	r.changed[int32(last)] = struct{}{}
	r.blocks[last] = appendEntry(r.blocks[last], m.Pack(nil))
	if len(r.heads)%blockSize == 0 {
		r.blocks[last] = bytes.Clone(r.blocks[last]) // of its own size
	}
	return nil
}

// enter gives the next meter its head and its place in the indexes.
func (r *store) enter(h head) (number int32) {
	number = int32(len(r.heads))
	r.heads = append(r.heads, h)
	r.at.add(h.device, number)
	r.homes.add(h.hub, number)
	r.link(h.proxy, number)
	r.link(h.former, number)
	return number
}

// seal prepares a complete store for lookups. It refuses a meter that is planned twice.
func (r *store) seal() error {
	r.at.sort()
	r.homes.sort()
	for i, at := range r.at.list {
		if i > 0 && at.key == r.at.list[i-1].key {
			return fmt.Errorf("%v is planned twice", at.key)
		}
	}
	return nil
}

// numberOf gives an originator its number.
func (r *store) numberOf(originator servicerequests.EUI) (uint8, error) {
	if i := slices.Index(r.originators, originator); i >= 0 {
		return uint8(i), nil
	}
	const most = 256
	if len(r.originators) == most {
		return 0, fmt.Errorf("more than %d originators", most)
	}
	r.originators = append(r.originators, originator)
	return uint8(len(r.originators) - 1), nil
}

// entry is the packed ledger of a meter, as it is in its block: stale while the meter is
// awake.
func (r *store) entry(number int32) []byte {
	rest := r.blocks[number/blockSize]
	for range number % blockSize {
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
func (r *store) replace(number int32, packed []byte) {
	block := r.blocks[number/blockSize]
	rest := block
	for range number % blockSize {
		rest = skipEntry(rest)
	}
	before, after := len(block)-len(rest), skipEntry(rest)
	made := make([]byte, 0, before+binary.MaxVarintLen64+len(packed)+len(after))
	made = append(appendEntry(append(made, block[:before]...), packed), after...)
	r.blocks[number/blockSize] = slices.Clip(made)
}

// wake takes the ledger of a sleeping meter out.
func (r *store) wake(number int32) *meter {
	h := &r.heads[number]
	l := &ledger.Meter{Device: h.device, Proxy: h.proxy, ProxyClaimed: h.proxyClaimed, Done: h.done, Plan: ledger.Plan{
		Type: h.kind, Hub: h.hub, Region: h.region, Claimed: h.claimed, Priority: int(h.priority), Originator: r.originators[h.originator],
	}}
	if err := l.Unpack(r.entry(number)); err != nil {
		// This process can read what it has packed. What another has packed was checked
		// before it was taken in.
		panic(fmt.Sprintf("meter %d of the plan: %v", number+1, err))
	}
	m := &meter{
		Meter: l, number: number, waits: h.waits, ahead: h.ahead, turn: h.turn, awaits: h.awaits, capped: h.capped, exposed: h.exposed, settled: h.settled, wave: int(h.wave), wait: h.wait, position: nowhere,
	}
	for _, q := range l.Open {
		m.tag(q)
	}
	r.awake[number] = m
	r.markDirty(m)
	return m
}

// verdict returns the verdict in a sleeping meter's ledger, without waking it.
func (r *store) verdict(number int32) record.VerdictBody {
	var l ledger.Meter
	if err := l.Unpack(r.entry(number)); err != nil {
		panic(fmt.Sprintf("meter %d of the plan: %v", number+1, err)) // as in wake
	}
	return l.Verdict
}

// markDirty notes that a ledger may have changed.
func (r *store) markDirty(m *meter) {
	if !m.dirty {
		m.dirty = true
		r.dirty = append(r.dirty, m)
	}
}

// sleep packs a ledger away.
func (r *store) sleep(m *meter) {
	r.note(m)
	r.replace(m.number, m.Pack(nil))
	delete(r.awake, m.number)
}

// waits notes whether a meter is in an intake, and whether it was promoted there.
func (r *store) waits(number int32, waits, ahead bool) {
	if m := r.awake[number]; m != nil {
		m.waits, m.ahead = waits, ahead
		return
	}
	if h := &r.heads[number]; h.waits != waits || h.ahead != ahead {
		h.waits, h.ahead = waits, ahead
	}
}

// manyDirty is how many ledgers may stay awake without need while many are looked at, one
// after the other.
const manyDirty = 1024

// sleepIdle puts to sleep the meters without an open request. Nobody may refer to a ledger then.
func (s *Machine) sleepIdle() {
	s.pace.news = s.pace.news || len(s.store.dirty) > 0
	for i := 0; i < len(s.store.dirty); i++ {
		m := s.store.dirty[i]
		m.dirty = false
		s.store.dirty[i] = nil
		s.store.changed[m.number/blockSize] = struct{}{}
		if len(m.Open) > 0 {
			continue
		}
		if m.position != nowhere {
			s.diary.agenda.Remove(m.position)
		}
		if m.UndoStart() { // all its requests were withdrawn before they were signed
			m.due = time.Time{}
			s.counts.notBegun++
			s.turnTo(m, ledger.ReadingSupply)
			s.takeOn(m.number, s.store.note(m))
		}
		switch {
		case m.Done && m.waits:
			m.due = time.Time{}
		case m.Done:
			m.due = s.o.Policy.AfterAt(m.Meter)
		}
		if !m.due.IsZero() {
			s.diary.timers.Add(timer{m.due, m.number})
		}
		s.store.sleep(m)
	}
	s.store.dirty = s.store.dirty[:0]
}

// sleepSome puts ledgers to sleep if many have been looked at, one after the other.
func (s *Machine) sleepSome() {
	if len(s.store.dirty) >= manyDirty {
		s.sleepIdle()
	}
}

// meter returns the ledger of the meter at a place in the plan, from 0.
func (s *Machine) meter(number int32) *meter {
	if m := s.store.awake[number]; m != nil {
		s.store.markDirty(m)
		return m
	}
	m := s.store.wake(number)
	if !s.run.begun {
		m.Done = false // begin counts it again, if it is still done
	} else if due := s.store.heads[number].until(); !due.IsZero() {
		s.schedule(m, due)
	}
	return m
}

// takeChanged returns the numbers of the blocks that have changed since it was called
// last, in order.
func (r *store) takeChanged() []int32 {
	changed := slices.Sorted(maps.Keys(r.changed))
	clear(r.changed)
	return changed
}

// code writes or reads a head.
func (h *head) code(c *ledger.Coder) {
	for _, eui := range [...]*servicerequests.EUI{&h.device, &h.hub, &h.proxy} {
		v := uint64(*eui)
		c.Fixed(&v)
		*eui = servicerequests.EUI(v)
	}
	for _, b := range [...]*byte{
		(*byte)(&h.kind), (*byte)(&h.region), (*byte)(&h.claimed), &h.priority, &h.originator, &h.verdict, (*byte)(&h.wait),
	} {
		c.Byte(b)
	}
	wave := uint64(h.wave)
	c.Uint(&wave)
	h.wave = uint16(wave)
	c.Flags(&h.begun, &h.done, &h.settled, &h.waits, &h.ahead, &h.raised, &h.owed, &h.commanded)
	former := h.former != 0
	c.Flags(&h.exposed, &h.proxyClaimed, &former)
	if v := uint64(h.former); former {
		c.Fixed(&v)
		h.former = servicerequests.EUI(v)
	}
	c.Int(&h.due)
}

// block is one block of the kept state: heads, then ledgers, awake ones packed, too. Sleeping
// ledgers must be up to date.
func (r *store) block(number int32) []byte {
	first, c := number*blockSize, ledger.Writer(nil)
	for n := first; n < min(first+blockSize, int32(r.size())); n++ {
		h := r.heads[n]
		if m := r.awake[n]; m != nil {
			h = *r.note(m)
			h.begun = m.Begun() // otherwise a start would neither go on with it nor begin it
			r.replace(n, m.Pack(nil))
		}
		h.code(c)
		packed := r.entry(n)
		c.Raw(&packed)
	}
	return c.Bytes()
}

// restore fills an empty store with blocks.
func (r *store) restore(originators []servicerequests.EUI, size int, rows []record.StateRow) error {
	if size < 0 || len(rows) != (size+blockSize-1)/blockSize {
		return fmt.Errorf("%d blocks for %d meters", len(rows), size)
	}
	r.originators = originators
	r.heads, r.blocks = make([]head, 0, size), make([][]byte, 0, len(rows))
	r.at.list, r.homes.list = make([]spot, 0, size), make([]spot, 0, size)
	var block []byte // reused, and cloned to its final size
	for _, row := range rows {
		c := ledger.Reader(row.Value)
		block = block[:0]
		for range min(blockSize, size-r.size()) {
			var h head
			h.code(c)
			var packed []byte
			c.Raw(&packed)
			if int(h.originator) >= len(originators) || int(h.verdict) >= len(verdicts) || int(h.wait) >= ledger.WaitReasons ||
				int(h.region) > len(servicerequests.Regions) {
				return fmt.Errorf("meter %d: %w", r.size()+1, ledger.ErrPacked)
			}
			r.enter(h)
			block = appendEntry(block, packed)
		}
		if err := c.End(); err != nil {
			return fmt.Errorf("block %d: %w", len(r.blocks), err)
		}
		r.blocks = append(r.blocks, bytes.Clone(block))
	}
	return r.seal()
}
