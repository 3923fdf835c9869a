package main

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

// allCommands returns every command below c, c included.
func allCommands(c *cobra.Command) []*cobra.Command {
	all := []*cobra.Command{c}
	for _, child := range c.Commands() {
		all = append(all, allCommands(child)...)
	}
	return all
}

func TestHelp(t *testing.T) {
	for _, c := range allCommands(newRoot(stdio{})) {
		t.Run(c.CommandPath(), func(t *testing.T) {
			args := append(strings.Fields(c.CommandPath())[1:], "--help")
			help := must(t, "", args...)
			for _, part := range []string{"Usage:\n", "Examples:\n  safemode "} {
				if !strings.Contains(help, part) {
					t.Errorf("--help lacks %q:\n%s", part, help)
				}
			}
			if strings.HasSuffix(c.Short, ".") || c.Short == "" {
				t.Errorf("Short is %q", c.Short)
			}
		})
	}
}

// Every command stands in a group of the help, in the night's order.
func TestHelpIsInTheNightsOrder(t *testing.T) {
	for _, c := range newRoot(stdio{}).Commands() {
		if c.GroupID == "" && c.IsAvailableCommand() {
			t.Errorf("%s is in no group", c.Name())
		}
	}
	help := must(t, "", "--help")
	at := -1
	for _, part := range []string{"Before the night:", "  pki ", "  approve ", "In the night:", "  sweep ", "  pause ", "  cease ", "Afterwards:", "  report "} {
		next := strings.Index(help, part)
		if next <= at {
			t.Errorf("%q does not come next in\n%s", part, help)
		}
		at = next
	}
}

// An example that names a command or flag which is not there helps nobody.
func TestHelpExamples(t *testing.T) {
	for _, c := range allCommands(newRoot(stdio{})) {
		for line := range strings.Lines(strings.ReplaceAll(c.Example, "\\\n", " ")) {
			for part := range strings.SplitSeq(line, "|") {
				words := strings.Fields(part)
				if len(words) == 0 || words[0] != "safemode" {
					t.Errorf("%s: example %q", c.CommandPath(), part)
					continue
				}
				named, rest, err := newRoot(stdio{}).Find(words[1:])
				if err != nil {
					t.Errorf("%s: example %q: %v", c.CommandPath(), part, err)
					continue
				}
				for _, word := range rest {
					flag, isFlag := strings.CutPrefix(word, "--")
					flag, _, _ = strings.Cut(flag, "=")
					if isFlag && flag != "help" && named.Flag(flag) == nil {
						t.Errorf("%s: example %q: no flag %s", c.CommandPath(), part, word)
					}
				}
			}
		}
	}
}

func TestUsageErrors(t *testing.T) {
	for _, args := range [][]string{
		{"nothing"}, {"--nothing"}, {"pki"}, {"duis", "nothing"}, {"gbcs", "sign", "--nothing"}, {"duis", "verify"},
	} {
		refuses(t, exitUsage, "", "", args...)
	}
}

// A command that waits at a terminal ends when it is asked to.
func TestWaitForStandardInputIsInterrupted(t *testing.T) {
	pki := testPKI(t)
	for _, args := range [][]string{
		{"gbcs", "decode", "-"},
		{"duis", "verify", "--cert", pki.cert("xml-signing")},
		{"duis", "sign", "--cert", pki.cert("xml-signing"), "--key", pki.key("xml-signing"), "-"},
	} {
		terminal, typist := io.Pipe()
		ctx, interrupt := context.WithTimeout(t.Context(), 10*time.Millisecond)
		var out, errors strings.Builder
		if code := run(ctx, args, stdio{terminal, &out, &errors}); code != exitInterrupted || out.Len() > 0 {
			t.Errorf("%v: exit %d: %s", args, code, errors.String())
		}
		interrupt()
		typist.Close()
	}
}
