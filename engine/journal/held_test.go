package journal_test

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"safemode/engine/journal"
	"safemode/engine/record"
)

// A lock by another program says so: nobody looks for a full disk.
func TestAnotherProgramHoldsTheFile(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("waits five seconds for the lock")
	}
	path := filepath.Join(t.TempDir(), "journal.db")
	j, err := journal.Open(path, journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	viewer, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	defer viewer.Close()
	c, err := viewer.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	err = j.Commit(context.Background(), record.Record{At: time.Now(), Kind: record.Reply, Code: "I99"})
	if !errors.Is(err, record.ErrHeld) {
		t.Errorf("%v", err)
	}
}
