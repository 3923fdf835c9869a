package xmltree_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"safemode/servicerequests/outside"
	"safemode/servicerequests/xmltree"
)

// tricky documents are hand-made around the rules of the two canonical forms.
var tricky = map[string]string{
	"empty element":            `<a/>`,
	"declaration":              "<?xml version='1.0' encoding='utf-8' standalone='yes' ?>\n<a/>\n",
	"attribute order":          `<r xmlns:b="urn:1" xmlns:a="urn:2" z="1" a:y="2" b:y="3" b:a="4" y="5"/>`,
	"attribute quotes":         `<r a='"' b="'" c='&quot;&apos;&amp;&lt;&gt;' d=">"/>`,
	"attribute white space":    "<r a=' \t\n\r\n\r x ' b='&#9;&#10;&#13;&#32;' c='&#xD;&#xa;'/>",
	"text white space":         "<r>\t \r\n\r\n\r&#13;&#10;&#9;x</r>",
	"text references":          `<r>&lt;&gt;&amp;&quot;&apos;&#65;&#x42;&#x1F600;]] ></r>`,
	"gt in text":               `<r>a > b</r>`,
	"not ASCII":                "<r a='\u00e9'>\u00e9\u4e2d\U0001F600</r>",
	"unused declarations":      `<r xmlns:u="urn:u" xmlns="urn:d" xmlns:t="urn:t"><t:a/></r>`,
	"redeclared the same":      `<p:r xmlns:p="urn:p" xmlns="urn:d"><p:a xmlns:p="urn:p" xmlns="urn:d"><b xmlns:p="urn:p"/></p:a></p:r>`,
	"redeclared otherwise":     `<p:r xmlns:p="urn:1"><p:a xmlns:p="urn:2"><p:b xmlns:p="urn:1"/><p:c/></p:a><p:d/></p:r>`,
	"default undeclared":       `<r xmlns="urn:d"><a xmlns=""><b xmlns="urn:d"><c xmlns=""/></b></a></r>`,
	"default undeclared twice": `<r xmlns=""><a xmlns=""/></r>`,
	"default only deep":        `<p:r xmlns:p="urn:p" xmlns="urn:d"><p:a><b/></p:a><b><p:c xmlns=""><d/></p:c></b></p:r>`,
	"visible by attribute":     `<r xmlns:p="urn:p" xmlns:q="urn:q"><a p:x="1"><b p:x="2" q:y="3"/></a><c q:y="4"/></r>`,
	"declarations' order":      `<r xmlns:z="urn:a" xmlns:a="urn:z" xmlns:m="urn:m" xmlns="urn:d" z:k="" a:k="" m:k=""/>`,
	"siblings":                 `<r xmlns:a="urn:a" xmlns:b="urn:b"><a:x><b:y/></a:x><b:x><a:y/></b:x><a:x/></r>`,
	"indented":                 "<r xmlns='urn:d'>\n  <a>\n    <b>x</b>\n  </a>\n  <c/>\n</r>\n\n",
	"namespace name quoted":    `<r xmlns:p="urn:a?b='c'" p:x=""/>`,
	"names":                    `<_a-b.c9 x-1="" _="" A="" a=""/>`,
	"many spaces in tags":      "<r  a = '1'\n\tb\r=\r'2'  ><c\n/></r\t>",
}

func TestCanonicalFormsAgainstXmllint(t *testing.T) {
	tool := outside.Program(t, "xmllint", "libxml2-utils")
	for name, text := range tricky {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "doc.xml")
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			doc, err := xmltree.Parse([]byte(text))
			if err != nil {
				t.Fatal(err)
			}
			for form, got := range map[string][]byte{
				"--c14n":     doc.AppendInclusive(nil, doc.Root(), xmltree.Node{}),
				"--exc-c14n": doc.AppendExclusive(nil, doc.Root()),
			} {
				want, err := exec.Command(tool, form, file).Output()
				if err != nil {
					t.Fatalf("xmllint %s: %v", form, err)
				}
				if diff := cmp.Diff(string(want), string(got)); diff != "" {
					t.Errorf("%s (-xmllint +ours):\n%s", form, diff)
				}
			}
		})
	}
}

func TestExclusiveOfAnInnerElement(t *testing.T) {
	doc := mustParse(t, `<r xmlns="urn:d" xmlns:p="urn:p" xmlns:u="urn:u"><p:a><b p:x="1"/></p:a></r>`)
	a := doc.Root().FirstChild()
	want := `<p:a xmlns:p="urn:p"><b xmlns="urn:d" p:x="1"></b></p:a>`
	if got := string(doc.AppendExclusive(nil, a)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	want = `<p:a xmlns="urn:d" xmlns:p="urn:p" xmlns:u="urn:u"><b p:x="1"></b></p:a>`
	if got := string(doc.AppendInclusive(nil, a, xmltree.Node{})); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestInclusiveOfAnInnerElementWithTheDefaultTakenAway(t *testing.T) {
	doc := mustParse(t, `<r xmlns="urn:d"><a xmlns=""><b/></a></r>`)
	b := doc.Root().FirstChild().FirstChild()
	if got := string(doc.AppendInclusive(nil, b, xmltree.Node{})); got != "<b></b>" {
		t.Errorf("got %s", got)
	}
}

func TestOmit(t *testing.T) {
	doc := mustParse(t, "<r>\n <a><b/></a>\n <c>x</c>\n</r>")
	a := doc.Root().FirstChild()
	for form, got := range map[string][]byte{
		"<r>\n \n <c>x</c>\n</r>": doc.AppendInclusive(nil, doc.Root(), a),
		"<r><c>x</c></r>":         doc.AppendCompact(nil, doc.Root(), a),
	} {
		if string(got) != form {
			t.Errorf("got %q, want %q", got, form)
		}
	}
	if got := doc.AppendInclusive([]byte("kept"), a, a); string(got) != "kept" {
		t.Errorf("omitting the element itself left %q", got)
	}
}

func TestCompact(t *testing.T) {
	tests := []struct{ in, want string }{
		{"<r>\n <a> x </a>\n <b>  </b> <c/></r>\n", "<r><a> x </a><b>  </b><c></c></r>"},
		{"<r>\n</r>", "<r>\n</r>"},
		{"<r><a/>&#13;</r>", "<r><a></a></r>"},
		{"<r><a/></r>", "<r><a></a></r>"},
	}
	for _, tt := range tests {
		doc := mustParse(t, tt.in)
		got := string(doc.AppendCompact(nil, doc.Root(), xmltree.Node{}))
		if got != tt.want {
			t.Errorf("%q: got %q, want %q", tt.in, got, tt.want)
		}
		inclusive := string(doc.AppendInclusive(nil, doc.Root(), xmltree.Node{}))
		if doc.Spaced() != (got != inclusive) {
			t.Errorf("%q: Spaced() = %v", tt.in, doc.Spaced())
		}
	}
}

func mustParse(t *testing.T, text string) *xmltree.Document {
	t.Helper()
	doc, err := xmltree.Parse([]byte(text))
	if err != nil {
		t.Fatalf("%s: %v", strings.TrimSpace(text), err)
	}
	return doc
}
