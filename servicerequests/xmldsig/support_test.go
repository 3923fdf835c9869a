package xmldsig_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"testing"

	"safemode/servicerequests/outside"
	"safemode/servicerequests/xmldsig"
)

// request is an unsigned request in canonical compact form.
const request = `<sr:Request xmlns:sr="http://www.dccinterface.co.uk/ServiceUserGateway" schemaVersion="5.4">` +
	`<sr:Header><sr:RequestID>90-B3-D5-1F-30-01-00-00:00-DB-12-34-56-78-90-A0:1000</sr:RequestID>` +
	`<sr:CommandVariant>4</sr:CommandVariant><sr:ServiceReference>2.5</sr:ServiceReference>` +
	`<sr:ServiceReferenceVariant>2.5</sr:ServiceReferenceVariant></sr:Header>` +
	`<sr:Body><sr:ActivateEmergencyCredit></sr:ActivateEmergencyCredit></sr:Body></sr:Request>`

// pinned is a Keys of a few keys.
type pinned map[xmldsig.KeyRef]*ecdsa.PublicKey

func (p pinned) Key(ref xmldsig.KeyRef) (*ecdsa.PublicKey, error) {
	if key, ok := p[ref]; ok {
		return key, nil
	}
	return nil, fmt.Errorf("not pinned: %w", xmldsig.ErrUnknownKey)
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// newSigner returns a signer with a fresh key, and the keys that know it.
func newSigner(t testing.TB) (*xmldsig.Signer, pinned) {
	t.Helper()
	key := newKey(t)
	ref := xmldsig.KeyRef{Issuer: "CN=Z1,OU=07", Serial: "1234567890"}
	return &xmldsig.Signer{Key: key, Issuer: ref.Issuer, Serial: ref.Serial}, pinned{ref: &key.PublicKey}
}

func mustSign(t testing.TB, s *xmldsig.Signer, doc string) string {
	t.Helper()
	signed, err := s.Sign([]byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	return string(signed)
}

// publicKey takes serial number and key out of an organisation certificate,
// which crypto/x509 cannot parse: the EUI is in a BIT STRING.
func publicKey(t testing.TB, der []byte) (serial string, key *ecdsa.PublicKey) {
	t.Helper()
	var certificate struct {
		TBS struct {
			Version   int `asn1:"explicit,tag:0"`
			Serial    *big.Int
			Algorithm asn1.RawValue
			Issuer    asn1.RawValue
			Validity  asn1.RawValue
			Subject   asn1.RawValue
			SPKI      asn1.RawValue
			Rest      asn1.RawValue `asn1:"explicit,tag:3"`
		}
		Algorithm asn1.RawValue
		Signature asn1.BitString
	}
	if _, err := asn1.Unmarshal(der, &certificate); err != nil {
		t.Fatal(err)
	}
	public, err := x509.ParsePKIXPublicKey(certificate.TBS.SPKI.FullBytes)
	if err != nil {
		t.Fatal(err)
	}
	return certificate.TBS.Serial.String(), public.(*ecdsa.PublicKey)
}

// pinnedPEM pins the key of a certificate that DCC's test authority Z1 issued.
func pinnedPEM(t testing.TB, certificate []byte) pinned {
	t.Helper()
	block, _ := pem.Decode(certificate)
	if block == nil {
		t.Fatal("no PEM")
	}
	serial, key := publicKey(t, block.Bytes)
	return pinned{{Issuer: "CN=Z1,OU=07", Serial: serial}: key}
}

// testKey is an entry of gbcs-keys.json.
type testKey struct {
	EUI         string
	Role        string
	Use         string
	Certificate []byte `json:"certificateDerBase64"`
	Scalar      string `json:"testPrivateScalarHex"`
}

func testKeys(t *testing.T) []testKey {
	t.Helper()
	var file struct{ Keys []testKey }
	outside.Decode(t, "gbcs-keys.json", &file)
	return file.Keys
}

func b64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }
