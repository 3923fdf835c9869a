package report

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/csv"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/big"
	"os"
	"path/filepath"
	"strconv"

	"safemode/engine/journal"
	"safemode/servicerequests"
	"safemode/servicerequests/duis"
	"safemode/servicerequests/gbcs"
	"safemode/servicerequests/xmldsig"
)

// Story is all that a journal holds of one meter, with what concerns the sweep as a
// whole: who directed it, what people did, how it ended.
type Story struct {
	Device  servicerequests.EUI
	Records []journal.Record
}

// ErrNoStory says that a journal's plan does not name a device.
var ErrNoStory = errors.New("the journal's plan does not name the device")

// Tell collects the story of a planned meter. What its gas proxy answered, and what
// the DCC's inventory said of it, belongs to it.
func Tell(records iter.Seq2[journal.Record, error], device servicerequests.EUI) (*Story, error) {
	s := &Story{Device: device}
	planned := false
	asked := map[servicerequests.RequestID]bool{}
	for r, err := range records {
		if err != nil {
			return nil, fmt.Errorf("evidence: %w", err)
		}
		switch {
		case r.Device == device:
			planned = planned || r.Kind == journal.Target
			if r.ID.Counter != 0 {
				asked[r.ID] = true
			}
		case r.ID.Target == device, asked[r.ID]:
		case r.Device == 0 && (r.Kind == journal.Opened || r.Kind == journal.Planned || r.Kind == journal.Operator || r.Kind == journal.Closed):
		default:
			continue
		}
		r.Body = bytes.Clone(r.Body)
		s.Records = append(s.Records, r)
	}
	if !planned {
		return nil, fmt.Errorf("%w %v", ErrNoStory, device)
	}
	return s, nil
}

// Witness is a public key with the name that a reader knows it by.
type Witness struct {
	Name string // of a file: letters, digits and hyphens
	Key  *ecdsa.PublicKey
}

// Witnesses are the public keys that a story is checked with. What is signed by
// none of them is written all the same, and said to be unchecked.
type Witnesses struct {
	XML     map[xmldsig.KeyRef]Witness      // of the DCC and of the supplier, by issuer and serial
	Message map[servicerequests.EUI]Witness // devices and the supplier's identities, by EUI: they sign GBCS messages
}

// proofLine is what one record proves.
type proofLine struct {
	file, check, key string // for checks.csv; check is empty where there is nothing to check
	result           string
	proves, toWhom   string
}

// Write puts a story into a folder, which must be empty or not exist:
//
//	story.csv        a line for each record, and for each signature in one
//	checks.csv       file, check, key: what a reader can check, without a header line
//	SEQ-KIND.xml     a record's XML as it was sent or received
//	SEQ-KIND.json    what the engine noted
//	SEQ-KIND.tbs     the bytes of a GBCS message that its signature covers
//	SEQ-KIND.tbs.sig that signature, in ASN.1
//	keys/NAME.pem    the public keys; hold them against the SMKI's certificates
//
// A check of xml is an XML signature over the file itself; a check of message is
// ECDSA with SHA-256 over the .tbs file.
func (s *Story) Write(directory string, w Witnesses) error {
	if err := os.MkdirAll(filepath.Join(directory, "keys"), 0o700); err != nil {
		return fmt.Errorf("evidence: %w", err)
	}
	var story, checks [][]string
	story = append(story, []string{
		"seq", "at", "kind", "srv", "request_id", "code", "file", "check", "key", "result", "proves", "to_whom",
	})
	used := map[string]*ecdsa.PublicKey{}
	for _, r := range s.Records {
		name := fmt.Sprintf("%08d-%v", r.Seq, r.Kind)
		lines, err := s.prove(directory, name, r, w, used)
		if err != nil {
			return fmt.Errorf("evidence: %w", err)
		}
		id := ""
		if r.ID.Counter != 0 {
			id = r.ID.String()
		}
		srv := ""
		if r.Service != 0 {
			srv = r.Service.SRV()
		}
		for _, l := range lines {
			story = append(story, []string{
				strconv.FormatUint(r.Seq, 10), timestamp(r.At), r.Kind.String(), srv, id, r.Code,
				l.file, l.check, l.key, l.result, l.proves, l.toWhom,
			})
			if l.check != "" && l.key != "" {
				checks = append(checks, []string{l.file, l.check, l.key})
			}
		}
	}
	for name, key := range used {
		der, err := x509.MarshalPKIXPublicKey(key)
		if err != nil {
			return fmt.Errorf("evidence: %s: %w", name, err)
		}
		text := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
		if err := write(filepath.Join(directory, name), text); err != nil {
			return fmt.Errorf("evidence: %w", err)
		}
	}
	for name, rows := range map[string][][]string{"story.csv": story, "checks.csv": checks} {
		err := replace(filepath.Join(directory, name), func(out io.Writer) error { return csv.NewWriter(out).WriteAll(rows) })
		if err != nil {
			return fmt.Errorf("evidence: %w", err)
		}
	}
	return nil
}

func write(path string, b []byte) error {
	return replace(path, func(w io.Writer) error { _, err := w.Write(b); return err })
}

