// Package smkitest has the PKI folders of tests. It is for tests alone.
package smkitest

import (
	"testing"
	"testing/fstest"

	"safemode/servicerequests/smki"
)

// Folder makes a test folder in memory.
func Folder(t testing.TB, of smki.TestFolder) *smki.Folder {
	t.Helper()
	files, err := of.Files()
	if err != nil {
		t.Fatal(err)
	}
	return Load(t, files)
}

// Load reads a folder that is made of these files.
func Load(t testing.TB, files map[string][]byte) *smki.Folder {
	t.Helper()
	tree := fstest.MapFS{}
	for name, text := range files {
		tree[name] = &fstest.MapFile{Data: text}
	}
	folder, err := smki.LoadFolder(tree)
	if err != nil {
		t.Fatal(err)
	}
	return folder
}
