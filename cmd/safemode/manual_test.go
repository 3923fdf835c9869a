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
