package dcc_test

import (
	"crypto/ecdsa"
	"testing"
	"time"

	"safemode/devicesim/dcc"
	"safemode/devicesim/fleet"
	"safemode/devicesim/meter"
	"safemode/servicerequests/duis"
	"safemode/servicerequests/gbcs"
	"safemode/servicerequests/xmldsig"
	"safemode/servicerequests/xmltree"
)

// TestOtherTrafficIsReadable: every kind of other traffic is signed by the DCC, is a document
// of the schema, and carries what it is named for, to the last element.
func TestOtherTrafficIsReadable(t *testing.T) {
	raised := map[meter.AlertCode]int{}
	b := newBench(t, func(o *dcc.Options) {
		o.Raise = func(m fleet.Meter, code meter.AlertCode, at time.Time) ([]byte, error) {
			raised[code]++
			a := gbcs.Alert{Code: uint16(code), At: at}
			h := gbcs.Header{CRA: gbcs.CRAAlert, Counter: uint64(m.AlertCounter) + 1, Originator: m.Device, Target: m.Supplier, Code: a.MessageCode()}
			payload, err := gbcs.AppendAlertPayload(nil, h.Counter, a)
			if err != nil || a.Critical() {
				return append(append(gbcs.AppendMessage(nil, h, payload), 64), make([]byte, 64)...), err
			}
			return gbcs.AppendMAC(nil, gbcs.AppendNull(nil, h, payload), h.Originator, [16]byte{}), nil
		}
	})
	signer := b.folder.DCC.XMLSigning.Certificate
	ref, err := xmldsig.NewKeyRef(signer.Issuer, signer.SerialText())
	if err != nil {
		t.Fatal(err)
	}
	keys := onlyKey{ref, signer.PublicKey}
	seen := map[dcc.OtherKind]int{}
	for n := range uint64(200) {
		err := b.dcc.Other(n, 7, *b.esme, func(kind dcc.OtherKind, body []byte) func(time.Time) {
			seen[kind]++
			tree, err := xmltree.Parse(body)
			if err != nil {
				t.Fatalf("%s: %v", kind, err)
			}
			if _, err := xmldsig.VerifyTree(tree, keys); err != nil {
				t.Errorf("%s: %v", kind, err)
			}
			r, err := duis.ReadResponse(tree)
			if err != nil {
				t.Errorf("%s: %v", kind, err)
			}
			switch kind {
			case dcc.OtherSMETS1, dcc.OtherS1SP:
				if said, err := duis.ReadSMETS1(tree); err != nil || said.Device != b.esme.Device {
					t.Errorf("%s: %v, %v", kind, said, err)
				}
			case dcc.OtherRead, dcc.OtherFirmware, dcc.OtherLongAlert, dcc.OtherRefusal, dcc.OtherTopUp:
				wantMessage(t, kind, r.Content)
			}
			return func(time.Time) {}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(seen) != 11 || raised[meter.SourceAuthority] != seen[dcc.OtherRefusal] || raised[meter.CreditAdded] != seen[dcc.OtherTopUp] {
		t.Errorf("kinds %v, alerts raised %v", seen, raised)
	}
}

// wantMessage reads the GBCS message in a response or alert: header and payload, as far as its
// kind is decoded.
func wantMessage(t *testing.T, kind dcc.OtherKind, content duis.Content) {
	t.Helper()
	var payload []byte
	switch c := content.(type) {
	case duis.DeviceResponse:
		payload = c.Payload
	case duis.DeviceAlert:
		payload = c.Payload
	}
	m, err := gbcs.Parse(payload)
	if err != nil {
		t.Errorf("%s: %v", kind, err)
		return
	}
	decoded := kind == dcc.OtherRefusal || kind == dcc.OtherTopUp
	if gbcs.Decodes(m.Code) != decoded {
		t.Errorf("%s: message code %04X", kind, m.Code)
	}
	if _, err := gbcs.DecodeAlert(m); (err == nil) != decoded {
		t.Errorf("%s: %v", kind, err)
	}
}

// onlyKey is the only accepted key.
type onlyKey struct {
	ref xmldsig.KeyRef
	key *ecdsa.PublicKey
}

// Key implements [xmldsig.Keys].
func (k onlyKey) Key(ref xmldsig.KeyRef) (*ecdsa.PublicKey, error) {
	if ref != k.ref {
		return nil, xmldsig.ErrUnknownKey
	}
	return k.key, nil
}
