// Package durable writes files that are whole or not there, also after a power cut, and
// keeps a second process out. It knows nothing of what the files hold.
package durable

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"safemode/servicerequests/safefile"
)

// ErrLocked says that somebody else holds the lock: another process, or this one.
var ErrLocked = errors.New("in use by another process")

// Replace replaces the file at path by what write writes. The new file is written beside it,
// synced, and renamed, and the directory is synced: on return the new file is durable. After
// an error the file is the old one or the new one, whole.
func Replace(path string, mode fs.FileMode, write func(io.Writer) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*") // 0600
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(f, 64<<10)
	if err = write(out); err == nil {
		err = errors.Join(out.Flush(), f.Chmod(mode), f.Sync())
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return SyncDir(filepath.Dir(path))
}

// Bytes makes the argument of [Replace] for content that is already in memory.
func Bytes(b []byte) func(io.Writer) error {
	return func(w io.Writer) error { _, err := w.Write(b); return err }
}

// SyncDir makes durable which files a directory has.
func SyncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Writable says whether files can be made in a folder. It makes none.
func Writable(path string) error {
	if err := unix.Access(path, unix.W_OK|unix.X_OK); err != nil {
		return &fs.PathError{Op: "write in", Path: path, Err: err}
	}
	return nil
}

// Remove removes files, and makes that durable. A file that is not there is no error.
// All are in the directory of the first.
func Remove(paths ...string) error {
	var faults []error
	for _, path := range paths {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			faults = append(faults, err)
		}
	}
	return errors.Join(append(faults, SyncDir(filepath.Dir(paths[0])))...)
}

// Lock is a lock (flock) on a file of its own, which stays empty. The guarded file cannot carry
// the lock, because it is replaced, or SQLite has locks on it.
type Lock struct {
	file *os.File
	made bool
}

// TakeLock takes the lock, and makes its file if there is none. It does not wait: the
// error wraps [ErrLocked] if somebody has it.
func TakeLock(path string) (*Lock, error) {
	for {
		l := &Lock{made: true}
		var err error
		if l.file, err = safefile.OpenToWrite(path, os.O_CREATE|os.O_EXCL, 0o600); errors.Is(err, fs.ErrExist) {
			l.made = false
			l.file, err = safefile.OpenToWrite(path, os.O_CREATE, 0o600) // its last holder may just have removed it
		}
		if err != nil {
			return nil, err
		}
		if err := syscall.Flock(int(l.file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
			if errors.Is(err, syscall.EWOULDBLOCK) {
				err = ErrLocked
			}
			return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), l.file.Close())
		}
		// A lock on a file that was removed meanwhile keeps nobody out.
		if held, err := l.file.Stat(); err != nil {
			return nil, errors.Join(err, l.file.Close())
		} else if there, err := os.Stat(path); err == nil && os.SameFile(held, there) {
			return l, nil
		}
		if err := l.file.Close(); err != nil {
			return nil, err
		}
	}
}

// Release gives the lock free. Its file stays.
func (l *Lock) Release() error {
	// A child that is just being started has the file as well, and with it the lock.
	return errors.Join(syscall.Flock(int(l.file.Fd()), syscall.LOCK_UN), l.file.Close())
}

// Discard gives the lock free. Its file is removed first, if it was made for this lock.
func (l *Lock) Discard() error {
	var err error
	if l.made {
		err = Remove(l.file.Name())
	}
	return errors.Join(err, l.Release())
}
