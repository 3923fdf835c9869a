// Package safefile opens the files that the program is told to read. A path must lead to a
// regular file, not to a link, a FIFO or a device, so that no reader hangs or reads another
// file than it was told. A file must not be longer than a limit. A secret must be readable by
// its owner alone. A file that is trusted because of its owner must be writable by its owner
// alone.
//
// It checks the open file, not the path. It follows links in the folders on the way to a
// file: the person who configures the path is responsible for those.
package safefile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// ErrKind is the error for what is not a regular file, ErrTooLong for a file over its limit, and
// ErrOpenToOthers for one that others than its owner can read or change.
var (
	ErrKind         = errors.New("not a regular file")
	ErrTooLong      = errors.New("too long")
	ErrOpenToOthers = errors.New("is open to others than its owner")
)

// Trust is what a reader does with a file.
type Trust uint8

// The kinds of trust.
const (
	// Checked is for a file that anybody may write: its content is checked by a signature,
	// a digest or its format.
	Checked Trust = iota
	// Own is for a file that is trusted without a signature: only its owner, who is this
	// user or root, may write it, and not everybody may write its folder.
	Own
	// Secret is Own, and only the owner may read it.
	Secret
)

// Usual lengths, in bytes.
const (
	Small = 1 << 20  // of a document that a person writes, a certificate, a key
	List  = 64 << 20 // of a list of all meters
	Mass  = 16 << 30 // of rows that are read one by one
)

// Open opens a file of at most limit bytes for reading.
func Open(path string, limit int64, trust Trust) (*os.File, error) {
	f, err := open(path, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	if err := check(f, limit, trust); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Read reads a file of at most limit bytes.
func Read(path string, limit int64, trust Trust) ([]byte, error) {
	f, err := Open(path, limit, trust)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return Bounded(f, path, limit)
}

// Bounded reads at most limit bytes to the end of r. Its error names the file.
func Bounded(r io.Reader, name string, limit int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(b)) > limit {
		return nil, tooLong(name, limit)
	}
	return b, err
}

// OpenToWrite opens a file for reading and writing, with the flags of [os.OpenFile] that
// say how it is made.
func OpenToWrite(path string, flags int, mode fs.FileMode) (*os.File, error) {
	f, err := open(path, os.O_RDWR|flags, mode)
	if err != nil {
		return nil, err
	}
	if err := regular(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// open opens what is at a path, not what a link there leads to. It does not wait for
// somebody at the other end of a FIFO.
func open(path string, flags int, mode fs.FileMode) (*os.File, error) {
	f, err := os.OpenFile(path, flags|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, mode)
	switch {
	case errors.Is(err, syscall.ELOOP):
		return nil, fmt.Errorf("%s: %w: it is a symbolic link: name the file itself", path, ErrKind)
	case errors.Is(err, syscall.ENXIO): // a socket, or a FIFO that nobody reads
		return nil, fmt.Errorf("%s: %w", path, ErrKind)
	}
	return f, err
}

func regular(f *os.File) error {
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s: %w: it is %s", f.Name(), ErrKind, kind(info.Mode()))
	}
	return err
}

func check(f *os.File, limit int64, trust Trust) error {
	if err := regular(f); err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Size() > limit {
		return tooLong(f.Name(), limit)
	}
	if trust == Checked {
		return nil
	}
	return errors.Join(private(info, f.Name(), map[Trust]fs.FileMode{Own: 0o022, Secret: 0o077}[trust]), shared(filepath.Dir(f.Name())))
}

// private says what is wrong with the owner and the mode of a file or a folder, of which
// others may have none of these rights.
func private(info fs.FileInfo, name string, rights fs.FileMode) error {
	if owner := info.Sys().(*syscall.Stat_t).Uid; owner != 0 && int(owner) != os.Geteuid() {
		return fmt.Errorf("%s %w: it belongs to user %d, and this program runs as %d", name, ErrOpenToOthers, owner, os.Geteuid())
	}
	mode := info.Mode().Perm()
	switch {
	case mode&rights == 0:
		return nil
	case rights&0o044 != 0:
		return fmt.Errorf("%s %w (mode %04o): chmod 600 it, and replace the secret if they may have read it", name, ErrOpenToOthers, mode)
	}
	return fmt.Errorf("%s %w (mode %04o): chmod go-w it", name, ErrOpenToOthers, mode)
}

// shared refuses a folder in which everybody may put another file in a file's place.
func shared(folder string) error {
	info, err := os.Stat(folder)
	if err == nil && info.Mode().Perm()&0o002 != 0 && info.Mode()&fs.ModeSticky == 0 {
		err = fmt.Errorf("%s %w (mode %04o): everybody may replace the files in it: chmod o-w it", folder, ErrOpenToOthers, info.Mode().Perm())
	}
	return err
}

// Folder checks that only the owner of a folder, who must be this user or root, may write it.
func Folder(path string) error {
	info, err := os.Lstat(path)
	switch {
	case err != nil:
		return err
	case !info.IsDir():
		return fmt.Errorf("%s: not a folder: it is %s", path, kind(info.Mode()))
	}
	return private(info, path, 0o022)
}

func tooLong(name string, limit int64) error {
	return fmt.Errorf("%s: %w: it has more than %d bytes", name, ErrTooLong, limit)
}

func kind(mode fs.FileMode) string {
	switch mode.Type() {
	case fs.ModeDir:
		return "a folder"
	case fs.ModeSymlink:
		return "a symbolic link: name the file itself"
	case fs.ModeNamedPipe:
		return "a FIFO"
	case fs.ModeSocket:
		return "a socket"
	case 0:
		return "a file"
	}
	return "a device"
}

// Dir is a folder. Its files are read by these rules, each of at most [Small] bytes.
type Dir string

// Open implements [fs.FS].
func (d Dir) Open(name string) (fs.File, error) {
	path, err := d.path("open", name)
	if err != nil {
		return nil, err
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return os.Open(path) // to list it
	}
	return Open(path, Small, Checked)
}

// Stat implements [fs.StatFS]. It does not follow a link.
func (d Dir) Stat(name string) (fs.FileInfo, error) {
	path, err := d.path("stat", name)
	if err != nil {
		return nil, err
	}
	return os.Lstat(path)
}

func (d Dir) path(what, name string) (string, error) {
	if !fs.ValidPath(name) {
		return "", &fs.PathError{Op: what, Path: name, Err: fs.ErrInvalid}
	}
	return filepath.Join(string(d), filepath.FromSlash(name)), nil
}
