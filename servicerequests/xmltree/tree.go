package xmltree

import (
	"errors"
	"iter"
	"sync"
)

// ErrElementContent says that text was asked of an element that holds elements.
var ErrElementContent = errors.New("xmltree: the element contains elements, not text")

// Document is one parsed document. It is read-only and safe for concurrent use.
// It keeps a copy of the input; every string it returns is part of that copy or
// was decoded from it.
type Document struct {
	src string // a copy of the input
	*tables
	spaced bool // there is white space beside an element somewhere
}

// tables hold the tree. Nothing in them but decoded has a pointer, so they cost the
// garbage collector nothing.
type tables struct {
	nodes      []node // in document order; the root is nodes[0]
	attributes []attribute
	bindings   []binding
	decoded    []string // texts that differ from the input

	open  []openElement // the parser's, empty when it has ended
	scope []binding     // likewise
}

// piece is a string: src[from:to] or, if from is negative, decoded[-1-from].
type piece struct{ from, to int32 }

func (d *Document) string(p piece) string {
	if p.from < 0 {
		return d.decoded[-1-p.from]
	}
	return d.src[p.from:p.to]
}

// empty says whether the piece is the empty string. What was decoded never is: a
// reference stands for a character.
func (p piece) empty() bool { return p.from == p.to }

// same says whether two pieces are the same string.
func (d *Document) same(a, b piece) bool { return a == b || d.string(a) == d.string(b) }

// decode keeps a decoded string.
func (d *Document) decode(s string) piece {
	d.decoded = append(d.decoded, s)
	return piece{from: -int32(len(d.decoded))}
}

// name is the name of an element or attribute in src: its prefix, if it has one, with
// the colon, then the local name.
type name struct{ from, local, to int32 }

func (n name) whole() piece { return piece{n.from, n.to} }

func (n name) prefix() piece { return piece{n.from, max(n.from, n.local-1)} }

func (d *Document) local(n name) string { return d.src[n.local:n.to] }

// node is an element or a text. The nodes below an element at index i are
// nodes[i+1:end].
type node struct {
	name       name  // zero for texts
	space      piece // the element's namespace name; empty for none
	text       piece // texts only
	plain      bool  // the text is written as it was read
	parent     int32 // -1 for the root
	end        int32
	attributes span // in canonical order
	bindings   span // in canonical order, without those that change nothing
}

// isText tells a text from an element, whose name follows on a "<".
func (n *node) isText() bool { return n.name.to == 0 }

// span is a range of Document.attributes or Document.bindings.
type span struct{ from, to int32 }

type attribute struct {
	name  name
	space piece
	value piece
}

// binding is one namespace declaration. The empty prefix is the default
// namespace; an empty space takes the default namespace away.
type binding struct{ prefix, space piece }

// room is the memory of documents that were released, to be used again: a tree is
// larger than its text, and most live no longer than it takes to decode them.
var room = sync.Pool{New: func() any { return new(tables) }}

// Release gives the tree's memory back. Strings that were read from it stay what
// they are; no goroutine may use its Nodes any more. Without a call of Release the
// garbage collector frees the tree.
func (d *Document) Release() {
	free := d.tables
	// A later use of a Node panics, and never reads another document.
	*d = Document{}
	if cap(free.nodes) > keptNodes {
		return
	}
	clear(free.decoded)
	*free = tables{free.nodes[:0], free.attributes[:0], free.bindings[:0], free.decoded[:0], free.open, free.scope}
	room.Put(free)
}

// Cut takes the root's last element out of the tree. Its Nodes, and those of white
// space after it, must not be used any more.
func (d *Document) Cut() {
	last := int32(-1)
	for n := d.Root().FirstChild(); !n.IsZero(); n = n.NextSibling() {
		last = n.i
	}
	if last < 0 {
		return
	}
	d.nodes = d.nodes[:last]
	d.nodes[0].end = last
}

// keptNodes bounds what one released tree holds back; a signed request has some 40.
const keptNodes = 256

// Root returns the document's root element.
func (d *Document) Root() Node { return Node{d, 0} }

