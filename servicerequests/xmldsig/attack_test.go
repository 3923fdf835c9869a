package xmldsig_test

import (
	"crypto/ecdsa"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"regexp"
	"strings"
	"testing"

	"safemode/servicerequests/heaptest"
	"safemode/servicerequests/xmldsig"
	"safemode/servicerequests/xmltree"
)

// attack is one way to change a signed document, and the error it must meet. A
// nil error stands for any *xmltree.SyntaxError.
type attack struct {
	name   string
	change func(signed string) string
	want   error
}

func replace(old, new string) func(string) string {
	return func(signed string) string { return strings.Replace(signed, old, new, 1) }
}

// before inserts text before the first occurrence of mark.
func before(mark, text string) func(string) string { return replace(mark, text+mark) }

// double doubles the element with this start tag and end tag.
func double(tag string) func(string) string {
	element := regexp.MustCompile(`<ds:` + tag + `[ >].*</ds:` + tag + `>`)
	return func(signed string) string {
		return element.ReplaceAllStringFunc(signed, func(e string) string { return e + e })
	}
}

// drop takes the element out.
func drop(tag string) func(string) string {
	element := regexp.MustCompile(`<ds:` + tag + `[ >].*</ds:` + tag + `>`)
	return func(signed string) string { return element.ReplaceAllString(signed, "") }
}

// value puts another signature value in.
func value(text string) func(string) string {
	element := regexp.MustCompile(`<ds:SignatureValue>.*</ds:SignatureValue>`)
	return func(signed string) string {
		return element.ReplaceAllString(signed, `<ds:SignatureValue>`+text+`</ds:SignatureValue>`)
	}
}

func mustBeRefused(t *testing.T, attacks []attack) {
	t.Helper()
	signer, keys := newSigner(t)
	signed := mustSign(t, signer, request)
	if _, err := xmldsig.Verify([]byte(signed), keys); err != nil {
		t.Fatal(err)
	}
	for _, tt := range attacks {
		t.Run(tt.name, func(t *testing.T) {
			changed := tt.change(signed)
			if changed == signed {
				t.Fatal("the attack changes nothing")
			}
			proven, err := verify(t, []byte(changed), keys)
			var syntax *xmltree.SyntaxError
			if tt.want == nil && !errors.As(err, &syntax) || tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v\n%s", err, tt.want, changed)
			}
			if proven.Document != nil {
				t.Error("an error and a proven document")
			}
		})
	}
}

// split returns a signed document without its Signature, and that.
func split(signed string) (doc, signature string) {
	from := strings.Index(signed, "<ds:Signature ")
	to := strings.Index(signed, "</ds:Signature>") + len("</ds:Signature>")
	return signed[:from] + signed[to:], signed[from:to]
}

// evil is what an attacker wants to be read.
var evil = strings.Replace(request, ":1000<", ":6666<", 1)

// The classic shapes of signature wrapping: the signed document is kept
// somewhere for the digest, another one stands where the data is read.
func TestAttackWrapping(t *testing.T) {
	withinRoot := func(extra string) string {
		return strings.TrimSuffix(evil, "</sr:Request>") + extra + "</sr:Request>"
	}
	mustBeRefused(t, []attack{
		{"signed document beside the evil body", func(signed string) string {
			return withinRoot(signed)
		}, xmldsig.ErrProfile},
		{"signed document beside, signature last in the evil root", func(signed string) string {
			doc, signature := split(signed)
			return withinRoot(doc + signature)
		}, xmldsig.ErrDigest},
		{"signed document in an Object of the signature", func(signed string) string {
			doc, signature := split(signed)
			return withinRoot(strings.Replace(signature, "</ds:Signature>", "<ds:Object>"+doc+"</ds:Object></ds:Signature>", 1))
		}, xmldsig.ErrProfile},
		{"signed document in KeyInfo", func(signed string) string {
			doc, signature := split(signed)
			return withinRoot(strings.Replace(signature, "</ds:KeyInfo>", doc+"</ds:KeyInfo>", 1))
		}, xmldsig.ErrProfile},
		{"signed document in the evil body", func(signed string) string {
			return strings.Replace(evil, "</sr:Body>", signed+"</sr:Body>", 1)
		}, xmldsig.ErrProfile},
		{"evil document around the signed one in a wrapper", func(signed string) string {
			return "<wrap>" + evil + signed + "</wrap>"
		}, xmldsig.ErrProfile},
		{"evil document first in the signed root", func(signed string) string {
			return strings.Replace(signed, "<sr:Header>", evil+"<sr:Header>", 1)
		}, xmldsig.ErrDigest},
		{"evil document in SignedInfo", func(signed string) string {
			return strings.Replace(signed, "</ds:SignedInfo>", evil+"</ds:SignedInfo>", 1)
		}, xmldsig.ErrProfile},
		{"evil document after the signed one", func(signed string) string {
			return signed + evil
		}, nil},
		{"reference to an Id", func(signed string) string {
			doc, signature := split(signed)
			signature = strings.Replace(signature, `URI=""`, `URI="#signed"`, 1)
			return withinRoot(strings.Replace(doc, "<sr:Request", `<sr:Request Id="signed"`, 1) + signature)
		}, xmldsig.ErrProfile},
	})
}

