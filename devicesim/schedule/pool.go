package schedule

import (
	"context"
	"sync"

	"safemode/servicerequests/clock"
)

// Pool is a fixed number of workers for work that computes.
type Pool struct {
	clock   clock.Clock
	workers int
	jobs    chan func()   // never closed: senders watch stopped
	stopped chan struct{} // closed by Run
}

// NewPool returns a pool of so many workers, one or more, that are not started
// yet. A few hundred jobs wait for a worker before Do blocks.
func NewPool(c clock.Clock, workers int) *Pool {
	return &Pool{clock: c, workers: max(1, workers), jobs: make(chan func(), 512), stopped: make(chan struct{})}
}

// Do hands a job over. It blocks while too many wait; once the pool has
// stopped the job is dropped. A job must not call Do.
func (p *Pool) Do(job func()) {
	p.clock.Begin() // until the job is done
	select {
	case p.jobs <- job:
	case <-p.stopped:
		p.clock.End()
	}
}

// Run works until ctx ends and returns when the jobs in hand are done. Jobs
// that wait then are never done. It is called once.
func (p *Pool) Run(ctx context.Context) {
	var workers sync.WaitGroup
	for range p.workers {
		workers.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case job := <-p.jobs:
					job()
					p.clock.End()
				}
			}
		})
	}
	<-ctx.Done()
	close(p.stopped)
	workers.Wait()
}
