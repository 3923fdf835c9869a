package engine

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/zap"
	_ "modernc.org/sqlite"

	"safemode/engine/journal"
	"safemode/engine/record"
)

// Damage in records that a start has not read closes the gate, whichever reader finds it.
func TestDamageInThePastClosesTheGate(t *testing.T) {
	const records = 600
	path := filepath.Join(t.TempDir(), "journal.db")
	j, err := journal.Open(path, journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range records {
		j.Append(record.Record{At: time.Unix(1, 0), Kind: record.Unmatched})
		if i%100 == 98 { // segments begin with 100, 200 and so on
			if err := j.Commit(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	walk := func() (e *Engine, first error) {
		j, err := journal.OpenReadOnly(path)
		if err != nil {
			t.Fatal(err)
		}
		defer j.Close()
		e = &Engine{journal: j, o: Options{Log: zap.NewNop()}}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		e.watchPast(ctx, 1, records)
		if ctx.Err() != nil {
			t.Fatal("no end")
		}
		_, first = e.verifyPast(ctx, records)
		return e, first
	}
	if e, first := walk(); first != nil || e.damage.Load() != nil {
		t.Fatalf("a whole journal: %v, %v", first, e.damage.Load())
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.Exec("UPDATE segment SET sum = zeroblob(32) WHERE first = 400")
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	e, first := walk()
	chain, ok := errors.AsType[*journal.ChainError](first)
	if !ok || chain.Seq != 400 {
		t.Errorf("before anything is sent: %v", first)
	}
	if err := e.mayAct(time.Now()); !errors.Is(err, journal.ErrDamaged) {
		t.Errorf("the gate says %v", err)
	}
}
