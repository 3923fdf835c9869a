package devicesim

import (
	"crypto/sha256"
	"slices"
	"sync"
	"time"

	"safemode/devicesim/dcc"
	"safemode/devicesim/fault"

	"go.uber.org/zap"
)

// others sends the User's other traffic: one message after another, each at an instant and
// about a meter that hang on the seed and on nothing that the User does.
type others struct {
	s     *Simulator
	keeps bool // which messages were taken

	mu        sync.Mutex
	sent      uint64
	delivered uint64
	taken     []OtherMessage // that the inbox took
}

// run goes on until the simulator ends. It has the agenda call it again.
func (o *others) run(n uint64) {
	w := o.s.line.world.Load()
	rate := w.Variety.OtherTraffic * float64(o.s.fleet.Len())
	if rate == 0 { // perhaps another profile has some
		o.s.agenda.At(o.s.clock.Now().Add(time.Hour), func() { o.run(n) })
		return
	}
	every := max(time.Duration(float64(24*time.Hour)/rate), time.Millisecond)
	o.s.agenda.At(o.s.clock.Now().Add(every), func() {
		if o.s.courier.Undelivered() < mostUnasked {
			o.say(n)
		}
		o.run(n + 1)
	})
}

func (o *others) say(n uint64) {
	seed := o.s.fleet.Seed
	m := o.s.fleet.Meter(int(fault.Other(seed, n, "meter") * float64(o.s.fleet.Len())))
	err := o.s.dcc.Other(n, seed, m, func(kind dcc.OtherKind, body []byte) func(time.Time) {
		digest := sha256.Sum256(body)
		o.mu.Lock()
		o.sent++
		o.mu.Unlock()
		return func(time.Time) {
			o.mu.Lock()
			defer o.mu.Unlock()
			o.delivered++
			if o.keeps {
				o.taken = append(o.taken, OtherMessage{kind, digest})
			}
		}
	})
	if err != nil {
		o.s.log.Error("other traffic cannot be made", zap.Error(err))
	}
}

// OtherMessage is a message of the User's other traffic.
type OtherMessage struct {
	Kind   dcc.OtherKind
	SHA256 [sha256.Size]byte
}

// OtherTraffic returns the messages of other traffic that the inbox has taken; none are
// kept where [Options] forget.
func (s *Simulator) OtherTraffic() []OtherMessage {
	s.others.mu.Lock()
	defer s.others.mu.Unlock()
	return slices.Clone(s.others.taken)
}

// OtherCounts is what became of the User's other traffic.
type OtherCounts struct {
	Sent      uint64 `json:"sent"`      // handed to delivery
	Delivered uint64 `json:"delivered"` // answered 204
}

func (o *others) counts() OtherCounts {
	o.mu.Lock()
	defer o.mu.Unlock()
	return OtherCounts{o.sent, o.delivered}
}