func TestAttackContent(t *testing.T) {
	mustBeRefused(t, []attack{
		{"text", replace(":1000<", ":1001<"), xmldsig.ErrDigest},
		{"attribute", replace(`"5.4"`, `"5.5"`), xmldsig.ErrDigest},
		{"attribute added", replace("<sr:Body>", `<sr:Body x="">`), xmldsig.ErrDigest},
		{"unused namespace declared on the root", replace(" xmlns:sr", ` xmlns:x="urn:x" xmlns:sr`), xmldsig.ErrDigest},
		{"namespace of the root", replace("ServiceUserGateway", "ServiceUserGatewaz"), xmldsig.ErrDigest},
		{"second body", before("<ds:Signature ", "<sr:Body><sr:ArmSupply/></sr:Body>"), xmldsig.ErrDigest},
		{"body after the signature", before("</sr:Request>", "<sr:Body><sr:ArmSupply/></sr:Body>"), xmldsig.ErrProfile},
		{"white space in a text", replace(">2.5<", "> 2.5<"), xmldsig.ErrDigest},
		{"carriage return by reference", replace(">2.5<", ">2.5&#13;<"), xmldsig.ErrDigest},
	})
}

func TestAttackMarkup(t *testing.T) {
	mustBeRefused(t, []attack{
		{"comment in a text", replace(":1000<", ":10<!-- -->00<"), nil},
		{"comment in the signature", before("<ds:KeyInfo>", "<!-- -->"), nil},
		{"comment in SignedInfo", before("<ds:Reference ", "<!-- -->"), nil},
		{"comment in the serial number", replace("1234567890", "12345<!-- -->67890"), nil},
		{"comment in the digest", before("</ds:DigestValue>", "<!-- -->"), nil},
		{"comment after the root", func(signed string) string { return signed + "<!-- -->" }, nil},
		{"comment before the root", before("<sr:Request", "<!-- -->"), nil},
		{"CDATA", replace(">4<", "><![CDATA[4]]><"), nil},
		{"CDATA in the signature value", replace("<ds:SignatureValue>", "<ds:SignatureValue><![CDATA[]]>"), nil},
		{"CDATA around an element", func(signed string) string {
			return strings.Replace(signed, "<sr:Body>", "<![CDATA[<sr:Body></sr:Body>]]><sr:Body>", 1)
		}, nil},
		{"processing instruction in the signature", before("<ds:KeyInfo>", "<?x y?>"), nil},
		{"processing instruction after the root", func(signed string) string { return signed + "<?x y?>" }, nil},
		{"processing instruction", before("<sr:Body>", "<?x y?>"), nil},
		{"processing instruction before the root", before("<sr:Request", `<?xml-stylesheet href="x"?>`), nil},
		{"DTD", before("<sr:Request", "<!DOCTYPE Request>"), nil},
		{"DTD that defaults an attribute", before("<sr:Request", `<!DOCTYPE x [<!ATTLIST Body Id ID "signed">]>`), nil},
		{"DTD from elsewhere", before("<sr:Request", `<!DOCTYPE x SYSTEM "http://127.0.0.1/x.dtd">`), nil},
		{"parameter entity", before("<sr:Request", `<!DOCTYPE x [<!ENTITY % a SYSTEM "http://127.0.0.1/x"> %a;]>`), nil},
		{"entity expansion", before("<sr:Request", `<!DOCTYPE x [<!ENTITY a "aaaaaaaa"><!ENTITY b "&a;&a;&a;">]>`), nil},
		{"external entity", before("<sr:Request", `<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>`), nil},
		{"entity", replace(">4<", ">&four;<"), nil},
		{"character that is none", replace(">4<", ">4&#0;<"), nil},
		{"text beside elements", before("<ds:SignedInfo>", "x"), nil},
		{"duplicate attribute", replace(`URI=""`, `URI="" URI=""`), nil},
		{"prefix rebound to nothing", replace("<ds:SignedInfo>", `<ds:SignedInfo xmlns:ds="">`), nil},
		{"other encoding", before("<sr:Request", `<?xml version="1.0" encoding="UTF-16"?>`), nil},
		{"trailing text", func(signed string) string { return signed + "x" }, nil},
		{"truncated", func(signed string) string { return signed[:len(signed)-1] }, nil},
	})
}

