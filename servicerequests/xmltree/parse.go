package xmltree

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"strings"
)

// ErrLimit is wrapped by the error for a document that exceeds its Limits.
var ErrLimit = errors.New("xmltree: limit exceeded")

// SyntaxError says where and why a document is outside the subset.
type SyntaxError struct {
	Offset int // in bytes from the start of the input
	Reason string
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("xmltree: byte %d: %s", e.Offset, e.Reason)
}

// Limits bound what one document may cost. A field that is zero has the value
// named beside it; the values are assumptions, far above any DUIS message.
type Limits struct {
	MaxBytes      int // length of the input in bytes; 1 MiB
	MaxDepth      int // elements within each other, the root being 1; 32
	MaxNodes      int // elements and texts; 4096
	MaxAttributes int // attributes and declarations of one element; 32
}

func (l Limits) withDefaults() Limits {
	return Limits{
		MaxBytes:      cmp.Or(l.MaxBytes, 1<<20),
		MaxDepth:      cmp.Or(l.MaxDepth, 32),
		MaxNodes:      cmp.Or(l.MaxNodes, 4096),
		MaxAttributes: cmp.Or(l.MaxAttributes, 32),
	}
}

// Parse reads one document within the default Limits. The error is a
// *SyntaxError or wraps ErrLimit.
func Parse(b []byte) (*Document, error) { return ParseWithin(b, Limits{}) }

// ParseWithin is Parse within other Limits.
func ParseWithin(b []byte, limits Limits) (*Document, error) {
	return parse(b, limits, false)
}

// ParseSample is Parse for a document that a person has written: comments are
// dropped. It is never for what the network brought, because a comment can
// split a text that two readers then read differently.
func ParseSample(b []byte) (*Document, error) { return parse(b, Limits{}, true) }

func parse(b []byte, limits Limits, comments bool) (*Document, error) {
	limits = limits.withDefaults()
	if len(b) > min(limits.MaxBytes, math.MaxInt32) {
		return nil, fmt.Errorf("%w: %d bytes of at most %d", ErrLimit, len(b), limits.MaxBytes)
	}
	p := parser{
		d: &Document{src: string(b), tables: room.Get().(*tables)}, limits: limits, comments: comments,
	}
	p.src, p.open, p.scope = p.d.src, p.d.open, p.d.scope
	err := p.document()
	p.d.open, p.d.scope = p.open[:0], p.scope[:0]
	if err != nil {
		p.d.Release()
		return nil, err
	}
	return p.d, nil
}

type parser struct {
	d        *Document
	src      string
	pos      int
	limits   Limits
	comments bool

	open  []openElement
	scope []binding // all declarations of the open elements
	plain bool      // the last characters that were read are all ordinary
}

type openElement struct {
	node     int32
	scope    int  // length of parser.scope outside the element
	elements bool // it holds an element
	words    bool // it holds text that is more than white space
}

func (p *parser) fail(format string, args ...any) error {
	return &SyntaxError{Offset: p.pos, Reason: fmt.Sprintf(format, args...)}
}

// skip steps over s if it is next.
func (p *parser) skip(s string) bool {
	if !strings.HasPrefix(p.src[p.pos:], s) {
		return false
	}
	p.pos += len(s)
	return true
}

// skipSpace steps over white space and reports whether there was any.
func (p *parser) skipSpace() bool {
	start := p.pos
	for p.pos < len(p.src) && isSpace(p.src[p.pos]) {
		p.pos++
	}
	return p.pos > start
}

func isWhitespace(s string) bool {
	for i := range len(s) {
		if !isSpace(s[i]) {
			return false
		}
	}
	return true
}

func isSpace(c byte) bool { return c <= ' ' && (c == ' ' || c == '\t' || c == '\n' || c == '\r') }

// byteOrderMark may begin a document in UTF-8 (XML 1.0, 4.3.3). It is no part of it, and
// so of no canonical form.
const byteOrderMark = "\uFEFF"

