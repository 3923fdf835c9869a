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

// Evidence is what the engine brings for a start. All of it are claims.
type Evidence struct {
	Journal   Claims                `json:"journal"`
	Book      []byte                `json:"custody_book"` // text of the custody's book
	Approvals []*direction.Approval `json:"approvals"`
	Signed    []Known               `json:"signed"` // the youngest signatures that the journal holds
}

// Claims is what the engine's journal says of itself, as [authority.Journal] has it.
type Claims struct {
	ID      string            `json:"id"`
	Planned string            `json:"planned"`
	Content string            `json:"content"`
	Starts  []authority.Start `json:"starts"`
	Stop    authority.Stop    `json:"stop"`
	Records uint64            `json:"records"`
	Hashes  map[uint64]string `json:"hashes"` // of the records that the book and the signer remember, hexadecimal
}

// Known is a signature that the engine's journal holds.
type Known struct {
	Meter   servicerequests.EUI       `json:"meter"`
	ID      servicerequests.RequestID `json:"id"`
	Service SRV                       `json:"srv"`
	Command bool                      `json:"command"`
	Digest  []byte                    `json:"digest"` // see [DigestOf]
}

// Granted is what a start may act by.
type Granted struct {
	Until time.Time `json:"until"` // the direction's end
}

// opened is the last grant, as the log has it.
type opened struct {
	Plan    string    `json:"plan_sha256"` // that the signer had then: a grant is for no other
	Journal string    `json:"journal_id"`
	Records uint64    `json:"journal_records"` // that it had, and the hash of the last
	Hash    string    `json:"journal_hash"`
	Lines   int       `json:"book_lines"` // of the custody's book, and the hash of the last
	Line    string    `json:"book_line"`
	Spent   []string  `json:"approvals"` // SHA-256 of their texts
	At      time.Time `json:"at"`
}

// ErrOlder refuses a journal, a custody or a signer's log that is not what another of them
// remembers: one that was restored or copied.
var ErrOlder = errors.New("restored or copied")

// weigh decides on a start by the signer's own copies. last is the last grant; nil: there
// was none.
func (s *Service) weigh(ev Evidence, last *opened, now time.Time) (*opened, error) {
	entries, lines, err := custody.Parse(ev.Book)
	if err != nil {
		return nil, err
	}
	c := s.evidence(now)
	c.Approvals = ev.Approvals
	c.Custody = &authority.Custody{ID: entries[0].Custody, Entries: entries}
	c.Journal = authority.Journal{
		ID: ev.Journal.ID, Planned: ev.Journal.Planned, Content: ev.Journal.Content,
		Starts: slices.Clone(ev.Journal.Starts), Stop: ev.Journal.Stop, Records: ev.Journal.Records,
		HashAt: func(seq uint64) ([32]byte, error) { return ev.Journal.hash(seq) },
	}
	if err := s.remembered(ev, lines, last, c.Journal.Stop.Accepted != ""); err != nil {
		return nil, err
	}
	grant, err := c.Decide()
	if err != nil {
		return nil, err
	}
	for _, a := range grant.Approvals {
		terms, err := direction.ParseTerms(a.Text)
		if err != nil {
			return nil, err
		}
		if !terms.IssuedAt.After(s.frozenAt) {
			return nil, fmt.Errorf("%w: the approval of %q was given before the signer was frozen on %s: have two approve again",
				direction.ErrNotApproved, a.Name, s.frozenAt.UTC().Format(time.RFC3339))
		}
	}
	o := &opened{Plan: s.o.Plan.SHA256, Journal: ev.Journal.ID, Records: ev.Journal.Records, Lines: len(lines), Line: hex.EncodeToString(lines[len(lines)-1][:]), Spent: grant.Spent, At: now}
	if o.Records > 0 {
		hash, err := ev.Journal.hash(o.Records)
		if err != nil {
			return nil, err
		}
		o.Hash = hex.EncodeToString(hash[:])
	}
	return o, nil
}

// evidence is what the signer has itself.
func (s *Service) evidence(now time.Time) authority.Case {
	c := authority.Case{
		Plan: s.o.Plan, Roster: s.o.Roster, Trust: s.o.Trust, Longest: s.o.Longest, Gates: s.stands(now), Now: now,
	}
	if s.o.Gates != nil {
		c.Freeze = s.o.Gates.Freeze()
	}
	return c
}

// remembered holds journal and book to what they were at the last grant, and the log to
// what the journal has of it. accepted says that two have accepted a restored journal.
func (s *Service) remembered(ev Evidence, lines [][32]byte, last *opened, accepted bool) error {
	if last != nil && !accepted {
		if last.Journal != ev.Journal.ID {
			return fmt.Errorf("%w: this is journal %s, and %s was opened before", ErrOlder, ev.Journal.ID, last.Journal)
		}
		if len(lines) < last.Lines || hex.EncodeToString(lines[last.Lines-1][:]) != last.Line {
			return fmt.Errorf("%w: the custody's book does not go on from where it was on %s", ErrOlder, last.At.Format(time.RFC3339))
		}
		if last.Records > 0 && ev.Journal.Hashes[last.Records] != last.Hash {
			return fmt.Errorf("%w: the journal does not go on from record %d, as it was on %s", ErrOlder, last.Records, last.At.Format(time.RFC3339))
		}
	}
	if s.lossAccepted {
		return nil
	}
	for _, k := range ev.Signed {
		if !s.memory.knows(k.piece()) {
			return fmt.Errorf("%w: the signer's log does not know that it has signed %s of %s, which the journal holds: go on with the newest log,"+
				" or, if it is lost, have two approve (safemode approve --accept) what safemode signer accept names", ErrOlder, servicerequests.Service(k.Service), k.ID)
		}
	}
	return nil
}

func (k Known) piece() piece {
	p := piece{meter: k.Meter, id: k.ID, service: servicerequests.Service(k.Service), command: k.Command}
	copy(p.digest[:], k.Digest)
	return p
}

func (c *Claims) hash(seq uint64) (h [32]byte, err error) {
	b, err := hex.DecodeString(c.Hashes[seq])
	if err != nil || len(b) != len(h) {
		return h, fmt.Errorf("%w: the hash of record %d was not given", ErrOlder, seq)
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

// Kinds of the log's records of its own affairs, in Code of an Operator record.
const (
	codeMade   = "made"   // the log was begun
	codeFrozen = "frozen" // it was found frozen
	codeAccept = "accept" // two have accepted it as the newest
)

// affair is the body of such a record.
type affair struct {
	Inode   uint64 `json:"inode,omitempty"`   // of the log's file as it is
	Subject string `json:"subject,omitempty"` // of an acceptance
	Reason  string `json:"reason,omitempty"`
}

func (s *Service) affair(code string, a affair, at time.Time) record.Record {
	return record.Record{At: at, Kind: record.Operator, Code: code, Body: encode(a)}
}
