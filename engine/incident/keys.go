package incident

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"time"

	"safemode/engine/record"
	"safemode/servicerequests"
	"safemode/servicerequests/xmldsig"
)

// Keys is what was signed.
type Keys struct {
	Program      string
	Made         time.Time
	signatures   [][]string
	certificates map[string]*tally
	counters     map[servicerequests.EUI]*counters
	journalled   map[[32]byte]bool // SHA-256 of who asked for what and what was signed
	signer       [][]string
	refusals     [][]string
	Foreign      int  // signatures of the signer's log that the journal does not have
	Signer       bool // a signer's log was read
}

type counters struct {
	used        map[uint64]bool
	first, last uint64
}

// named is a verifier's keyring that has no key, and notes which certificate a document names.
type named struct{ ref xmldsig.KeyRef }

var errNamed = errors.New("named")

func (n *named) Key(ref xmldsig.KeyRef) (*ecdsa.PublicKey, error) {
	n.ref = ref
	return nil, errNamed
}

// ReadKeys reads what a journal has of signatures. It proves none: audit and evidence do.
// digest gives what a signer's log has of a record; nil: none is read.
func ReadKeys(records iter.Seq2[record.Record, error], digest func(record.Record) ([]byte, error)) (*Keys, error) {
	k := &Keys{certificates: map[string]*tally{}, counters: map[servicerequests.EUI]*counters{}, journalled: map[[32]byte]bool{}}
	for r, err := range records {
		if err != nil {
			return nil, fmt.Errorf("incident: %w", err)
		}
		if r.Kind != record.Request && r.Kind != record.SignedCommand {
			continue
		}
		var n named
		certificate := "none is named"
		if _, err := xmldsig.Verify(r.Body, &n); errors.Is(err, errNamed) {
			certificate = n.ref.String()
		}
		k.by(certificate, r.At)
		if r.Kind == record.SignedCommand { // the message in it is signed under another one
			k.by("digital signing, of "+r.ID.Originator.String(), r.At)
		}
		sum := sha256.Sum256(r.Body)
		k.signatures = append(k.signatures, []string{
			instant(r.At), strconv.FormatUint(r.Seq, 10), r.Kind.String(), r.Service.SRV(), r.ID.String(), certificate, hex.EncodeToString(sum[:]),
		})
		c := k.counters[r.ID.Originator]
		if c == nil {
			c = &counters{used: map[uint64]bool{}, first: r.ID.Counter}
			k.counters[r.ID.Originator] = c
		}
		c.used[r.ID.Counter] = true
		c.first, c.last = min(c.first, r.ID.Counter), max(c.last, r.ID.Counter)
		if digest == nil { // there is no signer's log to compare with
			continue
		}
		d, err := digest(r)
		if err != nil {
			return nil, fmt.Errorf("incident: record %d: %w", r.Seq, err)
		}
		k.journalled[of(r, d)] = true
	}
	return k, nil
}

func (k *Keys) by(certificate string, at time.Time) {
	t := k.certificates[certificate]
	if t == nil {
		t = &tally{first: at}
		k.certificates[certificate] = t
	}
	t.n, t.last = t.n+1, at
}

// of names a signature: what for, and of what.
func of(r record.Record, digest []byte) [32]byte {
	return sha256.Sum256(fmt.Appendf(nil, "%d %d %d %v %x", r.Kind, r.Service, uint64(r.Device), r.ID, digest))
}

// ReadSigner adds what the signer's log has. The body of a signature there is the digest of
// what was signed.
func (k *Keys) ReadSigner(records iter.Seq2[record.Record, error]) error {
	k.Signer = true
	for r, err := range records {
		if err != nil {
			return fmt.Errorf("incident: signer's log: %w", err)
		}
		switch r.Kind {
		case record.Request, record.SignedCommand:
			in := "yes"
			if !k.journalled[of(r, r.Body)] {
				in = "no"
				k.Foreign++
			}
			k.signer = append(k.signer, []string{
				instant(r.At), strconv.FormatUint(r.Seq, 10), r.Kind.String(), r.Service.SRV(), r.ID.String(), hex.EncodeToString(r.Body), in,
			})
		case record.Refused:
			body, err := record.Decode[record.RefusedBody](r)
			if err != nil {
				return fmt.Errorf("incident: signer's log: record %d: %w", r.Seq, err)
			}
			k.refusals = append(k.refusals, []string{
				instant(r.At), strconv.FormatUint(r.Seq, 10), r.Service.SRV(), r.ID.String(), r.Code, record.Hide(body.Reason),
			})
		}
	}
	return nil
}

func (k *Keys) certificatesTable() [][]string {
	all := [][]string{{"certificate", "first_at", "last_at", "signatures"}}
	for _, name := range slices.Sorted(maps.Keys(k.certificates)) {
		t := k.certificates[name]
		all = append(all, []string{name, instant(t.first), instant(t.last), strconv.Itoa(t.n)})
	}
	return all
}

func (k *Keys) countersTable() [][]string {
	all := [][]string{{"originator", "used", "first", "last"}}
	for _, eui := range slices.Sorted(maps.Keys(k.counters)) {
		c := k.counters[eui]
		all = append(all, []string{eui.String(), strconv.Itoa(len(c.used)), strconv.FormatUint(c.first, 10), strconv.FormatUint(c.last, 10)})
	}
	return all
}
