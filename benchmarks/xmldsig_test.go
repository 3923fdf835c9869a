package benchmarks_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"strings"
	"testing"

	"safemode/servicerequests/xmldsig"
	"safemode/servicerequests/xmltree"
)

// The floor is the bare ECDSA operation; what Sign and Verify cost above it is
// ours: reading, two canonical forms, two hashes, base64.

// signedSize is a typical response's size.
const signedSize = 2 << 10

type oneKey struct{ *ecdsa.PublicKey }

func (k oneKey) Key(xmldsig.KeyRef) (*ecdsa.PublicKey, error) { return k.PublicKey, nil }

func xmldsigSigner(b *testing.B) (*xmldsig.Signer, oneKey) {
	b.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	return &xmldsig.Signer{Key: key, Issuer: "CN=Z1,OU=07", Serial: "50669612984035780968362471400449834504"}, oneKey{&key.PublicKey}
}

// xmldsigDocument is a response that is signedSize bytes long when signed.
func xmldsigDocument(b *testing.B, signer *xmldsig.Signer) (unsigned, signed []byte) {
	b.Helper()
	const head = `<sr:Response xmlns:sr="http://www.dccinterface.co.uk/ServiceUserGateway" schemaVersion="5.4"><sr:Header>` +
		`<sr:RequestID>90-B3-D5-1F-30-01-00-00:88-73-84-57-00-2F-96-1E:1660751141087</sr:RequestID>` +
		`<sr:ResponseID>88-73-84-57-00-2F-96-1E:90-B3-D5-1F-30-01-00-00:1660751141087</sr:ResponseID>` +
		`<sr:ResponseCode>I0</sr:ResponseCode><sr:ResponseDateTime>2022-08-17T15:45:42.790Z</sr:ResponseDateTime></sr:Header>` +
		`<sr:Body><sr:ResponseMessage><sr:ServiceReference>2.5</sr:ServiceReference>` +
		`<sr:ServiceReferenceVariant>2.5</sr:ServiceReferenceVariant><sr:GBCSPayload>`
	const tail = `</sr:GBCSPayload></sr:ResponseMessage></sr:Body></sr:Response>`
	short, err := signer.Sign([]byte(head + tail))
	if err != nil {
		b.Fatal(err)
	}
	unsigned = []byte(head + strings.Repeat("A", signedSize-len(short)) + tail)
	if signed, err = signer.Sign(unsigned); err != nil {
		b.Fatal(err)
	}
	return unsigned, signed
}

func BenchmarkXMLSignFloor(b *testing.B) {
	signer, _ := xmldsigSigner(b)
	digest := sha256.Sum256([]byte("SignedInfo"))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := signer.Key.Sign(rand.Reader, digest[:], crypto.SHA256); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkXMLSign(b *testing.B) {
	signer, _ := xmldsigSigner(b)
	unsigned, _ := xmldsigDocument(b, signer)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := signer.Sign(unsigned); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkXMLVerifyFloor(b *testing.B) {
	signer, keys := xmldsigSigner(b)
	digest := sha256.Sum256([]byte("SignedInfo"))
	signature, err := signer.Key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if !ecdsa.VerifyASN1(keys.PublicKey, digest[:], signature) {
			b.Fatal("not verified")
		}
	}
}

func BenchmarkXMLVerify(b *testing.B) {
	signer, keys := xmldsigSigner(b)
	_, signed := xmldsigDocument(b, signer)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := xmldsig.Verify(signed, keys); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkXMLVerifyRefused is what a stranger's forgery costs: no ECDSA.
func BenchmarkXMLVerifyRefused(b *testing.B) {
	signer, keys := xmldsigSigner(b)
	_, signed := xmldsigDocument(b, signer)
	forged := []byte(strings.Replace(string(signed), ">I0<", ">I9<", 1))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := xmldsig.Verify(forged, keys); err == nil {
			b.Fatal("verified")
		}
	}
}

func BenchmarkXMLParse(b *testing.B) {
	signer, _ := xmldsigSigner(b)
	_, signed := xmldsigDocument(b, signer)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := xmltree.Parse(signed); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkXMLCanonical(b *testing.B) {
	signer, _ := xmldsigSigner(b)
	_, signed := xmldsigDocument(b, signer)
	doc, err := xmltree.Parse(signed)
	if err != nil {
		b.Fatal(err)
	}
	forms := map[string]func([]byte) []byte{
		"inclusive": func(buf []byte) []byte { return doc.AppendInclusive(buf, doc.Root(), xmltree.Node{}) },
		"exclusive": func(buf []byte) []byte { return doc.AppendExclusive(buf, doc.Root()) },
	}
	for name, form := range forms {
		b.Run(name, func(b *testing.B) {
			buf := make([]byte, 0, 2*len(signed))
			b.ReportAllocs()
			for b.Loop() {
				buf = form(buf[:0])
			}
		})
	}
}
