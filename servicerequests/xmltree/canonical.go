package xmltree

import (
	"cmp"
	"slices"
)

// AppendInclusive appends Canonical XML 1.0 of the element n, without the
// element omit (the zero Node omits nothing).
func (d *Document) AppendInclusive(b []byte, n, omit Node) []byte {
	return d.appendWhole(b, n, omit, false)
}

// AppendCompact appends what AppendInclusive appends, without the white space
// between elements. White space that is an element's only content stays.
func (d *Document) AppendCompact(b []byte, n, omit Node) []byte {
	return d.appendWhole(b, n, omit, true)
}

func (d *Document) appendWhole(b []byte, n, omit Node, compact bool) []byte {
	if n.IsZero() || n == omit {
		return b
	}
	w := inclusive{d: d, skip: omit.index(), compact: compact}
	e := n.node()
	if e.parent < 0 {
		return w.element(b, n.i, d.bindings[e.bindings.from:e.bindings.to])
	}
	return w.element(b, n.i, d.inScope(n.i))
}

// AppendAlone appends what AppendInclusive appends of an element that was a document of its
// own before it was put into another: of the namespaces that the elements around it declare
// it keeps those that are used in it.
func (d *Document) AppendAlone(b []byte, n, omit Node) []byte {
	if n.IsZero() || n == omit {
		return b
	}
	own, skip := n.node().bindings, omit.index()
	declared := slices.DeleteFunc(d.inScope(n.i), func(outer binding) bool {
		return !slices.ContainsFunc(d.bindings[own.from:own.to], func(b binding) bool { return d.same(b.prefix, outer.prefix) }) &&
			!d.uses(n.i, skip, outer.prefix)
	})
	return inclusive{d: d, skip: skip}.element(b, n.i, declared)
}

// uses says whether an element, or one inside it, has a name with this prefix. The element
// skip and its content do not count.
func (d *Document) uses(i, skip int32, prefix piece) bool {
	for c := i; c < d.nodes[i].end; c++ {
		e := &d.nodes[c]
		switch {
		case c == skip:
			c = e.end - 1
			continue
		case e.isText():
			continue
		case d.same(e.name.prefix(), prefix):
			return true
		}
		for _, a := range d.attributes[e.attributes.from:e.attributes.to] {
			if p := a.name.prefix(); !p.empty() && d.same(p, prefix) {
				return true
			}
		}
	}
	return false
}

// index is where the element stands in its document; -1 for none.
func (n Node) index() int32 {
	if n.IsZero() {
		return -1
	}
	return n.i
}

// inScope returns the namespace bindings that hold at the element, in canonical
// order.
func (d *Document) inScope(i int32) []binding {
	var all []binding
	for ; i >= 0; i = d.nodes[i].parent {
		own := d.nodes[i].bindings
		for _, b := range d.bindings[own.from:own.to] {
			if !slices.ContainsFunc(all, func(inner binding) bool { return d.same(inner.prefix, b.prefix) }) {
				all = append(all, b)
			}
		}
	}
	all = slices.DeleteFunc(all, func(b binding) bool { return d.string(b.space) == "" })
	slices.SortFunc(all, d.byPrefix)
	return all
}

func (d *Document) byPrefix(a, b binding) int {
	return cmp.Compare(d.string(a.prefix), d.string(b.prefix))
}

// inclusive writes Canonical XML. The parser has dropped the declarations that
// Canonical XML calls superfluous, so each element writes those it has left.
type inclusive struct {
	d       *Document
	skip    int32
	compact bool
}

func (w inclusive) element(b []byte, i int32, declared []binding) []byte {
	d := w.d
	e := &d.nodes[i]
	b = append(b, '<')
	b = append(b, d.string(e.name.whole())...)
	for _, n := range declared {
		b = d.appendBinding(b, n)
	}
	b = d.appendAttributes(b, e)
	b = append(b, '>')
	// Beside elements the parser lets only white space pass.
	dropText := w.compact && !d.element(i+1, e.end).IsZero()
	for c := i + 1; c < e.end; {
		child := &d.nodes[c]
		switch {
		case child.isText():
			if !dropText {
				b = d.appendText(b, child)
			}
		case c != w.skip:
			b = w.element(b, c, d.bindings[child.bindings.from:child.bindings.to])
		}
		c = child.end
	}
	return d.appendEndTag(b, e)
}

