package report

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strconv"

	"safemode/engine/durable"
	"safemode/engine/record"
	"safemode/servicerequests"
	"safemode/servicerequests/table"
	"safemode/servicerequests/xmldsig"
)

// Story has all records of one meter in a journal, and those of the sweep as a whole: who
// directed it, what people did, how it ended.
type Story struct {
	Device  servicerequests.EUI
	Records []record.Record
}

// ErrNoStory says that a journal's plan does not name a device.
var ErrNoStory = errors.New("the journal's plan does not name the device")

// Tell collects the story of a planned meter. What its gas proxy answered, and what
// the DCC's inventory said of it, belongs to it.
func Tell(records iter.Seq2[record.Record, error], device servicerequests.EUI) (*Story, error) {
	s := &Story{Device: device}
	planned := false
	asked := map[servicerequests.RequestID]bool{}
	for r, err := range records {
		if err != nil {
			return nil, fmt.Errorf("evidence: %w", err)
		}
		switch {
		case r.Device == device:
			planned = planned || r.Kind == record.Target
			if r.ID.Counter != 0 {
				asked[r.ID] = true
			}
		case r.ID.Target == device, asked[r.ID]:
		case r.Device == 0 && (r.Kind == record.Opened || r.Kind == record.Planned || r.Kind == record.Operator || r.Kind == record.Closed):
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

// Witnesses are the public keys that check a story. Records signed by none of them are
// written all the same, and marked as unchecked.
type Witnesses struct {
	XML     map[xmldsig.KeyRef]Witness      // of the DCC and of the supplier, by issuer and serial
	Message map[servicerequests.EUI]Witness // devices and the supplier's identities, by EUI: they sign GBCS messages
}

// Write puts a story into a folder, which must be empty or not exist:
//
//	story.csv        a line for each record, and for each signature in one
//	checks.csv       file, check, key: what a reader can check, without a header line
//	SEQ-KIND.xml     a record's XML as it was sent or received
//	SEQ-KIND.json    what the engine noted
//	SEQ-KIND.tbs     the bytes of a GBCS message that its signature covers
//	SEQ-KIND.tbs.sig that signature, in ASN.1
//	keys/NAME.pem    the public keys; compare them with the SMKI's certificates
//
// A check of xml is an XML signature over the file itself; a check of message is
// ECDSA with SHA-256 over the .tbs file.
func (s *Story) Write(directory string, w Witnesses) error {
	if err := s.write(directory, w); err != nil {
		return fmt.Errorf("evidence: %w", err)
	}
	return nil
}

func (s *Story) write(directory string, w Witnesses) error {
	if err := os.MkdirAll(filepath.Join(directory, "keys"), 0o700); err != nil {
		return err
	}
	var story, checks [][]string
	story = append(story, []string{
		"seq", "at", "kind", "srv", "request_id", "code", "file", "check", "key", "result", "proves", "to_whom",
	})
	used := map[string]*ecdsa.PublicKey{}
	for _, r := range s.Records {
		name := fmt.Sprintf("%08d-%v", r.Seq, r.Kind)
		proofs, err := Prove(r, w)
		if err != nil {
			return err
		}
		id := ""
		if r.ID.Counter != 0 {
			id = r.ID.String()
		}
		srv := ""
		if r.Service != 0 {
			srv = r.Service.SRV()
		}
		for _, p := range proofs {
			file, err := p.write(directory, name)
			if err != nil {
				return err
			}
			key := remember(used, p.Key)
			story = append(story, []string{
				strconv.FormatUint(r.Seq, 10), timestamp(r.At), r.Kind.String(), srv, id, r.Code,
				file, p.Check, key, p.Result, p.Proves, p.ToWhom,
			})
			if p.Check != "" && key != "" {
				checks = append(checks, []string{file, p.Check, key})
			}
		}
	}
	for name, key := range used {
		der, err := x509.MarshalPKIXPublicKey(key)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		text := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
		if err := write(filepath.Join(directory, name), text); err != nil {
			return err
		}
	}
	for name, rows := range map[string][][]string{"story.csv": story, "checks.csv": checks} {
		err := durable.Replace(filepath.Join(directory, name), 0o600, func(out io.Writer) error { return table.NewWriter(out).WriteAll(rows) })
		if err != nil {
			return err
		}
	}
	return nil
}

func write(path string, b []byte) error {
	return durable.Replace(path, 0o600, durable.Bytes(b))
}
