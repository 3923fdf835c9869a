package engine

import (
	"context"
	"encoding/json"
	"os"
	"time"

	"safemode/engine/custody"
	"safemode/engine/journal"
	"safemode/servicerequests"
)

// Accepted is what became of one originator's counters in [AcceptJournal].
type Accepted struct {
	Originator servicerequests.EUI `json:"originator"`
	Missing    uint64              `json:"missing_records"` // at least, at the end of the journal
	HighWater  uint64              `json:"high_water"`      // counting goes on over it
}

// AcceptJournal takes a journal that was restored from a backup for the owner of its
// counters, and writes into it that this was done. It touches only the counters
// of this journal. Errors are those of [custody.Accept] and [journal.Open].
func AcceptJournal(ctx context.Context, custodyDir, path string) (accepted []Accepted, err error) {
	marks, err := custody.Read(custodyDir)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(path); err != nil { // a typing error makes no journal
		return nil, err
	}
	j, err := journal.Open(path, journal.Options{})
	if err != nil {
		return nil, err
	}
	defer func() {
		if e := j.Close(); err == nil {
			err = e
		}
	}()
	for _, m := range marks {
		if m.Owner != j.ID() || m.Released {
			continue
		}
		missing, err := custody.Accept(custodyDir, m.Originator, owner{j})
		if err != nil {
			return accepted, err
		}
		a := Accepted{m.Originator, missing, m.HighWater}
		body, err := json.Marshal(struct {
			Action string `json:"action"`
			Accepted
		}{"restored journal accepted", a})
		if err != nil {
			return accepted, err
		}
		if err := j.Commit(ctx, journal.Record{At: time.Now(), Kind: journal.Operator, Code: "accept", Body: body}); err != nil {
			return accepted, err
		}
		accepted = append(accepted, a)
	}
	return accepted, nil
}
