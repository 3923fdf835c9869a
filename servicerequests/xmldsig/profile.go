package xmldsig

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"

	"safemode/servicerequests/xmltree"
)

// The namespace and the only algorithms of the profile.
const (
	space         = "http://www.w3.org/2000/09/xmldsig#"
	exclusiveC14N = "http://www.w3.org/2001/10/xml-exc-c14n#"
	ecdsaSHA256   = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256"
	enveloped     = "http://www.w3.org/2000/09/xmldsig#enveloped-signature"
	digestSHA256  = "http://www.w3.org/2001/04/xmlenc#sha256"
)

// envelope is what a signature of the profile holds.
type envelope struct {
	signedInfo xmltree.Node
	digest     [sha256.Size]byte
	value      [signatureSize]byte
	key        KeyRef
}

// dccSpace is DUIS's namespace. Two of its elements have a message of another signer in them,
// with that signer's own Signature as their last child: messages of SMETS1 Service Providers,
// which the DCC hands on in a document that it signs as a whole.
const dccSpace = "http://www.dccinterface.co.uk/ServiceUserGateway"

// handedOn says whether a Signature is such another signer's. To the proof of the document
// it is text like any other: it is digested with the rest. [VerifyHandedOn] looks into it.
func handedOn(n xmltree.Node) bool {
	parent := n.Parent()
	return parent.Is(dccSpace, "SMETS1SignedResponse") || parent.Is(dccSpace, "S1SPAlert")
}

// findSignature returns the document's one Signature, the root's last child.
func findSignature(root xmltree.Node) (xmltree.Node, error) {
	var last, found xmltree.Node
	for n := range root.Children() {
		last = n
	}
	for n := range root.Descendants() {
		if !n.Is(space, "Signature") || handedOn(n) {
			continue
		}
		if !found.IsZero() {
			return xmltree.Node{}, fmt.Errorf("%w: more than one Signature", ErrProfile)
		}
		found = n
	}
	switch {
	case found.IsZero():
		return xmltree.Node{}, ErrUnsigned
	case found != last:
		return xmltree.Node{}, fmt.Errorf("%w: Signature is not the last child of the root", ErrProfile)
	}
	return found, nil
}

// The elements of a Signature, in document order.
const (
	signature = iota
	signedInfo
	canonicalizationMethod
	signatureMethod
	reference
	transforms
	transform
	digestMethod
	digestValue
	signatureValue
	keyInfo
	x509Data
	x509IssuerSerial
	x509IssuerName
	x509SerialNumber
	elements // how many there are
)

// part is one element of a Signature: its name, the element it stands in, its
// only attribute, if any, and whether it holds text.
type part struct {
	name             string
	parent           int
	attribute, value string
	text             bool
}

// profile is what a Signature is.
var profile = [elements]part{
	signature:              {name: "Signature"},
	signedInfo:             {name: "SignedInfo", parent: signature},
	canonicalizationMethod: {name: "CanonicalizationMethod", parent: signedInfo, attribute: "Algorithm", value: exclusiveC14N},
	signatureMethod:        {name: "SignatureMethod", parent: signedInfo, attribute: "Algorithm", value: ecdsaSHA256},
	reference:              {name: "Reference", parent: signedInfo, attribute: "URI", value: ""},
	transforms:             {name: "Transforms", parent: reference},
	transform:              {name: "Transform", parent: transforms, attribute: "Algorithm", value: enveloped},
	digestMethod:           {name: "DigestMethod", parent: reference, attribute: "Algorithm", value: digestSHA256},
	digestValue:            {name: "DigestValue", parent: reference, text: true},
	signatureValue:         {name: "SignatureValue", parent: signature, text: true},
	keyInfo:                {name: "KeyInfo", parent: signature},
	x509Data:               {name: "X509Data", parent: keyInfo},
	x509IssuerSerial:       {name: "X509IssuerSerial", parent: x509Data},
	x509IssuerName:         {name: "X509IssuerName", parent: x509IssuerSerial, text: true},
	x509SerialNumber:       {name: "X509SerialNumber", parent: x509IssuerSerial, text: true},
}

// readEnvelope compares a Signature with the profile, element by element.
func readEnvelope(n xmltree.Node) (envelope, error) {
	found := [elements]xmltree.Node{n}
	texts := [elements]string{}
	count := 1
	for d := range n.Descendants() {
		if count == elements {
			return envelope{}, fmt.Errorf("%w: an element %.60q too many", ErrProfile, d.Local())
		}
		found[count] = d
		count++
	}
	// In document order, the name and the parent of each element fix the whole structure.
	for i := range count {
		var err error
		if i > 0 && found[i].Parent() != found[profile[i].parent] {
			return envelope{}, fmt.Errorf("%w: %.60q is not where it belongs", ErrProfile, found[i].Local())
		}
		if texts[i], err = profile[i].read(found[i]); err != nil {
			return envelope{}, err
		}
	}
	if count < elements {
		return envelope{}, fmt.Errorf("%w: %s is missing", ErrProfile, profile[count].name)
	}

	e := envelope{signedInfo: found[signedInfo]}
	var err error
	if err = decodeBase64(e.digest[:], texts[digestValue]); err != nil {
		return envelope{}, fmt.Errorf("%w: DigestValue: %w", ErrProfile, err)
	}
	if err = decodeBase64(e.value[:], texts[signatureValue]); err != nil {
		return envelope{}, fmt.Errorf("%w: SignatureValue: %w", ErrProfile, err)
	}
	if e.key, err = NewKeyRef(strings.Trim(texts[x509IssuerName], xmlSpace), strings.Trim(texts[x509SerialNumber], xmlSpace)); err != nil {
		return envelope{}, fmt.Errorf("%w: %w", ErrProfile, err)
	}
	return e, nil
}

// read checks that n is the part, but for its place, and returns its text.
func (p *part) read(n xmltree.Node) (string, error) {
	if !n.Is(space, p.name) {
		return "", fmt.Errorf("%w: %.60q where %s belongs", ErrProfile, n.Local(), p.name)
	}
	attributes := 0
	if p.attribute != "" {
		if value, ok := n.Attr(p.attribute); !ok || value != p.value {
			return "", fmt.Errorf("%w: %s has %s %.80q", ErrProfile, p.name, p.attribute, value)
		}
		attributes = 1
	}
	if n.NumAttr() != attributes {
		return "", fmt.Errorf("%w: %s has another attribute", ErrProfile, p.name)
	}
	if !n.FirstChild().IsZero() {
		return "", nil // its content is checked part by part
	}
	text, err := n.Text()
	if err == nil && !p.text && text != "" {
		err = fmt.Errorf("%w: %s holds text", ErrProfile, p.name)
	}
	return text, err
}

// xmlSpace is XML's white space, which does not count around an xs:integer. Around the
// issuer's name other readers pass it over as well.
const xmlSpace = " \t\r\n"

var strictBase64 = base64.StdEncoding.Strict()

// decodeBase64 fills into, passing over XML's white space.
func decodeBase64(into []byte, text string) error {
	var room [2 * signatureSize]byte
	packed := room[:0]
	for i := range len(text) {
		if c := text[i]; c != ' ' && c != '\t' && c != '\r' && c != '\n' {
			packed = append(packed, c)
		}
	}
	decoded, err := strictBase64.AppendDecode(packed[:0], packed)
	if err != nil {
		return err
	}
	if len(decoded) != len(into) {
		return fmt.Errorf("%d bytes instead of %d", len(decoded), len(into))
	}
	copy(into, decoded)
	return nil
}
