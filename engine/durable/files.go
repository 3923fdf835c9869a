package durable

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"safemode/servicerequests/safefile"
)

// ErrChanged says that a file is not what its writer took it for.
var ErrChanged = errors.New("changed by somebody else meanwhile")

// Files are small files that belong together: those that an engine must find wherever it
// runs. They lie in a [Folder], or in a database (see package journal/store). Methods may be
// called concurrently, also by other processes. A change is durable when the method returns.
// After an error a file is as before, or as it should be.
type Files interface {
	// Path names a file to people.
	Path(name string) string
	// Names lists the files.
	Names() ([]string, error)
	// Read returns a file of at most so many bytes. The error wraps [fs.ErrNotExist] if
	// there is none.
	Read(name string, most int64, trust safefile.Trust) ([]byte, error)
	// Replace replaces the content was of a file by now, as a whole. A nil was means that there
	// is no file; a nil now removes it. The error wraps [ErrChanged] if the content was
	// another. A process that replaces a file by turns with others must have its lock.
	Replace(name string, was, now []byte) error
	// Append adds to a file of size bytes; -1: there is none yet. It drops what follows the
	// first at bytes. The error wraps [ErrChanged] if the file has another size.
	Append(name string, size, at int64, text []byte) error
	// Mark tells a file from its copies.
	Mark(name string) (uint64, error)
	// Lock keeps others from a file until it is given free. It does not wait: the error wraps
	// [ErrLocked] where somebody holds it. Free says what Lock would, and takes nothing.
	Lock(name string) (Locked, error)
	Free(name string) error
}

// Locked is a lock that is held.
type Locked interface {
	Release() error // gives it free
	Discard() error // likewise, and leaves no trace of it
}

// Folder is [Files] in the folder at a path.
type Folder string

// Path implements [Files].
func (d Folder) Path(name string) string { return filepath.Join(string(d), name) }

// Names implements [Files].
func (d Folder) Names() (names []string, err error) {
	all, err := os.ReadDir(string(d))
	for _, e := range all {
		names = append(names, e.Name())
	}
	return names, err
}

// Read implements [Files].
func (d Folder) Read(name string, most int64, trust safefile.Trust) ([]byte, error) {
	return safefile.Read(d.Path(name), most, trust)
}

// Replace implements [Files]: see the function of that name.
func (d Folder) Replace(name string, was, now []byte) error {
	is, err := safefile.Read(d.Path(name), safefile.List, safefile.Checked)
	switch none := errors.Is(err, fs.ErrNotExist); {
	case err != nil && !none:
		return err
	case none != (was == nil) || !bytes.Equal(is, was):
		return fmt.Errorf("%s: %w", d.Path(name), ErrChanged)
	case now == nil:
		return Remove(d.Path(name))
	}
	return Replace(d.Path(name), 0o600, Bytes(now))
}

// Append implements [Files]: in place, so that the file stays the one that it is.
func (d Folder) Append(name string, size, at int64, text []byte) (err error) {
	path := d.Path(name)
	flags := 0
	if size < 0 {
		flags = os.O_CREATE | os.O_EXCL
	}
	f, err := safefile.OpenToWrite(path, flags, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%w: %w", ErrChanged, err)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }() // and the lock
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Size() != max(size, 0) {
		return fmt.Errorf("%s: %w", path, ErrChanged)
	}
	err = f.Truncate(at)
	if err == nil {
		_, err = f.WriteAt(text, at)
	}
	if err = errors.Join(err, f.Sync()); err != nil {
		return errors.Join(err, f.Truncate(at))
	}
	if size < 0 {
		return SyncDir(string(d))
	}
	return nil
}

// Mark implements [Files]: it is the file's inode.
func (d Folder) Mark(name string) (uint64, error) {
	info, err := os.Lstat(d.Path(name))
	if err != nil {
		return 0, err
	}
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.Mode().IsRegular() {
		return 0, fmt.Errorf("%s: %w", d.Path(name), safefile.ErrKind)
	}
	return s.Ino, nil
}

// Lock implements [Files] by a file of its own (see [TakeLock]). It refuses a folder that
// others than its owner may write.
func (d Folder) Lock(name string) (Locked, error) {
	if err := safefile.Folder(string(d)); err != nil {
		return nil, err
	}
	l, err := TakeLock(d.Path(name) + lockSuffix)
	if err != nil {
		return nil, err
	}
	return l, nil
}

const lockSuffix = ".lock"

// Free implements [Files].
func (d Folder) Free(name string) error {
	if err := errors.Join(safefile.Folder(string(d)), Writable(string(d))); err != nil {
		return err
	}
	if _, err := os.Stat(d.Path(name) + lockSuffix); errors.Is(err, fs.ErrNotExist) { // nobody holds it
		return nil
	}
	l, err := TakeLock(d.Path(name) + lockSuffix)
	if err != nil {
		return err
	}
	return l.Release()
}
