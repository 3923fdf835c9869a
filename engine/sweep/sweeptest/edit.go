package sweeptest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// Edit puts a fault back into a source file: its path from the folder of the package under
// test, a text that stands in it once, and what is to stand there instead.
type Edit [3]string

// Overlay writes the edited files into dir, and returns the list that go build and go test
// take as -overlay.
func Overlay(t testing.TB, dir string, edits []Edit) (list string) {
	t.Helper()
	replace := map[string]string{}
	for i, e := range edits {
		file, was, is := e[0], e[1], e[2]
		path, err := filepath.Abs(file)
		if err != nil {
			t.Fatal(err)
		}
		from, edited := replace[path]
		if !edited {
			from = path
		}
		text, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(text), was); n != 1 {
			t.Fatalf("%s has it %d times:\n%s", file, n, was)
		}
		to := filepath.Join(dir, "edit"+strconv.Itoa(i)+".go")
		if err := os.WriteFile(to, []byte(strings.Replace(string(text), was, is, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		replace[path] = to
	}
	text, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	list = filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(list, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return list
}
