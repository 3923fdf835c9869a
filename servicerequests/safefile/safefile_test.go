package safefile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// put makes a file with a mode, whatever the umask.
func put(t *testing.T, path string, mode fs.FileMode) string {
	t.Helper()
	if err := errors.Join(os.WriteFile(path, []byte("text"), 0o600), os.Chmod(path, mode)); err != nil {
		t.Fatal(err)
	}
	return path
}

// atOnce fails a test whose call does not return.
func atOnce(t *testing.T, do func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); do() }()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("it hangs")
	}
}

func TestRead(t *testing.T) {
	dir := t.TempDir()
	file := put(t, filepath.Join(dir, "file"), 0o600)
	fifo, link, dangling := filepath.Join(dir, "fifo"), filepath.Join(dir, "link"), filepath.Join(dir, "dangling")
	if err := errors.Join(syscall.Mkfifo(fifo, 0o600), os.Symlink(file, link), os.Symlink(filepath.Join(dir, "nothing"), dangling)); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		path  string
		limit int64
		trust Trust
		want  error
	}{
		{file, 4, Checked, nil},
		{file, 4, Secret, nil},
		{file, 3, Checked, ErrTooLong},
		{fifo, 4, Checked, ErrKind},
		{link, 4, Checked, ErrKind},
		{dangling, 4, Checked, ErrKind},
		{dir, 1 << 20, Checked, ErrKind},
		{"/dev/zero", 4, Checked, ErrKind},
		{filepath.Join(dir, "nothing"), 4, Checked, fs.ErrNotExist},
		{put(t, filepath.Join(dir, "readable"), 0o644), 4, Own, nil},
		{filepath.Join(dir, "readable"), 4, Secret, ErrOpenToOthers},
		{put(t, filepath.Join(dir, "writable"), 0o664), 4, Checked, nil},
		{filepath.Join(dir, "writable"), 4, Own, ErrOpenToOthers},
	} {
		atOnce(t, func() {
			if b, err := Read(test.path, test.limit, test.trust); !errors.Is(err, test.want) || err == nil && string(b) != "text" {
				t.Errorf("%s, %d bytes, trust %d: %q, %v, want %v", test.path, test.limit, test.trust, b, err, test.want)
			}
		})
	}
}

// A file that grows while it is read is read no further than to the limit.
func TestReadsNoFurther(t *testing.T) {
	zero, err := os.Open("/dev/zero")
	if err != nil {
		t.Skipf("no endless file to read from: %v", err)
	}
	defer zero.Close()
	if _, err := Bounded(zero, "zero", 1000); !errors.Is(err, ErrTooLong) {
		t.Error(err)
	}
}

// A file of another user, and one that everybody may replace, are refused.
func TestWhoMayHaveWrittenIt(t *testing.T) {
	dir := t.TempDir()
	file := put(t, filepath.Join(dir, "file"), 0o600)
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(file, 4, Own); !errors.Is(err, ErrOpenToOthers) {
		t.Errorf("in a folder that everybody may write: %v", err)
	}
	if err := Folder(dir); !errors.Is(err, ErrOpenToOthers) {
		t.Errorf("the folder itself: %v", err)
	}
	if err := os.Chmod(dir, 0o777|fs.ModeSticky); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(file, 4, Own); err != nil {
		t.Errorf("in one like /tmp: %v", err)
	}
	if err := errors.Join(os.Chmod(dir, 0o755), Folder(dir)); err != nil {
		t.Error(err)
	}
	if err := Folder(file); err == nil {
		t.Error("a file was taken for a folder")
	}
	if os.Geteuid() != 0 {
		t.Skip("only root gives files away")
	}
	if err := os.Chown(file, 12345, -1); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(file, 4, Own); !errors.Is(err, ErrOpenToOthers) {
		t.Errorf("another user's: %v", err)
	}
	if _, err := Read(file, 4, Checked); err != nil {
		t.Errorf("another user's, of which each word is checked: %v", err)
	}
}

// A link does not lead a writer elsewhere, and a FIFO does not keep one waiting.
func TestWrite(t *testing.T) {
	dir := t.TempDir()
	target := put(t, filepath.Join(dir, "target"), 0o600)
	link, fifo := filepath.Join(dir, "link"), filepath.Join(dir, "fifo")
	dangling := filepath.Join(dir, "dangling")
	if err := errors.Join(os.Symlink(target, link), syscall.Mkfifo(fifo, 0o600), os.Symlink(filepath.Join(dir, "made"), dangling)); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{link, fifo, dangling} {
		atOnce(t, func() {
			if _, err := OpenToWrite(path, os.O_CREATE|os.O_TRUNC, 0o600); !errors.Is(err, ErrKind) {
				t.Errorf("%s: %v", path, err)
			}
		})
	}
	if b, err := os.ReadFile(target); err != nil || string(b) != "text" {
		t.Errorf("the link's target holds %q, %v", b, err)
	}
	if _, err := os.Lstat(filepath.Join(dir, "made")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a link's target was made: %v", err)
	}
}

func TestDir(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "file"), 0o600)
	if err := errors.Join(os.Symlink("file", filepath.Join(dir, "link")), syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600)); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]error{"file": nil, "link": ErrKind, "fifo": ErrKind, "../file": fs.ErrInvalid, "nothing": fs.ErrNotExist} {
		atOnce(t, func() {
			if _, err := fs.ReadFile(Dir(dir), name); !errors.Is(err, want) {
				t.Errorf("%s: %v, want %v", name, err, want)
			}
		})
	}
	if names, err := fs.Glob(Dir(dir), "*"); err != nil || len(names) != 3 {
		t.Errorf("%v, %v", names, err)
	}
}