func TestAttackShape(t *testing.T) {
	attacks := []attack{
		{"signature first", func(signed string) string {
			doc, signature := split(signed)
			return strings.Replace(doc, "<sr:Header>", signature+"<sr:Header>", 1)
		}, xmldsig.ErrProfile},
		{"signature nested", func(signed string) string {
			doc, signature := split(signed)
			return strings.Replace(doc, "</sr:Body>", signature+"</sr:Body>", 1)
		}, xmldsig.ErrProfile},
		{"signature is the root", func(signed string) string {
			_, signature := split(signed)
			return signature
		}, xmldsig.ErrUnsigned},
		{"signature in no namespace", func(signed string) string {
			return strings.ReplaceAll(strings.Replace(signed, " xmlns:ds=", " xmlns:other=", 1), "ds:", "")
		}, xmldsig.ErrUnsigned},
		{"signature removed", func(signed string) string {
			doc, _ := split(signed)
			return doc
		}, xmldsig.ErrUnsigned},
		{"signature empty", func(signed string) string {
			doc, _ := split(signed)
			return strings.Replace(doc, "</sr:Request>", `<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#"/></sr:Request>`, 1)
		}, xmldsig.ErrProfile},
		{"SignedInfo in another namespace", func(signed string) string {
			return strings.Replace(strings.Replace(signed, "<ds:SignedInfo>", `<x:SignedInfo xmlns:x="urn:x">`, 1), "</ds:SignedInfo>", "</x:SignedInfo>", 1)
		}, xmldsig.ErrProfile},
		{"Object", before("</ds:Signature>", "<ds:Object></ds:Object>"), xmldsig.ErrProfile},
		{"Manifest reference first", before("<ds:Reference ", `<ds:Reference URI="#x"></ds:Reference>`), xmldsig.ErrProfile},
		{"extra child of SignatureValue", before("</ds:SignatureValue>", "<ds:X></ds:X>"), nil},
		{"order in KeyInfo", func(signed string) string {
			return regexp.MustCompile(`(<ds:X509IssuerName>.*</ds:X509IssuerName>)(<ds:X509SerialNumber>.*</ds:X509SerialNumber>)`).ReplaceAllString(signed, "$2$1")
		}, xmldsig.ErrProfile},
		{"certificate in KeyInfo", before("</ds:X509Data>", "<ds:X509Certificate>AAAA</ds:X509Certificate>"), xmldsig.ErrProfile},
		{"key in KeyInfo", before("<ds:X509Data>", "<ds:KeyValue></ds:KeyValue>"), xmldsig.ErrProfile},
		{"Id on Signature", replace("<ds:Signature ", `<ds:Signature Id="x" `), xmldsig.ErrProfile},
		{"Id on SignedInfo", replace("<ds:SignedInfo>", `<ds:SignedInfo Id="x">`), xmldsig.ErrProfile},
		{"Type on Reference", replace(`URI=""`, `URI="" Type="x"`), xmldsig.ErrProfile},
		{"text in an algorithm", before("</ds:Transform>", " "), xmldsig.ErrProfile},
	}
	for _, tag := range []string{
		"Signature", "SignedInfo", "CanonicalizationMethod", "SignatureMethod", "Reference", "Transforms",
		"Transform", "DigestMethod", "DigestValue", "SignatureValue", "KeyInfo", "X509Data",
		"X509IssuerSerial", "X509IssuerName", "X509SerialNumber",
	} {
		attacks = append(attacks, attack{tag + " twice", double(tag), xmldsig.ErrProfile})
		if tag != "Signature" {
			attacks = append(attacks, attack{tag + " missing", drop(tag), xmldsig.ErrProfile})
		}
	}
	mustBeRefused(t, attacks)
}

