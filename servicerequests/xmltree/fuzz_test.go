package xmltree_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"testing"

	"safemode/servicerequests/xmltree"
)

// FuzzParse holds that what parses is XML to encoding/xml as well, and that each
// canonical form parses and is its own canonical form.
func FuzzParse(f *testing.F) {
	for _, text := range tricky {
		f.Add([]byte(text))
	}
	f.Add([]byte(`<a><!-- --></a>`))
	f.Add([]byte(`<a><![CDATA[]]></a>`))
	f.Fuzz(func(t *testing.T, b []byte) {
		doc, err := xmltree.Parse(b)
		if err != nil {
			var syntax *xmltree.SyntaxError
			if !errors.As(err, &syntax) && !errors.Is(err, xmltree.ErrLimit) {
				t.Fatalf("error of another kind: %v", err)
			}
			return
		}
		decoder := xml.NewDecoder(bytes.NewReader(b))
		for err == nil {
			_, err = decoder.Token()
		}
		if !errors.Is(err, io.EOF) {
			t.Errorf("encoding/xml refuses what we take: %v", err)
		}
		for name, form := range map[string]func(*xmltree.Document) []byte{
			"inclusive": func(d *xmltree.Document) []byte { return d.AppendInclusive(nil, d.Root(), xmltree.Node{}) },
			"compact":   func(d *xmltree.Document) []byte { return d.AppendCompact(nil, d.Root(), xmltree.Node{}) },
			"exclusive": func(d *xmltree.Document) []byte { return d.AppendExclusive(nil, d.Root()) },
		} {
			once := form(doc)
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
