package pacer

import (
	"math"
	"time"

	"safemode/servicerequests"
)

// forever is the wait for a bucket that is closed.
const forever time.Duration = math.MaxInt64

// Pacer holds the buckets. It is owned by one goroutine.
type Pacer struct {
	limits  Limits
	buckets map[Key]*bucket
	windows map[Key]*window // nil: no budget is set for the SRV
	now     time.Time       // the newest reading
	empty   time.Time       // when buckets are empty that are made after; zero: they begin full
}

// bucket is one GCRA: full is the theoretical arrival time of the next request,
// at which the bucket would be full again.
type bucket struct {
	interval  time.Duration // between requests at the rate, rounded up; 0 is unlimited
	tolerance time.Duration // how far full may lie ahead of now: (burst-1) intervals
	closed    bool
	full      time.Time
	held      time.Time // nothing passes before
}

// New makes a pacer with full buckets. The error names the faults
// of the limits.
func New(limits Limits) (*Pacer, error) {
	if err := limits.validate(); err != nil {
		return nil, err
	}
	return &Pacer{limits: limits, buckets: map[Key]*bucket{}, windows: map[Key]*window{}}, nil
}

// Empty makes the buckets empty at an instant. It is for a restart: nobody knows what was sent
// just before, and the limits must be kept all the same. It is called before anything else.
func (p *Pacer) Empty(at time.Time) { p.empty = at }

// Take asks for one place in every bucket named. If all have one it takes them
// and returns true. Otherwise it takes none and returns how long to wait before
// the same question can have another answer: forever if a bucket is closed.
func (p *Pacer) Take(now time.Time, keys ...Key) (ok bool, wait time.Duration) {
	now = p.advance(now)
	for _, key := range keys {
		wait = max(wait, p.wait(now, key))
	}
	if wait > 0 {
		return false, wait
	}
	for _, key := range keys {
		p.take(now, key)
	}
	return true, 0
}

// Spent takes in a request that was sent before this pacer was made, so that a budget holds
// across a restart. It is called in the order of sending. Buckets ignore it: see
// [Pacer.Empty].
func (p *Pacer) Spent(at time.Time, key Key) {
	if w := p.window(key); w != nil {
		w.take(at)
	}
}

func (p *Pacer) wait(now time.Time, key Key) time.Duration {
	if key.scope != perSRV {
		return p.bucket(key).wait(now)
	}
	if w := p.window(key); w != nil {
		return w.wait(now)
	}
	return 0
}

func (p *Pacer) take(now time.Time, key Key) {
	if key.scope != perSRV {
		p.bucket(key).take(now)
	} else if w := p.window(key); w != nil {
		w.take(now)
	}
}

// window is the sliding window of a key, nil if its SRV has no budget.
func (p *Pacer) window(key Key) *window {
	w, ok := p.windows[key]
	if !ok {
		if budget, limited := p.limits.SRV[key.srv()]; limited && key.scope == perSRV {
			w = newWindow(budget)
		}
		p.windows[key] = w
	}
	return w
}

// Wait returns how long one bucket alone would make a request wait.
func (p *Pacer) Wait(now time.Time, key Key) time.Duration {
	return p.wait(p.advance(now), key)
}

// Hold closes the bucket until an instant: the Retry-After of a service that throttles. A
// later call can prolong that, not shorten it.
func (p *Pacer) Hold(key Key, until time.Time) {
	if b := p.bucket(key); until.After(b.held) {
		b.held = until
	}
}

// advance returns the newest reading of the clock so far.
func (p *Pacer) advance(now time.Time) time.Time {
	if now.After(p.now) {
		p.now = now
	}
	return p.now
}

func (p *Pacer) bucket(key Key) *bucket {
	if b, ok := p.buckets[key]; ok {
		return b
	}
	limit, configured := p.limit(key)
	if key.scope == perRegion && !configured {
		region := servicerequests.Region(key.number)
		if plain := region.Plain(); plain != region {
			p.buckets[key] = p.bucket(Region(plain))
			return p.buckets[key]
		}
	}
	b := newBucket(limit)
	if !p.empty.IsZero() {
		b.full = p.empty.Add(b.tolerance + b.interval)
	}
	p.buckets[key] = b
	return b
}

func (p *Pacer) limit(key Key) (limit Limit, configured bool) {
	switch key.scope {
	case perUser:
		return p.limits.User, true
	case perRegion:
		limit, configured = p.limits.Region[servicerequests.Region(key.number)]
	case perService:
		limit, configured = p.limits.Service[key.service]
	}
	return limit, configured
}

// newBucket makes a bucket. Rounding the interval up keeps the rate at or under its limit.
func newBucket(limit Limit) *bucket {
	burst := float64(max(limit.Burst, 1))
	switch rate := limit.PerSecond; {
	case !(rate > 0 && burst/rate <= maxBurst.Seconds()):
		return &bucket{closed: true}
	case math.IsInf(rate, 1):
		return &bucket{}
	default:
		interval := max(1, time.Duration(math.Ceil(float64(time.Second)/rate)))
		return &bucket{interval: interval, tolerance: interval * time.Duration(burst-1)}
	}
}

func (b *bucket) wait(now time.Time) time.Duration {
	if b.closed {
		return forever
	}
	return max(0, b.held.Sub(now), b.full.Add(-b.tolerance).Sub(now))
}

func (b *bucket) take(now time.Time) {
	if b.interval == 0 {
		return
	}
	if b.full.Before(now) {
		b.full = now
	}
	b.full = b.full.Add(b.interval)
}
