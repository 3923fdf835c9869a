package plan

import (
	"crypto"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"

	"safemode/engine/direction"
	"safemode/engine/record"
	"safemode/servicerequests"
	"safemode/servicerequests/smki"
)

// Content is the running hash of what a journal holds of a plan's lines: SHA-256 over,
// for each in order, a letter (t or r), the device (8 bytes, 0 of a rejected row), the
// length of the record's body (4 bytes) and the body, integers big-endian. A plan's header
// names it, so that a journal can be compared with what was approved without the plan's lines.
type Content struct{ sum hash.Hash }

// NewContent begins one.
func NewContent() Content { return Content{sha256.New()} }

// Target adds a target's record.
func (c Content) Target(device servicerequests.EUI, body []byte) { c.add('t', device, body) }

// Rejected adds a rejected row's record.
func (c Content) Rejected(body []byte) { c.add('r', 0, body) }

func (c Content) add(kind byte, device servicerequests.EUI, body []byte) {
	var head [13]byte
	head[0] = kind
	binary.BigEndian.PutUint64(head[1:], uint64(device))
	binary.BigEndian.PutUint32(head[9:], uint32(len(body)))
	c.sum.Write(head[:])
	c.sum.Write(body)
}

// String returns the hash in hexadecimal.
func (c Content) String() string { return hex.EncodeToString(c.sum.Sum(nil)) }

// sums are the header's hashes of the lines: of what a journal holds of them, and of the
// places.
type sums struct {
	content Content
	places  hash.Hash
}

func newSums() sums { return sums{NewContent(), sha256.New()} }

func (s sums) target(t *Target) {
	s.content.Target(t.Device, t.Body())
	s.places.Write(record.PlannedMeter{Device: t.Device, Hub: t.Hub, Originator: t.Originator, Type: t.Type, Region: t.Region}.Append(nil))
}

func (s sums) rejected(r *Rejected) { s.content.Rejected(r.Body()) }

// check compares the header's hashes with those of the lines.
func (s sums) check(h *Header) error {
	switch content, places := s.content.String(), hex.EncodeToString(s.places.Sum(nil)); {
	case content != h.Content:
		return fmt.Errorf("%w: the header's content_sha256 is not of these lines, which hash to %s", ErrDamaged, content)
	case places != h.Places:
		return fmt.Errorf("%w: the header's seats_sha256 is not of these lines, which hash to %s", ErrDamaged, places)
	}
	return nil
}

// sums hashes the lines of a plan that holds them.
func (p *Plan) sums() sums {
	s := newSums()
	for i := range p.Targets {
		s.target(&p.Targets[i])
	}
	for i := range p.Rejected {
		s.rejected(&p.Rejected[i])
	}
	return s
}

// sum writes the hashes of the lines into the header.
func (p *Plan) sum() {
	s := p.sums()
	p.Content, p.Places = s.content.String(), hex.EncodeToString(s.places.Sum(nil))
}

// Digest is the SHA-256 of the header in JSON, as a journal holds it, in hexadecimal.
// Approvals name it, so that a journal alone shows what was approved.
func (h *Header) Digest() string {
	text, err := json.Marshal(h)
	if err != nil {
		return "" // cannot be of a header that was read or written
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// Body is what the journal's record says of a target.
func (t *Target) Body() []byte {
	return record.Encode(record.TargetBody{
		Type: t.Type, Hub: t.Hub, MPxN: t.MPxN, Region: t.Region, Claimed: t.Claimed,
		Priority: t.Priority, History: t.History, Originator: t.Originator, Model: t.Carried[ColumnModel],
		Proxy: t.Proxy, BalanceEstimate: t.BalanceEstimate, BalanceAt: t.BalanceAt, LastTopUp: t.LastTopUp, Supply: t.Supply,
		Suppressed: t.Suppressed,
	})
}

// Body is what the journal's record says of a rejected row.
func (r *Rejected) Body() []byte {
	return record.Encode(record.RejectedBody{
		Line: r.Line, Device: r.Device, Reason: r.Reason, SMETS1: r.SMETS1, MPxN: r.MPxN, Hub: r.Hub, Claimed: r.Claimed,
	})
}

// errPreparer is the error for a plan that its preparer has not signed.
var errPreparer = errors.New("the plan is not signed by who prepared it")

// Sign has the preparer sign the plan's hash, under the name and key that it carries.
func (p *Plan) Sign(key crypto.Signer) (err error) {
	p.Signature, err = direction.Sign(key, signedText(p.SHA256, p.PreparedBy))
	return err
}

// signedText is what a preparer signs of a plan: three lines, each ending in LF, that
// name the plan's hash, the preparer and their key.
func signedText(sha256 string, by direction.Signatory) []byte {
	return fmt.Appendf(nil, "safemode plan 1\nplan %s\nprepared %q\nkey %s\n", sha256, by.Name, by.Key)
}

// CheckPreparer checks a signature over a plan's hash by the certificate of the person who
// prepared it. The error wraps errPreparer.
func CheckPreparer(sha256 string, by direction.Signatory, signature []byte, c *smki.Certificate) error {
	switch {
	case by.Key == "" || len(signature) == 0:
		return fmt.Errorf("%w (%q): make a new plan with --cert and --key", errPreparer, by.Name)
	case direction.Verify(c, signedText(sha256, by), signature) != nil:
		return fmt.Errorf("%w (%q): the signature is not valid", errPreparer, by.Name)
	}
	return nil
}
