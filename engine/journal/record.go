package journal

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"safemode/servicerequests"
)

// Kind says what a record is about, and with it what Code and Body hold.
type Kind uint8

// The kinds of records. Names in the file are those of [Kind.String].
const (
	Opened        Kind = iota + 1 // the sweep's identity: Body = [Opening]
	Planned                       // header of the frozen plan: Body = JSON as in the plan file
	Target                        // one per planned meter: Body = [TargetBody]
	Rejected                      // one per portfolio row not covered: Body = [RejectedBody]
	Request                       // a signed request (Command Variant 1, 4 or 8), durable before it is POSTed: Body = signed XML
	PreCommand                    // proven answer of Transform: Body = XML as received
	SignedCommand                 // Signed Pre-Command (Command Variant 5), durable before it is POSTed: Body = signed XML
	Reply                         // synchronous acknowledgement, error or inventory: Code = DUIS code, Body = as received
	Response                      // proven asynchronous response: Code = DUIS code, Body = as received
	Alert                         // proven device alert or DCC Alert: Code = alert code, Body = as received
	Unmatched                     // proven DCC message that answers no request of ours: Body = as received
	Outcome                       // the end of one request: Code = class, Body = [OutcomeBody]
	Refused                       // something was not signed or not believed: Code = why, Body = [RefusedBody]
	Verdict                       // where a meter stands, the last one of a device counts: Code = verdict, Body = [VerdictBody]
	Operator                      // a person's order, or one the sweep gave itself: Code = action, Body = [OrderBody]
	Closed                        // the sweep ended: Code = finished, halted, interrupted or ceased, Body = [ClosedBody]
	Wave                          // how far a wave of the plan has come: Code = opened, soaking or passed, Body = [WaveBody]
	Tripwire                      // what answers together mean halted the sweep: Code = which, Body = [TripwireBody]
	State                         // the table state holds what follows from the records so far: Body = [StateBody]
)

// made is the kind of record 0.
const made Kind = 0

var kindNames = [...]string{
	"journal", "opened", "planned", "target", "rejected", "request", "pre_command", "signed_command",
	"reply", "response", "alert", "unmatched", "outcome", "refused", "verdict", "operator", "closed",
	"wave", "tripwire", "state",
}

func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("invalid(%d)", uint8(k))
}

func parseKind(name string) (Kind, error) {
	for k, known := range kindNames {
		if known == name {
			return Kind(k), nil
		}
	}
	return 0, fmt.Errorf("kind %q is not known", name)
}

// typed says whether records of this kind carry a body of body.go, which is
// never empty.
func (k Kind) typed() bool {
	switch k {
	case Opened, Target, Rejected, Outcome, Refused, Verdict, Closed, Operator, Wave, Tripwire, State:
		return true
	}
	return false
}

// Record is one event of a sweep.
type Record struct {
	Seq     uint64                    // position, from 1; given by the journal when it writes
	At      time.Time                 // the sweep's clock; kept in nanoseconds, UTC
	Kind    Kind                      // decides what Code and Body hold
	Device  servicerequests.EUI       // the planned meter this belongs to; 0 if none
	Service servicerequests.Service   // 0 if none
	ID      servicerequests.RequestID // zero if none; ID.Target may differ from Device (GPF, DCC)
	Code    string
	Body    []byte // empty comes back as nil
}

// ErrRecord marks a record that cannot be written: a kind that is not known, a
// time outside the years 1678 to 2262, a service outside the permitted set, a
// counter over 63 bits, or a typed kind without a body.
var ErrRecord = errors.New("journal: record cannot be written")

// check refuses what could not be read back as it is.
func (r Record) check() error {
	switch {
	case r.Kind == made || int(r.Kind) >= len(kindNames):
		return fmt.Errorf("%w: kind %v", ErrRecord, r.Kind)
	case r.At.Before(earliest) || r.At.After(latest):
		return fmt.Errorf("%w: %v: time %v", ErrRecord, r.Kind, r.At)
	case r.Service != 0 && !knownService(r.Service):
		return fmt.Errorf("%w: %v: service %v", ErrRecord, r.Kind, r.Service)
	case r.ID.Counter > servicerequests.MaxCounter:
		return fmt.Errorf("%w: %v: counter %d", ErrRecord, r.Kind, r.ID.Counter)
	case r.Kind.typed() && len(r.Body) == 0:
		return fmt.Errorf("%w: %v without a body", ErrRecord, r.Kind)
	}
	return nil
}

var (
	earliest = time.Unix(0, math.MinInt64)
	latest   = time.Unix(0, math.MaxInt64)
)

func knownService(s servicerequests.Service) bool {
	_, ok := s.Variant()
	return ok
}

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
func link(scratch []byte, previous hash, r *Record) (hash, []byte) {
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
