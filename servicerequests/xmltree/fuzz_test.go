package xmltree_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"safemode/servicerequests/heaptest"
	"safemode/servicerequests/outside"
	"safemode/servicerequests/xmltree"
)

// seed adds documents around the rules of the grammar and of the canonical forms,
// and the outside messages where they are.
func seed(f *testing.F) {
	f.Helper()
	for _, text := range tricky {
		f.Add([]byte(text))
	}
	f.Add([]byte(`<a><!-- --></a>`))
	f.Add([]byte("\ufeff<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"no\"?>\r\n<a xmlns:unused=\"urn:x\">folded&#13;\nbase64</a>\n"))
	f.Add([]byte(`<a><![CDATA[]]></a>`))
	f.Add([]byte(`<!DOCTYPE a [<!ENTITY b "b">]><a>&b;</a>`))
	f.Add([]byte(strings.Repeat("<a>", 40) + strings.Repeat("</a>", 40)))
	f.Add([]byte("<a" + strings.Repeat(` a=""`, 40) + "/>"))
	if !outside.HasVectors(f) {
		return
	}
	for _, pattern := range []string{"duis/*.XML", "duis/*.xml"} {
		for _, file := range outside.Files(f, pattern) {
			text, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(text)
		}
	}
}

// parseWithin parses, and checks the parser's errors and memory.
func parseWithin(t *testing.T, b []byte) (*xmltree.Document, bool) {
	t.Helper()
	var doc *xmltree.Document
	var err error
	heaptest.Limit(t, len(b), func() { doc, err = xmltree.Parse(b) })
	var syntax *xmltree.SyntaxError
	if err != nil && !errors.As(err, &syntax) && !errors.Is(err, xmltree.ErrLimit) {
		t.Fatalf("error of another kind: %v", err)
	}
	return doc, err == nil
}

// FuzzParse holds that what parses is XML to encoding/xml as well, and begins as XML does.
func FuzzParse(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, ok := parseWithin(t, b); !ok {
			return
		}
		if !xmltree.Begins(b) {
			t.Error("it does not begin as a document does, and is taken for one")
		}
		var err error
		decoder := xml.NewDecoder(bytes.NewReader(b))
		for err == nil {
			_, err = decoder.Token()
		}
		if !errors.Is(err, io.EOF) {
			t.Errorf("encoding/xml refuses what we take: %v", err)
		}
	})
}

// FuzzCanonical holds that each canonical form parses and is its own canonical
// form, and that a document in inclusive form is written again to the byte.
func FuzzCanonical(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		doc, ok := parseWithin(t, b)
		if !ok {
			return
		}
		for name, form := range map[string]func(*xmltree.Document) []byte{
			"inclusive": func(d *xmltree.Document) []byte { return d.AppendInclusive(nil, d.Root(), xmltree.Node{}) },
			"compact":   func(d *xmltree.Document) []byte { return d.AppendCompact(nil, d.Root(), xmltree.Node{}) },
			"exclusive": func(d *xmltree.Document) []byte { return d.AppendExclusive(nil, d.Root()) },
		} {
			var once []byte
			heaptest.Limit(t, len(b), func() { once = form(doc) })
			again, err := xmltree.ParseWithin(once, xmltree.Limits{MaxBytes: 16 << 20, MaxAttributes: 1 << 10})
			if err != nil {
				t.Fatalf("%s form does not parse: %v\n%q", name, err, once)
			}
			if twice := form(again); !bytes.Equal(once, twice) {
				t.Errorf("%s form is no fixpoint:\n%q\n%q", name, once, twice)
			}
		}
	})
}
