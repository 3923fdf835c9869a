package gbcs_test

import (
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/hex"
	"encoding/json"
	"testing"

	"safemode/servicerequests"
	"safemode/servicerequests/gbcs"
	"safemode/servicerequests/outside"
)

// vector is one message of the test data with what its publisher says of it.
type vector struct {
	Name    string
	UseCase string
	SRV     string
	Kind    string
	Outcome string
	Hex     string
	Parsed  struct {
		CRA                  byte
		OriginatorCounter    uint64
		BusinessOriginatorID string
		BusinessTargetID     string
		DateTime             string
		MessageCode          string
		Payload              string
		SignatureField       string
		Signature            string
		MAC                  string
	}
	Signature struct {
		Present bool
		KeyEUI  string
	}
	MAC struct {
		Present  bool
		MACParty string
		Peer     string
		AESKey   string
	}
	Decoded json.RawMessage
}

// keyring holds the published test keys.
type keyring struct {
	signing   map[string]*ecdsa.PublicKey
	agreement map[string]*ecdh.PublicKey
	private   map[string]*ecdh.PrivateKey
	signer    *ecdsa.PrivateKey // the supplier's
	strangers []*ecdsa.PublicKey
}

const (
	supplierEUI servicerequests.EUI = 0x90b3d51f30010000
	supplier                        = "90b3d51f30010000"
	acb                             = "90b3d51f30000002"
)

// loadVectors returns all messages of the three files and fails if there are
// fewer than there should be.
func loadVectors(t testing.TB) []vector {
	t.Helper()
	var all []vector
	for _, file := range []struct {
		name  string
		count int
	}{{"gbcs-vectors.json", 50}, {"gbcs-vectors-reads.json", 20}, {"gbcs-alert-templates.json", 4}} {
		var content struct{ Vectors []vector }
		outside.Decode(t, file.name, &content)
		if len(content.Vectors) < file.count {
			t.Fatalf("%s: %d vectors, want %d", file.name, len(content.Vectors), file.count)
		}
		all = append(all, content.Vectors...)
	}
	return all
}

// ofKind returns the vectors of one kind and fails below the count.
func ofKind(t testing.TB, kind string, count int) []vector {
	t.Helper()
	var some []vector
	for _, v := range loadVectors(t) {
		if v.Kind == kind {
			some = append(some, v)
		}
	}
	if len(some) < count {
		t.Fatalf("%d vectors of kind %s, want %d", len(some), kind, count)
	}
	return some
}

func loadKeys(t testing.TB) keyring {
	t.Helper()
	var content struct {
		Keys []struct {
			EUI, Use              string
			PublicKeyUncompressed string
			TestPrivateScalarHex  string
		}
		OtherSupplierSigningKeys []struct{ PublicKeyUncompressed string }
	}
	outside.Decode(t, "gbcs-keys.json", &content)
	ring := keyring{map[string]*ecdsa.PublicKey{}, map[string]*ecdh.PublicKey{}, map[string]*ecdh.PrivateKey{}, nil, nil}
	signing := func(text string) *ecdsa.PublicKey {
		pub, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), unhex(t, text))
		if err != nil {
			t.Fatal(err)
		}
		return pub
	}
	for _, k := range content.Keys {
		var err error
		switch k.Use {
		case "digitalSignature":
			ring.signing[k.EUI] = signing(k.PublicKeyUncompressed)
			if k.EUI == supplier {
				ring.signer, err = ecdsa.ParseRawPrivateKey(elliptic.P256(), unhex(t, k.TestPrivateScalarHex))
			}
		case "keyAgreement":
			ring.agreement[k.EUI], err = ecdh.P256().NewPublicKey(unhex(t, k.PublicKeyUncompressed))
			if err == nil && k.TestPrivateScalarHex != "" {
				ring.private[k.EUI], err = ecdh.P256().NewPrivateKey(unhex(t, k.TestPrivateScalarHex))
			}
		}
		if err != nil {
			t.Fatalf("key %s %s: %v", k.EUI, k.Use, err)
		}
	}
	for _, k := range content.OtherSupplierSigningKeys {
		ring.strangers = append(ring.strangers, signing(k.PublicKeyUncompressed))
	}
	return ring
}

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func parse(t testing.TB, b []byte) *gbcs.Message {
	t.Helper()
	m, err := gbcs.Parse(b)
	if err != nil {
		t.Fatalf("Parse: %v", err)
	}
	return m
}

// find returns the vector of that name.
func find(t testing.TB, name string) vector {
	t.Helper()
	for _, v := range loadVectors(t) {
		if v.Name == name {
			return v
		}
	}
	t.Fatalf("no vector %s", name)
	return vector{}
}
