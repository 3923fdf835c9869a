package report

import (
	"crypto/ecdsa"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"path/filepath"

	"safemode/engine/record"
	"safemode/servicerequests/duis"
	"safemode/servicerequests/gbcs"
	"safemode/servicerequests/xmldsig"
	"safemode/servicerequests/xmltree"
)

// Proof is one thing that a record proves, and to whom.
type Proof struct {
	Check  string  // xml or message: how a reader checks it; empty where there is nothing to check
	Key    Witness // that checks it; zero where none is known
	Result string  // of the check
	Proves string
	ToWhom string

	suffix  string // of its file; empty: none
	content []byte // of its file; nil: another proof's
	message *gbcs.Message
}

// toAnyone says to whom a signature proves something.
const toAnyone = "anyone who has the public certificate"

// resultMAC is of a message that only the engine could check. It is recorded before that.
const resultMAC = "checked by the engine with the supplier's key: it held if an outcome rests on it"

// Prove says what a record proves. Each signature in it is checked with the witnesses'
// keys, or said to be unchecked.
func Prove(r record.Record, w Witnesses) ([]Proof, error) {
	noted := Proof{Proves: "what the engine noted", ToWhom: "whoever trusts the journal's chain"}
	if len(r.Body) == 0 {
		return []Proof{noted}, nil
	}
	if !xmltree.Begins(r.Body) {
		noted.suffix, noted.content = ".json", r.Body
		return []Proof{noted}, nil
	}
	xml := Proof{Check: "xml", ToWhom: toAnyone, suffix: ".xml", content: r.Body}
	found := keyring{witnesses: w.XML}
	_, err := xmldsig.Verify(r.Body, &found)
	xml.Key = found.used
	xml.Result = result(err, found.asked.String())
	ours := r.Kind == record.Request || r.Kind == record.SignedCommand
	switch {
	case errors.Is(err, xmldsig.ErrUnsigned):
		xml.Check, xml.Key, xml.Result = "", Witness{}, "unsigned"
		xml.Proves, xml.ToWhom = "nothing: it steered waiting and retries only", "nobody"
	case ours:
		xml.Proves = "the supplier's key signed this request"
	default:
		xml.Proves = "the DCC sent this message"
	}
	if r.Kind == record.Received { // nobody could read on
		return []Proof{xml}, nil
	}
	message, err := messageIn(r, ours)
	if message == nil || err != nil {
		return []Proof{xml}, err
	}
	p := Proof{Check: "message", ToWhom: toAnyone, suffix: ".tbs", message: message}
	if message.Signature == nil {
		p.Check, p.suffix, p.message = "", ".xml", nil
		p.Result = resultMAC
		p.Proves = "the device answered so, if its MAC held"
		p.ToWhom = "the holder of the supplier's key agreement key only; to others the DCC's signature on the envelope says that it delivered these bytes"
		return []Proof{xml, p}, nil
	}
	who := "the device"
	if ours {
		who = "the supplier's key"
	}
	p.Proves = who + " signed this message"
	witness, known := w.Message[message.Originator]
	if !known {
		p.Result = "not checked: the key of " + message.Originator.String() + " is needed"
		return []Proof{xml, p}, nil
	}
	p.Key = witness
	p.Result = result(message.VerifySignature(witness.Key), "")
	return []Proof{xml, p}, nil
}

// messageIn finds the GBCS message in a record's XML; nil if there is none.
func messageIn(r record.Record, ours bool) (*gbcs.Message, error) {
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

// write puts the proof into a folder, and returns its file; empty if there is none. For
// a message it writes the bytes that its signature covers, and the signature in a form that
// openssl reads.
func (p Proof) write(directory, name string) (file string, err error) {
	if p.suffix == "" {
		return "", nil
	}
	file = name + p.suffix
	path := filepath.Join(directory, file)
	switch m := p.message; {
	case m != nil:
		der, err := asn1.Marshal(struct{ R, S *big.Int }{
			new(big.Int).SetBytes(m.Signature[:32]), new(big.Int).SetBytes(m.Signature[32:]),
		})
		if err != nil {
			return "", err
		}
		return file, errors.Join(write(path, m.Signed()), write(path+".sig", der))
	case p.content != nil:
		return file, write(path, p.content)
	}
	return file, nil
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
