package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"time"

	"github.com/prometheus/procfs"

	"safemode/engine/journal"
	"safemode/engine/record"
	"safemode/servicerequests"
)

// Resumed is what --resume measures.
type Resumed struct {
	Meters       int     `json:"meters"`
	Done         int     `json:"done"` // meters with a verdict
	Records      uint64  `json:"records"`
	JournalBytes int64   `json:"journal_bytes"`
	FirstSend    float64 `json:"start_to_first_send_seconds"`
	CPU          float64 `json:"cpu_seconds"`  // used until then: on a shared machine it says more than the clock
	RSS          int64   `json:"rss_bytes"`    // the most until then
	Anew         float64 `json:"anew_seconds"` // the same where all records are read again, for lack of a state
	AnewCPU      float64 `json:"anew_cpu_seconds"`
}

// resume measures how long a sweep that was killed half-way takes from its start to
// its first POST. The journal is made by a sweep that really runs and is killed when a
// few meters are done; then what the journal has of these is written once more for
// half of the other meters, under other counters, by the journal's own code.
func (s *scene) resume(ctx context.Context) (r Resumed, err error) {
	r.Meters = s.meters
	p, err := s.sweep(s.machine[0], "")
	if err != nil {
		return r, err
	}
	err = p.until(ctx, time.Second, func() (bool, error) {
		var now record.Status
		body, err := get(ctx, "http://"+s.machine[0].operations+"/api/v1/sweep")
		if err == nil { // else it does not serve yet
			err = json.Unmarshal(body, &now)
		}
		return err == nil && now.Verdicts[record.VerdictOnSupply] >= 8, nil
	})
	p.kill()
	if err != nil {
		return r, err
	}
	if r.Done, r.Records, err = s.multiply(ctx); err != nil {
		return r, err
	}
	info, err := os.Stat(s.journal())
	if err != nil {
		return r, err
	}
	r.JournalBytes = info.Size()

	// The state is older than the records that were written since, so the first start replays
	// all of them. It keeps a state, and is killed: the second start is the ordinary one.
	anew, err := s.firstSend(ctx, true)
	if err != nil {
		return r, err
	}
	r.Anew, r.AnewCPU = anew.seconds, anew.cpu
	again, err := s.firstSend(ctx, false)
	if err != nil {
		return r, err
	}
	r.FirstSend, r.CPU, r.RSS = again.seconds, again.cpu, again.rss
	return r, nil
}

// start is what one start took until its first POST.
type start struct {
	seconds, cpu float64
	rss          int64
}

// firstSend starts the sweep, waits for its first POST, and for the journal to keep a
// new state if that is wanted, and kills it.
func (s *scene) firstSend(ctx context.Context, keeps bool) (st start, err error) {
	kept, err := s.keptBy(ctx)
	if err != nil {
		return st, err
	}
	// A new wire counts from nothing; the old one's peer is the same DCC.
	before := s.wire.posts()
	begun := time.Now()
	p, err := s.sweep(s.machine[0], "")
	if err != nil {
		return st, err
	}
	defer p.kill()
	if err := p.until(ctx, time.Millisecond, func() (bool, error) { return s.wire.posts() > before, nil }); err != nil {
		return st, err
	}
	st.seconds = time.Since(begun).Seconds()
	if st.cpu, st.rss, err = used(p.command.Process.Pid); err != nil || !keeps {
		return st, err
	}
	return st, p.until(ctx, 100*time.Millisecond, func() (bool, error) {
		by, err := s.keptBy(ctx)
		return by > kept, err
	})
}

// keptBy is the number of the record that proves the journal's state; 0 if none
// was kept.
func (s *scene) keptBy(ctx context.Context) (uint64, error) {
	j, err := journal.OpenReadOnly(s.journal())
	if err != nil {
		return 0, err
	}
	defer j.Close()
	r, err := j.Latest(ctx, record.State)
	return r.Seq, err
}

// used is the processor time that a process has used, in seconds, and the most memory that it
// has held so far.
func used(pid int) (cpu float64, rss int64, err error) {
	p, err := procfs.NewProc(pid)
	if err != nil {
		return 0, 0, err
	}
	times, err1 := p.Stat()
	status, err2 := p.NewStatus()
	return times.CPUTime(), int64(status.VmHWM), errors.Join(err1, err2)
}

// story is what a journal has of one meter that is done.
type story []record.Record

// multiply writes the stories of the meters that are done for half of the others.
func (s *scene) multiply(ctx context.Context) (done int, records uint64, err error) {
	j, err := journal.Open(s.journal(), journal.Options{})
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
		case record.Target:
			body, err := record.Decode[record.TargetBody](rec)
			if err != nil {
				return 0, 0, err
			}
			kinds[rec.Device] = body.Type
			order = append(order, rec.Device)
			continue
		case record.Request:
			targets[rec.ID.Target] = rec.Device
		case record.Verdict:
			finished[rec.Device] = rec.Code == record.VerdictOnSupply
		}
		device := rec.Device
		if device == 0 { // a message names the device it is from
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
		for _, rec := range retell(models[done%len(models)], device, &counter, j.Last()+1) {
			j.Append(rec)
		}
		if ctx.Err() != nil {
			return 0, 0, ctx.Err()
		}
	}
	if err := j.Commit(ctx, record.Record{At: time.Now(), Kind: record.Unmatched}); err != nil {
		return 0, 0, err
	}
	return done, j.Tip().Seq, nil
}

// retell tells a story of another meter, in records from number first on. The bodies stay,
// and with them their size, but for the numbers of the messages that they rest on.
func retell(told story, device servicerequests.EUI, counter *uint64, first uint64) []record.Record {
	counters := map[uint64]uint64{}
	numbers := map[uint64]uint64{}
	was := told[0].Device
	proxy := device + 1<<40 // no device of the fleet
	var retold []record.Record
	for i, rec := range told {
		numbers[rec.Seq] = first + uint64(i)
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
		if rec.Kind == record.Outcome {
			if body, err := record.Decode[record.OutcomeBody](rec); err == nil && body.Proxy != 0 {
				body.Proxy = proxy
				rec.Body = record.Encode(body)
			}
		}
		if rec.Device != 0 {
			rec.Device = device
		}
		rec.Body = renumber(rec, numbers)
		retold = append(retold, rec)
	}
	return retold
}

// renumber is the body of a record that marks a message, with that message's new number.
func renumber(rec record.Record, numbers map[uint64]uint64) []byte {
	switch rec.Kind {
	case record.Outcome:
		return renumbered(rec, numbers, func(b *record.OutcomeBody) *uint64 { return &b.Of })
	case record.Unmatched, record.Repeated:
		return renumbered(rec, numbers, func(b *record.JudgedBody) *uint64 { return &b.Of })
	case record.Refused:
		return renumbered(rec, numbers, func(b *record.RefusedBody) *uint64 { return &b.Of })
	case record.Proven:
		return renumbered(rec, numbers, func(b *record.ProvenBody) *uint64 { return &b.Of })
	}
	return rec.Body
}

func renumbered[B record.Body](rec record.Record, numbers map[uint64]uint64, of func(*B) *uint64) []byte {
	body, err := record.Decode[B](rec)
	if err != nil {
		return rec.Body
	}
	*of(&body) = numbers[*of(&body)]
	return record.Encode(body)
}
