package audit_test

import (
	"crypto/rand"
	"database/sql"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"safemode/engine/audit"
	"safemode/engine/checkpoint"
	"safemode/engine/durable"
	"safemode/engine/journal"
	"safemode/engine/record"
)

// pinnedJournal is a journal of twenty records with a checkpoint at the tenth and one at
// the last.
func pinnedJournal(t *testing.T) audit.Options {
	t.Helper()
	private, public, err := note.GenerateKey(rand.Reader, "test")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	o := audit.Options{Journal: filepath.Join(t.TempDir(), "journal.db")}
	if o.Verifier, err = note.NewVerifier(public); err != nil {
		t.Fatal(err)
	}
	o.Checkpoints = o.Journal + ".checkpoints"
	j, err := journal.Open(o.Journal, journal.Options{Unsynced: true, Linger: time.Nanosecond})
	if err != nil {
		t.Fatal(err)
	}
	pins, err := checkpoint.OpenLog(durable.Folder(filepath.Dir(o.Checkpoints)), filepath.Base(o.Checkpoints), j.ID(), signer, o.Verifier)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		if err := j.Commit(t.Context(), record.Record{At: time.Unix(int64(i), 0), Kind: record.Alert, Code: "8F0F"}); err != nil {
			t.Fatal(err)
		}
		if i == 9 || i == 19 {
			tip := j.Tip()
			if err := pins.Append(checkpoint.Checkpoint{Journal: j.ID(), Seq: tip.Seq, Hash: tip.Hash, At: time.Unix(int64(i), 0)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	return o
}

func pinsClaim(t *testing.T, o audit.Options) audit.Claim {
	t.Helper()
	r, err := audit.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(r.Claims, func(c audit.Claim) bool { return c.Name == "checkpoints" })
	if i < 0 {
		t.Fatalf("no claim about checkpoints: %+v", r.Claims)
	}
	if c := r.Claims[slices.IndexFunc(r.Claims, func(c audit.Claim) bool { return c.Name == "chain" })]; c.Status != audit.Proven {
		t.Errorf("the chain is to hold in these tests: %+v", c)
	}
	return r.Claims[i]
}

func exec(t *testing.T, path string, statements ...string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, s := range statements {
		if _, err := db.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

func TestCheckpointsHold(t *testing.T) {
	if c := pinsClaim(t, pinnedJournal(t)); c.Status != audit.Proven || c.Checked != 2 {
		t.Errorf("%+v", c)
	}
}

// A journal whose end was cut off together with its tip has a chain that holds. Only
// the note shows what is missing.
func TestCheckpointShowsAJournalCutBack(t *testing.T) {
	o := pinnedJournal(t)
	exec(t, o.Journal,
		"DELETE FROM segment WHERE first > 15",
		"UPDATE tip SET (number, seq, hash) = (SELECT number, last, after FROM segment WHERE last = 15)")
	c := pinsClaim(t, o)
	if c.Status != audit.Disproven || c.Faulty != 1 || !strings.Contains(c.Faults[0], "note 2: the journal had 20 records") {
		t.Errorf("%+v", c)
	}
}

// A journal that was written again under the same identity has a chain that holds, too.
func TestCheckpointShowsAJournalRewritten(t *testing.T) {
	o := pinnedJournal(t)
	exec(t, o.Journal,
		"DELETE FROM segment WHERE first > 12",
		"UPDATE tip SET (number, seq, hash) = (SELECT number, last, after FROM segment WHERE last = 12)")
	j, err := journal.Open(o.Journal, journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 9 {
		if err := j.Commit(t.Context(), record.Record{At: time.Unix(int64(i), 0), Kind: record.Alert, Code: "8F83"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	c := pinsClaim(t, o)
	if c.Status != audit.Disproven || c.Faulty != 1 || !strings.Contains(c.Faults[0], "note 2: record 20 is not the one") {
		t.Errorf("%+v", c)
	}
}

func TestAlteredCheckpointsProveNothing(t *testing.T) {
	o := pinnedJournal(t)
	text, err := os.ReadFile(o.Checkpoints)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(o.Checkpoints, []byte(strings.Replace(string(text), "\n20\n", "\n19\n", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if c := pinsClaim(t, o); c.Status != audit.Disproven || !strings.Contains(c.Faults[0], "note 2") {
		t.Errorf("altered: %+v", c)
	}
	if err := os.WriteFile(o.Checkpoints, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if c := pinsClaim(t, o); c.Status != audit.Unproven {
		t.Errorf("empty: %+v", c)
	}
}
