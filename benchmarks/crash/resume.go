package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"safemode/engine/journal"
	"safemode/servicerequests"
)

// Resumed is what --resume measures.
type Resumed struct {
	Meters       int     `json:"meters"`
	Done         int     `json:"done"` // meters with a verdict
	Records      uint64  `json:"records"`
	JournalBytes int64   `json:"journal_bytes"`
	FirstSend    float64 `json:"start_to_first_send_seconds"`
	CPU          float64 `json:"cpu_seconds"` // used until then: on a shared machine it says more than the clock
	RSS          int64   `json:"rss_bytes"`   // the most until then
}

// resume measures how long a sweep that was killed half-way takes from its start to
// its first POST. The journal is made by a sweep that really runs and is killed when a
// few meters are done; then what the journal has of these is written once more for
// half of the other meters, under other counters, by the journal's own code.
func (s *scene) resume(ctx context.Context) (r Resumed, err error) {
	r.Meters = s.meters
	p, err := s.sweep("")
	if err != nil {
		return r, err
	}
	err = s.untilDone(ctx, p, 40)
	_ = p.command.Process.Kill() // it may have ended
	<-p.ended
	if err != nil {
		return r, err
	}
	if r.Done, r.Records, err = s.multiply(ctx); err != nil {
		return r, err
	}
	info, err := os.Stat(s.path("journal.db"))
	if err != nil {
		return r, err
	}
	r.JournalBytes = info.Size()

	// A new wire counts from nothing; the old one's peer is the same DCC.
	before := s.wire.posts()
	start := time.Now()
	if p, err = s.sweep(""); err != nil {
		return r, err
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for s.wire.posts() == before {
		select {
		case <-tick.C:
		case <-p.ended:
			return r, fmt.Errorf("the sweep ended: %w: %s", p.err, p.text(&p.log))
		case <-ctx.Done():
			_ = p.command.Process.Kill()
			<-p.ended
			return r, ctx.Err()
		}
	}
	r.FirstSend = time.Since(start).Seconds()
	r.RSS = peakMemory(p.command.Process.Pid)
	_ = p.command.Process.Kill()
	<-p.ended
	r.CPU = (p.command.ProcessState.UserTime() + p.command.ProcessState.SystemTime()).Seconds()
	return r, nil
}

// untilDone waits until the journal has verdicts on so many meters.
func (s *scene) untilDone(ctx context.Context, p *process, meters int) error {
	for {
		select {
		case <-time.After(time.Second):
		case <-p.ended:
			return fmt.Errorf("the sweep ended: %w: %s", p.err, p.text(&p.log))
		case <-ctx.Done():
			return ctx.Err()
		}
		body, err := get(ctx, "http://"+s.operations+"/api/v1/sweep")
		if err != nil {
			continue // not serving yet
		}
		_, rest, _ := strings.Cut(string(body), `"done":`)
		digits, _, _ := strings.Cut(strings.TrimSpace(rest), ",")
		if n, err := strconv.Atoi(strings.TrimSpace(digits)); err == nil && n >= meters {
			return nil
		}
	}
}

// story is what a journal has of one meter that is done.
type story []journal.Record

// multiply writes the stories of the meters that are done for half of the others.
func (s *scene) multiply(ctx context.Context) (done int, records uint64, err error) {
	j, err := journal.Open(s.path("journal.db"), journal.Options{})
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, j.Close()) }()
	stories := map[servicerequests.EUI]story{}
	kinds := map[servicerequests.EUI]servicerequests.DeviceType{}
	finished := map[servicerequests.EUI]bool{}
	targets := map[servicerequests.EUI]servicerequests.EUI{} // of requests to their meters
	var order []servicerequests.EUI
	for rec, err := range j.Records(ctx, 1) {
		if err != nil {
			return 0, 0, err
		}
		switch rec.Kind {
		case journal.Target:
			body, err := journal.Decode[journal.TargetBody](rec)
			if err != nil {
				return 0, 0, err
			}
			kinds[rec.Device] = body.Type
			order = append(order, rec.Device)
			continue
		case journal.Request:
			targets[rec.ID.Target] = rec.Device
		case journal.Verdict:
			finished[rec.Device] = rec.Code == journal.VerdictOnSupply
		}
		device := rec.Device
		if rec.Kind == journal.Response {
			device = targets[rec.ID.Target]
		}
		if kinds[device] != 0 {
			stories[device] = append(stories[device], rec)
		}
	}
	byKind := map[servicerequests.DeviceType][]story{}
	for device, told := range stories {
		if finished[device] {
			byKind[kinds[device]] = append(byKind[kinds[device]], told)
		}
	}
	counter := uint64(1)
	for i, device := range order {
		if i%2 == 0 || stories[device] != nil {
			continue
		}
		models := byKind[kinds[device]]
		if len(models) == 0 {
			continue // no meter of this fuel is done yet
		}
		done++
		for _, rec := range retell(models[done%len(models)], device, &counter) {
			j.Append(rec)
		}
		if ctx.Err() != nil {
			return 0, 0, ctx.Err()
		}
	}
	if err := j.Commit(ctx, journal.Record{At: time.Now(), Kind: journal.Unmatched}); err != nil {
		return 0, 0, err
	}
	return done, j.Tip().Seq, nil
}

// retell tells a story of another meter. The bodies stay, and with them their size.
func retell(told story, device servicerequests.EUI, counter *uint64) []journal.Record {
	counters := map[uint64]uint64{}
	was := told[0].Device
	proxy := device + 1<<40 // no device of the fleet
	var retold []journal.Record
	for _, rec := range told {
		if rec.ID.Counter != 0 {
			if counters[rec.ID.Counter] == 0 {
				counters[rec.ID.Counter] = *counter
				*counter++
			}
			rec.ID.Counter = counters[rec.ID.Counter]
			switch rec.ID.Target {
			case was:
				rec.ID.Target = device
			default:
				if rec.Service != servicerequests.ReadInventory {
					rec.ID.Target = proxy
				}
			}
		}
		if rec.Kind == journal.Outcome {
			if body, err := journal.Decode[journal.OutcomeBody](rec); err == nil && body.Proxy != 0 {
				body.Proxy = proxy
				rec.Body = journal.Encode(body)
			}
		}
		if rec.Device != 0 {
			rec.Device = device
		}
		retold = append(retold, rec)
	}
	return retold
}

// peakMemory is the most a process has held so far.
func peakMemory(pid int) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	kilobytes, _ := strconv.ParseInt(strings.Fields(rest + " 0")[0], 10, 64)
	return kilobytes << 10
}
