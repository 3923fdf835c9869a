package xmltree_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"safemode/servicerequests/xmltree"
)

func TestParseRefuses(t *testing.T) {
	tests := []struct{ name, text string }{
		{"nothing", ""},
		{"white space", " \n"},
		{"text", "a"},
		{"two byte order marks", "\ufeff\ufeff<a/>"},
		{"byte order mark within", "<a>\n</a>\ufeff"},
		{"UTF-16", "\xFF\xFE<\x00a\x00/\x00>\x00"},
		{"UTF-16, the other way about", "\xFE\xFF\x00<\x00a\x00/\x00>"},
		{"UTF-16", "<\x00a\x00/\x00>\x00"},
		{"space before the declaration", ` <?xml version="1.0"?><a/>`},
		{"declaration twice", `<?xml version="1.0"?><?xml version="1.0"?><a/>`},
		{"declaration without version", `<?xml encoding="UTF-8"?><a/>`},
		{"declaration out of order", `<?xml version="1.0" standalone="no" encoding="UTF-8"?><a/>`},
		{"declaration alone", `<?xml version="1.0"?>`},
		{"declaration cut", `<?xml version="1.0"`},
		{"version 1.1", `<?xml version="1.1"?><a/>`},
		{"encoding", `<?xml version="1.0" encoding="ISO-8859-1"?><a/>`},
		{"standalone", `<?xml version="1.0" standalone="maybe"?><a/>`},
		{"DOCTYPE", `<!DOCTYPE a><a/>`},
		{"internal subset", `<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>`},
		{"processing instruction outside", `<?b?><a/>`},
		{"processing instruction inside", `<a><?b?></a>`},
		{"comment before", `<!-- --><a/>`},
		{"comment inside", `<a><!-- --></a>`},
		{"comment after", `<a/><!-- -->`},
		{"CDATA", `<a><![CDATA[b]]></a>`},
		{"second root", `<a/><b/>`},
		{"text after", `<a/>b`},
		{"unclosed", `<a>`},
		{"unclosed tag", `<a`},
		{"unclosed attribute", `<a b="`},
		{"wrong end", `<a></b>`},
		{"wrong prefix at the end", `<p:a xmlns:p="urn:p" xmlns:q="urn:p"></q:a>`},
		{"end alone", `</a>`},
		{"crossed", `<a><b></a></b>`},
		{"attribute in the end tag", `<a></a b="">`},
		{"space before the name", `< a/>`},
		{"name", `<1/>`},
		{"name not ASCII", "<\u00e9/>"},
		{"empty prefix", `<:a/>`},
		{"empty local name", `<p: xmlns:p="urn:p"/>`},
		{"two colons", `<p:a:b xmlns:p="urn:p"/>`},
		{"mixed: text first", `<a>b<c/></a>`},
		{"mixed: text last", `<a><c/>b</a>`},
		{"attribute without value", `<a b/>`},
		{"attribute not quoted", `<a b=c/>`},
		{"attributes not parted", `<a b=""c=""/>`},
		{"attribute twice", `<a b="" c="" b=""/>`},
		{"attribute twice by namespace", `<a xmlns:p="urn:1" xmlns:q="urn:1" p:b="" q:b=""/>`},
		{"< in an attribute", `<a b="<"/>`},
		{"declared twice", `<a xmlns:p="urn:1" xmlns:p="urn:2"/>`},
		{"default declared twice", `<a xmlns="urn:1" xmlns=""/>`},
		{"prefix not declared", `<p:a/>`},
		{"attribute's prefix not declared", `<a p:b=""/>`},
		{"prefix out of scope", `<a><b xmlns:p="urn:p"/><p:c/></a>`},
		{"prefix declared as nothing", `<a xmlns:p=""/>`},
		{"xml:id", `<a xml:id="b"/>`},
		{"xmlns as an element's prefix", `<xmlns:a/>`},
		{"xml declared", `<a xmlns:xml="http://www.w3.org/XML/1998/namespace"/>`},
		{"another prefix for xml", `<a xmlns:p="http://www.w3.org/XML/1998/namespace"/>`},
		{"xmlns declared", `<a xmlns:xmlns="urn:p"/>`},
		{"relative namespace", `<a xmlns:p="p"/>`},
		{"namespace with a blank", `<a xmlns:p="urn:p q"/>`},
		{"namespace with an ampersand", `<a xmlns:p="urn:p&amp;q"/>`},
		{"unknown entity", `<a>&nbsp;</a>`},
		{"entity cut", `<a>&amp</a>`},
		{"ampersand", `<a>& b;</a>`},
		{"empty reference", `<a>&;</a>`},
		{"empty character reference", `<a>&#;</a>`},
		{"hexadecimal in capitals", `<a>&#X41;</a>`},
		{"signed reference", `<a>&#+65;</a>`},
		{"reference to no character", `<a>&#0;</a>`},
		{"reference to a surrogate", `<a>&#xD800;</a>`},
		{"reference to FFFE", `<a>&#xFFFE;</a>`},
		{"reference beyond Unicode", `<a>&#x110000;</a>`},
		{"reference overflowing", `<a>&#99999999999999999999;</a>`},
		{"]]> in text", `<a>]]></a>`},
		{"control character", "<a>\x01</a>"},
		{"control character in an attribute", "<a b='\x0b'/>"},
		{"null byte", "<a>\x00</a>"},
		{"not UTF-8", "<a>\xff</a>"},
		{"surrogate", "<a>\xed\xa0\x80</a>"},
		{"overlong", "<a>\xc0\x80</a>"},
		{"FFFF", "<a>\uffff</a>"},
	}
	for _, tt := range tests {
		doc, err := xmltree.Parse([]byte(tt.text))
		var syntax *xmltree.SyntaxError
		if !errors.As(err, &syntax) {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if doc != nil || syntax.Offset < 0 || syntax.Offset > len(tt.text) {
			t.Errorf("%s: %v", tt.name, syntax)
		}
	}
}

// One byte order mark may begin a document, with or without a declaration.
func TestByteOrderMark(t *testing.T) {
	for _, text := range []string{"\ufeff<a><b>c</b></a>", "\ufeff<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<a><b>c</b></a>"} {
		doc, err := xmltree.Parse([]byte(text))
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if got := doc.AppendInclusive(nil, doc.Root(), xmltree.Node{}); string(got) != "<a><b>c</b></a>" {
			t.Errorf("%q: canonical form %s", text, got)
		}
	}
}

func TestSyntaxErrorOffset(t *testing.T) {
	for text, offset := range map[string]int{
		"\ufeff<a/>x":    7,
		"<a>x&y;</a>":    4,
		"<a><b/>\nx</a>": 7,
		"<a></b>":        3,
		"<a><p:b/></a>":  3,
		"<a/>x":          4,
	} {
		_, err := xmltree.Parse([]byte(text))
		var syntax *xmltree.SyntaxError
		if !errors.As(err, &syntax) || syntax.Offset != offset {
			t.Errorf("%q: %v, want offset %d", text, err, offset)
		}
	}
}

func TestLimits(t *testing.T) {
	tests := []struct {
		text   string
		limits xmltree.Limits
	}{
		{`<a>12</a>`, xmltree.Limits{MaxBytes: 9}},
		{`<a><b><c/></b><b/></a>`, xmltree.Limits{MaxDepth: 3}},
		{`<a><b/> <c>d</c></a>`, xmltree.Limits{MaxNodes: 5}},
		{`<a b="" c="" xmlns="urn:d"/>`, xmltree.Limits{MaxAttributes: 3}},
	}
	for _, tt := range tests {
		if _, err := xmltree.ParseWithin([]byte(tt.text), tt.limits); err != nil {
			t.Errorf("%s within %+v: %v", tt.text, tt.limits, err)
		}
		less := func(n int) int { return max(n-1, 0) }
		limits := xmltree.Limits{MaxBytes: less(tt.limits.MaxBytes), MaxDepth: less(tt.limits.MaxDepth), MaxNodes: less(tt.limits.MaxNodes), MaxAttributes: less(tt.limits.MaxAttributes)}
		if _, err := xmltree.ParseWithin([]byte(tt.text), limits); !errors.Is(err, xmltree.ErrLimit) {
			t.Errorf("%s within %+v: %v", tt.text, limits, err)
		}
	}
}

func TestNode(t *testing.T) {
	doc := mustParse(t, "<p:r xmlns:p='urn:p' xmlns='urn:d'>\n <a k='1' p:m='2'>x&amp;y</a> <b><c/></b>\n</p:r>")
	root := doc.Root()
	if !root.Is("urn:p", "r") || root.Namespace() != "urn:p" || root.Local() != "r" || !root.Parent().IsZero() {
		t.Errorf("root is %s in %s", root.Local(), root.Namespace())
	}
	if !root.HasOnlyWhitespaceText() {
		t.Error("white space between elements counts as text")
	}
	if _, err := root.Text(); !errors.Is(err, xmltree.ErrElementContent) {
		t.Errorf("text of the root: %v", err)
	}
	var children, descendants []string
	for n := range root.Children() {
		children = append(children, n.Local())
	}
	for n := range root.Descendants() {
		descendants = append(descendants, n.Local())
	}
	if !slices.Equal(children, []string{"a", "b"}) || !slices.Equal(descendants, []string{"a", "b", "c"}) {
		t.Errorf("children %v, descendants %v", children, descendants)
	}

	a := root.FirstChild()
	if text, err := a.Text(); text != "x&y" || err != nil {
		t.Errorf("text %q, %v", text, err)
	}
	if a.HasOnlyWhitespaceText() || !a.Is("urn:d", "a") || a.NumAttr() != 2 || a.Parent() != root {
		t.Error("a is read wrong")
	}
	if v, ok := a.Attr("k"); v != "1" || !ok {
		t.Errorf("attribute k: %q, %v", v, ok)
	}
	if v, ok := a.Attr("m"); ok {
		t.Errorf("attribute m is in a namespace, but found: %q", v)
	}
	b := a.NextSibling()
	if !b.Is("urn:d", "b") || !b.NextSibling().IsZero() || !b.FirstChild().NextSibling().IsZero() || !root.NextSibling().IsZero() {
		t.Error("siblings are read wrong")
	}
}

func TestZeroNode(t *testing.T) {
	var n xmltree.Node
	text, err := n.Text()
	_, ok := n.Attr("a")
	if !n.IsZero() || n.Is("", "") || n.Local() != "" || n.Namespace() != "" || ok || n.NumAttr() != 0 ||
		!n.Parent().IsZero() || !n.FirstChild().IsZero() || !n.NextSibling().IsZero() || text != "" || err != nil || !n.HasOnlyWhitespaceText() {
		t.Error("the zero Node is something")
	}
	for range n.Children() {
		t.Error("the zero Node has children")
	}
	for range n.Descendants() {
		t.Error("the zero Node has descendants")
	}
	doc := mustParse(t, "<a/>")
	if b := doc.AppendExclusive(nil, n); b != nil {
		t.Errorf("the zero Node has a canonical form: %s", b)
	}
	if b := doc.AppendInclusive(nil, n, n); b != nil {
		t.Errorf("the zero Node has a canonical form: %s", b)
	}
}

func TestParseSample(t *testing.T) {
	doc, err := xmltree.ParseSample([]byte("<?xml version='1.0'?><!-- a --><r><!-- b -->\n<a>x<!-- <c> -->y</a><b><!-- --></b></r><!-- d -->\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(doc.AppendCompact(nil, doc.Root(), xmltree.Node{})), "<r><a>xy</a><b></b></r>"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if text, err := doc.Root().FirstChild().Text(); text != "xy" || err != nil {
		t.Errorf("text %q, %v", text, err)
	}
	for _, text := range []string{"<a><!-- -- --></a>", "<a><!-- ", "<a><!-- \x00 --></a>", "<a><!-- ---></a>", "<!DOCTYPE a><a/>", "<a><![CDATA[]]></a>"} {
		if _, err := xmltree.ParseSample([]byte(text)); err == nil {
			t.Errorf("%q parses", text)
		}
	}
}

// The tree must not change with the caller's buffer.
func TestParseCopies(t *testing.T) {
	b := []byte("<a>x</a>")
	doc, err := xmltree.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	copy(b, strings.Repeat("?", len(b)))
	if text, _ := doc.Root().Text(); text != "x" {
		t.Errorf("text %q", text)
	}
}

// A value that was read from a document stays when the document is released. The
// document itself can no longer be read, and a later one that gets its memory
// holds nothing of it.
func TestRelease(t *testing.T) {
	const text = `<a xmlns="urn:x" b="1"><c>one</c><c>two</c></a>`
	doc := mustParse(t, text)
	root := doc.Root()
	value, _ := root.FirstChild().Text()
	doc.Release()
	for range 8 { // whoever parses next may get the memory
		other := mustParse(t, `<z xmlns="urn:z"><y/></z>`)
		if got := string(other.AppendInclusive(nil, other.Root(), xmltree.Node{})); got != `<z xmlns="urn:z"><y></y></z>` {
			t.Fatalf("got %s", got)
		}
		other.Release()
	}
	if value != "one" {
		t.Errorf("what was read has become %q", value)
	}
	defer func() {
		if recover() == nil {
			t.Error("an element of a released document can be read")
		}
	}()
	_ = root.Local()
}
