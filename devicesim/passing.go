package devicesim

import (
	"context"
	"runtime"
	"sync"
	"time"

	"safemode/devicesim/fleet"
	"safemode/devicesim/meter"
	"safemode/devicesim/schedule"
	"safemode/servicerequests"
	"safemode/servicerequests/clock"
)

// Events that meters have by themselves wait in wheels, one a shard: 8 bytes a
// meter, no timer and no goroutine. One goroutine lets time pass for the meters
// that are due, and rests as long as it worked: so an idle fleet takes half
// a processor at most. While commands come in it takes a twentieth, until that makes
// it a minute late. A fleet that is too large
// for its clock's speed falls behind, which the summary shows; alerts then come
// late, with their time.
const (
	dueWidth = 10 * time.Second // of a slot: alerts come as late as that
	dueSlots = 1 << 14          // 45 hours

	workSpan = 5 * time.Millisecond // real time, between rests
	mostLate = time.Minute          // real time, for the sake of commands
)

// begin counts all meters and notes when something first happens to each.
func (p *population) begin() {
	p.passed.Store(p.life.Began.UnixNano())
	next := make(chan int, len(p.shards))
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for number := range next {
				p.beginShard(number)
			}
		})
	}
	for i := range p.shards {
		next <- i
	}
	close(next)
	workers.Wait()
}

func (p *population) beginShard(number int) {
	s, size := &p.shards[number], p.shardSize()
	s.conditions = newConditions(size)
	s.mirrors = map[int]mirror{}
	if p.life.Passes() {
		s.due = schedule.NewWheel(size, dueSlots, dueWidth, p.life.Began)
	}
	for i := number * size; i < min(p.fleet.Len(), (number+1)*size); i++ {
		m := p.fleet.Meter(i)
		p.file(s, i%size, &m)
		s.counts[m.Mode][m.Supply]++
	}
}

// file notes when something happens next to a meter by itself.
func (p *population) file(s *shard, at int, m *fleet.Meter) {
	if s.due == nil {
		return
	}
	if next := p.life.Next(m); next == meter.Never {
		s.due.Remove(at)
	} else {
		s.due.Put(at, time.UnixMilli(next))
	}
}

// look has time pass for a meter, up to now, and returns what became of it.
func (p *population) look(i int, now time.Time) fleet.Meter {
	h := p.take(i, now)
	h.letGo()
	if len(h.alerts) > 0 && !p.send(h.Meter, h.alerts) {
		p.tally.unsent(len(h.alerts))
	}
	return *h.Meter
}

// watch has time pass for the meters to which something happens, until ctx ends. It begins as
// a piece of work that its caller holds a jumping clock for, and ends that.
func (p *population) watch(ctx context.Context, c clock.Clock) {
	begun := sync.OnceFunc(c.End)
	defer begun()
	if !p.life.Passes() {
		return
	}
	next := c.NewTimer()
	defer next.Stop()
	timer := time.NewTimer(0)
	defer timer.Stop()
	rested := time.Now()
	var due []int
	for ctx.Err() == nil {
		ends := p.shards[0].due.Ends()
		p.passed.Store(ends.Add(-dueWidth).UnixNano())
		if ends.After(c.Now()) {
			next.Reset(ends)
			begun()
			select {
			case <-ctx.Done():
			case <-next.C:
			}
			rested = time.Now()
			continue
		}
		for number := range p.shards {
			s := &p.shards[number]
			s.mu.Lock()
			due = s.due.Turn(due[:0])
			s.mu.Unlock()
			for _, at := range due {
				p.look(number*p.shardSize()+at, c.Now())
				if worked := time.Since(rested); worked > workSpan && !c.Jumps() {
					if !pause(ctx, timer, worked*p.restsFor(c)) {
						return
					}
					rested = time.Now()
				}
			}
		}
		p.prune(c.Now())
	}
}

// restsFor returns how much longer watch rests than it worked: while commands come
// in they go first, until it is late.
func (p *population) restsFor(c clock.Clock) time.Duration {
	commands := p.commands.Load()
	busy := commands != p.seen
	p.seen = commands
	if busy && c.Real(p.behind(c.Now())) < mostLate {
		return 19
	}
	return 1
}

// pause waits and says whether ctx has not ended meanwhile.
func pause(ctx context.Context, timer *time.Timer, span time.Duration) bool {
	timer.Reset(span)
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// behind returns how late what happens to meters by themselves is.
func (p *population) behind(now time.Time) time.Duration {
	if !p.life.Passes() {
		return 0
	}
	return max(0, now.Sub(time.Unix(0, p.passed.Load()))-dueWidth)
}

// prune drops, of one shard after the other, what gas proxies no longer show.
func (p *population) prune(now time.Time) {
	p.pruned = (p.pruned + 1) % len(p.shards)
	s := &p.shards[p.pruned]
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, there := range s.mirrors {
		if !there.changed.After(p.pushes.Last(there.before.Device, now)) {
			delete(s.mirrors, i)
		}
	}
}

// states counts meters by payment mode and supply state.
type states [servicerequests.Prepayment + 1][servicerequests.Enabled + 1]int

// states returns how many meters are in each state, as they were last seen.
func (p *population) states() map[string]map[string]int {
	var all states
	for i := range p.shards {
		s := &p.shards[i]
		s.mu.Lock()
		for mode, bySupply := range s.counts {
			for supply, n := range bySupply {
				all[mode][supply] += n
			}
		}
		s.mu.Unlock()
	}
	named := map[string]map[string]int{}
	for mode, bySupply := range all {
		for supply, n := range bySupply {
			if n == 0 {
				continue
			}
			name := servicerequests.PaymentMode(mode).String()
			if named[name] == nil {
				named[name] = map[string]int{}
			}
			named[name][servicerequests.SupplyState(supply).String()] = n
		}
	}
	return named
}