// toAnyone is who is convinced by a signature.
const toAnyone = "anyone who has the public certificate"

// prove writes a record's files and says what they prove.
func (s *Story) prove(directory, name string, r journal.Record, w Witnesses, used map[string]*ecdsa.PublicKey) ([]proofLine, error) {
	if len(r.Body) == 0 {
		return []proofLine{{proves: "what the engine noted", toWhom: "whoever trusts the journal's chain"}}, nil
	}
	if r.Body[0] != '<' {
		l := proofLine{file: name + ".json", proves: "what the engine noted", toWhom: "whoever trusts the journal's chain"}
		return []proofLine{l}, write(filepath.Join(directory, l.file), r.Body)
	}
	xml := proofLine{file: name + ".xml", check: "xml", toWhom: toAnyone}
	if err := write(filepath.Join(directory, xml.file), r.Body); err != nil {
		return nil, err
	}
	found := keyring{witnesses: w.XML}
	_, err := xmldsig.Verify(r.Body, &found)
	xml.key = remember(used, found.used)
	xml.result = result(err, found.asked.String())
	ours := r.Kind == journal.Request || r.Kind == journal.SignedCommand
	switch {
	case errors.Is(err, xmldsig.ErrUnsigned):
		xml.check, xml.key, xml.result = "", "", "unsigned"
		xml.proves, xml.toWhom = "nothing: it steered waiting and retries only", "nobody"
	case ours:
		xml.proves = "the supplier's key signed this request"
	default:
		xml.proves = "the DCC sent this message"
	}
	lines := []proofLine{xml}
	message, err := messageIn(r, ours)
	if message == nil || err != nil {
		return lines, err
	}
	l := proofLine{file: name + ".tbs", check: "message", toWhom: toAnyone}
	if message.Signature == nil {
		l.check, l.file = "", xml.file
		l.result = "checked with the supplier's key when it came in"
		l.proves = "the device answered so: its message has a MAC"
		l.toWhom = "the holder of the supplier's key agreement key only; to others the DCC's signature on the envelope says that it delivered these bytes"
		return append(lines, l), nil
	}
	if err := writeSigned(directory, l.file, message); err != nil {
		return nil, err
	}
	signer, who := message.Originator, "the device"
	if ours {
		who = "the supplier's key"
	}
	l.proves = who + " signed this message"
	witness, known := w.Message[signer]
	if !known {
		l.result = "not checked: the key of " + signer.String() + " is needed"
		return append(lines, l), nil
	}
	l.key = remember(used, witness)
	l.result = result(message.VerifySignature(witness.Key), "")
	return append(lines, l), nil
}

// messageIn finds the GBCS message in a record's XML; nil if there is none.
func messageIn(r journal.Record, ours bool) (*gbcs.Message, error) {
	var payload []byte
	if ours {
		request, err := duis.Inspect(r.Body)
		if err != nil {
			return nil, fmt.Errorf("record %d: %w", r.Seq, err)
		}
		payload = request.SignedPreCommand
	} else {
		response, err := duis.InspectResponse(r.Body)
		if err != nil {
			return nil, fmt.Errorf("record %d: %w", r.Seq, err)
		}
		switch c := response.Content.(type) {
		case duis.DeviceResponse:
			payload = c.Payload
		case duis.DeviceAlert:
			payload = c.Payload
		case duis.FutureDatedAlert:
			payload = c.Payload
		}
	}
	if payload == nil {
		return nil, nil
	}
	message, err := gbcs.Parse(payload)
	if err != nil {
		return nil, fmt.Errorf("record %d: %w", r.Seq, err)
	}
	return message, nil
}

// writeSigned writes what a message's signature covers, and the signature in the
// form that openssl reads.
func writeSigned(directory, name string, m *gbcs.Message) error {
	der, err := asn1.Marshal(struct{ R, S *big.Int }{
		new(big.Int).SetBytes(m.Signature[:32]), new(big.Int).SetBytes(m.Signature[32:]),
	})
	if err != nil {
		return err
	}
	if err := write(filepath.Join(directory, name), m.Signed()); err != nil {
		return err
	}
	return write(filepath.Join(directory, name+".sig"), der)
}

// keyring gives witnesses to a verifier, and notes which was asked for.
type keyring struct {
	witnesses map[xmldsig.KeyRef]Witness
	asked     xmldsig.KeyRef
	used      Witness
}

func (k *keyring) Key(ref xmldsig.KeyRef) (*ecdsa.PublicKey, error) {
	k.asked = ref
	witness, ok := k.witnesses[ref]
	if !ok {
		return nil, xmldsig.ErrUnknownKey
	}
	k.used = witness
	return witness.Key, nil
}

// remember notes that a key is needed to check, and returns its file.
func remember(used map[string]*ecdsa.PublicKey, w Witness) string {
	if w.Key == nil {
		return ""
	}
	file := "keys/" + w.Name + ".pem"
	used[file] = w.Key
	return file
}

func result(err error, key string) string {
	switch {
	case err == nil:
		return "verified"
	case errors.Is(err, xmldsig.ErrUnknownKey):
		return "not checked: the certificate " + key + " is needed"
	}
	return "FAILED: " + err.Error()
}