func TestAttackAlgorithms(t *testing.T) {
	const (
		exclusive = "http://www.w3.org/2001/10/xml-exc-c14n#"
		inclusive = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"
		sha256    = "http://www.w3.org/2001/04/xmlenc#sha256"
		enveloped = `<ds:Transform Algorithm="http://www.w3.org/2000/09/xmldsig#enveloped-signature"></ds:Transform>`
	)
	transform := func(algorithm string) string {
		return `<ds:Transform Algorithm="` + algorithm + `"></ds:Transform>`
	}
	mustBeRefused(t, []attack{
		{"inclusive SignedInfo", replace(exclusive, inclusive), xmldsig.ErrProfile},
		{"exclusive with comments", replace(exclusive, exclusive+"WithComments"), xmldsig.ErrProfile},
		{"InclusiveNamespaces", replace(exclusive+`">`, exclusive+`"><InclusiveNamespaces xmlns="`+exclusive+`" PrefixList="sr"></InclusiveNamespaces>`), xmldsig.ErrProfile},
		{"HMAC", replace("2001/04/xmldsig-more#ecdsa-sha256", "2000/09/xmldsig#hmac-sha1"), xmldsig.ErrProfile},
		{"ECDSA with SHA-1", replace("ecdsa-sha256", "ecdsa-sha1"), xmldsig.ErrProfile},
		{"RSA", replace("ecdsa-sha256", "rsa-sha256"), xmldsig.ErrProfile},
		{"SHA-1 digest", replace(sha256, "http://www.w3.org/2000/09/xmldsig#sha1"), xmldsig.ErrProfile},
		{"algorithm with a blank", replace(sha256, sha256+" "), xmldsig.ErrProfile},
		{"no algorithm", replace(`<ds:DigestMethod Algorithm="`+sha256+`">`, "<ds:DigestMethod>"), xmldsig.ErrProfile},
		{"algorithm in a namespace", replace("<ds:DigestMethod Algorithm", "<ds:DigestMethod ds:Algorithm"), xmldsig.ErrProfile},
		{"HMAC length", before("</ds:SignatureMethod>", "<ds:HMACOutputLength>0</ds:HMACOutputLength>"), xmldsig.ErrProfile},
		{"second transform", before("</ds:Transforms>", transform(exclusive)), xmldsig.ErrProfile},
		{"enveloped twice", before("</ds:Transforms>", enveloped), xmldsig.ErrProfile},
		{"XSLT", replace(enveloped, transform("http://www.w3.org/TR/1999/REC-xslt-19991116")), xmldsig.ErrProfile},
		{"XPath", replace(enveloped, transform("http://www.w3.org/TR/1999/REC-xpath-19991116")), xmldsig.ErrProfile},
		{"base64 transform", replace(enveloped, transform("http://www.w3.org/2000/09/xmldsig#base64")), xmldsig.ErrProfile},
		{"no transform", replace(enveloped, ""), xmldsig.ErrProfile},
		{"external URI", replace(`URI=""`, `URI="http://127.0.0.1/"`), xmldsig.ErrProfile},
		{"file URI", replace(`URI=""`, `URI="file:///etc/passwd"`), xmldsig.ErrProfile},
		{"XPointer", replace(`URI=""`, `URI="#xpointer(/)"`), xmldsig.ErrProfile},
		{"no URI", replace(` URI=""`, ""), xmldsig.ErrProfile},
	})
}

