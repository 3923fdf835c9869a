// Package xmltree reads the subset of XML that DUIS uses into a flat tree, in
// one pass, and writes the tree back in its canonical forms.
//
// It owns the grammar and the two canonicalisations that the DUIS signature
// rests on. It knows nothing of signatures or of Service Requests.
//
// # The subset
//
//	document    = [ byte order mark ] [ declaration ] space* element space*
//	declaration = XML 1.0 declaration; encoding, if named, is UTF-8
//	element     = elements and white space, or text alone
//	name        = [ prefix ":" ] ASCII letters, digits, "_", "-", "."
//	text        = UTF-8, the five predefined entities, character references
//
// Everything else is a [*SyntaxError]: a document type declaration, any other
// entity, a processing instruction, CDATA, a comment, a
// second root, a duplicate attribute or declaration, an undeclared prefix,
// text beside elements, a character that XML 1.0 does not allow. The prefix
// xml is refused as well: DUIS has no use for xml:id, xml:base or xml:space,
// and each of them changes what a canonical form means. A namespace name must
// be an absolute URI, as both canonicalisations demand.
//
// [Limits] are checked while reading, before memory is spent.
//
// # Canonical forms
//
// [Document.AppendInclusive] is Canonical XML 1.0 (W3C, 15 March 2001) and
// [Document.AppendExclusive] Exclusive XML Canonicalization 1.0 (W3C, 18 July
// 2002) with an empty InclusiveNamespaces list. A tree holds no comments, so
// the variants with and without them are the same. [Document.AppendCompact] is
// the inclusive form without the white space between elements, which DCC's own
// signing tool removes before it digests.
package xmltree
