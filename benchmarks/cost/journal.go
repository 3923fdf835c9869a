package main

import (
	"context"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"safemode/engine/journal"
	"safemode/engine/record"
	"safemode/servicerequests"
)

// journalFacts is what the journal costs for each critical request.
type journalFacts struct {
	PerRequest time.Duration // CPU
	Records    float64
	Bytes      float64       // of bodies
	Batch      int           // records in a transaction
	InDatabase time.Duration // as PerRequest, into PostgreSQL; 0: not asked for
	Kept       float64       // bytes of the file for each meter of the homes' sweep; 0: none were swept
}

// most bounds how many of the run's records are written again.
const most = 40_000

// measureJournal writes the run's own records a second time, into a new journal,
// with nothing else in the process: as many in a transaction as the run had on the
// average. So it has the CPU of hashing, inserting, committing and syncing.
func measureJournal(ctx context.Context, o options, run runFacts) (f journalFacts, err error) {
	records, requests, err := readRun(ctx, o)
	if err != nil || requests == 0 {
		return f, err
	}
	for _, r := range records {
		f.Bytes += float64(len(r.Body)) / float64(requests)
	}
	f.Records = float64(len(records)) / float64(requests)
	f.Batch = max(1, int(f.Records*float64(run.Critical)/max(1, run.Commits)))
	if f.PerRequest, err = writeAgain(ctx, filepath.Join(o.Dir, "again.db"), records, f.Batch, requests); err != nil || o.Postgres == "" {
		return f, err
	}
	f.InDatabase, err = writeAgain(ctx, o.Postgres, records, f.Batch, requests)
	return f, err
}

// writeAgain writes records into a new journal at a path or an address, and returns this
// process's CPU for each of so many requests.
func writeAgain(ctx context.Context, at string, records []record.Record, batch, requests int) (_ time.Duration, err error) {
	j, err := journal.Open(at, journal.Options{Linger: time.Nanosecond})
	if err != nil {
		return 0, err
	}
	defer j.Close()
	begin, err := cpuClock(unix.CLOCK_PROCESS_CPUTIME_ID)
	if err != nil {
		return 0, err
	}
	for rest := records; len(rest) > 0; {
		n := min(batch, len(rest))
		if err := j.Commit(ctx, rest[:n]...); err != nil {
			return 0, err
		}
		rest = rest[n:]
	}
	end, err := cpuClock(unix.CLOCK_PROCESS_CPUTIME_ID)
	return (end - begin) / time.Duration(requests), err
}

// readRun reads records that the run has written for its requests, and counts the
// critical requests that ended among them.
func readRun(ctx context.Context, o options) (records []record.Record, requests int, err error) {
	j, err := journal.OpenReadOnly(o.journal())
	if err != nil {
		return nil, 0, err
	}
	defer j.Close()
	for r, err := range j.Records(ctx, 1) {
		if err != nil {
			return nil, 0, err
		}
		switch {
		case r.ID.Counter == 0 && r.Kind != record.Verdict:
			continue
		case r.Kind == record.Outcome && r.Service == servicerequests.SwitchToCredit:
			requests++
		}
		if records = append(records, r); len(records) == most {
			break
		}
	}
	return records, requests, nil
}
