package signing

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"safemode/engine/authority"
	"safemode/engine/custody"
	"safemode/engine/direction"
	"safemode/engine/record"
	"safemode/servicerequests"
)

// Evidence is what the engine sends for a start. All of it is unproven.
type Evidence struct {
	Journal   Claims                `json:"journal"`
	Book      []byte                `json:"custody_book"` // text of the custody's book
	Approvals []*direction.Approval `json:"approvals"`
	Signed    []Known               `json:"signed"` // the newest signatures that the journal has
	// Look asks what would be decided: nothing is granted, and the log stays as it is.
	Look bool `json:"look,omitempty"`
}

// Claims is what the engine's journal says of itself, as [authority.Journal] has it.
type Claims struct {
	ID      string            `json:"id"`
	Planned string            `json:"planned"`
	Content string            `json:"content"`
	Starts  []authority.Start `json:"starts"`
	Stop    authority.Stop    `json:"stop"`
	Records uint64            `json:"records"`
	Hashes  map[uint64]string `json:"hashes"` // of the records that book and signer name, hexadecimal
}

// Known is a signature that the engine's journal has.
type Known struct {
	Meter   servicerequests.EUI       `json:"meter"`
	ID      servicerequests.RequestID `json:"id"`
	Service SRV                       `json:"srv"`
	Command bool                      `json:"command"`
	Digest  []byte                    `json:"digest"` // see digestOf
}

// Granted is the answer to a start that may act.
type Granted struct {
	Until time.Time `json:"until"` // the direction's end
}

// grant is the permission to sign for one start, as the log has it.
type grant struct {
	Plan    string    `json:"plan_sha256"` // that the signer had then: a grant is for no other
	Journal string    `json:"journal_id"`
	Records uint64    `json:"journal_records"` // that it had, and the hash of the last
	Hash    string    `json:"journal_hash"`
	Lines   int       `json:"book_lines"` // of the custody's book, and the hash of the last
	Line    string    `json:"book_line"`
	Spent   []string  `json:"approvals"` // SHA-256 of their texts
	At      time.Time `json:"at"`
}

// errOlder is the error for a journal, a custody or a signer's log that is older than the
// others know it: it was restored or copied.
var errOlder = errors.New("restored or copied")

// decide says by the signer's own copies whether a start may act. last is the last grant;
// nil: there was none.
func (s *Service) decide(ev Evidence, last *grant, frozenAt, now time.Time) (*grant, error) {
	entries, lines, err := custody.Parse(ev.Book)
	if err != nil {
		return nil, err
	}
	c := s.ownCase(now)
	c.Approvals = ev.Approvals
	c.Custody = &authority.Custody{ID: entries[0].Custody, Entries: entries}
	c.Journal = authority.Journal{
		ID: ev.Journal.ID, Planned: ev.Journal.Planned, Content: ev.Journal.Content,
		Starts: slices.Clone(ev.Journal.Starts), Stop: ev.Journal.Stop, Records: ev.Journal.Records,
		HashAt: func(seq uint64) ([32]byte, error) { return ev.Journal.hash(seq) },
	}
	if err := s.compareMemory(ev, lines, last, c.Journal.Stop.Accepted != ""); err != nil {
		return nil, err
	}
	decided, err := c.Decide()
	if err != nil {
		return nil, err
	}
	for _, a := range decided.Approvals {
		terms, err := direction.ParseTerms(a.Text)
		if err != nil {
			return nil, err
		}
		if !terms.IssuedAt.After(frozenAt) {
			return nil, fmt.Errorf("%w: the approval of %q was given before the signer was frozen on %s: have two approve again",
				direction.ErrNotApproved, a.Name, frozenAt.UTC().Format(time.RFC3339))
		}
	}
	o := &grant{Plan: s.o.Plan.SHA256, Journal: ev.Journal.ID, Records: ev.Journal.Records, Lines: len(lines), Line: hex.EncodeToString(lines[len(lines)-1][:]), Spent: decided.Spent, At: now}
	if o.Records > 0 {
		hash, err := ev.Journal.hash(o.Records)
		if err != nil {
			return nil, err
		}
		o.Hash = hex.EncodeToString(hash[:])
	}
	return o, nil
}

// ownCase is the evidence that the signer has itself.
func (s *Service) ownCase(now time.Time) authority.Case {
	c := authority.Case{
		Plan: s.o.Plan, Roster: s.o.Roster, Trust: s.o.Trust, MaxValidity: s.o.MaxValidity, Gates: s.checkStopped(now), Now: now,
	}
	if s.o.Gates != nil {
		c.Freeze = s.o.Gates.Freeze()
	}
	return c
}

// compareMemory checks that journal and book go on from the last grant, and that the log has
// every signature that the journal has. accepted says that two people have accepted a
// restored journal.
func (s *Service) compareMemory(ev Evidence, lines [][32]byte, last *grant, accepted bool) error {
	if last != nil && !accepted {
		if last.Journal != ev.Journal.ID {
			return fmt.Errorf("%w: this is journal %s, and %s was opened before", errOlder, ev.Journal.ID, last.Journal)
		}
		if len(lines) < last.Lines || hex.EncodeToString(lines[last.Lines-1][:]) != last.Line {
			return fmt.Errorf("%w: the custody's book does not go on from where it was on %s", errOlder, last.At.Format(time.RFC3339))
		}
		if last.Records > 0 && ev.Journal.Hashes[last.Records] != last.Hash {
			return fmt.Errorf("%w: the journal does not go on from record %d, as it was on %s", errOlder, last.Records, last.At.Format(time.RFC3339))
		}
	}
	if s.lossAccepted {
		return nil
	}
	for _, k := range ev.Signed {
		if !s.memory.knows(k.signature()) {
			return fmt.Errorf("%w: the signer's log does not know that it has signed %s of %s, which the journal holds: go on with the newest log,"+
				" or, if it is lost, have two approve (safemode approve --accept) what safemode signer accept names", errOlder, servicerequests.Service(k.Service), k.ID)
		}
	}
	return nil
}

func (k Known) signature() signature {
	p := signature{meter: k.Meter, id: k.ID, service: servicerequests.Service(k.Service), command: k.Command}
	copy(p.digest[:], k.Digest)
	return p
}

func (c *Claims) hash(seq uint64) (h [32]byte, err error) {
	b, err := hex.DecodeString(c.Hashes[seq])
	if err != nil || len(b) != len(h) {
		return h, fmt.Errorf("%w: the hash of record %d was not given", errOlder, seq)
	}
	return [32]byte(b), nil
}

func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // values of our own types
	}
	return b
}

// The events of the log itself, in Code of an Operator record.
const (
	codeMade    = "made"      // the log was begun
	CodeStarted = "restarted" // the signer starts: answers of the run before may not have been heard
	codeFrozen  = "frozen"    // a freeze was found
	codeAccept  = "accept"    // two people have accepted it as the newest
)

// logEvent is the body of such a record.
type logEvent struct {
	Inode   uint64 `json:"inode,omitempty"`   // of the log's file as it is
	Subject string `json:"subject,omitempty"` // of an acceptance
	Reason  string `json:"reason,omitempty"`
}

func (s *Service) eventRecord(code string, a logEvent, at time.Time) record.Record {
	return record.Record{At: at, Kind: record.Operator, Code: code, Body: encode(a)}
}