func TestAttackValues(t *testing.T) {
	const order = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551"
	n, err := hex.DecodeString(order)
	if err != nil {
		t.Fatal(err)
	}
	zero, one := make([]byte, 32), append(make([]byte, 31), 1)
	pair := func(r, s []byte) func(string) string { return value(b64(append(append([]byte{}, r...), s...))) }
	der := append([]byte{0x30, 0x44, 0x02, 0x20}, append(append(one, 0x02, 0x20), one...)...)
	mustBeRefused(t, []attack{
		{"another signature", pair(one, one), xmldsig.ErrSignature},
		{"r and s zero", pair(zero, zero), xmldsig.ErrSignature},
		{"r zero", pair(zero, one), xmldsig.ErrSignature},
		{"s zero", pair(one, zero), xmldsig.ErrSignature},
		{"r is the order", pair(n, one), xmldsig.ErrSignature},
		{"s is the order", pair(one, n), xmldsig.ErrSignature},
		{"DER", value(b64(der)), xmldsig.ErrProfile},
		{"63 bytes", value(b64(make([]byte, 63))), xmldsig.ErrProfile},
		{"65 bytes", value(b64(make([]byte, 65))), xmldsig.ErrProfile},
		{"empty", value(""), xmldsig.ErrProfile},
		{"not base64", value("*"), xmldsig.ErrProfile},
		{"loose bits in base64", value(base64.StdEncoding.EncodeToString(make([]byte, 64))[:85] + "B=="), xmldsig.ErrProfile},
		{"no padding", value(base64.RawStdEncoding.EncodeToString(make([]byte, 64))), xmldsig.ErrProfile},
		{"digest of another length", replace("</ds:DigestValue>", "AAAA</ds:DigestValue>"), xmldsig.ErrProfile},
		{"digest changed", func(signed string) string {
			return regexp.MustCompile(`<ds:DigestValue>.*</ds:DigestValue>`).ReplaceAllLiteralString(signed, "<ds:DigestValue>"+b64(make([]byte, 32))+"</ds:DigestValue>")
		}, xmldsig.ErrDigest},
		{"digest of the changed document", func(signed string) string {
			signer, _ := newSigner(t)
			_, signature := split(signed)
			forged := mustSign(t, signer, evil)
			keep := regexp.MustCompile(`<ds:SignatureValue>.*</ds:SignatureValue>`)
			return keep.ReplaceAllLiteralString(forged, keep.FindString(signature))
		}, xmldsig.ErrSignature},
		{"another's signature under this key's name", func(string) string {
			signer, _ := newSigner(t)
			return mustSign(t, signer, evil)
		}, xmldsig.ErrSignature},
	})
}

func TestAttackKey(t *testing.T) {
	// forge signs with a stranger's key under the pinned key's name, and lets the
	// message bring that key along.
	forge := func(bring string) func(string) string {
		return func(string) string {
			stranger, _ := newSigner(t)
			key := stranger.Key.(*ecdsa.PrivateKey).PublicKey
			point, err := key.Bytes()
			if err != nil {
				t.Fatal(err)
			}
			return strings.Replace(mustSign(t, stranger, evil), "<ds:X509Data>", strings.ReplaceAll(bring, "KEY", b64(point))+"<ds:X509Data>", 1)
		}
	}
	mustBeRefused(t, []attack{
		{"a stranger's key under a pinned name", forge(""), xmldsig.ErrSignature},
		{"a stranger's key in KeyValue", forge(`<ds:KeyValue><dsig11:ECKeyValue xmlns:dsig11="http://www.w3.org/2009/xmldsig11#"><dsig11:NamedCurve URI="urn:oid:1.2.840.10045.3.1.7"/><dsig11:PublicKey>KEY</dsig11:PublicKey></dsig11:ECKeyValue></ds:KeyValue>`), xmldsig.ErrProfile},
		{"a stranger's key in a certificate", forge(`<ds:X509Data><ds:X509Certificate>KEY</ds:X509Certificate></ds:X509Data>`), xmldsig.ErrProfile},
		{"a stranger's key by retrieval", forge(`<ds:RetrievalMethod URI="http://127.0.0.1/key"></ds:RetrievalMethod>`), xmldsig.ErrProfile},
		{"a key by name", forge(`<ds:KeyName>pinned</ds:KeyName>`), xmldsig.ErrProfile},
		{"another serial", replace("1234567890", "1234567891"), xmldsig.ErrUnknownKey},
		{"another issuer", replace("CN=Z1", "CN=Z2"), xmldsig.ErrUnknownKey},
		{"issuer's parts in another order", replace("CN=Z1,OU=07", "OU=07,CN=Z1"), xmldsig.ErrUnknownKey},
		{"serial in hexadecimal", replace("1234567890", "0x499602D2"), xmldsig.ErrProfile},
		{"serial with a blank within", replace("1234567890", "12345 67890"), xmldsig.ErrProfile},
		{"issuer empty", replace("CN=Z1,OU=07", ""), xmldsig.ErrProfile},
	})
}

