package sweep

import (
	"encoding/binary"
	"errors"
	"time"

	"safemode/engine/record"
	"safemode/servicerequests"
)

// A packed ledger is a head of fixed places, so that much can be told without
// unpacking, and then, of a meter of which more is known than the plan says, the rest:
//
//	 1 byte   bits: begun, done, settled, waits, ahead, raised, proxied, detailed
//	 1 byte   verdict in the low half; plight in three bits; owed, the highest: it has its verdict, and something is due
//	 4 bytes  device type, region, claimed mode, priority
//	 1 byte   number of the originator
//	 2 bytes  number of the wave
//	 8 bytes  device
//	 8 bytes  hub
//	 8 bytes  gas proxy, if the bit proxied is set
//
// Numbers are big-endian there; in the rest they are varints, counters as what they
// lack to the latest one, times as what they are after the beginning. Text has its
// length before it.

const (
	bitBegun byte = 1 << iota
	bitDone
	bitSettled
	bitWaits
	bitAhead
	bitRaised
	bitProxied
	bitDetailed
)

const bitOwed byte = 0x80 // of the second byte

const headSize = 25

var never time.Time

// verdictCodes are the verdicts by number.
var verdictCodes = [...]string{
	"", record.VerdictOnSupply, record.VerdictArmed, record.VerdictNotSafe, record.VerdictUnknown, record.VerdictExcluded,
}

// head is what can be told of a packed ledger at once.
type head struct {
	begun, done, settled, waits, ahead, raised, gas bool
	owed                                            bool // done, and something of it is open or will be due

	verdict          string
	plight           plight
	region           servicerequests.Region
	wave             int
	device, hub, gpf servicerequests.EUI
}

func (m *meter) head() head {
	return head{
		begun: !m.started.IsZero(), done: m.done, settled: m.settled, waits: m.waits, ahead: m.ahead, raised: m.alarm.raised(), gas: m.gas(), owed: m.owed(),
		verdict: m.verdict.Verdict, plight: m.plight, region: m.target.Region, wave: m.wave,
		device: m.device, hub: m.target.Hub, gpf: m.gpf,
	}
}

func (m *meter) owed() bool { return m.done && (len(m.open) > 0 || !m.due.IsZero() || m.waits) }

// readHead reads the head of a packed ledger, which must be whole.
func readHead(b []byte) head {
	h := head{
		begun: b[0]&bitBegun != 0, done: b[0]&bitDone != 0, settled: b[0]&bitSettled != 0,
		waits: b[0]&bitWaits != 0, ahead: b[0]&bitAhead != 0, raised: b[0]&bitRaised != 0, gas: servicerequests.DeviceType(b[2]) == servicerequests.GSME,
		owed: b[1]&bitOwed != 0, verdict: verdictCodes[b[1]&0x0F], plight: plight(b[1] >> 4 & 7), region: servicerequests.Region(b[3]),
		wave: int(binary.BigEndian.Uint16(b[7:])), device: servicerequests.EUI(binary.BigEndian.Uint64(b[9:])),
		hub: servicerequests.EUI(binary.BigEndian.Uint64(b[17:])),
	}
	if b[0]&bitProxied != 0 {
		h.gpf = servicerequests.EUI(binary.BigEndian.Uint64(b[headSize:]))
	}
	return h
}

// setWaits changes the two bits of the intake in a packed ledger.
func setWaits(b []byte, waits, ahead bool) {
	b[0] &^= bitWaits | bitAhead
	if waits {
		b[0] |= bitWaits
	}
	if ahead {
		b[0] |= bitAhead
	}
}

