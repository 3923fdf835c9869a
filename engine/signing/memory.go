package signing

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"safemode/servicerequests"
)

// Limits bound what is ever signed. The zero value of a field is its default.
type Limits struct {
	Meters   int           // distinct meters; required
	Commands int           // Pre-Commands of one service for one meter; 0: 20
	PerHour  int           // signatures of all kinds; 0: no limit
	Ahead    uint64        // how far a counter may be ahead of all others and of the clock; 0: 2^32
	Floor    uint64        // counters up to it count as signed; 0: none
	Hour     time.Duration // that PerHour is for; 0: an hour
}

// Reasons why a message is not signed, besides those of the gate and the direction.
var (
	errMeter      = errors.New("no meter of the plan")
	errSuppressed = errors.New("the plan leaves this meter alone")
	errOriginator = errors.New("the plan has another originator for this meter")
	errTarget     = errors.New("the target is neither the meter nor its proxy")
	errReused     = errors.New("another message has been signed under this counter")
	errOld        = errors.New("the counter is at or under one that has been signed for this meter")
	errAhead      = errors.New("the counter is far ahead of all others")
	errUnasked    = errors.New("the request for this Pre-Command was not signed here")
	errMeters     = errors.New("the direction names no more meters")
	errCommands   = errors.New("too many commands of this kind for this meter")
)

// rateError says that the hour's signatures are used up.
type rateError struct{ Wait time.Duration }

func (e *rateError) Error() string {
	return fmt.Sprintf("the hour's signatures are used up: not for %v", e.Wait)
}

// signature is one signature that is asked for or was made: of what, and for which meter.
type signature struct {
	meter   servicerequests.EUI
	id      servicerequests.RequestID
	service servicerequests.Service
	command bool // of the second half
	digest  digest
	at      time.Time
}

// digest is the first 16 bytes of the SHA-256 of the document or Pre-Command to be signed.
type digest [16]byte

// message is what was signed under one counter.
type message struct {
	counter      uint64
	target       servicerequests.EUI
	service      servicerequests.Service
	ask, command digest // zero: not signed
}

// meter is what is remembered of one planned meter.
type meter struct {
	kind       servicerequests.DeviceType
	originator servicerequests.EUI
	suppressed bool
	touched    bool // something was signed for it
	proxies    [2]servicerequests.EUI
	highest    uint64                                   // counter of a Pre-Command
	commands   [len(servicerequests.Services) + 1]uint8 // by service
	messages   []message                                // the newest of them, oldest first
}

// rememberedMessages is how many messages of a meter are remembered. A Pre-Command comes
// within minutes of its request.
const rememberedMessages = 16

// spread is how far a counter may be under its originator's highest and still be new: many
// workers sign requests, and not in the order of their counters.
const spread = 1 << 16

// counters are an originator's.
type counters struct {
	highest uint64
	used    map[uint64]struct{} // no older than spread
}

// memory is what was signed, which every further signature is checked against. It does no
// I/O; its owner locks it.
type memory struct {
	limits   Limits
	broker   servicerequests.EUI // the DCC: target of inventories
	meters   map[servicerequests.EUI]*meter
	counters map[servicerequests.EUI]*counters
	touched  int
	hour     []time.Time // of signatures within the hour, the oldest first
}

func newMemory(l Limits, broker servicerequests.EUI) *memory {
	if l.Commands == 0 {
		l.Commands = 20
	}
	if l.Ahead == 0 {
		l.Ahead = 1 << 32
	}
	if l.Hour == 0 {
		l.Hour = time.Hour
	}
	return &memory{limits: l, broker: broker, meters: map[servicerequests.EUI]*meter{}, counters: map[servicerequests.EUI]*counters{}}
}

// check says why a signature must not be made. It changes nothing.
func (m *memory) check(p signature) error {
	known := m.meters[p.meter]
	switch {
	case known == nil:
		return errMeter
	case known.suppressed:
		return errSuppressed
	case known.originator != p.id.Originator:
		return errOriginator
	case !known.mayTarget(p, m.broker):
		return errTarget
	}
	if again, err := known.repeats(p); again || err != nil {
		return errors.Join(err, m.checkRate(p.at))
	}
	if !p.command {
		if err := m.checkCounter(p); err != nil {
			return err
		}
	}
	switch {
	case p.id.Counter <= known.highest:
		return errOld
	case !known.touched && m.touched >= m.limits.Meters:
		return errMeters
	case p.command && int(known.commands[p.service]) >= m.limits.Commands:
		return errCommands
	}
	return m.checkRate(p.at)
}

// mayTarget says whether the target is one that the service may have.
func (k *meter) mayTarget(p signature, broker servicerequests.EUI) bool {
	switch {
	case p.service == servicerequests.ReadInventory:
		return p.id.Target == broker
	case p.id.Target == p.meter:
		return true
	case p.service.Critical() || k.kind != servicerequests.GSME || p.id.Target == 0 || p.id.Target == broker:
		return false
	}
	return slices.Contains(k.proxies[:], p.id.Target) || slices.Contains(k.proxies[:], 0)
}

