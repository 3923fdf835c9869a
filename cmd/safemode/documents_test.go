package main

import (
	"cmp"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"mvdan.cc/sh/v3/syntax"
)

// tree is the folder of the module.
const tree = "../.."

// shellBlock is one fenced block of shell commands in a document. A comment before the
// fence, which only the source shows, may say how tests treat it:
//
//	<!-- test: not run: REASON -->
//	<!-- test: needs PROGRAM -->
//	<!-- test: in the background as NAME, answers at HOST:PORT -->
//	<!-- test: in the background as NAME, makes PATH -->
//	<!-- test: in the background as NAME, answers at HOST:PORT, needs PROGRAM -->
//	<!-- test: after NAME -->
type shellBlock struct {
	document string // its path in the tree
	line     int    // of the first command
	text     string
	notRun   string // the reason
	needs    string // the program without which it is left out; PostgreSQL: a server and its database sweeps
	name     string // of what runs in the background
	answers  string // the address that shows that it has started
	makes    string // the file that shows that it has started
	after    string // what must have ended
}

func (b shellBlock) String() string { return fmt.Sprintf("%s:%d", b.document, b.line) }

var (
	markers = regexp.MustCompile(`^<!-- test: (?:not run: (?P<notRun>.{10,})|needs (?P<needs>\S+)|in the background as (?P<name>\w+), (?:answers at (?P<answers>[^\s,]+)|makes (?P<makes>[^\s,]+))(?:, needs (?P<with>\S+))?|after (?P<after>\w+)) -->$`)
	links   = regexp.MustCompile(`\]\(([^):#]+)(#[^)]*)?\)`)
	spans   = regexp.MustCompile("`([^`\n]+)`")
	command = regexp.MustCompile(`^(\./)?(safemode|safemode-signer|go (run|test|build|doc|vet)|node) |^(\.ci|benchmarks)/\w+(\.sh)?( |$)`)
)

// documents returns the paths of all documents in the tree.
func documents(t *testing.T) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(tree, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && d.Name() == ".git" {
			return fs.SkipDir
		}
		if err == nil && filepath.Ext(path) == ".md" {
			path, err = filepath.Rel(tree, path)
			found = append(found, path)
		}
		return err
	})
	if err != nil || len(found) == 0 {
		t.Fatalf("%d documents: %v", len(found), err)
	}
	return found
}

// readDocument returns a document's shell blocks, and the commands in its text that stand
// between backquotes, each as a block that is not run.
func readDocument(t *testing.T, path string) (blocks, inText []shellBlock) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(tree, path))
	if err != nil {
		t.Fatal(err)
	}
	var marker, fence string
	var current *shellBlock
	for number, line := range strings.Split(string(text), "\n") {
		at := shellBlock{document: path, line: number + 1}
		switch {
		case fence != "" && line == "```":
			if current != nil {
				blocks = append(blocks, *current)
			}
			fence, current = "", nil
		case fence != "":
			if current != nil {
				current.text += line + "\n"
			}
		case strings.HasPrefix(line, "```"):
			fence = line
			switch line[3:] {
			case "sh":
				at.line++
				current = &at
				if marker != "" {
					current.mark(t, marker)
				}
			case "text", "yaml", "csv", "json", "go":
			default:
				t.Errorf("%v: %s: a fence says sh, text, yaml, csv, json or go", at, line)
			}
		case strings.HasPrefix(line, "    ") && command.MatchString(strings.TrimSpace(line)):
			t.Errorf("%v: a command outside a fence", at)
		default:
			for _, span := range spans.FindAllStringSubmatch(line, -1) {
				if command.MatchString(span[1]) {
					at.text = span[1]
					inText = append(inText, at)
				}
			}
		}
		if marker != "" && current == nil {
			t.Errorf("%s:%d: %s: no shell block follows", path, number, marker)
		}
		if marker = ""; strings.HasPrefix(line, "<!--") {
			marker = line
		}
	}
	if fence != "" {
		t.Errorf("%s: %s is not closed", path, fence)
	}
	return blocks, inText
}

// mark takes what a marker says.
func (b *shellBlock) mark(t *testing.T, marker string) {
	t.Helper()
	found := markers.FindStringSubmatch(marker)
	if found == nil {
		t.Errorf("%v: %s: no such marker", b, marker)
		return
	}
	for name, field := range map[string]*string{
		"notRun": &b.notRun, "needs": &b.needs, "name": &b.name, "answers": &b.answers, "makes": &b.makes, "after": &b.after,
	} {
		*field = found[markers.SubexpIndex(name)]
	}
	b.needs = cmp.Or(b.needs, found[markers.SubexpIndex("with")])
}