// pack encodes a ledger. Requests of which no record can be durable yet are left out,
// as if they had not been asked for.
func (r *roll) pack(m *meter) []byte {
	p := packer{m: m}
	begun := !m.started.IsZero()
	open, unsent := 0, [len(servicerequests.Services) + 1]int16{}
	for _, q := range m.open {
		if q.journalled() {
			open++
		} else {
			unsent[q.service]++
		}
	}
	if open == 0 && len(m.ended) == 0 && len(m.open) > 0 {
		begun = false
	}
	detailed := begun || m.issued != 0 || m.excluded != "" || m.person != "" || m.held != "" || m.pending || m.alarm != (alarm{})
	var bits byte
	for i, set := range [...]bool{begun, m.done, m.settled, m.waits, m.ahead, m.alarm.raised(), m.gpf != 0, detailed} {
		if set {
			bits |= 1 << i
		}
	}
	verdict := 0
	for i, code := range verdictCodes {
		if code == m.verdict.Verdict {
			verdict = i
		}
	}
	originator := 0
	for i, known := range r.originators {
		if known == m.target.Originator {
			originator = i
		}
	}
	second := byte(verdict) | byte(m.plight)<<4
	if m.owed() {
		second |= bitOwed
	}
	p.b = append(p.b, bits, second,
		byte(m.target.Type), byte(m.target.Region), byte(m.target.Claimed), byte(m.target.Priority), byte(originator))
	p.b = binary.BigEndian.AppendUint16(p.b, uint16(m.wave))
	p.b = binary.BigEndian.AppendUint64(p.b, uint64(m.device))
	p.b = binary.BigEndian.AppendUint64(p.b, uint64(m.target.Hub))
	if m.gpf != 0 {
		p.b = binary.BigEndian.AppendUint64(p.b, uint64(m.gpf))
	}
	if !detailed {
		return p.b
	}
	p.number(int64(m.issued))
	started, heard := m.started, m.heard
	if !begun {
		started, heard = never, never
	}
	if p.flag(begun); begun {
		p.base = started.UnixNano()
		p.number(p.base)
	}
	p.detail(heard)
	p.tallies(&unsent)
	p.ended()
	p.number(int64(open))
	for _, q := range m.open {
		if q.journalled() {
			p.request(q)
		}
	}
	return p.b
}

// packer encodes the rest of one ledger.
type packer struct {
	m    *meter
	b    []byte
	base int64 // what times are counted from
}

func (p *packer) number(n int64) { p.b = binary.AppendVarint(p.b, n) }

func (p *packer) flag(set bool) {
	if set {
		p.b = append(p.b, 1)
	} else {
		p.b = append(p.b, 0)
	}
}

func (p *packer) text(s string) { p.b = append(binary.AppendUvarint(p.b, uint64(len(s))), s...) }

// counter writes 0 for none.
func (p *packer) counter(c uint64) {
	if c == 0 {
		p.b = append(p.b, 0)
		return
	}
	p.b = binary.AppendUvarint(p.b, zigzag(int64(p.m.issued-c))+1)
}

// time writes 0 for none.
func (p *packer) time(t time.Time) {
	if t.IsZero() {
		p.b = append(p.b, 0)
		return
	}
	p.b = binary.AppendUvarint(p.b, zigzag(t.UnixNano()-p.base)+1)
}

func zigzag(n int64) uint64 { return uint64(n<<1) ^ uint64(n>>63) }
func zagzig(n uint64) int64 { return int64(n>>1) ^ -int64(n&1) }

func (p *packer) detail(heard time.Time) {
	m := p.m
	p.time(heard)
	p.time(m.due)
	p.time(m.reread)
	var bits byte
	for i, set := range [...]bool{m.creditAccepted, m.pending, m.moved, m.sampled, m.alarm.below, m.alarm.suspended} {
		if set {
			bits |= 1 << i
		}
	}
	p.b = append(p.b, bits)
	for _, c := range [...]uint64{m.firstSwitch, m.firstCommand, m.lastCommand, m.staleMode, m.staleSupply, m.alarm.after} {
		p.counter(c)
	}
	for _, s := range [...]string{m.held, m.person, m.excluded, m.verdict.Reason} {
		p.text(s)
	}
	packReading(p, m.foundMode)
	packReading(p, m.mode)
	packReading(p, m.foundSupply)
	packReading(p, m.supply)
	packReading(p, m.foundBalance)
	packReading(p, m.balance)
}

func packReading[T ~uint8 | ~int64](p *packer, r reading[T]) {
	p.counter(r.counter)
	if r.known() {
		p.number(int64(r.value))
		p.time(r.at)
	}
}

// tallies writes those that are not empty, less the requests that nobody knows of.
func (p *packer) tallies(unsent *[len(servicerequests.Services) + 1]int16) {
	at := len(p.b)
	p.b = append(p.b, 0)
	for service, t := range p.m.tallies {
		t.tries -= unsent[service]
		if t == (tally{}) {
			continue
		}
		p.b[at]++
		p.b = append(p.b, byte(service), byte(t.last))
		p.flag(t.undelivered)
		p.flag(t.barred)
		p.number(int64(t.tries))
		p.number(int64(t.answers))
		p.number(int64(t.failures))
		p.text(t.code)
		p.time(t.next)
	}
}

