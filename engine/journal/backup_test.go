package journal_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"safemode/engine/journal"
)

// A backup of a journal that is being written holds what was durable when it began,
// as a journal of its own that goes on like the first.
func TestBackupOfALiveJournal(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "journal.db")
	j := open(t, path)
	for i := range uint64(2000) {
		j.Append(sent(i + 1))
	}
	commit(t, j, sent(2001))
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for c := uint64(2002); ; c++ {
			select {
			case <-stop:
				return
			default:
				if err := j.Commit(t.Context(), sent(c)); err != nil {
					t.Error(err)
					return
				}
			}
		}
	}()
	copies := []string{filepath.Join(dir, "first.db"), filepath.Join(dir, "second.db")}
	var tips []journal.Tip
	for _, to := range copies {
		tip, err := journal.Backup(t.Context(), path, to)
		if err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(to); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v, %v", info.Mode(), err)
		}
		tips = append(tips, tip)
	}
	close(stop)
	<-stopped
	if tips[0].Seq < 2001 || tips[1].Seq < tips[0].Seq || j.Tip().Seq < tips[1].Seq {
		t.Errorf("backups of %d and %d records, the journal has %d", tips[0].Seq, tips[1].Seq, j.Tip().Seq)
	}
	all := read(t, j, 1)
	for i, to := range copies {
		c := open(t, to)
		if c.ID() != j.ID() || c.Tip() != tips[i] {
			t.Errorf("%s: %s %v", to, c.ID(), c.Tip())
		}
		if diff := cmp.Diff(all[:tips[i].Seq], read(t, c, 1)); diff != "" {
			t.Error(diff)
		}
		commit(t, c, sent(1_000_000))
		c.Close()
	}
	if _, err := journal.Backup(t.Context(), path, copies[0]); !errors.Is(err, os.ErrExist) {
		t.Errorf("over an older backup: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestBackupRefusesADamagedJournal(t *testing.T) {
	dir := t.TempDir()
	path, to := filepath.Join(dir, "journal.db"), filepath.Join(dir, "copy.db")
	j := open(t, path)
	for i := range uint64(10) {
		commit(t, j, sent(2*i+1), sent(2*i+2))
	}
	j.Close()
	execute(t, path, "UPDATE segment SET sum = zeroblob(32) WHERE first = 17")
	_, err := journal.Backup(t.Context(), path, to)
	if chain, ok := errors.AsType[*journal.ChainError](err); !ok || chain.Seq != 17 {
		t.Errorf("%v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*copy*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