// Spaced reports whether white space stands between elements somewhere in the
// document, that is, whether AppendCompact differs from AppendInclusive.
func (d *Document) Spaced() bool { return d.spaced }

// Node is one element of a Document: two words, compared with ==. The zero Node
// is no element; it has no name, no text, no attributes and no children.
type Node struct {
	d *Document
	i int32
}

var noElement = node{parent: -1}

func (n Node) node() *node {
	if n.d == nil {
		return &noElement
	}
	return &n.d.nodes[n.i]
}

// IsZero reports whether n is no element.
func (n Node) IsZero() bool { return n.d == nil }

// Namespace returns the element's namespace name, empty if it is in none.
func (n Node) Namespace() string {
	if n.d == nil {
		return ""
	}
	return n.d.string(n.node().space)
}

// Local returns the element's name without its prefix.
func (n Node) Local() string {
	if n.d == nil {
		return ""
	}
	return n.d.local(n.node().name)
}

// Is reports whether the element has this expanded name.
func (n Node) Is(space, local string) bool {
	return n.Local() == local && n.Namespace() == space && n.d != nil
}

// Attr returns the value of the attribute with this name and no namespace.
func (n Node) Attr(local string) (string, bool) {
	if n.d == nil {
		return "", false
	}
	e := n.node()
	for _, a := range n.d.attributes[e.attributes.from:e.attributes.to] {
		if n.d.local(a.name) == local && n.d.string(a.space) == "" {
			return n.d.string(a.value), true
		}
	}
	return "", false
}

// NumAttr returns the number of the element's attributes, in any namespace.
// Namespace declarations are not attributes.
func (n Node) NumAttr() int {
	e := n.node()
	return int(e.attributes.to - e.attributes.from)
}

// Parent returns the element that holds n; the zero Node for the root.
func (n Node) Parent() Node {
	if p := n.node().parent; p >= 0 {
		return Node{n.d, p}
	}
	return Node{}
}

// FirstChild returns the first element directly below n, or the zero Node.
func (n Node) FirstChild() Node {
	if n.d == nil {
		return Node{}
	}
	return n.d.element(n.i+1, n.node().end)
}

// NextSibling returns the element after n under the same parent, or the zero
// Node.
func (n Node) NextSibling() Node {
	p := n.Parent()
	if p.IsZero() {
		return Node{}
	}
	return n.d.element(n.node().end, p.node().end)
}

// element returns the first element at or after i, stepping over the texts
// before it, or the zero Node if there is none before end.
func (d *Document) element(i, end int32) Node {
	for ; i < end; i++ {
		if !d.nodes[i].isText() {
			return Node{d, i}
		}
	}
	return Node{}
}

// Children yields the elements directly below n, in document order.
func (n Node) Children() iter.Seq[Node] {
	return func(yield func(Node) bool) {
		for c := n.FirstChild(); !c.IsZero(); c = c.NextSibling() {
			if !yield(c) {
				return
			}
		}
	}
}

// Descendants yields all elements below n, in document order.
func (n Node) Descendants() iter.Seq[Node] {
	return func(yield func(Node) bool) {
		if n.d == nil {
			return
		}
		end := n.node().end
		for c := n.d.element(n.i+1, end); !c.IsZero(); c = n.d.element(c.i+1, end) {
			if !yield(c) {
				return
			}
		}
	}
}

// Text returns the element's text, empty if it has none. The white space in it
// is as written. An element that holds elements has no text: ErrElementContent.
func (n Node) Text() (string, error) {
	if !n.FirstChild().IsZero() {
		return "", ErrElementContent
	}
	return n.ownText(), nil
}

// HasOnlyWhitespaceText reports whether the text directly in the element is
// empty or white space.
func (n Node) HasOnlyWhitespaceText() bool {
	// Text is never beside elements, so only a leaf can have more.
	return !n.FirstChild().IsZero() || isWhitespace(n.ownText())
}

// ownText returns the one text of an element without elements.
func (n Node) ownText() string {
	if e := n.node(); n.d != nil && e.end > n.i+1 {
		return n.d.string(n.d.nodes[n.i+1].text)
	}
	return ""
}
