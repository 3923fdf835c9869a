package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"safemode/servicerequests/outside"
)

// Each script is one that its shell can read.
func TestCompletionScripts(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		script := must(t, "", "completion", shell)
		if !strings.Contains(script, "safemode") {
			t.Errorf("%s: %.200s", shell, script)
		}
		path, err := exec.LookPath(shell)
		if err != nil {
			t.Logf("%s is not there, its script is not read by it", shell)
			continue
		}
		if out, err := exec.CommandContext(t.Context(), path, "-n", putFile(t, filepath.Join(t.TempDir(), "script"), []byte(script))).CombinedOutput(); err != nil {
			t.Errorf("%s -n: %v: %s", shell, err, out)
		}
	}
	refuses(t, exitUsage, "tcsh", "", "completion", "tcsh")
	refuses(t, exitUsage, "", "", "completion")
}

// What is completed comes from the tree of commands and the field's own lists.
func TestCompletions(t *testing.T) {
	for _, c := range []struct {
		line []string
		want []string
	}{
		{[]string{"sw"}, []string{"sweep"}},
		{[]string{"pki", ""}, []string{"init"}},
		{[]string{"pause", "--region", ""}, []string{"North", "4G South"}},
		{[]string{"pause", "--srv", "7."}, []string{"7.3", "7.4"}},
		{[]string{"rerun", "--verdict", "un"}, []string{"unknown"}},
		{[]string{"demo", "--faults", ""}, []string{"calm", "lying-dcc"}},
		{[]string{"sweep", "--pl"}, []string{"--plan"}},
		{[]string{"completion", ""}, []string{"bash", "zsh", "fish"}},
	} {
		out := safemode(t, "", append([]string{"__complete"}, c.line...)...).out
		offered := map[string]bool{}
		for line := range strings.Lines(out) {
			word, _, _ := strings.Cut(strings.TrimSpace(line), "\t")
			offered[word] = true
		}
		for _, word := range c.want {
			if !offered[word] {
				t.Errorf("%q: %q is not offered: %s", c.line, word, out)
			}
		}
	}
}

// Every command has its page, and the pages are ones that groff can set.
func TestManual(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "man1")
	must(t, "", "man", "--out", dir)
	commands := slices.DeleteFunc(allCommands(newRoot(stdio{})), func(c *cobra.Command) bool { return c.Name() == "help" }) // which writes none of its own
	var pages []string
	for _, c := range commands {
		path := filepath.Join(dir, strings.ReplaceAll(c.CommandPath(), " ", "-")+".1")
		page, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
			continue
		}
		pages = append(pages, path)
		for _, part := range []string{c.Short, ".SH EXAMPLE", ".SH SYNOPSIS"} {
			if !strings.Contains(strings.ReplaceAll(string(page), `\-`, "-"), part) {
				t.Errorf("%s lacks %q", path, part)
			}
		}
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != len(commands) {
		t.Errorf("%d pages of %d commands, %v", len(files), len(commands), err)
	}
	groff := outside.Program(t, "groff", "groff-base")
	out, err := exec.CommandContext(t.Context(), groff, append([]string{"-man", "-Tutf8", "-ww", "-z"}, pages...)...).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("groff: %v: %.2000s", err, out)
	}
}
