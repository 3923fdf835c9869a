package main

import (
	"os"
	"path/filepath"
	"testing"
)

// Options are old when a file has changed that they are read from, and not when the machine that
// stands by writes a file of its own into the plan's folder, or into a folder in it.
func TestWhatMakesOptionsOld(t *testing.T) {
	folder := t.TempDir()
	b := beginning{configPath: filepath.Join(t.TempDir(), "safemode.yaml"), planDir: folder}
	if err := os.Mkdir(filepath.Join(folder, "custody"), 0o700); err != nil {
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
