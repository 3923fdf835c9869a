package durable_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"safemode/engine/durable"
	"safemode/servicerequests/safefile"
)

// names lists a directory.
func names(t *testing.T, dir string) (all []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

func TestReplace(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	broken := errors.New("broken")
	for _, c := range []struct {
		name  string
		write func(io.Writer) error
		mode  os.FileMode
		err   error
		want  string
	}{
		{"made", durable.Bytes([]byte("one")), 0o600, nil, "one"},
		{"replaced", durable.Bytes([]byte("two")), 0o644, nil, "two"},
		{"failed half way", func(w io.Writer) error { w.Write(make([]byte, 1<<20)); return broken }, 0o600, broken, "two"},
	} {
		if err := durable.Replace(path, c.mode, c.write); !errors.Is(err, c.err) {
			t.Errorf("%s: %v", c.name, err)
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != c.want {
			t.Errorf("%s: holds %q, %v", c.name, got, err)
		}
		if info, err := os.Stat(path); c.err == nil && (err != nil || info.Mode() != c.mode) {
			t.Errorf("%s: mode %v, %v", c.name, info.Mode(), err)
		}
		if all := names(t, dir); len(all) != 1 {
			t.Errorf("%s: leaves %v", c.name, all)
		}
	}
	if err := durable.Replace(filepath.Join(dir, "none", "file"), 0o600, durable.Bytes(nil)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without a directory: %v", err)
	}
}

func TestLock(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "lock")
	take := func() *durable.Lock {
		t.Helper()
		l, err := durable.TakeLock(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := durable.TakeLock(path); !errors.Is(err, durable.ErrLocked) {
			t.Fatalf("taken twice: %v", err)
		}
		return l
	}
	first := take()
	if err := first.Discard(); err != nil || len(names(t, dir)) != 0 {
		t.Errorf("what was made for the lock is left: %v, %v", names(t, dir), err)
	}
	if err := take().Release(); err != nil || len(names(t, dir)) != 1 {
		t.Errorf("the file does not stay: %v, %v", names(t, dir), err)
	}
	if err := take().Discard(); err != nil || len(names(t, dir)) != 1 {
		t.Errorf("somebody else's file was removed: %v, %v", names(t, dir), err)
	}
	if err := os.Symlink(filepath.Join(dir, "none", "lock"), filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if _, err := durable.TakeLock(filepath.Join(dir, "link")); !errors.Is(err, safefile.ErrKind) {
		t.Errorf("a link to nothing: %v", err)
	}
	if _, err := durable.TakeLock(filepath.Join(dir, "none", "lock")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without a directory: %v", err)
	}
}

// Removing the file under the lock never lets two in.
func TestLockIsOnesAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	var inside, got atomic.Int64
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 300 {
				l, err := durable.TakeLock(path)
				if errors.Is(err, durable.ErrLocked) {
					continue
				} else if err != nil {
					t.Error(err)
					return
				}
				if inside.Add(1) != 1 {
					t.Error("two hold the lock")
				}
				got.Add(1)
				inside.Add(-1)
				if err := l.Discard(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	if got.Load() == 0 {
		t.Error("nobody got the lock")
	}
}

func TestRemove(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := durable.Remove(path, path+".none"); err != nil || len(names(t, dir)) != 0 {
		t.Errorf("%v, %v", names(t, dir), err)
	}
}

// A folder that is not there, or is a file, is not writable; looking leaves nothing.
func TestWritable(t *testing.T) {
	dir := t.TempDir()
	if err := durable.Writable(dir); err != nil || len(names(t, dir)) != 0 {
		t.Errorf("%v, and there is %q", err, names(t, dir))
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(dir, "nowhere"), file} {
		if err := durable.Writable(path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// A released lock can be taken, although a child that is just being started still has its
// file.
func TestLockIsNotLeftToAChild(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	lock, err := durable.TakeLock(path)
	if err != nil {
		t.Fatal(err)
	}
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skipf("no list of open files: %v", err)
	}
	copies := 0
	for _, f := range open {
		if at, err := os.Readlink(filepath.Join("/proc/self/fd", f.Name())); err != nil || at != path {
			continue
		}
		number, err := strconv.Atoi(f.Name())
		if err != nil {
			t.Fatal(err)
		}
		child, err := syscall.Dup(number)
		if err != nil {
			t.Fatal(err)
		}
		defer syscall.Close(child)
		copies++
		break // the copy may have a number that is on the list
	}
	if err := lock.Release(); err != nil || copies != 1 {
		t.Fatalf("%d copies, %v", copies, err)
	}
	again, err := durable.TakeLock(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Release(); err != nil {
		t.Error(err)
	}
}
