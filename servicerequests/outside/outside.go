// Package outside gives tests the outside vectors and the outside programs that judge our
// output. It is for tests alone. A test whose vector or program is absent skips, and says what
// to install or to set. CI has all of them, and counts a skip as a failure.
package outside

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"safemode/servicerequests/xmltree"
)

// vectors is the folder of the outside vectors, which need not be there:
// SAFEMODE_VECTORS, or ../shared/vectors beside the repository.
func vectors(t testing.TB) string {
	t.Helper()
	if folder := os.Getenv("SAFEMODE_VECTORS"); folder != "" {
		return folder
	}
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return filepath.Join(dir, "..", "shared", "vectors")
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("no go.mod above the test")
		}
	}
}

// HasVectors says whether the outside vectors are here, for a fuzz target that has
// other seeds beside them.
func HasVectors(t testing.TB) bool {
	t.Helper()
	_, err := os.Stat(vectors(t))
	return err == nil
}

// Path is the path of a file of the outside vectors.
func Path(t testing.TB, name string) string {
	t.Helper()
	if !HasVectors(t) {
		t.Skipf("no outside vectors in %s: set SAFEMODE_VECTORS to their folder", vectors(t))
	}
	return filepath.Join(vectors(t), filepath.FromSlash(name))
}

// Files are the paths of the outside vectors that match a pattern: one or more.
func Files(t testing.TB, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(Path(t, pattern))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d outside vectors are %s, %v", len(files), pattern, err)
	}
	return files
}

// Read is the content of a file of the outside vectors.
func Read(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(Path(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Decode decodes a JSON file of the outside vectors.
func Decode(t testing.TB, name string, into any) {
	t.Helper()
	if err := json.Unmarshal(Read(t, name), into); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// Unsigned is a sample document as a signature check would hand it over: compact, and
// without its Signature.
func Unsigned(t testing.TB, sample []byte) []byte {
	t.Helper()
	doc, err := xmltree.ParseSample(sample)
	if err != nil {
		t.Fatal(err)
	}
	var signature xmltree.Node
	for n := range doc.Root().Children() {
		if n.Local() == "Signature" {
			signature = n
		}
	}
	return doc.AppendCompact(nil, doc.Root(), signature)
}

// Elements writes a document's element tree without prefixes, declarations and white
// space between elements, to compare a sample with what is ours.
func Elements(t testing.TB, xml []byte) string {
	t.Helper()
	doc, err := xmltree.Parse(xml)
	if err != nil {
		t.Fatal(err)
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

// Message is a GBCS message of the outside vectors.
type Message struct {
	Name string
	SRV  string
	Kind string // precommand, command, response or alert
	Hex  Hex    // the message
}

// Hex is bytes that are written in hexadecimal digits.
type Hex []byte

func (h *Hex) UnmarshalText(text []byte) (err error) {
	*h, err = hex.AppendDecode(nil, text)
	return err
}

// Messages are the messages of one kind in gbcs-vectors.json and
// gbcs-vectors-reads.json.
func Messages(t testing.TB, kind string) (messages []Message) {
	t.Helper()
	for _, name := range []string{"gbcs-vectors.json", "gbcs-vectors-reads.json"} {
		var file struct{ Vectors []Message }
		Decode(t, name, &file)
		for _, m := range file.Vectors {
			if m.Kind == kind {
				messages = append(messages, m)
			}
		}
	}
	if len(messages) == 0 {
		t.Fatalf("no outside vector is a %s", kind)
	}
	return messages
}

// Program is the path of a program that judges, which a package of Debian brings.
func Program(t testing.TB, name, debian string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed (Debian: %s)", name, debian)
	}
	return path
}

// DCCTool is the command line of DCC's own signing tool up to the class to run, Sign or
// Validate.
func DCCTool(t testing.TB, class string) []string {
	t.Helper()
	jar := os.Getenv("SAFEMODE_DCC_SIGN_TOOL")
	if _, err := os.Stat(jar); err != nil {
		t.Skip("SAFEMODE_DCC_SIGN_TOOL does not name DCC's signing tool (npm @smartdcc/duis-sign-wrap, dist/tool.jar)")
	}
	return []string{Program(t, "java", "default-jre-headless"), "-cp", jar, "uk.co.smartdcc.boxed.xmldsig." + class}
}
