package main

import (
	"os"
	"path/filepath"
	"testing"
)

// Options are old when a file has changed that they are read from, whatever the plan's folder is
// called, and not when the machine that stands by writes a file of its own into it, or into a
// folder in it.
func TestWhatMakesOptionsOld(t *testing.T) {
	for _, name := range []string{"plan", "plan [final]", "plan [", "plan *"} {
		folder := filepath.Join(t.TempDir(), name)
		b := beginning{configPath: filepath.Join(t.TempDir(), "safemode.yaml"), planDir: folder}
		if err := os.MkdirAll(filepath.Join(folder, "custody"), 0o700); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			path string
			old  bool
		}{
			{b.configPath, true},
			{filepath.Join(folder, "plan.ndjson"), true},
			{filepath.Join(folder, "approval-Ada.json"), true},
			{filepath.Join(folder, "winter.tip"), false},
			{filepath.Join(folder, "custody", "winter.tip"), false},
		} {
			was := b.stamp()
			putFile(t, c.path, []byte("x"))
			if old := b.stamp() != was; old != c.old {
				t.Errorf("%s: %t", c.path, old)
			}
		}
	}
}