func (p *parser) document() error {
	p.skip(byteOrderMark)
	if strings.HasPrefix(p.src, "\xFF\xFE") || strings.HasPrefix(p.src, "\xFE\xFF") {
		return p.fail("UTF-16: want UTF-8")
	}
	if err := p.declaration(); err != nil {
		return err
	}
	if err := p.around(); err != nil {
		return err
	}
	p.allocate()
	if err := p.element(); err != nil {
		return err
	}
	for len(p.open) > 0 {
		if err := p.content(); err != nil {
			return err
		}
	}
	if err := p.around(); err != nil {
		return err
	}
	if p.pos < len(p.src) {
		return p.fail("content after the root element")
	}
	return nil
}

// around reads what may stand before and after the root element.
func (p *parser) around() error {
	for {
		p.skipSpace()
		if found, err := p.comment(); !found || err != nil {
			return err
		}
	}
}

// allocate makes room for all nodes of a compact document at once: an element
// has two tags, and not more than one text. An indented one makes it grow. The
// room is mostly a released document's.
func (p *parser) allocate() {
	tags := strings.Count(p.src[p.pos:], "<")
	if n := min(tags, p.limits.MaxNodes); cap(p.d.nodes) < n {
		p.d.nodes = make([]node, 0, n)
	}
}

// declaration reads the XML declaration, if there is one.
func (p *parser) declaration() error {
	rest := p.src[p.pos:]
	if !strings.HasPrefix(rest, "<?xml") || len(rest) == 5 || !isSpace(rest[5]) {
		return nil
	}
	p.pos += len("<?xml")
	version, err := p.pseudoAttribute("version")
	if err != nil {
		return err
	}
	encoding, err := p.pseudoAttribute("encoding")
	if err != nil {
		return err
	}
	standalone, err := p.pseudoAttribute("standalone")
	if err != nil {
		return err
	}
	p.skipSpace()
	switch {
	case !p.skip("?>"):
		return p.fail("malformed XML declaration")
	case version != "1.0":
		return p.fail("XML version %q", version)
	case encoding != "" && !strings.EqualFold(encoding, "UTF-8"):
		return p.fail("encoding %q", encoding)
	case standalone != "" && standalone != "yes" && standalone != "no":
		return p.fail("standalone %q", standalone)
	}
	return nil
}

// pseudoAttribute reads one part of the XML declaration; it returns "" if the
// part with this name is not next.
func (p *parser) pseudoAttribute(name string) (string, error) {
	start := p.pos
	if !p.skipSpace() || !p.skip(name) {
		p.pos = start
		return "", nil
	}
	value, err := p.attributeValue()
	return p.d.string(value), err
}

// comment steps over a comment if one is next.
func (p *parser) comment() (bool, error) {
	if !strings.HasPrefix(p.src[p.pos:], "<!--") {
		return false, nil
	}
	if !p.comments {
		return true, p.fail("comment")
	}
	p.pos += len("<!--")
	end := strings.Index(p.src[p.pos:], "--")
	if end < 0 {
		return true, p.fail("comment without an end")
	}
	for text := p.src[p.pos : p.pos+end]; text != ""; {
		size := charLength(text)
		if size == 0 {
			return true, p.fail("character that XML does not allow")
		}
		text = text[size:]
	}
	p.pos += end
	if !p.skip("-->") {
		return true, p.fail("-- inside a comment")
	}
	return true, nil
}

// content reads what is next inside the innermost open element.
func (p *parser) content() error {
	if p.pos == len(p.src) {
		return p.fail("input ends inside <%s>", p.d.local(p.d.nodes[p.open[len(p.open)-1].node].name))
	}
	if p.src[p.pos] != '<' {
		return p.text()
	}
	switch rest := p.src[p.pos:]; {
	case len(rest) > 1 && rest[1] == '/':
		return p.endTag()
	case len(rest) > 1 && rest[1] == '!':
		if found, err := p.comment(); found {
			return err
		}
	}
	return p.element()
}

// addNode opens a node below the innermost open element.
func (p *parser) addNode(n node) (int32, error) {
	if len(p.d.nodes) >= p.limits.MaxNodes {
		return 0, fmt.Errorf("%w: more than %d nodes", ErrLimit, p.limits.MaxNodes)
	}
	n.parent = -1
	if len(p.open) > 0 {
		n.parent = p.open[len(p.open)-1].node
	}
	i := int32(len(p.d.nodes))
	n.end = i + 1
	p.d.nodes = append(p.d.nodes, n)
	return i, nil
}

