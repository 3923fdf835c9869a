package duis

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"safemode/servicerequests"
	"safemode/servicerequests/xmltree"
)

// ErrFormat marks a document that is not a DUIS message of the accepted form.
var ErrFormat = errors.New("not a DUIS message")

// ErrUnknownService marks a request that names itself well and asks for a service that
// the catalogue has not.
var ErrUnknownService = fmt.Errorf("%w: a service that is not in the catalogue", ErrFormat)

const namespace = "http://www.dccinterface.co.uk/ServiceUserGateway"

// decoder reads elements; its first fault sticks and makes every later read
// yield zero values.
type decoder struct {
	err    error
	folded bool // base64 may hold white space
}

func (d *decoder) fail(n xmltree.Node, format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: %s: %s", ErrFormat, n.Local(), fmt.Sprintf(format, args...))
	}
}

// root checks the document's root and returns the sequence of its children.
func (d *decoder) root(doc *xmltree.Document, local string) sequence {
	root := doc.Root()
	if !root.Is(namespace, local) {
		d.fail(root, "the root element is not %s of DUIS", local)
		return sequence{d: d}
	}
	if root.NumAttr() != 1 {
		d.fail(root, "want the one attribute schemaVersion")
	}
	d.version(root)
	return d.children(root)
}

// version checks the schema's version, which every document of its own bears.
func (d *decoder) version(n xmltree.Node) {
	version, ok := n.Attr("schemaVersion")
	if !ok || len(version) != 3 || version[:2] != "5." || version[2] < '0' || version[2] > '9' {
		d.fail(n, "want the attribute schemaVersion, 5.0 to 5.9")
	}
}

// sequence reads the children of one element in the schema's order.
type sequence struct {
	d            *decoder
	space        string // namespace
	parent, next xmltree.Node
}

// children begins to read the elements below n.
func (d *decoder) children(n xmltree.Node) sequence { return d.childrenIn(n, namespace) }

// childrenIn is children for elements of another namespace.
func (d *decoder) childrenIn(n xmltree.Node, space string) sequence {
	if n.FirstChild().IsZero() && !n.HasOnlyWhitespaceText() {
		d.fail(n, "holds text where elements belong")
	}
	return sequence{d: d, space: space, parent: n, next: n.FirstChild()}
}

// any takes the next child, whatever it is called.
func (s *sequence) any() xmltree.Node { return s.one() }

// one takes the next child, which may have these attributes and no others.
func (s *sequence) one(attributes ...string) xmltree.Node {
	n := s.next
	switch {
	case s.d.err != nil:
		return xmltree.Node{}
	case n.IsZero():
		s.d.fail(s.parent, "something is missing at its end")
		return n
	case n.Namespace() != s.space:
		s.d.fail(n, "is not in the namespace %s", s.space)
	case n.NumAttr() > count(n, attributes):
		s.d.fail(n, "has an attribute that does not belong there")
	}
	s.next = n.NextSibling()
	return n
}

// count is how many of the attributes an element has.
func count(n xmltree.Node, attributes []string) (there int) {
	for _, name := range attributes {
		if _, ok := n.Attr(name); ok {
			there++
		}
	}
	return there
}

// required takes the next child, which must be called local.
func (s *sequence) required(local string) xmltree.Node { return s.with(local) }

// with is required for a child that may have these attributes.
func (s *sequence) with(local string, attributes ...string) xmltree.Node {
	if s.d.err == nil && s.next.Local() != local {
		s.d.fail(s.parent, "want %s, got %q", local, s.next.Local())
	}
	return s.one(attributes...)
}

// optional takes the next child if it is called local; otherwise it returns
// the zero Node and takes nothing.
func (s *sequence) optional(local string) xmltree.Node {
	if s.next.Local() != local {
		return xmltree.Node{}
	}
	return s.any()
}

// skipSignature takes a Signature, if one comes next, and does not look into it.
func (s *sequence) skipSignature() {
	if s.next.Is("http://www.w3.org/2000/09/xmldsig#", "Signature") {
		s.next = s.next.NextSibling()
	}
}

// signature takes a Signature, which must come next, and does not look into it.
func (s *sequence) signature() {
	if before := s.next; s.d.err == nil {
		if s.skipSignature(); s.next == before {
			s.d.fail(s.parent, "holds no Signature")
		}
	}
}

// end checks that nothing is left.
func (s *sequence) end() {
	if !s.next.IsZero() {
		s.d.fail(s.parent, "%s does not belong here", s.next.Local())
	}
}

// empty checks that the element has no content.
func (d *decoder) empty(n xmltree.Node) {
	if text := d.text(n); text != "" {
		d.fail(n, "is not empty")
	}
}

// text returns the element's text as it stands.
func (d *decoder) text(n xmltree.Node) string {
	if d.err != nil || n.IsZero() {
		return ""
	}
	text, err := n.Text()
	if err != nil {
		d.fail(n, "holds elements where text belongs")
	}
	return text
}

// shortText returns the text if it has min to max characters.
func (d *decoder) shortText(n xmltree.Node, limit length) string {
	text := d.text(n)
	if d.err == nil && !limit.holds(text) {
		d.fail(n, "%q has not %d to %d characters", text, limit.min, limit.max)
	}
	return text
}