// parse reads a block as bash does.
func (b shellBlock) parse() (*syntax.File, error) {
	return syntax.NewParser(syntax.KeepComments(true)).Parse(strings.NewReader(b.text), b.String())
}

// calls returns the words of each simple command in a script. A word that is known only
// when it runs is "$".
func calls(script *syntax.File) (all []*syntax.CallExpr, words [][]string) {
	syntax.Walk(script, func(node syntax.Node) bool {
		if call, ok := node.(*syntax.CallExpr); ok && len(call.Args) > 0 {
			var line []string
			for _, word := range call.Args {
				line = append(line, plain(word.Parts))
			}
			all, words = append(all, call), append(words, line)
		}
		return true
	})
	return all, words
}

func plain(parts []syntax.WordPart) string {
	text := ""
	for _, part := range parts {
		switch part := part.(type) {
		case *syntax.Lit:
			text += part.Value
		case *syntax.SglQuoted:
			text += part.Value
		case *syntax.DblQuoted:
			text += plain(part.Parts)
		default:
			text += "$"
		}
	}
	return text
}

// ordinary is what a document may call beside this module's own commands.
var ordinary = strings.Fields("awk cat cd cp curl date echo export grep mkdir mv openssl printf read rm sed softhsm2-util umask xmlsec1 break apt-get npm nice")

// TestDocuments looks each command of each document up: the command, its flags and the
// files of the tree that it names must be there.
func TestDocuments(t *testing.T) {
	t.Parallel()
	for _, path := range documents(t) {
		blocks, inText := readDocument(t, path)
		text, err := os.ReadFile(filepath.Join(tree, path))
		if words := len(strings.Fields(string(text))); err != nil || path == "README.md" && words > 900 {
			t.Errorf("%s: %d words, want 900 at most: %v", path, words, err)
		}
		for _, link := range links.FindAllStringSubmatch(string(text), -1) {
			if _, err := os.Stat(filepath.Join(tree, filepath.Dir(path), link[1])); err != nil {
				t.Errorf("%s: %v", path, err)
			}
		}
		for _, b := range slices.Concat(blocks, inText) {
			script, err := b.parse()
			if err != nil {
				t.Errorf("%v: %v", b, err)
				continue
			}
			_, lines := calls(script)
			for _, words := range lines {
				if err := lookUp(words); err != nil {
					t.Errorf("%v: %s: %v", b, strings.Join(words, " "), err)
				}
			}
		}
	}
}

// A command, flag, package, test or script that does not exist is found.
func TestDocumentsFindsFaults(t *testing.T) {
	for _, line := range []string{
		"safemode nothing", "safemode pki nothing", "./safemode demo --nothing", "safemode demo --faults nothing", "safemode signer serve -x",
		"go run ./nothing", "go run ./cmd/safemode nothing", "go run ./benchmarks/cost --nothing", "go doc ./nothing",
		"go test ./nothing", "go test ./engine/sweep -run TestNothing", "go test ./engine/sweep -nothing 3",
		"safemode-signer nothing", "safemode-signer check --nothing", ".ci/nothing 1", "node nothing.mjs", "nothing --help",
	} {
		script, err := shellBlock{text: line}.parse()
		if err != nil {
			t.Fatal(err)
		}
		_, lines := calls(script)
		if lookUp(lines[0]) == nil {
			t.Errorf("%s: no fault found", line)
		}
	}
}

// lookUp says what of a command line is not there.
func lookUp(words []string) error {
	switch name := strings.TrimPrefix(words[0], "./"); {
	case name == "safemode":
		_, err := lookUpCommand(words[1:])
		return err
	case name == "safemode-signer":
		return lookUpSigner(words[1:])
	case name == "go" && len(words) > 1:
		return lookUpGo(words[1], words[2:])
	case name == "node" && len(words) > 1:
		_, err := os.Stat(filepath.Join(tree, words[1]))
		return err
	case name == "nice" && len(words) > 1:
		return lookUp(words[1:])
	case strings.Contains(name, "/"):
		info, err := os.Stat(filepath.Join(tree, name))
		if err == nil && info.Mode()&0o100 == 0 {
			err = fmt.Errorf("%s cannot be run", name)
		}
		return err
	case !slices.Contains(ordinary, name):
		return fmt.Errorf("%s is not among the programs that documents call", name)
	}
	return nil
}

