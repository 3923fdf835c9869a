package duis_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"safemode/servicerequests/xmltree"
)

// vectorsDir is the folder of the outside vectors: SAFEMODE_VECTORS, or
// ../shared/vectors beside the repository. The test is skipped without it.
func vectorsDir(tb testing.TB) string {
	tb.Helper()
	dir := findVectors(tb)
	if _, err := os.Stat(dir); err != nil {
		tb.Skipf("vectors folder is absent: %v", err)
	}
	return dir
}

// seedSamples adds the outside vectors of a pattern, where they are, as they came
// and as a signature check would hand them over.
func seedSamples(f *testing.F, pattern string) {
	f.Helper()
	files, err := filepath.Glob(filepath.Join(findVectors(f), "duis", pattern))
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add(unsigned(f, b))
	}
}

func findVectors(tb testing.TB) string {
	tb.Helper()
	dir := os.Getenv("SAFEMODE_VECTORS")
	if dir == "" {
		root, err := os.Getwd()
		if err != nil {
			tb.Fatal(err)
		}
		for {
			if _, err := os.Stat(filepath.Join(root, "go.mod")); err == nil {
				break
			}
			if root == filepath.Dir(root) {
				tb.Fatal("no go.mod above the test")
			}
			root = filepath.Dir(root)
		}
		dir = filepath.Join(root, "..", "shared", "vectors")
	}
	return dir
}

func vector(tb testing.TB, name string) []byte {
	tb.Helper()
	b, err := os.ReadFile(filepath.Join(vectorsDir(tb), name))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// unsigned returns a sample as the signature check would hand it over: compact
// and without Signature.
func unsigned(tb testing.TB, sample []byte) []byte {
	tb.Helper()
	doc, err := xmltree.ParseSample(sample)
	if err != nil {
		tb.Fatal(err)
	}
	var signature xmltree.Node
	for n := range doc.Root().Children() {
		if n.Local() == "Signature" {
			signature = n
		}
	}
	return doc.AppendCompact(nil, doc.Root(), signature)
}

// elements writes a document's element tree without prefixes, declarations and
// white space between elements.
func elements(tb testing.TB, xml []byte) string {
	tb.Helper()
	doc, err := xmltree.Parse(xml)
	if err != nil {
		tb.Fatal(err)
	}
	var b strings.Builder
	var write func(n xmltree.Node, indent string)
	write = func(n xmltree.Node, indent string) {
		b.WriteString(indent + "{" + n.Namespace() + "}" + n.Local())
		if version, ok := n.Attr("schemaVersion"); ok {
			b.WriteString(" schemaVersion=" + version)
		}
		if text, err := n.Text(); err == nil {
			b.WriteString(" = " + text)
		}
		b.WriteString("\n")
		for child := range n.Children() {
			write(child, indent+"  ")
		}
	}
	write(doc.Root(), "")
	return b.String()
}
