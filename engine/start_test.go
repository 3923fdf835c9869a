package engine_test

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
	"time"

	"safemode/engine"
	"safemode/engine/custody"
	"safemode/engine/durable"
	"safemode/engine/journal"
	"safemode/servicerequests"
	"safemode/servicerequests/smki"
)

// sayings is all that is foreseen to be wrong.
func sayings(f engine.Foreseen) (all []string) {
	for _, err := range f.Said {
		if err != nil {
			all = append(all, placeless(err))
		}
	}
	return all
}

// placeless is what an error says, with every journal's ID the same: a journal that does
// not exist has none.
func placeless(err error) string {
	return regexp.MustCompile(`a new journal|\b[0-9a-f]{32}\b`).ReplaceAllString(err.Error(), "JOURNAL")
}

// A journal that exists is foreseen as the start finds it.
func TestForeseeAJournal(t *testing.T) {
	d, dir := newDCC(t, servicerequests.NotRegistered), t.TempDir()
	p := newPlan(t, engine.Simulator, 1)
	e := open(t, options(t, d, p, dir))
	if err := e.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	o := options(t, d, p, dir)
	if said := engine.Foresee(t.Context(), o).Said[engine.PartJournal]; !errors.Is(said, journal.ErrInUse) {
		t.Errorf("while it runs: %q", said)
	}
	older := filepath.Join(dir, "older.db")
	if _, err := journal.Backup(t.Context(), o.Journal, older); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	again := open(t, options(t, d, p, dir))
	if err := errors.Join(again.Run(t.Context()), again.Close()); err != nil {
		t.Fatal(err)
	}
	if said := sayings(engine.Foresee(t.Context(), o)); len(said) > 0 {
		t.Errorf("it can go on: %q", said)
	}
	for name, change := range map[string]func(*engine.Options){
		"an older copy": func(o *engine.Options) { o.Journal = older },
		"another plan":  func(o *engine.Options) { o.Plan = newPlan(t, engine.Simulator, 2) },
		"another clock": func(o *engine.Options) { o.Clock.Speed = 60 },
		"no journal":    func(o *engine.Options) { o.Journal += ".other" },
		"handed back": func(o *engine.Options) {
			if _, err := custody.Release(durable.Folder(o.CustodyDir), smki.TestSupplier, time.Now()); err != nil {
				t.Fatal(err)
			}
		},
	} {
		o := options(t, d, p, dir)
		if name == "handed back" {
			o.CustodyDir = filepath.Join(t.TempDir(), "custody")
			if err := os.CopyFS(o.CustodyDir, os.DirFS(filepath.Join(dir, "custody"))); err != nil {
				t.Fatal(err)
			}
		}
		change(&o)
		said := sayings(engine.Foresee(t.Context(), o))
		if _, err := engine.Open(t.Context(), o); err == nil || !slices.Contains(said, placeless(err)) {
			t.Errorf("%s: foreseen %q; the start says %v", name, said, err)
		}
	}
}