func TestAttackLimits(t *testing.T) {
	mustBeRefused(t, []attack{
		{"deep", func(signed string) string {
			return strings.Replace(signed, "<sr:Body>", "<sr:Body>"+strings.Repeat("<a>", 100_000)+strings.Repeat("</a>", 100_000), 1)
		}, xmltree.ErrLimit},
		{"many nodes", before("</sr:Body>", strings.Repeat("<a/>", 10_000)), xmltree.ErrLimit},
		{"many attributes", replace("<sr:Body>", "<sr:Body"+strings.Repeat(` a=""`, 10_000)+">"), xmltree.ErrLimit},
		{"many declarations", replace("<sr:Body>", "<sr:Body"+strings.Repeat(` xmlns:a="urn:a"`, 10_000)+">"), nil},
		{"large", before("</sr:Body>", strings.Repeat(" ", 2<<20)), xmltree.ErrLimit},
		{"long name", before("</sr:Body>", "<"+strings.Repeat("a", 2<<20)+"/>"), xmltree.ErrLimit},
		{"depth within the signature", before("<ds:KeyInfo>", strings.Repeat("<a>", 100)+strings.Repeat("</a>", 100)), xmltree.ErrLimit},
		{"nodes within the signature", before("<ds:KeyInfo>", strings.Repeat("<a/>", 10_000)), xmltree.ErrLimit},
		{"references by number without end", replace(":1000<", ":"+strings.Repeat("&#49;", 400_000)+"<"), xmltree.ErrLimit},
	})
}

// A document over a limit costs next to nothing: it is refused before it is
// parsed, or where the limit is passed.
func TestAttackLimitsComeFirst(t *testing.T) {
	for name, doc := range map[string]string{
		"64 MiB of text":        "<a>" + strings.Repeat("x", 64<<20) + "</a>",
		"64 MiB of elements":    strings.Repeat("<a/>", 16<<20),
		"300,000 open elements": strings.Repeat("<a>", 300_000),
		"1 MiB of elements":     "<a>" + strings.Repeat("<a/>", 250_000) + "</a>",
	} {
		t.Run(name, func(t *testing.T) {
			raw := []byte(doc)
			heaptest.Limit(t, 1<<10, func() {
				if _, err := xmldsig.Verify(raw, pinned(nil)); !errors.Is(err, xmltree.ErrLimit) {
					t.Errorf("got %v", err)
				}
			})
		})
	}
}

// A verifier may not ask for a key, and so perhaps for a certificate over the
// network, on the word of a message that is not of the profile or is changed.
func TestAttackKeyIsAskedForLast(t *testing.T) {
	signer, _ := newSigner(t)
	signed := mustSign(t, signer, request)
	for _, changed := range []string{
		strings.Replace(signed, "ecdsa-sha256", "ecdsa-sha1", 1),
		strings.Replace(signed, ":1000<", ":1001<", 1),
	} {
		_, err := verify(t, []byte(changed), pinned(nil))
		if err == nil || errors.Is(err, xmldsig.ErrUnknownKey) {
			t.Errorf("got %v", err)
		}
	}
}