func (p *packer) ended() {
	p.number(int64(len(p.m.ended)))
	for _, e := range p.m.ended {
		p.counter(e.counter)
		class := byte(e.class)
		if e.proxied {
			class |= 0x40
		}
		if e.sampled {
			class |= 0x80
		}
		p.b = append(p.b, byte(e.service), class)
	}
}

// request writes one that the journal knows. One whose Pre-Command has been read and
// not signed is written as it was before: Transform is asked once more, with the same
// bytes.
func (p *packer) request(q *request) {
	leg, body := q.leg, q.body
	if q.leg == commandLeg && q.body == nil && !q.acknowledged {
		leg, body = askLeg, q.asked
	}
	var bits byte
	for i, set := range [...]bool{leg == commandLeg, q.acknowledged, q.unproven, q.retry} {
		if set {
			bits |= 1 << i
		}
	}
	p.b = append(p.b, byte(q.service), bits)
	p.b = binary.BigEndian.AppendUint64(p.b, uint64(q.id.Target))
	p.counter(q.id.Counter)
	p.number(int64(q.attempt))
	p.time(q.askedAt)
	p.time(q.postedAt)
	p.time(q.deadline)
	p.text(q.quarantine)
	p.text(string(body))
}

// errPacked marks bytes that are no packed ledger.
var errPacked = errors.New("not a packed ledger")

// unpack is the inverse of pack. It refuses what pack does not write.
func (r *roll) unpack(b []byte) (*meter, error) {
	if err := r.checkHead(b); err != nil {
		return nil, err
	}
	h := readHead(b)
	m := &meter{device: h.device, target: record.TargetBody{
		Type: servicerequests.DeviceType(b[2]), Region: h.region, Claimed: servicerequests.PaymentMode(b[4]),
		Priority: int(b[5]), Originator: r.originators[b[6]], Hub: h.hub,
	}}
	m.done, m.settled, m.waits, m.ahead = h.done, h.settled, h.waits, h.ahead
	m.verdict.Verdict, m.plight, m.wave, m.gpf = h.verdict, h.plight, h.wave, h.gpf
	rest := b[headSize:]
	if h.gpf != 0 {
		rest = rest[8:]
	}
	u := unpacker{m: m, b: rest}
	if b[0]&bitDetailed != 0 {
		u.rest(h.begun)
	}
	if u.bad || len(u.b) > 0 {
		return nil, errPacked
	}
	return m, nil
}

func (r *roll) checkHead(b []byte) error {
	switch {
	case len(b) < headSize, b[0]&bitProxied != 0 && len(b) < headSize+8,
		int(b[1]&0x0F) >= len(verdictCodes), plight(b[1]>>4&7) >= plightCount,
		int(b[3]) > len(servicerequests.Regions), int(b[6]) >= len(r.originators):
		return errPacked
	}
	return nil
}

// unpacker decodes the rest of one ledger. After the first fault all it reads is zero.
type unpacker struct {
	m    *meter
	b    []byte
	base int64
	bad  bool
}

func (u *unpacker) fail() { u.bad, u.b = true, nil }

func (u *unpacker) take(n int) []byte {
	if n < 0 || n > len(u.b) {
		u.fail()
		return make([]byte, 0)
	}
	taken := u.b[:n]
	u.b = u.b[n:]
	return taken
}

func (u *unpacker) octet() byte {
	if b := u.take(1); len(b) == 1 {
		return b[0]
	}
	return 0
}

func (u *unpacker) number() int64 {
	n, length := binary.Varint(u.b)
	if length <= 0 {
		u.fail()
		return 0
	}
	u.b = u.b[length:]
	return n
}

func (u *unpacker) unsigned() uint64 {
	n, length := binary.Uvarint(u.b)
	if length <= 0 {
		u.fail()
		return 0
	}
	u.b = u.b[length:]
	return n
}

func (u *unpacker) count() int {
	n := u.number()
	if n < 0 || n > int64(len(u.b)) { // each of what is counted has a byte at least
		u.fail()
		return 0
	}
	return int(n)
}

func (u *unpacker) bytes() []byte {
	n := u.unsigned()
	if n > uint64(len(u.b)) {
		u.fail()
		return nil
	}
	return u.take(int(n))
}

