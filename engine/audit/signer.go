package audit

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"safemode/engine/journal"
	"safemode/engine/record"
	"safemode/engine/signing"
)

// signerLog holds the signer's log against the journal.
type signerLog struct {
	path  string // empty: none is looked at
	claim Claim
	known map[[16]byte]bool // signatures of the log, and whether the journal has them
}

// cutOff is how many of a signer's last records before a start, of the sweep or of the signer,
// or before the end, may be of signatures that the journal does not have: they were made for
// a sweep that was cut off before it could write them, or the signer was before it could
// hand them over.
const cutOff = 1024

// signature is a key for one signature: who asked for what, and what was signed.
func signature(r record.Record, digest []byte) [16]byte {
	h := sha256.New()
	for _, n := range [...]uint64{uint64(r.Device), uint64(r.ID.Originator), uint64(r.ID.Target), r.ID.Counter, uint64(r.Service), uint64(r.Kind)} {
		_ = binary.Write(h, binary.BigEndian, n) // a hash takes all
	}
	h.Write(digest)
	return [16]byte(h.Sum(nil)[:16])
}

// read reads the log, before the journal is.
func (l *signerLog) read(ctx context.Context) error {
	if l.path == "" {
		return nil
	}
	l.known = map[[16]byte]bool{}
	x, err := journal.Examine(ctx, l.path, func(r record.Record) {
		if r.Kind == record.Request || r.Kind == record.SignedCommand {
			l.known[signature(r, r.Body)] = false
		}
	})
	if err != nil {
		return fmt.Errorf("signer's log: %w", err)
	}
	for _, line := range x.File {
		l.claim.fault("signer's log: %s", line)
	}
	for _, err := range x.Chain {
		l.claim.fault("signer's log: %v", err)
	}
	return nil
}

// take holds one signature of the journal against the log.
func (l *signerLog) take(r record.Record) {
	if l.path == "" {
		return
	}
	l.claim.Checked++
	k, err := signing.KnownOf(r)
	if err != nil {
		l.claim.fault("%v", err)
		return
	}
	name := signature(r, k.Digest)
	if _, signed := l.known[name]; !signed {
		l.claim.fault("record %d: SRV %v of %v was not signed by this signer", r.Seq, r.Service, r.ID)
		return
	}
	l.known[name] = true
}

// end names what was signed and is not in the journal.
func (l *signerLog) end(ctx context.Context) error {
	if l.path == "" {
		return nil
	}
	log, err := journal.OpenReadOnly(l.path)
	if isDamage(err) {
		return nil // said above
	}
	if err != nil {
		return err
	}
	defer log.Close()
	var lost []record.Record
	cut := 0
	judge := func(end uint64) {
		for _, r := range lost {
			if r.Seq+cutOff < end {
				l.claim.fault("signer's record %d: SRV %v of %v was signed on %s, and the journal does not have it",
					r.Seq, r.Service, r.ID, r.At.Format("2006-01-02 15:04:05 UTC"))
				continue
			}
			cut++
		}
		lost = nil
	}
	for r, err := range log.Records(ctx, 1) {
		switch {
		case err != nil:
			return err
		case r.Kind == record.Opened, r.Kind == record.Operator && r.Code == signing.CodeStarted:
			judge(r.Seq)
		case r.Kind == record.Request || r.Kind == record.SignedCommand:
			l.claim.Checked++
			if !l.known[signature(r, r.Body)] {
				lost = append(lost, r)
			}
		}
	}
	judge(log.Tip().Seq)
	if cut > 0 {
		l.claim.Note = fmt.Sprintf("%d were signed just before the sweep or the signer was cut off, and were not written", cut)
	}
	return nil
}
