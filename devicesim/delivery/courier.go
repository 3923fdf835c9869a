package delivery

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"safemode/devicesim/schedule"
	"safemode/servicerequests/clock"

	"go.uber.org/zap"
)

// Options are the settings of a courier. Zero fields have the value named.
type Options struct {
	Clock   clock.Clock
	Agenda  *schedule.Agenda // where repeats wait; required
	Workers int              // concurrent POSTs and connections; 64: the inbox answers each only when it is durable
	TimeOut time.Duration    // of one POST, real time; 10 s
	GiveUp  time.Duration    // after the first try, simulator's clock; 24 h (assumption). Not within a minute of real time
	TLS     *tls.Config      // towards an inbox at https; nil: the system's authorities, and no certificate
	Log     *zap.Logger      // nil: none
}

// The pauses before a repeat double from the first to the longest (assumption). On a fast
// clock they would be over before a slow inbox could have answered, so they have a least
// in real time, which doubles as well, and so has the time until a message is given up.
const (
	firstPause   = time.Second
	longestPause = 5 * time.Minute

	firstRealPause   = 50 * time.Millisecond
	longestRealPause = 5 * time.Second
	leastGiveUp      = time.Minute
)

// Counts is what became of the messages.
type Counts struct {
	Delivered uint64 `json:"delivered"` // answered 204
	Refused   uint64 `json:"refused"`   // answered anything else under 500
	Repeated  uint64 `json:"repeated"`  // POSTs that had to be done again
	GivenUp   uint64 `json:"given_up"`
	Waiting   int    `json:"waiting"` // for a worker; messages that wait for a repeat are not counted
}

// Courier delivers. Its methods may be called from any goroutine.
type Courier struct {
	options   Options
	transport *http.Transport
	url       atomic.Pointer[string]

	taken, delivered, refused, repeated, givenUp atomic.Uint64

	posting sync.RWMutex // read: a POST is under way

	mu      sync.Mutex
	ready   sync.Cond // waiting has grown, or stopped is set
	waiting []message
	stopped bool
}

type message struct {
	body    []byte
	arrived func(at time.Time) // nil: nobody asks
	first   time.Time          // when it was handed over
	tries   int
}

// New returns a courier with no address.
func New(o Options) *Courier {
	if o.Workers == 0 {
		o.Workers = 64
	}
	if o.TimeOut == 0 {
		o.TimeOut = 10 * time.Second
	}
	if o.GiveUp == 0 {
		o.GiveUp = 24 * time.Hour
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	c := &Courier{
		options: o,
		transport: &http.Transport{
			TLSClientConfig:     o.TLS,
			TLSHandshakeTimeout: o.TimeOut,
			DialContext:         (&net.Dialer{Timeout: o.TimeOut}).DialContext,
			MaxConnsPerHost:     o.Workers,
			MaxIdleConnsPerHost: o.Workers,
			IdleConnTimeout:     time.Minute,
			DisableCompression:  true,
		},
	}
	c.ready.L = &c.mu
	c.SetURL("")
	return c
}

// SetURL changes the inbox's address. Without one, messages wait as if the
// inbox were down.
func (c *Courier) SetURL(url string) { c.url.Store(&url) }

// Send hands over a message, which must not be changed afterwards. It never
// blocks. After the end of Run nothing is delivered any more. arrived is called when the
// inbox has answered 204, from one of many goroutines; nil: nobody asks.
func (c *Courier) Send(body []byte, arrived func(at time.Time)) {
	c.taken.Add(1)
	c.put(message{body: body, arrived: arrived, first: c.options.Clock.Now()})
}

// Settle returns when every POST that is under way has ended and was reported.
func (c *Courier) Settle() {
	c.posting.Lock()
	defer c.posting.Unlock() // it was all there is to wait for
}

// Undelivered returns how many messages are neither delivered nor given up.
func (c *Courier) Undelivered() uint64 {
	ended := c.delivered.Load() + c.refused.Load() + c.givenUp.Load() // before taken, which is never less
	return c.taken.Load() - ended
}

// Counts returns the counts so far.
func (c *Courier) Counts() Counts {
	c.mu.Lock()
	waiting := len(c.waiting)
	c.mu.Unlock()
	return Counts{
		Delivered: c.delivered.Load(), Refused: c.refused.Load(),
		Repeated: c.repeated.Load(), GivenUp: c.givenUp.Load(), Waiting: waiting,
	}
}

// Run delivers until ctx ends. POSTs under way are then broken off; the inbox
// may or may not have taken their messages.
func (c *Courier) Run(ctx context.Context) {
	var workers sync.WaitGroup
	for range c.options.Workers {
		workers.Go(func() { c.work(ctx) })
	}
	<-ctx.Done()
	c.mu.Lock()
	c.stopped, c.waiting = true, nil
	c.ready.Broadcast()
	c.mu.Unlock()
	workers.Wait()
	c.transport.CloseIdleConnections()
}

func (c *Courier) work(ctx context.Context) {
	for {
		m, ok := c.take()
		if !ok {
			return
		}
		c.deliver(ctx, m)
		c.options.Clock.End()
	}
}

func (c *Courier) put(m message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return
	}
	c.options.Clock.Begin() // until it was tried
	c.waiting = append(c.waiting, m)
	c.ready.Signal()
}

// take blocks until there is a message; ok is false after the stop.
func (c *Courier) take() (m message, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.waiting) == 0 && !c.stopped {
		c.ready.Wait()
	}
	if c.stopped {
		return message{}, false
	}
	m = c.waiting[0]
	c.waiting[0] = message{} // releases the body
	c.waiting = c.waiting[1:]
	return m, true
}
