package custody_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"safemode/engine/custody"
	"safemode/engine/durable"
)

func book(t *testing.T, files durable.Files) *custody.Book {
	t.Helper()
	b, err := custody.MakeBook(files)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func bookIsKept(t *testing.T, p place) {
	directory := p.make(t)
	if _, err := custody.OpenBook(directory); !errors.Is(err, custody.ErrNoBook) {
		t.Errorf("of a new folder: %v", err)
	}
	b := book(t, directory)
	first, err := b.Append(custody.Entry{Act: custody.Started, Journal: "j", Plan: "p", Records: 7, Approvals: []string{"x", "y"}})
	if err != nil || first.N != 2 {
		t.Fatalf("%+v, %v", first, err)
	}
	again := book(t, directory) // there is one
	if got := again.Entries(); again.ID() != b.ID() || len(again.ID()) != 32 || len(got) != 2 || got[1].Records != 7 || len(got[1].Approvals) != 2 || again.Copied() != nil {
		t.Errorf("%+v", got)
	}
	if folder, ok := directory.(durable.Folder); ok {
		if info, err := os.Stat(folder.Path(custody.BookName)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v, %v", info, err)
		}
	}
}

// Two processes add to one book: no entry is lost, and each follows from the one before.
func bookOfTwoProcesses(t *testing.T, p place) {
	directory := p.make(t)
	book(t, directory)
	var both sync.WaitGroup
	for range 2 {
		b := book(t, directory)
		both.Go(func() {
			for range 20 {
				if _, err := b.Append(custody.Entry{Act: custody.Halted, Journal: "j"}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	both.Wait()
	if n := len(book(t, directory).Entries()); n != 41 {
		t.Errorf("%d entries", n)
	}
}

// A copy is none before two have accepted that very one; the one that was copied stays.
func copyIsRefused(t *testing.T, p place) {
	files := p.make(t)
	b := book(t, files)
	copied := p.abandoned(t, files)
	if err := book(t, copied).Copied(); !errors.Is(err, custody.ErrCopied) {
		t.Errorf("the copy: %v", err)
	}
	taken := book(t, copied)
	if _, err := taken.Append(custody.Entry{Act: custody.Accepted, Journal: "j", Inode: taken.Inode()}); err != nil {
		t.Fatal(err)
	}
	if err := book(t, copied).Copied(); err != nil || taken.ID() != b.ID() {
		t.Errorf("after it was accepted: %v", err)
	}
	if err := book(t, files).Copied(); err != nil {
		t.Errorf("the one that was copied: %v", err)
	}
}

func TestCopiedFolderIsRefused(t *testing.T) {
	directory := t.TempDir()
	b := book(t, durable.Folder(directory))
	moved := filepath.Join(t.TempDir(), "moved")
	copied := t.TempDir()
	if err := os.CopyFS(filepath.Join(copied, "custody"), os.DirFS(directory)); err != nil {
		t.Fatal(err)
	}
	if err := book(t, durable.Folder(filepath.Join(copied, "custody"))).Copied(); !errors.Is(err, custody.ErrCopied) {
		t.Errorf("the copy: %v", err)
	}
	if err := os.Rename(directory, moved); err != nil {
		t.Skipf("the temporary folders are of two file systems: %v", err)
	}
	if err := book(t, durable.Folder(moved)).Copied(); err != nil {
		t.Errorf("the same under another name: %v", err)
	}
	taken := book(t, durable.Folder(filepath.Join(copied, "custody")))
	if _, err := taken.Append(custody.Entry{Act: custody.Accepted, Journal: "j", Inode: taken.Inode()}); err != nil {
		t.Fatal(err)
	}
	if err := book(t, durable.Folder(filepath.Join(copied, "custody"))).Copied(); err != nil || taken.ID() != b.ID() {
		t.Errorf("after it was accepted: %v", err)
	}
}

func TestTornEntryIsNone(t *testing.T) {
	directory := t.TempDir()
	b := book(t, durable.Folder(directory))
	if _, err := b.Append(custody.Entry{Act: custody.Started, Journal: "j"}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(directory, custody.BookName)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	lines := strings.SplitAfter(string(whole), "\n")
	write(lines[0] + lines[1][:40]) // in place: the file stays the one that it was
	torn := book(t, durable.Folder(directory))
	if n := len(torn.Entries()); n != 1 {
		t.Errorf("%d entries", n)
	}
	if _, err := torn.Append(custody.Entry{Act: custody.Halted, Journal: "j"}); err != nil {
		t.Fatal(err)
	}
	if got := book(t, durable.Folder(directory)).Entries(); len(got) != 2 || got[1].Act != custody.Halted {
		t.Errorf("%+v", got)
	}
	for name, text := range map[string]string{
		"altered": strings.Replace(string(whole), `"journal_id":"j"`, `"journal_id":"k"`, 1) + lines[1], "without its first line": lines[1],
		"empty": "", "not JSON": "book\n", "unknown key": strings.Replace(lines[0], "{", `{"more":1,`, 1),
	} {
		write(text)
		if _, err := custody.OpenBook(durable.Folder(directory)); !errors.Is(err, custody.ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(t.TempDir(), "elsewhere"), path); err != nil {
		t.Fatal(err)
	}
	if _, err := custody.OpenBook(durable.Folder(directory)); err == nil {
		t.Error("a link was followed")
	}
}

// Whoever made a book may have been killed at any byte of its first line: the next who makes
// it finishes it.
func TestBookThatWasCutOffIsFinished(t *testing.T) {
	directory := t.TempDir()
	path := filepath.Join(directory, custody.BookName)
	for _, left := range []string{"", `{"n":1,"at":"2026-11-30T`} {
		if err := os.WriteFile(path, []byte(left), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := custody.OpenBook(durable.Folder(directory)); !errors.Is(err, custody.ErrDamaged) {
			t.Errorf("%q is a book: %v", left, err)
		}
		made := book(t, durable.Folder(directory))
		if again := book(t, durable.Folder(directory)); again.ID() != made.ID() || again.Copied() != nil || len(again.Entries()) != 1 {
			t.Errorf("after %q: %+v", left, again.Entries())
		}
	}
}

// A sweep that begins takes the counters over from the journal that was named, and no
// other; what was handed back needs a floor over it.
func takenOverFromTheNamedJournal(t *testing.T, p place) {
	directory := p.make(t)
	c := open(t, directory, options())
	last := next(t, c)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	later := &log{id: "later"}
	for _, from := range []string{"", "another"} {
		o := options()
		o.From = from
		if _, err := custody.Open(directory, originator, later, o); !errors.Is(err, custody.ErrOtherOwner) || strings.Contains(err.Error(), "move") {
			t.Errorf("from %q: %v", from, err)
		}
	}
	o := options()
	o.From = owner.id
	taken, err := custody.Open(directory, originator, later, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := taken.Discard(); err != nil { // a start that came to nothing
		t.Fatal(err)
	}
	if marks, err := custody.Read(directory); err != nil || marks[0].Owner != owner.id || marks[0].HighWater != last {
		t.Errorf("given back: %+v, %v", marks, err)
	}
	if taken, err = custody.Open(directory, originator, later, o); err != nil {
		t.Fatal(err)
	}
	if n := next(t, taken); n <= last {
		t.Errorf("%d after %d", n, last)
	}
	if err := taken.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := custody.Release(directory, originator, now); err != nil {
		t.Fatal(err)
	}
	o.From = "later"
	if _, err := custody.Open(directory, originator, &log{id: "third"}, o); !errors.Is(err, custody.ErrReleased) {
		t.Errorf("handed back, without a floor: %v", err)
	}
	o.Floor = uint64(now.UnixMilli()) + 10_000_000
	third, err := custody.Open(directory, originator, &log{id: "third"}, o)
	if err != nil {
		t.Fatal(err)
	}
	if n := next(t, third); n <= o.Floor {
		t.Errorf("%d is not over the floor", n)
	}
	if err := third.Close(); err != nil {
		t.Fatal(err)
	}
}
