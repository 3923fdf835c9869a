package main

import (
	"os"
	"path/filepath"
	"testing"
)

// A change of an approval is noticed, whatever the plan's folder is called.
func TestStampOfAPlansFolder(t *testing.T) {
	for _, name := range []string{"plan", "plan [final]", "plan [", "plan *"} {
		dir := filepath.Join(t.TempDir(), name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		b := beginning{planDir: dir}
		was := b.stamp()
		putFile(t, filepath.Join(dir, "approval.json"), []byte("{}"))
		if b.stamp() == was {
			t.Errorf("%s: a new file is not noticed", name)
		}
	}
}
