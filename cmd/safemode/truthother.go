package main

import (
	"context"
	"crypto/sha256"

	"safemode/engine/journal"
	"safemode/engine/record"
	"safemode/engine/report"
)

// wrongOther is the kind of mismatch of a message of other traffic that was lost or mistaken.
const wrongOther = "other_traffic"

// otherTraffic holds what the journal says of the User's other traffic against what the
// simulator has sent and the inbox has taken. Every message must be there, and be marked as
// one that answers nothing of the sweep, or not be judged yet.
func otherTraffic(ctx context.Context, path string, sent [][sha256.Size]byte) (*report.OtherTraffic, error) {
	j, err := journal.OpenReadOnly(path)
	if err != nil {
		return nil, failWith(journalCode(err), err)
	}
	defer j.Close()
	const absent, stored, counted, mistaken = 0, 1, 2, 3
	state := map[[sha256.Size]byte]int{}
	for _, digest := range sent {
		state[digest] = absent
	}
	digests := map[uint64][sha256.Size]byte{} // by number of the record
	for r, err := range j.Records(ctx, 1) {
		if err != nil {
			return nil, failWith(journalCode(err), err)
		}
		switch r.Kind {
		case record.Received, record.Response, record.Alert:
			digest := sha256.Sum256(r.Body)
			if was, ours := state[digest]; ours {
				digests[r.Seq] = digest
				state[digest] = max(was, stored)
			}
		case record.Unmatched, record.Repeated, record.Proven, record.Refused:
			if len(r.Body) == 0 {
				continue
			}
			body, err := record.Decode[record.JudgedBody](r) // the others have the same key
			if err != nil {
				return nil, failWith(exitFailed, err)
			}
			digest, ours := digests[body.Of]
			switch {
			case !ours:
			case r.Kind == record.Unmatched:
				state[digest] = max(state[digest], counted)
			default:
				state[digest] = mistaken
			}
		}
	}
	o := &report.OtherTraffic{Sent: len(sent)}
	for _, s := range state {
		switch s {
		case absent:
			o.Lost++
		case stored:
			o.Unjudged++
		case counted:
			o.Counted++
		case mistaken:
			o.Mistaken++
		}
	}
	return o, nil
}