// repeats compares a signature with the message that was signed under its counter for this meter:
// again says that it is the same message. The error says that it is another one.
func (k *meter) repeats(p signature) (again bool, err error) {
	i := slices.IndexFunc(k.messages, func(m message) bool { return m.counter == p.id.Counter })
	if i < 0 {
		if p.command {
			return false, errUnasked
		}
		return false, nil
	}
	m := &k.messages[i]
	was := m.ask
	if p.command {
		was = m.command
	}
	switch {
	case m.target != p.id.Target || m.service != p.service:
		return false, errReused
	case p.command && was == digest{}:
		return false, nil
	case was != p.digest:
		return false, errReused
	}
	return true, nil
}

// checkCounter checks that a request's counter is new.
func (m *memory) checkCounter(p signature) error {
	c := m.counters[p.id.Originator]
	if c == nil {
		c = &counters{}
	}
	if _, used := c.used[p.id.Counter]; used {
		return errReused
	}
	now := uint64(max(0, p.at.UnixMilli()))
	switch highest := max(c.highest, m.limits.Floor); {
	case p.id.Counter <= m.limits.Floor || c.highest > spread && p.id.Counter <= c.highest-spread:
		return errOld
	case p.id.Counter > max(highest, now)+m.limits.Ahead:
		return errAhead
	}
	return nil
}

// checkRate checks that the hour allows one more signature.
func (m *memory) checkRate(now time.Time) error {
	if m.limits.PerHour == 0 {
		return nil
	}
	begin, _ := slices.BinarySearchFunc(m.hour, now.Add(-m.limits.Hour), func(at, bound time.Time) int {
		if at.After(bound) {
			return 1
		}
		return -1
	})
	if len(m.hour)-begin < m.limits.PerHour {
		return nil
	}
	return &rateError{m.hour[len(m.hour)-m.limits.PerHour].Add(m.limits.Hour).Sub(now)}
}

// remember takes in a signature that is about to be made, or one of the log.
func (m *memory) remember(p signature) {
	if m.limits.PerHour > 0 {
		if at := len(m.hour); at > 0 && p.at.Before(m.hour[at-1]) {
			p.at = m.hour[at-1] // a clock that went back gives no second hour
		}
		if m.hour = append(m.hour, p.at); len(m.hour) > 2*m.limits.PerHour {
			m.hour = slices.Clone(m.hour[len(m.hour)-m.limits.PerHour:])
		}
	}
	m.countCounter(p.id)
	known := m.meters[p.meter]
	if known == nil {
		return // of a plan before this one
	}
	if !known.touched {
		known.touched = true
		m.touched++
	}
	if p.service != servicerequests.ReadInventory && p.id.Target != p.meter && !slices.Contains(known.proxies[:], p.id.Target) {
		if i := slices.Index(known.proxies[:], 0); i >= 0 {
			known.proxies[i] = p.id.Target
		}
	}
	i := slices.IndexFunc(known.messages, func(m message) bool { return m.counter == p.id.Counter })
	if i < 0 {
		if len(known.messages) == rememberedMessages {
			known.messages = slices.Delete(known.messages, 0, 1)
		}
		known.messages = append(known.messages, message{counter: p.id.Counter, target: p.id.Target, service: p.service})
		i = len(known.messages) - 1
	}
	if !p.command {
		known.messages[i].ask = p.digest
		return
	}
	if known.messages[i].command == (digest{}) {
		known.commands[p.service]++
	}
	known.messages[i].command = p.digest
	known.highest = max(known.highest, p.id.Counter)
}

// countCounter takes note of a counter.
func (m *memory) countCounter(id servicerequests.RequestID) {
	c := m.counters[id.Originator]
	if c == nil {
		c = &counters{used: map[uint64]struct{}{}}
		m.counters[id.Originator] = c
	}
	c.used[id.Counter] = struct{}{}
	c.highest = max(c.highest, id.Counter)
	if len(c.used) <= 2*spread || c.highest <= spread {
		return
	}
	for counter := range c.used {
		if counter <= c.highest-spread {
			delete(c.used, counter)
		}
	}
}

// knows says whether a signature was made. One that is older than what is remembered of its
// meter, or of its originator, counts as made.
func (m *memory) knows(p signature) bool {
	c, known := m.counters[p.id.Originator], m.meters[p.meter]
	if c == nil || known == nil {
		return known == nil
	}
	for _, m := range known.messages {
		if m.counter == p.id.Counter {
			return m.service == p.service && (p.command && m.command == p.digest || !p.command && m.ask == p.digest)
		}
	}
	return len(known.messages) == rememberedMessages && p.id.Counter < known.messages[0].counter
}
