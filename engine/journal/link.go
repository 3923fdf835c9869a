package journal

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"safemode/engine/record"
	"safemode/servicerequests"
)

// srv is the service's text in the file.
func srv(s servicerequests.Service) string {
	if s == 0 {
		return ""
	}
	return s.SRV()
}

// parseSRV is the inverse of srv.
func parseSRV(text string) (servicerequests.Service, error) {
	if text == "" {
		return 0, nil
	}
	for _, s := range servicerequests.Services {
		if s.SRV() == text {
			return s, nil
		}
	}
	return 0, fmt.Errorf("SRV %q is not in the permitted set", text)
}

// hash is one link of the chain.
type hash = [sha256.Size]byte

// link appends the encoding of doc.go to scratch[:0], whose memory it may use,
// and returns the record's hash.
func link(scratch []byte, previous hash, r *record.Record) (hash, []byte) {
	b := append(scratch[:0], previous[:]...)
	for _, n := range [...]uint64{
		r.Seq, uint64(r.At.UnixNano()), uint64(r.Device),
		uint64(r.ID.Originator), uint64(r.ID.Target), r.ID.Counter,
	} {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	for _, text := range [...]string{r.Kind.String(), srv(r.Service), r.Code} {
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(text))), text...)
	}
	b = append(binary.BigEndian.AppendUint32(b, uint32(len(r.Body))), r.Body...)
	return sha256.Sum256(b), b
}
