package engine

import (
	"os"
	"sync"
	"time"

	"safemode/engine/callbook"
	"safemode/engine/record"
)

// calledHomes counts what the record of calls beside a journal says, for display alone. It is
// read again only when its file has changed. Its methods may be called at any time.
type calledHomes struct {
	mu      sync.Mutex
	size    int64
	changed time.Time
	counts  *record.CallCounts
}

// look counts the homes of a record; nil: there is none.
func (c *calledHomes) look(journal, sweepID string) *record.CallCounts {
	c.mu.Lock()
	defer c.mu.Unlock()
	path := callbook.Beside(journal)
	info, err := os.Stat(path)
	if err != nil { // most sweeps have none
		c.size, c.changed, c.counts = 0, time.Time{}, nil
		return nil
	}
	if c.counts != nil && info.Size() == c.size && info.ModTime().Equal(c.changed) {
		return c.counts
	}
	c.size, c.changed, c.counts = info.Size(), info.ModTime(), &record.CallCounts{}
	all, err := callbook.Read(path, sweepID)
	if err != nil {
		c.counts.Fault = err.Error()
		return c.counts
	}
	for _, h := range callbook.ByHome(all, time.Time{}) {
		if h.Done {
			c.counts.Done++
		} else {
			c.counts.Tried++
		}
	}
	return c.counts
}
