package smki

import (
	"encoding/asn1"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"safemode/servicerequests"
)

var (
	oidCommonName       = asn1.ObjectIdentifier{2, 5, 4, 3}
	oidUnit             = asn1.ObjectIdentifier{2, 5, 4, 11}
	oidUniqueIdentifier = asn1.ObjectIdentifier{2, 5, 4, 45}
)

// attribute is one AttributeTypeAndValue; SMKI writes one per RDN.
type attribute struct {
	Type  asn1.ObjectIdentifier
	Value asn1.RawValue
}

type relativeNameSET []attribute

// name is what this package reads out of a distinguished name.
type name struct {
	text       string // RFC 2253 as Java writes it: last RDN first
	commonName string
	unit       string
	eui        servicerequests.EUI // 0 when the name has none
}

var errName = errors.New("distinguished name")

func parseName(der []byte) (name, error) {
	var n name
	var sequence []relativeNameSET
	if rest, err := asn1.Unmarshal(der, &sequence); err != nil || len(rest) > 0 {
		return n, fmt.Errorf("%w: not DER", errName)
	}
	texts := make([]string, len(sequence))
	for i, relative := range sequence {
		if len(relative) != 1 {
			return n, fmt.Errorf("%w: RDN %d has %d attributes, want 1", errName, i, len(relative))
		}
		text, err := n.read(relative[0])
		if err != nil {
			return n, fmt.Errorf("%w: RDN %d: %w", errName, i, err)
		}
		texts[len(texts)-1-i] = text
	}
	n.text = strings.Join(texts, ",")
	return n, nil
}

// read takes one attribute into the name and returns its RFC 2253 text.
func (n *name) read(a attribute) (string, error) {
	switch {
	case a.Type.Equal(oidCommonName):
		return readText("CN", &n.commonName, a.Value)
	case a.Type.Equal(oidUnit):
		return readText("OU", &n.unit, a.Value)
	case a.Type.Equal(oidUniqueIdentifier):
		b := a.Value.Bytes // a first octet of 0 says: no unused bits
		if a.Value.Class != asn1.ClassUniversal || a.Value.Tag != asn1.TagBitString || len(b) != 9 || b[0] != 0 {
			return "", errors.New("uniqueIdentifier is not a BIT STRING of 64 bits")
		}
		if n.eui != 0 {
			return "", errors.New("second uniqueIdentifier")
		}
		if n.eui = servicerequests.EUI(binary.BigEndian.Uint64(b[1:])); n.eui == 0 {
			return "", errors.New("uniqueIdentifier is all zero")
		}
	}
	// RFC 2253 2.4: an attribute without a keyword is written as its DER.
	return a.Type.String() + "=#" + hex.EncodeToString(a.Value.FullBytes), nil
}

func readText(keyword string, field *string, v asn1.RawValue) (string, error) {
	if *field != "" {
		return "", fmt.Errorf("second %s", keyword)
	}
	printable := v.Tag == asn1.TagPrintableString || v.Tag == asn1.TagUTF8String
	if v.Class != asn1.ClassUniversal || !printable || len(v.Bytes) == 0 || !utf8.Valid(v.Bytes) {
		return "", fmt.Errorf("%s is not a PrintableString or UTF8String", keyword)
	}
	*field = string(v.Bytes)
	return keyword + "=" + escape(*field), nil
}

// escape protects a value as RFC 2253 2.4 asks for.
func escape(value string) string {
	var b strings.Builder
	for i := range len(value) {
		c := value[i]
		edge := (i == 0 && (c == ' ' || c == '#')) || (i == len(value)-1 && c == ' ')
		if edge || strings.IndexByte(`,+"\<>;`, c) >= 0 {
			b.WriteByte('\\')
		}
		b.WriteByte(c)
	}
	return b.String()
}

// marshalName writes the attributes that are given, in SMKI's order: an
// organisation's is CN, OU, uniqueIdentifier; an authority's is OU, CN.
func marshalName(attributes ...attribute) ([]byte, error) {
	sequence := make([]relativeNameSET, 0, len(attributes))
	for _, a := range attributes {
		sequence = append(sequence, relativeNameSET{a})
	}
	return asn1.Marshal(sequence)
}

func textAttribute(oid asn1.ObjectIdentifier, text string) attribute {
	return attribute{oid, asn1.RawValue{Tag: asn1.TagUTF8String, Bytes: []byte(text)}}
}

func euiAttribute(eui servicerequests.EUI) attribute {
	octets := eui.Bytes()
	return attribute{oidUniqueIdentifier, asn1.RawValue{Tag: asn1.TagBitString, Bytes: append([]byte{0}, octets[:]...)}}
}
