package xmltree

import (
	"errors"
	"iter"
	"sync"
)

// ErrElementContent says that text was asked of an element that holds elements.
var ErrElementContent = errors.New("xmltree: the element holds elements, not text")

// Document is one parsed document. It is read-only and safe for concurrent use.
// It keeps a copy of the input; every string it returns is part of that copy or
// was decoded from it.
type Document struct {
	nodes      []node // in document order; the root is nodes[0]
	attributes []attribute
	bindings   []binding
	spaced     bool // white space stands beside an element somewhere
}

// node is an element or, if local is empty, a text. The nodes below an element
// at index i are nodes[i+1:end].
type node struct {
	prefix, local string
	space         string // the element's namespace name; empty for none
	text          string // decoded; texts only
	parent        int32  // -1 for the root
	end           int32
	attributes    span // in canonical order
	bindings      span // in canonical order, without those that change nothing
}

// span is a range of Document.attributes or Document.bindings.
type span struct{ from, to int32 }

type attribute struct {
	prefix, local string
	space         string
	value         string
}

// binding is one namespace declaration. The empty prefix is the default
// namespace; an empty space takes the default namespace away.
type binding struct{ prefix, space string }

// room is the memory of documents that were released, to be used again: a tree is
// larger than its text, and most live no longer than it takes to decode them.
var room = sync.Pool{New: func() any { return new(Document) }}

// Release gives the tree's memory back. Strings that were read from it stay what
// they are; its Nodes must not be used any more, nor by other goroutines. Who does
// not call it leaves the tree to the garbage collector.
func (d *Document) Release() {
	clear(d.nodes) // lets go of the text
	clear(d.attributes)
	clear(d.bindings)
	free := &Document{nodes: d.nodes[:0], attributes: d.attributes[:0], bindings: d.bindings[:0]}
	// Whoever uses a Node all the same is stopped, and never reads another document.
	*d = Document{}
	if cap(free.nodes) <= keptNodes {
		room.Put(free)
	}
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
func (n Node) Namespace() string { return n.node().space }

// Local returns the element's name without its prefix.
func (n Node) Local() string { return n.node().local }

// Is reports whether the element has this expanded name.
func (n Node) Is(space, local string) bool {
	e := n.node()
	return e.local == local && e.space == space && n.d != nil
}

// Attr returns the value of the attribute with this name and no namespace.
func (n Node) Attr(local string) (string, bool) {
	if n.d == nil {
		return "", false
	}
	e := n.node()
	for _, a := range n.d.attributes[e.attributes.from:e.attributes.to] {
		if a.local == local && a.space == "" {
			return a.value, true
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
		if d.nodes[i].local != "" {
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
	// Text never stands beside elements, so only a leaf can hold more.
	return !n.FirstChild().IsZero() || isWhitespace(n.ownText())
}

// ownText returns the one text of an element without elements.
func (n Node) ownText() string {
	if e := n.node(); n.d != nil && e.end > n.i+1 {
		return n.d.nodes[n.i+1].text
	}
	return ""
}