// AppendExclusive appends Exclusive XML Canonicalization 1.0 of the element n.
func (d *Document) AppendExclusive(b []byte, n Node) []byte {
	if n.IsZero() {
		return b
	}
	var rendered [8]binding
	return d.appendExclusive(b, n.i, rendered[:0])
}

// appendExclusive writes one element. rendered holds the bindings that the
// elements around it have written, the innermost last.
func (d *Document) appendExclusive(b []byte, i int32, rendered []binding) []byte {
	e := &d.nodes[i]
	attributes := d.attributes[e.attributes.from:e.attributes.to]

	outer := len(rendered)
	rendered = d.render(rendered, binding{e.name.prefix(), e.space})
	for _, a := range attributes {
		if prefix := a.name.prefix(); !prefix.empty() {
			rendered = d.render(rendered, binding{prefix, a.space})
		}
	}
	if own := rendered[outer:]; len(own) > 1 {
		slices.SortFunc(own, d.byPrefix)
	}

	b = append(b, '<')
	b = append(b, d.string(e.name.whole())...)
	for _, n := range rendered[outer:] {
		b = d.appendBinding(b, n)
	}
	b = d.appendAttributes(b, e)
	b = append(b, '>')
	for c := i + 1; c < e.end; c = d.nodes[c].end {
		if d.nodes[c].isText() {
			b = d.appendText(b, &d.nodes[c])
		} else {
			b = d.appendExclusive(b, c, rendered)
		}
	}
	return d.appendEndTag(b, e)
}

// render adds the binding n unless it holds already.
func (d *Document) render(rendered []binding, n binding) []binding {
	if d.same(d.lookup(rendered, n.prefix), n.space) {
		return rendered
	}
	return append(rendered, n)
}

// lookup returns the namespace name that the prefix has in the bindings, the
// last of which is the innermost; empty if it has none.
func (d *Document) lookup(bindings []binding, prefix piece) (space piece) {
	for i := len(bindings) - 1; i >= 0; i-- {
		if d.same(bindings[i].prefix, prefix) {
			return bindings[i].space
		}
	}
	return piece{}
}

func (d *Document) appendText(b []byte, text *node) []byte {
	if text.plain {
		return append(b, d.string(text.text)...)
	}
	return AppendText(b, d.string(text.text))
}

func (d *Document) appendEndTag(b []byte, e *node) []byte {
	b = append(b, "</"...)
	b = append(b, d.string(e.name.whole())...)
	return append(b, '>')
}

func (d *Document) appendBinding(b []byte, n binding) []byte {
	b = append(b, " xmlns"...)
	if !n.prefix.empty() {
		b = append(b, ':')
		b = append(b, d.string(n.prefix)...)
	}
	b = append(b, `="`...)
	b = append(b, d.string(n.space)...) // a URI: it has nothing to escape
	return append(b, '"')
}

func (d *Document) appendAttributes(b []byte, e *node) []byte {
	for _, a := range d.attributes[e.attributes.from:e.attributes.to] {
		b = append(b, ' ')
		b = append(b, d.string(a.name.whole())...)
		b = append(b, `="`...)
		b = appendAttributeValue(b, d.string(a.value))
		b = append(b, '"')
	}
	return b
}

// isOrdinary says whether a text or a value is written as it is, whatever it is. Most
// are.
func isOrdinary(s string) bool {
	for i := range len(s) {
		if !ordinary[s[i]] {
			return false
		}
	}
	return true
}

// escapes are what the canonical forms write for a byte; empty: the byte itself.
type escapes [256]string

var (
	textEscapes      = escapes{'&': "&amp;", '<': "&lt;", '>': "&gt;", '\r': "&#xD;"}
	attributeEscapes = escapes{'&': "&amp;", '<': "&lt;", '"': "&quot;", '\t': "&#x9;", '\n': "&#xA;", '\r': "&#xD;"}
)

// AppendText appends s as the canonical forms write the text of an element.
func AppendText(b []byte, s string) []byte { return textEscapes.append(b, s) }

// appendAttributeValue appends s as the canonical forms write the value of an
// attribute.
func appendAttributeValue(b []byte, s string) []byte { return attributeEscapes.append(b, s) }

func (e *escapes) append(b []byte, s string) []byte {
	if isOrdinary(s) {
		return append(b, s...)
	}
	for i := range len(s) {
		if escape := e[s[i]]; escape != "" {
			b = append(b, escape...)
		} else {
			b = append(b, s[i])
		}
	}
	return b
}
