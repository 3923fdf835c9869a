package audit

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"

	"safemode/engine/record"
	"safemode/servicerequests"
)

// use is one signed message under a counter. A critical request has two: its
// Service Request and its Signed Pre-Command.
type use struct {
	counter uint64
	seq     uint64
	target  servicerequests.EUI
	digest  [16]byte // of the bytes
	kind    record.Kind
	file    uint16 // 0: the journal; then the backups
}

// counters is every use of every originator's counters.
type counters struct {
	uses  map[servicerequests.EUI][]use
	files []string
}

func (c *counters) add(r record.Record, file uint16) {
	sum := sha256.Sum256(r.Body)
	c.uses[r.ID.Originator] = append(c.uses[r.ID.Originator], use{
		counter: r.ID.Counter, seq: r.Seq, target: r.ID.Target, digest: [16]byte(sum[:]), kind: r.Kind, file: file,
	})
}

// last is the highest counter of an originator in one file.
func (c *counters) last(originator servicerequests.EUI, file uint16) (last uint64) {
	for _, u := range c.uses[originator] {
		if u.file == file {
			last = max(last, u.counter)
		}
	}
	return last
}

// judge finds counters that stand for two messages.
func (c *counters) judge(claim *Claim) {
	originators := slices.Sorted(maps.Keys(c.uses))
	different := 0
	for _, originator := range originators {
		all := c.uses[originator]
		claim.Checked += uint64(len(all))
		slices.SortFunc(all, func(a, b use) int {
			return cmp.Or(cmp.Compare(a.counter, b.counter), cmp.Compare(a.kind, b.kind), cmp.Compare(a.file, b.file), cmp.Compare(a.seq, b.seq))
		})
		for i, u := range all {
			if i == 0 || all[i-1].counter != u.counter {
				different++
				continue
			}
			before := all[i-1]
			if reason := clash(before, u); reason != "" {
				claim.fault("originator %v, counter %d: %s: record %d of %s and record %d of %s",
					originator, u.counter, reason, before.seq, c.files[before.file], u.seq, c.files[u.file])
			}
		}
	}
	claim.Note = fmt.Sprintf("%d counters of %d originators", different, len(originators))
}

// clash says why two messages must not share a counter. The two halves of one
// request do, and so does the same message in two histories.
func clash(a, b use) string {
	switch {
	case a.target != b.target:
		return "used for two devices"
	case a.kind != b.kind:
		return ""
	case a.file == b.file:
		return "signed twice"
	case !bytes.Equal(a.digest[:], b.digest[:]):
		return "used for two messages"
	}
	return ""
}