func (d *decoder) oneOf(n xmltree.Node, values []string) string {
	text := d.text(n)
	if d.err == nil && !slices.Contains(values, text) {
		d.fail(n, "%q is no value that the schema knows", text)
	}
	return text
}

func (d *decoder) eui(n xmltree.Node) servicerequests.EUI {
	text := d.text(n)
	if d.err != nil {
		return 0
	}
	eui, err := servicerequests.ParseEUI(text)
	if err != nil || len(text) != 23 {
		d.fail(n, "%q is no hyphenated EUI", text)
		return 0
	}
	return eui
}

// requestID reads an ID of this module's: the counter is within GBCS's range.
func (d *decoder) requestID(n xmltree.Node) servicerequests.RequestID {
	text := d.text(n)
	if d.err != nil {
		return servicerequests.RequestID{}
	}
	id, err := servicerequests.ParseRequestID(text)
	if err != nil {
		d.fail(n, "%v", err)
	}
	return id
}

// anyRequestID reads an ID with any counter of 64 bits, as the schema allows:
// the DCC also answers requests of the User that are not this module's, and
// top-ups count above 2^63.
func (d *decoder) anyRequestID(n xmltree.Node) servicerequests.RequestID {
	text := d.text(n)
	colon := strings.LastIndexByte(text, ':')
	if d.err != nil {
		return servicerequests.RequestID{}
	}
	if colon < 0 {
		d.fail(n, "%q is no request ID", text)
		return servicerequests.RequestID{}
	}
	id, err := servicerequests.ParseRequestID(text[:colon] + ":1")
	if err != nil {
		d.fail(n, "%v", err)
		return servicerequests.RequestID{}
	}
	id.Counter = d.decimal(n, text[colon+1:], 64)
	return id
}

func (d *decoder) uint(n xmltree.Node, bits int) uint64 { return d.decimal(n, d.text(n), bits) }

// decimal reads a number without sign or leading zeros.
func (d *decoder) decimal(n xmltree.Node, text string, bits int) uint64 {
	if d.err != nil || n.IsZero() {
		return 0
	}
	number, err := strconv.ParseUint(text, 10, bits)
	if err != nil || strconv.FormatUint(number, 10) != text {
		d.fail(n, "%q is no number of %d bits", text, bits)
	}
	return number
}

func (d *decoder) boolean(n xmltree.Node) bool {
	switch text := d.text(n); text {
	case "true", "1":
		return true
	case "false", "0":
	default:
		d.fail(n, "%q is no boolean", text)
	}
	return false
}

// time reads an xs:dateTime that names its zone, to the millisecond, which is as
// fine as it is written.
func (d *decoder) time(n xmltree.Node) time.Time {
	text := d.text(n)
	if d.err != nil || n.IsZero() {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339, text)
	t = t.UTC().Truncate(time.Millisecond)
	if err != nil || strings.ContainsRune(text, ',') || t.IsZero() || t.Year() < 1 || t.Year() > 9999 { // zero would read as absent
		d.fail(n, "%q is no time with a zone", text)
	}
	return t
}

// alertCode reads two octets of xs:hexBinary.
func (d *decoder) alertCode(n xmltree.Node) uint16 {
	text := d.text(n)
	if d.err != nil {
		return 0
	}
	octets, err := hex.DecodeString(text)
	if err != nil || len(octets) != 2 {
		d.fail(n, "%q is no alert code", text)
		return 0
	}
	return uint16(octets[0])<<8 | uint16(octets[1])
}

var (
	base64Strict = base64.StdEncoding.Strict()
	foldedBase64 = strings.NewReplacer(" ", "", "\t", "", "\r", "", "\n", "")
)

// payload reads base64 with padding and without stray bits; at least one octet.
func (d *decoder) payload(n xmltree.Node) []byte {
	text := d.text(n)
	if d.err != nil {
		return nil
	}
	if strings.ContainsAny(text, " \t\r\n") {
		if !d.folded {
			d.fail(n, "white space in base64")
			return nil
		}
		text = foldedBase64.Replace(text)
	}
	octets, err := base64Strict.DecodeString(text)
	if err != nil || len(octets) == 0 {
		d.fail(n, "is no base64 of at least one octet")
		return nil
	}
	return octets
}

// serviceReferences reads the two elements that name a service.
func (d *decoder) serviceReferences(s *sequence) (reference, variant string) {
	reference = d.text(s.required("ServiceReference"))
	node := s.required("ServiceReferenceVariant")
	variant = d.text(node)
	if d.err == nil && !serviceMatches(reference, variant) {
		d.fail(node, "%q is no variant of service %q", variant, reference)
	}
	return reference, variant
}

// serviceMatches says whether reference is two numbers, like 6.2, and variant
// the same, or that and a third.
func serviceMatches(reference, variant string) bool {
	more, found := strings.CutPrefix(variant, reference)
	first, second, _ := strings.Cut(reference, ".")
	return found && smallNumber(first) && smallNumber(second) && (more == "" || more[0] == '.' && smallNumber(more[1:]))
}

func smallNumber(text string) bool {
	n, err := strconv.ParseUint(text, 10, 8)
	return err == nil && n > 0 && strconv.FormatUint(n, 10) == text
}