func (u *unpacker) text() string { return string(u.bytes()) }

func (u *unpacker) counter() uint64 {
	n := u.unsigned()
	if n == 0 {
		return 0
	}
	return u.m.issued - uint64(zagzig(n-1))
}

func (u *unpacker) time() time.Time {
	n := u.unsigned()
	if n == 0 {
		return never
	}
	return time.Unix(0, u.base+zagzig(n-1)).UTC()
}

func (u *unpacker) rest(begun bool) {
	m := u.m
	m.issued = uint64(u.number())
	if u.octet() != 0 {
		u.base = u.number()
		m.started = time.Unix(0, u.base).UTC()
	}
	if begun == m.started.IsZero() {
		u.fail()
	}
	m.heard, m.due, m.reread = u.time(), u.time(), u.time()
	bits := u.octet()
	for i, to := range [...]*bool{&m.creditAccepted, &m.pending, &m.moved, &m.sampled, &m.alarm.below, &m.alarm.suspended} {
		*to = bits&(1<<i) != 0
	}
	for _, to := range [...]*uint64{&m.firstSwitch, &m.firstCommand, &m.lastCommand, &m.staleMode, &m.staleSupply, &m.alarm.after} {
		*to = u.counter()
	}
	for _, to := range [...]*string{&m.held, &m.person, &m.excluded, &m.verdict.Reason} {
		*to = u.text()
	}
	unpackReading(u, &m.foundMode)
	unpackReading(u, &m.mode)
	unpackReading(u, &m.foundSupply)
	unpackReading(u, &m.supply)
	unpackReading(u, &m.foundBalance)
	unpackReading(u, &m.balance)
	u.tallies()
	u.ended()
	for range u.count() {
		u.request()
	}
}

func unpackReading[T ~uint8 | ~int64](u *unpacker, r *reading[T]) {
	if r.counter = u.counter(); r.known() {
		r.value, r.at = T(u.number()), u.time()
	}
}

func (u *unpacker) tallies() {
	for range u.octet() {
		service := u.octet()
		if int(service) >= len(u.m.tallies) {
			u.fail()
			return
		}
		u.m.tallies[service] = tally{
			last: u.class(u.octet()), undelivered: u.octet() != 0, barred: u.octet() != 0,
			tries: int16(u.number()), answers: int16(u.number()), failures: int16(u.number()), code: u.text(), next: u.time(),
		}
	}
}

func (u *unpacker) class(b byte) Class {
	if int(b) >= len(classNames) {
		u.fail()
		return Open
	}
	return Class(b)
}

func (u *unpacker) service() servicerequests.Service {
	s := servicerequests.Service(u.octet())
	if _, ok := s.Variant(); !ok {
		u.fail()
	}
	return s
}

func (u *unpacker) ended() {
	n := u.count()
	if n == 0 {
		return
	}
	u.m.ended = make([]ended, 0, n)
	for range n {
		e := ended{counter: u.counter(), service: u.service()}
		class := u.octet()
		e.class, e.proxied, e.sampled = u.class(class&0x3F), class&0x40 != 0, class&0x80 != 0
		u.m.ended = append(u.m.ended, e)
	}
}

func (u *unpacker) request() {
	q := &request{meter: u.m, service: u.service(), place: nowhere, reached: true}
	bits := u.octet()
	if bits&1 != 0 {
		q.leg = commandLeg
	}
	q.acknowledged, q.unproven, q.retry = bits&2 != 0, bits&4 != 0, bits&8 != 0
	if target := u.take(8); len(target) == 8 {
		q.id.Target = servicerequests.EUI(binary.BigEndian.Uint64(target))
	}
	q.id.Originator, q.id.Counter = u.m.target.Originator, u.counter()
	q.attempt = int(u.number())
	q.askedAt, q.postedAt, q.deadline = u.time(), u.time(), u.time()
	q.quarantine = u.text()
	if body := u.bytes(); len(body) > 0 {
		q.body = append([]byte(nil), body...)
	}
	if q.body == nil && !q.acknowledged || q.id.Counter == 0 {
		u.fail()
		return
	}
	u.m.open = append(u.m.open, q)
}

// journalled says whether the journal has the request, as far as the dispatcher knows.
func (r *request) journalled() bool { return r.body != nil || r.acknowledged || r.leg == commandLeg }
