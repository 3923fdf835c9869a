package journal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"safemode/engine/durable"
)

// Backup copies a journal, also while a sweep writes it, into a new file of mode
// 0600: one that holds every record that was durable when it began, and whose
// whole chain was verified. The copy is there whole or not at all, and
// durable on return. It returns the copy's end. An existing file is not replaced:
// the error then wraps [os.ErrExist]. Other errors are those of [OpenReadOnly] and
// [Journal.Verify], or of the file system.
func Backup(ctx context.Context, path, to string) (_ Tip, err error) {
	j, err := OpenReadOnly(path)
	if err != nil {
		return Tip{}, err
	}
	defer j.Close()
	if _, err := os.Lstat(to); err == nil {
		return Tip{}, fmt.Errorf("journal %s: %w", to, os.ErrExist)
	}
	f, err := os.CreateTemp(filepath.Dir(to), "."+filepath.Base(to)+"-*") // 0600
	if err != nil {
		return Tip{}, err
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("backup of journal %s into %s: %w", path, to, err)
		}
		err = errors.Join(err, f.Close(), os.Remove(f.Name()))
	}()
	// One read transaction: the copy is of one moment. Writers are not held up.
	if _, err := j.reader.ExecContext(ctx, "VACUUM INTO ?", f.Name()); err != nil {
		return Tip{}, sqliteError(err)
	}
	tip, err := verifyCopy(ctx, f.Name(), j.id)
	if err != nil {
		return Tip{}, err
	}
	if err := f.Sync(); err != nil {
		return Tip{}, err
	}
	// A link, not a rename: it never replaces what somebody else has put there.
	if err := os.Link(f.Name(), to); err != nil {
		return Tip{}, err
	}
	return tip, durable.SyncDir(filepath.Dir(to))
}

func verifyCopy(ctx context.Context, path, id string) (Tip, error) {
	c, err := OpenReadOnly(path)
	if err != nil {
		return Tip{}, err
	}
	defer c.Close()
	if c.id != id {
		return Tip{}, fmt.Errorf("%w: the copy is journal %s, not %s", ErrDamaged, c.id, id)
	}
	return c.tip, c.Verify(ctx)
}