// lookUpCommand finds the command of safemode that words name, and its flags.
func lookUpCommand(words []string) (*cobra.Command, error) {
	named, rest, err := newRoot(stdio{}).Find(words)
	if err != nil {
		return nil, err
	}
	named.InitDefaultHelpFlag()
	for i, word := range rest {
		name, isLong := strings.CutPrefix(word, "--")
		name, _, _ = strings.Cut(name, "=")
		switch short, isShort := strings.CutPrefix(word, "-"); {
		case isLong && named.Flag(name) == nil:
			return nil, fmt.Errorf("%s has no flag --%s", named.CommandPath(), name)
		case !isLong && isShort && short != "" && named.Flags().ShorthandLookup(short[:1]) == nil:
			return nil, fmt.Errorf("%s has no flag -%s", named.CommandPath(), short)
		case named.HasSubCommands() && !isShort:
			return nil, fmt.Errorf("%s has no command %s", named.CommandPath(), word)
		case name == "faults" && i+1 < len(rest):
			for profile := range strings.SplitSeq(rest[i+1], ",") {
				if _, err := os.Stat(filepath.Join(tree, "config/faults", profile+".yaml")); err != nil && !strings.Contains(profile, ".") && profile != "FILE" {
					return nil, err
				}
			}
		}
	}
	return named, nil
}

// lookUpSigner finds the command of safemode-signer, which is built with cgo, in its source.
func lookUpSigner(words []string) error {
	folders := []string{"cmd/safemode-signer", "cmd/signercmd"}
	if len(words) == 0 {
		return nil
	}
	if !inSource(folders, `(Use:\s+"|folder\(")`+regexp.QuoteMeta(words[0])+`[ "]`) {
		return fmt.Errorf("no command %s", words[0])
	}
	return flagsInSource(folders, words[1:])
}

// lookUpGo finds the packages, tests and flags of a call of the go command.
func lookUpGo(verb string, words []string) error {
	var folders []string
	for i, word := range words {
		if folder, isPath := strings.CutPrefix(word, "./"); isPath || word == "." {
			folder, all := strings.CutSuffix(folder, "...")
			if _, err := os.Stat(filepath.Join(tree, folder)); err != nil {
				return err
			}
			if folders = append(folders, filepath.Clean(folder)); all {
				folders[len(folders)-1] += "/..."
			}
			if verb == "run" && folder == "cmd/safemode" {
				_, err := lookUpCommand(words[i+1:])
				return err
			} else if verb == "run" {
				return flagsInSource(folders, words[i+1:])
			}
		}
	}
	if verb != "test" {
		return nil
	}
	own := strings.Fields("v run bench benchtime timeout count race short json fuzz fuzztime tags parallel p")
	for i, word := range words {
		flag, isFlag := strings.CutPrefix(word, "-")
		flag, value, _ := strings.Cut(flag, "=")
		if value == "" && i+1 < len(words) {
			value = words[i+1]
		}
		if isFlag && !slices.Contains(own, flag) {
			if err := flagsInSource(folders, []string{word}); err != nil {
				return err
			}
		}
		if isFlag && (flag == "run" || flag == "fuzz") && value != "^$" && !inSource(folders, `func (Test|Fuzz|Example)\w*`, value) {
			return fmt.Errorf("no test %s", value)
		}
	}
	return nil
}

// flagsInSource says which flags the source of some folders does not define.
func flagsInSource(folders, words []string) error {
	for _, word := range words {
		if !strings.HasPrefix(word, "-") {
			continue
		}
		name, _, _ := strings.Cut(strings.TrimLeft(word, "-"), "=")
		if !inSource(folders, `\b(f|flag|flags|Flags\(\))\.\w+\((&[\w.]+, )?"`+regexp.QuoteMeta(name)+`"`) {
			return fmt.Errorf("no flag %s", word)
		}
	}
	return nil
}

// inSource says whether some Go file of the folders has a text, and in what it matches
// a further one each.
func inSource(folders []string, text string, further ...string) bool {
	pattern := regexp.MustCompile(text)
	found := false
	for _, folder := range folders {
		folder, all := strings.CutSuffix(folder, "/...")
		root := filepath.Join(tree, folder)
		_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() && path != root && !all {
				return fs.SkipDir
			}
			if filepath.Ext(path) != ".go" {
				return nil
			}
			source, err := os.ReadFile(path)
			for _, hit := range pattern.FindAllString(string(source), -1) {
				matches := true
				for _, f := range further {
					ok, err := regexp.MatchString(f, hit[strings.LastIndex(hit, " ")+1:])
					matches = matches && ok && err == nil
				}
				found = found || matches
			}
			return err
		})
	}
	return found
}
