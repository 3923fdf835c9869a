package main

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// commands returns every command below c, c included.
func commands(c *cobra.Command) []*cobra.Command {
	all := []*cobra.Command{c}
	for _, child := range c.Commands() {
		all = append(all, commands(child)...)
	}
	return all
}

func TestHelp(t *testing.T) {
	for _, c := range commands(newRoot(stdio{})) {
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

// An example that names a command or flag which is not there helps nobody.
func TestHelpExamples(t *testing.T) {
	for _, c := range commands(newRoot(stdio{})) {
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
