package journal_test

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"safemode/engine/journal"
)

func TestForeignAndDamagedFiles(t *testing.T) {
	good := func(t *testing.T, path string) {
		j := open(t, path)
		for i := range uint64(200) {
			j.Append(sent(i + 1))
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		make func(t *testing.T, path string)
		want error
	}{
		"text": {func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte(strings.Repeat("device_id,device_type\n", 100)), 0o600); err != nil {
				t.Fatal(err)
			}
		}, journal.ErrForeign},
		"another database": {func(t *testing.T, path string) { execute(t, path, "CREATE TABLE record (seq INTEGER)") }, journal.ErrForeign},
		"another version": {func(t *testing.T, path string) {
			good(t, path)
			execute(t, path, "PRAGMA user_version = 4")
		}, journal.ErrVersion},
		"another table": {func(t *testing.T, path string) {
			good(t, path)
			execute(t, path, "CREATE TABLE more (x)")
		}, journal.ErrDamaged},
		"an index dropped in": {func(t *testing.T, path string) {
			good(t, path)
			execute(t, path, "CREATE INDEX number ON segment (number)")
		}, journal.ErrDamaged},
		"truncated": {func(t *testing.T, path string) {
			good(t, path)
			if err := os.Truncate(path, 13_000); err != nil {
				t.Fatal(err)
			}
		}, journal.ErrDamaged},
		"garbage after the header": {func(t *testing.T, path string) {
			good(t, path)
			overwrite(t, path, 100, strings.Repeat("garbage ", 1000))
		}, journal.ErrDamaged},
		"tip gone": {func(t *testing.T, path string) { good(t, path); execute(t, path, "DELETE FROM tip") }, journal.ErrDamaged},
		"tip back": {func(t *testing.T, path string) { good(t, path); execute(t, path, "UPDATE tip SET seq = 199") }, journal.ErrDamaged},
		"last one gone": {func(t *testing.T, path string) {
			good(t, path)
			execute(t, path, "DELETE FROM segment WHERE last = 200")
		}, journal.ErrDamaged},
		"first one gone": {func(t *testing.T, path string) {
			good(t, path)
			execute(t, path, "DELETE FROM segment WHERE first = 0")
		}, journal.ErrDamaged},
		"another ID": {func(t *testing.T, path string) {
			good(t, path)
			execute(t, path, "UPDATE segment SET body = x'00' WHERE first = 0")
		}, journal.ErrDamaged},
		"a record beyond": {func(t *testing.T, path string) { good(t, path); execute(t, path, copyOf(0, 201, 201, 9)) }, journal.ErrDamaged},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "journal.db")
			c.make(t, path)
			before, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for mode, open := range map[string]func() (*journal.Journal, error){
				"write": func() (*journal.Journal, error) { return journal.Open(path, journal.Options{}) },
				"read":  func() (*journal.Journal, error) { return journal.OpenReadOnly(path) },
			} {
				_, err := open()
				if !errors.Is(err, c.want) {
					t.Errorf("open to %s: %v, want %v", mode, err, c.want)
				} else if !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "\n") {
					t.Errorf("open to %s: not one clear line: %v", mode, err)
				}
			}
			after, err := os.ReadFile(path)
			if err != nil || !errors.Is(c.want, journal.ErrDamaged) && string(before) != string(after) {
				t.Errorf("a file that is not ours was changed (%v)", err)
			}
		})
	}
	if _, err := journal.OpenReadOnly(filepath.Join(t.TempDir(), "none.db")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

// An Open that was killed before its first transaction leaves an empty
// database; the next one makes it a journal.
func TestHalfMadeJournal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	execute(t, path, "PRAGMA page_size = 4096; PRAGMA journal_mode = WAL; VACUUM")
	if info, err := os.Stat(path); err != nil || info.Size() == 0 {
		t.Fatalf("want an empty database, not an empty file: %v", err)
	}
	j := open(t, path)
	commit(t, j, sent(1))
	if err := j.Verify(t.Context()); err != nil {
		t.Error(err)
	}
}

// execute runs SQL on a file with a plain connection, as a stranger would.
func execute(t *testing.T, path, statements string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(statements); err != nil {
		t.Fatal(err)
	}
}

// copyOf is SQL that adds a copy of a segment as another one.
func copyOf(from, first, last, number int) string {
	return fmt.Sprintf(`INSERT INTO segment SELECT %d, %d, %d, earliest, latest, kinds, before, after, packing, sum, body
		FROM segment WHERE first = %d`, first, last, number, from)
}

func overwrite(t *testing.T, path string, offset int64, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte(text), offset); err != nil {
		t.Fatal(err)
	}
}

// folderOf lists a folder.
func folderOf(t *testing.T, path string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}
