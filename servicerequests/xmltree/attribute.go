package xmltree

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// The namespaces that XML reserves.
const (
	xmlSpace   = "http://www.w3.org/XML/1998/namespace"
	xmlnsSpace = "http://www.w3.org/2000/xmlns/"
)

// attributes reads the rest of the start tag of element i: its attributes and
// declarations, and whether it is an empty-element tag.
func (p *parser) attributes(i int32) (empty bool, err error) {
	if p.skip(">") { // most have none
		return false, nil
	}
	d := p.d
	outer := len(p.scope)
	attrs := span{from: int32(len(d.attributes))}
	bindings := span{from: int32(len(d.bindings))}
	for count := 0; ; count++ {
		spaced := p.skipSpace()
		if p.skip(">") {
			break
		}
		if p.skip("/>") {
			empty = true
			break
		}
		if !spaced {
			return false, p.fail("malformed start tag")
		}
		if count == p.limits.MaxAttributes {
			return false, fmt.Errorf("%w: more than %d attributes on one element", ErrLimit, p.limits.MaxAttributes)
		}
		name, err := p.name()
		if err != nil {
			return false, err
		}
		value, err := p.attributeValue()
		if err != nil {
			return false, err
		}
		switch {
		case d.string(name.prefix()) == "xmlns":
			err = p.declare(outer, binding{piece{name.local, name.to}, value})
		case d.string(name.whole()) == "xmlns":
			err = p.declare(outer, binding{piece{}, value})
		default:
			d.attributes = append(d.attributes, attribute{name: name, value: value})
		}
		if err != nil {
			return false, err
		}
	}
	attrs.to, bindings.to = int32(len(d.attributes)), int32(len(d.bindings))
	d.nodes[i].attributes, d.nodes[i].bindings = attrs, bindings
	if own := d.bindings[bindings.from:]; len(own) > 1 {
		slices.SortFunc(own, d.byPrefix)
	}
	return empty, p.resolve(d.attributes[attrs.from:])
}

// resolve finds the attributes' namespaces and puts them in canonical order.
func (p *parser) resolve(attributes []attribute) error {
	d := p.d
	for k := range attributes {
		a := &attributes[k]
		if a.name.prefix().empty() {
			continue // the default namespace is not for attributes
		}
		if a.space = d.lookup(p.scope, a.name.prefix()); a.space.empty() {
			return p.fail("prefix %q is not declared", d.string(a.name.prefix()))
		}
	}
	if len(attributes) < 2 {
		return nil
	}
	slices.SortFunc(attributes, func(a, b attribute) int {
		return cmp.Or(cmp.Compare(d.string(a.space), d.string(b.space)), cmp.Compare(d.local(a.name), d.local(b.name)))
	})
	for k := 1; k < len(attributes); k++ {
		if d.local(attributes[k].name) == d.local(attributes[k-1].name) && d.same(attributes[k].space, attributes[k-1].space) {
			return p.fail("attribute %q twice", d.local(attributes[k].name))
		}
	}
	return nil
}

// declare takes a namespace declaration into the scope, and into the tree if it
// changes anything: Canonical XML leaves out those that do not.
func (p *parser) declare(outer int, n binding) error {
	d := p.d
	prefix, space := d.string(n.prefix), d.string(n.space)
	switch {
	case prefix == "xml" || prefix == "xmlns" || space == xmlSpace || space == xmlnsSpace:
		return p.fail("declaration of a reserved prefix or namespace")
	case space == "" && prefix != "":
		return p.fail("prefix %q declared as nothing", prefix)
	case space != "" && !isAbsoluteURI(space):
		return p.fail("namespace name %q is not an absolute URI", space)
	}
	for _, own := range p.scope[outer:] {
		if d.same(own.prefix, n.prefix) {
			return p.fail("prefix %q declared twice", prefix)
		}
	}
	if !d.same(d.lookup(p.scope[:outer], n.prefix), n.space) {
		d.bindings = append(d.bindings, n)
	}
	p.scope = append(p.scope, n)
	return nil
}

// isAbsoluteURI reports whether s is a scheme, a colon and visible ASCII that a
// URI may hold. It refuses "&": libxml2 canonicalises it otherwise than the
// standard says, and what two verifiers read differently is no name for us.
func isAbsoluteURI(s string) bool {
	scheme, rest, found := strings.Cut(s, ":")
	if !found || scheme == "" || rest == "" {
		return false
	}
	for i := range len(scheme) {
		c := scheme[i]
		if !(isNamePart(c, i == 0) && c != '_' || c == '+' && i > 0) {
			return false
		}
	}
	for i := range len(rest) {
		if !uriParts[rest[i]] {
			return false
		}
	}
	return true
}

// uriParts are the characters that may follow on a URI's scheme.
var uriParts = func() (table [256]bool) {
	for c := byte(' ') + 1; c < 0x7F; c++ {
		table[c] = strings.IndexByte("&\"<>\\^`{|}", c) < 0
	}
	return table
}()

// attributeValue reads "=" and a quoted value.
func (p *parser) attributeValue() (value piece, err error) {
	p.skipSpace()
	if !p.skip("=") {
		return value, p.fail("= is missing after an attribute's name")
	}
	p.skipSpace()
	if p.pos == len(p.src) || p.src[p.pos] != '"' && p.src[p.pos] != '\'' {
		return value, p.fail("an attribute's value is not quoted")
	}
	quote := p.src[p.pos]
	p.pos++
	if value, err = p.characters(quote); err != nil {
		return value, err
	}
	if p.pos == len(p.src) || p.src[p.pos] != quote {
		return value, p.fail("< or the end of the input inside an attribute's value")
	}
	p.pos++
	return value, nil
}
