package journal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"safemode/engine/durable"
	"safemode/engine/journal/store"
)

// Copy copies a journal, also while a sweep writes it, to a path or an address at which
// there is none: every record that was durable when it began, in the same segments, with
// the chain verified on the way, and the kept state. The copy is the same journal: it has
// its ID, and a sweep goes on with it. It returns the copy's end. A journal that is there
// is not replaced: the error then wraps [os.ErrExist]. After an error nothing is there.
func Copy(ctx context.Context, from, to string) (_ Tip, err error) {
	j, err := OpenReadOnly(from)
	if err != nil {
		return Tip{}, err
	}
	defer j.Close()
	if store.IsAddress(to) {
		return j.copyTo(ctx, to)
	}
	return intoFile(to, func(path string) (Tip, error) { return j.copyTo(ctx, path) })
}

// Backup is [Copy] into a file, byte by byte where the journal is one.
func Backup(ctx context.Context, from, to string) (Tip, error) {
	if store.IsAddress(from) {
		return Copy(ctx, from, to)
	}
	j, err := OpenReadOnly(from)
	if err != nil {
		return Tip{}, err
	}
	defer j.Close()
	return intoFile(to, func(path string) (Tip, error) {
		file, ok := j.store.(*store.SQLite)
		if !ok {
			return Tip{}, fmt.Errorf("%T is no file", j.store)
		}
		if err := file.Copy(ctx, path); err != nil {
			return Tip{}, err
		}
		return j.verifyCopy(ctx, path)
	})
}

// intoFile has a file of mode 0600 made, and gives it its name when it is whole and
// durable. An existing file is not replaced.
func intoFile(to string, fill func(path string) (Tip, error)) (tip Tip, err error) {
	if _, err := os.Lstat(to); err == nil {
		return Tip{}, fmt.Errorf("journal %s: %w", to, os.ErrExist)
	}
	f, err := os.CreateTemp(filepath.Dir(to), "."+filepath.Base(to)+"-*") // 0600
	if err != nil {
		return Tip{}, err
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("into journal %s: %w", to, err)
		}
		err = errors.Join(err, f.Close(), durable.Remove(f.Name(), f.Name()+".lock"))
	}()
	if tip, err = fill(f.Name()); err != nil {
		return Tip{}, err
	}
	if err := f.Sync(); err != nil {
		return Tip{}, err
	}
	// A link, not a rename: it never replaces a file of another process.
	return tip, os.Link(f.Name(), to)
}

func (j *Journal) verifyCopy(ctx context.Context, at string) (Tip, error) {
	c, err := OpenReadOnly(at)
	if err != nil {
		return Tip{}, err
	}
	defer c.Close()
	if c.id != j.id {
		return Tip{}, fmt.Errorf("%w: the copy is journal %s, not %s", ErrDamaged, c.id, j.id)
	}
	return c.Tip(), c.Verify(ctx)
}

// copyTo copies one moment of the journal into an empty store.
func (j *Journal) copyTo(ctx context.Context, at string) (_ Tip, err error) {
	moment, err := j.store.Snapshot(ctx)
	if err != nil {
		return Tip{}, err
	}
	defer moment.Close()
	return fill(ctx, at, func(to store.Store) (store.Tip, error) { return j.pour(ctx, moment, to) })
}

// fill opens a store, which must be empty, has it filled, and closes it. After an error
// what was made is gone.
func fill(ctx context.Context, at string, pour func(store.Store) (store.Tip, error)) (_ Tip, err error) {
	to, err := store.Open(ctx, at, store.Options{Write: true})
	if err != nil {
		return Tip{}, err
	}
	_, there, err := to.Tip(ctx)
	if err == nil && there {
		err = fmt.Errorf("journal %s: %w", store.Shown(at), os.ErrExist)
	}
	if err != nil {
		return Tip{}, errors.Join(err, to.Close())
	}
	tip, err := pour(to)
	if err != nil {
		return Tip{}, errors.Join(err, to.Discard())
	}
	return Tip{tip.Seq, tip.Hash}, to.Close()
}

// pour appends all segments of one moment to an empty store, each when it is proven, and
// the kept state with the last of them, if there is one that holds.
func (j *Journal) pour(ctx context.Context, moment store.Reader, to store.Store) (store.Tip, error) {
	tip, err := tipOf(ctx, moment)
	if err != nil {
		return tip, err
	}
	var kept store.State
	rows, _, _, err := j.keptState(ctx, moment)
	switch {
	case err == nil:
		kept = store.State{Rows: rows, Whole: true}
	case !errors.Is(err, ErrState): // a state without a valid record is not copied
		return tip, err
	}
	if _, err := j.readID(ctx, moment); err != nil {
		return tip, err
	}
	made, err := moment.Read(ctx, 0, 1) // it was proven just now
	if err != nil {
		return tip, err
	}
	if err := to.Append(&made[0], store.State{}); err != nil {
		return tip, err
	}
	end, first := made[0].Tip(), uint64(0)
	for end.Seq < tip.Seq {
		page, err := moment.After(ctx, first, pageSize)
		if err != nil {
			return tip, err
		}
		if len(page) == 0 {
			return tip, &ChainError{end.Seq + 1, "missing"}
		}
		for i := range page {
			s := &page[i]
			if _, err := j.follows(end, s); err != nil {
				return tip, err
			}
			end, first = s.Tip(), s.First
			var k store.State
			if end == tip {
				k = kept
			}
			if err := to.Append(s, k); err != nil {
				return tip, err
			}
		}
	}
	if end != tip {
		return tip, &ChainError{tip.Seq, "not the last record that was written"}
	}
	return tip, nil
}