// element reads a start tag or an empty-element tag.
func (p *parser) element() error {
	start := p.pos
	if !p.skip("<") {
		return p.fail("a root element is missing")
	}
	if p.pos < len(p.src) && (p.src[p.pos] == '!' || p.src[p.pos] == '?') {
		return p.fail("comment, CDATA, DOCTYPE or processing instruction")
	}
	if len(p.open) >= p.limits.MaxDepth {
		return fmt.Errorf("%w: more than %d elements within each other", ErrLimit, p.limits.MaxDepth)
	}
	name, err := p.name()
	if err != nil {
		return err
	}
	if len(p.open) > 0 {
		parent := &p.open[len(p.open)-1]
		if parent.words {
			return p.fail("an element beside text")
		}
		parent.elements = true
		p.d.spaced = p.d.spaced || p.spaceBefore(parent.node)
	}
	i, err := p.addNode(node{name: name})
	if err != nil {
		return err
	}
	p.open = append(p.open, openElement{node: i, scope: len(p.scope)})
	empty, err := p.attributes(i)
	if err != nil {
		return err
	}
	n := &p.d.nodes[i]
	if n.space = p.d.lookup(p.scope, name.prefix()); n.space.empty() && !name.prefix().empty() {
		p.pos = start
		return p.fail("prefix %q is not declared", p.d.string(name.prefix()))
	}
	if empty {
		p.close()
	}
	return nil
}

// spaceBefore reports whether the last node is a text of the open element.
func (p *parser) spaceBefore(open int32) bool {
	last := &p.d.nodes[len(p.d.nodes)-1]
	return last.isText() && last.parent == open
}

func (p *parser) endTag() error {
	start := p.pos
	p.pos += len("</")
	n := &p.d.nodes[p.open[len(p.open)-1].node]
	matches := p.skip(p.d.string(n.name.whole()))
	p.skipSpace()
	if !matches || !p.skip(">") {
		p.pos = start
		return p.fail("the end tag of <%s> is missing or malformed", p.d.local(n.name))
	}
	p.close()
	return nil
}

func (p *parser) close() {
	last := len(p.open) - 1
	e := p.open[last]
	p.open = p.open[:last]
	p.scope = p.scope[:e.scope]
	p.d.spaced = p.d.spaced || e.elements && p.spaceBefore(e.node)
	p.d.nodes[e.node].end = int32(len(p.d.nodes))
}

// name reads a name and finds its prefix.
func (p *parser) name() (n name, err error) {
	n.from = int32(p.pos)
	n.local = n.from
	err = p.part()
	if err == nil && p.skip(":") {
		n.local = int32(p.pos)
		err = p.part()
	}
	n.to = int32(p.pos)
	if n.local > n.from && p.d.string(n.prefix()) == "xml" {
		return n, p.fail("prefix xml is not used in DUIS")
	}
	return n, err
}

// part reads a name without a colon.
func (p *parser) part() error {
	start := p.pos
	at := start
	for at < len(p.src) && nameParts[p.src[at]] {
		at++
	}
	p.pos = at
	if at == start || !isNamePart(p.src[start], true) {
		p.pos = start
		return p.fail("a name is missing")
	}
	return nil
}

func isNamePart(c byte, first bool) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', c == '_':
		return true
	case '0' <= c && c <= '9', c == '-', c == '.':
		return !first
	}
	return false
}

// nameParts are the characters that a name may hold after its first.
var nameParts = func() (table [256]bool) {
	for c := range table {
		table[c] = isNamePart(byte(c), false)
	}
	return table
}()

// text reads the text up to the next markup.
func (p *parser) text() error {
	start := p.pos
	text, err := p.characters('<')
	if err != nil {
		return err
	}
	parent := &p.open[len(p.open)-1]
	if !isWhitespace(p.d.string(text)) {
		if parent.elements {
			p.pos = start
			return p.fail("text beside an element")
		}
		parent.words = true
	}
	if p.spaceBefore(parent.node) {
		// Only a comment that was dropped can have parted them.
		last := &p.d.nodes[len(p.d.nodes)-1]
		last.text, last.plain = p.d.decode(p.d.string(last.text)+p.d.string(text)), false
		return nil
	}
	_, err = p.addNode(node{text: text, plain: p.plain})
	return err
}
